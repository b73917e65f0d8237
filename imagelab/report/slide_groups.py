"""The deck of several runs: groups with the intervals of their repeats, pictures side by side, tested differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .compare import compared_sentence, invented
from .compare_panels import shading
from .groups import MOST_GROUPS, Group, group_runs, pictured_runs, same_data, shared_names
from .methods import flat
from .numbers import is_distance, number
from .planted import counted_thing
from .run_view import plain
from .slide_charts import ChartLine, SlideChart, data_slides, generation_word
from .slide_findings import brief_number, main_measurements, share_of_real, what_is_shown
from .slide_parts import add_bullets, add_table, new_slide, picture_rows
from .slide_sections import add_charts, add_film, add_links, add_stages, film_title
from .stage_bar import ribbons
from .statistics import Difference, Estimate, differences, estimate, outcomes
from .wording import wording

if TYPE_CHECKING:
    from pptx.presentation import Presentation

__all__ = ["tell_groups"]

NAMED = 3  # up to this number of groups a title names the value of each
FILM_RUNS = 4
LONGEST_CAPTION = 230  # letters


def tell_groups(deck: Presentation, folders: Sequence[Path], scratch: Path) -> str:
    """Add the slides of several runs to a deck and return its title.

    Args:
        deck: the deck.
        folders: two or more run folders.
        scratch: a folder for pictures.

    Raises:
        ValueError: for the same run twice, more than six groups, or a damaged folder.
    """
    groups, shared = group_runs(folders)
    if len(groups) > MOST_GROUPS:
        names = ", ".join(group.label for group in groups)
        raise ValueError(f"slides: expected at most {MOST_GROUPS} different groups, got {len(groups)}: {names}")
    last, views = min(group.last for group in groups), pictured_runs(groups)
    notes = [f"{group.label}: {group.made_of}. Runs: {', '.join(run.name for run in group.runs)}." for group in groups]
    names = shared_names(groups)
    _opening(deck, groups, names, last, notes)
    if len(views) <= FILM_RUNS and all(max(view.pictures("photocopy"), default=0) for view in views):
        labelled = [(group.label, view) for group, view in zip(groups, views, strict=True)]
        add_film(deck, views, scratch, film_title(labelled), notes, [plain(group.label, 24) for group in groups])
    charts = _charts(groups, names, notes) if last else []
    places = add_charts(deck, charts)
    found = [(group.label, ribbon[0]) for group, view in zip(groups, views, strict=True) if (ribbon := ribbons(view))]
    if found:
        told = [f"{label}: {plain(ribbon.told[0], 280)}" for label, ribbon in found if ribbon.told]
        same = {ribbon.told[:1] for _, ribbon in found}
        told = [plain(found[0][1].told[0], 200)] if len(same) == 1 and told else told
        add_stages(deck, found, told, [*told, *(ribbon.alt for _, ribbon in found), *notes])
    if len(groups) > 1 and last:
        _tests(deck, groups, names, last, notes)
    _method(deck, groups, shared, notes)
    if charts:
        add_links(places, data_slides(deck, charts, notes))
    return "Side by side: " + ", ".join(group.label for group in groups)


def _opening(
    deck: Presentation, groups: Sequence[Group], names: Sequence[str], last: int, notes: Sequence[str]
) -> None:
    """Add the values of the groups and, below, one row of pictures for each."""
    sentence, meaning = compared_sentence(groups, names, last)
    slide, top = new_slide(deck, sentence, "", [meaning, *notes])
    views = pictured_runs(groups)
    kind = "photocopy" if all(view.pictures("photocopy") for view in views) else "tracked"
    pictures = [view.pictures(kind) for view in views]
    rows = [
        (f"{group.label}, generation {max(each)}", each[max(each)])
        for group, each in zip(groups, pictures, strict=True)
    ]
    reals = [each[min(each)] for each in pictures]
    if kind == "photocopy" and all(np.array_equal(real, reals[0]) for real in reals):
        rows.insert(0, ("real", reals[0]))
    picture_rows(slide, rows, f"Rows of pictures: {'; '.join(label for label, _ in rows)}.", top)


def _charts(groups: Sequence[Group], names: Sequence[str], notes: Sequence[str]) -> list[SlideChart]:
    charts = []
    for role, name in main_measurements(groups[0].runs[0]).items():
        if name not in names:
            continue
        run = groups[0].runs[0]
        lines = [_line(group, name) for group in groups]
        real = run.real(name)
        if real is not None and real.value is not None and same_data(groups):
            count = max(len(line.values) for line in lines)
            word = "two real sets" if is_distance(real) else "real"
            level = estimate(groups[0], name, 0)
            value = real.value if level is None else level.value
            lines.append(ChartLine(word, (value,) * count, (None,) * count, real.n_fake, "real"))
        short = {
            "freckles": counted_thing(run).told("Freckles"),
            "detail": "Finest detail",
            "variety": "Variance",
            "distance": "Distance",
        }[role]
        words, what = wording(run, name), what_is_shown(run, name)
        aside = invented(groups, names, min(group.last for group in groups)) if name.endswith("/count") else ""
        bars = shading(groups, name).replace("shaded: 95 % interval", "bars: 95 % interval")
        bars = bars.replace("no interval drawn", "no bars")
        caption = f"{what} {bars[:1].upper()}{bars[1:]}."
        if len(caption) > LONGEST_CAPTION:
            repeated = sum(any(line.ends) for line in lines)
            caption = f"{what} Bars: 95 % interval between runs or trainings, for {repeated} of {len(groups)} groups."
        charts.append(
            SlideChart(
                _finding(role, groups, name),
                caption,
                words.axis,
                short,
                tuple(lines),
                tuple([f"{name}: {what} {bars}.", aside, *notes]),
            )
        )
    return charts


def _line(group: Group, name: str) -> ChartLine:
    found = [estimate(group, name, generation) for generation in range(group.last + 1)]
    values = tuple(None if each is None else each.value for each in found)
    ends = tuple(each.ends if each is not None and each.repeated else None for each in found)
    images = next((each.images for each in found[1:] if each is not None), 0)
    return ChartLine(plain(group.label, 28), values, ends, images)


def _finding(role: str, groups: Sequence[Group], name: str) -> str:
    """Return the values of the groups at their last common generation as a sentence."""
    last = min(group.last for group in groups)
    found = [(group.label, each) for group in groups if (each := estimate(group, name, last)) is not None]
    run = groups[0].runs[0]
    real = estimate(groups[0], name, 0) if same_data(groups) else None

    def say(each: Estimate) -> str:
        return share_of_real(role, each.value) if role in ("detail", "variety") else brief_number(each.value)

    head = {
        "freckles": wording(run, name).title,
        "detail": "Energy of fine detail, of real",
        "variety": "Pixel variance, of real",
        "distance": wording(run, name).title.partition(" (")[0],
    }[role]
    if len(found) <= NAMED:
        values = ", ".join(f"{say(each)} ({label})" for label, each in found)
    else:
        low, high = (pick(found, key=lambda pair: pair[1].value) for pick in (min, max))
        values = f"from {say(low[1])} ({low[0]}) to {say(high[1])} ({high[0]})"
    beside = {"freckles": "in real images", "distance": "between two real sets"}.get(role)
    floor = f"; {brief_number(real.value)} {beside}" if real is not None and beside else ""
    return f"{head} after {generation_word(last)} generation{'s' if last > 1 else ''}: {values}{floor}"


def _tests(deck: Presentation, groups: Sequence[Group], names: Sequence[str], last: int, notes: Sequence[str]) -> None:
    """Add the table of declared outcomes: the difference of each group from the first, and its corrected p value."""
    run, declared = groups[0].runs[0], outcomes(names)
    found = {(each.name, each.group): each for each in differences(groups, declared, last)}
    if not found:
        return
    tests = max((each.tests for each in found.values() if each.p is not None), default=0)
    apart = sum(each.p is not None and each.p < 0.05 for each in found.values())
    others = groups[1].label if len(groups) == 2 else f"{generation_word(len(groups) - 1)} groups"
    title = (
        f"{apart} of {tests} tests find {others} different from {groups[0].label}"
        if tests
        else f"Nothing was tested: {groups[0].label} or another group is one run of one training"
    )
    caption = (
        f"Difference from {groups[0].label} at generation {last}. ±: 95 % interval of this difference alone; "
        f"p: corrected for {tests} tests (Holm)."
        if tests
        else f"Difference from {groups[0].label} at generation {last}."
    )
    spoken = [f"{each.name}, {each.group}: {each.words}." for each in found.values()]
    slide, top = new_slide(deck, title, caption, [*spoken, *notes])
    head, rows = ["", *(f"{plain(group.label, 30)} minus {plain(groups[0].label, 30)}" for group in groups[1:])], []
    for name in declared:
        cells = [_cell(found.get((name, group.label))) for group in groups[1:]]
        if len(groups) == 2:
            values = [estimate(group, name, last) for group in groups]
            cells = [*("–" if each is None else each.said for each in values), *cells]
        rows.append([wording(run, name).title, *cells])
    if len(groups) == 2:
        head[1:1] = [plain(group.label, 30) for group in groups]
    add_table(slide, head, rows, top + 0.1, first=4.4, row=0.85)


def _cell(found: Difference | None) -> str:
    if found is None:
        return "–"
    value = number(found.value, found.half)
    value = value if value.startswith("−") or found.value == 0 else f"+{value}"
    p = "not tested" if found.p is None else "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    return f"{value}\n{p}"


def _method(deck: Presentation, groups: Sequence[Group], shared: dict[str, Any], notes: Sequence[str]) -> None:
    points = [
        *(f"{group.label}: {group.made_of}." for group in groups),
        "Runs that differ in their seed alone are repeats. The value of a group is the mean of its runs.",
        "A wide interval says that there are few runs, not that a group does worse; a group of one run of one training "
        "has none, which does not make it more certain.",
        "Pictures are of one run of each group. All images except those of generation 0 are synthetic.",
    ]
    settings = "; ".join(f"{key}: {value}" for key, value in flat({k: v for k, v in shared.items() if v is not None}))
    slide, top = new_slide(
        deck, f"How it was measured: {_counted(groups)}", "", [*notes, plain(f"What all runs share: {settings}", 3000)]
    )
    add_bullets(slide, points, top + 0.1, 20 if len(groups) < 5 else 18, 0.15)


def _counted(groups: Sequence[Group]) -> str:
    """Return the numbers of runs and groups as words."""
    runs = sum(len(group.runs) for group in groups)
    return f"{generation_word(runs)} runs in {generation_word(len(groups))} group{'s' if len(groups) > 1 else ''}"
