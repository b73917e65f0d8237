from __future__ import annotations

import json
import re
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab import Faces
from imagelab.cli.entry import main
from imagelab.cli.measure_tables import Judged, beyond_by_chance, judged, text_table
from imagelab.evaluation.comparison import compare_to_floor, figures
from imagelab.evaluation.evaluate import Measured
from imagelab.io.cache import cache_folder
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, row_of
from imagelab.pool import REAL, Pool
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_images, write_measurements, write_npy


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with real/ (24 pictures), fake/ (10), large/ (10, twice the size) and float.npy in it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, n, side in (("real", 24, 16), ("fake", 10, 16), ("large", 10, 32)):
        (tmp_path / name).mkdir()
        for row in range(n):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(tmp_path / name / f"{row:02d}.png")
    np.save(tmp_path / "float.npy", rng.random((10, 3, 16, 16), np.float32) * 2 - 1)
    return tmp_path


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["measure", *words])
    return int(left.value.code or 0)


def test_two_folders_give_a_table_with_floor_and_verdict(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "tone,hf_ratio") == 0
    said = capsys.readouterr().out
    assert "10 made images (3 x 16 x 16, from fake) against 24 real images (3 x 16 x 16, from real)" in said
    assert "10/14" in said and "within the floor" in said
    names = [line.split()[0] for line in said.splitlines() if line]
    assert names.index("brightness") < names.index("hf_ratio")
    assert "! n = 10 is less than these metrics need" in said and "the floor is 10 real images, set aside" in said


def test_the_general_panel_is_taken_where_none_is_named(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake") == 0
    said = capsys.readouterr().out
    for stem in ("band_power/4-8", "frechet/randconv-s0", "kernel/randconv-s0", "brightness"):
        assert f"\n  {stem}" in said
    assert "not taken: " in said and "imagelab weights list" in said
    assert "\n  radial_power" not in said and "not shown; --all" in said


def test_all_shows_numbers_without_a_direction(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "spectrum", "--all") == 0
    assert "\n  radial_power/01" in capsys.readouterr().out


def test_json_is_one_object_and_nothing_else_on_standard_output(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "tone", "--json", "--output", "kept.jsonl") == 0
    told = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in told["measurements"]] == ["brightness", "contrast", "colourfulness"]
    assert told["floors"][0]["line"] == REAL and told["warnings"] and told["notes"]
    kept = [Measurement.from_json(line) for line in (here / "kept.jsonl").read_text().splitlines()]
    assert [json.loads(m.to_json()) for m in kept] == told["floors"] + told["measurements"]


def test_the_numbers_are_the_same_by_any_road(here: Path):
    import imagelab

    command("real", "fake", "--metrics", "tone,hf_ratio", "--seed", "3", "-o", "kept.jsonl")
    result = imagelab.measure("real", "fake", metrics=["tone", "hf_ratio"], seed=3)
    assert (here / "kept.jsonl").read_text() == result.to_jsonl()


def test_earlier_numbers_are_compared_where_the_instrument_is_the_same(here: Path, capsys: pytest.CaptureFixture[str]):
    command("real", "fake", "--metrics", "tone", "-o", "kept.jsonl")
    command("real", "large", "--metrics", "tone,hf_ratio", "--size", "16", "-o", "other.jsonl")
    capsys.readouterr()
    assert command("real", "fake", "--metrics", "tone", "--against", "kept.jsonl") == 0
    same = capsys.readouterr().out
    assert "against kept.jsonl" in same and same.count("no difference that shows") + same.count("equal") == 3
    assert command("real", "fake", "--metrics", "tone", "--against", "other.jsonl", "--json") == 0
    told = {each["name"]: each for each in json.loads(capsys.readouterr().out)["differences"]}
    assert told["brightness"]["refused"] == "resize differs: '' against 'fake bicubic to 16'"
    assert told["hf_ratio"]["refused"] == "not measured now"


def test_a_generation_of_a_run_is_measured_and_compared_with_its_own_numbers(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    folder = RunFolder.create(here / "tiny-1a2b3c4d", {"schema": 1, "signature": "1a2b3c4d", "experiment": {}})
    rng = np.random.default_rng(0)
    for place in ((0, REAL), (1, 0), (2, 0)):
        shard = folder.begin(*place)
        if place == (0, REAL):
            write_npy(shard / "heldout.npy", rng.integers(0, 256, (8, 3, 16, 16), np.uint8))
        earlier = [Measurement("brightness", 0.9, "of full scale", *place, stderr=0.01)]
        write_images(shard, rng.integers(0, 256, (6, 3, 16, 16), np.uint8), Pool.of(0, REAL, range(2)))
        write_measurements(shard, earlier)
        folder.commit(*place)
    words = ("tiny-1a2b3c4d@heldout", "tiny-1a2b3c4d@1", "--metrics", "tone", "--train", "tiny-1a2b3c4d@0")
    assert command(*words, "--against", "tiny-1a2b3c4d@1", "-o", "kept.jsonl") == 0
    assert "not compared: brightness: estimator differs" in capsys.readouterr().out
    assert (here / "kept.jsonl").read_text().count('"generation": 1') == 3
    assert command(*words, "--against", "tiny-1a2b3c4d/metrics.jsonl") == 1
    assert "name one: @1, @2" in capsys.readouterr().err
    assert command(*words, "--against", "tiny-1a2b3c4d@7") == 1


def test_the_list_says_of_every_metric_what_it_sees_and_what_it_takes(capsys: pytest.CaptureFixture[str]):
    assert command("--list") == 0
    said = capsys.readouterr().out
    for name, row in METRICS.items():
        assert f"{name}: {row.title}" in said and row.blind in said
    assert "by default  not used" in said


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ((), 2, "expected two sets of images"),
        (("real",), 2, "expected two sets of images"),
        (("real", "nowhere"), 1, "nowhere does not exist"),
        (("real", "fake", "--train", "nowhere"), 1, "nowhere does not exist"),
        (("real", "fake", "--metrics", "fidd"), 2, "unknown metric 'fidd'; known are spectrum"),
        (("real", "fake", "--metrics", ","), 2, "expected names separated by commas"),
        (("real", "fake", "--size", "many"), 2, "many"),
        (("real", "fake", "--resize", "magic"), 2, "magic"),
        (("real", "float.npy", "--value-range", "1"), 2, "expected BLACK,WHITE"),
        (("real", "float.npy", "--value-range", "1,-1"), 1, "expected .black, white."),
        (("real", "float.npy"), 1, "say which values are black|Say which values are black"),
        (("real", "large"), 1, "fake is 32 x 32 pixels.*--size 16"),
        (("real", "fake", "--output", "nowhere/kept.jsonl"), 1, "does not exist; create it first"),
        (("real", "fake", "--output", "real"), 1, "real is a folder; expected the name of a file"),
        (("real", "fake", "--output", "n.csv"), 2, "ends in .jsonl, got n.csv. For a table: --format csv > n.csv"),
        (("real", "fake", "--against", "nowhere.jsonl"), 1, "expected a .jsonl file or a generation"),
        (("real", "fake", "--against", "float.npy"), 1, "float.npy: not a text file"),
        (("real", "fake", "--against", "real/00.png"), 1, "not a text file"),
        (("real", "fake", "--against", "words.jsonl"), 1, "words.jsonl, line 1: not a measurement"),
        (("real", "fake", "--against", "empty.jsonl"), 1, "contains no measurement"),
        (("real", "run@3"), 1, "not a run folder"),
    ],
)
def test_a_wrong_command_says_what_was_expected(
    words: tuple[str, ...], code: int, reason: str, here: Path, capsys: pytest.CaptureFixture[str]
):
    (here / "words.jsonl").write_text("once upon a time\n")
    (here / "empty.jsonl").write_text("")
    assert command(*words) == code
    told = capsys.readouterr()
    assert re.search(reason, told.err.replace("\n", " ")), told.err
    assert told.out == ""


def test_every_option_reaches_the_measurement(here: Path, capsys: pytest.CaptureFixture[str]):
    def told(*words: str) -> str:
        assert command("real", *words, "--metrics", "tone", "--json") == 0
        return capsys.readouterr().out

    assert '"bicubic to 8"' in told("fake", "--size", "8") and '"box to 8"' in told(
        "fake", "--size", "8", "--resize", "box"
    )
    assert "-1 as black and 1 as white" in told("float.npy", "--value-range", "-1,1")
    assert "-1 as black and 1 as white" in told("float.npy", "--value-range=-1,1")
    assert "10 other real images" in told("fake", "--floor", "fake")
    assert "occur in train" in told("real", "--train", "fake") or "SAME" in told("real", "--train", "real")
    assert told("fake", "--seed", "1") != told("fake", "--seed", "2")
    (here / "fake" / "bad.png").write_bytes(b"no picture")
    assert "1 bad picture was left out" in told("fake")
    assert command("real", "fake", "--metrics", "tone", "--on-bad", "stop") == 1
    capsys.readouterr()


def test_key_and_column_choose_among_several_pictures(here: Path, capsys: pytest.CaptureFixture[str]):
    import pyarrow
    from pyarrow import parquet

    def row(said: str) -> str:
        return next(line for line in said.splitlines() if line.startswith("  brightness"))

    files = sorted((here / "fake").glob("*.png"))
    with tarfile.open("masks.tar", "w") as archive:
        for file in files:
            archive.add(file, f"{file.stem}.jpg")
            archive.add(here / "real" / file.name, f"{file.stem}.seg.png")
    cells = {"mask": "real", "image": "fake"}
    columns = {name: [{"bytes": (here / home / f.name).read_bytes()} for f in files] for name, home in cells.items()}
    parquet.write_table(pyarrow.table(columns), "two.parquet")
    assert command("real", "fake", "--metrics", "tone") == 0
    expected = row(capsys.readouterr().out)
    for source, option, value in (("masks.tar", "--key", "jpg"), ("two.parquet", "--column", "image")):
        assert command("real", source, "--metrics", "tone") == 1
        assert f"{option} " in capsys.readouterr().err
        assert command("real", source, "--metrics", "tone", option, value) == 0
        assert row(capsys.readouterr().out) == expected


def test_no_cache_keeps_nothing(here: Path):
    assert command("real", "fake", "--metrics", "tone", "--no-cache") == 0
    assert not list(cache_folder("measured").glob("*"))
    assert command("real", "fake", "--metrics", "tone") == 0
    assert list(cache_folder("measured").glob("*.bytes"))


def test_a_layout_that_cannot_be_told_can_be_said(here: Path, capsys: pytest.CaptureFixture[str]):
    np.save(here / "grey.npy", np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8))
    assert command("real", "grey.npy", "--metrics", "tone") == 1
    assert "layout nhw" in capsys.readouterr().err
    assert command("real", "grey.npy", "--metrics", "tone", "--layout", "nhw") == 0
    assert "3 made images" in capsys.readouterr().out


def test_long_work_says_now_and_then_what_it_is_doing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    slow = replace(
        METRICS["tone"], measure=lambda evidence: [time.sleep(0.1), METRICS["hf_ratio"].measure(evidence)][1]
    )
    monkeypatch.setitem(METRICS._ours, "tone", slow)
    for patience, expected in ((0.01, True), (60.0, False)):
        monkeypatch.setattr("imagelab.cli.measure.STATUS_SECONDS", patience)
        assert command("real", "fake", "--metrics", "hf_ratio,tone", "--json") == 0
        told = capsys.readouterr()
        assert ("measuring: Tone (1/2)" in told.err) == expected
        assert json.loads(told.out)


def test_a_page_and_a_white_can_be_stated(here: Path, capsys: pytest.CaptureFixture[str]):
    (here / "pages").mkdir()
    for number in range(6):
        frames = [Image.new("L", (16, 16), 10 * number + page) for page in (1, 2)]
        frames[0].save(here / "pages" / f"{number}.tif", save_all=True, append_images=frames[1:])
    assert command("real", "pages", "--metrics", "tone") == 0
    said = capsys.readouterr().out
    assert "6 made images" in said and "of which the first was taken: 6; --page 2 takes another" in said
    assert command("real", "pages", "--metrics", "tone", "--page", "all") == 0
    assert "12 made images" in capsys.readouterr().out
    assert command("real", "pages", "--metrics", "tone", "--page", "3") == 1
    assert "page 3: the file holds 2" in capsys.readouterr().err
    assert command("real", "pages", "--metrics", "tone", "--page", "0") != 0
    (here / "dark").mkdir()
    for number in range(6):
        values = np.random.default_rng(number).integers(0, 4096, (16, 16)).astype(np.uint16)
        Image.fromarray(values).save(here / "dark" / f"{number}.png")
    assert command("real", "dark", "--metrics", "tone") == 1
    assert "12-bit values; say which value is white: --white 4095" in capsys.readouterr().err
    assert command("real", "dark", "--metrics", "tone", "--white", "4095") == 0


def made(here: Path) -> Measured:
    import imagelab

    panel = ["tone", "frechet", "generalisation", "pixel_variance"]
    return imagelab.measure("real", "fake", metrics=panel, train="large", size=16, cache=False)


@pytest.mark.parametrize("width", [72, 80, 100])
def test_the_table_is_no_wider_than_the_terminal_and_loses_nothing(width: int, here: Path):
    rows = judged(made(here))
    lines = text_table(rows, width)
    assert max(map(len, lines)) <= width
    text = " ".join("".join(lines).split())
    for row in rows:
        for part in row.measured.name.split("/"):
            assert part in text, row.measured.name
        assert any(row.title in line for line in lines)
        assert figures(row.measured.value) in text and figures(row.measured.floor) in text
    wide = text_table(rows, 1000)
    assert all(any(row.verdict in line and row.measured.name in line for line in wide) for row in rows)


def test_a_title_stands_above_its_keys(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "tone,pixel_variance") == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("Tone [of full scale]")
    assert [line.split()[0] for line in lines[first + 1 : first + 4]] == ["brightness", "contrast", "colourfulness"]
    assert "Pixel variance [ratio]" in lines and "Pixel variance [squared, pixels 0..1]" in lines


def test_the_number_of_verdicts_that_chance_alone_gives_is_said():
    def row(value: float, error: float | None = 1.0) -> Judged:
        m = Measurement("a", value, stderr=error, floor=0.0, floor_stderr=0.1, better="two-sided")
        return Judged(m, "A", compare_to_floor(m))

    fifty = [row(0.0)] * 50 + [row(5.0)] * 8
    assert beyond_by_chance(fifty).startswith("of 58 verdicts, about 3 can be expected beyond 2 sigma by chance")
    assert beyond_by_chance([row(0.0)] * 20).startswith("of 20 verdicts, about one can")
    assert beyond_by_chance([row(0.0)] * 2).startswith("of 2 verdicts, 0.1 can")
    assert beyond_by_chance([row(0.0, None), row(5.0, None)]) == "" == beyond_by_chance([])


def test_the_sentence_is_below_the_table(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "tone") == 0
    said = capsys.readouterr().out
    assert said.index("brightness") < said.index("of 3 verdicts, 0.1 can be expected beyond 2 sigma by chance")


def test_csv_has_all_digits_and_nothing_but_the_table(here: Path, capsys: pytest.CaptureFixture[str]):
    import csv

    assert command("real", "fake", "--metrics", "tone,frechet", "--format", "csv", "-o", "kept.jsonl") == 0
    told = capsys.readouterr()
    rows = list(csv.DictReader(told.out.splitlines()))
    kept = [json.loads(line) for line in (here / "kept.jsonl").read_text().splitlines()]
    by_name = {m["name"]: m for m in kept if m.get("line") != REAL}
    assert [row["name"] for row in rows] == [name for name, m in by_name.items() if m["value"] is not None]
    for row in rows:
        m = by_name[row["name"]]
        assert float(row["value"]) == m["value"] and row["title"] == METRICS[row_of(row["name"]) or ""].title
        assert row["stderr"] == ("" if "stderr" not in m else str(m["stderr"])) and int(row["n_made"]) == m["n_fake"]
    assert "! n = 10" not in told.out and "n = 10 is less than" in told.err


def test_markdown_is_one_table_with_its_notes_below(here: Path, capsys: pytest.CaptureFixture[str]):
    from markdown_it import MarkdownIt

    assert command("real", "fake", "--metrics", "tone,pixel_variance", "--format", "markdown") == 0
    said = capsys.readouterr().out
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(said)
    cells = [token.content for token, before in zip(tokens[1:], tokens, strict=False) if before.type == "td_open"]
    assert len(cells) == 9 * 5 and cells[:2] == ["Tone", "brightness"] and "pixel\\_variance/raw" in said
    assert sum(token.type == "table_open" for token in tokens) == 1 and "- of 5 verdicts" in said


def test_latex_escapes_what_tex_would_take_for_commands(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "pixel_variance", "--format", "latex") == 0
    lines = capsys.readouterr().out.splitlines()
    body = [line for line in lines if not line.startswith("%")]
    assert body[0] == r"\begin{tabular}{llrrlrrll}" and body[-1] == r"\end{tabular}"
    assert any(r"pixel\_variance/raw" in line and line.count(" & ") == 8 and line.endswith(r"\\") for line in body)
    assert not re.search(r"(?<!\\)_", "\n".join(body))


def test_json_by_its_format_is_json(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "tone", "--format", "json") == 0
    by_format = capsys.readouterr().out
    assert command("real", "fake", "--metrics", "tone", "--json") == 0
    assert json.loads(by_format) == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", [("--json",), ("--against", "kept.jsonl")])
def test_one_table_has_no_room_for_a_second(words: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("real", "fake", "--metrics", "tone", "--format", "csv", *words) == 2
    assert f"{words[0]} needs --format table or json" in " ".join(capsys.readouterr().err.split())


def test_fine_freckles_are_counted_by_the_counter_that_is_asked_for(here: Path, capsys: pytest.CaptureFixture[str]):
    faces = Faces(size=128, freckle_style="fine", freckle_rate=1.0, cache=False)
    np.save("faces.npy", faces.load("heldout", 8, 3).images)
    counted = []
    for words in ((), ("--freckle-style", "fine"), ("--freckle-style", "countable")):
        assert command("faces.npy", "faces.npy", "--metrics", "freckles", "--json", *words) == 0
        (row,) = (m for m in json.loads(capsys.readouterr().out)["measurements"] if m["name"] == "freckles/count")
        counted.append((row["value"], row["estimator"]))
    assert counted[0] == counted[2] != counted[1]
    assert counted[1][0] > 1.5 * counted[0][0] and "fine-freckles-128" in counted[1][1]
    assert command("faces.npy", "faces.npy", "--freckle-style", "bold") == 2
    assert "countable" in capsys.readouterr().err
