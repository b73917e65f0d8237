from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imagelab.data import Faces
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckles import counts
from imagelab.report import write_grids
from imagelab.report.grids import LIMIT, _slide, evenly_spaced, page_rows, write_line
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


def test_slides_are_sixteen_by_nine_and_small(make_run: MakeRun, tmp_path: Path) -> None:
    written = write_grids(make_run(generations=10), tmp_path / "slides")
    assert [path.name for path in written] == ["strip.png", "photocopy.png", "first-and-last.png"]
    for path in written:
        assert Image.open(path).size == (1920, 1080)
        assert path.stat().st_size < LIMIT


def test_slides_name_their_run_and_say_what_is_synthetic(make_run: MakeRun, tmp_path: Path) -> None:
    for path in write_grids(make_run(generations=2), tmp_path):
        text = Image.open(path).info
        assert text["imagelab:run"] == "photocopy-1a2b3c4d"
        assert "synthetic" in text["Description"]
        assert text["imagelab:generations"].startswith("0, ")


def test_slides_hold_the_very_pixels_enlarged_and_not_smoothed(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(generations=1)
    first = np.load(run / "gen-001" / "probe.npy")[0].transpose(1, 2, 0)
    slide = np.asarray(Image.open(write_grids(run, tmp_path)[0]))
    for scale in range(1, 40):
        corner = first.repeat(scale, 0).repeat(scale, 1)
        rows, columns = np.nonzero((slide[: 1080 - len(corner)] == corner[0, 0]).all(axis=2))
        for y, x in zip(rows, columns, strict=True):
            if np.array_equal(slide[y : y + len(corner), x : x + len(corner)], corner):
                return
    pytest.fail("no whole-number enlargement of the first picture is on the slide")


def test_a_run_with_real_images_only_has_one_row_and_no_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    assert [path.name for path in write_grids(make_run(generations=0), tmp_path)] == ["strip.png"]


def test_page_rows_drop_columns_and_never_pixels_to_stay_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 3, 72, 72), dtype=np.uint8)
    rows, columns = page_rows(dict.fromkeys(range(11), noise), 8)
    assert 1 <= columns < 8 and len(rows) == 11
    assert sum(len(row.uri) for row in rows) < 1.4 * LIMIT
    assert page_rows({0: noise}, 3)[1] == 3


def test_grey_images_make_slides_too(make_run: MakeRun, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (4, 1, 16, 16), dtype=np.uint8)
    assert len(write_grids(make_run(faces=grey), tmp_path)) == 3


def test_hostile_labels_do_not_stop_a_slide(make_run: MakeRun, tmp_path: Path) -> None:
    assert len(write_grids(make_run(generations=1, labels=("🙂\n" * 200,)), tmp_path)) == 3


def test_of_a_hundred_generations_some_are_shown_with_the_first_and_the_last() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    shown = [row.generation for row in page_rows(dict.fromkeys(range(101), noise))[0]]
    assert shown == [0, 1, *range(10, 101, 10)]


@pytest.mark.parametrize(
    ("last", "most", "shown"),
    [
        (7, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (10, 8, [0, 1, 2, 4, 6, 8, 10]),
        (10, 7, [0, 1, 2, 4, 6, 8, 10]),
        (10, 6, [0, 1, 5, 10]),
        (11, 8, [0, 1, 3, 5, 7, 9, 11]),
        (20, 8, [0, 1, 4, 8, 12, 16, 20]),
        (50, 16, [0, 1, *range(5, 51, 5)]),
        (10, 2, [0, 10]),
        (10, 1, [10]),
        (0, 8, [0]),
    ],
)
def test_the_generations_shown_have_equal_steps(last: int, most: int, shown: list[int]) -> None:
    assert evenly_spaced(range(last + 1), most) == shown


def test_steps_are_equal_after_the_first_model_and_never_more_than_asked_for() -> None:
    for last in range(2, 130):
        for most in (3, 6, 7, 8, 16):
            shown = evenly_spaced(range(last + 1), most)
            assert shown[:2] == [0, 1] and shown[-1] == last and len(shown) <= max(most, 3)
            assert len(set(np.diff(shown[2:]))) <= 1


@pytest.mark.parametrize("label", ["VAE", "a model with a rather long name, which somebody has given it"])
@pytest.mark.parametrize("generations", [2, 100])
def test_no_text_leaves_a_slide_is_cut_or_meets_another(
    label: str, generations: int, make_run: MakeRun, tmp_path: Path, drawn_text: Any
) -> None:
    run = read_run(make_run("photocopy-" + "many-words-" * 8, generations=generations, labels=(label,)))
    for kind in ("tracked", "photocopy"):
        drawn_text.clear()
        title = f"{run.model(0)}, a photocopy of a photocopy: each generation copies the copies before it"
        aside = "each column has one seed; real images have none"
        _slide(run, run.pictures(kind), tmp_path / f"{kind}.png", title, aside)
        words = drawn_text.words.replace("- ", "-")
        assert "all rows except the first are synthetic images" in words and aside in words and run.name in words
        assert run.model(0) in words and "copies before it" in words
        assert drawn_text.inside(1920, 1080) and drawn_text.apart()


def test_text_that_is_too_long_for_its_line_is_smaller_and_whole(drawn_text: Any) -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (300, 60), "white"))
    text = "All images except real ones are synthetic."
    assert write_line(draw, (4, 4), text, 24, (0, 0, 0), 290) <= 4 + 29
    assert drawn_text.words == text and drawn_text.inside(295, 60) and drawn_text.apart()


def test_slides_state_what_the_counter_finds_in_their_pictures(
    make_run: MakeRun, tmp_path: Path, drawn_text: Any
) -> None:
    faces = Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 6, 7).images
    card = {"freckle_calibration": {"digest": shipped_calibration(64).digest}}
    run = read_run(make_run(generations=2, faces=faces, provenance=card))
    _slide(run, run.pictures("photocopy"), tmp_path / "slide.png", "Copies")
    shown = 5  # of 64 px, enlarged four times, in a row of three
    wanted = [counts(run.pictures("photocopy")[g][:shown]).mean() for g in range(3)]
    said = [text for text, _ in drawn_text if text.endswith("freckles a picture")]
    assert said == [f"{mean:.1f} freckles a picture" for mean in wanted] and wanted[0] > wanted[2]
    assert "in the pictures shown" in drawn_text.words and drawn_text.apart()


def test_gaps_between_pictures_are_transparent_and_pictures_are_not() -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 8, 8), dtype=np.uint8)
    rows, _ = page_rows({0: images})
    row = Image.open(io.BytesIO(base64.b64decode(rows[0].uri.partition(",")[2]))).convert("RGBA")
    alpha = np.asarray(row)[:, :, 3]
    assert (alpha[:, 8:10] == 0).all() and (alpha[:, :8] == 255).all() and (alpha[:, 10:18] == 255).all()


def test_large_pictures_give_slides_of_few_rows_and_whole_pixels(make_run: MakeRun, tmp_path: Path) -> None:
    large = np.kron(np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)), np.ones((48, 48))).astype(np.uint8)
    for path in write_grids(make_run(generations=4, faces=large), tmp_path):
        assert Image.open(path).size == (1920, 1080)
        assert Image.open(path).info["imagelab:generations"] == "0, 4"
