from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.cli.entry import main
from imagelab.evaluation.by_class import measure_by_class
from imagelab.evaluation.sources import Opening


def save(folder: Path, images: np.ndarray, ending: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row}.{ending}")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """real/ and fake/ with the classes cats, dogs_&_co (brighter in fake/) and tiny; real/birds and fake/fish alone."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def draw(n: int, brighter: int = 0) -> np.ndarray:
        return (rng.integers(40, 140, (n, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2) + brighter).astype(np.uint8)

    for side, brighter in (("real", 0), ("fake", 60)):
        save(tmp_path / side / "cats", draw(16))
        save(tmp_path / side / "dogs_&_co", draw(14, brighter))
        save(tmp_path / side / "tiny", draw(3))
    save(tmp_path / "real/birds", draw(12))
    save(tmp_path / "fake/fish", draw(12))
    return tmp_path


def ask(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["measure", *words])
    return int(left.value.code or 0)


def test_each_class_is_measured_against_itself_and_the_mean_is_said(here: Path, capsys: pytest.CaptureFixture[str]):
    assert ask("real", "fake", "--by-class", "--metrics", "tone", "-o", "c.jsonl") == 0
    said = capsys.readouterr().out
    assert "classes of the real side only, not measured: birds" in said
    assert "classes of the fake side only, not measured: fish" in said
    assert "class tiny: 3 real and 3 made pictures; 12 are needed" in said
    assert (
        "class cats: 16 pictures are too few to trust tone" in said
        and "holds for other pictures of these same classes" in said
    )
    rows = [json.loads(line) for line in (here / "c.jsonl").read_text().splitlines()]
    of = {row["class"]: row for row in rows if row.get("name") == "brightness"}
    assert set(of) == {"cats", "dogs_&_co"} and of["dogs_&_co"]["value"] - of["cats"]["value"] > 0.15
    mean = next(row for row in rows if row.get("mean_over_classes") == "brightness")
    values, errors = [row["value"] for row in of.values()], [row["stderr"] for row in of.values()]
    assert mean["value"] == pytest.approx(sum(values) / 2) and (mean["least"], mean["most"]) == (
        min(values),
        max(values),
    )
    assert mean["high"] - mean["value"] == pytest.approx(1.96 * math.hypot(*errors) / 2, rel=1e-3)


def test_a_class_alone_gives_the_numbers_of_the_whole_command(here: Path):
    alone = measure_by_class(here / "real", here / "fake", Opening(), ["tone"]).classes["cats"]
    from imagelab import measure

    whole = measure(here / "real/cats", here / "fake/cats", metrics=["tone"])
    assert [(m.name, m.value, m.stderr, m.floor) for m in alone] == [
        (m.name, m.value, m.stderr, m.floor) for m in whole
    ]


@pytest.mark.parametrize("form", ["latex", "markdown", "csv"])
def test_the_table_of_classes_is_escaped_in_every_form(here: Path, form: str, capsys: pytest.CaptureFixture[str]):
    assert ask("real", "fake", "--by-class", "--metrics", "tone", "--format", form) == 0
    told = capsys.readouterr()
    if form == "latex":
        assert r"dogs\_\&\_co & brightness &" in told.out and "\\toprule" in told.out and "95 \\% low" in told.out
        assert "% standard errors, and 95 % intervals" in told.out
    elif form == "markdown":
        assert r"| dogs\_&\_co | brightness |" in told.out and "- the mean gives every class" in told.out
    else:
        rows = list(csv.reader(told.out.splitlines()))
        assert rows[0][:3] == ["Class", "Key", "Value"] and {len(row) for row in rows} == {7}
        assert "the mean gives every class" in told.err


def test_folders_without_a_common_class_are_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    assert ask("real/birds", "fake/fish", "--by-class") == 1
    assert "expected subfolders of the same names" in capsys.readouterr().err


def test_pairs_are_matched_by_name_and_the_worst_is_first(here: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(1)
    images = rng.integers(60, 190, (5, 16, 16, 3)).astype(np.uint8)
    changed = images.copy()
    changed[3] = rng.integers(0, 256, (16, 16, 3))
    changed[1, :4] += 20
    save(here / "a/deep", images)
    save(here / "b/deep", changed, "bmp")
    (here / "a/deep/0.png").unlink()
    (here / "b/deep/4.bmp").unlink()
    assert ask("a", "b", "--paired", "-o", "p.csv") == 0
    said = capsys.readouterr().out
    assert "3 pairs, matched by path in their folders, without ending" in said
    assert "counterpart on the other side, real: 1 (deep/4)" in said and "fake: 1 (deep/0)" in said
    assert "missing: lpips" in said and "not finite: equal pictures" in said
    rows = list(csv.DictReader((here / "p.csv").read_text().splitlines()))
    assert [row["Picture"] for row in rows] == ["deep/3", "deep/1", "deep/2"]
    assert rows[2]["psnr"] == "" and float(rows[2]["mse"]) == 0.0  # equal pictures
    assert float(rows[0]["mse"]) == pytest.approx(((images[3].astype(float) - changed[3]) ** 2).mean())


def test_arrays_are_paired_by_order_and_need_equal_numbers(here: Path, capsys: pytest.CaptureFixture[str]):
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), np.uint8)
    np.save("six.npy", images)
    np.save("five.npy", images[:5])
    assert ask("six.npy", "five.npy", "--paired") == 1
    assert "6 and 5 pictures; pairs by order need equal numbers" in capsys.readouterr().err
    np.save("other.npy", 255 - images)
    assert ask("six.npy", "other.npy", "--paired", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["matched"] == "by order" and len(found["pairs"]) == 6
    assert ask("real/birds", "fake/cats", "--paired", "--metrics", "fid") == 2
    assert "--paired and --metrics cannot be given together" in capsys.readouterr().err
    assert ask("real/birds", "fake/cats", "--paired", "--freckle-style", "fine") == 2
    assert "--paired and --freckle-style cannot be given together" in capsys.readouterr().err


def test_names_that_meet_nowhere_or_twice_are_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    assert ask("real", "fake/fish", "--paired") == 1
    assert "has the name of one of" in capsys.readouterr().err
    (here / "fake/fish/0.bmp").write_bytes((here / "fake/fish/0.png").read_bytes())
    assert ask("real/birds", "fake/fish", "--paired") == 1
    assert "differ in their ending only: 0" in capsys.readouterr().err
