"""Means over trainings: what another run of the same experiment would be expected to show.

The chains of a run are trainings that share nothing but the real images. A figure is averaged over them. With two
chains or more the interval is that of the mean, value +- t s / sqrt(chains), and holds the training and the test images
(not the choice of real images, which the chains share). With one chain, or where all chains agree to the last digit, as
at an AUROC of 1, it is the mean interval of the test images of a single training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..measurement import t95
from .record import DetectionRecord
from .trials import TrialRow
from .verdicts import Rate

__all__ = ["Averaged", "averaged", "role_labels", "rows_of"]

Figure = Callable[[TrialRow], Rate]


@dataclass(frozen=True)
class Averaged:
    """A mean over trainings.

    Attributes:
        value: the mean.
        low: lower end of its 95 % interval.
        high: upper end.
        trainings: how many.
        few: whether some of them rest on too few false positives.
    """

    value: float
    low: float
    high: float
    trainings: int
    few: bool = False


def averaged(groups: Iterable[Sequence[Rate]]) -> Averaged | None:
    """Return the mean over trainings; None where there is none.

    Args:
        groups: for each training its rates, which are averaged first.

    Example:
        >>> averaged([[Rate(0.8, 0.7, 0.9)], [Rate(0.9, 0.8, 1.0)]]).trainings
        2
    """
    kept = [list(each) for each in groups if len(each)]
    if not kept:
        return None
    few = any(rate.few for each in kept for rate in each)
    values = np.array([np.mean([rate.value for rate in each]) for each in kept])
    if np.ptp(values) == 0:
        low, high = (float(np.mean([getattr(rate, end) for each in kept for rate in each])) for end in ("low", "high"))
        return Averaged(float(values[0]), low, high, len(kept), few)
    half = t95(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Averaged(mean, max(mean - half, 0.0), min(mean + half, 1.0), len(values), few)


def role_labels(record: DetectionRecord) -> dict[int, str]:
    """Return the label of every generator that was judged, by its role."""
    found = {each.role: each.label for each in record.lines if each.chain == 0}
    return dict(sorted(found.items()))


def rows_of(record: DetectionRecord, role: int, kind: str, variant: str, **same: object) -> list[list[TrialRow]]:
    """Return the tests of the detectors of one role, a list for each chain.

    Args:
        record: the tests.
        role: of the lines that the detectors were trained on.
        kind: of the tests.
        variant: of the detectors.
        same: further attributes that a row must have, such as ``trained=1``.
    """
    lines = [each.line for each in record.lines if each.role == role]
    found = [row for row in record.rows if row.kind == kind and row.variant == variant]
    found = [row for row in found if all(getattr(row, name) == value for name, value in same.items())]
    return [[row for row in found if row.line == line] for line in lines]
