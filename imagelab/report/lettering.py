"""Text that stays inside its place: its width is measured with the font that draws it, and lines are broken by width.

The font is DejaVu Sans, which matplotlib contains. Widths and sizes have one unit, whatever it is: points or pixels.
Letters on a grid of few dots are wider than their outlines (hinting), so a figure measures them at its resolution
(:func:`dotted_width`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from PIL import ImageFont

__all__ = ["FONT", "LINE", "Measure", "dotted_width", "fitted_lines", "text_width", "wrapped", "writing"]

Measure = Callable[[str, float, bool], float]
"""Text, size, whether it is bold -> the width of the text."""

FONT = "DejaVu Sans"

LINE = 1.2
"""Distance between two lines of text, in units of its size."""

MEASURED = 100  # px: the size at which widths are measured


@cache
def writing(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of the text in imagelab's pictures, ``size`` in pixels."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / name, size)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line of text, in the unit of ``size``."""
    return writing(MEASURED, bold).getlength(text) * size / MEASURED


@cache
def dotted_width(dpi: float) -> Measure:
    """Return a measure in points of what matplotlib draws at a resolution: the wider of outlines and letters of dots.

    Args:
        dpi: dots per inch.
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer = RendererAgg(8, 8, dpi)

    @cache
    def measure(text: str, size: float, bold: bool) -> float:
        style = FontProperties(family=FONT, weight="bold" if bold else "normal", size=size)
        dots = renderer.get_text_width_height_descent(text, style, False)[0] if text else 0.0
        return max(dots / dpi * 72, text_width(text, size, bold))

    return measure


def wrapped(text: str, size: float, width: float, bold: bool = False, measure: Measure = text_width) -> list[str]:
    """Return the lines of a text, none wider than ``width``.

    Lines are broken between words; a word that is too wide by itself is broken between letters. A line has at least one
    letter, however small the width.

    Args:
        text: one paragraph; no-break spaces stay.
        size: of the letters.
        width: of a line, in the same unit.
        bold: whether the letters are bold.
        measure: how text is measured.
    """
    lines: list[str] = []
    for word in text.split(" "):
        if lines and measure(f"{lines[-1]} {word}", size, bold) <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and measure(lines[-1] + letter, size, bold) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def fitted_lines(
    text: str,
    sizes: Sequence[float],
    width: float,
    height: float,
    bold: bool = False,
    measure: Measure = text_width,
) -> tuple[float, list[str]]:
    """Return the largest size at which a text fits into a box without breaking a word, and its lines at that size.

    Args:
        text: one paragraph.
        sizes: to choose from, largest first.
        width: of the box, in the unit of the sizes.
        height: of the box.
        bold: whether the letters are bold.
        measure: how text is measured.

    Returns:
        Size and lines. Where no size fits, the smallest; its lines are not too wide, but they may be too many.
    """
    for size in sizes:
        lines = wrapped(text, size, width, bold, measure)
        whole = all(measure(word, size, bold) <= width for word in text.split(" "))
        if whole and len(lines) * size * LINE <= height:
            return size, lines
    return sizes[-1], wrapped(text, sizes[-1], width, bold, measure)
