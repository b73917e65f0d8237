"""The parts of a slide: title, text, pictures in rows, table and link, placed so that nothing overlaps.

All places are inches on a slide of 13.333 x 7.5. The height of a text is estimated from the widths of its letters, and
what follows begins below it. No text is smaller than 14 points.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.marks import png_marks
from .grids import writing
from .numbers import NBSP
from .palette import LIGHT
from .run_view import plain
from .sheet_layout import SYNTHETIC

if TYPE_CHECKING:
    from pptx.dml.color import RGBColor
    from pptx.presentation import Presentation
    from pptx.slide import Slide

__all__ = [
    "BOTTOM",
    "FACE",
    "HIGH",
    "LEAST",
    "LEFT",
    "LINE",
    "ROOM_WIDE",
    "WIDE",
    "add_bullets",
    "add_link",
    "add_picture",
    "add_table",
    "add_text",
    "fill_text",
    "joined_numbers",
    "lines_of_text",
    "new_slide",
    "picture_rows",
    "rgb",
    "set_alt",
]

WIDE, HIGH = 13.333, 7.5  # inches, 16:9
LEFT, TOP, BOTTOM = 0.6, 0.4, 6.85  # inches: margins; content ends at BOTTOM, links and footers stand below it
ROOM_WIDE = WIDE - 2 * LEFT
LEAST = 14  # points
TITLE, TITLE_LINES, CAPTION = 28, 3, 18
MOST_HIGH, LEAST_COLUMNS = 2.5, 4  # inches: the largest picture; pictures of a row
LINE = 1.2 / 72  # inches per point of letters: the height of a line
ARIAL = {
    False: 0.89,
    True: 0.85,
}  # widths of Arial over those of DejaVu Sans, which every installation has; bold or not
FACE = "Arial"


def new_slide(deck: Presentation, title: str, caption: str, notes: Sequence[str]) -> tuple[Slide, float]:
    """Add a slide with a title, a caption below it, and speaker notes.

    Args:
        deck: the deck.
        title: a statement; it is cut after three lines, before a semicolon if it has one, and the notes then hold the
            whole of it.
        caption: "" for none.
        notes: paragraphs; empty ones are left out.

    Returns:
        The slide, and the height below the caption in inches, where its content may begin.
    """
    from pptx.enum.text import MSO_AUTO_SIZE
    from pptx.util import Inches

    slide = deck.slides.add_slide(deck.slide_layouts[5])
    for shape in list(slide.placeholders):
        if shape != slide.shapes.title:
            shape.element.getparent().remove(shape.element)
    whole, size = joined_numbers(plain(title, 400)), TITLE + 4
    if lines_of_text(whole, size, ROOM_WIDE, bold=True) > 1:
        size = TITLE
    short = whole
    if lines_of_text(short, size, ROOM_WIDE, bold=True) > TITLE_LINES and "; " in short:
        short = short.rpartition("; ")[0] + "."
    while lines_of_text(short, size, ROOM_WIDE, bold=True) > TITLE_LINES:
        short = short.removesuffix("…")[:-8].rstrip() + "…"
    head = slide.shapes.title
    assert head is not None
    high = lines_of_text(short, size, ROOM_WIDE, bold=True) * size * LINE
    wide = _balanced(short, size)
    head.left, head.top, head.width, head.height = (Inches(x) for x in (LEFT, TOP, wide, high))
    head.text_frame.auto_size = MSO_AUTO_SIZE.NONE
    fill_text(head.text_frame, short, size, LIGHT.ink, bold=True)
    top = TOP + high + 0.08
    if caption:
        top += add_text(slide, caption, LEFT, top, ROOM_WIDE, CAPTION, LIGHT.muted)
    spoken: Any = slide.notes_slide.notes_text_frame
    spoken.text = "\n".join(filter(None, [whole if short != whole else "", *notes]))
    return slide, top + 0.15


def joined_numbers(text: str) -> str:
    """Return a text in which no line ends between a number and its unit or its interval."""
    return re.sub(r" (?=[±%])|(?<=±) |(?<=\d) (?=dB\b)", NBSP, text)


def _balanced(text: str, size: int) -> float:
    """Return the width, in inches, at which the lines of a title are about equally long; all of it for one line."""
    lines, wide = lines_of_text(text, size, ROOM_WIDE, bold=True), ROOM_WIDE
    while lines > 1 and wide > 0.6 * ROOM_WIDE and lines_of_text(text, size, wide - 0.2, bold=True) == lines:
        wide -= 0.2
    return min(ROOM_WIDE, wide + 0.2) if lines > 1 else ROOM_WIDE


def lines_of_text(text: str, size: float, room: float, bold: bool = False) -> int:
    """Return how many lines a text takes.

    Args:
        text: the text.
        size: of its letters, in points.
        room: the width of the lines, in inches.
        bold: whether it is bold.
    """
    face, lines, used = writing(100, bold), 1, 0.0
    blank = face.getlength(" ")
    most = (room - 4 / 72) * 72 * 100 / size / ARIAL[bold]
    for word in text.split(" "):
        wide = face.getlength(word)
        if used and used + blank + wide > most:
            lines, used = lines + 1, 0.0
        while wide > most:
            lines, wide = lines + 1, wide - most
        used += wide + (blank if used else 0.0)
    return lines


def add_text(
    slide: Slide,
    text: str,
    x: float,
    y: float,
    wide: float,
    size: int,
    colour: str = LIGHT.ink,
    high: float | None = None,
    align: str = "left",
) -> float:
    """Add a box of text and return its height in inches.

    Args:
        slide: the slide.
        text: one paragraph.
        x: its left edge, in inches.
        y: its upper edge.
        wide: its width.
        size: of its letters, in points; at least 14.
        colour: as #rrggbb.
        high: its height; None for as many lines as it has. The text stands in the middle of it.
        align: "left", "center" or "right".
    """
    from pptx.enum.text import MSO_AUTO_SIZE
    from pptx.util import Inches

    if size < LEAST:
        raise ValueError(f"slides: expected letters of at least {LEAST} points, got {size}")
    high = lines_of_text(joined_numbers(plain(text, 600)), size, wide) * size * LINE if high is None else high
    box = slide.shapes.add_textbox(Inches(x), Inches(y), Inches(wide), Inches(high))
    box.text_frame.auto_size = MSO_AUTO_SIZE.NONE
    fill_text(box.text_frame, text, size, colour, align=align)
    return high


def add_bullets(slide: Slide, points: Sequence[str], y: float, size: int = 20, gap: float = 0.2) -> float:
    """Add paragraphs below each other and return the height where they end; what does not fit is left out."""
    for point in points:
        if y + lines_of_text(joined_numbers(plain(point, 600)), size, ROOM_WIDE) * size * LINE > BOTTOM:
            break
        y += add_text(slide, point, LEFT, y, ROOM_WIDE, size) + gap
    return y


def fill_text(frame: Any, text: str, size: int, colour: str, bold: bool = False, align: str = "left") -> None:
    """Write one paragraph into a text frame, in the middle of its height."""
    from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
    from pptx.util import Pt

    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    frame.margin_left = frame.margin_right = Pt(2)
    frame.margin_top = frame.margin_bottom = 0
    paragraph = frame.paragraphs[0]
    paragraph.alignment = {"left": PP_ALIGN.LEFT, "center": PP_ALIGN.CENTER, "right": PP_ALIGN.RIGHT}[align]
    run = paragraph.add_run()
    run.text = joined_numbers(plain(text, 600))
    run.font.size, run.font.bold, run.font.name = Pt(size), bold, FACE
    run.font.color.rgb = rgb(colour)


def rgb(colour: str) -> RGBColor:
    """Return a colour of the palette, #rrggbb, as PowerPoint takes it."""
    from pptx.dml.color import RGBColor

    return RGBColor.from_string(colour.removeprefix("#"))


def set_alt(shape: Any, alt: str) -> None:
    """Set the alternative text of a picture or chart."""
    shape._element.xpath(".//p:cNvPr")[0].set("descr", plain(alt, 600))


def add_picture(slide: Slide, path: Path, alt: str, top: float) -> None:
    """Place a picture as large as the slide allows below ``top``, centred, with its alternative text."""
    from PIL import Image
    from pptx.util import Inches

    with Image.open(path) as opened:
        shape = opened.width / opened.height
    high = BOTTOM + 0.3 - top
    wide = min(ROOM_WIDE, high * shape)
    place = Inches((WIDE - wide) / 2), Inches(top + (high - wide / shape) / 2), Inches(wide)
    set_alt(slide.shapes.add_picture(io.BytesIO(path.read_bytes()), *place), alt)


def picture_rows(
    slide: Slide,
    rows: Sequence[tuple[str, np.ndarray]],
    alt: str,
    top: float,
    heads: Sequence[str] = (),
    columns: int = 8,
    label: float = 2.4,
) -> None:
    """Place pictures in rows, each with its caption at the left; pixels are enlarged by a whole number, not smoothed.

    Args:
        slide: the slide.
        rows: (caption, uint8 [K,C,H,W]) of each row; smaller pictures are enlarged to the size of the largest.
        alt: alternative text of the whole.
        top: where it begins, in inches.
        heads: a caption above each column; empty for none. With heads, the columns spread over the slide.
        columns: the largest number of pictures in a row.
        label: the width of the captions of the rows, in inches.
    """
    from PIL import Image
    from pptx.util import Inches

    columns = min(columns, *(len(images) for _, images in rows))
    room = ROOM_WIDE - label
    head = 2 * LEAST * LINE + 0.05 if heads else 0.0
    high, wide = max((images.shape[2:] for _, images in rows), key=max)
    down = min((BOTTOM + 0.3 - top - head) / len(rows), MOST_HIGH)
    if not heads:  # fewer pictures, as large as the rows allow
        columns = min(columns, max(LEAST_COLUMNS, int(room / (down * wide / high))))
    down = min(down, room / columns * high / wide)
    across = room / columns if heads else down * wide / high
    scale = max(1, round(140 * down / high))  # about 140 dots an inch
    step_x, step_y = round(across / down * high * scale), high * scale
    canvas = Image.new("RGB", (step_x * (columns - 1) + (wide - 1) * scale, step_y * len(rows) - scale), "white")
    for order, (_, images) in enumerate(rows):
        for column in range(columns):
            pixels = np.repeat(images[column].transpose(1, 2, 0), 3 // images.shape[1], axis=2)
            tile = Image.fromarray(pixels).resize((wide * scale, high * scale), Image.Resampling.NEAREST)
            canvas.paste(tile, (column * step_x, order * step_y))
    file = io.BytesIO()
    canvas.save(file, "PNG", optimize=True, pnginfo=png_marks("mixture", description=SYNTHETIC, alt=alt))
    inch = down / step_y
    left = LEFT + label if heads else LEFT + label + max(0.0, (room - canvas.width * inch) / 2 - label / 2)
    picture = slide.shapes.add_picture(
        io.BytesIO(file.getvalue()), Inches(left), Inches(top + head), Inches(canvas.width * inch)
    )
    set_alt(picture, alt)
    for order, words in enumerate(heads[:columns]):
        middle = left + (order * step_x + wide * scale / 2) * inch
        add_text(slide, words, middle - across * 0.49, top, across * 0.98, LEAST, LIGHT.ink, head, "center")
    for order, (words, _) in enumerate(rows):
        add_text(
            slide, words, left - label, top + head + order * down, label - 0.15, 16, LIGHT.ink, down * 0.98, "right"
        )


def add_table(
    slide: Slide, head: Sequence[str], rows: Sequence[Sequence[str]], top: float, first: float, row: float = 0.36
) -> None:
    """Add a table with letters of 14 points: the first column as wide as given, the others share up to 2.4 inches each.

    Args:
        slide: the slide.
        head: the captions of the columns.
        rows: the cells of each row, as text.
        top: where it begins, in inches.
        first: the width of the first column.
        row: the least height of a row.
    """
    from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
    from pptx.util import Inches, Pt

    other = min(2.4, (ROOM_WIDE - first) / (len(head) - 1))
    place = Inches(LEFT), Inches(top), Inches(first + other * (len(head) - 1)), Inches(row * (len(rows) + 1))
    frame: Any = slide.shapes.add_table(len(rows) + 1, len(head), *place)
    table = frame.table
    table.horz_banding = False
    for k, column in enumerate(table.columns):
        column.width = Inches(other if k else first)
    for y, cells in enumerate([head, *rows]):
        lines = max(
            lines_of_text(joined_numbers(cells[0]), LEAST, first - 0.06), *(1 + words.count("\n") for words in cells)
        )
        table.rows[y].height = Inches(max(row, lines * LEAST * LINE + 0.06))
        for x, words in enumerate(cells):
            cell = table.cell(y, x)
            cell.fill.solid()
            cell.fill.fore_color.rgb = rgb(LIGHT.wash if y == 0 else LIGHT.paper)
            cell.margin_left = cell.margin_right = Pt(4)
            cell.margin_top = cell.margin_bottom = Pt(1)
            cell.vertical_anchor = MSO_ANCHOR.MIDDLE
            cell.text_frame.text = "\n".join(joined_numbers(plain(line, 90)) for line in words.split("\n"))
            for paragraph in cell.text_frame.paragraphs:
                paragraph.alignment = PP_ALIGN.LEFT if x == 0 else PP_ALIGN.RIGHT
                for run in paragraph.runs:
                    run.font.size, run.font.name, run.font.bold = Pt(LEAST), FACE, y == 0
                    run.font.color.rgb = rgb(LIGHT.ink)
    set_alt(frame, f"Table of {len(rows)} rows: {', '.join(head)}.")


def add_link(slide: Slide, words: str, target: Slide) -> None:
    """Add words at the lower right that lead to another slide at a click."""
    from pptx.util import Inches

    wide = 5.0
    box = slide.shapes.add_textbox(
        Inches(WIDE - LEFT - wide), Inches(BOTTOM + 0.22), Inches(wide), Inches(LEAST * LINE)
    )
    fill_text(box.text_frame, words, LEAST, LIGHT.lines[1], align="right")
    box.text_frame.paragraphs[0].runs[0].font.underline = True
    box.click_action.target_slide = target
