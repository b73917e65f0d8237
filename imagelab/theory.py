"""Closed forms that a self-consuming loop must obey: plain numbers in, plain numbers out.

The model of thought is a Gaussian that is refitted to its own samples. The truth is N(mu0, s0^2), one value an
image; model t is the (mean, variance) fitted to the N images of its pool; model 1 is fitted to real images.

    v_t = E[variance of model t] / s0^2        m_t = E[(mean of model t - mu0)^2] / s0^2

Both are ratios, 1 and 0 for the truth. For the closed-form Gaussian generator the laws hold mode by mode, so whole
image loops can be checked against them; for a network they are the part of the loss that no training can avoid.
Unless told otherwise the variance is fitted by maximum likelihood (divided by N, not by N - 1).
"""

from __future__ import annotations

import math

__all__ = [
    "accumulate_variance",
    "accumulate_variance_limit",
    "fresh_variance",
    "replace_variance",
]


def replace_variance(generation: int, n: int, unbiased: bool = False) -> float:
    """Expected variance ratio v_t when every model sees only the last one's samples: (1 - 1/N)^t.

    Conditions: Gaussian data, N samples a generation, model t = 1 fitted to real data. With the unbiased estimator
    (divided by N - 1) the mean stays 1 for ever, while almost every single run collapses: see
    :func:`replace_log_variance`.

    Args:
        generation: t >= 0; 0 is the truth itself.
        n: images a generation, N >= 2.
        unbiased: True for the estimator that divides by N - 1.

    Raises:
        ValueError: for a negative generation or n < 2.

    Example:
        >>> replace_variance(2, 10)
        0.81

    References:
        AI models collapse when trained on recursively generated data (Shumailov et al. 2024),
        doi:10.1038/s41586-024-07566-y.
    """
    _check(generation, n)
    return 1.0 if unbiased else (1.0 - 1.0 / n) ** generation


def accumulate_variance(generation: int, n: int) -> float:
    """Expected variance ratio v_t when every model sees the real set and all samples ever made.

    v_t = prod_{k=1..t} (1 - 1/(N k^2)): the pool of model k holds k N images. Conditions as in
    :func:`replace_variance`, maximum likelihood.

    Args:
        generation: t >= 0.
        n: images that each generation adds, N >= 2.

    Example:
        >>> accumulate_variance(2, 10)
        0.8775

    References:
        Collapse or thrive? (Kazdan et al. 2024), arXiv:2410.16713.
    """
    _check(generation, n)
    return math.prod(1.0 - 1.0 / (n * k * k) for k in range(1, generation + 1))


def accumulate_variance_limit(n: int) -> float:
    """The limit of :func:`accumulate_variance` for ever: sin(pi/sqrt N) / (pi/sqrt N), about 1 - pi^2/(6 N).

    Example:
        >>> round(accumulate_variance_limit(100), 4)
        0.9836
    """
    _check(0, n)
    angle = math.pi / math.sqrt(n)
    return math.sin(angle) / angle


def fresh_variance(generation: int, n_real: int, n_synthetic: int, scale: float = 1.0) -> float:
    """Expected variance ratio v_t when every model from t = 2 on sees new real images and the last one's samples.

    See :func:`fresh_moments` for the recursion; model 1 is fitted to N = n_real + n_synthetic real images.

    Example:
        >>> fresh_variance(5, 10, 0) == replace_variance(1, 10)
        True
    """
    return fresh_moments(generation, n_real, n_synthetic, scale)[0]


def fresh_moments(generation: int, n_real: int, n_synthetic: int, scale: float = 1.0) -> tuple[float, float]:
    """Return (v_t, m_t) of the fresh-data loop, pooled maximum likelihood.

    With N = n_real + n_synthetic, f = n_synthetic/N and synthetic samples drawn with variance lambda s_t^2,

        m' = ((1-f) + f lambda v)/N + f^2 m        v' = (1-f) + f lambda v + f m - m'

    exactly, from v_1 = 1 - 1/N, m_1 = 1/N.

    Args:
        generation: t >= 0.
        n_real: new real images in every pool.
        n_synthetic: samples of the last model in every pool.
        scale: lambda, variance of a sample over variance of its model; below 1 for a sampler that prefers quality.

    References:
        Self-consuming generative models go MAD (Alemohammad et al. 2024), arXiv:2307.01850.
    """
    n = n_real + n_synthetic
    _check(generation, n)
    if generation == 0:
        return 1.0, 0.0
    variance, offset, f = 1.0 - 1.0 / n, 1.0 / n, n_synthetic / n
    for _ in range(generation - 1):
        spread = (1.0 - f) + f * scale * variance
        new_offset = spread / n + f * f * offset
        variance, offset = spread + f * offset - new_offset, new_offset
    return variance, offset


def _check(generation: int, n: int) -> None:
    if generation < 0:
        raise ValueError(f"generation: expected a whole number >= 0, got {generation}")
    if n < 2:
        raise ValueError(f"n: expected at least 2 images a generation, got {n}")
