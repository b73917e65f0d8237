"""Candidate spots: where on the skin a freckle may be, and the features measured around each candidate.

A freckle is melanin: a small round spot that absorbs blue more than green, and green more than red. In the logarithm
of linear light, absorptions add. Therefore the chroma C = ln(R+e) - ln(B+e) rises in a freckle, and so does the density
G = -ln(G+e). A candidate is a local maximum of the response of their sum. The response is the curvature in the LEAST
curved direction,

    iso_s(f) = max(0, -s^2 (largest eigenvalue of the Hessian of f * Gaussian_s)),

which is zero on edges, lashes, strands of hair and folds (curved in one direction only) and positive on a spot (curved
in both). The sum is used because dark skin reflects almost no blue, and C even falls in a freckle there. (Of 600
renders of all tones at 64 px, s = 0.7, e = 0.03, response above 0.02, the share of freckles of at least 6 grey levels
that become candidates: C alone 75 %, 23 % on the skin of luma 40..70; C + G 97 % and 95 %.) Around every candidate
:data:`FEATURES` are measured; freckle_calibration.py decides which candidates are freckles.

Everything is computed separately for each image of the batch, so that a result never depends on the other images.

References:
    Feature detection with automatic scale selection (Lindeberg 1998), doi:10.1023/A:1008045108935 (scale-normalised
    Hessian). Fast noise variance estimation (Immerkaer 1996), doi:10.1006/cviu.1996.0060 (the noise mask).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["FEATURES", "FreckleCandidates", "Optics", "find_candidates", "noise_levels"]

FEATURES = (
    "response, fine",
    "chroma response, fine",
    "density response, fine",
    "chroma response, coarse",
    "density response, coarse",
    "chroma above the near median",
    "density above the near median",
    "chroma above the far median",
    "density above the far median",
    "chroma spread around",
    "density spread around",
    "chroma slope",
    "density slope",
    "chroma roundness",
    "density roundness",
    "density roughness around",
    "luma",
    "luma of the skin around",
    "distance from the middle column",
    "row",
    "noise of the image",
)
"""The classifier's inputs for a candidate, in this order; a calibration file made for other features is refused."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Optics:
    """The lengths of the counter, in pixels; those for 128 px are twice those for 64 px.

    Attributes:
        size: image height and width.
        fine: scale s of the response that proposes candidates.
        coarse: a second scale, for features of the classifier.
        slope: scale of the gradient.
        near: half-width of the smaller median window.
        far: half-width of the larger median window.
        epsilon: e, added to linear light so that the logarithm does not amplify noise in dark regions.
        least: smallest response of a candidate.
    """

    size: int = 64
    fine: float = 0.70
    coarse: float = 1.10
    slope: float = 0.80
    near: int = 3
    far: int = 7
    epsilon: float = 0.03
    least: float = 0.02

    @classmethod
    def at(cls, size: int) -> Optics:
        """Return the optics scaled from 64 px to ``size``."""
        k = size / 64
        return cls(size, 0.70 * k, 1.10 * k, 0.80 * k, round(3 * k), round(7 * k))


@dataclass(frozen=True, eq=False)
class FreckleCandidates:
    """Candidates of a batch of images, in order of image, then row, then column.

    Attributes:
        image: int64 [K], the image's number.
        x: float64 [K], position in px (0 is the centre of the first pixel).
        y: float64 [K], position in px, likewise.
        contrast: float64 [K], log-contrast ln((G_skin+e)/(G_spot+e)) of linear green against the near median.
        features: float64 [K,len(FEATURES)].
        noise: float64 [N], the noise of each image in grey levels.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    contrast: np.ndarray
    features: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


def log_light(epsilon: float) -> np.ndarray:
    """Return ln(linear light + epsilon) of the 256 sRGB levels: float32 [256]."""
    level = np.arange(256) / 255.0
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return np.log(linear + epsilon).astype(np.float32)


def noise_levels(images: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Estimate the noise of each image, in grey levels, from everything but the skin.

    The mask [1 -2 1]^T [1 -2 1] gives zero on everything that is linear along rows or columns. On white noise of
    standard deviation sd its result has standard deviation 6 sd. The median absolute deviation ignores hair and edges
    as long as they fill less than about half of the image; their remaining effect is a small positive value on a sharp,
    clean face.

    Args:
        images: uint8 [N,3,H,W].
        skin: bool [H,W], left out (so that freckles are not counted as noise).

    Returns:
        float64 [N], standard deviation in grey levels (of 255).
    """
    grey = images.astype(np.int16)
    across = grey[..., :-2] - 2 * grey[..., 1:-1] + grey[..., 2:]
    mask = across[..., :-2, :] - 2 * across[..., 1:-1, :] + across[..., 2:, :]
    outside = np.abs(mask[:, :, ~skin[1:-1, 1:-1]]).reshape(len(images), -1)
    middle = outside.shape[1] // 2
    return np.partition(outside, middle, axis=1)[:, middle] / (6 * 0.6744897501960817)


def find_candidates(images: np.ndarray, skin: np.ndarray, optics: Optics) -> FreckleCandidates:
    """Return every candidate on the skin with its features.

    Args:
        images: uint8 [N,3,size,size].
        skin: bool [size,size], where freckles are counted.
        optics: the lengths of the counter.

    Returns:
        Candidates, possibly none.
    """
    window, inside = _crop(skin, optics)
    table = log_light(optics.epsilon)
    patch = images[(slice(None), slice(None), *window)]
    chroma = table[patch[:, 0]] - table[patch[:, 2]]
    density = -table[patch[:, 1]]
    luma = (patch * _LUMA[:, None, None]).sum(axis=1)  # not a matrix product: its rounding may depend on the batch
    fine = [_curvature(field, optics.fine) for field in (chroma, density)]
    coarse = [_curvature(field, optics.coarse) for field in (chroma, density)]
    response, _ = _roundness(fine[0] + fine[1], optics.fine)
    at = _peaks(response, inside, optics.least)
    spots = [_roundness(field[:, *at], optics.fine) for field in fine]
    wide = [_roundness(field[:, *at], optics.coarse) for field in coarse]
    y = at[1] + window[0].start + _shift(response, at, 1)
    x = at[2] + window[1].start + _shift(response, at, 2)
    near = [_middle(field, at, optics.near) for field in (chroma, density)]
    far = [_middle(field, at, optics.far) for field in (chroma, density)]
    contrast = (density[at] - near[1][0]).astype(np.float64)
    noise = noise_levels(images, skin)
    columns = [
        response[at],
        *(least for least, _ in (*spots, *wide)),
        chroma[at] - near[0][0],
        contrast,
        chroma[at] - far[0][0],
        density[at] - far[1][0],
        far[0][1],
        far[1][1],
        _slope(chroma, optics.slope)[at],
        _slope(density, optics.slope)[at],
        *(share for _, share in spots),
        _roughness(density, optics)[at],
        luma[at],
        _middle(luma, at, optics.near)[0],
        np.abs(x - (optics.size - 1) / 2),
        y,
        noise[at[0]],
    ]
    features = np.stack([column.astype(np.float64) for column in columns], axis=1)
    return FreckleCandidates(at[0], x, y, contrast, features, noise)


def _crop(skin: np.ndarray, optics: Optics) -> tuple[tuple[slice, slice], np.ndarray]:
    """Crop the image to the skin and a margin that is as wide as the widest filter needs."""
    margin = optics.far + 2
    spans = []
    for axis in (1, 0):
        used = np.flatnonzero(skin.any(axis=axis))
        spans.append(slice(max(0, used[0] - margin), min(optics.size, used[-1] + margin + 1)))
    return (spans[0], spans[1]), skin[spans[0], spans[1]]


def _curvature(field: np.ndarray, scale: float) -> np.ndarray:
    """Return the second derivatives xx, xy, yy of the smoothed field: float32 [3,N,H,W]."""
    rows = [ndimage.gaussian_filter1d(field, scale, axis=2, order=order, mode="nearest") for order in (2, 1, 0)]
    return np.stack(
        [ndimage.gaussian_filter1d(row, scale, axis=1, order=order, mode="nearest") for order, row in enumerate(rows)]
    )


def _roundness(curvature: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return iso_s, and its ratio to the larger curvature (1 for a round spot, 0 for a line), from xx, xy, yy."""
    xx, xy, yy = curvature
    mean, spread = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    least, most = np.maximum(-(mean + spread), 0), spread - mean
    return least * (scale * scale), least / np.maximum(most, 1e-6)


def _peaks(response: np.ndarray, inside: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image, row, column) of the local maxima on the skin."""
    top = ndimage.maximum_filter(response, size=(1, 3, 3), mode="nearest")
    image, row, column = np.nonzero((response == top) & (response >= least) & inside)
    return image, row, column


def _shift(response: np.ndarray, at: tuple[np.ndarray, np.ndarray, np.ndarray], axis: int) -> np.ndarray:
    """Refine a peak along one axis by the parabola through it and its two neighbours: -0.5..0.5 px."""
    last = response.shape[axis] - 1
    before, after = list(at), list(at)
    before[axis], after[axis] = np.maximum(at[axis] - 1, 0), np.minimum(at[axis] + 1, last)
    low, middle, high = response[tuple(before)], response[at], response[tuple(after)]
    bend = np.maximum(2 * middle - low - high, 1e-12)
    return np.clip((high - low) / (2 * bend), -0.5, 0.5).astype(np.float64)


def _slope(field: np.ndarray, scale: float) -> np.ndarray:
    return ndimage.gaussian_gradient_magnitude(field, (0, scale, scale), mode="nearest")


def _roughness(density: np.ndarray, optics: Optics) -> np.ndarray:
    """Return the local mean of the absolute Immerkaer mask: where it is high, a spot may be image noise."""
    across = np.abs(ndimage.correlate1d(ndimage.correlate1d(density, [1, -2, 1], axis=1), [1, -2, 1], axis=2))
    width = 2 * optics.far + 1
    return ndimage.uniform_filter1d(ndimage.uniform_filter1d(across, width, axis=1), width, axis=2)


def _middle(
    field: np.ndarray, at: tuple[np.ndarray, np.ndarray, np.ndarray], half: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return median and interquartile range of the square window around each candidate: float32 [K] each."""
    padded = np.pad(field, ((0, 0), (half, half), (half, half)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1, 2 * half + 1), axis=(1, 2))[at]
    flat = windows.reshape(len(windows), (2 * half + 1) ** 2)
    middle = flat.shape[1] // 2
    ranks = np.sort(flat, axis=1)  # vectorised: ten times as fast as np.partition for three ranks
    return ranks[:, middle], ranks[:, middle + middle // 2] - ranks[:, middle // 2]
