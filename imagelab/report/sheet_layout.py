"""The layout of a sheet: pictures on whole dots, and text that was measured with its font and broken by width.

No text leaves the sheet or meets another one, whatever the width of the sheet and the length of the names: captions are
made smaller first, then broken into lines; where the lines need more height than the pictures, rows move apart.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..images import tile
from ..io.atomic import write_atomic, written_whole
from ..io.marks import SOURCE_TYPES, png_marks, svg_marks
from .lettering import FONT, LINE, Measure, dotted_width, fitted_lines, wrapped
from .numbers import NBSP
from .palette import LIGHT
from .run_view import Run, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Sheet", "SheetRow", "sheet_figure", "write_sheet"]

FORMATS = ("png", "svg", "pdf")
MILLIMETRES = 25.4  # per inch
POINTS = 72  # per inch, the unit of all text
GAP = 1  # original pixels between pictures
EDGE = 4.0  # points between the text and the edge of the sheet
ASCENT = 0.95  # of a line: from its upper edge to its base, in units of its size
NEXT = 5.0  # points between a caption and the pictures of its row
CAPTIONS = (0.16, 0.28)  # least and largest share of the width for the captions of the rows
LETTERS = 400  # of a caption at most: what comes from a run may have any length
TITLES, HEADS, NOTES = (10.0, 9.5, 9.0, 8.5, 8.0), (7.0, 6.5, 6.0, 5.5, 5.0), 6.0
SYNTHETIC = "All images except those of the row or column called real are synthetic, made by a generative model."
ROWS = ((7.5, 6.5), (7.0, 6.0), (6.5, 6.0), (6.5, 5.5), (6.0, 5.0), (5.5, 5.0), (5.0, 5.0))
"""Sizes of the caption of a row and of its second line, in points, largest first."""


@dataclass(frozen=True)
class SheetRow:
    """One row: its caption, uint8 [K,C,H,W] pictures, and what is said of them below the caption."""

    caption: str
    images: np.ndarray
    aside: str = ""


@dataclass(frozen=True)
class Sheet:
    """A grid of pictures with its text.

    Attributes:
        title: one line.
        rows: the rows from top to bottom.
        heads: a caption for each column; empty for none.
        note: what a reader must know to understand it.
        alt: a description of the whole sheet.
    """

    title: str
    rows: tuple[SheetRow, ...]
    heads: tuple[str, ...]
    note: str
    alt: str


@dataclass(frozen=True)
class _Writing:
    """One piece of text: its lines, its place in points from the upper left corner, and its style."""

    lines: Sequence[str]
    x: float
    y: float
    size: float
    style: dict[str, Any]

    @property
    def height(self) -> float:
        return len(self.lines) * self.size * LINE


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a sheet: uint8 [height,width,3] for each row, and their enlargement."""

    bands: Sequence[np.ndarray]
    scale: int

    @property
    def gap(self) -> int:
        return GAP * self.scale

    def together(self, pitch: int) -> np.ndarray:
        """Return the rows below each other, one every ``pitch`` dots."""
        wide, free = self.bands[0].shape[1], pitch - self.bands[0].shape[0]
        white = np.full((free, wide, 3), 255, np.uint8)
        return np.concatenate([part for band in self.bands for part in (band, white)][:-1])


def write_sheet(sheet: Sheet, out: Path, run: Run, width: float = 170.0, dpi: int = 300, captions: bool = True) -> Path:
    """Write a sheet and the text that describes it, ``NAME.txt``.

    Args:
        sheet: the sheet.
        out: the file, .png, .svg or .pdf.
        run: the run that the note names.
        width: the width of the whole sheet in millimetres.
        dpi: dots per inch of the pictures (PNG: of the whole file).
        captions: whether text is drawn into the file; without it the file contains the pictures alone.

    Returns:
        ``out``.

    Raises:
        ValueError: for another suffix, a width outside 20 to 2000 mm or dpi outside 50 to 2400.
    """
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(f"{out}: expected a name that ends in .png, .svg or .pdf, got {out.suffix!r}")
    if not 20 <= width <= 2000 or not 50 <= dpi <= 2400:
        raise ValueError(f"sheet: expected a width of 20 to 2000 mm and 50 to 2400 dpi, got {width:g} mm and {dpi} dpi")
    dots = round(width / MILLIMETRES * dpi)
    pictures = _pictures(sheet, _room(sheet, dots, dpi) if captions else dots)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as partial:
        if captions:
            figure = _figure(sheet, pictures, dots, dpi, _note(sheet, run, pictures.scale))
            _save(figure, partial, suffix, dpi, sheet)
        else:
            _bare(pictures.together(pictures.bands[0].shape[0] + pictures.gap), partial, suffix, width, sheet)
    note = _note(sheet, run, pictures.scale)
    write_atomic(out.with_suffix(".txt"), f"{sheet.title}\n\n{sheet.alt}\n\n{note}\n")
    return out


def sheet_figure(sheet: Sheet, run: Run, width: float, dpi: int) -> Figure:
    """Return a sheet with its text as a matplotlib figure, ``width`` in millimetres; see :func:`write_sheet`."""
    dots = round(width / MILLIMETRES * dpi)
    pictures = _pictures(sheet, _room(sheet, dots, dpi))
    return _figure(sheet, pictures, dots, dpi, _note(sheet, run, pictures.scale))


def _note(sheet: Sheet, run: Run, scale: int) -> str:
    enlarged = (
        f"Every pixel enlarged {scale}{NBSP}×{NBSP}{scale}, nothing smoothed." if scale > 1 else "Original pixels."
    )
    return f"{sheet.note}{enlarged} All images except real ones are synthetic. {plain(run.name, 60)}, imagelab."


def _room(sheet: Sheet, dots: int, dpi: int) -> int:
    """Return how many dots the pictures may be wide: what the longest word of a caption leaves, within CAPTIONS."""
    words = [(word, ROWS[0][0]) for row in sheet.rows for word in plain(row.caption, LETTERS).split(" ")]
    words += [(word, ROWS[0][1]) for row in sheet.rows for word in plain(row.aside, LETTERS).split(" ")]
    wide, longest = dots / dpi * POINTS, max(dotted_width(dpi)(*word, False) for word in words)
    captions = min(max(EDGE + longest + NEXT, CAPTIONS[0] * wide), CAPTIONS[1] * wide)
    return dots - round((captions + EDGE) * dpi / POINTS)


def _pictures(sheet: Sheet, across: int) -> _Pictures:
    """Lay out the rows at the largest whole enlargement that fits into ``across`` dots."""
    columns = max(len(row.images) for row in sheet.rows)
    wide = columns * (sheet.rows[0].images.shape[3] + GAP) - GAP
    scale = across // wide
    if scale < 1:
        raise ValueError(
            f"sheet: {columns} pictures need {wide} dots of width, the sheet has {max(across, 0)}. Show fewer "
            "columns, or raise the width or the dpi; pictures are never made smaller."
        )
    return _Pictures([tile(row.images, columns, scale, GAP * scale) for row in sheet.rows], scale)


def _figure(sheet: Sheet, pictures: _Pictures, dots: int, dpi: int, note: str) -> Figure:
    """Draw the sheet; the pictures are placed on whole dots, so that none of their pixels is interpolated."""
    from matplotlib.figure import Figure

    unit, (high, wide) = dpi / POINTS, pictures.bands[0].shape[:2]  # unit: dots a point
    measure = dotted_width(dpi)
    across, left = dots / unit - 2 * EDGE, dots - wide - round(EDGE * unit)
    size, lines = fitted_lines(plain(sheet.title, LETTERS), TITLES, across, TITLES[0] * LINE, True, measure)
    title = _Writing(lines, EDGE, EDGE, size, {"weight": "bold"})
    heads = _heads(sheet, left / unit, wide / unit, title.y + title.height + EDGE, measure)
    bottom = max((head.y + head.height for head in heads), default=title.y + title.height + EDGE)
    captions, block = _captions(sheet, left / unit - NEXT - EDGE, (high + pictures.gap) / unit - 1, measure)
    over = max(0.0, (block - high / unit) / 2)  # what the captions need above and below their rows
    top = round((bottom + over + EDGE / 2) * unit)
    pitch = max(high + pictures.gap, round((block + 2) * unit))
    pixels = pictures.together(pitch)
    rows = [
        _Writing(lines, left / unit - NEXT, y + (top + k * pitch + high / 2) / unit, size, style)
        for k, pieces in enumerate(captions)
        for lines, y, size, style in pieces
    ]
    foot = (top + len(pixels)) / unit + over + EDGE
    said = _Writing(wrapped(note, NOTES, across, False, measure), EDGE, foot, NOTES, {"color": LIGHT.muted})
    height = round((said.y + said.height + EDGE) * unit)
    figure = Figure(figsize=(dots / dpi, height / dpi), dpi=dpi)
    axes = figure.add_axes((left / dots, 1 - (top + len(pixels)) / height, wide / dots, len(pixels) / height))
    axes.imshow(pixels, interpolation="none", aspect="auto")
    axes.set_axis_off()
    for each in (title, *heads, *rows, said):
        for order, line in enumerate(each.lines):
            base = each.y + each.size * (order * LINE + ASCENT)
            style = {"fontsize": each.size, "family": FONT, "parse_math": False, **each.style}
            figure.text(each.x * unit / dots, 1 - base * unit / height, line, va="baseline", **style)
    return figure


def _heads(sheet: Sheet, left: float, wide: float, top: float, measure: Measure) -> list[_Writing]:
    """Return the heads of the columns, all of one size, their last lines at one height."""
    if not sheet.heads:
        return []
    column = wide / len(sheet.heads)
    heads = [plain(head, LETTERS) for head in sheet.heads]
    size = min(fitted_lines(head, HEADS, column - 3, 3 * HEADS[0] * LINE, False, measure)[0] for head in heads)
    broken = [wrapped(head, size, column - 3, False, measure) for head in heads]
    most = max(map(len, broken))
    style = {"ha": "center"}
    return [
        _Writing(lines, left + (k + 0.5) * column, top + (most - len(lines)) * size * LINE, size, style)
        for k, lines in enumerate(broken)
    ]


_Piece = tuple[Sequence[str], float, float, dict[str, Any]]
"""Lines, distance of their upper edge from the middle of the row in points, size, style."""


def _captions(sheet: Sheet, room: float, pitch: float, measure: Measure) -> tuple[list[list[_Piece]], float]:
    """Return the captions of the rows, of the largest size that fits, and the height of the highest in points."""
    texts = [(plain(row.caption, LETTERS), plain(row.aside, LETTERS)) for row in sheet.rows]

    words = [(order, word) for pair in texts for order, text in enumerate(pair) for word in text.split(" ")]

    def fits(sizes: tuple[float, float]) -> bool:
        return all(measure(word, sizes[order], False) <= room for order, word in words) and highest(sizes) <= pitch

    def highest(sizes: tuple[float, float]) -> float:
        return max(
            sum(
                len(wrapped(text, size, room, False, measure)) * size * LINE
                for text, size in zip(pair, sizes, strict=True)
                if text
            )
            for pair in texts
        )

    sizes = next((each for each in ROWS if fits(each)), ROWS[-1])
    found: list[list[_Piece]] = []
    for pair in texts:
        broken = [
            wrapped(text, size, room, False, measure) if text else [] for text, size in zip(pair, sizes, strict=True)
        ]
        heights = [len(lines) * size * LINE for lines, size in zip(broken, sizes, strict=True)]
        top, right = -sum(heights) / 2, {"ha": "right"}
        styles = [(top, right), (top + heights[0], {**right, "color": LIGHT.muted})]
        pieces = zip(broken, sizes, styles, strict=True)
        found.append([(lines, y, size, style) for lines, size, (y, style) in pieces if lines])
    return found, highest(sizes)


def _save(figure: Figure, path: Path, suffix: str, dpi: float, sheet: Sheet) -> None:
    """Write a figure with its title, its words and the mark that synthetic images are in it."""
    if suffix == "png":
        marks = png_marks("mixture", sheet.title, SYNTHETIC, sheet.alt)
        figure.savefig(path, format="png", dpi=dpi, pil_kwargs={"pnginfo": marks})
    elif suffix == "pdf":
        words = {"Title": sheet.title, "Subject": sheet.alt, "Keywords": SOURCE_TYPES["mixture"], "Creator": "imagelab"}
        figure.savefig(path, format="pdf", dpi=dpi, metadata={**words, "CreationDate": None})
    else:
        file = io.StringIO()
        figure.savefig(file, format="svg", dpi=dpi, metadata={"Date": None})
        path.write_text(svg_marks(file.getvalue(), "mixture", sheet.title, SYNTHETIC, sheet.alt), "utf-8")


def _bare(pixels: np.ndarray, path: Path, suffix: str, width: float, sheet: Sheet) -> None:
    """Write the pictures without captions, ``width`` millimetres wide."""
    image, inches = Image.fromarray(pixels), width / MILLIMETRES
    density = image.width / inches
    if suffix == "png":
        marks = png_marks("mixture", sheet.title, SYNTHETIC, sheet.alt)
        image.save(path, "PNG", dpi=(density, density), pnginfo=marks)
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(inches, inches * image.height / image.width))
    figure.add_axes((0, 0, 1, 1)).imshow(pixels, interpolation="none", aspect="auto")
    figure.axes[0].set_axis_off()
    _save(figure, path, suffix, density, sheet)
