"""Grids of pictures: rows of a page, and whole slides of 1920 x 1080 pixels.

Pictures are enlarged by whole pixels only (nearest neighbour), so nothing is invented or smoothed; every slide says
so, names its run and its generations in words and in its PNG text, and marks synthetic rows as synthetic.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..images import tile
from ..io.pictures import write_png
from .run_view import Run, plain, read_run

__all__ = ["LIMIT", "Row", "page_rows", "write_grids", "write_line", "writing"]

LIMIT = 1_000_000
"""The most bytes a slide's PNG may have, and the most that the pictures of one strip may add to a page."""

WIDTH, HEIGHT, MARGIN, CAPTION, TOP, BOTTOM, GAP = 1920, 1080, 60, 260, 150, 80, 6
PAGE_ROWS, MOST_ROWS, LEAST_COLUMNS = 16, 6, 4
INK, MUTED, PAPER = (23, 23, 23), (110, 110, 110), 255


@dataclass(frozen=True)
class Row:
    """One row of a strip for the page: its generation and its pictures, side by side, as a PNG data URI."""

    generation: int
    uri: str


def page_rows(pictures: Mapping[int, np.ndarray], columns: int = 8) -> tuple[list[Row], int]:
    """Return the strip's rows at one pixel a pixel (the page enlarges them), and how many columns they have.

    Args:
        pictures: generation -> uint8 [P,C,H,W]; of many generations PAGE_ROWS are shown, evenly spaced.
        columns: at most so many pictures a row; fewer where the strip would outgrow LIMIT bytes.
    """
    columns = min(columns, *(len(images) for images in pictures.values()))
    while True:
        encoded = {g: _row_png(pictures[g][:columns]) for g in _chosen(sorted(pictures), PAGE_ROWS)}
        total = sum(map(len, encoded.values()))
        if total <= LIMIT or columns == 1:
            break
        columns = max(1, min(columns - 1, columns * LIMIT // total))
    return [Row(g, "data:image/png;base64," + base64.b64encode(png).decode()) for g, png in encoded.items()], columns


def write_grids(run: Path, out: Path) -> list[Path]:
    """Write the slides of a run: strip.png, photocopy.png (where there are copies) and first-and-last.png.

    Args:
        run: a run folder. out: the folder for the PNGs, made if needed.

    Returns:
        The files written. None is larger than LIMIT bytes; rows and columns are left out to keep to that, never pixels.

    Raises:
        ValueError: if the run folder is damaged.
    """
    return draw_slides(read_run(Path(run)), Path(out))


def draw_slides(view: Run, out: Path) -> list[Path]:
    """Write the slides of a run that is read already; see :func:`write_grids`."""
    out.mkdir(parents=True, exist_ok=True)
    tracked, copies = view.pictures("tracked"), view.pictures("photocopy")
    label, written = view.model(0), []
    if tracked:
        title = f"{label}: images from the same random seeds, generation after generation"
        written.append(_slide(view, tracked, out / "strip.png", title, "a column shares its seed, real images do not"))
    if copies:
        title = f"{label}: a photocopy of a photocopy: each generation copies the copies before it"
        written.append(_slide(view, copies, out / "photocopy.png", title))
    either = copies or tracked
    if max(either, default=0) > 0:
        ends = {generation: either[generation] for generation in (min(either), max(either))}
        times = "photocopy" if view.last == 1 else f"photocopy, {view.last} times over"
        what = f"and their {times}" if copies else f"and what generation {view.last} draws"
        aside = "" if copies else "the columns are no counterparts"
        written.append(_slide(view, ends, out / "first-and-last.png", f"{label}: real images {what}", aside))
    return written


def caption(generation: int) -> str:
    """Return the words beside a row."""
    return "real" if generation == 0 else f"generation {generation}"


def _chosen(generations: Sequence[int], most: int) -> list[int]:
    """Return at most so many generations, evenly spaced, with the first and the last."""
    if len(generations) <= most:
        return list(generations)
    steps = np.linspace(0, len(generations) - 1, most).round().astype(int)
    return [generations[step] for step in steps]


def _slide(view: Run, pictures: Mapping[int, np.ndarray], path: Path, title: str, aside: str = "") -> Path:
    """Draw one slide, with as many rows and columns as fit the frame and the byte limit."""
    height, width = next(iter(pictures.values())).shape[2:]
    most = min(MOST_ROWS, max(2, (HEIGHT - TOP - BOTTOM) // (height + GAP)))
    chosen = {generation: pictures[generation] for generation in _chosen(sorted(pictures), most)}
    room = (HEIGHT - TOP - BOTTOM) // len(chosen) - GAP
    widest = (WIDTH - 2 * MARGIN - CAPTION) // LEAST_COLUMNS - GAP
    scale = max(1, min(room // height, widest // width))
    across = (WIDTH - 2 * MARGIN - CAPTION + GAP) // (width * scale + GAP)
    columns = max(1, min(across, *(len(images) for images in chosen.values())))
    while True:
        enlarged = "original pixels" if scale == 1 else f"every pixel enlarged {scale} × {scale}, nothing smoothed"
        remarks = (view.name, "imagelab", enlarged, "all rows but the first are synthetic images", aside)
        pixels = _compose(chosen, title, " · ".join(filter(None, remarks)), columns, scale)
        write_png(path, pixels, _text(view, chosen, title))
        if path.stat().st_size <= LIMIT or (columns == 1 and scale == 1):
            return path
        columns, scale = (columns - 1, scale) if columns > 1 else (columns, scale - 1)


def _compose(chosen: Mapping[int, np.ndarray], title: str, note: str, columns: int, scale: int) -> np.ndarray:
    rows = {g: tile(images[:columns], columns, scale, GAP, PAPER) for g, images in chosen.items()}
    high, wide = next(iter(rows.values())).shape[:2]
    size = max(WIDTH, MARGIN + CAPTION + wide + MARGIN), max(HEIGHT, TOP + len(rows) * (high + GAP) + BOTTOM)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    left = MARGIN + CAPTION + max(0, (WIDTH - 2 * MARGIN - CAPTION - wide) // 2)
    top = TOP + max(0, (HEIGHT - TOP - BOTTOM - len(rows) * (high + GAP) + GAP) // 2)
    write_line(draw, (MARGIN, 48), title, 40, INK, WIDTH - 2 * MARGIN, bold=True)
    for order, (generation, pixels) in enumerate(rows.items()):
        y = top + order * (high + GAP)
        canvas.paste(Image.fromarray(pixels), (left, y))
        draw.text((left - 24, y + high // 2), caption(generation), INK, writing(30, generation == 0), anchor="rm")
    write_line(draw, (MARGIN, canvas.height - 56), note, 22, MUTED, WIDTH - 2 * MARGIN)
    return np.asarray(canvas)


def write_line(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    room: int,
    bold: bool = False,
) -> None:
    """Write one line of text, made smaller, and at last cut, until it fits the room."""
    text = plain(text, 240)
    while size > 16 and draw.textlength(text, writing(size, bold)) > room:
        size -= 2
    while len(text) > 2 and draw.textlength(text, writing(size, bold)) > room:
        text = text[:-2] + "…"
    draw.text(at, text, colour, writing(size, bold))


def writing(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the typeface of all pictures that imagelab letters, in pixels."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / name, size)


def _text(view: Run, chosen: Mapping[int, np.ndarray], title: str) -> dict[str, str]:
    made = ", ".join(str(generation) for generation in chosen if generation > 0) or "none"
    return {
        "Title": plain(title, 200),
        "Software": f"imagelab {plain(view.provenance.get('imagelab', ''))}".strip(),
        "imagelab:run": view.name,
        "imagelab:generations": ", ".join(str(generation) for generation in chosen),
        "Description": (
            f"Rows of generation {made} are synthetic images made by a generative model ({view.label(0)}); "
            "the row marked real is generation 0, the images that the run began with."
        ),
        "Iptc4xmpExt:DigitalSourceType": "trainedAlgorithmicMedia",
    }


def _row_png(images: np.ndarray) -> bytes:
    """Encode pictures side by side; the gap is transparent, by a grey that no picture holds, where there is one."""
    grey = images if images.shape[1] == 1 else images[:, :1][(images == images[:, :1]).all(axis=1, keepdims=True)]
    free = np.setdiff1d(np.arange(255, -1, -1), grey)
    level = int(free[-1]) if len(free) else 255
    file = io.BytesIO()
    key = {"transparency": (level, level, level)} if len(free) else {}
    Image.fromarray(tile(images, len(images), gap=2, background=level)).save(file, "PNG", optimize=True, **key)
    return file.getvalue()
