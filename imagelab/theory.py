"""Closed forms that a self-consuming loop must obey: plain numbers in, plain numbers out.

The model of thought is a Gaussian that is refitted to its own samples. The truth is N(mu0, s0^2), one value an
image; model t is the (mean, variance) fitted to the N images of its pool; model 1 is fitted to real images.

    v_t = E[variance of model t] / s0^2        m_t = E[(mean of model t - mu0)^2] / s0^2

Both are ratios, 1 and 0 for the truth. For the closed-form Gaussian generator the laws hold mode by mode, so whole
image loops can be checked against them; for a network they are the part of the loss that no training can avoid.
Unless told otherwise the variance is fitted by maximum likelihood (divided by N, not by N - 1). Expectations, not
typical runs: the variance of a single run is skewed, and its median lies below (:func:`replace_log_variance`).

References:
    [Shumailov] AI models collapse when trained on recursively generated data (2024), doi:10.1038/s41586-024-07566-y.
    [Alemohammad] Self-consuming generative models go MAD (2024), arXiv:2307.01850.
    [Kazdan] Collapse or thrive? (2024), arXiv:2410.16713.
    [He] Golden ratio weighting prevents model collapse (He, Xu and Cheng 2025), arXiv:2502.18049.
    [Ewens] Mathematical population genetics (2004), section 3.2.
    [Song] Denoising diffusion implicit models (2021), arXiv:2010.02502, Eq. 12.
    [Liu] Flow straight and fast (2023), arXiv:2209.03003.
    [Lucas] Don't blame the ELBO! (2019), arXiv:1911.02469.
"""

from __future__ import annotations

import math

import numpy as np

GOLDEN_WEIGHT = (math.sqrt(5.0) - 1.0) / 2.0
"""The weight on fresh real data that makes :func:`weighted_mean_error` least: 1 over the golden ratio."""


def replace_moments(
    generation: int, n: int, unbiased: bool = False, scale: float = 1.0, added: float = 0.0
) -> tuple[float, float]:
    """Return (v_t, m_t) when every model sees only the last one's samples [Shumailov, Alemohammad].

    A sample of model t has variance w = lambda v_t + q. Then m_{t+1} = m_t + w/N and v_{t+1} = w (1 - 1/N), or w with
    the unbiased estimator; model 1 sees w = 1. Exact for any data of variance s0^2 at t = 1 and Gaussian samples after.
    For lambda = 1, q = 0: v_t = (1 - 1/N)^t and m_t = 1 - v_t; unbiased v_t = 1 and m_t = t/N. For lambda < 1,
    unbiased: v_t = lambda^(t-1), m_t -> 1/(N (1 - lambda)).

    Args:
        generation: t >= 0; 0 is the truth itself. n: N >= 2, images a generation.
        unbiased: True for the estimator that divides by N - 1.
        scale: lambda > 0, variance of a sample over variance of its model: below 1 for a sampler that prefers quality.
        added: q >= 0, variance added to every published sample, over s0^2. Rounding to whole levels adds 1/12 level^2.
    """
    _check(generation, n)
    keep = 1.0 if unbiased else 1.0 - 1.0 / n
    variance, offset, sampled = 1.0, 0.0, 1.0
    for _ in range(generation):
        offset += sampled / n
        variance = sampled * keep
        sampled = scale * variance + added
    return variance, offset


def replace_variance(generation: int, n: int, unbiased: bool = False, scale: float = 1.0, added: float = 0.0) -> float:
    """Return v_t of :func:`replace_moments`: (1 - 1/N)^t unless told otherwise.

    Example:
        >>> round(replace_variance(2, 10), 9)
        0.81
    """
    return replace_moments(generation, n, unbiased, scale, added)[0]


def replace_log_variance(generation: int, n: int, unbiased: bool = False, dimensions: int = 1) -> float:
    """Return E ln det(Sigma_t Sigma_0^-1) under replace: how a typical run collapses while the mean may not.

    t [sum_{i=1..d} psi((N-i)/2) + d ln 2 - d ln(divisor)], the Bartlett decomposition of a Wishart matrix. For
    Gaussian data, d = ``dimensions`` < N. With the unbiased estimator and d = 1 it falls by about 1/N a generation
    while v_t stays 1.

    Example:
        >>> round(replace_log_variance(10, 100, unbiased=True), 4)
        -0.1014
    """
    from scipy.special import digamma  # here, so that reading a configuration does not wait for scipy

    _check(generation, n)
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
    """Return v_t when every model sees the real set and all samples ever made: prod_k (1 - 1/(N k^2)).

    k = 1..t: the pool of model k holds k N images [Kazdan]; N is what each generation adds. m_t = 1 - v_t. Exact for
    Gaussian samples. With q ``added`` to what is published, v_k = v + q/k - (v + q)/(N k^2) for k > 1.

    Example:
        >>> round(accumulate_variance(2, 10), 9)
        0.8775
    """
    _check(generation, n)
    variance = 1.0
    for k in range(1, generation + 1):
        new = added if k > 1 else 0.0  # model 1 sees real images only
        variance += new / k - (variance + new) / (n * k * k)
    return variance


def accumulate_variance_limit(n: int) -> float:
    """Return the limit of :func:`accumulate_variance` for ever: sin(x)/x, x = pi/sqrt N; about 1 - pi^2/(6 N).

    Example:
        >>> round(accumulate_variance_limit(100), 4)
        0.9836
    """
    _check(0, n)
    angle = math.pi / math.sqrt(n)
    return math.sin(angle) / angle


def accumulate_subsample_variance(generation: int, n: int) -> float:
    """Return v_t when every model sees N images drawn without replacement from all that exists.

    The bag before model t holds t N images. Its variance B_t (divided by t N) loses, when N samples of the model that
    was fitted to the draw come in, (d + s)/(t+1)^2: d = S (1 - 1/t)/N for the draw's mean, s = S (1 - 1/N)/N for the
    samples', S = B_t t N/(t N - 1). Then v_t = S (1 - 1/N). Exact for Gaussian samples; [Kazdan] has bounds.

    Example:
        >>> replace_variance(9, 20) < accumulate_subsample_variance(9, 20) < accumulate_variance(9, 20)
        True
    """
    _check(generation, n)
    if generation == 0:
        return 1.0
    bag = 1.0 - 1.0 / n
    for t in range(1, generation):
        corrected = bag * t * n / (t * n - 1)
        bag -= corrected * ((1 - 1 / t) + (1 - 1 / n)) / (n * (t + 1) ** 2)
    return bag * generation * n / (generation * n - 1) * (1.0 - 1.0 / n)


def mix_moments(generation: int, n_real: int, n_synthetic: int) -> tuple[float, float]:
    """Return (v_t, m_t) when every model from t = 2 on sees the SAME n_real real images and the last one's samples.

    With N = n_real + n_synthetic, f = n_synthetic/N, S = 1 - 1/n_real the expected variance of the fixed real images
    and D = E (model mean - their mean)^2 / s0^2,

        v' = (1-f) S + f (1 - 1/N) v + f (1-f) D        D' = f^2 D + f v/N

    exactly, from v_1 = 1 - 1/N and D_1 = f/(N (1-f)): model 1 sees N real images, the fixed ones among them.
    """
    n = n_real + n_synthetic
    _check(generation, n)
    if n_real == 0 or generation == 0:
        return replace_moments(generation, n)
    f, real = n_synthetic / n, 1.0 - 1.0 / n_real
    variance, apart = 1.0 - 1.0 / n, f / (n * (1 - f))
    for _ in range(generation - 1):
        spread = (1 - f) * real + f * (1 - 1 / n) * variance + f * (1 - f) * apart
        variance, apart = spread, f * f * apart + f * variance / n
    return variance, apart + (1 - 2 * f**generation) / n_real


def mix_variance(generation: int, n_real: int, n_synthetic: int) -> float:
    """Return v_t of :func:`mix_moments`.

    Example:
        >>> round(mix_variance(1000, 25, 75), 6) == round(mix_variance_limit(25, 75), 6)
        True
    """
    return mix_moments(generation, n_real, n_synthetic)[0]


def mix_variance_limit(n_real: int, n_synthetic: int) -> float:
    """Return v for ever with a fixed real set: (1 - 1/n_real) / (1 + f/(N (1 - f^2))): bounded for any f < 1.

    Large image models do far worse than this under the same regime; the difference is model bias.
    """
    n = n_real + n_synthetic
    _check(0, n)
    if n_real == 0:
        return 0.0
    f = n_synthetic / n
    return (1.0 - 1.0 / n_real) / (1.0 + f / (n * (1.0 - f * f)))


def fresh_moments(generation: int, n_real: int, n_synthetic: int, scale: float = 1.0) -> tuple[float, float]:
    """Return (v_t, m_t) when every model from t = 2 on sees NEW real images and the last one's samples.

    With N = n_real + n_synthetic, f = n_synthetic/N and samples of variance lambda v,

        m' = ((1-f) + f lambda v)/N + f^2 m        v' = (1-f) + f lambda v + f m - m'

    exactly, from v_1 = 1 - 1/N, m_1 = 1/N. Pooled maximum likelihood [Alemohammad].

    Args:
        generation: t >= 0. scale: lambda, as in :func:`replace_moments`.
        n_real: new real images in every pool. n_synthetic: samples of the last model in every pool.
    """
    n = n_real + n_synthetic
    _check(generation, n)
    if generation == 0:
        return 1.0, 0.0
    variance, offset, f = 1.0 - 1.0 / n, 1.0 / n, n_synthetic / n
    for _ in range(generation - 1):
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
    """Return the fixed point (v, m) of :func:`fresh_moments`; for lambda = 1, m = 1/(N (1 - f^2) + f), v = 1 - m."""
    n = n_real + n_synthetic
    _check(0, n)
    f = n_synthetic / n
    if f == 1.0:
        raise ValueError("n_real: expected at least 1; without fresh data there is no fixed point but collapse")
    pull = f * scale * (1 - f) / (1 - f * scale)
    offset = ((1 - f) + pull) / (n * (1 - f * f) + pull)
    return (1 - f) * (1 - offset) / (1 - f * scale), offset


def weighted_mean_error(weight: float) -> float:
    """Return N Var(mean)/s0^2 for ever, when model t+1's mean is w (mean of N fresh) + (1-w) (mean of N samples of t).

    [w^2 + (1-w)^2] / [1 - (1-w)^2] for a known variance, 0 < w <= 1; least at w = GOLDEN_WEIGHT, and equal to it [He].
    """
    other = 1 - weight
    return (weight**2 + other**2) / (1 - other**2)


def wright_fisher_heterozygosity(frequency: float, n: int, generation: int) -> float:
    """Return E 2 p_t (1 - p_t) = 2 p (1-p) (1 - 1/N)^t; E p_t = p for ever."""
    _check(generation, n)
    return 2 * frequency * (1 - frequency) * (1 - 1 / n) ** generation


def wright_fisher_counts(frequency: float, n: int, generation: int) -> np.ndarray:
    """Return P(an attribute stands in k of the N samples of generation t), k = 0..N: float64 [N+1].

    The null model of rare attributes: a perfect generator that gives every sample the attribute with the share it had
    among the N images of the generation before, x_{t+1} ~ Binomial(N, x_t/N), x_1 ~ Binomial(N, p). Exact, by its
    transition matrix, so N <= 4096 (128 MB) [Ewens].
    """
    from scipy.special import gammaln, xlog1py, xlogy

    _check(generation, n)
    if generation < 1 or n > 4096 or not 0 <= frequency <= 1:
        raise ValueError(f"expected generation >= 1, n <= 4096, 0 <= p <= 1, got {generation}, {n}, {frequency}")
    k = np.arange(n + 1)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    def binomial(p: np.ndarray | float) -> np.ndarray:
        return np.exp(choose + xlogy(k, p) + xlog1py(n - k, -np.asarray(p)))

    counts = binomial(frequency)
    if generation > 1:
        step = binomial(k[:, None] / n)
        for _ in range(generation - 1):
            counts = counts @ step
    return counts


def wright_fisher_survival(frequency: float, n: int, generation: int) -> float:
    """Return the probability that an attribute of frequency p is still there in generation t: 1 - (1-p)^N at t = 1.

    Exact to N = 4096 (:func:`wright_fisher_counts`); above, by the branching limit P(lost by t) = e^{-N p (1 - y)},
    y_1 = 0, y_{t} = e^{-(1 - y_{t-1})}, which for p <= 1 % and t << N is right to about p.
    """
    if generation == 0:
        return float(frequency > 0)
    if n <= 4096:
        return 1.0 - float(wright_fisher_counts(frequency, n, generation)[0])
    _check(generation, n)
    lost = 0.0
    for _ in range(generation - 1):
        lost = math.exp(lost - 1.0)
    return 1.0 - math.exp(-n * frequency * (1.0 - lost))


def ddim_erosion(variance: np.ndarray, alpha_bar: np.ndarray) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves DDIM (eta = 0), exact score, no training error [Song].

    g^2 with g = prod_steps [sqrt(a' a) l + sqrt((1-a')(1-a))] / (a l + 1 - a), a = alpha-bar at a step, a' at the
    next; the noise it starts from has variance 1. Plot this floor beside every spectrum of a fast-sampled loop.

    Args:
        variance: l >= 0, variances of the data's modes in the sampler's units (images in -1..1). Any shape.
        alpha_bar: [S+1], in the order of sampling: rising from near 0 to 1, where the clean image is.
    """
    alpha_bar, mode = np.asarray(alpha_bar, np.float64), np.asarray(variance, np.float64)[..., None]
    if alpha_bar.ndim != 1 or len(alpha_bar) < 2 or (np.diff(alpha_bar) <= 0).any() or not 0 < alpha_bar[0] < 1:
        raise ValueError("alpha_bar: expected at least two values that rise, from above 0, in the order of sampling")
    now, after = alpha_bar[:-1], alpha_bar[1:]
    gain = (np.sqrt(now * after) * mode + np.sqrt((1 - now) * (1 - after))) / (now * mode + 1 - now)
    return np.prod(gain, axis=-1) ** 2


def flow_erosion(variance: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves a rectified flow [Liu], Euler steps, exact velocity.

    x_t = (1-t) x + t noise has velocity E[noise - x | x_t] = c(t) x_t, c = (t - (1-t) l) / ((1-t)^2 l + t^2); one step
    from t to t' multiplies by 1 + (t' - t) c(t). ``variance`` as in :func:`ddim_erosion`; ``times`` [S+1] fall from 1
    (noise) to 0 (image).
    """
    times, mode = np.asarray(times, np.float64), np.asarray(variance, np.float64)[..., None]
    if times.ndim != 1 or len(times) < 2 or (np.diff(times) >= 0).any() or times[0] > 1 or times[-1] < 0:
        raise ValueError("times: expected at least two values that fall from 1 to 0")
    t, step = times[:-1], np.diff(times)
    gain = 1 + step * (t - (1 - t) * mode) / ((1 - t) ** 2 * mode + t**2)
    return np.prod(gain, axis=-1) ** 2


def linear_vae_variance(
    variance: np.ndarray, generation: int, noise: float, beta: float = 1.0, decoder_noise: bool = False
) -> np.ndarray:
    """Return a mode's variance after t generations of linear VAEs with infinite data under replace.

    The best linear VAE with decoder noise s^2 and weight beta has decoder variance max(l - beta s^2, 0) [Lucas, for
    beta = 1]. Sampling decoder means subtracts beta s^2 a generation: the weakest (finest) modes die first, on a
    straight line. Adding the decoder noise when sampling gives back s^2: no erosion for beta = 1 down to l = s^2.
    """
    mode = np.asarray(variance, np.float64)
    for _ in range(generation):
        mode = np.maximum(mode - beta * noise, 0.0) + (noise if decoder_noise else 0.0)
    return mode


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

    trunc(a) = 1 - 2 a phi(a) / (2 Phi(a) - 1). Exact for a Gaussian input, so exact for the first generation only. A
    caricature of collapse: it throws the tails away by rule; honest refitting loses them by chance. ``noise`` is the
    standard deviation of what is added.
    """
    a = cut / math.sqrt(variance)
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    return variance * (1 - 2 * a * density / truncation_kept(variance, cut)) + noise**2


def _check(generation: int, n: int) -> None:
    if generation < 0:
        raise ValueError(f"generation: expected a whole number >= 0, got {generation}")
    if n < 2:
        raise ValueError(f"n: expected at least 2 images a generation, got {n}")
