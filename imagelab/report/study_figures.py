"""The figures of a study: the effects, the response to one setting, and the course of every point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from .curves import line_colour
from .numbers import NBSP, number
from .run_view import Run, plain
from .study_cells import (
    Arrangement,
    Choice,
    cell_text,
    choice_words,
    estimated_cell,
    is_number,
    level_words,
    named_choice,
)
from .study_effects import Effect, StudyValues
from .study_view import StudyPoint, StudyView, spoken
from .svg import INK, MUTED, PAPER, RULE, themed_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

__all__ = ["StudyFigure", "course_figures", "effect_words", "effects_figure", "response_figure"]

WIDTH = 10.4  # inches
MOST_COLUMNS = 12  # of settings that are kept as columns of plots
MOST_TITLED = 4  # columns whose plots have a title each
WIDE_RATIO = 30  # of the values of a setting: from here on its axis is logarithmic


@dataclass(frozen=True)
class StudyFigure:
    """One figure.

    Attributes:
        title: which facet it is of; "" for none.
        svg: inline SVG.
        alt: the same as text.
        columns: plots side by side.
    """

    title: str
    svg: Markup
    alt: str
    columns: int = 1


@dataclass(frozen=True)
class CoursePlot:
    """One small plot: the choice of its row and of its column in words, and its points, none for an empty place."""

    row: str
    column: str
    points: tuple[StudyPoint, ...]

    @property
    def words(self) -> str:
        """Both choices."""
        return ", ".join(filter(None, (self.row, self.column))) or "all points"


def effect_words(effect: Effect, short: dict[str, str], base: bool = True) -> str:
    """Return which difference an effect is, such as "regime: accumulate − replace"."""
    words = f"{short[effect.axis]}: {level_words(effect.value)}"
    return f"{words} − {level_words(effect.base)}" if base else words


def effects_figure(study: StudyView, found: Sequence[Effect], unit: str) -> StudyFigure | None:
    """Draw the effects as points with intervals around 0; None where there are none."""
    from matplotlib.figure import Figure

    if not found:
        return None
    short = spoken(list(study.axes))
    high = 0.62 + 0.62 * len(found)
    figure = Figure(figsize=(5.4, high))
    axes = figure.add_axes((0.03, 0.56 / high, 0.94, 1 - 0.58 / high))
    _quiet(axes)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=1.0, linestyle=(0, (5, 3)))
    told, place = [], axes.get_yaxis_transform()
    for order, effect in enumerate(found):
        y, each, colour = -order, effect.estimated, line_colour(0)
        wide, narrow = each.half, each.trainings if each.scope == "seeds" else None
        for half, width, depth in ((narrow, 7.0, 0.4), (wide, 1.8, 1.0)):
            if half is not None:
                span = [each.value - half, each.value + half]
                axes.plot(span, [y, y], color=colour, linewidth=width, alpha=depth, solid_capstyle="butt")
        axes.plot([each.value], [y], color=colour, marker="o", markersize=7)
        words = plain(effect_words(effect, short), 44)
        for x, side, text in ((0, "left", words), (1, "right", cell_text(each))):
            ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
            look = {"va": "center", "color": INK, "fontsize": 9.5, "bbox": ground}
            axes.text(x, y + 0.3, text, transform=place, ha=side, **look)
        told.append(f"{words}: {cell_text(each)}")
    axes.set_yticks([])
    axes.set_ylim(-len(found) + 0.65, 0.6)
    axes.margins(x=0.05)
    axes.set_xlabel(plain(f"difference, {unit}" if unit else "difference", 60), color=MUTED, fontsize=9.5)
    return StudyFigure(
        "", Markup(themed_svg(figure, "study-effects")), f"Differences with 95 % intervals. {'; '.join(told)}.", 1
    )


def response_figure(study: StudyView, values: StudyValues, place: Arrangement, axis: str) -> StudyFigure | None:
    """Draw the values of one swept setting: a line where they are numbers, points otherwise; None for no value."""
    from matplotlib.figure import Figure

    found = []
    for choice in place.columns:
        members = place.members(study, values, place.facets[0], (), choice)
        estimated = estimated_cell(study, values, members)[0]
        if estimated is not None:
            singles = values.value[list(members)].ravel()
            found.append((choice_words(place.column, choice), estimated, singles[np.isfinite(singles)]))
    if not found:
        return None
    numeric = all(is_number(words) for words, _, _ in found) and len(found) > 1
    x = [float(words) for words, _, _ in found] if numeric else list(range(len(found)))
    figure = Figure(figsize=(5.6, 3.3))
    axes = figure.add_axes((0.13, 0.17, 0.85, 0.80))
    _quiet(axes)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    y = [each.value for _, each, _ in found]
    if numeric:
        axes.plot(x, y, color=line_colour(0), linewidth=1.6)
        if min(x) > 0 and max(x) / min(x) >= WIDE_RATIO:
            axes.set_xscale("log")
        axes.set_xticks(x, [words for words, _, _ in found])
        axes.minorticks_off()
    else:
        axes.set_xticks(x, [plain(words, 22) for words, _, _ in found])
        axes.set_xlim(-0.5, len(found) - 0.5)
    for here, (_, each, singles) in zip(x, found, strict=True):
        if len(singles) > 1:
            axes.plot([here] * len(singles), singles, "o", color=MUTED, markersize=3.5, alpha=0.8)
        axes.errorbar([here], [each.value], each.half, color=line_colour(0), marker="o", markersize=7, elinewidth=1.6)
    label = spoken(place.column)[place.column[0]]
    axes.set_xlabel(label, color=MUTED, fontsize=10)
    axes.set_ylabel(plain(axis, 50), color=MUTED, fontsize=10)
    told = "; ".join(f"{words}: {cell_text(each)}" for words, each, _ in found)
    return StudyFigure("", Markup(themed_svg(figure, "study-response")), f"{label}: {told}.")


def course_figures(
    study: StudyView, values: StudyValues, place: Arrangement, name: str, axis: str
) -> list[StudyFigure]:
    """Draw the course of a measurement over the generations for every point: small plots with the same axes.

    Rows and columns are those of the heat map; settings that it averages over share a plot. Thin: one run; thick: the
    mean over the runs of a plot at the generations that all of them have.
    """
    grid = bool(place.row) and len(place.columns) <= MOST_COLUMNS
    columns = len(place.columns) if grid else 4
    facets: list[tuple[str, list[CoursePlot]]] = []
    for facet in place.facets:
        plots = [
            CoursePlot(
                *_cell_words(place, row, column),
                tuple(_points(study, values, place.members(study, values, facet, row, column))),
            )
            for row in place.rows
            for column in place.columns
        ]
        facets.append((place.facet_words(facet), [plot for plot in plots if grid or plot.points]))
    limits = _limits([point for _, plots in facets for plot in plots for point in plot.points], name)
    if limits is None:
        return []
    last = max(point.generations for point in study.points)
    return [
        StudyFigure(words, *_course(plots, name, axis, columns, (*limits, last), order))
        for order, (words, plots) in enumerate(facets)
        if any(plot.points for plot in plots)
    ]


def _limits(points: Sequence[StudyPoint], name: str) -> tuple[float, float] | None:
    """Return the ends of an axis on which every value of the points has room; None for no value."""
    known = [value for point in points if point.run is not None for value in _series(point.run, name).values()]
    if not known:
        return None
    room = (max(known) - min(known)) * 0.06 or abs(max(known)) * 0.1 or 1.0
    return min(known) - room, max(known) + room


def _points(study: StudyView, values: StudyValues, members: Sequence[int]) -> list[StudyPoint]:
    names = {values.configurations[k] for k in members}
    return [point for point in study.points if study.configuration(point) in names]


def _cell_words(place: Arrangement, row: Choice, column: Choice) -> tuple[str, str]:
    """Return the choice of a row and of a column in words; "" where there is none."""
    parts = [
        ""
        if not names
        else named_choice(names, choice)
        if is_number(choice[0])
        else plain(choice_words(names, choice), 40)
        for names, choice in ((place.row, row), (place.column, column))
    ]
    return parts[0], parts[1]


def _course(
    plots: Sequence[CoursePlot],
    name: str,
    axis: str,
    columns: int,
    limits: tuple[float, float, float],
    order: int,
) -> tuple[Markup, str, int]:
    """Return the figure of one facet: svg, text, plots in a row. Many columns have their titles at the edges alone."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, len(plots)))
    rows, dense = math.ceil(len(plots) / columns), columns > MOST_TITLED
    high = (1.2 if dense else 1.75) * rows + 0.35
    figure = Figure(figsize=(WIDTH if columns > 2 else WIDTH * columns / 3, high))
    gaps = (0.10, 0.12) if dense else (0.10, 0.42)
    figure.subplots_adjust(0.85 / figure.get_size_inches()[0], 0.45 / high, 0.99, 1 - 0.28 / high, *gaps)
    told = []
    for k, plot in enumerate(plots):
        if not plot.points:
            continue
        axes = figure.add_subplot(rows, columns, k + 1)
        _frame(axes, limits, left=k % columns == 0, bottom=k >= len(plots) - columns)
        title = plot.words if not dense else plot.column if k < columns else ""
        axes.set_title(plain(title, 32 if columns > 3 else 44), fontsize=8 if dense else 10, loc="left", color=INK)
        if k % columns == 0 and (dense or k // columns == (rows - 1) // 2):
            axes.set_ylabel(
                plain(plot.row if dense else axis, 18 if dense else 26), color=INK if dense else MUTED, fontsize=9
            )
        told.append(f"{plot.words}: {_curves(axes, plot.points, name)}")
    words = f"Course over the generations. {'; '.join(told)}."
    return Markup(themed_svg(figure, f"study-course-{order}")), words, min(columns, MOST_TITLED)


def _frame(axes: Axes, limits: tuple[float, float, float], left: bool, bottom: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high, last = limits
    _quiet(axes)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.2, last + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.tick_params(labelsize=9, labelleft=left, labelbottom=bottom)
    if bottom:
        axes.set_xlabel("generation", color=MUTED, fontsize=9)


def _curves(axes: Axes, points: Sequence[StudyPoint], name: str) -> str:
    """Draw the runs of one plot; return where their mean ends."""
    runs = [point.run for point in points if point.run is not None]
    reals = [m.value for run in runs if (m := run.real(name)) is not None and m.value is not None]
    if reals:
        axes.axhline(float(np.mean(reals)), color=INK, linewidth=1.0, linestyle=(0, (5, 3)))
    series = [_series(run, name) for run in runs]
    series = [each for each in series if len(each) > 1]
    colour = line_colour(0)
    for each in series:
        single = len(series) == 1
        axes.plot(
            list(each), list(each.values()), color=colour, linewidth=2.0 if single else 0.8, alpha=1 if single else 0.6
        )
        if max(each) < max(point.generations for point in points):
            axes.plot([max(each)], [each[max(each)]], marker="x", color=INK, markersize=6)
    for chain in runs[0].chains(name, 0) if len(series) == 1 else ():
        axes.plot(
            [m.generation for m in chain], [float(m.value or 0) for m in chain], color=colour, linewidth=0.7, alpha=0.55
        )
    _tell_missing(axes, len(points), len(series), max((each[max(each)] for each in series), default=0.0))
    if not series:
        return "missing"
    shared = sorted(set.intersection(*(set(each) for each in series)))
    mean = [float(np.mean([each[t] for each in series])) for t in shared]
    if len(series) > 1:
        axes.plot(shared, mean, color=colour, linewidth=2.2)
    return f"{number(mean[-1])} at generation {shared[-1]}".replace(NBSP, " ")


def _tell_missing(axes: Axes, points: int, drawn: int, end: float) -> None:
    """Write how many runs of a plot are missing, away from where its curves end, and hatch a plot without any."""
    if points == drawn:
        return
    low, high = axes.get_ylim()
    y, side = (0.94, "top") if end < (low + high) / 2 else (0.06, "bottom")
    words = f"{points - drawn} of {points} missing" if drawn else "missing"
    look = {"ha": "right", "va": side, "color": MUTED, "fontsize": 8.5, "style": "italic"}
    axes.text(0.97, y, words, transform=axes.transAxes, **look)
    if not drawn:
        axes.add_patch(_hatched(axes))


def _series(run: Run, name: str) -> dict[int, float]:
    real = run.real(name)
    found = {m.generation: float(m.value) for m in run.series(name) if m.value is not None}
    return {**({0: float(real.value)} if real is not None and real.value is not None else {}), **found}


def _hatched(axes: Axes) -> Rectangle:
    from matplotlib.patches import Rectangle

    look = {"facecolor": "none", "edgecolor": RULE, "hatch": "////", "linewidth": 0, "zorder": 0}
    return Rectangle((0, 0), 1, 1, transform=axes.transAxes, **look)


def _quiet(axes: Axes) -> None:
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=10, length=3, width=0.8)
    axes.set_axisbelow(True)
