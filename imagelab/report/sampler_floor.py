"""The effect of the sampler alone: the spectrum that a diffusion sampler would produce with a perfect network.

For a Gaussian random field the optimal network is known, and so is the variance that remains of every mode
(``imagelab.theory.samplers``). Here the field has the spectra of the real images and the correlations of their colours:
at every frequency the channels have a 3 x 3 covariance C = (1/N) sum_n F_n F_n^*, taken about the mean image. A sampler
reproduces the mean image exactly. The sampler's law is applied to each eigenvalue l of C, in units where images range
from -1 to 1, and the power of luma is computed from the result:

    P' = |w F_mean|^2 + w^T U diag(erosion(l)) U^* w + the power of rounding to bytes.

Pictures are not Gaussian random fields. A network may be worse than the optimal one, or better than a Gaussian allows,
for instance where all faces share an outline. The prediction is therefore a reference: the part of the loss that the
sampler alone explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..images import LUMA
from ..io.pictures import read_npy
from ..pool import REAL
from ..theory import ddim_erosion, ddpm_erosion, dpm_erosion, edm_erosion, karras_times
from .run_view import Run

__all__ = ["SamplerLaw", "alpha_bar", "eroded_power", "yardstick"]

LAWS = {
    "ddim": ddim_erosion,
    "ddpm": ddpm_erosion,
    "dpm++": dpm_erosion,
    "heun": lambda mode, levels: edm_erosion(mode, np.sqrt(1 / levels - 1)),
}
NAMES = {"ddim": "DDIM", "ddpm": "ancestral sampling", "dpm++": "DPM-Solver++", "heun": "Heun's rule"}
MAX_IMAGES = 1024  # the largest number of images from which the spectrum of the data is computed


@dataclass(frozen=True)
class SamplerLaw:
    """Predicted radial power.

    Attributes:
        sampler: its name and its number of steps, as text.
        power: generation -> float64 [N/2 + 1], indexed by cycles per image, in the units of ``radial_power``. It has
            more than one generation only where each model is trained on the output of the last one alone.
    """

    sampler: str
    power: dict[int, np.ndarray]


def yardstick(run: Run) -> SamplerLaw | None:
    """Return the prediction for the sampler of the main line; None if it is not a diffusion model with a known law."""
    recipe, path = run.experiment.get("generator"), run.shards[0, REAL] / "images.npy"
    if not isinstance(recipe, Mapping) or recipe.get("kind") != "ddpm" or not path.exists() or run.last < 1:
        return None
    levels = alpha_bar(recipe)
    if levels is None or recipe.get("noise_scale", 1) != 1:  # with smaller initial noise the law differs
        return None
    images = np.asarray(read_npy(path, mmap=True)[:MAX_IMAGES])
    regime = run.experiment.get("regime")
    alone = isinstance(regime, Mapping) and regime.get("kind") == "replace"
    law, times = LAWS[recipe["sampler"]], sorted({1, run.last} if alone else {1})
    power = {g: eroded_power(images, lambda mode: law(mode, levels), g) for g in times}
    return SamplerLaw(f"{NAMES[recipe['sampler']]}, {recipe.get('steps')} steps", power)


def alpha_bar(recipe: Mapping[str, Any]) -> np.ndarray | None:
    """Return the signal levels alpha_bar at the steps of a Ddpm recipe's sampler.

    The schedules and the spacing ("trailing") are those of ``imagelab.generators.exact_net.alpha_bar``, which takes
    them from diffusers; a test compares the two.

    Returns:
        float64 [steps + 1], rising to 1; None for an unknown schedule or sampler, or more steps than noise levels.
    """
    length, steps = int(recipe.get("noise_steps", 1000)), int(recipe.get("steps", 250))
    t = np.arange(length)
    if recipe.get("schedule") == "linear":
        beta = np.linspace(1e-4, 0.02, length)
    elif recipe.get("schedule", "squaredcos_cap_v2") == "squaredcos_cap_v2":
        kept = [np.cos((time / length + 0.008) / 1.008 * np.pi / 2) ** 2 for time in (t, t + 1)]
        beta = np.minimum(1 - kept[1] / kept[0], 0.999)
    else:
        return None
    if recipe.get("sampler") not in LAWS or steps > length:
        return None
    kept = np.cumprod(1 - beta)
    evenly = np.round(np.arange(length, 0, -length / steps)).astype(int) - 1
    return np.append(kept[karras_times(kept, steps) if recipe["sampler"] == "heun" else evenly], 1.0)


def eroded_power(images: np.ndarray, law: Any, generations: int = 1) -> np.ndarray:
    """Return the radial luma power that a Gaussian field with these images' spectra keeps.

    Args:
        images: uint8 [N,C,H,W], square, C 1 or 3.
        law: maps the variances of modes (images in -1..1) to the variances after one generation.
        generations: the number of generations, each trained on the one before.

    Returns:
        float64 [N/2 + 1], indexed by cycles per image, in the units of ``radial_power`` (luma 0..1, Hann window).
    """
    _, channels, height, width = images.shape
    weight = np.outer(*(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n) for n in (height, width)))
    luma = LUMA if channels == 3 else np.ones(1)
    mean, covariance = _moments(images, weight)
    values, vectors = np.linalg.eigh(covariance)
    rounding = 1 / (12 * 127.5**2)  # variance of rounding to bytes, in units where images range from -1 to 1
    values = values.clip(0)
    for _ in range(generations):
        values = law(values) + rounding
    mixed = np.abs(np.einsum("c,...ck->...k", luma, vectors)) ** 2
    # Equation P' of the module; the factor 4 converts the range -1..1 to 0..1.
    power = (np.abs(np.einsum("c,...c->...", luma, mean)) ** 2 + (mixed * values).sum(-1)) / (4 * height * width)
    radius = np.rint(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) * min(height, width))
    ring = radius.astype(int).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[: min(height, width) // 2 + 1]


def _moments(images: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean, complex [H,W,C], and covariance, complex [H,W,C,C], of the windowed orthonormal transforms.

    The images are scaled to -1..1.
    """
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
