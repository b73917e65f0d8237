"""Grids of pictures: rows of a page, and slides of 1920 x 1080 pixels.

Pictures are enlarged by whole pixels only (nearest neighbour), so nothing is smoothed or added. Every slide says so,
names its run and its generations, in the picture and in its PNG text, and states which rows are synthetic.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..images import tile
from ..io.pictures import write_png
from .lettering import LINE, fitted_lines, writing
from .pictured import Pictured, pictured
from .run_view import Run, plain, read_run

__all__ = ["LIMIT", "Row", "counted_words", "evenly_spaced", "page_rows", "write_grids", "write_line"]

LIMIT = 1_000_000
"""The largest size in bytes of the file of a slide, and of all pictures of one strip on a page."""

GAP_OF_ROW = 2  # px between the pictures of a row of a page

WIDTH, HEIGHT, MARGIN, CAPTION, TOP, BOTTOM, GAP = 1920, 1080, 60, 260, 150, 80, 6
PAGE_ROWS, MOST_ROWS, LEAST_COLUMNS = 16, 6, 4
LEAST_SIZE = 10  # px: text that does not fit is made no smaller than this
INK, MUTED, PAPER = (23, 23, 23), (110, 110, 110), 255
COUNTED = "a picture: what the counter of the run finds in the pictures shown"


@dataclass(frozen=True)
class Row:
    """One row of a strip for the page: its generation and its pictures, side by side, as a data URI (lossless WebP)."""

    generation: int
    uri: str


def page_rows(pictures: Mapping[int, np.ndarray], columns: int = 8) -> tuple[list[Row], int]:
    """Return the rows of a strip at their original size (the page enlarges them), and their number of columns.

    Args:
        pictures: generation -> uint8 [P,C,H,W]; at most PAGE_ROWS generations are shown, evenly spaced.
        columns: the largest number of pictures per row; fewer if the strip would exceed LIMIT bytes.
    """
    columns = min(columns, *(len(images) for images in pictures.values()))
    while True:
        encoded = {g: _row_webp(pictures[g][:columns]) for g in evenly_spaced(sorted(pictures), PAGE_ROWS)}
        total = sum(map(len, encoded.values()))
        if total <= LIMIT or columns == 1:
            break
        columns = max(1, min(columns - 1, columns * LIMIT // total))
    return [Row(g, "data:image/webp;base64," + base64.b64encode(each).decode()) for g, each in encoded.items()], columns


def write_grids(run: Path, out: Path) -> list[Path]:
    """Write the slides of a run: strip.png, photocopy.png (if there are copies) and first-and-last.png.

    Args:
        run: a run folder.
        out: the folder for the PNG files; created if needed.

    Returns:
        The files written. To keep each within LIMIT bytes, columns are left out first, then the enlargement is lowered;
        pictures are never made smaller than the original.

    Raises:
        ValueError: if the run folder is damaged.
    """
    return draw_slides(read_run(Path(run)), Path(out))


def draw_slides(view: Run, out: Path) -> list[Path]:
    """Write the slides of a run that has already been read; see :func:`write_grids`."""
    out.mkdir(parents=True, exist_ok=True)
    tracked, copies = view.pictures("tracked"), view.pictures("photocopy")
    label, written = view.model(0), []
    if tracked:
        which = "from the same random seeds" if view.same_seeds else "in the same places of their sets"
        title = f"{label}: images {which}, generation after generation"
        aside = "each column has one seed; real images have none" if view.same_seeds else "imported"
        written.append(_slide(view, tracked, out / "strip.png", title, aside))
    if copies:
        title = f"{label}, a photocopy of a photocopy: each generation copies the copies before it"
        written.append(_slide(view, copies, out / "photocopy.png", title))
    either, copied = view.pictures(view.leading), view.leading == "photocopy"
    if max(either, default=0) > 0:
        ends = {generation: either[generation] for generation in (min(either), max(either))}
        times = "photocopy" if view.last == 1 else f"photocopy, {view.last} times over"
        what = f"and their {times}" if copied else f"and what generation {view.last} draws"
        aside = "" if copied else "the images in a column do not correspond"
        written.append(_slide(view, ends, out / "first-and-last.png", f"{label}: real images {what}", aside))
    return written


def caption(generation: int) -> str:
    """Return the label of a row."""
    return "real" if generation == 0 else f"generation {generation}"


def evenly_spaced(generations: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` generations with equal steps up to the last one; the first two come before them.

    The first one is real images, the second one the first model: both are always of interest. A step that divides the
    number of generations is preferred if it shows at least three quarters of what the smallest possible step shows.

    Args:
        generations: in order, real images (0) first.
        most: at least 1; for 1, the last one alone.

    Example:
        >>> evenly_spaced(range(11), 8), evenly_spaced(range(101), 16)
        ([0, 1, 2, 4, 6, 8, 10], [0, 1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
    """
    last = len(generations) - 1
    if last < most:
        return list(generations)
    if most < 3:
        return [generations[k] for k in ((last,), (0, last))[most - 1]]
    steps = {step: sorted({0, 1, *range(last, 0, -step)}) for step in range(1, last + 1)}
    able = {step: places for step, places in steps.items() if len(places) <= most}
    least = min(able)
    whole = [step for step in able if last % step == 0 and 4 * len(able[step]) >= 3 * len(able[least])]
    return [generations[place] for place in able[min(whole, default=least)]]


def _slide(view: Run, pictures: Mapping[int, np.ndarray], path: Path, title: str, aside: str = "") -> Path:
    """Draw one slide with as many rows and columns as fit into the frame and the limit of bytes."""
    height, width = next(iter(pictures.values())).shape[2:]
    most = min(MOST_ROWS, max(2, (HEIGHT - TOP - BOTTOM) // (height + GAP)))
    chosen = {generation: pictures[generation] for generation in evenly_spaced(sorted(pictures), most)}
    counted = pictured(view, chosen)
    room = (HEIGHT - TOP - BOTTOM) // len(chosen) - GAP
    widest = (WIDTH - 2 * MARGIN - CAPTION) // LEAST_COLUMNS - GAP
    scale = max(1, min(room // height, widest // width))
    across = (WIDTH - 2 * MARGIN - CAPTION + GAP) // (width * scale + GAP)
    columns = max(1, min(across, *(len(images) for images in chosen.values())))
    while True:
        enlarged = "original pixels" if scale == 1 else f"every pixel enlarged {scale} × {scale}, nothing smoothed"
        remarks = (view.name, "imagelab", enlarged, "all rows except the first are synthetic images", aside)
        note = " · ".join(filter(None, (*remarks, f"{counted.word} {COUNTED}" if counted else "")))
        pixels = _compose(chosen, (title, note), counted, columns, scale)
        write_png(path, pixels, _text(view, chosen, title), "mixture")
        if path.stat().st_size <= LIMIT or (columns == 1 and scale == 1):
            return path
        columns, scale = (columns - 1, scale) if columns > 1 else (columns, scale - 1)


def _compose(
    chosen: Mapping[int, np.ndarray], said: tuple[str, str], counted: Pictured | None, columns: int, scale: int
) -> np.ndarray:
    """Return a slide, uint8 [height,width,3]; ``said`` is its title and its note."""
    rows = {g: tile(images[:columns], columns, scale, GAP, PAPER) for g, images in chosen.items()}
    high, wide = next(iter(rows.values())).shape[:2]
    size = max(WIDTH, MARGIN + CAPTION + wide + MARGIN), max(HEIGHT, TOP + len(rows) * (high + GAP) + BOTTOM)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    left = MARGIN + CAPTION + max(0, (WIDTH - 2 * MARGIN - CAPTION - wide) // 2)
    top = TOP + max(0, (HEIGHT - TOP - BOTTOM - len(rows) * (high + GAP) + GAP) // 2)
    write_line(draw, (MARGIN, 44), said[0], 40, INK, WIDTH - 2 * MARGIN, bold=True, lines=2)
    for order, (generation, pixels) in enumerate(rows.items()):
        y = top + order * (high + GAP)
        canvas.paste(Image.fromarray(pixels), (left, y))
        middle = y + high // 2 - (14 if counted else 0)
        draw.text((left - 24, middle), caption(generation), INK, writing(30, generation == 0), anchor="rm")
        if counted:
            draw.text((left - 24, middle + 34), counted_words(counted, generation, columns), MUTED, writing(20), "rm")
    write_line(draw, (MARGIN, canvas.height - 62), said[1], 22, MUTED, WIDTH - 2 * MARGIN, lines=2)
    return np.asarray(canvas)


def counted_words(counted: Pictured, generation: int, shown: int | None = None) -> str:
    """Return what the counter finds in a row of pictures, as text: "4.6 freckles a picture"."""
    return f"{counted.words(generation, shown)} {counted.word} a picture"


def write_line(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    room: int,
    bold: bool = False,
    lines: int = 1,
) -> int:
    """Write text into a box of so many lines; if it is too long, smaller and in more lines, and never cut.

    Args:
        draw: of the picture.
        at: the upper left corner, px.
        text: one paragraph.
        size: of the letters, px.
        colour: of the letters.
        room: the width of the box, px.
        bold: whether the letters are bold.
        lines: of this size that the box is high.

    Returns:
        The lower edge of the text, px.
    """
    sizes = range(size, min(size, LEAST_SIZE) - 1, -1)
    fitted, written = fitted_lines(plain(text, 2000), sizes, room, lines * size * LINE, bold)
    x, y = at
    for order, line in enumerate(written):
        draw.text((x, y + round(order * fitted * LINE)), line, colour, writing(round(fitted), bold))
    return y + round(len(written) * fitted * LINE)


def _text(view: Run, chosen: Mapping[int, np.ndarray], title: str) -> dict[str, str]:
    made = ", ".join(str(generation) for generation in chosen if generation > 0) or "none"
    return {
        "Title": plain(title, 200),
        "Software": f"imagelab {plain(view.provenance.get('imagelab', ''))}".strip(),
        "imagelab:run": view.name,
        "imagelab:generations": ", ".join(str(generation) for generation in chosen),
        "Description": (
            f"Rows of generation {made} are synthetic images made by a generative model ({view.label(0)}); "
            "the row labelled real is generation 0, the images with which the run began."
        ),
    }


def _row_webp(images: np.ndarray) -> bytes:
    """Encode pictures side by side as lossless WebP, a fifth smaller than PNG; the gap between them is transparent."""
    whole = tile(images, len(images), gap=GAP_OF_ROW)
    seen = tile(np.full_like(images[:, :1], 255), len(images), gap=GAP_OF_ROW, background=0)[..., :1]
    file = io.BytesIO()
    pixels = np.concatenate([whole, seen], axis=2)
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=90, method=4, exact=True)
    return file.getvalue()
