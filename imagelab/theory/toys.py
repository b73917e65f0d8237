"""Small worlds: contraction by mixing, early-stopped diffusion, and the popular cut-and-blur caricature of collapse.

References:
    [OU] The spectral decomposition of the Ornstein-Uhlenbeck flow: Hermite polynomials of order k decay as e^{-k t}
        (Bakry, Gentil and Ledoux 2014, section 2.7.1, doi:10.1007/978-3-319-00227-9).
"""

from __future__ import annotations

import math


def ou_share(order: int, stop: float, fresh_share: float, generation: int | None = None) -> float:
    """Return what is left of a Hermite mode when an exact diffusion sampler stops early at time t0, a share a fresh.

    q_{t+1} is the Ornstein-Uhlenbeck flow for time t0 of a p + (1-a) q_t, from q_0 = p. A mode of order k keeps
    r = e^{-k t0} a step, so r_t = r (a + (1-a) r_{t-1}), with the limit a r / (1 - (1-a) r) for generation = None.
    In pixel space the flow ADDS white noise: high frequencies can gain energy while structure is lost.
    """
    keep = math.exp(-order * stop)
    if generation is None:
        return fresh_share * keep / (1 - (1 - fresh_share) * keep)
    left = 1.0
    for _ in range(generation):
        left = keep * (fresh_share + (1 - fresh_share) * left)
    return left


def chi_square_share(fresh_share: float) -> float:
    """Return chi^2(a p + (1-a) q | p) / chi^2(q | p) = (1-a)^2: how mixing with real data contracts any error."""
    return (1.0 - fresh_share) ** 2


def truncation_kept(variance: float, cut: float) -> float:
    """Return the share of N(0, variance) inside -cut..cut: the set of the popular toy shrinks by it a generation."""
    return math.erf(cut / math.sqrt(2 * variance))


def truncation_variance(variance: float, cut: float, noise: float) -> float:
    """Return the variance after "drop what lies beyond the cut, add noise": v trunc(c/sqrt v) + noise^2.

    trunc(a) = 1 - 2 a phi(a) / (2 Phi(a) - 1). Exact for a Gaussian input, so exact for the first generation only:
    what was cut is no Gaussian, and from the second on the map overstates the loss (cut at 2, noise .1, generation 10:
    .48 where the toy itself, a million points, stands at .76; experiments/studies/gaussian_regimes.py). A caricature of
    collapse: it throws the tails away by rule; honest refitting loses them by chance. ``noise`` is the standard
    deviation of what is added.
    """
    a = cut / math.sqrt(variance)
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    return variance * (1 - 2 * a * density / truncation_kept(variance, cut)) + noise**2
