"""Matplotlib figures as inline SVG: themed by the page, without external references, and as short as possible.

Matplotlib draws with placeholder colours. These are replaced in the SVG by CSS variables and ``currentColor``, so the
same figure works in light and dark pages, on screen and in print. Text stays text. The bytes depend on the figure
alone: the hash salt is fixed, there is no date, and ids begin with the name of the figure, so that they are unique on a
page. Coordinates are cut to a hundredth of a unit (1/72 inch at
the size of the figure).
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "PAPER", "RULE", "PlotFrame", "plot_frame", "themed_svg"]

INK, MUTED, RULE, PAPER = "#0a0b0c", "#0a0b1c", "#0a0b2c", "#0a0b3c"

POINTS = 72  # units of the SVG per inch


@dataclass(frozen=True)
class PlotFrame:
    """Where the generations lie in one plot of a figure, in units of its SVG.

    Attributes:
        start: x of generation 0.
        step: distance in x between two generations.
        top: y of the upper end of the plot.
        bottom: y of the lower end of the plot.
    """

    start: float
    step: float
    top: float
    bottom: float

    def numbers(self) -> list[float]:
        """Return (start, step, top, bottom), rounded to a hundredth."""
        return [round(value, 2) for value in (self.start, self.step, self.top, self.bottom)]


def plot_frame(axes: Axes) -> PlotFrame:
    """Return the frame of axes whose x is the generation; call it when the figure is finished."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    unit, high = POINTS / figure.dpi, figure.get_size_inches()[1] * POINTS
    first, second = (float(axes.transData.transform((x, 0))[0]) * unit for x in (0, 1))
    place = axes.get_position()
    return PlotFrame(first, second - first, (1 - place.y1) * high, (1 - place.y0) * high)


def themed_svg(figure: Figure, key: str) -> str:
    """Return the figure as an HTML fragment: no fixed size, themed colours, unique ids, no external reference.

    Args:
        figure: drawn with the placeholder colours of this module and of curves.py.
        key: a word that is unique on the page.
    """
    from matplotlib import rc_context

    file = io.StringIO()
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": key,
        "font.family": "sans-serif",
        "text.parse_math": False,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = (
        re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", svg[: svg.index(">")]) + svg[svg.index(">") :]
    )
    svg = _short(svg)
    svg = re.sub(r'(?<=\sid=")|(?<=url\(#)|(?<=xlink:href="#)', f"{key}-", svg).replace("xlink:href", "href")
    # The typeface is that of the page, not that of matplotlib.
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    return _themed(svg).replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).strip()


def _short(svg: str) -> str:
    """Leave out what does not show: ids without a reference, invisible backgrounds, newlines, needless digits."""
    used = set(re.findall(r'(?:url\(#|xlink:href="#)([^")]+)', svg))
    svg = re.sub(r'\sid="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", svg)
    svg = re.sub(r'<path d="[^"]*"\s+style="fill: none"/>', "", svg)
    svg = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    svg = re.sub(r"> <", "><", svg)
    return re.sub(r' "', '"', _ungrouped(svg))


def _ungrouped(svg: str) -> str:
    """Leave out groups without attributes, and empty groups and definitions."""
    kept: list[bool] = []

    def tag(match: re.Match[str]) -> str:
        if match[0] == "</g>":
            return match[0] if kept.pop() else ""
        if match[0].endswith("/>"):
            return match[0]
        kept.append(match[0] != "<g>")
        return match[0] if kept[-1] else ""

    return re.sub(r"<defs></defs>|<defs/>", "", re.sub(r"</g>|<g/?>|<g [^>]*>", tag, svg).replace("<g/>", ""))


def _themed(svg: str) -> str:
    for colour, variable in (
        (INK, "currentColor"),
        (MUTED, "var(--muted)"),
        (RULE, "var(--rule)"),
        (PAPER, "var(--paper)"),
    ):
        svg = svg.replace(colour, variable)
    svg = re.sub(r"#0c0d([0-9a-f]{2})", lambda m: f"var(--line-{int(m[1], 16)})", svg)
    svg = re.sub(r"#0d0d([0-9a-f]{2})", lambda m: f"var(--band-{int(m[1], 16)})", svg)
    svg = re.sub(r"#0e([0-9a-f]{4})", lambda m: f"var(--step-{int(m[1], 16)})", svg)
    # A colour that is clear as a line may be too pale for letters: they mix it half and half with the text colour.
    pale = r"(<text style=\"[^\"]*fill: )(var\(--(?:band|step)-\d+\))"
    return re.sub(pale, r"\1color-mix(in srgb, \2 50%, currentColor)", svg)
