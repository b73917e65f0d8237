"""How far a difference lies from zero: errors of sums, their degrees of freedom, and corrections for many tests.

A sentence about one model needs the error of its images; a sentence about a loop needs the error between trainings, too
(``loop_error`` in chains.py).

References:
    An approximate distribution of estimates of variance components (Satterthwaite 1946), doi:10.2307/3002019.
    A simple sequentially rejective multiple test procedure (Holm 1979), Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ..measurement import Measurement

__all__ = ["Error", "holm", "improbable", "joined", "replicated", "sigmas"]

Error = tuple[float, float | None]
"""A standard error and its degrees of freedom; None for many, where Student's t is the normal distribution."""


def joined(errors: Iterable[Error]) -> Error:
    """Return the error of a sum of independent parts; its degrees of freedom are those of Satterthwaite.

    Args:
        errors: of the parts.
    """
    parts = list(errors)
    total = math.hypot(*(error for error, _ in parts))
    uncertain = sum((error / total) ** 4 / df for error, df in parts if df) if total > 0 else 0.0
    return total, 1.0 / uncertain if uncertain > 0 else None


def replicated(m: Measurement) -> bool:
    """Whether the error between trainings of a measurement comes from several trainings of this loop itself."""
    return m.between is not None and m.chains > 1


def sigmas(value: float, error: float, df: float | None) -> float:
    """Return how far a value lies above zero, in standard errors of a normal distribution.

    Student's t is turned into the number of normal standard errors that is as improbable: 19 errors with two degrees of
    freedom are about as rare as three with many.

    Args:
        value: the difference from zero.
        error: its standard error, >= 0; with 0, any difference is infinitely many errors.
        df: degrees of freedom of the error; None for many.

    Example:
        >>> sigmas(3.0, 1.0, None), round(sigmas(19.2, 1.0, 2), 1), sigmas(0.0, 0.0, None)
        (3.0, 3.0, 0.0)
    """
    if error == 0:
        return math.copysign(math.inf, value) if value else 0.0
    if df is None:
        return value / error
    from scipy.special import ndtri, stdtr

    return math.copysign(float(-ndtri(stdtr(df, -abs(value) / error))), value)


def improbable(errors: float) -> float:
    """Return how probable it is that a normal variable lies more than so many standard errors above zero.

    Example:
        >>> round(improbable(3.0), 5)
        0.00135
    """
    return math.erfc(errors / math.sqrt(2)) / 2


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method, in the order given.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    corrected, worst = [0.0] * len(values), 0.0  # worst: the largest so far; corrected p values never decrease
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = worst
    return corrected
