"""Texture statistics that a power spectrum cannot see: how sparse fine detail is, and whether scales go together.

Edges and shapes are made by the phases of the Fourier transform, and a power spectrum has no phases. Two statistics of
a Laplacian pyramid of the luma have them. With the band d_l (level 1 is the finest; each level is half the size),

    kurtosis/l      mean over images of  mean(d_l^4) / mean(d_l^2)^2 - 3:  0 for Gaussian detail; above 0 where a few
                    strong edges stand among smooth parts
    scales/l-l'     mean over images of the correlation of |d_l|, averaged over 2 x 2 pixels, with |d_l'|, l' = l + 1:
                    0 for independent bands, above 0 where edges are edges at every scale

Pictures with random phases (data/phase_random.py) have the power spectrum of photographs, and kurtosis and correlations
near 0. Two-sided: a kurtosis above that of real images is no better. The mean over images is taken of each image's own
statistic, so neither contrast nor brightness matters. Only pixels whose neighbourhood lies inside the image are used.
Not seen: what a detail shows, and where it is. Trust them from 64 images.

References:
    A parametric texture model based on joint statistics of complex wavelet coefficients (Portilla, Simoncelli 2000),
        doi:10.1023/A:1026553619983. Differs from it: a pyramid without orientations.
    The Laplacian pyramid as a compact image code (Burt, Adelson 1983), doi:10.1109/TCOM.1983.1095851.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..images import luma
from ..measurement import Measurement
from .base import Evidence, ImageSet, Metric, NotMeasurable
from .jackknife import mean_and_error

__all__ = ["ROW", "pyramid", "texture", "texture_statistics"]

CITE = "doi:10.1023/A:1026553619983"
LEVELS = 3
SMALLEST = 6  # pixels a side of the coarsest band
TAPS = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16
FLAT = 1e-12  # variance of a band, full scale 1, below which it is rounding: one grey level on one pixel gives 4e-9
BLOCK = 256  # images at a time


def pyramid(grey: np.ndarray, levels: int = LEVELS) -> list[np.ndarray]:
    """Return the bands of a Laplacian pyramid, finest first, without the pixels near the border.

    Args:
        grey: float [N,H,W].
        levels: the most bands; fewer where a band would be smaller than 6 px.

    Returns:
        float32 [N,H_l,W_l] each: the image minus the image blurred with [1 4 6 4 1] / 16; the next level is made from
        every second pixel of the blurred image.
    """
    bands, image = [], np.asarray(grey, np.float32)
    while len(bands) < levels and min(image.shape[1:]) >= SMALLEST + 4:
        soft = _blurred(_blurred(image, 1), 2)
        bands.append(image[:, 2:-2, 2:-2] - soft)
        image = soft[:, ::2, ::2]
    return bands


def _blurred(image: np.ndarray, axis: int) -> np.ndarray:
    length = image.shape[axis] - len(TAPS) + 1
    parts = (np.take(image, range(start, start + length), axis) for start in range(len(TAPS)))
    return sum(tap * part for tap, part in zip(TAPS, parts, strict=True))  # type: ignore[return-value]


def texture_statistics(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the statistics of each image: name -> float64 [N]; NaN where a band of an image is flat.

    Args:
        images: uint8 [N,C,H,W].
    """
    found: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(images), BLOCK):
        bands = pyramid(luma(images[first : first + BLOCK]))
        for level, band in enumerate(bands, 1):
            found.setdefault(f"kurtosis/{level}", []).append(_kurtosis(band))
        for level, (fine, coarse) in enumerate(pairwise(bands), 1):
            found.setdefault(f"scales/{level}-{level + 1}", []).append(_together(fine, coarse))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _kurtosis(band: np.ndarray) -> np.ndarray:
    squares = band.reshape(len(band), -1).astype(np.float64) ** 2
    second, fourth = squares.mean(axis=1), (squares**2).mean(axis=1)
    return np.where(second > FLAT, fourth / np.maximum(second, FLAT) ** 2 - 3.0, np.nan)


def _together(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the correlation of the magnitudes of two neighbouring bands over each image: float64 [N]."""
    # pixel (i, j) of the coarse band was made around pixel 2 (i + 2) of the fine one
    high, wide = (min(coarse.shape[axis], (fine.shape[axis] - 4) // 2) for axis in (1, 2))
    start = np.abs(fine[:, 4 : 4 + 2 * high, 4 : 4 + 2 * wide])
    left = start.reshape(len(fine), high, 2, wide, 2).mean(axis=(2, 4)).reshape(len(fine), -1).astype(np.float64)
    right = np.abs(coarse[:, :high, :wide]).reshape(len(fine), -1).astype(np.float64)
    left, right = (each - each.mean(axis=1, keepdims=True) for each in (left, right))
    powers = (left**2).mean(axis=1) * (right**2).mean(axis=1)
    return np.where(powers > FLAT**2, (left * right).mean(axis=1) / np.sqrt(np.maximum(powers, FLAT**2)), np.nan)


def texture(evidence: Evidence) -> list[Measurement]:
    """Return ``texture_kurtosis/1`` ... and ``texture_scales/1-2`` ... of the generated images.

    Raises:
        NotMeasurable: for images smaller than 10 px.
    """
    _, _, height, width = evidence.fake.images.shape
    if min(height, width) < SMALLEST + 4:
        raise NotMeasurable(f"needs images of at least {SMALLEST + 4} px a side, got {height} x {width}")
    rows = []
    for name, values in _statistics(evidence.fake).items():
        kept = values[np.isfinite(values)]
        value, stderr = mean_and_error(kept) if len(kept) else (None, None)
        rows.append(
            Measurement(
                f"texture_{name}",
                value,
                n_real=len(evidence.real),
                n_fake=len(values),
                stderr=stderr,
                estimator="luma, Laplacian pyramid, mean over images",
                missing="" if len(kept) else "this band of every image is flat",
            )
        )
    return rows


def _statistics(image_set: ImageSet) -> dict[str, np.ndarray]:
    return texture_statistics(image_set.images)


ROW = Metric(
    texture,
    title="Texture beyond the spectrum",
    unit="",
    what="Whether fine detail is edges and spots, as in photographs, or evenly spread noise of the same strength.",
    blind="What a detail shows and where it is; how strong it is.",
    better="two-sided",
    least=64,
    cite=CITE,
    gives=("texture_kurtosis", "texture_scales"),
)
