from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.report import write_grids
from imagelab.report.grids import LIMIT, page_rows

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
    noise = np.random.default_rng(0).integers(0, 256, (8, 3, 128, 128), dtype=np.uint8)
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
    assert shown[0] == 0 and shown[-1] == 100 and len(shown) == 16
    assert max(np.diff(shown)) - min(np.diff(shown)) <= 1


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
