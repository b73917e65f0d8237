"""The values of groups of runs with their intervals, and tests of the differences between groups.

Runs that differ only in their seed form a group (groups.py). The value of a group is the mean
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

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..evaluation.chains import loop_error, possible
from ..evaluation.significance import holm, improbable, joined, replicated, sigmas
from ..measurement import Measurement, t95
from .groups import Group
from .numbers import NBSP, number
from .run_view import Run

__all__ = [
    "OUTCOMES",
    "Difference",
    "Estimate",
    "differences",
    "estimate",
    "outcomes",
]

OUTCOMES = ("freckles/corrected", "planted/corrected", "band_power", "frechet_corrected", "vendi")
"""The outcomes that are tested: freckles or planted marks, the finest octave, a distance, a diversity.

The others are descriptive."""

SYSTEMATIC = ("freckles/net", "planted/net")
"""Measurements whose recorded interval holds an error that is not random (metrics/freckles.py: what blur may hide)."""


@dataclass(frozen=True)
class Estimate:
    """The value of a group.

    Attributes:
        value: the mean over its runs.
        half: half the width of its 95 % interval, None if unknown.
        runs: the number of runs.
        holds: what the interval includes: the variation between "runs" of different seeds; between the "trainings" of
            one run; between trainings of other runs, from a "table"; or only other "images", of real ones.
        possible: the least and the greatest value that the measurement can have, such as 0 and 1 for a share.
        images: the number of images that one run was measured on.
        systematic: an interval that is not random and that the 95 % interval must hold; None for none.
    """

    value: float
    half: float | None
    runs: int
    holds: Literal["runs", "trainings", "table", "images"]
    possible: tuple[float, float] = (-math.inf, math.inf)
    images: int = 0
    systematic: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """The ends of the interval, no further than what is possible; None if it is unknown."""
        if self.half is None:
            return None
        low, high = (min(max(end, self.possible[0]), self.possible[1]) for end in self._reach)
        return low, high

    @property
    def repeated(self) -> bool:
        """Whether its interval comes from repeats of its own: from several runs, or several trainings of one."""
        return self.holds in ("runs", "trainings")

    @property
    def said(self) -> str:
        """The value as text with its interval: "value ± half", or its two ends where they are not equally far."""
        if self.half is None or self.ends is None:
            return number(self.value)
        if self.ends == (self.value - self.half, self.value + self.half):
            return number(self.value, self.half or None)
        nearest = min(max(self.value, self.possible[0]), self.possible[1])
        half = self.half if self.half > 1e-3 else None
        low, middle, high = (number(each, half).partition(NBSP)[0] for each in (self.ends[0], nearest, self.ends[1]))
        return f"{middle} ({low} to {high})"

    @property
    def _reach(self) -> tuple[float, float]:
        half = self.half or 0.0
        low, high = self.systematic or (self.value, self.value)
        return min(self.value - half, low), max(self.value + half, high)


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
        tests: how many tests it is corrected for.
    """

    name: str
    group: str
    value: float
    half: float | None
    how: str
    outcome: bool
    p: float | None
    tests: int = 1

    @property
    def words(self) -> str:
        """The result of the test as text."""
        if not self.how:
            return "one run, not tested: repeat it with other seeds"
        if self.p is None:
            return f"descriptive, not tested ({self.how})"
        if self.p < 0.001:
            return f"differ, p < 0.001 ({self.how})"
        alone = self.half is not None and abs(self.value) > self.half
        tests = f"{self.tests} tests" if self.tests > 1 else "one test"
        aside = f"; its interval excludes 0, but it is one of {tests}" if self.p >= 0.05 and alone else ""
        return f"{'differ' if self.p < 0.05 else 'no significant difference'}, p = {self.p:.3f} ({self.how}){aside}"


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
    m = rows[0]
    assert m is not None
    if len(values) > 1:
        value, half, _ = _students(values)
        return Estimate(value, half, len(values), "runs", possible(m), m.n_fake, _systematic(rows))
    error = loop_error(m)
    half = None if error is None else t95(error[1]) * error[0]
    holds = "trainings" if replicated(m) else "images" if m.between is None else "table"
    return Estimate(values[0], half, 1, holds, possible(m), m.n_fake, _systematic(rows))


def _systematic(rows: Sequence[Measurement | None]) -> tuple[float, float] | None:
    """Return the mean of the runs' intervals of a measurement whose interval is systematic; None for others."""
    known = [(m.low, m.high) for m in rows if m is not None and m.name in SYSTEMATIC]
    ends = [(low, high) for low, high in known if low is not None and high is not None]
    if not ends or len(ends) < len(rows):
        return None
    return float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends]))


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
    tested = [each.p for each in found if each.outcome and each.p is not None]
    ranks = iter(holm(tested))
    return [
        replace(each, p=next(ranks) if each.outcome and each.p is not None else None, tests=len(tested))
        for each in found
    ]


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
