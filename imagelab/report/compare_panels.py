"""The figures of a comparison: one curve per group, with the interval that each group has of its own repeats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ..measurement import Measurement, t95
from . import curves
from .groups import Group, same_data
from .headline import finest_band
from .numbers import is_distance
from .panels import Panel, family_of, open_families
from .run_view import Run, plain
from .statistics import Estimate, estimate
from .svg import INK, themed_svg
from .wording import TELLING, wording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FEW", "chosen_measurements", "group_panel", "shading"]

FEW = 4
"""Up to this number of runs, caption and page say that Student's t makes such intervals wide."""


def chosen_measurements(run: Run, names: Sequence[str]) -> list[str]:
    """Return the measurements with a figure: one of every family that a page shows at once.

    Of the band powers it is the finest octave, of precision and recall the one of TELLING, of others the first.

    Args:
        run: a run, for the order of the families.
        names: measurements that all runs share.
    """
    finest, found = finest_band(run), {}
    order = open_families(run)
    for name in sorted(names, key=lambda n: order.index(family_of(n))):
        family = family_of(name)
        if family.startswith("tails") or (family == "band_power" and name != finest):
            continue
        if family not in found or name == TELLING.get(family):
            found[family] = name
    return list(found.values())


def group_panel(groups: Sequence[Group], name: str) -> Panel:
    """Return the figure of one measurement: a curve per group, shaded where the group has repeats of its own.

    Args:
        groups: up to as many as there are colours.
        name: a measurement that they share.
    """
    run = groups[0].runs[0]
    words = wording(run, name)
    figure, axes = curves.new_axes(words.axis, max(group.last for group in groups))
    floors = [m for group in groups for run in group.runs if (m := run.real(name)) and m.value is not None]
    ends, told = [], []
    if floors and same_data(groups):
        ends.append(_real(axes, floors))
    for order, group in enumerate(groups):
        known = [(g, e) for g in range(0 if floors else 1, group.last + 1) if (e := estimate(group, name, g))]
        x, y = [g for g, _ in known], [e.value for _, e in known]
        colour = curves.line_colour(order)
        bars = np.array([e.ends if e.repeated and e.ends else (np.nan, np.nan) for _, e in known])
        axes.fill_between(x, bars[:, 0], bars[:, 1], color=colour, alpha=0.16, linewidth=0)
        look = {"marker": curves.MARKERS[order], "markersize": 4.5, "markevery": max(1, len(x) // 12)}
        axes.plot(x, y, color=colour, linewidth=2.0, zorder=4 - 0.1 * order, **look)
        ends.append((y[-1], plain(group.label, 20), colour))
        told.append(f"{group.label} ends at {known[-1][1].said}")
    curves.finish(axes, ends)
    shown = _of_family(name, [each for each in run.names if run.series(each)])
    small = "; ".join(filter(None, [f"{name} in metrics.jsonl", shown, shading(groups, name)]))
    svg = themed_svg(figure, "compare-" + re.sub(r"[^0-9A-Za-z]", "-", name))
    meaning = f"{words.meaning[:1].upper()}{words.meaning[1:]}." if words.meaning else ""
    return Panel(words.title, meaning, small, Markup(svg), f"{words.title}. {'; '.join(told)}.")


def _real(axes: Axes, floors: Sequence[Measurement]) -> tuple[float, str, str]:
    level = float(np.mean([m.value for m in floors if m.value is not None]))
    axes.axhline(level, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    return level, "real vs real" if is_distance(floors[0]) else "real", INK


def _of_family(name: str, names: Sequence[str]) -> str:
    """Say which member of its family is shown, where the run has others."""
    family = family_of(name)
    others = [plain(each.partition("/")[2].replace("-", "–"), 24) for each in names if family_of(each) == family]
    part = plain(name.partition("/")[2].replace("-", "–"), 24)
    if family == "band_power" and len(others) > 1:
        return f"the finest octave, {part}, of {len(others)} bands"
    return f"{part}, of {', '.join(others)}" if family in TELLING and len(others) > 1 else ""


def shading(groups: Sequence[Group], name: str) -> str:
    """Say what the shaded interval of each group holds, and how many runs and trainings it has.

    Args:
        groups: the groups.
        name: a measurement that they share.
    """
    said = [_held(group, estimate(group, name, group.last)) for group in groups]
    counts = [group.made_of.partition(", seed")[0] for group in groups]
    if len(set(said)) == 1 and len(set(counts)) == 1:
        return f"each group: {counts[0]}, {said[0]}" if len(groups) > 1 else f"{counts[0]}, {said[0]}"
    parts = [f"{group.label}: {count}, {held}" for group, count, held in zip(groups, counts, said, strict=True)]
    return "; ".join(parts)


def _held(group: Group, end: Estimate | None) -> str:
    if end is None or end.half is None or not end.repeated:
        return "no interval drawn"
    if end.holds == "trainings":
        return "shaded: 95 % interval between its trainings"
    factor = f", {t95(len(group.runs) - 1):.1f} standard errors wide each way" if len(group.runs) <= FEW else ""
    return f"shaded: 95 % interval between its runs{factor}"
