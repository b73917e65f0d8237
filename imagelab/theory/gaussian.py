"""A Gaussian that is refitted to its own samples: mean and variance under the simple regimes, in closed form.

The truth is N(mu0, s0^2), one value an image. Model t is the (mean, variance) fitted to the N images of its pool.
Model 1 is fitted to real images.

    v_t = E[variance of model t] / s0^2        m_t = E[(mean of model t - mu0)^2] / s0^2

Both are ratios, 1 and 0 for the truth. By default the variance is fitted by maximum likelihood (divided by N, not by
N - 1). The values are expectations and not those of a typical run: the variance of a single run has a skewed
distribution with a smaller median (:func:`replace_log_variance`). For other regimes and for schedules see pools.py.

References:
    [Shumailov] AI models collapse when trained on recursively generated data (2024), doi:10.1038/s41586-024-07566-y.
    [Alemohammad] Self-consuming generative models go MAD (2024), arXiv:2307.01850.
    [Kazdan] Collapse or thrive? (2024), arXiv:2410.16713.
    [He] Golden ratio weighting prevents model collapse (He, Xu and Cheng 2025), arXiv:2502.18049.
"""

from __future__ import annotations

import math

GOLDEN_WEIGHT = (math.sqrt(5.0) - 1.0) / 2.0
"""The weight of fresh real data that minimises :func:`weighted_mean_error`: 1 over the golden ratio."""


def replace_moments(
    generation: int, n: int, unbiased: bool = False, scale: float = 1.0, added: float = 0.0
) -> tuple[float, float]:
    """Return (v_t, m_t) if every model is fitted only to samples of the last one [Shumailov, Alemohammad].

    A sample of model t has variance w = lambda v_t + q. Then m_{t+1} = m_t + w/N and v_{t+1} = w (1 - 1/N), or w with
    the unbiased estimator; for model 1, w = 1. Exact for any data of variance s0^2 at t = 1 and Gaussian samples after.
    For lambda = 1, q = 0: v_t = (1 - 1/N)^t and m_t = 1 - v_t; unbiased v_t = 1 and m_t = t/N. For lambda < 1,
    unbiased: v_t = lambda^(t-1), m_t -> 1/(N (1 - lambda)).

    Args:
        generation: t >= 0; 0 is the truth itself.
        n: N >= 2, images a generation.
        unbiased: True for the estimator that divides by N - 1.
        scale: lambda > 0, variance of a sample over variance of its model: below 1 for a sampler that prefers quality.
        added: q >= 0, variance added to every published sample, over s0^2. Rounding to whole levels adds 1/12 level^2.
    """
    check_generation(generation, n)
    keep = 1.0 if unbiased else 1.0 - 1.0 / n
    variance, offset, sampled = 1.0, 0.0, 1.0
    for _ in range(generation):
        offset += sampled / n
        variance = sampled * keep
        sampled = scale * variance + added
    return variance, offset


def replace_variance(generation: int, n: int, unbiased: bool = False, scale: float = 1.0, added: float = 0.0) -> float:
    """Return v_t of :func:`replace_moments`, whose arguments it takes: (1 - 1/N)^t by default.

    Example:
        >>> round(replace_variance(2, 10), 9)
        0.81
    """
    return replace_moments(generation, n, unbiased, scale, added)[0]


def replace_log_variance(generation: int, n: int, unbiased: bool = False, dimensions: int = 1) -> float:
    """Return E ln det(Sigma_t Sigma_0^-1) under replace: the collapse of a typical run, even where v_t is constant.

    t [sum_{i=1..d} psi((N-i)/2) + d ln 2 - d ln(divisor)], by the Bartlett decomposition of a Wishart matrix, for
    Gaussian data. With the unbiased estimator and d = 1 it falls by about 1/N a generation while v_t stays 1.

    Args:
        generation: t >= 0.
        n: N >= 2, images a generation.
        unbiased: True for the estimator that divides by N - 1.
        dimensions: d, 1..N - 1.

    Raises:
        ValueError: for d >= N, where the determinant is 0.

    Example:
        >>> round(replace_log_variance(10, 100, unbiased=True), 4)
        -0.1014
    """
    from scipy.special import digamma  # imported here, so that reading a configuration does not load scipy

    check_generation(generation, n)
    if not 1 <= dimensions < n:
        raise ValueError(f"dimensions: expected 1 to n - 1 = {n - 1}, got {dimensions}; else the determinant is 0")
    divisor = n - 1 if unbiased else n
    one = sum(float(digamma((n - i) / 2)) for i in range(1, dimensions + 1)) + dimensions * math.log(2 / divisor)
    return generation * one


def replace_distance(generation: int, n: int, unbiased: bool = False) -> float:
    """Return E W2^2 / s0^2 between model t and the truth under replace, d = 1.

    m_t + v_t + 1 - 2 E s_t/s0, with E s_t/s0 = c^t, c = c4(N) = sqrt(2/(N-1)) G(N/2)/G((N-1)/2) (times
    sqrt(1 - 1/N) for maximum likelihood). To first order (3/2) t/N, the sum of Shumailov et al. 2024.

    Example:
        >>> round(replace_distance(10, 1000, unbiased=True), 4)
        0.015
    """
    variance, offset = replace_moments(generation, n, unbiased)
    divisor = n - 1 if unbiased else n
    deviation = math.sqrt(2 / divisor) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    return offset + variance + 1 - 2 * deviation**generation


def accumulate_variance(generation: int, n: int, added: float = 0.0) -> float:
    """Return v_t if every model is fitted to the real set and all samples so far: prod_k (1 - 1/(N k^2)).

    k = 1..t: the pool of model k holds k N images [Kazdan]; N is what each generation adds. m_t = 1 - v_t. Exact for
    Gaussian samples. With variance q = ``added`` on published samples, v_k = v + q/k - (v + q)/(N k^2) for k > 1.

    Example:
        >>> round(accumulate_variance(2, 10), 9)
        0.8775
    """
    check_generation(generation, n)
    variance = 1.0
    for k in range(1, generation + 1):
        new = added if k > 1 else 0.0  # model 1 is fitted to real images only
        variance += new / k - (variance + new) / (n * k * k)
    return variance


def accumulate_variance_limit(n: int) -> float:
    """Return the limit of :func:`accumulate_variance` for t -> infinity: sin(x)/x, x = pi/sqrt N; ~ 1 - pi^2/(6 N).

    Example:
        >>> round(accumulate_variance_limit(100), 4)
        0.9836
    """
    check_generation(0, n)
    angle = math.pi / math.sqrt(n)
    return math.sin(angle) / angle


def accumulate_subsample_variance(generation: int, n: int) -> float:
    """Return v_t if every model is fitted to N images drawn without replacement from all that exist.

    Before model t there are t N images. When the N samples of model t are added, the variance B_t of all images
    (divided by t N) falls by (d + s)/(t+1)^2, with d = S (1 - 1/t)/N from the mean of the draw, s = S (1 - 1/N)/N from
    the mean of the samples, and S = B_t t N/(t N - 1). Then v_t = S (1 - 1/N). Exact for Gaussian samples; [Kazdan] has
    bounds.

    Example:
        >>> replace_variance(9, 20) < accumulate_subsample_variance(9, 20) < accumulate_variance(9, 20)
        True
    """
    check_generation(generation, n)
    if generation == 0:
        return 1.0
    total = 1.0 - 1.0 / n
    for t in range(1, generation):
        corrected = total * t * n / (t * n - 1)
        total -= corrected * ((1 - 1 / t) + (1 - 1 / n)) / (n * (t + 1) ** 2)
    return total * generation * n / (generation * n - 1) * (1.0 - 1.0 / n)


def mix_moments(generation: int, n_real: int, n_synthetic: int) -> tuple[float, float]:
    """Return (v_t, m_t) if every model from t = 2 on is fitted to the SAME real images and samples of the last one.

    With N = n_real + n_synthetic, f = n_synthetic/N, S = 1 - 1/n_real the expected variance of the fixed real images
    and D = E (model mean - their mean)^2 / s0^2,

        v' = (1-f) S + f (1 - 1/N) v + f (1-f) D        D' = f^2 D + f v/N

    exactly, from v_1 = 1 - 1/N and D_1 = f/(N (1-f)): model 1 is fitted to N real images that include the fixed ones.

    Args:
        generation: t >= 0.
        n_real: fixed real images in every pool.
        n_synthetic: samples of the last model in every pool.
    """
    n = n_real + n_synthetic
    check_generation(generation, n)
    if n_real == 0 or generation == 0:
        return replace_moments(generation, n)
    f, real = n_synthetic / n, 1.0 - 1.0 / n_real
    variance, offset = 1.0 - 1.0 / n, f / (n * (1 - f))
    for _ in range(generation - 1):
        spread = (1 - f) * real + f * (1 - 1 / n) * variance + f * (1 - f) * offset
        variance, offset = spread, f * f * offset + f * variance / n
    return variance, offset + (1 - 2 * f**generation) / n_real


def mix_variance(generation: int, n_real: int, n_synthetic: int) -> float:
    """Return v_t of :func:`mix_moments`.

    Example:
        >>> round(mix_variance(1000, 25, 75), 6) == round(mix_variance_limit(25, 75), 6)
        True
    """
    return mix_moments(generation, n_real, n_synthetic)[0]


def mix_variance_limit(n_real: int, n_synthetic: int) -> float:
    """Return the limit of :func:`mix_variance`: (1 - 1/n_real) / (1 + f/(N (1 - f^2))), above 0 for any f < 1.

    Large image models lose far more than this with the same regime; the difference is model bias.
    """
    n = n_real + n_synthetic
    check_generation(0, n)
    if n_real == 0:
        return 0.0
    f = n_synthetic / n
    return (1.0 - 1.0 / n_real) / (1.0 + f / (n * (1.0 - f * f)))


def fresh_moments(
    generation: int, n_real: int, n_synthetic: int, scale: float = 1.0, period: int = 1
) -> tuple[float, float]:
    """Return (v_t, m_t) if every model from t = 2 on is fitted to NEW real images and samples of the last one.

    With N = n_real + n_synthetic, f = n_synthetic/N and samples of variance lambda v,

        m' = ((1-f) + f lambda v)/N + f^2 m        v' = (1-f) + f lambda v + f m - m'

    exactly, from v_1 = 1 - 1/N, m_1 = 1/N. Pooled maximum likelihood [Alemohammad].

    Args:
        generation: t >= 0.
        n_real: new real images in every pool.
        n_synthetic: samples of the last model in every pool.
        scale: lambda, as in :func:`replace_moments`.
        period: P >= 1: only the pools of generations 1 + P, 1 + 2 P, ... have real images; the others are N samples of
            the last model (f = 1).
    """
    n = n_real + n_synthetic
    check_generation(generation, n)
    if generation == 0:
        return 1.0, 0.0
    variance, offset = 1.0 - 1.0 / n, 1.0 / n
    for t in range(2, generation + 1):
        f = n_synthetic / n if (t - 1) % period == 0 else 1.0
        spread = (1.0 - f) + f * scale * variance
        offset, before = spread / n + f * f * offset, offset
        variance = spread + f * before - offset
    return variance, offset


def fresh_variance(generation: int, n_real: int, n_synthetic: int, scale: float = 1.0) -> float:
    """Return v_t of :func:`fresh_moments`.

    Example:
        >>> fresh_variance(5, 10, 0) == replace_variance(1, 10)
        True
    """
    return fresh_moments(generation, n_real, n_synthetic, scale)[0]


def fresh_moments_limit(n_real: int, n_synthetic: int, scale: float = 1.0) -> tuple[float, float]:
    """Return the fixed point (v, m) of :func:`fresh_moments`; for lambda = 1, m = 1/(N (1 - f^2) + f), v = 1 - m.

    Raises:
        ValueError: for n_real = 0, where the only fixed point is collapse.
    """
    n = n_real + n_synthetic
    check_generation(0, n)
    f = n_synthetic / n
    if f == 1.0:
        raise ValueError(f"n_real: expected at least 1, got {n_real}; without fresh data the only limit is collapse")
    pull = f * scale * (1 - f) / (1 - f * scale)
    offset = ((1 - f) + pull) / (n * (1 - f * f) + pull)
    return (1 - f) * (1 - offset) / (1 - f * scale), offset


def weighted_moments(
    generation: int, n_real: int, n_synthetic: int, weight: float, scale: float = 1.0
) -> tuple[float, float]:
    """Return (v_t, m_t) if models from t = 2 on are fitted to w (new real images) + (1-w) (samples of the last) [He].

    Mean and variance under the weights, n_real images sharing w and n_synthetic samples sharing 1 - w:

        m' = w^2/n_real + (1-w)^2 (lambda v/n_synthetic + m)        v' = w + (1-w) (lambda v + m) - m'

    from v_1 = 1 - 1/n, m_1 = 1/n with n = n_real real images. w = n_real/N gives :func:`fresh_moments`, except for
    model 1.

    Args:
        generation: t >= 0.
        n_real: new real images in every pool, and the images of model 1.
        n_synthetic: samples of the last model in every pool.
        weight: w, 0..1.
        scale: lambda, as in :func:`replace_moments`.
    """
    check_generation(generation, n_real)
    if generation == 0:
        return 1.0, 0.0
    variance, offset, other = 1.0 - 1.0 / n_real, 1.0 / n_real, 1.0 - weight
    for _ in range(generation - 1):
        square = weight + other * (scale * variance + offset)
        offset = weight**2 / n_real + other**2 * (scale * variance / n_synthetic + offset)
        variance = square - offset
    return variance, offset


def weighted_mean_error(weight: float) -> float:
    """Return the limit of N Var(mean)/s0^2 if the mean of model t+1 is w (of N new images) + (1-w) (of N samples).

    [w^2 + (1-w)^2] / [1 - (1-w)^2] for a known variance; least at w = GOLDEN_WEIGHT, where its value is GOLDEN_WEIGHT,
    too [He].

    Args:
        weight: w, 0 < w <= 1.
    """
    other = 1 - weight
    return (weight**2 + other**2) / (1 - other**2)


def check_generation(generation: int, n: int) -> None:
    """Raise ValueError for a negative generation, or for fewer than two images."""
    if generation < 0:
        raise ValueError(f"generation: expected a whole number >= 0, got {generation}")
    if n < 2:
        raise ValueError(f"n: expected at least 2 images a generation, got {n}")
