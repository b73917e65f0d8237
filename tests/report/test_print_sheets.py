from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.pool import REAL
from imagelab.report.print_sheets import make_sheet, nearest_pairs, rare_sheet, write_sheet
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


def images(seed: int, count: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 16, 16), np.uint8)


def test_rows_are_generations_with_real_images_on_top(make_run: MakeRun):
    run = read_run(make_run(generations=3))
    sheet = make_sheet(run, "seeds")
    assert [row.caption for row in sheet.rows] == ["real", "generation 1", "generation 2", "generation 3"]
    np.testing.assert_array_equal(sheet.rows[2].images, run.pictures("tracked")[2])
    assert [row.caption for row in make_sheet(run, "photocopy", generations=[0, 3]).rows] == ["real", "generation 3"]
    assert len(make_sheet(run, "seeds", columns=2).rows[0].images) == 2


def test_changed_puts_first_what_changed_most(make_run: MakeRun):
    run = read_run(make_run(generations=3))
    rows = make_sheet(run, "changed").rows
    change = ((rows[0].images.astype(float) - rows[-1].images) ** 2).mean(axis=(1, 2, 3))
    assert (np.diff(change) <= 0).all() and change[0] > change[-1]


def test_the_nearest_real_image_is_found():
    real = images(0, 30)
    made = np.concatenate([images(1, 5), real[[7]]])
    rows, matches, distances = nearest_pairs(made, real, 3)
    assert (rows[0], matches[0], distances[0]) == (5, 7, 0.0)
    assert (np.diff(distances) >= 0).all() and len(rows) == 3


def test_nearest_shows_made_above_real(make_run: MakeRun):
    path = make_run(generations=1)
    made, real = images(2), images(3)
    for shard, pixels in (("gen-000", real), ("gen-001", made)):
        np.save(path / shard / "images.npy", pixels)
    sheet = make_sheet(read_run(path), "nearest", columns=2)
    rows, matches, distances = nearest_pairs(made, real, 2)
    np.testing.assert_array_equal(sheet.rows[0].images, made[rows])
    np.testing.assert_array_equal(sheet.rows[1].images, real[matches])
    assert sheet.heads == tuple(f"{distance:.1f}" for distance in distances)


def test_rare_says_when_an_attribute_was_last_seen(make_run: MakeRun):
    run = read_run(make_run(generations=2))
    face = images(4, 1)[0]
    seen = {"scar": {0: (face, True), 1: (face, True), 2: (face, False)}, "bindi": {g: (face, True) for g in range(3)}}
    sheet = rare_sheet(run, seen)
    assert [row.caption for row in sheet.rows] == ["scar (last seen: gen. 1)", "bindi"]
    assert sheet.heads == ("real", "gen. 1", "gen. 2")
    assert sheet.rows[0].images[2].mean() > sheet.rows[0].images[1].mean() + 40  # faded


def test_a_png_has_the_asked_width_in_millimetres_and_pure_enlarged_pixels(make_run: MakeRun, tmp_path: Path):
    run = read_run(make_run(generations=2))
    sheet = make_sheet(run, "seeds", columns=3)
    path = write_sheet(sheet, tmp_path / "grid.png", run, width=100, dpi=200)
    with Image.open(path) as opened:
        assert opened.width == round(100 / 25.4 * 200)
        assert opened.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        pixels = np.asarray(opened.convert("RGB"))
    scale = (opened.width - round(opened.width * 0.16)) // (3 * 17 - 1)
    left = opened.width - (3 * 17 - 1) * scale
    top = next(
        y for y in range(len(pixels)) if (pixels[y, left:] == sheet.rows[0].images[0][:, 0, 0]).all(1)[:scale].all()
    )
    shown = pixels[top : top + 16 * scale : scale, left : left + 16 * scale : scale]
    np.testing.assert_array_equal(shown, sheet.rows[0].images[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(pixels[top + scale - 1, left], pixels[top, left])


def test_beside_each_file_lies_its_description(make_run: MakeRun, tmp_path: Path):
    run = read_run(make_run(generations=1))
    for suffix in ("png", "svg", "pdf"):
        path = write_sheet(make_sheet(run, "photocopy"), tmp_path / f"grid-{suffix}.{suffix}", run)
        told = path.with_suffix(".txt").read_text()
        assert "Rows from top to bottom: real, generation 1" in told and "nothing smoothed" in told
    assert (tmp_path / "grid-pdf.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "grid-svg.svg").read_text()
    assert not list(tmp_path.glob("*.partial"))


def test_without_captions_there_are_pictures_alone(make_run: MakeRun, tmp_path: Path):
    run = read_run(make_run(generations=1))
    path = write_sheet(make_sheet(run, "seeds", columns=2), tmp_path / "bare.png", run, width=50, captions=False)
    with Image.open(path) as opened:
        assert opened.width % 33 == 0 and opened.width / opened.info["dpi"][0] * 25.4 == pytest.approx(50, abs=0.01)


@pytest.mark.parametrize(
    ("name", "width", "dpi", "said"),
    [("a.jpg", 170, 300, "ends in"), ("a.png", 5, 300, "20 to 2000 mm"), ("a.png", 20, 50, "never made smaller")],
)
def test_what_cannot_be_written_is_refused(
    name: str, width: float, dpi: int, said: str, make_run: MakeRun, tmp_path: Path
):
    run = read_run(make_run())
    with pytest.raises(ValueError, match=said):
        write_sheet(make_sheet(run, "seeds"), tmp_path / name, run, width, dpi)
    assert not list(tmp_path.glob("a.*"))


def test_pictures_that_are_not_there_are_named(make_run: MakeRun):
    run = read_run(make_run(generations=2, copies=False))
    with pytest.raises(ValueError, match="made no photocopy pictures"):
        make_sheet(run, "photocopy")
    with pytest.raises(ValueError, match="no pictures of generation 9; there are 0 to 2"):
        make_sheet(run, "seeds", generations=[9])
    with pytest.raises(ValueError, match="has lines 0, 1, got 4"):
        make_sheet(run, "seeds", line=4)
    assert (0, REAL) in run.shards
