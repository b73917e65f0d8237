"""The comparison page: groups of runs side by side, repeats with intervals, differences with tests by seed.

The page shows the pictures of two groups under one slider with a divider, the strips of all groups, one curve per group
with the interval of its own repeats, all runs by two measurements, and the tests. Settings that all runs share are
listed once; the settings in which they differ are the labels of the groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..io.atomic import write_atomic
from .compare_panels import FEW, chosen_measurements, group_panel
from .compare_points import point_plot
from .grids import Row, caption, page_rows
from .groups import MOST_GROUPS, Group, group_runs, pictured_runs, same_data, shared_names
from .methods import flat
from .numbers import is_distance, number
from .page import ROOM, environment
from .palette import themes
from .panels import family_of, open_families
from .planted import counted_thing
from .run_view import plain
from .stage_bar import Ribbon, ribbons
from .statistics import Difference, differences, estimate, outcomes
from .wording import wording

__all__ = ["compared_sentence", "invented", "write_comparison"]

COLUMNS = 8
NARROW = 4  # pictures of a strip on the screen of a phone
LONGEST = 120  # letters of the values in the head line; of more, the lowest and the highest are given


@dataclass(frozen=True)
class Shown:
    """One group on the page: its label, its runs and seeds as text, its pictures and its stage ribbon."""

    label: str
    made_of: str
    run: str
    rows: list[Row]
    columns: int
    width: int
    height: int
    ribbon: Ribbon | None

    @property
    def narrow(self) -> int:
        """The width of the first pictures, those that fit on a narrow screen."""
        each = (self.width + 2) // self.columns
        return min(self.columns, NARROW) * each - 2


@dataclass(frozen=True)
class TableRow:
    """One line of the table of numbers: title, key, real against real, one cell per group."""

    title: str
    key: str
    floor: str
    cells: tuple[str, ...]


def write_comparison(folders: Sequence[Path], out: Path) -> Path:
    """Write the page that compares runs.

    Args:
        folders: two or more run folders; those that differ only in their seed are treated as repeats.
        out: the HTML file.

    Returns:
        ``out``.

    Raises:
        ValueError: for fewer than two runs, more than six groups, the same run twice, or a damaged folder.
    """
    groups, shared = group_runs(folders)
    if len(groups) > MOST_GROUPS:
        names = ", ".join(group.label for group in groups)
        raise ValueError(
            f"compare: expected at most {MOST_GROUPS} different groups, got {len(groups)}: {names}. A study of "
            "more has a page of its own: imagelab report STUDY"
        )
    html = environment().get_template("compare.html").render(**_context(groups, shared))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, html.encode("utf-8", "replace").decode("utf-8"))
    return out


def _context(groups: Sequence[Group], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that the template shows."""
    run, last = groups[0].runs[0], min(group.last for group in groups)
    families = open_families(run)
    names = [name for name in shared_names(groups) if family_of(name) in families]
    chosen, declared = chosen_measurements(run, names), outcomes(shared_names(groups))
    tested = differences(groups, list(dict.fromkeys([*declared, *chosen])), last) if last else []
    shown, copies, alike = _shown(groups)
    sentence, meaning = compared_sentence(groups, shared_names(groups), last)
    return {
        "title": "Side by side: " + " · ".join(group.label for group in groups),
        "sentence": sentence,
        "meaning": meaning,
        "groups": shown,
        "alike": alike,
        "copies": copies,
        "panels": [group_panel(groups, name) for name in chosen],
        "points": point_plot(groups, _first(names, [*declared, *chosen]), last),
        "table": _table(groups, names, last),
        "differences": [(d, wording(run, d.name).title, _amount(d)) for d in tested],
        "tests": max((d.tests for d in tested if d.outcome and d.p is not None), default=0),
        "outcomes": [wording(run, name).title for name in declared],
        "last": last,
        "shared": flat({key: value for key, value in shared.items() if value is not None}),
        "runs": [
            (group.label, each.name, plain(each.experiment.get("seed", "?"))) for group in groups for each in group.runs
        ],
        "same_data": same_data(groups),
        "repeats": min(len(group.runs) for group in groups),
        "few": [group.label for group in groups if 1 < len(group.runs) <= FEW],
        "themes": themes(max(last, 1)),
        "caption": caption,
        "fit": lambda width: max(1, int(ROOM // width)),
        "version": plain(run.provenance.get("imagelab", "")),
    }


def _first(names: Sequence[str], preferred: Sequence[str]) -> list[str]:
    """Return the measurements of a page, the preferred in front, without repeats in other random features."""
    repeats = [name for name in names if "randconv-s" in name and not name.endswith("-s0")]
    return [name for name in dict.fromkeys([*preferred, *names]) if name not in repeats]


def _shown(groups: Sequence[Group]) -> tuple[list[Shown], bool, bool]:
    """Return the groups with as many pictures each, whether these are copies, and whether all copy the same ones."""
    runs = pictured_runs(groups)
    kind = "photocopy" if all(run.pictures("photocopy") for run in runs) else "tracked"
    pictures = [run.pictures(kind) for run in runs]
    sizes = [next(iter(each.values())).shape[2:] for each in pictures]
    columns = min(COLUMNS, *(max(1, ROOM // (width + 2)) for _, width in sizes))
    columns = min(page_rows(each, columns)[1] for each in pictures)
    firsts = [each[min(each)][:columns] for each in pictures]
    alike = kind == "photocopy" and all(np.array_equal(each, firsts[0]) for each in firsts)
    shown = []
    for group, run, each, (height, width) in zip(groups, runs, pictures, sizes, strict=True):
        rows, found = page_rows(each, columns)[0], ribbons(run)
        wide = columns * (width + 2) - 2
        ribbon = found[0] if found else None
        shown.append(Shown(group.label, group.made_of, run.name, rows, columns, wide, height, ribbon))
    return shown, kind == "photocopy", alike


def _table(groups: Sequence[Group], names: Sequence[str], last: int) -> list[TableRow]:
    """Return the rows of the last generation that all groups have."""
    run, rows = groups[0].runs[0], []
    for name in names:
        floors = [_said(group, name, 0) for group in (groups[:1] if same_data(groups) else groups)]
        cells = tuple(_said(group, name, last) for group in groups)
        rows.append(TableRow(wording(run, name).title, name, " / ".join(floors), cells))
    return rows


def _said(group: Group, name: str, generation: int) -> str:
    found = estimate(group, name, generation)
    return "–" if found is None else found.said


def _amount(difference: Difference) -> str:
    return number(difference.value, difference.half)


def compared_sentence(groups: Sequence[Group], names: Sequence[str], last: int) -> tuple[str, str]:
    """Return the values of the groups in the first measurement that they share, and what that measurement means.

    Args:
        groups: the groups.
        names: measurements that every run has.
        last: the generation.
    """
    if last == 0:
        return "These runs have no measurement in common that can be compared.", ""
    run = groups[0].runs[0]
    order = open_families(run)
    names = [name for name in names if family_of(name) in order or name.endswith(("/twin", "/blank"))]
    shown = [name for name in names if family_of(name) in order]
    if not shown:
        return "These runs have no measurement in common that can be compared.", ""
    name = min(chosen_measurements(run, shown) or shown, key=lambda n: order.index(family_of(n)))
    found = [(group, each) for group in groups if (each := estimate(group, name, last)) is not None]
    values = ", ".join(f"{group.label} ({_evidence(group)}) {each.said}" for group, each in found)
    if len(values) > LONGEST:
        ends = [pick(found, key=lambda pair: pair[1].value) for pick in (min, max)]
        values = " to ".join(f"{each.said} in {group.label} ({_evidence(group)})" for group, each in ends)
        values = f"from {values}, the lowest and the highest of {len(found)} groups"
    floor = estimate(groups[0], name, 0) if same_data(groups) else None
    real, words = run.real(name), wording(run, name)
    kind = "two real sets" if real and is_distance(real) else "real images"
    values += f"; {kind} {floor.said}" if floor else ""
    after = f"after {last} generation{'s' if last > 1 else ''}"
    meaning = f"{words.title}: {words.meaning}." if words.meaning else ""
    aside = invented(groups, names, last) if name.endswith("/count") else ""
    return f"{words.phrase}, {after}: {values}.", " ".join(filter(None, [meaning, aside]))


def invented(groups: Sequence[Group], names: Sequence[str], last: int) -> str:
    """Return how many freckles are also found where there are none, and what is left without them; "" if not known.

    Args:
        groups: the groups.
        names: measurements that every run has.
        last: the generation.
    """
    told, thing = [], counted_thing(groups[0].runs[0])
    for part, words in (
        ("twin", "Found in a loop that never saw freckles"),
        ("blank", "Found where there are none, on copies of faces without freckles"),
        ("net", "Net of what the model adds, holding what blur may hide"),
    ):
        name, words = thing.name(part), thing.told(words)
        known = name in names and not (part == "blank" and told)
        found = [f"{each.said} ({group.label})" for group in groups if known and (each := estimate(group, name, last))]
        if len(found) == len(groups):
            told.append(f"{words}: {', '.join(found)}.")
    return " ".join(told)


def _evidence(group: Group) -> str:
    return group.made_of.partition(", seed")[0].partition(" of one training")[0]
