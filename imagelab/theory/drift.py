"""Genetic drift: rare attributes are lost by chance alone, even with a perfect generator.

A perfect generator gives every sample the attribute with the probability that it had among the N training images. So
the count is a Wright-Fisher chain, x_{t+1} ~ Binomial(N, x_t / N), and 0 is absorbing: E p_t = p for all t, and still
the attribute is lost in the end with probability 1 - p. This is the null model for every statement about lost tails.

References:
    [Ewens] Mathematical population genetics (2004), section 3.2.
    [Wright] Evolution in Mendelian populations (1931), doi:10.1093/genetics/16.2.97.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .gaussian import check_generation


def wright_fisher_heterozygosity(frequency: float, n: int, generation: int) -> float:
    """Return E 2 p_t (1 - p_t) = 2 p (1-p) (1 - 1/N)^t; E p_t = p for all t.

    Args:
        frequency: p, share among the real images, 0..1.
        n: N, images a generation.
        generation: t >= 0.
    """
    check_generation(generation, n)
    return 2 * frequency * (1 - frequency) * (1 - 1 / n) ** generation


def wright_fisher_counts(frequency: float, n: int, generation: int) -> np.ndarray:
    """Return P(k of the N samples of generation t have the attribute), k = 0..N: float64 [N+1].

    The null model of rare attributes: a perfect generator that gives every sample the attribute with the probability
    that it had among the N images of the generation before, x_{t+1} ~ Binomial(N, x_t/N), x_1 ~ Binomial(N, p). Exact,
    by the transition matrix, so N <= 4096 (128 MB) [Ewens].

    Args:
        frequency: p, share among the real images, 0..1.
        n: N, images a generation, 2..4096.
        generation: t >= 1.

    Raises:
        ValueError: for an argument out of its range.
    """
    check_generation(generation, n)
    if generation < 1 or n > 4096 or not 0 <= frequency <= 1:
        raise ValueError(f"expected generation >= 1, n <= 4096, 0 <= p <= 1, got {generation}, {n}, {frequency}")
    counts = _binomial(frequency, n)
    for _ in range(generation - 1):
        counts = counts @ _transition(n)
    return counts


def wright_fisher_bands(frequency: float, n: int, generations: int, level: float = 0.95, chains: int = 1) -> np.ndarray:
    """Return the band of an attribute's share under drift alone, for generations 0 to T: float64 [T+1,2].

    The share of a perfect generator is inside, bounds included, with probability ``level`` or more. Exact up to
    N = 4096; above, the normal band with the model's exact variance p (1-p) (1 - (1 - 1/N)^t), clipped to 0..1.
    For several chains, the band of the mean of their shares; they drift independently.

    Args:
        frequency: p, share among the real images, 0..1.
        n: N, images a generation.
        generations: T >= 0.
        level: probability inside, 0 < level < 1.
        chains: R >= 1, of which the mean is taken.

    Raises:
        ValueError: for an argument out of its range.
    """
    check_generation(generations, n)
    if not 0 < level < 1 or not 0 <= frequency <= 1 or chains < 1:
        raise ValueError(f"expected 0 <= p <= 1, 0 < level < 1 and chains >= 1, got {frequency}, {level} and {chains}")
    bands = np.full((generations + 1, 2), frequency)
    if n > 4096:
        from scipy.special import ndtri

        t = np.arange(1, generations + 1)
        half = ndtri((1 + level) / 2) * np.sqrt(frequency * (1 - frequency) * (1 - (1 - 1 / n) ** t) / chains)
        bands[1:] = np.clip(frequency + np.stack([-half, half], axis=1), 0.0, 1.0)
        return bands
    counts = _binomial(frequency, n)
    for generation in range(1, generations + 1):
        counts = counts if generation == 1 else counts @ _transition(n)
        cumulative, outside = np.cumsum(_summed(counts, chains)), (1 - level) / 2
        most = n * chains
        bands[generation] = [
            min(int(np.searchsorted(cumulative, edge)), most) / most for edge in (outside, 1 - outside)
        ]
    return bands


def _summed(counts: np.ndarray, chains: int) -> np.ndarray:
    """Return the distribution of the sum of R independent counts: float64 [N+1] -> [R N + 1]."""
    if chains == 1:
        return counts
    from scipy.signal import fftconvolve

    total = counts
    for _ in range(chains - 1):
        total = np.maximum(fftconvolve(total, counts), 0.0)
    return total


def _binomial(frequency: np.ndarray | float, n: int) -> np.ndarray:
    """P(k of n) for k = 0..n: [n+1], or one row for each frequency of a column [m,1]: [m,n+1]."""
    from scipy.special import gammaln, xlog1py, xlogy

    k = np.arange(n + 1)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.exp(choose + xlogy(k, frequency) + xlog1py(n - k, -np.asarray(frequency)))


@lru_cache(maxsize=1)
def _transition(n: int) -> np.ndarray:
    return _binomial(np.arange(n + 1)[:, None] / n, n)


def wright_fisher_survival(frequency: float, n: int, generation: int) -> float:
    """Return the probability that an attribute of frequency p still exists in generation t: 1 - (1-p)^N at t = 1.

    Exact up to N = 4096 (:func:`wright_fisher_counts`); above, by the branching limit P(lost by t) = e^{-Np (1 - y_t)},
    y_1 = 0, y_t = e^{-(1 - y_{t-1})}, whose error for p <= 1 % and t << N is about p.

    Args:
        frequency: p, share among the real images, 0..1.
        n: N, images a generation.
        generation: t >= 0.
    """
    if generation == 0:
        return float(frequency > 0)
    if n <= 4096:
        return 1.0 - float(wright_fisher_counts(frequency, n, generation)[0])
    check_generation(generation, n)
    lost = 0.0
    for _ in range(generation - 1):
        lost = math.exp(lost - 1.0)
    return 1.0 - math.exp(-n * frequency * (1.0 - lost))
