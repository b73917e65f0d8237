"""What a detector reads of an image: the cues, in parts that can be left out one by one.

    features            the metrics' primary feature space (metrics/features.py)
    spectrum            ln of the power at every radius (metrics/spectrum.py)
    reconstruction/K    the error of copying the image with the first model of line K of the run

The third needs no weights from elsewhere: an autoencoder copies what it made itself better than what it did not make.
Of the error e = copy - image, and of the image x, each averaged over blocks of 2^k x 2^k pixels, k = 0..3, it takes

    ln(mean e^2 + 1e-6) of every channel,    ln(mean e^2 / (var x + 1e-4) + 1e-6)

with values in 0..1. Blocks stop where the averaged image would be smaller than 4 px.

References:
    AEROBLADE: training-free detection of latent diffusion images using autoencoder reconstruction error (Ricker,
        Lukovnikov and Fischer 2024), arXiv:2401.17879. Differs: mean squares at several scales of the run's own
        model, which a classifier weighs, instead of a perceptual distance that is thresholded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..metrics.base import ImageSet
from ..metrics.features import PRIMARY, features
from ..metrics.spectrum import log_radial_powers

__all__ = ["FEATURES", "RECONSTRUCTION", "SPECTRUM", "Copier", "Cues", "copy_errors", "cues_of", "joined_cues"]

FEATURES, SPECTRUM, RECONSTRUCTION = "features", "spectrum", "reconstruction"

Copier = Callable[[np.ndarray], np.ndarray]
"""A model's copy of given images: uint8 [N,C,H,W] -> the same form."""

Cues = Mapping[str, np.ndarray]
"""Part -> float64 [N,D]."""

SCALES = 4
LEAST_SIDE = 4  # px, of the averaged image
BLOCK = 256  # images copied at a time


def cues_of(
    images: ImageSet, copiers: Mapping[str, Copier], device: str = "cpu", known: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return all parts of a set.

    Args:
        images: the set.
        copiers: for each part ``reconstruction/K`` what copies the images.
        device: torch device for features.
        known: their features, where they were computed before; float [N,D].

    Raises:
        ValueError: for images that the feature space or a copier cannot read.
    """
    found = {
        FEATURES: (features(images, PRIMARY, device) if known is None else known).astype(np.float64),
        SPECTRUM: log_radial_powers(images),
    }
    return found | {part: copy_errors(images.images, copier) for part, copier in copiers.items()}


def joined_cues(cues: Cues, parts: tuple[str, ...]) -> np.ndarray:
    """Return some parts side by side, float64 [N,D].

    Raises:
        ValueError: for a part that is not there.
    """
    lacking = [part for part in parts if part not in cues]
    if lacking:
        raise ValueError(f"the detector reads {lacking[0]}, and these images have only {', '.join(cues)}")
    return np.hstack([cues[part] for part in parts])


def copy_errors(images: np.ndarray, copier: Copier) -> np.ndarray:
    """Return the errors of copies at several scales, float64 [N,D].

    Args:
        images: uint8 [N,C,H,W].
        copier: see :data:`Copier`.

    Example:
        >>> copy_errors(np.zeros((2, 3, 16, 16), np.uint8), lambda images: images + 51).shape
        (2, 12)
    """
    blocks = [images[first : first + BLOCK] for first in range(0, len(images), BLOCK)]
    return np.concatenate([_block_errors(np.ascontiguousarray(block), copier) for block in blocks])


def _block_errors(images: np.ndarray, copier: Copier) -> np.ndarray:
    image = images.astype(np.float64) / 255
    error = copier(images).astype(np.float64) / 255 - image
    found = []
    for _ in range(SCALES):
        square = (error**2).mean(axis=(2, 3))
        spread = image.var(axis=(2, 3)).mean(axis=1)
        found += [np.log(square + 1e-6), np.log(square.mean(axis=1) / (spread + 1e-4) + 1e-6)[:, None]]
        if min(image.shape[2:]) < 2 * LEAST_SIDE:
            break
        error, image = _averaged(error), _averaged(image)
    return np.hstack(found)


def _averaged(values: np.ndarray) -> np.ndarray:
    """Return the means of blocks of 2 x 2 values; an odd last row or column is left out."""
    n, channels, height, width = values.shape
    even = values[:, :, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
