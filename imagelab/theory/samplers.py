"""Sampler erosion: the detail that a sampler loses with an exact score and no training error.

For Gaussian data the modes are independent. For a mode of variance l, the prediction of the exact network at noise
level (alpha, sigma), x_t = alpha x + sigma e, is linear, E[x | x_t] = alpha l / (alpha^2 l + sigma^2) x_t. So a
deterministic sampler multiplies the mode by one number g, and its variance after sampling is g^2 instead of l (the
initial noise has variance 1). An ancestral sampler adds noise at every step, and the variance follows a recursion. The
ratio g^2 / l is the part of the loss that is caused by the sampler; report it with every spectrum of a loop with few
sampling steps.

The ratio for modes of variance 1e-4, 1e-3, 1e-2, 1e-1 in one generation (images in -1..1; cosine schedule of 1000):

    DDIM 50    .05 .34 .75 .91      ancestral 50    .05 .31 .63 .83      DPM-Solver++ 50    .05 .36 .87 1.0
    DDIM 250   .32 .77 .94 .98      ancestral 250   .30 .68 .88 .96      DPM-Solver++ 250   .34 .85 .99 1.0
    DDIM 1000  .66 .93 .98 1.0      ancestral 1000  .60 .87 .96 .99      DPM-Solver++ 1000  .71 .97 1.0 1.0

Heun on the levels of [Karras] from 80 down keeps .95 1.18 1.16 1.12 in 18 steps, .73 .98 1.01 1.01 in 50. On these
levels DPM-Solver++ keeps .63 .99 1.09 1.09 in 20 steps, .69 .99 1.03 1.03 in 35, where 20 evenly spaced steps keep .01
.11 .54 .95; with noise (SDE-DPM-Solver++) .53 .95 1.15 1.21 in 20, .68 .99 1.04 1.03 in 50.
With the linear schedule DDIM 50 keeps .31 .35 .61 .85. So DDIM 50 halves modes a little below 1e-2, and finer ones lose
two thirds or more. Heun's rule on a straight flow has the opposite error: 25 steps make a mode of 1e-4 nearly five
times too strong. The rounding to bytes, a twelfth of a squared level, adds 5e-6 in these units.

Grids are in the order of sampling. ``alpha_bar`` is alpha^2 of a variance-preserving schedule, rising to 1, the image.

References:
    [Ho] Denoising diffusion probabilistic models (2020), arXiv:2006.11239, Eq. 7.
    [Song] Denoising diffusion implicit models (2021), arXiv:2010.02502, Eq. 12.
    [Karras] Elucidating the design space of diffusion-based generative models (2022), arXiv:2206.00364, Algorithm 1.
    [Lu] DPM-Solver++ (2022), arXiv:2211.01095, Algorithm 2.
    [Liu] Flow straight and fast (2023), arXiv:2209.03003.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def ddim_erosion(variance: np.ndarray, alpha_bar: np.ndarray) -> np.ndarray:
    """Return the variance of a Gaussian mode after sampling with DDIM (eta = 0), exact score [Song].

    g^2 with g = prod_steps [sqrt(a' a) l + sqrt((1-a')(1-a))] / (a l + 1 - a), a = alpha-bar at a step, a' at the
    next; the initial noise has variance 1.

    Args:
        variance: l >= 0, variances of the data's modes in the sampler's units (images in -1..1). Any shape.
        alpha_bar: [S+1], in the order of sampling: rising from near 0 to 1, the clean image.

    Returns:
        float64, shaped like ``variance``.

    Raises:
        ValueError: for values that do not rise, or that do not start inside 0..1.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)[..., None]
    now, after = alpha_bar[:-1], alpha_bar[1:]
    gain = (np.sqrt(now * after) * mode + np.sqrt((1 - now) * (1 - after))) / (now * mode + 1 - now)
    return np.prod(gain, axis=-1) ** 2


def ddpm_erosion(variance: np.ndarray, alpha_bar: np.ndarray) -> np.ndarray:
    """Return the variance of a Gaussian mode after ancestral sampling, exact score [Ho].

    From a to a' the sampler draws from q(x' | x, E[x_0 | x]): with r = a/a',

        x' = [sqrt(a') (1-r) c + sqrt(r) (1-a')] / (1-a) x + noise,    noise variance (1-r) (1-a') / (1-a),

    c x = E[x_0 | x]; the last step adds no noise. Every step replaces the posterior of x_0 by its mean, so the variance
    of the posterior is lost. The loss is of order 1/S, at every scale where the steps are large.

    Args:
        variance: as in :func:`ddim_erosion`.
        alpha_bar: as in :func:`ddim_erosion`.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)
    sampled = np.ones_like(mode)
    for now, after in pairwise(alpha_bar):
        ratio = now / after
        denoise = np.sqrt(now) * mode / (now * mode + 1 - now)
        gain = (np.sqrt(after) * (1 - ratio) * denoise + np.sqrt(ratio) * (1 - after)) / (1 - now)
        sampled = gain**2 * sampled + (1 - ratio) * (1 - after) / (1 - now)
    return sampled


def dpm_erosion(variance: np.ndarray, alpha_bar: np.ndarray, first_order_last: bool = True) -> np.ndarray:
    """Return the variance of a Gaussian mode after sampling with DPM-Solver++(2M), exact score [Lu].

    With lambda = ln(alpha/sigma), h its step, h_0 the step before, D the prediction of the image, the mode follows

        x' = (sigma'/sigma) x - alpha' (e^{-h} - 1) [D + (D - D_before) h / (2 h_0)].

    The first step is of first order; so is the last one if the noise falls to 0, where h is infinite.

    Args:
        variance: as in :func:`ddim_erosion`.
        alpha_bar: as in :func:`ddim_erosion`.
        first_order_last: True for diffusers' solver, whose last step goes to noise 0; must be True if alpha_bar ends at
            1.

    Raises:
        ValueError: for a second-order step to noise 0.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)
    if alpha_bar[-1] == 1 and not first_order_last:
        raise ValueError(
            "first_order_last: expected True if alpha_bar ends at 1, got False; the last step in lambda is infinite"
        )
    alpha, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    with np.errstate(divide="ignore"):
        log_ratio = np.log(alpha) - np.log(sigma)
    steps, gain, before = np.diff(log_ratio), np.ones_like(mode), np.zeros_like(mode)
    for i, step in enumerate(steps):
        answer = alpha[i] * mode / (alpha_bar[i] * mode + 1 - alpha_bar[i]) * gain
        first = i == 0 or (i == len(steps) - 1 and first_order_last)
        slope = 0.0 if first else (answer - before) * step / (2 * steps[i - 1])
        gain = sigma[i + 1] / sigma[i] * gain - alpha[i + 1] * np.expm1(-step) * (answer + slope)
        before = answer
    return gain**2


def sde_dpm_erosion(variance: np.ndarray, alpha_bar: np.ndarray) -> np.ndarray:
    """Return the variance of a Gaussian mode after SDE-DPM-Solver++(2M), exact score [Lu].

    As :func:`dpm_erosion`, with noise z of variance one that is drawn anew at every step:

        x' = (sigma'/sigma) e^{-h} x + alpha' q [D + (D - D_before) h / (2 h_0)] + sigma' sqrt(q) z,   q = 1 - e^{-2h}.

    The variance of x, that of D_before and their covariance follow a linear recursion.

    Args:
        variance: as in :func:`ddim_erosion`.
        alpha_bar: as in :func:`ddim_erosion`; the last step is of first order, as the first one.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)
    alpha, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    with np.errstate(divide="ignore"):
        steps = np.diff(np.log(alpha) - np.log(sigma))
    sampled, before, both = np.ones_like(mode), np.zeros_like(mode), np.zeros_like(mode)  # both: their covariance
    for i, step in enumerate(steps):
        denoise = alpha[i] * mode / (alpha_bar[i] * mode + 1 - alpha_bar[i])
        slope = 0.0 if i in (0, len(steps) - 1) else step / (2 * steps[i - 1])
        fresh = -np.expm1(-2 * step)
        own = sigma[i + 1] / sigma[i] * np.exp(-step) + alpha[i + 1] * fresh * denoise * (1 + slope)
        past = -alpha[i + 1] * fresh * slope
        noise = sigma[i + 1] ** 2 * fresh
        after = own**2 * sampled + 2 * own * past * both + past**2 * before + noise
        both = denoise * (own * sampled + past * both)
        before, sampled = denoise**2 * sampled, after
    return sampled


def flow_erosion(variance: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the variance of a Gaussian mode after a rectified flow [Liu] with Euler steps, exact velocity.

    x_t = (1-t) x + t noise has velocity E[noise - x | x_t] = c(t) x_t, c = (t - (1-t) l) / ((1-t)^2 l + t^2); one step
    from t to t' multiplies by 1 + (t' - t) c(t).

    Args:
        variance: as in :func:`ddim_erosion`.
        times: [S+1], falling from 1 (noise) to 0 (image).

    Raises:
        ValueError: for times that do not fall, or that are outside 0..1.
    """
    times, mode = _times(times), np.asarray(variance, np.float64)[..., None]
    return np.prod(1 + np.diff(times) * _velocity(mode, times[:-1]), axis=-1) ** 2


def heun_erosion(variance: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the variance of a Gaussian mode after a rectified flow with Heun's rule, exact velocity.

    A step uses the average of the velocities at its start and at the end of an Euler step, so it multiplies by
    1 + h [c(t) + c(t') (1 + h c(t))] / 2, h = t' - t. Every step evaluates the network twice: unlike [Karras], the last
    step is not singular, because c(0) = -1.

    Args:
        variance: as in :func:`ddim_erosion`.
        times: as in :func:`flow_erosion`.
    """
    times, mode = _times(times), np.asarray(variance, np.float64)[..., None]
    step, first, second = np.diff(times), _velocity(mode, times[:-1]), _velocity(mode, times[1:])
    return np.prod(1 + step * (first + second * (1 + step * first)) / 2, axis=-1) ** 2


def edm_erosion(variance: np.ndarray, sigmas: np.ndarray, heun: bool = True) -> np.ndarray:
    """Return the variance of a Gaussian mode after the deterministic EDM sampler, exact score [Karras].

    x = x_0 + sigma e follows dx/dsigma = sigma / (l + sigma^2) x; Heun's rule, the last step to sigma = 0 by Euler's.

    Args:
        variance: as in :func:`ddim_erosion`.
        sigmas: [S+1], noise levels, falling to 0; the initial noise has variance sigmas[0]^2.
        heun: False for Euler's rule in every step.

    Raises:
        ValueError: for levels that do not fall, or that are below 0.
    """
    sigmas, mode = np.asarray(sigmas, np.float64), np.asarray(variance, np.float64)[..., None]
    if sigmas.ndim != 1 or len(sigmas) < 2 or (np.diff(sigmas) >= 0).any() or sigmas[-1] < 0:
        raise ValueError("sigmas: expected at least two noise levels that fall, none below 0")
    now, after, step = sigmas[:-1], sigmas[1:], np.diff(sigmas)
    first = now / (mode + now**2)
    second = np.where(after > 0, after / np.where(after > 0, mode + after**2, 1.0), first)
    gain = 1 + step * (first + second * (1 + step * first)) / 2 if heun else 1 + step * first
    gain = np.where(after > 0, gain, 1 + step * first)
    return (sigmas[0] * np.prod(gain, axis=-1)) ** 2


def karras_times(alpha_bar: np.ndarray, steps: int, top: float = 80.0) -> np.ndarray:
    """Return suitable times of a noise schedule for Heun's rule, falling to 0: int [steps].

    The 7th roots of sigma = sqrt(1 / alpha_bar - 1) are evenly spaced [Karras, Eq. 5], from ``top`` down to the least
    sigma. Each is rounded to the nearest time of the schedule, no time twice. Evenly spaced times are not suitable:
    sigma of the cosine schedule starts at 20,000, and 18 steps from there make a mode of variance 1 sixty times too
    strong.

    Args:
        alpha_bar: [T], of every time of the schedule, falling.
        steps: 1..T.
        top: sigma to start from; the largest of the schedule if that is smaller.

    Raises:
        ValueError: for steps out of range.
    """
    if not 1 <= steps <= len(alpha_bar):
        raise ValueError(f"karras_times: expected 1 to {len(alpha_bar)} steps, as many as there are times, got {steps}")
    sigma = np.sqrt(1 / np.asarray(alpha_bar, np.float64) - 1)
    roots = np.linspace(min(sigma[-1], top) ** (1 / 7), sigma[0] ** (1 / 7), steps)[::-1]
    nearest = np.abs(np.log(sigma) - 7 * np.log(roots)[:, None]).argmin(1)
    order = np.arange(steps)
    rising = np.maximum.accumulate(nearest - order) + order  # each at least one above the one before: no time twice
    return np.minimum(rising, len(sigma) - steps + order)[::-1].copy()


def _velocity(mode: np.ndarray, t: np.ndarray) -> np.ndarray:
    """c(t) with E[noise - x | x_t] = c(t) x_t; at t = 0 it is -1 for every mode, also for a mode of variance 0."""
    total = (1 - t) ** 2 * mode + t**2
    return np.where(total > 0, (t - (1 - t) * mode) / np.where(total > 0, total, 1.0), -1.0)


def _grid(alpha_bar: np.ndarray) -> np.ndarray:
    alpha_bar = np.asarray(alpha_bar, np.float64)
    if alpha_bar.ndim != 1 or len(alpha_bar) < 2 or (np.diff(alpha_bar) <= 0).any() or not 0 < alpha_bar[0] < 1:
        raise ValueError("alpha_bar: expected at least two values that rise, from above 0, in the order of sampling")
    return alpha_bar


def _times(times: np.ndarray) -> np.ndarray:
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 2 or (np.diff(times) >= 0).any() or times[0] > 1 or times[-1] < 0:
        raise ValueError("times: expected at least two values that fall from 1 to 0")
    return times
