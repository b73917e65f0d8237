"""All runs of a comparison as points: two measurements to choose from, one for each axis.

The page holds the values as JSON, from which a small script draws the plot again when another measurement is chosen. A
plot drawn here and a table stand in its place where no script runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ..evaluation.chains import repetition
from ..measurement import Measurement
from . import curves
from .chart_data import as_island
from .groups import Group
from .numbers import number
from .run_view import Run, plain
from .svg import MUTED, themed_svg
from .wording import Wording, wording

__all__ = ["PointPlot", "point_plot"]

DIGITS = 6  # significant digits of the values in the page


@dataclass(frozen=True)
class PointPlot:
    """The plot of all runs by two measurements.

    Attributes:
        island: the values as JSON that may stand inside a script element.
        options: (key, title) of each measurement to choose from.
        x: the position of the first one shown across, in ``options``.
        y: the position of the first one shown upwards.
        svg: the plot of these two.
        alt: the same as text.
        rows: (group, run, seed, value across, value upwards) as text, for the table.
        titles: the titles of the two.
    """

    island: Markup
    options: tuple[tuple[str, str], ...]
    x: int
    y: int
    svg: Markup
    alt: str
    rows: tuple[tuple[str, str, str, str, str], ...]
    titles: tuple[str, str]


def point_plot(groups: Sequence[Group], names: Sequence[str], last: int) -> PointPlot | None:
    """Return the plot of all runs at a generation; None for fewer than two measurements.

    Args:
        groups: the groups.
        names: measurements that every run has, those to show first in front.
        last: the generation of the points; the path of a run leads there.
    """
    if len(names) < 2 or last == 0:
        return None
    first = groups[0].runs[0]
    words = _distinct([(name, wording(first, name)) for name in names])
    runs = [(order, run) for order, group in enumerate(groups) for run in group.runs]
    data = {
        "last": last,
        "names": [{"key": name, "title": word.title, "axis": word.axis} for name, word in words],
        "groups": [group.label for group in groups],
        "runs": [_run(order, groups[order].label, run, names, last) for order, run in runs],
    }
    x, y = words[0], words[1]
    rows = tuple(
        (
            groups[order].label,
            run.name,
            plain(run.experiment.get("seed", "?"), 12),
            _text(run, x[0], last),
            _text(run, y[0], last),
        )
        for order, run in runs
    )
    alt = f"{len(runs)} runs at generation {last}: {x[1].title} across, {y[1].title} upwards."
    svg = Markup(_drawn(groups, x, y, last))
    options = tuple((name, word.title) for name, word in words)
    return PointPlot(as_island(data), options, 0, 1, svg, alt, rows, (x[1].title, y[1].title))


def _distinct(words: Sequence[tuple[str, Wording]]) -> list[tuple[str, Wording]]:
    """Return the words with the rest of the key after titles that are not the only one of their kind."""
    titles = [word.title for _, word in words]
    return [
        (name, word)
        if titles.count(word.title) == 1
        else (name, Wording(f"{word.title} ({plain(name.partition('/')[2], 30)})", word.unit, word.meaning))
        for name, word in words
    ]


def _row(run: Run, name: str, generation: int) -> Measurement | None:
    return run.real(name) if generation == 0 else run.at(name, generation)


def _run(order: int, label: str, run: Run, names: Sequence[str], last: int) -> dict[str, Any]:
    """Return one run: measurement by measurement and generation by generation [value, low, high], or null."""
    values = []
    for name in names:
        found = [_row(run, name, generation) for generation in range(last + 1)]
        values.append([None if m is None or m.value is None else _three(m) for m in found])
    seed = plain(run.experiment.get("seed", "?"), 12)
    return {"group": order, "label": label, "run": run.name, "seed": seed, "values": values}


def _three(m: Measurement) -> list[float | None]:
    ends = repetition(m)
    return [None if each is None else float(f"{each:.{DIGITS}g}") for each in (m.value, *(ends or (None, None)))]


def _text(run: Run, name: str, generation: int) -> str:
    m = _row(run, name, generation)
    if m is None or m.value is None:
        return "–"
    ends = repetition(m)
    return number(m.value) + (f" ({number(ends[0])} to {number(ends[1])})" if ends else "")


def _drawn(groups: Sequence[Group], x: tuple[str, Wording], y: tuple[str, Wording], last: int) -> str:
    """Return the plot as an SVG: a point with error bars for each run, in the colour and marker of its group."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = curves.new_axes(plain(y[1].title, 60), last, size=(7.2, 4.2))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
    axes.set_xlabel(plain(x[1].title, 70), color=MUTED, fontsize=10)
    axes.set_xlim(auto=True)
    ends = []
    for order, group in enumerate(groups):
        colour = curves.line_colour(order)
        for run in group.runs:
            pair = [_row(run, name, last) for name, _ in (x, y)]
            if any(m is None or m.value is None for m in pair):
                continue
            (across, left, right), (up, low, high) = (_three(m) for m in pair if m is not None)
            assert across is not None and up is not None
            axes.errorbar(
                across,
                up,
                xerr=None if left is None or right is None else [[max(across - left, 0)], [max(right - across, 0)]],
                yerr=None if low is None or high is None else [[max(up - low, 0)], [max(high - up, 0)]],
                color=colour,
                marker=curves.MARKERS[order],
                markersize=7,
                elinewidth=1,
            )
            ends.append((up, group.label, colour))
    axes.autoscale()
    curves.end_labels(axes, list({label: (up, label, colour) for up, label, colour in ends}.values()))
    return themed_svg(figure, "compare-points")
