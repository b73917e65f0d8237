"""Curves over the generations: every measurement of a run, with its intervals, its floor, theory and controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.chains import repetition
from ..measurement import Measurement
from ..pool import REAL
from .numbers import at_floor, half_interval, is_distance
from .palette import FAMILY
from .run_view import Run, plain
from .svg import INK, MUTED, PAPER, RULE, PlotFrame, plot_frame, themed_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "Plotted", "bands_curve", "end_labels", "finish", "line_colour", "lines", "new_axes"]

MARKERS = "osD^vP"
SIZE = (4.7, 3.1)
CONTROL = "without freckles"  # the label of the count where there are none
EDGE = 3.0  # pixels between the label of an axis and the edge of the figure, at least
LONGEST = 18  # letters of the name at the end of a curve
NAMES = 10.5  # points: size of the letters that label a curve


@dataclass(frozen=True)
class Plotted:
    """One curve of a figure: what its values are.

    Attributes:
        label: its name in the figure.
        name: the measurement.
        line: the line of the run, -1 for real images.
        colour: the CSS variable of its colour, without the dashes before it.
    """

    label: str
    name: str
    line: int
    colour: str


@dataclass(frozen=True)
class Curve:
    """One finished figure.

    Attributes:
        svg: inline SVG.
        alt: a sentence for readers who cannot see it.
        frames: where the generations lie, one for each plot of the figure; empty where x is something else.
        plotted: the curves, in the order in which they are read.
    """

    svg: str
    alt: str
    frames: tuple[PlotFrame, ...] = ()
    plotted: tuple[Plotted, ...] = ()


def line_colour(line: int) -> str:
    """Return the placeholder that is replaced by the page's colour of a line."""
    return f"#0c0d{min(line, 5):02x}"


def _band_step(order: int, count: int) -> int:
    """Return the step in the range of a family's colours: ``count`` curves use the whole range, coarse to fine."""
    return round(order * (FAMILY - 1) / max(count - 1, 1))


def lines(
    run: Run, names: Sequence[str], key: str, ylabel: str, control: str | None = None, aside: str = CONTROL
) -> Curve | None:
    """Draw one metric over the generations: every line with its error band, the floor, theory and a control.

    The floor is the measurement on real images (real against real for a distance), with its 95 % interval.

    Args:
        run: the run.
        names: the metric, followed by its repeats (other random features), which are drawn thin for the main line.
        key: a word that is unique on the page.
        ylabel: the label of the axis, with its unit.
        control: name of a control measurement, drawn dotted; None for none.
        aside: its label.

    Returns:
        The figure, or None if no generation has a value.
    """
    name = names[0]
    shown = [line for line in run.lines if run.series(name, line)]
    if not shown:
        return None
    figure, axes = new_axes(ylabel, run.last)
    ends = [_floor(axes, run, name)]
    for repeat in names[1:]:
        axes.plot(*_points(run, repeat, 0), color=line_colour(0), linewidth=0.8, alpha=0.6)
    for line in shown:
        ends.append(_draw(axes, run, name, line))
    for line in run.lines:
        ends.append(_theory(axes, run, name, line))
    if control and run.series(control):
        x, y = _points(run, control, 0)
        axes.plot(x, y, color=MUTED, linestyle=":", marker="x", markersize=5, linewidth=1.5)
        ends.append((float(y[-1]), aside, MUTED))
    finish(axes, [end for end in ends if end])
    plotted = [Plotted(run.label(line, 40), name, line, f"line-{min(line, 5)}") for line in shown]
    if control and run.series(control):
        plotted.append(Plotted(aside, control, 0, "muted"))
    real = run.real(name)
    if real is not None and real.value is not None:
        plotted.append(Plotted("two real sets" if is_distance(real) else "real images", name, REAL, "ink"))
    return Curve(themed_svg(figure, key), _tell(run, name, shown, ylabel), (plot_frame(axes),), tuple(plotted))


def bands_curve(run: Run, names: Sequence[str], key: str, ylabel: str) -> Curve | None:
    """Draw a family of measurements of the main line into one figure, such as spectral bands or attributes."""
    names = [name for name in names if run.series(name)]
    if not names:
        return None
    figure, axes = new_axes(ylabel, run.last)
    if key.startswith("curve-band_power"):
        axes.axhline(0, color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)))
    ends, plotted = [], []
    for order, name in enumerate(names):
        step = _band_step(order, len(names))
        colour = f"#0d0d{step:02x}"
        x, y = _points(run, name, 0)
        _band(axes, run, name, 0, colour)
        _marked(axes, x, y, colour, order, 1.8)
        low = [m for m in run.series(name) if at_floor(run, m)]
        axes.plot([m.generation for m in low], [float(m.value or 0) for m in low], **_open(order, colour))
        ends.append((float(y[-1]), _part(name), colour))
        plotted.append(Plotted(_part(name), name, 0, f"band-{step}"))
    finish(axes, ends, zero=False)
    last = run.series(names[-1])[-1]
    alt = f"{len(names)} {'curve' if len(names) == 1 else 'curves'} over the generations; {ylabel}. "
    alt += f"{_part(names[-1])} ends at {last.value:.3g} in generation {last.generation}."
    return Curve(themed_svg(figure, key), alt, (plot_frame(axes),), tuple(plotted))


def new_axes(ylabel: str, last: int, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """Return an empty figure over the generations 0..last, with room for labels at the ends of its curves."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=size)
    axes = figure.add_axes((0.145, 0.165, 0.62 if size == SIZE else 0.73, 0.79))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=10, length=3, width=0.8)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=10)
    axes.set_xlabel("generation (0 = real images)", color=MUTED, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=11))
    axes.set_xlim(-0.2, max(last, 1) + 0.2)
    return figure, axes


def _part(name: str) -> str:
    return plain(name.rpartition("/")[2].replace("-", "–").replace("_", " "))


def _points(run: Run, name: str, line: int) -> tuple[np.ndarray, np.ndarray]:
    real = run.real(name)
    measured = [*([real] if real else []), *run.series(name, line)]
    return np.array([m.generation for m in measured]), np.array([m.value for m in measured], float)


def _band(axes: Axes, run: Run, name: str, line: int, colour: str) -> None:
    """Draw the intervals of one curve; where one is unknown the band is broken, one that stands alone is a bar."""
    real = run.real(name)
    found = {m.generation: repetition(m) for m in [*([real] if real else []), *run.series(name, line)]}
    x = np.arange(max(found, default=0) + 1)
    ends = np.array([found.get(int(t)) or (np.nan, np.nan) for t in x], float)
    known = np.isfinite(ends[:, 0])
    axes.fill_between(x, ends[:, 0], ends[:, 1], where=known, color=colour, alpha=0.18, linewidth=0)
    beside = np.concatenate(([False], known[:-1])) | np.concatenate((known[1:], [False]))
    for t in x[known & ~beside]:
        axes.vlines(t, *ends[t], color=colour, alpha=0.35, linewidth=3)
    for chain in run.chains(name, line):
        values = [float(m.value or 0) for m in chain]
        axes.plot([m.generation for m in chain], values, color=colour, linewidth=0.7, alpha=0.55)


def _draw(axes: Axes, run: Run, name: str, line: int) -> tuple[float, str, str]:
    colour, (x, y) = line_colour(line), _points(run, name, line)
    _band(axes, run, name, line, colour)
    _marked(axes, x, y, colour, line, 2.2 if line == 0 else 1.6)
    return float(y[-1]), _name(run, line), colour


def _name(run: Run, line: int) -> str:
    """Return the name at the end of a line; a long one without what no other line needs to be told from it."""
    whole = run.label(line, 40)
    return whole if len(whole) <= LONGEST or line == REAL else plain(run.model(line), LONGEST)


def _marked(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, order: int, width: float) -> None:
    """Draw one curve with the marker of its order; earlier curves are on top, long curves have about 12 markers."""
    marker, every = MARKERS[order % len(MARKERS)], max(1, len(x) // 12)
    style = {"marker": marker, "markersize": 4.5, "markevery": every, "linewidth": width}
    axes.plot(x, y, color=colour, zorder=4 - 0.1 * order, **style)


def _open(order: int, colour: str) -> dict[str, Any]:
    """Return the style of a point without meaning (below the rounding noise): an open marker."""
    look = {"linestyle": "none", "markerfacecolor": PAPER, "markeredgecolor": colour, "markersize": 6, "zorder": 5}
    return {"marker": MARKERS[order % len(MARKERS)], **look}


def _floor(axes: Axes, run: Run, name: str) -> tuple[float, str, str] | None:
    real = run.real(name)
    if real is None or real.value is None:
        return None
    axes.axhline(real.value, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    if real.stderr is not None:
        half = half_interval(real) or 0.0
        axes.axhspan(real.value - half, real.value + half, color=INK, alpha=0.10, linewidth=0)
    return real.value, "real vs real" if is_distance(real) else "real", INK


def _theory(axes: Axes, run: Run, name: str, line: int) -> tuple[float, str, str] | None:
    predicted = run.series(name, line, predicted=True)
    main = run.series(name, 0, predicted=True)
    if not predicted or (line > 0 and [m.value for m in predicted] == [m.value for m in main]):
        return None
    x, y = [m.generation for m in predicted], [float(m.value or 0) for m in predicted]
    axes.plot(x, y, color=MUTED, linestyle="--", linewidth=1.4)
    return y[-1], "theory" if line == 0 else f"theory, {run.model(line)}", MUTED


def finish(axes: Axes, ends: list[tuple[float, str, str]], zero: bool = True) -> None:
    """Label the curves at their ends; with ``zero``, let the axis begin at 0 if no curve ends below it."""
    if zero and all(y >= 0 for y, _, _ in ends):  # the error band of a count may reach below 0, its axis need not
        high = axes.get_ylim()[1]
        axes.set_ylim(-0.02 * high, high)
    end_labels(axes, ends)


def end_labels(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write the label of each curve at its end; labels are moved apart so that none covers another.

    Long labels make the axes narrower, and so do long numbers on the axis.
    """
    _make_room_on_the_left(axes)
    x, room = axes.get_xlim()[1], 17 if axes.get_position().width < 0.7 else 20
    ends = [(y, plain(text, room), colour) for y, text, colour in ends]
    _make_room(axes, [text for _, text, _ in ends])
    to_axes = axes.transData + axes.transAxes.inverted()
    labels = sorted(
        ((float(to_axes.transform((x, y))[1]), text, colour) for y, text, colour in ends), key=lambda e: e[0]
    )
    gap, heights = 0.075, [height for height, _, _ in labels]
    # Upwards: each label at least one gap above the one below. Then downwards: none above the ceiling.
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    ceiling = 0.99
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], ceiling)
        ceiling = heights[k] - gap
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        axes.text(
            1.03,
            height,
            text,
            transform=axes.transAxes,
            color=colour,
            va="center",
            fontsize=NAMES,
            parse_math=False,
        )


def _make_room_on_the_left(axes: Axes) -> None:
    """Move the left end of the axes if their label would begin outside the figure, because its numbers are long."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    box = axes.yaxis.get_tightbbox()
    outside = (EDGE - box.x0) / figure.bbox.width if box is not None else 0.0
    if outside > 0:
        place = axes.get_position()
        axes.set_position((place.x0 + outside, place.y0, place.width - outside, place.height))


def _make_room(axes: Axes, texts: Sequence[str]) -> None:
    """Make the axes narrower if a label would otherwise end outside the figure."""
    from matplotlib.textpath import TextPath

    longest = max((TextPath((0, 0), text, size=NAMES).get_extents().width for text in texts), default=0.0)
    place, figure = axes.get_position(), axes.get_figure(root=True)
    assert figure is not None
    wide = figure.get_size_inches()[0] * 72  # points, the unit of the letters
    most = (1 - place.x0 - longest / wide) / 1.03  # labels begin at 1.03 of the axes
    if most < place.width:
        axes.set_position((place.x0, place.y0, most, place.height))


def _tell(run: Run, name: str, shown: list[int], ylabel: str) -> str:
    """Return the curve as text: the first and the last value of every line."""
    real = run.real(name)
    parts = [f"{plain(ylabel)} over {run.last} generations."]
    if real and real.value is not None:
        parts.append(f"Real images: {real.value:.3g}.")
    for line in shown:
        measured = run.series(name, line)
        first, last = measured[0], measured[-1]
        parts.append(
            f"{run.label(line)}: {_said(first)}, {_said(last)}."
            if first is not last
            else f"{run.label(line)}: {_said(last)}."
        )
    return " ".join(parts)


def _said(m: Measurement) -> str:
    return f"{m.value:.3g} in generation {m.generation}"
