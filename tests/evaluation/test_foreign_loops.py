"""A loop that ran elsewhere: imported, it has the numbers of the run that it came from, and every command takes it."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab import Experiment, Gaussian, Runtime, run
from imagelab.cli import main
from imagelab.cli.import_ import _write_table
from imagelab.data import Faces, RandomField
from imagelab.evaluation.foreign_loops import ForeignLoop, import_loop
from imagelab.export.generation import export_generation
from imagelab.io.run_records import IMPORTED
from imagelab.measurement import Measurement
from imagelab.metrics.freckles import counts
from imagelab.pool import REAL
from imagelab.provenance.ledger import Ledger
from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run

METRICS = ("pixel_variance", "spectrum", "frechet", "memorisation")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three generations with an arm, its images as exported folders (g0, g1, ...), and what was imported."""
    home = tmp_path_factory.mktemp("loops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAGELAB_CACHE", str(home / "cache"))
        source = run(
            Experiment(
                name="source",
                data=RandomField(size=8),
                generator=Gaussian(),
                arms=(Gaussian(components=4),),
                generations=3,
                images=32,
                heldout=32,
                tracked=2,
                metrics=METRICS,
                runtime=Runtime(runs=home / "runs"),
            )
        )
        source.path.rename(home / "source")
        for generation in range(4):
            export_generation(home / "source", generation, home / f"g{generation}")
        for generation in (1, 2, 3):
            export_generation(home / "source", generation, home / f"arm{generation}", line=1)
        shutil.copy(home / "source" / "gen-000" / "heldout.npy", home / "heldout.npy")
        import_loop(loop(home), home / "imported")
    return home


def loop(home: Path, **changes: Any) -> ForeignLoop:
    """The three generations that were exported, and the arm's."""
    settings: dict[str, Any] = {
        "real": str(home / "g0"),
        "lines": {
            "theirs": [str(home / f"g{generation}") for generation in (1, 2, 3)],
            "control": [str(home / f"arm{generation}") for generation in (1, 2, 3)],
        },
        "heldout": str(home / "heldout.npy"),
        "metrics": METRICS,
    }
    return ForeignLoop(**{**settings, **changes})


def numbers(folder: Path) -> dict[tuple[str, int, int], Measurement]:
    found = RunFolder.open(folder).measurements()
    return {(m.name, m.generation, m.line): m for m in found if not m.predicted}


def command(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out + printed.err


def test_generations_that_were_exported_and_imported_have_the_numbers_of_the_run(home: Path):
    source, imported = numbers(home / "source"), numbers(home / "imported")
    assert len(source) > 100 and source == imported, "value, error, floor and estimator, of every row"
    for shard in RunFolder(home / "source").shards():
        images = RunFolder(home / "imported").images(*shard)
        np.testing.assert_array_equal(images, RunFolder(home / "source").images(*shard))


def test_an_imported_run_is_whole_and_says_where_every_file_came_from(home: Path):
    folder = RunFolder.open(home / "imported")
    assert check_run(home / "imported").problems == () and folder.provenance["labels"] == {
        "0": "theirs",
        "1": "control",
    }
    rows = [json.loads(line) for line in folder.file(2, 1, "origin.jsonl").read_text().splitlines()]
    assert {row["file"] for row in rows} >= {"README.md", "train/metadata.jsonl", "train/002-1-000031.png"}
    assert all(len(row["sha256"]) == 64 and row["bytes"] > 0 for row in rows)
    record = folder.provenance["imported"]
    assert record["heldout"]["chosen"] == "given by the user" and record["real"]["source"] == str(home / "g0")
    assert [each["name"] for each in record["lines"]] == ["theirs", "control"]
    assert shlex.split(record["command"])[:6] == ["imagelab", "import", *(str(home / f"g{g}") for g in range(4))]


def test_importing_again_is_the_same_run_and_makes_nothing_again(home: Path):
    written = {path: path.stat().st_mtime_ns for path in (home / "imported").rglob("images.npy")}
    import_loop(loop(home), home / "imported")
    assert written == {path: path.stat().st_mtime_ns for path in (home / "imported").rglob("images.npy")}
    with pytest.raises(ValueError, match="imported: holds another run"):
        import_loop(loop(home, seed=1), home / "imported")


def test_every_command_that_reads_takes_it(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    name, other, out = (shlex.quote(str(path)) for path in (home / "imported", home / "source", tmp_path))
    for words in (
        f"check {name}",
        f"watch {name}",
        f"cite {name}",
        f"grid {name} -o {out}/grid.png",
        f"compare {other} {name} -o {out}/compared",
        f"measure {name}@heldout {name}@3 --metrics pixel_variance",
        f"export {name} --generation 2 -o {out}/exported",
    ):
        code, said = command(words, capsys)
        assert code == 0, (words, said)
    facts = (tmp_path / "exported" / "train" / "metadata.jsonl").read_text()
    assert "noise_seed" not in facts and "trained_on" not in facts, "imagelab has drawn none of them"


def test_what_would_make_more_images_is_refused(home: Path, capsys: pytest.CaptureFixture[str]):
    name = shlex.quote(str(home / "imported"))
    for words in (f"resume {name}", f"branch {name} --at 1 --generations 5", f"run {name}"):
        code, said = command(words, capsys)
        assert code == 1 and "Its images were made elsewhere, so there is nothing" in said, words
    code, said = command(f"animate {name} --which tracked -o x.webp", capsys)
    assert code == 1 and "which of its images share their noise is not known" in said


def test_a_picture_of_an_imported_run_is_found_by_its_pixels(home: Path):
    from imagelab.provenance.origins import facts_of

    image = np.array(RunFolder(home / "imported").images(2)[5])
    place = Ledger.read([home / "imported"]).find(image)[0]
    facts = facts_of(place)
    assert (facts["generation"], facts["row"], facts["imported"], facts["model"]) == (2, 5, True, "theirs")
    assert "noise_seed" not in facts and facts["ancestry"] == []


def test_archives_and_arrays_are_the_same_as_folders(home: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "g1.zip", "w") as archive:
        for path in sorted((home / "g1" / "train").glob("*.png")):
            archive.write(path, path.name)
    np.savez(tmp_path / "g2.npz", np.array(RunFolder(home / "source").images(2)).transpose(0, 2, 3, 1))
    sources = [str(tmp_path / "g1.zip"), str(tmp_path / "g2.npz"), f"{home / 'source'}@3"]
    metrics = ("pixel_variance",)
    folder = import_loop(loop(home, lines={"theirs": sources}, metrics=metrics), tmp_path / "imported")
    source = {key: m for key, m in numbers(home / "source").items() if key[0] == "pixel_variance" and key[2] < 1}
    assert {key: m for key, m in numbers(folder.path).items() if key[0] == "pixel_variance"} == source
    origins = [json.loads(folder.file(g, 0, "origin.jsonl").read_text())["file"] for g in (1, 2, 3)]
    assert origins == ["g1.zip", "g2.npz", "seals.json"]


def test_without_held_out_images_half_of_the_real_ones_are_held_out(home: Path, tmp_path: Path):
    said: list[str] = []
    apart = loop(home, heldout="", lines={"theirs": [str(home / "g1")]}, metrics=("pixel_variance",))
    folder = import_loop(apart, tmp_path / "imported", tell=said.append)
    assert any(line.startswith("16 of 32 real images are held out by the seed") for line in said)
    assert any(
        line.startswith("16 images of every set are taken, chosen by the seed where there are more") for line in said
    )
    every = {image.tobytes() for image in RunFolder(home / "source").images(0)}
    train = {image.tobytes() for image in folder.images(0)}
    heldout = {image.tobytes() for image in np.load(folder.file(0, REAL, "heldout.npy"))}
    assert len(train) == len(heldout) == 16 and train | heldout == every
    other = import_loop(apart, tmp_path / "again").images(1)
    np.testing.assert_array_equal(other, folder.images(1))


def test_fine_freckles_are_counted_by_their_counter_and_the_run_says_so(tmp_path: Path):
    faces = Faces(size=128, freckle_style="fine", freckle_rate=1.0, cache=False).load("heldout", 36, 5).images
    paths = [tmp_path / f"{name}.npy" for name in ("real", "heldout", "made")]
    for path, images in zip(paths, np.split(faces, 3), strict=True):
        np.save(path, images)
    sources = {"real": str(paths[0]), "heldout": str(paths[1]), "lines": {"theirs": [str(paths[2])]}}
    fine = ForeignLoop(**sources, metrics=("freckles",), freckle_style="fine")
    import_loop(fine, tmp_path / "fine")
    found = numbers(tmp_path / "fine")["freckles/count", 1, 0].value
    assert found == pytest.approx(counts(faces[24:], style="fine").mean())
    assert found != pytest.approx(counts(faces[24:]).mean())
    assert shlex.split(fine.command)[-2:] == ["--freckle-style", "fine"]
    # a loop whose real images are those of a run is counted as that run is
    again = {"real": f"{tmp_path / 'fine'}@0", "lines": {"theirs": [f"{tmp_path / 'fine'}@1"]}}
    import_loop(ForeignLoop(**{**sources, **again}, metrics=("freckles",)), tmp_path / "again")
    assert numbers(tmp_path / "again")["freckles/count", 1, 0].value == found


def test_a_folder_with_other_files_is_no_place_for_a_run(home: Path, tmp_path: Path):
    shutil.copytree(home / "g0", tmp_path / "pictures")
    before = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    with pytest.raises(ValueError, match="pictures: holds other files; expected a new folder"):
        import_loop(loop(home), tmp_path / "pictures")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == before
    (tmp_path / "empty").mkdir()
    import_loop(loop(home), tmp_path / "empty")


def test_sets_that_share_pictures_are_warned_of(home: Path, tmp_path: Path):
    told: list[str] = []
    same = {
        "real": str(home / "g0"),
        "heldout": str(home / "g0"),
        "lines": {"theirs": [str(home / "g0"), str(home / "g1")]},
    }
    import_loop(loop(home, **same), tmp_path / "same", tell=told.append)
    warnings = [sentence for sentence in told if sentence.startswith("warning: ")]
    assert "the real images and the held-out images are the SAME pictures: the held-out" in warnings[0]
    assert len(warnings) == 3 and all("generation 1 of theirs" in each for each in warnings[1:])
    told.clear()
    import_loop(loop(home), tmp_path / "sound", tell=told.append)
    assert not [sentence for sentence in told if "warning" in sentence]


def test_images_of_the_same_noise_can_be_followed(home: Path, tmp_path: Path):
    seeded = loop(home, lines={"theirs": [str(home / "g1")]}, metrics=("pixel_variance",), same_seeds=3)
    folder = import_loop(seeded, tmp_path / "imported")
    probe = np.load(folder.file(1, 0, "probe.npy"))
    np.testing.assert_array_equal(probe, RunFolder(home / "source").images(1)[:3])
    from imagelab.report.run_view import read_run

    assert read_run(folder.path).same_seeds and not read_run(home / "imported").same_seeds


# -- bad guests


def wider(folder: Path) -> None:
    Image.new("RGB", (9, 8)).save(folder / "0.png")


def grown(folder: Path) -> None:
    for path in folder.iterdir():
        Image.new("RGB", (16, 16)).save(path)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def no_picture(folder: Path) -> None:
    (folder / "3.png").write_text("no picture")


def two_left(folder: Path) -> None:
    for path in list(folder.iterdir())[2:]:
        path.unlink()


BAD = {
    "one of another size": (wider, r"generation 2 of theirs: pictures of different sizes: .*0.png is 9 x 8"),
    "all of another size": (
        grown,
        r"generation 2 of theirs: expected 8 x 8 px .*, as the real images, got 16 x 16 px and 3 .*--size 8",
    ),
    "empty": (emptied, r"generation 2 of theirs: no picture in .*bad can be read"),
    "no picture": (
        no_picture,
        r"generation 2 of theirs: 1 bad files and on_bad is stop; repair .*:\s+.*3.png",
    ),
    "two images": (two_left, r"import: expected at least 12 images in every set, got generation 2 of theirs: 2"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_guest_is_refused_in_words(kind: str, home: Path, tmp_path: Path):
    spoil, said = BAD[kind]
    (bad := tmp_path / "bad").mkdir()
    for row in range(14):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(bad / f"{row}.png")
    spoil(bad)
    sets = {"theirs": [str(home / "g1"), str(bad)]}
    with pytest.raises(ValueError, match=said):
        import_loop(loop(home, lines=sets), tmp_path / "imported")
    assert not (tmp_path / "imported").exists(), "nothing was written"


def test_too_few_images_for_a_metric_are_said(home: Path, tmp_path: Path):
    said: list[str] = []
    import_loop(
        loop(home, metrics=("pixel_variance", "detector"), lines={"theirs": [str(home / "g1")]}),
        tmp_path / "imported",
        tell=said.append,
    )
    assert "32 images are too few to trust these, or to take them at all: detector, pixel_variance" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("REAL", "expected the real images and one generation or more: imagelab import REAL GEN1 GEN2 ..."),
        ("REAL A --line b", "--line: expected NAME=GEN1,GEN2,..., got 'b'"),
        ("REAL A --line model=B", "--line: there is a line 'model' already"),
        ("REAL A B --line other=B", "expected 2 generations of every line, as of the first, got other: 1"),
        ("REAL A --metrics nothing", "--metrics: unknown metric 'nothing'"),
        ("REAL A", "real images: REAL does not exist; check the path"),
    ],
)
def test_a_wrong_command_is_said(
    words: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    code, printed = command(f"import {words}", capsys)
    assert code in (1, 2) and said in printed


def test_the_command_writes_a_run_and_its_page(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    place = tmp_path / "theirs"
    sources = " ".join(shlex.quote(str(home / name)) for name in ("g0", "g1", "g2"))
    words = f"import {sources} --heldout {home}/heldout.npy -o {place} --label StyleGAN --metrics pixel_variance"
    code, said = command(f"{words} --line control={home}/arm1,{home}/arm2", capsys)
    assert code == 0 and f"run: {place}" in said and (place / "report" / "index.html").is_file()
    page = (place / "report" / "index.html").read_text()
    assert "StyleGAN" in page and "imported: their random seeds are not known" in page and "imagelab import " in page
    assert "from the same random seeds" not in page and "/config.json</code>" not in page
    assert RunFolder.open(place).shards() == [(0, -1), (1, 0), (1, 1), (2, 0), (2, 1)]


def grouped(home: Path, name: str, seed: int, tone: int = 0) -> str:
    """Save eight scenes of six nearly equal pictures each, named by the scene."""
    rng, folder = np.random.default_rng(seed), home / name
    folder.mkdir()
    for scene, level in enumerate(rng.integers(60, 180, 8) + tone):
        for row in range(6):
            pixels = np.clip(level + rng.integers(-6, 7, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"scene{scene:02d}_{row}.png")
    return str(folder)


def test_groups_widen_the_errors_and_are_not_divided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    real, made = grouped(tmp_path, "real", 0), grouped(tmp_path, "made", 1)
    words = f"import {real} {made} --metrics tone --images 24"
    code, said = command(f"{words} --group scene([0-9]+)_ -o by --table by.csv", capsys)
    assert code == 0 and "real images: 8 groups by 'scene([0-9]+)_'" in said
    import_loop(ForeignLoop(real, {"model": [made]}, images=24, metrics=("tone",)), tmp_path / "alone")
    by, alone = numbers(tmp_path / "by"), numbers(tmp_path / "alone")
    key = ("brightness", 1, 0)
    assert (by[key].stderr or 0) > 1.5 * (alone[key].stderr or 1)
    with np.load(tmp_path / "by/gen-000/groups.npz") as groups:
        assert not set(groups["train"]) & set(groups["heldout"])
    assert "--group" in RunFolder.open(tmp_path / "by").provenance[IMPORTED]["command"]
    rows = list(csv.DictReader((tmp_path / "by.csv").read_text().splitlines()))
    row = next(row for row in rows if row["Key"] == "brightness" and row["Generation"] == "1")
    value = float(row["Value"])
    assert value == by[key].value and float(row["95 % low"]) < value < float(row["95 % high"])
    _write_table(tmp_path / "by.tex", RunFolder.open(tmp_path / "by"), ["model"])
    table = (tmp_path / "by.tex").read_text()
    assert "model & 1 & brightness & " in table and "another training" in table and r"\bottomrule" in table
    code, said = command(f"import {real} {made} --group person([0-9]+) -o wrong", capsys)
    assert code == 1 and "real images" in said and "scene00_0.png" in said
    code, said = command(f"import {real} {made} --table numbers.txt", capsys)
    assert code == 2 and "--table: expected a name that ends in .md, .tex, .csv" in said
