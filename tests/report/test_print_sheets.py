from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from PIL import Image

from imagelab.data import Faces
from imagelab.measurement import Measurement
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckles import counts
from imagelab.pool import REAL
from imagelab.report.print_sheets import make_sheet, nearest_pairs, rare_sheet
from imagelab.report.run_view import read_run
from imagelab.report.sheet_layout import Sheet, SheetRow, sheet_figure, write_sheet

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


def with_tails(path: Path, shares: Mapping[str, Sequence[float]]) -> None:
    with (path / "metrics.jsonl").open("a") as file:
        for name, values in shares.items():
            for generation, value in enumerate(values):
                m = Measurement(f"tails/{name}", value, "share", n_fake=2000, stderr=0.001)
                file.write(m.at(generation, 0 if generation else REAL).to_json() + "\n")


def test_rare_dates_an_attribute_by_its_share_in_all_images_and_not_by_the_columns_shown(make_run: MakeRun):
    path = make_run(generations=4)
    with_tails(path, {"scar": (0.02, 0.02, 0.0, 0.0, 0.0), "bindi": (0.02,) * 5})
    face = images(4, 1)[0]
    shown = {
        "scar": {0: (face, True), 1: (face, True), 4: (face, False)},
        "bindi": {g: (face, True) for g in (0, 1, 4)},
    }
    sheet = rare_sheet(read_run(path), shown)
    assert [row.caption for row in sheet.rows] == ["scar", "bindi"]
    assert [row.aside for row in sheet.rows] == ["not measurable from gen. 2 on", "measurable in gen. 4"]
    assert sheet.heads == ("real", "gen. 1", "gen. 4")
    assert sheet.rows[0].images[2].mean() > sheet.rows[0].images[1].mean() + 40  # faded
    assert "scar: not measurable from gen. 2 on" in sheet.alt and "among all 2,048 images" in sheet.note
    wide = rare_sheet(read_run(path), shown, wide=True)
    assert wide.heads == ("scar: not measurable from gen. 2 on", "bindi: measurable in gen. 4")


def test_rare_gives_no_date_where_no_share_was_measured(make_run: MakeRun):
    face = images(4, 1)[0]
    sheet = rare_sheet(read_run(make_run(generations=1)), {"hair_bald": {0: (face, True), 1: (face, False)}})
    assert [(row.caption, row.aside) for row in sheet.rows] == [("bald head", "")] and "Measurable" not in sheet.note


def test_rows_state_what_the_counter_finds_in_their_pictures(make_run: MakeRun):
    faces = Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 8, 7).images
    card = {"freckle_calibration": {"digest": shipped_calibration(64).digest}}
    run = read_run(make_run(generations=2, faces=faces, provenance=card))
    for kind in ("photocopy", "changed", "seeds"):
        sheet = make_sheet(run, kind, columns=3)
        assert [row.aside for row in sheet.rows] == [
            f"{counts(row.images).mean():.1f} freckles a picture" for row in sheet.rows
        ]
        assert "in the pictures of the row" in sheet.note and sheet.rows[0].aside in sheet.alt


class Extents(Artist):
    """Takes down the box of every text of a figure, in pixels, with whichever renderer draws it."""

    def __init__(self, figure: Figure):
        super().__init__()
        self.sheet, self.size = figure, (0.0, 0.0)
        self.boxes: list[tuple[str, Any]] = []

    def draw(self, renderer: Any) -> None:
        self.boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in self.sheet.texts]
        self.size = self.sheet.bbox.width, self.sheet.bbox.height
        pictures = self.sheet.axes[0].get_position()
        self.boxes.append(("pictures", pictures.transformed(Affine2D().scale(*self.size))))


LONG = "a model whose name is rather long, and says what it does"
WORD = "Donaudampfschifffahrtsgesellschaftskapitänswitwe"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize(("width", "dpi"), [(88, 300), (120, 300), (170, 300), (170, 110), (210, 200)])
@pytest.mark.parametrize("names", ["short", "long", "long, no heads"])
def test_no_text_leaves_a_sheet_or_meets_another(
    suffix: str, width: int, dpi: int, names: str, make_run: MakeRun, tmp_path: Path
):
    long = names != "short"
    run = read_run(make_run("photocopy-1a2b3c4d" + "-run" * 10 * (long), generations=12))
    faces = np.random.default_rng(0).integers(0, 256, (7, 3, 64, 64), np.uint8)
    caption = f"generation 10{f' {WORD} {LONG}' if long else ''}"
    rows = tuple(SheetRow(caption, faces, "not measurable from gen. 10 on") for _ in range(4))
    heads = tuple(f"gen. {k}{f' {WORD}' if long and k == 3 else ''}" for k in range(7) if "no heads" not in names)
    sheet = Sheet(f"{LONG if long else 'VAE'}: the photocopies that changed most", rows, heads, "Aside. " * 20, "")
    figure = sheet_figure(sheet, run, width, dpi)
    figure.add_artist(extents := Extents(figure))
    figure.savefig(tmp_path / f"sheet.{suffix}", format=suffix, dpi=dpi)
    high, wide = extents.size[1], extents.size[0]
    assert wide > 200 and len(extents.boxes) > 1 + len(heads) + 8 + 1
    for text, box in extents.boxes:
        assert box.x0 >= 0.006 * wide and box.x1 <= 0.994 * wide and box.y0 > 0 and box.y1 < high, text
    for (text, one), (other, two) in itertools.combinations(extents.boxes, 2):
        free = one.x1 <= two.x0 or two.x1 <= one.x0 or one.y1 <= two.y0 or two.y1 <= one.y0
        assert free, f"{text!r} meets {other!r}"
    said = " ".join(text for text, _ in extents.boxes).replace("\n", " ")
    assert "All images except real ones are synthetic." in said and run.name[:40] in said and "…" not in said


def test_a_png_has_the_asked_width_in_millimetres_and_pure_enlarged_pixels(make_run: MakeRun, tmp_path: Path):
    run = read_run(make_run(generations=2))
    sheet = make_sheet(run, "seeds", columns=3)
    path = write_sheet(sheet, tmp_path / "grid.png", run, width=100, dpi=200)
    with Image.open(path) as opened:
        assert opened.width == round(100 / 25.4 * 200)
        assert opened.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        pixels = np.asarray(opened.convert("RGB"))
    edge, first = round(4 / 72 * 200), sheet.rows[0].images[0]
    for scale in range(16, 0, -1):
        left = len(pixels[0]) - edge - (3 * 17 - 1) * scale
        corner = pixels[:, left : left + scale] == first[:, 0, 0]
        if left > 0 and (tops := [y for y in range(len(pixels)) if corner[y : y + scale].all()]):
            break
    else:
        pytest.fail("no whole-number enlargement of the first picture ends at the edge")
    top = tops[0]
    assert scale > 8
    shown = pixels[top : top + 16 * scale : scale, left : left + 16 * scale : scale]
    np.testing.assert_array_equal(shown, first.transpose(1, 2, 0))
    np.testing.assert_array_equal(pixels[top + scale - 1, left], pixels[top, left])


def test_beside_each_file_lies_its_description(make_run: MakeRun, tmp_path: Path):
    run = read_run(make_run(generations=1))
    for suffix in ("png", "svg", "pdf"):
        path = write_sheet(make_sheet(run, "photocopy"), tmp_path / f"grid-{suffix}.{suffix}", run)
        told = path.with_suffix(".txt").read_text()
        assert (
            "Rows from top to bottom: real; generation 1" in told
            and "nothing smoothed" in told
            and "12\u00a0×\u00a012" in told
        )
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
