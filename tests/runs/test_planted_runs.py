"""Runs with planted marks: the counter of generation 0, the blank arm, the page, and a counter that is too poor."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from imagelab import Experiment, Gaussian, Runtime, run
from imagelab.data import Dots, Glyph, Planted, Textures
from imagelab.io.pictures import read_npy
from imagelab.metrics.planted_counter import read_counter
from imagelab.report import write_report
from imagelab.report.planted import CountedThing, planted_counter
from imagelab.report.print_sheets import make_sheet
from imagelab.report.run_view import read_run
from imagelab.run_folder import RunFolder
from imagelab.runs import planted
from imagelab.runs.run import Note

RETINA = Textures(size=32, photos=("retina",))


def question(home: Path, **changes) -> Experiment:
    settings = {
        "name": "planted",
        "data": Planted(base=RETINA, mark=Dots(radius=1.3, number=2)),
        "generator": Gaussian(components=30),
        "generations": 1,
        "images": 60,
        "heldout": 60,
        "tracked": 4,
        "metrics": ("planted",),
        "runtime": Runtime(device="cpu", runs=home / "runs"),
    }
    return Experiment(**{**settings, **changes})


@pytest.fixture(scope="module", autouse=True)
def _small_lessons() -> None:
    planted.FITTED, planted.TESTED = 80, 60


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> RunFolder:
    asked = question(tmp_path_factory.mktemp("planted"), blank_twins=1)
    return run(asked, on_event=lambda event: told.append(event.text) if isinstance(event, Note) else None)


@pytest.fixture(scope="module")
def page(made: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(made.path, tmp_path_factory.mktemp("page")).read_text(encoding="utf-8")


def test_the_counter_and_its_card_are_part_of_generation_0_and_are_told(made: RunFolder, told: list[str]):
    counter = read_counter(made.file(0, -1, "counter.npz"))
    card = json.loads(made.file(0, -1, "counter.json").read_text(encoding="utf-8"))
    assert card["digest"] == counter.digest and {"counter.npz", "counter.json"} <= set(made.files(0, -1))
    tested = question(made.path).data.lesson("heldout", 60, 0).marks  # pyright: ignore[reportAttributeAccessIssue]
    least = min(float(mark[4]) for marks in tested for mark in marks)
    assert card["tables"]["recall by contrast to noise"][0]["from"] == round(least, 3)  # of held-out pictures
    assert any(text.startswith("Counter of dots, fitted on 80 real pictures of the reserve") for text in told)


def test_real_images_have_what_was_planted_and_the_blank_arm_was_trained_on_the_unmarked_twins(made: RunFolder):
    found = {(m.generation, m.line, m.name): m for m in made.measurements()}
    assert found[0, -1, "truth/marks"].value == 1.0 and found[0, -1, "truth/marks"].unit == "marks/image"
    assert found[0, -1, "planted/count"].value == pytest.approx(1.0, abs=0.1)
    twin, main = found[1, 1, "planted/count"].value, found[1, 0, "planted/count"].value
    assert twin is not None and main is not None and twin < 0.2 < main
    assert found[1, 0, "planted/twin"].value == twin
    plain = RETINA.load("train", 60, 0).images
    np.testing.assert_array_equal(read_npy(made.file(0, -1, "twins.npy")), plain)
    assert {m.name.partition("/")[0] for m in made.measurements() if m.line == 1} == {"planted"}


def test_a_changed_counter_is_refused(made: RunFolder, tmp_path: Path):
    copy = tmp_path / made.path.name
    shutil.copytree(made.path, copy)
    (copy / "gen-000" / "counter.npz").write_bytes(b"another counter")
    with pytest.raises(ValueError, match=r"counter\.npz"):
        planted_counter(read_run(copy))


def test_the_page_speaks_of_dots_and_shows_the_card(page: str):
    text = " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    assert "the counter finds" in text and " dots an image on the images that the PPCA draws" in text
    assert "of the same loop trained on images without dots" in text and "Dots found an image" in text
    assert "in a loop without dots" in text and "How the counter of dots was calibrated" in text
    assert "Counter of dots, fitted on 80 real pictures of the reserve, tested on 60 held-out ones" in text
    assert "recall by contrast to noise" in text and "Circle what the counter counts" in text
    assert "freckle" not in text.lower().replace("such as freckles", "")


def test_a_sheet_for_print_speaks_of_dots(made: RunFolder):
    sheet = make_sheet(read_run(made.path), "photocopy")
    assert all(row.aside.endswith(" dots a picture") for row in sheet.rows)
    assert "Dots a picture: what the counter of the run finds" in sheet.note
    assert "freckle" not in f"{sheet}".lower()


def test_the_circles_are_where_the_marks_are(made: RunFolder):
    counter, view = planted_counter(read_run(made.path)), read_run(made.path)
    assert counter is not None
    real = view.pictures("photocopy")[0]
    heldout = question(made.path).data.load("heldout", 60, 0)
    assert heldout.marks is not None
    rows = [int(np.flatnonzero((heldout.images == image).all(axis=(1, 2, 3)))[0]) for image in real]
    for spots, row in zip(counter.find(real), rows, strict=True):
        for x, y, *_ in heldout.marks[row]:
            assert np.hypot(spots[:, 0] - x, spots[:, 1] - y).min() < 1


def test_symbols_become_survival_curves_beside_drift(tmp_path: Path):
    symbols = Planted(base=RETINA, mark=Glyph(rates_of=(0.2, 0.04, 0.04), radius=3.5))
    folder = run(question(tmp_path, data=symbols, images=100))
    real = {m.name: m for m in folder.measurements() if m.generation == 0}
    assert real["truth/plus_symbol"].value == 0.04
    low, value, high = (getattr(real["symbols/plus_symbol"], part) for part in ("low", "value", "high"))
    assert low <= 0.04 <= high and value == pytest.approx(0.04, abs=0.03)
    text = write_report(folder.path, tmp_path / "page").read_text(encoding="utf-8")
    assert "plus symbol" in text and "Rare attributes are those that fewer than 5 % of real images have." in text
    assert "corrected for the counter’s misses" in text and "probes" not in text
    assert " symbols an image" in text and "How the counter of symbols was calibrated" in text


def test_a_run_whose_counter_is_too_poor_says_so_and_counts_nothing(tmp_path: Path):
    faint = Planted(base=Textures(size=32, photos=("grass",)), mark=Dots(contrast=-0.1, number=2), least_ratio=0)
    notes: list[str] = []
    folder = run(
        question(tmp_path, data=faint, metrics=("planted", "pixel_variance")),
        on_event=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    counted = [m for m in folder.measurements() if m.name.startswith("planted/")]
    assert counted and all(m.value is None and "dots of this dataset cannot be counted" in m.missing for m in counted)
    assert any(text.startswith("So nothing is counted: the dots of this dataset cannot be counted") for text in notes)
    text = write_report(folder.path, tmp_path / "page").read_text(encoding="utf-8")
    assert "The dots of this dataset cannot be counted: it finds" in text and "Circle what the counter" not in text


def test_texts_for_freckles_are_said_of_what_is_counted():
    said = "Spots counted on freckle-free faces; freckles a face"
    assert CountedThing("planted", "strokes").told(said) == "Strokes counted on unmarked images; strokes an image"
    assert CountedThing("freckles", "freckles").told(said) == said
