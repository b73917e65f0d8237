"""The comparison page: groups of runs side by side, repeats with intervals, differences with tests by seed.

The page has the parts of a run's page: one strip and one curve per group, and one table. Settings that all runs share
are listed once; the settings in which they differ are the labels of the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ..io.atomic import write_atomic
from . import curves
from .grids import Row, caption, page_rows
from .headline import finest_band
from .methods import flat
from .numbers import is_distance, number
from .page import ROOM, environment
from .palette import themes
from .panels import PANEL_TEXT, Panel, family_of, open_families, title_of
from .run_view import Run, plain
from .stage_bar import Ribbon, ribbons
from .statistics import (
    Difference,
    Estimate,
    Group,
    differences,
    estimate,
    group_runs,
    outcomes,
    same_data,
    shared_names,
)

__all__ = ["write_comparison"]

MOST_GROUPS = 6
COLUMNS = 8


@dataclass(frozen=True)
class Shown:
    """One group on the page: its label, its runs and seeds as text, its pictures and its stage ribbon."""

    label: str
    made_of: str
    rows: list[Row]
    columns: int
    width: int
    height: int
    ribbon: Ribbon | None


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
        raise ValueError(f"compare: expected at most {MOST_GROUPS} different groups, got {len(groups)}: {names}")
    last = min(group.last for group in groups)
    shown = open_families(groups[0].runs[0])
    names = [name for name in shared_names(groups) if family_of(name) in shown]
    chosen = _chosen(groups[0].runs[0], names)
    declared = outcomes(names)
    tested = differences(groups, list(dict.fromkeys([*declared, *chosen])), last) if last else []
    context = {
        "title": "Side by side: " + " · ".join(group.label for group in groups),
        "sentence": _sentence(groups, names, last),
        "groups": [_shown(group) for group in groups],
        "panels": [_panel(groups, name) for name in chosen],
        "table": _table(groups, names, last),
        "differences": [(d, _amount(d)) for d in tested],
        "outcomes": [title_of(groups[0].runs[0], name) for name in declared],
        "last": last,
        "shared": flat({key: value for key, value in shared.items() if value is not None}),
        "runs": [
            (group.label, run.name, plain(run.experiment.get("seed", "?"))) for group in groups for run in group.runs
        ],
        "same_data": same_data(groups),
        "repeats": min(len(group.runs) for group in groups),
        "themes": themes(max(last, 1)),
        "caption": caption,
        "fit": lambda width: max(1, int(ROOM // width)),
        "version": plain(groups[0].runs[0].provenance.get("imagelab", "")),
    }
    html = environment().get_template("compare.html").render(**context)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, html.encode("utf-8", "replace").decode("utf-8"))
    return out


def _shown(group: Group) -> Shown:
    run = group.runs[0]
    pictures = run.pictures("photocopy") or run.pictures("tracked")
    height, width = next(iter(pictures.values())).shape[2:]
    rows, columns = page_rows(pictures, min(COLUMNS, max(1, ROOM // (width + 2))))
    seeds = ", ".join(plain(seed, 12) for seed in group.seeds)
    made_of = f"{_run_count(group)}, seed{'s' if len(group.runs) > 1 else ''} {seeds}"
    found = ribbons(run)
    return Shown(group.label, made_of, rows, columns, columns * (width + 2) - 2, height, found[0] if found else None)


def _chosen(run: Run, names: Sequence[str]) -> list[str]:
    """Return the measurements with a figure: the first of every family of :data:`OPEN_PANELS`, the finest band."""
    finest, found = finest_band(run), {}
    order = open_families(run)
    for name in sorted(names, key=lambda n: order.index(family_of(n))):
        family = family_of(name)
        if family.startswith("tails") or (family == "band_power" and name != finest):
            continue
        found.setdefault(family, name)
    return list(found.values())


def _panel(groups: Sequence[Group], name: str) -> Panel:
    first = groups[0].runs[0].at(name, groups[0].last)
    assert first is not None
    unit = first.unit or ("distance" if first.better == "lower" else name.partition("/")[0].replace("_", " "))
    figure, axes = curves.new_axes(plain(unit, 40), max(group.last for group in groups))
    floors = [m for group in groups for run in group.runs if (m := run.real(name)) and m.value is not None]
    ends, last_values = [], []
    if floors and same_data(groups):
        level = float(np.mean([m.value for m in floors if m.value is not None]))
        axes.axhline(level, color=curves.INK, linewidth=1.2, linestyle=(0, (5, 3)))
        ends.append((level, "real vs real" if is_distance(floors[0]) else "real", curves.INK))
    for order, group in enumerate(groups):
        x = [g for g in range(0 if floors else 1, group.last + 1) if estimate(group, name, g)]
        rows = [e for g in x if (e := estimate(group, name, g))]
        y = np.array([e.value for e in rows])
        half = np.array([e.half or 0.0 for e in rows])
        colour = curves.line_colour(order)
        if all(e.holds in ("runs", "trainings") for e in rows[1 if floors else 0 :]):
            axes.fill_between(x, y - half, y + half, color=colour, alpha=0.16, linewidth=0)
        axes.plot(
            x, y, color=colour, marker=curves.MARKERS[order], markersize=4.5, linewidth=2.0, zorder=4 - 0.1 * order
        )
        ends.append((float(y[-1]), plain(group.label, 20), colour))
        last_values.append(f"{group.label} ends at {y[-1]:.3g}")
    if all(y >= 0 for y, _, _ in ends):
        axes.set_ylim(-0.02 * axes.get_ylim()[1], axes.get_ylim()[1])
    curves.end_labels(axes, ends)
    title = title_of(groups[0].runs[0], name)
    small = _shading([e for group in groups if (e := estimate(group, name, group.last))])
    key = "compare-" + "".join(c if c.isalnum() else "-" for c in name)
    row = groups[0].runs[0].row(name)
    what = PANEL_TEXT.get(name) or PANEL_TEXT.get(family_of(name)) or (row.what if row else "")
    return Panel(
        title, what, f"{name}; {small}", Markup(curves.themed_svg(figure, key)), f"{title}. {'; '.join(last_values)}."
    )


def _shading(ends: Sequence[Estimate]) -> str:
    """Say what the shaded intervals of a figure hold."""
    words = {
        "runs": "between runs with different seeds",
        "trainings": "between the trainings of one run, where a group has one run",
    }
    held = [words[holds] for holds in words if any(end.holds == holds for end in ends)]
    alone = any(end.holds not in words for end in ends)
    shaded = f"shaded: 95 % intervals {'; '.join(held)}" if held else ""
    return "; ".join(filter(None, [shaded, "no interval for one run of one training" if alone else ""]))


def _run_count(group: Group) -> str:
    return f"{len(group.runs)} runs" if len(group.runs) > 1 else "one run"


def _table(groups: Sequence[Group], names: Sequence[str], last: int) -> list[tuple[str, str, list[str]]]:
    """Return (measurement, real against real, one cell per group) for the last generation that all groups have."""
    rows = []
    for name in names:
        floors = [_said(estimate(group, name, 0)) for group in (groups[:1] if same_data(groups) else groups)]
        cells = [estimate(group, name, last) for group in groups]
        rows.append((name, " / ".join(floors), [_said(cell) for cell in cells]))
    return rows


def _said(found: Estimate | None) -> str:
    return "–" if found is None else number(found.value, found.half or None)


def _amount(difference: Difference) -> str:
    return number(difference.value, difference.half)


def _sentence(groups: Sequence[Group], names: Sequence[str], last: int) -> str:
    """Report the values of the groups in the first measurement of :data:`OPEN_PANELS` that they share."""
    if last == 0 or not names:
        return "These runs have no measurement in common that can be compared."
    run = groups[0].runs[0]
    order = open_families(run)
    name = min(_chosen(run, names) or names, key=lambda n: order.index(family_of(n)))
    parts = [
        f"{_said(estimate(group, name, last))} ({group.label}{', one run' if len(group.runs) == 1 else ''})"
        for group in groups
    ]
    floor = estimate(groups[0], name, 0) if same_data(groups) else None
    real, title = run.real(name), title_of(run, name)
    kind = "two real sets" if real and is_distance(real) else "real images"
    unit = f" in {real.unit}" if real and real.unit and real.unit not in ("share", "ratio", "freckles/face") else ""
    values = f"{title[0].lower()}{title[1:]}{unit}: {', '.join(parts)}" + (f"; {kind} {_said(floor)}" if floor else "")
    return f"After {last} generation{'s' if last > 1 else ''}, {values}."
