"""Small plots, one for each rare attribute: its share over the generations, in percent, over the band of chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.chains import repetition
from .attribute_names import attribute_words
from .curves import Curve, Plotted, line_colour
from .numbers import number
from .run_view import Run, plain
from .svg import INK, MUTED, RULE, plot_frame, themed_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["small_multiples"]

WIDTH, HEIGHT = 10.4, 1.9  # inches: of the figure, and of a row
TICKS = 5  # steps between generations on an axis, at most


def small_multiples(run: Run, line: int, bands: Mapping[str, np.ndarray]) -> Curve:
    """Draw one plot for each attribute; the plots of a row have one scale.

    Args:
        run: the run.
        line: which model.
        bands: measurement name -> float [T+1,2], the range that chance alone would leave, in the order of the plots.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    columns = _columns(len(bands))
    rows = math.ceil(len(bands) / columns)
    figure = Figure(figsize=(WIDTH if columns > 2 else WIDTH / 3 * columns, HEIGHT * rows + 0.2))
    figure.subplots_adjust(0.055, 0.32 / rows, 0.985, 1 - 0.14 / rows, 0.12, 0.55)
    first = None
    for order, (name, band) in enumerate(bands.items()):
        first = None if order % columns == 0 else first
        axes = figure.add_subplot(rows, columns, order + 1, sharey=first)
        first = first or axes
        _plot(axes, run, name, line, band)
        axes.tick_params(colors=MUTED, labelsize=9, length=2, labelleft=axes is first)
        axes.set_xticks(_ticks(run.last))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g} %".replace("-", "−")))
        if order >= len(bands) - columns:
            axes.set_xlabel("generation (0 = real images)", color=MUTED, fontsize=9)
    frames = tuple(map(plot_frame, figure.axes))
    plotted = tuple(Plotted(plain(attribute_words(name), 28), name, line, "line-0") for name in bands)
    return Curve(themed_svg(figure, "survival"), _told(run, line, list(bands)), frames, plotted)


def _columns(plots: int) -> int:
    """Return 3 or 4 plots a row, whichever leaves fewer places empty; fewer where there are fewer."""
    return plots if plots < 4 else min((4, 3), key=lambda columns: -plots % columns)


def _ticks(last: int) -> list[int]:
    """Return generations for an axis, 0 and the last one among them, with equal steps if there are such."""
    whole = next((step for step in range(1, last + 1) if last % step == 0 and last // step <= TICKS), 1)
    if last // whole > 1 or last < 2:
        return list(range(0, last + 1, whole))
    step = math.ceil(last / (TICKS - 1))
    return [0, *(g for g in range(last % step, last + 1, step) if g > step / 2)]


def _plot(axes: Axes, run: Run, name: str, line: int, band: np.ndarray) -> None:
    axes.fill_between(range(len(band)), *(100 * band.T), color=INK, alpha=0.12, linewidth=0)
    real = run.real(name)
    measured = [*([real] if real else []), *run.series(name, line)]
    x, y = [m.generation for m in measured], np.array([100 * (m.value or 0.0) for m in measured])
    ends = 100 * np.array([repetition(m) or (m.value or 0.0, m.value or 0.0) for m in measured])
    style = {"color": line_colour(0), "marker": "o", "markersize": 3, "linewidth": 1.8, "elinewidth": 0.9}
    axes.errorbar(x, y, np.maximum([y - ends[:, 0], ends[:, 1] - y], 0.0), **style)
    for chain in run.chains(name, line):
        shares = [100 * (m.value or 0.0) for m in chain]
        axes.plot([m.generation for m in chain], shares, color=line_colour(0), linewidth=0.7, alpha=0.55)
    axes.set_title(plain(attribute_words(name), 28), fontsize=10, loc="left", color=INK)
    axes.set_xlim(-0.3, run.last + 0.3)
    low = min(0.0, float(ends[:, 0].min()))
    if axes.get_ylim()[0] > low or not axes.get_shared_y_axes().get_siblings(axes)[1:]:
        axes.set_ylim(low, None)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.axhline(0, color=RULE, linewidth=0.7)


def _told(run: Run, line: int, names: list[str]) -> str:
    """Return the plots as text: the share of each attribute in real images and in the last generation measured."""
    parts, generation = [], 0
    for name in names:
        real, last = run.real(name), run.series(name, line)[-1]
        generation = last.generation
        start = 0.0 if real is None else real.value or 0.0
        parts.append(f"{attribute_words(name)} {number(100 * start)} %, {number(100 * (last.value or 0.0))} %")
    plots = f"{len(names)} small plots of rare attributes by generation" if len(names) > 1 else "A small plot"
    return f"{plots}. Shares in real images and in generation {generation}: {'; '.join(parts)}."
