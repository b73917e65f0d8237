"""Groups of runs: their common settings, their different settings, and tests of the differences in their results.

Runs that differ only in their seed are repeats of one experiment and form a group. The value of a group is the mean
over its runs, with Student's interval between the runs; this interval includes all variation that comes from the seed.
One run is no group, and is called "one run": its interval is that of its own trainings, where it has several, else of
another training as the runs behind a table of retraining ratios differed (evaluation/chains.py).

Two groups are compared on the outcomes of :data:`OUTCOMES`, which are declared here, before any result is known; all
other measurements are descriptive. Runs of one seed begin with the same data. So two groups that share seeds are
compared by the differences within each seed (paired t test), which removes what the data of a seed do to both. Groups
that share fewer than two seeds are compared by Welch's t test between runs; two single runs by the errors between their
trainings. The p values are corrected for the number of tests (Holm), because among many tests some differ by chance.

References:
    The probable error of a mean (Student 1908), doi:10.1093/biomet/6.1.1: the paired test.
    The generalization of "Student's" problem when several different population variances are involved (Welch 1947),
        doi:10.1093/biomet/34.1-2.28.
    A simple sequentially rejective multiple test procedure (Holm 1979), Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..evaluation.chains import loop_error
from ..evaluation.significance import holm, improbable, joined, replicated, sigmas
from ..experiment import flatten
from ..measurement import Measurement, t95
from .run_view import Run, plain, read_run

__all__ = [
    "OUTCOMES",
    "Difference",
    "Estimate",
    "Group",
    "differences",
    "estimate",
    "group_runs",
    "outcomes",
    "same_data",
    "shared_names",
]

OUTCOMES = ("freckles/corrected", "band_power", "frechet_corrected", "vendi")
"""The outcomes that are tested: freckles, the finest octave, a distance, a diversity; the others are descriptive."""

SET_ASIDE = ("name", "title", "seed")
"""Settings in which the runs of one group may differ."""

LONGEST, BRIEF = 60, 40  # letters: the limit of a group's label, and the length above which it is shortened


@dataclass(frozen=True, eq=False)
class Group:
    """Repeats of one experiment.

    Attributes:
        label: the settings that distinguish it from the other groups.
        runs: its runs, sorted by seed.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def last(self) -> int:
        """The last generation that all its runs have."""
        return min(run.last for run in self.runs)

    @property
    def seeds(self) -> tuple[Any, ...]:
        """The seeds of its runs."""
        return tuple(run.experiment.get("seed", "?") for run in self.runs)


@dataclass(frozen=True)
class Estimate:
    """The value of a group.

    Attributes:
        value: the mean over its runs.
        half: half the width of its 95 % interval, None if unknown.
        runs: the number of runs.
        holds: what the interval includes: the variation between "runs" of different seeds; between the "trainings" of
            one run; between trainings of other runs, from a "table"; or only other "images", of real ones.
    """

    value: float
    half: float | None
    runs: int
    holds: Literal["runs", "trainings", "table", "images"]


@dataclass(frozen=True)
class Difference:
    """The difference of one group from the first group in one measurement.

    Attributes:
        name: the measurement.
        group: the label of the group.
        value: the value of the group minus that of the first group; of paired groups, in the seeds that both have.
        half: half the width of its 95 % interval, None where nothing was repeated.
        how: what the interval and the test rest on, in a few words; "" where nothing was repeated.
        outcome: whether it is one of the declared outcomes, which are tested.
        p: the p value, corrected by Holm's method for the number of tests; None for no test.
    """

    name: str
    group: str
    value: float
    half: float | None
    how: str
    outcome: bool
    p: float | None

    @property
    def words(self) -> str:
        """The result of the test as text."""
        if not self.how:
            return "one run, not tested: repeat it with other seeds"
        if self.p is None:
            return f"descriptive, not tested ({self.how})"
        if self.p < 0.001:
            return f"differ, p < 0.001 ({self.how})"
        return f"{'differ' if self.p < 0.05 else 'no significant difference'}, p = {self.p:.3f} ({self.how})"


def group_runs(folders: Sequence[Path]) -> tuple[list[Group], dict[str, Any]]:
    """Return the groups of runs, and the settings that all runs share.

    Args:
        folders: two or more run folders.

    Raises:
        ValueError: for fewer than two runs, the same run twice, or a damaged folder.
    """
    if len(folders) < 2:
        raise ValueError(
            f"compare: expected two runs or more, got {len(folders)}. For one run use: imagelab report RUN"
        )
    runs = [read_run(Path(folder)) for folder in folders]
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise ValueError("compare: the same run folder was given twice; expected different runs")
    settings = [flatten({k: v for k, v in run.experiment.items() if k not in SET_ASIDE}) for run in runs]
    keys = sorted({key for each in settings for key in each})
    shared = {key: settings[0][key] for key in keys if all(_same(s.get(key), settings[0].get(key)) for s in settings)}
    different = [key for key in keys if key not in shared]
    alike: dict[str, list[int]] = {}
    for index, each in enumerate(settings):
        alike.setdefault(json.dumps([each.get(key) for key in different], default=str), []).append(index)
    members = [sorted(each, key=lambda index: str(runs[index].experiment.get("seed"))) for each in alike.values()]
    labels = _labels([{key: settings[own[0]].get(key) for key in different} for own in members])
    groups = [
        Group(plain(label or runs[own[0]].title, LONGEST), tuple(runs[index] for index in own))
        for label, own in zip(labels, members, strict=True)
    ]
    return _numbered(groups), shared


def _same(left: Any, right: Any) -> bool:
    return json.dumps(left, default=str, sort_keys=True) == json.dumps(right, default=str, sort_keys=True)


def _labels(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a label for each group: the settings in which it differs from the others.

    If the labels are too long, settings of a recipe whose kind differs are left out, and so are the metrics, provided
    that the labels remain different. Two kinds of data or model have different settings anyway, so naming these would
    add nothing to the kind.
    """
    labels = [_label(own) for own in groups]
    if max(map(len, labels)) <= BRIEF:
        return labels
    kinds = {key for own in groups for key in own if key.endswith("kind")}
    brief = [_label({key: own[key] for key in own if key in kinds or _stands_alone(key, kinds)}) for own in groups]
    return brief if len(set(brief)) == len(brief) else labels


def _stands_alone(key: str, kinds: set[str]) -> bool:
    """Whether a setting adds to the kinds: data.size does not if data.kind differs, nor do the metrics."""
    return key != "metrics" and f"{key.rpartition('.')[0]}.kind" not in kinds


def _label(own: Mapping[str, Any]) -> str:
    """Return a short label of a group: kinds first, then the other settings by the last part of their name."""
    kinds = [str(value) for key, value in own.items() if key.endswith("kind") and value is not None]
    rest = [
        f"{key.rpartition('.')[2].replace('_', ' ')} {_short(value)}"
        for key, value in own.items()
        if not key.endswith("kind") and value is not None and value is not False
    ]
    return ", ".join([*kinds, *rest])


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def _numbered(groups: list[Group]) -> list[Group]:
    """Add a number to every label that more than one group has."""
    labels = [group.label for group in groups]
    return [
        group if labels.count(group.label) == 1 else Group(f"{group.label} ({order + 1})", group.runs)
        for order, group in enumerate(groups)
    ]


def same_data(groups: Sequence[Group]) -> bool:
    """Whether all groups began with the same data recipe, so that one value of real images is valid for all."""
    first = groups[0].runs[0].experiment.get("data")
    return all(_same(run.experiment.get("data"), first) for group in groups for run in group.runs)


def shared_names(groups: Sequence[Group]) -> list[str]:
    """Return the measurements that every run has in the last generation of its group, with the same instrument.

    A measurement whose instrument differs between runs is left out, because such values must not be compared.
    """
    runs = [run for group in groups for run in group.runs]
    found = []
    for name in runs[0].names:
        rows = [run.at(name, group.last) for group in groups for run in group.runs]
        if all(m is not None for m in rows) and _comparable([m for m in rows if m is not None]):
            found.append(name)
    return found


def _comparable(rows: Sequence[Measurement]) -> bool:
    try:
        for m in rows[1:]:
            rows[0].check_comparable(m)
    except ValueError:
        return False
    return True


def outcomes(names: Sequence[str]) -> list[str]:
    """Return the declared outcomes among these measurements: of each of :data:`OUTCOMES` one, in its order.

    Of the band powers it is the finest octave, of others the first space.

    Args:
        names: measurements that the groups share.
    """
    found = []
    for stem in OUTCOMES:
        own = [name for name in names if name == stem or name.startswith(f"{stem}/")]
        if stem == "band_power":
            edges = {tuple(map(int, name[11:].split("-"))): name for name in own if re.fullmatch(r"\d+-\d+", name[11:])}
            own = [edges[max(edges)]] if edges else []
        found += own[:1]
    return found


def estimate(group: Group, name: str, generation: int, line: int = 0) -> Estimate | None:
    """Return the value of a group in a measurement, None if a run lacks it; generation 0 is real against real."""
    rows = [_row(run, name, generation, line) for run in group.runs]
    values = [m.value for m in rows if m is not None and m.value is not None]
    if len(values) < len(rows):
        return None
    if len(values) > 1:
        value, half, _ = _students(values)
        return Estimate(value, half, len(values), "runs")
    (m,) = rows
    assert m is not None
    error = loop_error(m)
    half = None if error is None else t95(error[1]) * error[0]
    holds = "trainings" if replicated(m) else "images" if m.between is None else "table"
    return Estimate(values[0], half, 1, holds)


def _row(run: Run, name: str, generation: int, line: int = 0) -> Measurement | None:
    return run.real(name) if generation == 0 else run.at(name, generation, line)


def differences(groups: Sequence[Group], names: Sequence[str], generation: int) -> list[Difference]:
    """Return the difference of every other group from the first in every measurement, the declared outcomes first.

    Args:
        groups: two or more.
        names: measurements that they share.
        generation: which.
    """
    primary, found = outcomes(names), []
    for name in [*primary, *(name for name in names if name not in primary)]:
        for group in groups[1:]:
            tested = _compared(groups[0], group, name, generation)
            if tested is not None:
                value, half, p, how = tested
                found.append(Difference(name, group.label, value, half, how, name in primary, p))
    ranks = iter(holm([each.p for each in found if each.outcome and each.p is not None]))
    return [replace(each, p=next(ranks) if each.outcome and each.p is not None else None) for each in found]


def _compared(
    left: Group, right: Group, name: str, generation: int
) -> tuple[float, float | None, float | None, str] | None:
    """Return (difference, half width of its 95 % interval, p value, what both rest on); None if a run lacks it."""
    rows = [[_row(run, name, generation) for run in group.runs] for group in (left, right)]
    if any(m is None or m.value is None for each in rows for m in each):
        return None
    values = [np.array([m.value for m in each if m is not None]) for each in rows]
    pairs = _pairs(left, right)
    if len(pairs) > 1:
        apart = [float(values[1][j] - values[0][i]) for i, j in pairs]
        return *_students(apart), f"paired by seed, {len(pairs)} pairs"
    value = float(values[1].mean() - values[0].mean())
    if min(map(len, values)) > 1:
        return value, *_welch(*values), f"unpaired, {len(values[0])} and {len(values[1])} runs"
    single = [m for each in rows for m in each if m is not None]
    errors = [error for m in single if replicated(m) and (error := loop_error(m)) is not None]
    if len(single) == 2 and len(errors) == 2:
        error, df = joined(errors)
        chains = " and ".join(str(m.chains) for m in single)
        return (
            value,
            t95(df) * error,
            2 * improbable(sigmas(abs(value), error, df)),
            f"{chains} trainings of one run each",
        )
    return value, None, None, ""


def _pairs(left: Group, right: Group) -> list[tuple[int, int]]:
    """Return the positions of the runs of one seed in both groups."""
    seeds = [list(map(str, group.seeds)) for group in (left, right)]
    both = [seed for seed in dict.fromkeys(seeds[0]) if seeds[0].count(seed) == seeds[1].count(seed) == 1]
    return [(seeds[0].index(seed), seeds[1].index(seed)) for seed in both]


def _students(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of two or more values, half the width of its 95 % interval, and the p value of no difference."""
    mean, error, df = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1
    return mean, t95(df) * error, 2 * improbable(sigmas(abs(mean), error, df))


def _welch(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Return half the width of the 95 % interval of the difference, and the p value, of two samples of two or more."""
    spreads = [(float(np.std(each, ddof=1)) / math.sqrt(len(each)), float(len(each) - 1)) for each in (left, right)]
    error, df = joined(spreads)
    return t95(df) * error, 2 * improbable(sigmas(abs(float(right.mean() - left.mean())), error, df))
