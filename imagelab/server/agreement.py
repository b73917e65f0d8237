"""How far several people agree about the same pictures, beyond what chance would give.

Krippendorff's alpha for two or more words: 1 - (observed disagreement) / (disagreement expected of random pairs). It
is 1 for full agreement, 0 for chance, and takes any number of people; a picture that fewer than two have judged does
not count. For two people Cohen's kappa is given beside it, which knows how often each of them says each word.

The interval of alpha is a bootstrap over pictures (2,000 resamples, percentiles): it holds which pictures were shown,
and not other people.

References:
    Computing Krippendorff's alpha-reliability (Krippendorff 2011), Annenberg School for Communication.
    A coefficient of agreement for nominal scales (Cohen 1960), doi:10.1177/001316446002000104.
"""

from __future__ import annotations

import numpy as np

from ..seeds import rng_at

__all__ = ["alpha_interval", "cohen_kappa", "krippendorff_alpha"]

RESAMPLES = 2000


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Cohen's kappa of two people, int [N] each; None where both say one word only, the same.

    Example:
        >>> cohen_kappa(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
        0.5
    """
    words = np.unique(np.concatenate([first, second]))
    agreed = float((first == second).mean())
    expected = sum(float((first == word).mean() * (second == word).mean()) for word in words)
    return None if expected == 1.0 else (agreed - expected) / (1.0 - expected)


def krippendorff_alpha(counts: np.ndarray) -> float | None:
    """Return Krippendorff's alpha for words without an order.

    Args:
        counts: int [N,K]: how many people have said word k of picture i.

    Returns:
        None where there is no pair of judgements, or one word only was said of all pictures that have a pair.

    Example:
        >>> krippendorff_alpha(np.array([[2, 0], [0, 2], [2, 0]]))
        1.0
    """
    found = _alphas(counts[None].astype(float))[0]
    return None if np.isnan(found) else float(found)


def alpha_interval(counts: np.ndarray, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of alpha, from a bootstrap over pictures; None where alpha is not known.

    Args:
        counts: as for :func:`krippendorff_alpha`.
        seed: of the bootstrap.
    """
    if krippendorff_alpha(counts) is None:
        return None
    rows = rng_at(seed, "audit agreement").integers(0, len(counts), (RESAMPLES, len(counts)))
    found = _alphas(counts.astype(float)[rows])
    low, high = np.nanpercentile(found, [2.5, 97.5])  # a resample of one word only has no alpha
    return float(low), float(high)


def _alphas(counts: np.ndarray) -> np.ndarray:
    """Return alpha of each table: float [B,N,K] -> [B]; NaN where it is not defined."""
    people = counts.sum(axis=2)
    paired = np.where(people > 1, people, np.nan)
    kept = np.where((people > 1)[..., None], counts, 0.0)
    # o_cc = sum over pictures of n_c (n_c - 1) / (m - 1), n_c: Krippendorff 2011, part C
    same = np.nansum((kept * (kept - 1.0)).sum(axis=2) / (paired - 1.0), axis=1)
    totals = kept.sum(axis=1)
    n = totals.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = 1.0 - same / n
        expected = 1.0 - (totals * (totals - 1.0)).sum(axis=1) / (n * (n - 1.0))
        return np.where(expected > 0, 1.0 - observed / expected, np.nan)
