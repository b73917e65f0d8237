"""The values of a study arranged by its settings: which two make rows and columns, and a heat map of each facet.

With two swept settings there is one heat map. With more, the others make facets, one heat map for each of their
choices; beyond :data:`MOST_FACETS` choices, the cells are means over them. A cell says its value in text, so that its
colour is an aid only; a point that is missing is hatched and says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from .numbers import NBSP, number
from .palette import cividis, ink_on
from .run_view import plain
from .study_effects import Estimated, Scope, StudyValues, mean_of
from .study_view import StudyPoint, StudyView, spoken

__all__ = [
    "Arrangement",
    "Choice",
    "HeatCell",
    "StudyMap",
    "arranged",
    "cell_scopes",
    "cell_text",
    "choice_words",
    "estimated_cell",
    "heat_maps",
    "is_number",
    "legend",
    "level_words",
    "named_choice",
    "shade",
    "why_missing",
]

MOST_FACETS = 8
SHADES = 64
BRIEF = 56  # letters of a reason in a cell
RANGE = (0.05, 0.95)  # of cividis


@dataclass(frozen=True)
class HeatCell:
    """One cell.

    Attributes:
        state: "value", "missing" (hatched), or "absent": the study has no such point.
        text: the value with its interval, or why it is missing.
        aside: what qualifies it, such as "2 of 3 seeds"; "" for nothing.
        style: CSS of its colours.
        value: the value itself; None where there is none.
    """

    state: str
    text: str
    aside: str = ""
    style: str = ""
    value: float | None = None


@dataclass(frozen=True)
class StudyMap:
    """One heat map.

    Attributes:
        title: the choice of the other settings; "" where there are none.
        rows: (label, cells) in order.
    """

    title: str
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]


Choice = tuple[str | None, ...]
"""A value for each of some settings; None for a setting that a kind does not have."""


@dataclass(frozen=True)
class Arrangement:
    """Which settings make the rows, which the columns, and which choices of the others make facets.

    A setting that only one kind has goes with its kind: "replace", "mix, real fraction 0.1", "mix, real fraction 0.3"
    are choices of two settings that make one row or column each.

    Attributes:
        row: the settings of the rows; () where only one setting, or none, was swept.
        column: the settings of the columns; () where none was swept.
        rows: their choices in order.
        columns: likewise.
        facets: choices of the other settings; one empty choice where there are none.
        others: the other settings.
        averaged: whether the others are averaged over, because they have too many choices.
    """

    row: tuple[str, ...]
    column: tuple[str, ...]
    rows: tuple[Choice, ...]
    columns: tuple[Choice, ...]
    facets: tuple[Choice, ...]
    others: tuple[str, ...]
    averaged: bool

    def members(self, study: StudyView, values: StudyValues, facet: Choice, row: Choice, column: Choice) -> list[int]:
        """Return the positions of the configurations of one cell."""
        wanted = dict(zip((*self.row, *self.column), (*row, *column), strict=True))
        wanted |= {} if self.averaged else dict(zip(self.others, facet, strict=True))
        places = {list(study.axes).index(name): value for name, value in wanted.items()}
        rows = enumerate(values.configurations)
        return [k for k, each in rows if all(each[place] == value for place, value in places.items())]

    def facet_words(self, facet: Choice) -> str:
        """Return the choice of a facet in words; "" where there are no facets."""
        return "" if self.averaged else named_choice(self.others, facet)


def arranged(study: StudyView) -> Arrangement:
    """Return how the points of a study are laid out: the setting with the most values makes the rows."""
    axes, groups = list(study.axes), _with_their_kind(study)
    choices = {group: _choices(study, group) for group in groups}
    order = sorted(groups, key=lambda group: -len(choices[group]))
    row, column = (order[0], order[1]) if len(order) > 1 else ((), order[0] if order else ())
    others = tuple(name for group in groups if group not in (row, column) for name in group)
    places = [axes.index(name) for name in others]
    configurations = dict.fromkeys(study.configuration(point) for point in study.points)
    facets = tuple(dict.fromkeys(tuple(each[place] for place in places) for each in configurations))
    averaged = len(facets) > MOST_FACETS
    rows, columns = (choices.get(group, ((),)) for group in (row, column))
    return Arrangement(row, column, rows, columns, ((),) if averaged else facets, others, averaged)


def _with_their_kind(study: StudyView) -> list[tuple[str, ...]]:
    """Return the swept settings, those that not all points have together with the kind that brings them."""
    groups = {name: [name] for name in study.axes}
    for name in study.axes:
        lacking = any(name not in point.settings for point in study.points)
        kinds = [k for k in study.axes if k.endswith(".kind") and name.startswith(k.removesuffix("kind")) and k != name]
        if lacking and kinds:
            groups[max(kinds, key=len)].append(name)
            del groups[name]
    return [tuple(group) for group in groups.values()]


def _choices(study: StudyView, group: tuple[str, ...]) -> tuple[Choice, ...]:
    """Return the choices of some settings that points have: numbers in their order, others as they were given."""
    found = dict.fromkeys(tuple(point.settings.get(name) for name in group) for point in study.points)
    if len(group) == 1 and all(each == (None,) or is_number(each[0]) for each in found):
        return tuple(sorted(found, key=lambda each: (each[0] is None, float(each[0] or 0))))
    return tuple(found)


def choice_words(names: Sequence[str], choice: Choice) -> str:
    """Return a choice without the name of its first setting: "mix, real fraction 0.1", "24"."""
    short = spoken(names)
    rest = [f"{short[name]} {level_words(v)}" for name, v in zip(names[1:], choice[1:], strict=True) if v is not None]
    return ", ".join([*([level_words(choice[0])] if choice else []), *rest])


def named_choice(names: Sequence[str], choice: Choice) -> str:
    """Return a choice with the names of its settings: "regime mix, real fraction 0.1, components 24"."""
    short = spoken(names)
    return ", ".join(f"{short[name]} {level_words(v)}" for name, v in zip(names, choice, strict=True) if v is not None)


def is_number(text: str | None) -> bool:
    """Whether the value of a setting is a finite number."""
    try:
        return text is not None and bool(np.isfinite(float(text)))
    except ValueError:
        return False


def level_words(value: str | None) -> str:
    """Return the value of a setting in words; a dash where a kind does not have the setting."""
    return "–" if value is None else plain(value, 40).replace("_", " ")


def cell_text(found: Estimated) -> str:
    """Return an estimate with its interval as text."""
    return number(found.value, found.half or None)


def _finer_text(found: Estimated) -> str:
    """Return the same with the digits of its narrowest interval: cells are compared with each other, and vary alike."""
    steps = [half for half in (found.seeds, found.trainings, found.images) if half]
    plainer = cell_text(found)
    if not steps or found.half is None or "×" in plainer:
        return plainer
    value = number(found.value, min(steps)).partition(NBSP)[0]
    decimals = len(value.partition(".")[2])
    return f"{value}{NBSP}±{NBSP}{found.half:,.{decimals}f}"


def estimated_cell(study: StudyView, values: StudyValues, members: Sequence[int]) -> tuple[Estimated | None, int]:
    """Return the mean over some configurations at the seeds that have all of them, and how many seeds are planned."""
    names = {values.configurations[k] for k in members}
    planned = dict.fromkeys(point.seed for point in study.points if study.configuration(point) in names)
    whole = np.flatnonzero(values.known[list(members)].all(axis=0)).tolist()
    seeds = [k for k in whole if values.seeds[k] in planned]
    if not seeds:
        return None, len(planned)
    weights = np.zeros(len(values.configurations))
    weights[list(members)] = 1 / len(members)
    return mean_of(values, weights, seeds), len(planned)


def heat_maps(
    study: StudyView, values: StudyValues, name: str, place: Arrangement
) -> tuple[list[StudyMap], tuple[float, float] | None]:
    """Return the heat maps of a study with two swept settings or more, and the ends of their colours.

    Args:
        study: the study.
        values: the measurement at the generation that is shown.
        name: the measurement.
        place: which settings make rows, columns and facets.
    """
    found: dict[tuple[int, int, int], tuple[Estimated | None, int, list[int]]] = {}
    for f, facet in enumerate(place.facets):
        for r, row in enumerate(place.rows):
            for c, column in enumerate(place.columns):
                members = place.members(study, values, facet, row, column)
                found[f, r, c] = (*estimated_cell(study, values, members), members) if members else (None, 0, [])
    known = [each.value for each, _, _ in found.values() if each is not None]
    ends = (min(known), max(known)) if known else None
    widest = cell_scopes(study, values, place)[:1]
    maps = []
    for f, facet in enumerate(place.facets):
        rows = []
        for r, row in enumerate(place.rows):
            cells = [_cell(study, values, name, found[f, r, c], ends, widest) for c in range(len(place.columns))]
            if any(cell.state != "absent" for cell in cells):
                rows.append((choice_words(place.row, row), tuple(cells)))
        maps.append(StudyMap("" if place.averaged else place.facet_words(facet), tuple(rows)))
    return maps, ends


def _cell(
    study: StudyView,
    values: StudyValues,
    name: str,
    found: tuple[Estimated | None, int, list[int]],
    ends: tuple[float, float] | None,
    widest: Sequence[Scope],
) -> HeatCell:
    estimated, planned, members = found
    if not members:
        return HeatCell("absent", "–")
    if estimated is None or ends is None:
        names = {values.configurations[k] for k in members}
        points = [point for point in study.points if study.configuration(point) in names]
        return HeatCell("missing", "missing", _reasons(study, points, name))
    low, high = ends
    position = (estimated.value - low) / (high - low) if high > low else 0.5
    colour = shade(position)
    other = {"trainings": "± between trainings", "images": "± images alone"}.get(estimated.scope or "", "")
    aside = [f"{estimated.used} of {planned} seeds" if estimated.used < planned else ""]
    aside += ["" if estimated.scope in widest else other]
    style = f"background:{colour};color:{ink_on(colour)}"
    return HeatCell("value", _finer_text(estimated), "; ".join(filter(None, aside)), style, estimated.value)


def _reasons(study: StudyView, points: Sequence[StudyPoint], name: str) -> str:
    """Return why the points of a cell are missing: once where it is the same for all, else seed by seed."""
    reasons = {point.seed: why_missing(study, point, name) for point in points}
    known = dict.fromkeys(filter(None, reasons.values()))
    if len(known) < 2:
        return "".join(known)
    return "; ".join(f"seed {seed}: {reason}" for seed, reason in reasons.items() if reason)


def cell_scopes(study: StudyView, values: StudyValues, place: Arrangement) -> list[Scope]:
    """Return what the intervals of the cells hold, the most first, without repeats."""
    found = set()
    for facet, row, column in itertools.product(place.facets, place.rows, place.columns):
        members = place.members(study, values, facet, row, column)
        estimated = estimated_cell(study, values, members)[0] if members else None
        found |= {estimated.scope} if estimated is not None and estimated.scope is not None else set()
    order: tuple[Scope, ...] = ("seeds", "trainings", "images")
    return [scope for scope in order if scope in found]


def why_missing(study: StudyView, point: StudyPoint, name: str) -> str:
    """Return why a point has no value of a measurement at the generation of the primary outcome; "" if it has one."""
    generation = study.target(point)
    if point.run is not None and point.run.at(name, generation) is not None:
        return ""
    if point.run is not None and generation > point.generations:
        return f"has {point.generations} generations"
    if point.run is not None:
        rows = [m for m in point.run.measurements if m.name == name and m.generation == generation and m.value is None]
        if rows:
            return plain(rows[0].missing, 120)
        if point.run.last >= generation:
            return f"not measured at generation {generation}"
    made = f"generation {point.run.last} of {point.generations}" if point.run is not None else ""
    return "; ".join(filter(None, [made, plain(point.why, BRIEF)]))


def shade(position: float) -> str:
    """Return the colour of cividis at a position from 0 to 1, as #rrggbb."""
    return _shades()[round(min(max(position, 0.0), 1.0) * (SHADES - 1))]


@cache
def _shades() -> list[str]:
    return cividis(SHADES, *RANGE)


def legend(ends: tuple[float, float]) -> tuple[str, list[str]]:
    """Return the CSS gradient of the colours and the texts of its lower end, middle and upper end."""
    low, high = ends
    step = (high - low) / 20
    texts = [number(each, step).partition(NBSP)[0] if step else number(each) for each in (low, (low + high) / 2, high)]
    return f"linear-gradient(to right, {', '.join(cividis(9, *RANGE))})", texts
