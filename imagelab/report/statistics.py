"""Groups of runs: their common settings, their different settings, and tests of the differences in their results.

Runs that differ only in their seed are repeats of one experiment and form a group. The value of a group is the mean
over its repeats, with Student's interval between the repeats; this interval includes all variation that comes from the
seed. A single run has only the error of its measurement; its interval does not include the variation between trainings.
Differences are tested with Welch's t test between repeats. The p values are corrected for the number of tests (Holm),
because among many tests some differ by chance.

References:
    The generalization of "Student's" problem when several different population variances are involved (Welch 1947),
        doi:10.1093/biomet/34.1-2.28.
    A simple sequentially rejective multiple test procedure (Holm 1979), Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment import flatten
from ..measurement import Measurement
from .numbers import Z95
from .run_view import Run, plain, read_run

__all__ = ["Difference", "Estimate", "Group", "differences", "estimate", "group_runs", "same_data", "shared_names"]

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
        value: the mean over its repeats.
        half: half the width of its 95 % interval, None if unknown.
        repeats: the number of repeats.
        between: True if the interval includes the variation between seeds, False if it is only the error of one
            measurement.
    """

    value: float
    half: float | None
    repeats: int
    between: bool


@dataclass(frozen=True)
class Difference:
    """The difference of one group from the first group in one measurement.

    Attributes:
        name: the measurement.
        group: the label of the group.
        value: the value of the group minus that of the first group.
        half: half the width of its 95 % interval, None if unknown.
        p: the p value of Welch's test between repeats, corrected by Holm's method; None if a group has fewer than two
            repeats.
    """

    name: str
    group: str
    value: float
    half: float | None
    p: float | None

    @property
    def words(self) -> str:
        """The result of the test as text."""
        if self.p is None:
            return "not tested: repeat it with other seeds"
        if self.p < 0.001:
            return "differ, p < 0.001"
        return f"{'differ' if self.p < 0.05 else 'no significant difference'}, p = {self.p:.3f}"


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


def estimate(group: Group, name: str, generation: int, line: int = 0) -> Estimate | None:
    """Return the value of a group in a measurement, None if a run lacks it; generation 0 is real against real."""
    rows = [run.real(name) if generation == 0 else run.at(name, generation, line) for run in group.runs]
    values = [m.value for m in rows if m is not None and m.value is not None]
    if len(values) < len(rows):
        return None
    if len(values) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
        return Estimate(float(np.mean(values)), half, len(values), True)
    error = rows[0].stderr if rows[0] is not None else None
    return Estimate(values[0], None if error is None else Z95 * error, 1, False)


def differences(groups: Sequence[Group], names: Sequence[str], generation: int) -> list[Difference]:
    """Return the difference of every other group from the first in every measurement; all p values are corrected."""
    raw: list[tuple[Difference, float | None]] = []
    for name in names:
        first = estimate(groups[0], name, generation)
        for group in groups[1:]:
            other = estimate(group, name, generation)
            if first is None or other is None:
                continue
            known = first.half is not None and other.half is not None
            half = math.hypot(first.half or 0.0, other.half or 0.0) if known else None
            p, own = _welch(groups[0], group, name, generation)
            raw.append((Difference(name, group.label, other.value - first.value, own or half, None), p))
    corrected = _holm([p for _, p in raw if p is not None])
    ranks = iter(corrected)
    return [difference if p is None else Difference(*_fields(difference), p=next(ranks)) for difference, p in raw]


def _fields(difference: Difference) -> tuple[str, str, float, float | None]:
    return difference.name, difference.group, difference.value, difference.half


def _welch(left: Group, right: Group, name: str, generation: int) -> tuple[float | None, float | None]:
    """Return the p value and the half width of the 95 % interval of the difference; None with too few repeats."""
    samples = []
    for group in (left, right):
        rows = [run.real(name) if generation == 0 else run.at(name, generation) for run in group.runs]
        samples.append([m.value for m in rows if m is not None and m.value is not None])
    if min(len(sample) for sample in samples) < 2:
        return None, None
    if max(np.var(sample) for sample in samples) == 0:
        return (1.0 if np.mean(samples[0]) == np.mean(samples[1]) else 0.0), 0.0
    from scipy.stats import ttest_ind

    tested: Any = ttest_ind(samples[1], samples[0], equal_var=False)
    low, high = tested.confidence_interval(0.95)
    return float(tested.pvalue), float(high - low) / 2


def _holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method, in the order given.

    Example:
        >>> _holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    corrected, worst = [0.0] * len(values), 0.0  # worst: the largest so far; corrected p values never decrease
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = worst
    return corrected
