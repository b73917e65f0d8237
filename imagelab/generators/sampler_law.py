"""What the sampler of a diffusion model explains: the spectrum that is left of real images with a perfect network.

For a Gaussian random field the best network is known, and so is the variance that a sampler leaves of every mode
(``imagelab.theory.samplers``). Here the field has the spectra of the real images and the correlations of their colours:
at every frequency the channels have a 3 x 3 covariance, C = (1/N) sum_n F_n F_n^*, taken about the mean image, which a
sampler returns unchanged. The eigenvalues of C, for images in -1..1, are eroded one by one, and the power of luma is

    P' = |w F_mean|^2 + w^T U diag(erosion(l)) U^* w + the power added by rounding to bytes.

Pictures are not a Gaussian field, and a network may be worse than the best one for the field, or better than a Gaussian
allows, for instance where all faces share an outline. The result is therefore a reference: what the sampler alone
explains. A run records it as predicted measurements ``sampler_floor/KK``, KK cycles an image, in the units of
``radial_power/KK``.

References:
    Denoising diffusion probabilistic models (Ho et al. 2020), arXiv:2006.11239.
    Denoising diffusion implicit models (Song et al. 2020), arXiv:2010.02502.
    Elucidating the design space of diffusion-based generative models (Karras et al. 2022), arXiv:2206.00364.
    DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models (Lu et al. 2022), arXiv:2211.01095.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..images import LUMA
from ..measurement import Measurement
from ..theory.samplers import ddim_erosion, ddpm_erosion, dpm_erosion, edm_erosion, sde_dpm_erosion
from .ddpm import Ddpm
from .sampling_scheduler import sampling_scheduler

__all__ = ["NAME", "alpha_bar", "eroded_power", "erosion", "predicted_by_sampler"]

NAME = "sampler_floor"
"""What the measurements are called in front of the slash."""

MAX_IMAGES = 1024  # images that the spectrum of the data is taken from
MODES = 4096  # modes at a time: a law needs memory for every step of every mode
ROUNDING = 1 / (12 * 127.5**2)  # variance of rounding to bytes, images in -1..1

WORDS = {
    "ddim": "DDIM",
    "ddpm": "ancestral sampling",
    "dpm++": "DPM-Solver++",
    "sde-dpm++": "SDE-DPM-Solver++",
    "heun": "Heun's rule",
}
SOURCES = {
    "ddim": "arXiv:2010.02502",
    "ddpm": "arXiv:2006.11239",
    "dpm++": "arXiv:2211.01095",
    "sde-dpm++": "arXiv:2211.01095",
    "heun": "arXiv:2206.00364",
}


def predicted_by_sampler(recipe: object, images: np.ndarray, times: int = 1) -> list[Measurement]:
    """Return the radial power that the recipe's sampler leaves of real images, with a perfect network.

    Args:
        recipe: a generator recipe; for all but :class:`Ddpm` no law is known and nothing is returned.
        images: the real images, uint8 [N,C,H,W], square, C = 1 or 3; the first 1024 are used.
        times: how often images pass through the sampler, each model being trained on the images of the one before.

    Returns:
        ``sampler_floor/KK`` for KK = 1..N/2 cycles an image, ``predicted``; one measurement without a value, with the
        reason, where this recipe's sampler has no closed form.
    """
    if not isinstance(recipe, Ddpm):
        return []
    passes = f", {times} times" if times > 1 else ""
    levels = " on the levels of Karras et al." if recipe.spacing == "karras" else ""
    words = f"{WORDS[recipe.sampler]}, {recipe.steps} steps{levels}{passes}, exact network of a Gaussian random field"
    n = min(len(images), MAX_IMAGES)

    def predicted(name: str, value: float | None, missing: str = "") -> Measurement:
        source = SOURCES[recipe.sampler]
        return Measurement(
            name, value, "power", n_real=n, estimator=words, predicted=True, missing=missing, cite=source
        )

    if recipe.noise_scale != 1:
        return [predicted(NAME, None, "no closed form for a sampler whose noise_scale is not 1")]
    power = eroded_power(np.asarray(images[:n]), lambda variance: erosion(variance, recipe), times)
    return [predicted(f"{NAME}/{radius:02d}", float(value)) for radius, value in enumerate(power) if radius]


def alpha_bar(recipe: Ddpm) -> np.ndarray:
    """Return the noise levels that the recipe's sampler visits, in the order of sampling: float64 [steps + 1], to 1.

    ``imagelab.theory.ddim_erosion``, ``ddpm_erosion``, ``dpm_erosion`` and ``sde_dpm_erosion`` take these;
    ``edm_erosion`` takes their sigma = sqrt(1 / alpha_bar - 1), see :func:`erosion`.

    Example:
        >>> from imagelab.generators import Ddpm
        >>> alpha_bar(Ddpm(sampler="ddim", steps=10)).shape
        (11,)
    """
    scheduler = sampling_scheduler(recipe)
    if recipe.sampler in ("dpm++", "sde-dpm++"):
        return 1 / (1 + scheduler.sigmas.numpy().astype(np.float64) ** 2)
    if recipe.sampler == "heun":  # diffusers lists every level twice but the first and the last
        return 1 / (1 + np.append(scheduler.sigmas[:-1:2], scheduler.sigmas[-1]).astype(np.float64) ** 2)
    return np.append(scheduler.alphas_cumprod.numpy().astype(np.float64)[scheduler.timesteps.numpy()], 1.0)


def erosion(variance: np.ndarray, recipe: Ddpm) -> np.ndarray:
    """Return the variance with which Gaussian modes leave the recipe's sampler: exact network, no training error.

    Args:
        variance: l >= 0 of the data's modes, images in -1..1; any shape.
        recipe: schedule, sampler, steps and spacing are used; noise_scale is taken as 1.

    Example:
        >>> from imagelab.generators import Ddpm
        >>> modes = np.array([1e-3, 1e-1])
        >>> (erosion(modes, Ddpm(sampler="ddim", steps=50)) / modes).round(2).tolist()
        [0.34, 0.91]
    """
    levels = alpha_bar(recipe)
    if recipe.sampler == "heun":
        return edm_erosion(variance, np.sqrt(1 / levels - 1))
    laws = {"ddim": ddim_erosion, "ddpm": ddpm_erosion, "dpm++": dpm_erosion, "sde-dpm++": sde_dpm_erosion}
    return laws[recipe.sampler](variance, levels)


def eroded_power(images: np.ndarray, law: Callable[[np.ndarray], np.ndarray], times: int = 1) -> np.ndarray:
    """Return the radial luma power that a Gaussian field with these images' spectra keeps.

    Args:
        images: uint8 [N,C,H,W], C = 1 or 3.
        law: from variances of modes, images in -1..1, to what one generation leaves of them.
        times: how often the law is applied, rounding to bytes after each.

    Returns:
        float64 [N/2 + 1], index cycles an image, in the units of ``radial_power`` (luma 0..1, Hann window).
    """
    _, channels, height, width = images.shape
    weight = np.outer(*(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n) for n in (height, width)))
    luma = LUMA if channels == 3 else np.ones(1)
    mean, covariance = _moments(images, weight)
    values, vectors = np.linalg.eigh(covariance)
    flat = values.clip(0).ravel()
    for _ in range(times):
        pieces = np.array_split(flat, max(1, len(flat) // MODES))
        flat = np.concatenate([law(piece) for piece in pieces]) + ROUNDING
    mixed = np.abs(np.einsum("c,...ck->...k", luma, vectors)) ** 2
    kept = (mixed * flat.reshape(values.shape)).sum(-1)
    power = (np.abs(np.einsum("c,...c->...", luma, mean)) ** 2 + kept) / (4 * height * width)
    radius = np.rint(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) * min(height, width))
    ring = radius.astype(int).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[: min(height, width) // 2 + 1]


def _moments(images: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean complex [H,W,C] and covariance complex [H,W,C,C] of the windowed orthonormal transforms, images -1..1."""
    _, channels, height, width = images.shape
    total = np.zeros((height, width, channels), complex)
    square = np.zeros((height, width, channels, channels), complex)
    scale = np.sqrt(height * width * np.mean(weight**2))
    for block in np.array_split(images, max(1, len(images) // 128)):
        signed = block / 127.5 - 1.0
        signed -= signed.mean(axis=(2, 3), keepdims=True)
        modes = np.moveaxis(np.fft.fft2(signed * weight), 1, -1) / scale
        total += modes.sum(axis=0)
        square += np.einsum("nhwc,nhwd->hwcd", modes, modes.conj())
    mean = total / len(images)
    return mean, square / len(images) - mean[..., :, None] * mean[..., None, :].conj()
