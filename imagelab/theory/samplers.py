"""Sampler erosion: the detail that a sampler loses with an exact score and no training error.

For Gaussian data every mode is on its own: with variance l, the exact network's answer at noise level (alpha, sigma),
x_t = alpha x + sigma e, is linear, E[x | x_t] = alpha l / (alpha^2 l + sigma^2) x_t. A deterministic sampler then
multiplies the mode by one number g, and the variance l comes out as g^2 (the noise it starts from has variance 1). An
ancestral one adds noise on the way, and the variance follows a recursion. What remains below 1 in g^2 / l is the floor
that belongs beside every spectrum of a fast-sampled loop.

What is kept of modes of variance 1e-4, 1e-3, 1e-2, 1e-1 in one generation (images in -1..1; cosine schedule of 1000):

    DDIM 50    .05 .34 .75 .91      ancestral 50    .05 .31 .63 .83      DPM-Solver++ 50    .05 .36 .87 1.0
    DDIM 250   .32 .77 .94 .98      ancestral 250   .30 .68 .88 .96      DPM-Solver++ 250   .34 .85 .99 1.0
    DDIM 1000  .66 .93 .98 1.0      ancestral 1000  .60 .87 .96 .99      DPM-Solver++ 1000  .71 .97 1.0 1.0

Heun on the levels of [Karras] from 80 down keeps .95 1.18 1.16 1.12 in 18 steps, .73 .98 1.01 1.01 in 50.
With the linear schedule DDIM 50 keeps .31 .35 .61 .85. Halving, then, is what DDIM 50 does to modes a little below
1e-2; finer ones lose two thirds or more. Heun's rule on a straight flow errs the other way: 25 steps make a mode of
1e-4 nearly five times too strong. The rounding to bytes, a twelfth of a squared level, adds 5e-6 in these units.

Grids are in the order of sampling. ``alpha_bar`` is alpha^2 of a variance-preserving schedule: rising to 1, the image.

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
    """Return the variance with which a Gaussian mode leaves DDIM (eta = 0), exact score, no training error [Song].

    g^2 with g = prod_steps [sqrt(a' a) l + sqrt((1-a')(1-a))] / (a l + 1 - a), a = alpha-bar at a step, a' at the
    next; the noise it starts from has variance 1.

    Args:
        variance: l >= 0, variances of the data's modes in the sampler's units (images in -1..1). Any shape.
        alpha_bar: [S+1], in the order of sampling: rising from near 0 to 1, where the clean image is.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)[..., None]
    now, after = alpha_bar[:-1], alpha_bar[1:]
    gain = (np.sqrt(now * after) * mode + np.sqrt((1 - now) * (1 - after))) / (now * mode + 1 - now)
    return np.prod(gain, axis=-1) ** 2


def ddpm_erosion(variance: np.ndarray, alpha_bar: np.ndarray) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves ancestral sampling, exact score [Ho].

    From a to a' the sampler draws from q(x' | x, E[x_0 | x]): with r = a/a',

        x' = [sqrt(a') (1-r) c + sqrt(r) (1-a')] / (1-a) x + noise,    noise variance (1-r) (1-a') / (1-a),

    c x = E[x_0 | x]; the last step adds no noise. The variance that the posterior of x_0 has and its mean has not is
    what goes missing at every step: of order 1/S, at every scale where the walk is coarse. ``variance`` and
    ``alpha_bar`` as in :func:`ddim_erosion`.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)
    found = np.ones_like(mode)
    for now, after in pairwise(alpha_bar):
        ratio = now / after
        denoise = np.sqrt(now) * mode / (now * mode + 1 - now)
        gain = (np.sqrt(after) * (1 - ratio) * denoise + np.sqrt(ratio) * (1 - after)) / (1 - now)
        found = gain**2 * found + (1 - ratio) * (1 - after) / (1 - now)
    return found


def dpm_erosion(variance: np.ndarray, alpha_bar: np.ndarray, first_order_last: bool = True) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves DPM-Solver++(2M), exact score [Lu].

    With lambda = ln(alpha/sigma), h its step, h_0 the step before, D the answers for the image, the mode obeys

        x' = (sigma'/sigma) x - alpha' (e^{-h} - 1) [D + (D - D_before) h / (2 h_0)],

    first order at the first step, and at the last where the noise goes to nothing and h has no end.

    Args:
        variance: as in :func:`ddim_erosion`.
        alpha_bar: [S+1] likewise.
        first_order_last: True for diffusers' solver, whose last step falls to no noise; must be so if alpha_bar ends
            on 1.

    Raises:
        ValueError: for a second-order step to no noise at all.
    """
    alpha_bar, mode = _grid(alpha_bar), np.asarray(variance, np.float64)
    if alpha_bar[-1] == 1 and not first_order_last:
        raise ValueError("first_order_last: expected True where alpha_bar ends on 1; the step in lambda has no end")
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


def flow_erosion(variance: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves a rectified flow [Liu], Euler steps, exact velocity.

    x_t = (1-t) x + t noise has velocity E[noise - x | x_t] = c(t) x_t, c = (t - (1-t) l) / ((1-t)^2 l + t^2); one step
    from t to t' multiplies by 1 + (t' - t) c(t). ``variance`` as in :func:`ddim_erosion`; ``times`` [S+1] fall from 1
    (noise) to 0 (image).
    """
    times, mode = _times(times), np.asarray(variance, np.float64)[..., None]
    return np.prod(1 + np.diff(times) * _velocity(mode, times[:-1]), axis=-1) ** 2


def heun_erosion(variance: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves a rectified flow by Heun's rule, exact velocity.

    A step averages the velocity where it stands and where an Euler step would lead, so it multiplies by
    1 + h [c(t) + c(t') (1 + h c(t))] / 2, h = t' - t. Two evaluations of the network a step, none skipped: unlike
    [Karras] no step is singular here, for c(0) = -1. Arguments as in :func:`flow_erosion`.
    """
    times, mode = _times(times), np.asarray(variance, np.float64)[..., None]
    step, here, there = np.diff(times), _velocity(mode, times[:-1]), _velocity(mode, times[1:])
    return np.prod(1 + step * (here + there * (1 + step * here)) / 2, axis=-1) ** 2


def edm_erosion(variance: np.ndarray, sigmas: np.ndarray, heun: bool = True) -> np.ndarray:
    """Return the variance with which a Gaussian mode leaves the deterministic EDM sampler, exact score [Karras].

    x = x_0 + sigma e obeys dx/dsigma = sigma / (l + sigma^2) x; Heun's rule, the last step to sigma = 0 by Euler's.

    Args:
        variance: as in :func:`ddim_erosion`.
        sigmas: [S+1] noise levels, falling to 0; the noise it starts from has variance sigmas[0]^2.
        heun: False for Euler's rule in every step.
    """
    sigmas, mode = np.asarray(sigmas, np.float64), np.asarray(variance, np.float64)[..., None]
    if sigmas.ndim != 1 or len(sigmas) < 2 or (np.diff(sigmas) >= 0).any() or sigmas[-1] < 0:
        raise ValueError("sigmas: expected at least two noise levels that fall, none below 0")
    now, after, step = sigmas[:-1], sigmas[1:], np.diff(sigmas)
    here = now / (mode + now**2)
    there = np.where(after > 0, after / np.where(after > 0, mode + after**2, 1.0), here)
    gain = 1 + step * (here + there * (1 + step * here)) / 2 if heun else 1 + step * here
    gain = np.where(after > 0, gain, 1 + step * here)
    return (sigmas[0] * np.prod(gain, axis=-1)) ** 2


def karras_times(alpha_bar: np.ndarray, steps: int, top: float = 80.0) -> np.ndarray:
    """Return the times of a noise schedule at which Heun's rule had best stand, falling to 0: int [steps].

    Of sigma = sqrt(1 / alpha_bar - 1) the roots of order 7 are evenly spaced [Karras, Eq. 5], from ``top`` down to the
    least, each taken to the nearest time, no time twice. Evenly spaced times will not do: sigma of the cosine
    schedule begins at 20,000, and 18 steps from there make a mode of variance 1 sixty times too strong.

    Args:
        alpha_bar: [T], of every time of the schedule, so falling. steps: 1..T.
        top: the noise to start from, where the schedule has so much.
    """
    if not 1 <= steps <= len(alpha_bar):
        raise ValueError(f"karras_times: expected 1 to {len(alpha_bar)} steps, as many as there are times, got {steps}")
    sigma = np.sqrt(1 / np.asarray(alpha_bar, np.float64) - 1)
    roots = np.linspace(min(sigma[-1], top) ** (1 / 7), sigma[0] ** (1 / 7), steps)[::-1]
    nearest = np.abs(np.log(sigma) - 7 * np.log(roots)[:, None]).argmin(1)
    order = np.arange(steps)
    rising = np.maximum.accumulate(nearest - order) + order  # at least one apart
    return np.minimum(rising, len(sigma) - steps + order)[::-1].copy()


def _velocity(mode: np.ndarray, t: np.ndarray) -> np.ndarray:
    """c(t) with E[noise - x | x_t] = c(t) x_t; at t = 0 it is -1 for every mode, those without variance included."""
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
