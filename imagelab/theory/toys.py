"""Toy models: contraction by mixing, early-stopped diffusion, and the popular cut-and-blur model of collapse.

References:
    [OU] The spectral decomposition of the Ornstein-Uhlenbeck flow: Hermite polynomials of order k decay as e^{-k t}
        (Bakry, Gentil and Ledoux 2014, section 2.7.1, doi:10.1007/978-3-319-00227-9).
"""

from __future__ import annotations

import math


def ou_share(order: int, stop: float, fresh_share: float, generation: int | None = None) -> float:
    """Return the remaining share of a Hermite mode if an exact diffusion sampler stops early at time t0.

    q_{t+1} is the Ornstein-Uhlenbeck flow for time t0 of a p + (1-a) q_t, from q_0 = p. A mode of order k keeps
    r = e^{-k t0} a step, so r_t = r (a + (1-a) r_{t-1}), with the limit a r / (1 - (1-a) r) for generation = None.
    In pixel space the flow ADDS white noise: high frequencies can gain energy while structure is lost.

    Args:
        order: k, order of the Hermite polynomial.
        stop: t0 >= 0, the time at which the sampler stops.
        fresh_share: a, share of real data in every training set, 0..1.
        generation: t >= 0, None for the limit.
    """
    keep = math.exp(-order * stop)
    if generation is None:
        return fresh_share * keep / (1 - (1 - fresh_share) * keep)
    remaining = 1.0
    for _ in range(generation):
        remaining = keep * (fresh_share + (1 - fresh_share) * remaining)
    return remaining


def chi_square_share(fresh_share: float) -> float:
    """Return chi^2(a p + (1-a) q | p) / chi^2(q | p) = (1-a)^2: how mixing with real data contracts any error."""
    return (1.0 - fresh_share) ** 2


def truncation_kept(variance: float, cut: float) -> float:
    """Return the share of N(0, variance) inside -cut..cut: the factor by which the toy's set shrinks a generation."""
    return math.erf(cut / math.sqrt(2 * variance))


def truncation_variance(variance: float, cut: float, noise: float) -> float:
    """Return the variance after "drop what lies beyond the cut, add noise": v trunc(c/sqrt v) + noise^2.

    trunc(a) = 1 - 2 a phi(a) / (2 Phi(a) - 1). Exact for a Gaussian input, and so for the first generation only: after
    the cut the distribution is not Gaussian, and from the second generation on the map overestimates the loss (cut at
    2, noise .1, generation 10: .48, while the toy itself, with a million points, has .76;
    experiments/studies/gaussian_regimes.py). It is not a model of real collapse: it removes the tails by rule, while
    refitting loses them by chance.

    Args:
        variance: v > 0.
        cut: c > 0, the largest absolute value that is kept.
        noise: standard deviation of the added noise.
    """
    a = cut / math.sqrt(variance)
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    return variance * (1 - 2 * a * density / truncation_kept(variance, cut)) + noise**2
