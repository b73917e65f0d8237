"""Exact 95 % limits where value +- t stderr is wrong: shares near 0 or 1, and an area under a ROC curve near 1.

A share p of n independent images has Wilson's limits, with t in place of the normal quantile,

    (p + t^2 / 2n +- t sqrt(p (1 - p) / n + t^2 / 4n^2)) / (1 + t^2 / n).                       (1)

They lie within 0..1 and say something for 0 of n, too (0 to 3.7 / n). If images depend on each other, the stated error
s gives the effective number of images n = p (1 - p) / s^2 (Korn and Graubard). An area A under a ROC curve has limits
on the scale of log(A / (1 - A)), whose error is s / (A (1 - A)).

References:
    Probable inference, the law of succession, and statistical inference (Wilson 1927),
    doi:10.1080/01621459.1927.10502953.
    Confidence intervals for proportions with small expected number of positive counts estimated from survey data (Korn,
    Graubard 1998), Survey Methodology 24:193-201.
"""

from __future__ import annotations

import math

from ..measurement import t95

__all__ = ["area_interval", "share_interval", "wilson"]

Limits = tuple[float, float]


def wilson(share: float, n: float, df: float | None = None) -> Limits:
    """Return Wilson's 95 % limits of a share, equation (1).

    Args:
        share: 0..1.
        n: effective number of independent images, > 0.
        df: degrees of freedom, see ``Measurement.df``.

    Example:
        >>> [round(each, 4) for each in wilson(0.0, 100)]
        [0.0, 0.037]
    """
    t = t95(df) ** 2 / n
    middle = (share + t / 2.0) / (1.0 + t)
    half = math.sqrt(t * (share * (1.0 - share) + t / 4.0)) / (1.0 + t)
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def share_interval(share: float, stderr: float | None, n: float, df: float | None = None) -> Limits:
    """Return 95 % limits of a share with a known standard error.

    Args:
        share: 0..1.
        stderr: its standard error; None or 0 where all images agree.
        n: independent images, the effective number where no error is known; with 0 nothing is known of the share.
        df: degrees of freedom of the error.
    """
    if n <= 0:
        return 0.0, 1.0
    variance = share * (1.0 - share)
    return wilson(share, variance / stderr**2 if stderr and variance else n, df)


def area_interval(area: float, stderr: float | None, n: int) -> Limits:
    """Return 95 % limits of an area under a ROC curve.

    Where all pairs are in order no error is known. Then a share q of images that are always out of order would stay
    unseen among n images with probability (1 - q)^n, so the limit is 1 - q with (1 - q)^n = .025.

    Args:
        area: 0..1.
        stderr: its standard error; None or 0 where it is exactly 0 or 1.
        n: images of the smaller set.

    Example:
        >>> [round(each, 3) for each in (*area_interval(0.98, 0.01, 200), *area_interval(1.0, None, 200))]
        [0.947, 0.993, 0.982, 1.0]
    """
    if not stderr or not 0.0 < area < 1.0:
        unseen = 0.025 ** (1.0 / n)
        return (unseen, 1.0) if area > 0.5 else (0.0, 1.0 - unseen)
    middle, half = math.log(area / (1.0 - area)), t95(None) * stderr / (area * (1.0 - area))
    low, high = (1.0 / (1.0 + math.exp(-max(min(each, 700.0), -700.0))) for each in (middle - half, middle + half))
    return low, high
