"""Diversity: how different the images of a set are from each other, measured on the pixels.

The pixel variance is the mean over pixels and channels of the unbiased variance over images, pixels in 0..1. It equals
half the mean squared distance of two images, and theory predicts its decay in closed form for a Gaussian model. In
addition, this file measures the tone of the set (brightness, contrast within an image, colourfulness) and its colours:

    chroma      mean of max(R,G,B) - min(R,G,B), 0..1: it falls in self-consuming loops and rises with strong guidance
    hue_spread  1 - |sum_i v_i| / sum_i |v_i|, v_i the mean colour of image i as a vector in the plane around grey:
                0 where all images have one hue, 1 where their hues cancel
    clipped     share of values at 0 or 255, which every generator produces whose output is clamped

All are two-sided: compare them with their floor. What they do not see: whether the images differ by content or by
noise, and where in the image a colour is.

References:
    Self-consuming generative models go MAD (Alemohammad et al. 2023), arXiv:2307.01850: variance over generations.
    Measuring colourfulness in natural images (Hasler, Suesstrunk 2003), doi:10.1117/12.477378.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..images import luma
from ..io.large_arrays import blocks_of
from ..measurement import Measurement
from .base import Evidence, ImageSet
from .intervals import share_interval
from .jackknife import degrees, mean_and_error

__all__ = ["colour", "image_colour", "image_tone", "pixel_variance", "tone", "variance_and_error"]

CITE = "arXiv:2307.01850"
BLOCK = 256
ZERO_VARIANCE = 1e-15
"""A smaller variance counts as zero. Two images that differ in one pixel by one level, in a set of a million images of
4096 px, give about 4e-15."""


def variance_and_error(images: np.ndarray, blocks: np.ndarray | None = None) -> tuple[float, float | None]:
    """Return the mean over pixels of the variance over images, and its standard error.

    Args:
        images: uint8 [N,C,H,W], N >= 2.
        blocks: the block of each image, int64 [N]; None if all are independent.

    Returns:
        (variance in squared units of 0..1, standard error). The error is computed from each image's influence, its mean
        squared distance to the mean image; None for two images, which have one distance only.

    Raises:
        ValueError: for fewer than two images.
    """
    n = len(images)
    if n < 2:
        raise ValueError(f"pixel variance: expected at least 2 images, got {n}")
    total = np.zeros(images.shape[1:], np.int64)  # exact, in whatever order the images are read
    for _, block in blocks_of(images, BLOCK):
        total += block.sum(axis=0, dtype=np.int64)
    mean = total / n
    distance = np.empty(n)
    for rows, block in blocks_of(images, BLOCK):
        gap = (block - mean).reshape(len(block), -1)
        distance[rows] = np.einsum("nd,nd->n", gap, gap) / gap.shape[1] / 255.0**2
    variance = float(distance.sum() / (n - 1))
    error = mean_and_error(distance, blocks)[1]
    return variance, None if n < 3 or error is None else error * n / (n - 1)


def pixel_variance(evidence: Evidence) -> list[Measurement]:
    """Return ``pixel_variance``, generated divided by reference, and ``pixel_variance/raw`` of the generated images."""
    form = Measurement(
        "pixel_variance",
        0.0,
        "ratio",
        n_real=len(evidence.real),
        n_fake=len(evidence.fake),
        better="two-sided",
        estimator="unbiased variance over images, mean over pixels and channels",
        cite=CITE,
    )
    raw = replace(form, name="pixel_variance/raw", unit="squared, pixels 0..1")
    if min(len(evidence.real), len(evidence.fake)) < 2:
        return [replace(each, value=None, missing="needs at least 2 images in each set") for each in (form, raw)]
    real, fake = (variance_and_error(each.images, each.groups) for each in (evidence.real, evidence.fake))
    raw = replace(raw, value=fake[0], stderr=fake[1], df=degrees(evidence.fake.independent))
    if real[0] < ZERO_VARIANCE:
        return [replace(form, value=None, missing="the reference images are all the same"), raw]
    ratio, error = fake[0] / real[0], None
    if real[1] is not None and fake[1] is not None:
        error = float(np.hypot(fake[1] / real[0], ratio * real[1] / real[0]))
    return [replace(form, value=ratio, stderr=error, df=evidence.degrees), raw]


def image_tone(image_set: ImageSet) -> dict[str, np.ndarray]:
    """Return for each image, float64 [N]: brightness (mean luma 0..1), contrast (its sd), colourfulness (0 for grey).

    Colourfulness is Hasler and Suesstrunk's: with rg = R - G and yb = (R + G)/2 - B in 0..1, the root of their summed
    variances plus 0.3 times the length of their mean.
    """
    parts: dict[str, list[np.ndarray]] = {"brightness": [], "contrast": [], "colourfulness": []}
    for _, block in blocks_of(image_set.images, BLOCK):
        grey = luma(block)
        parts["brightness"].append(grey.mean(axis=(1, 2)))
        parts["contrast"].append(grey.std(axis=(1, 2)))
        parts["colourfulness"].append(_colourfulness(block))
    return {name: np.concatenate(values) for name, values in parts.items()}


def tone(evidence: Evidence) -> list[Measurement]:
    """Return ``brightness``, ``contrast`` and ``colourfulness``: mean over the generated images, with errors."""
    measurements = []
    n = len(evidence.fake)
    for name, values in image_tone(evidence.fake).items():
        mean, error = mean_and_error(values, evidence.fake.groups)
        measurements.append(
            Measurement(
                name,
                mean,
                "of full scale",
                n_real=len(evidence.real),
                n_fake=n,
                stderr=error,
                df=degrees(evidence.fake.independent),
                better="two-sided",
                estimator="mean over images",
                cite="doi:10.1117/12.477378" if name == "colourfulness" else "",
            )
        )
    return measurements


def image_colour(image_set: ImageSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each image its chroma [N] in 0..1, its mean colour vector [N,2], and its share of clipped values [N].

    The vector is (R - (G + B)/2, (G - B) sqrt(3)/2) in 0..1: its angle is the hue (red 0, green 120 degrees), its
    length the saturation of the mean colour. Grey images have chroma and vector 0.
    """
    chroma, vector, clipped = [], [], []
    for _, block in blocks_of(image_set.images, BLOCK):
        chroma.append(np.ptp(block, axis=1).mean(axis=(1, 2), dtype=np.float64) / 255.0)
        clipped.append(((block == 0) | (block == 255)).mean(axis=(1, 2, 3)))
        mean = np.broadcast_to(block.mean(axis=(2, 3), dtype=np.float64), (len(block), 3)) / 255.0
        vector.append(mean @ np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]]))
    return np.concatenate(chroma), np.concatenate(vector), np.concatenate(clipped)


def colour(evidence: Evidence) -> list[Measurement]:
    """Return ``chroma``, ``hue_spread`` and ``clipped`` of the generated images, with errors."""
    chroma, vector, clipped = image_colour(evidence.fake)
    n = len(chroma)
    form = Measurement(
        "",
        0.0,
        "of full scale",
        n_real=len(evidence.real),
        n_fake=n,
        better="two-sided",
        estimator="mean over images",
    )

    def measurement(name: str, value: float, influence: np.ndarray, **other: str) -> Measurement:
        _, error = mean_and_error(influence, evidence.fake.groups)
        return replace(form, name=name, value=value, stderr=error, df=degrees(evidence.fake.independent), **other)

    def limited(share: Measurement) -> Measurement:
        # few images hold most of a share near 0: the limits are those of as many values as would scatter so much
        low, high = share_interval(share.value or 0.0, share.stderr, evidence.fake.independent, share.df)
        return replace(share, low=low, high=high)

    spread = replace(form, name="hue_spread", unit="", value=None, missing="the images are grey: they have no hue")
    length, mean = np.linalg.norm(vector, axis=1), vector.mean(axis=0)
    if length.mean() > 1e-9:  # one channel of one pixel one level off in a 64 px image: 1e-6
        along = vector @ (mean / max(float(np.linalg.norm(mean)), 1e-300))
        together = float(np.linalg.norm(mean) / length.mean())
        influence = (along - together * length) / length.mean()
        estimator = "1 - |mean colour| / mean |colour|"
        spread = limited(measurement("hue_spread", 1.0 - together, influence, unit="", estimator=estimator))
    return [
        measurement("chroma", float(chroma.mean()), chroma),
        spread,
        limited(measurement("clipped", float(clipped.mean()), clipped, unit="share")),
    ]


def _colourfulness(block: np.ndarray) -> np.ndarray:
    if block.shape[1] == 1:
        return np.zeros(len(block))
    red, green, blue = (block[:, channel].astype(np.float32) / 255.0 for channel in range(3))
    axes = red - green, (red + green) / 2 - blue
    spread = sum(axis.var(axis=(1, 2), dtype=np.float64) for axis in axes)
    shift = sum(axis.mean(axis=(1, 2), dtype=np.float64) ** 2 for axis in axes)
    return np.sqrt(spread) + 0.3 * np.sqrt(shift)
