"""Candidate places: where on a picture a planted mark may be, and the features measured there.

In the logarithm of light a mark of contrast c adds ln(1 + c m(x, y)) to whatever the picture shows. So the density

    D = -ln(Y + e) for darker marks, +ln(Y + e) for lighter ones

with Y the luminance in linear light, is searched with masks of the marks (templates). With p a template minus its mean
over its square, and D' the density minus its mean there,

    amplitude    a_k = sum(D' p_k) / sum(p_k^2)              what a mark would have to add,               (1)
    correlation  r_k = a_k (sum(p_k^2) / sum(D'^2))^(1/2)    how much of the variation there it explains. (2)

A candidate is a local maximum of the best r_k with a sufficient amplitude. Around each, :data:`PLANTED_FEATURES` are
measured; the trees of planted_counter.py decide which candidates are marks. Every picture is computed by itself.

References:
    Fast normalized cross-correlation (Lewis 1995), Vision Interface.
    Feature detection with automatic scale selection (Lindeberg 1998), doi:10.1023/A:1008045108935.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft, ndimage

from ..images import luma

__all__ = ["PLANTED_FEATURES", "PlantedCandidates", "Searched", "find_planted"]

PLANTED_FEATURES = (
    "correlation",
    "amplitude",
    "next correlation",
    "correlation of another class",
    "correlation on colour",
    "contrast with the edge of the square",
    "spread at the edge of the square",
    "spread in the square",
    "spread in a wide square",
    "slope",
    "curvature, least",
    "curvature, most",
    "luma",
    "noise of the image",
    "spread of the image",
    "template",
)
"""The inputs of the trees for a candidate, in this order."""

EPSILON = 0.01  # added to linear light, so that the logarithm does not amplify noise in the dark
LEAST_CORRELATION = 0.2
LEAST_AMPLITUDE = 0.2  # of the amplitude of the stated contrast

_LEVELS = np.arange(256) / 255.0
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)
_Y = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, eq=False)
class Searched:
    """What is looked for.

    Attributes:
        templates: float64 [K,S,S], S odd, masks 0..1.
        classes: int64 [K], the class of each template.
        contrast: the stated Weber contrast; its sign says whether marks are darker.
        tolerance: px that a mark may be found off its place; marks nearer to each other than this are one.
    """

    templates: np.ndarray
    classes: np.ndarray
    contrast: float
    tolerance: float

    @property
    def amplitude(self) -> float:
        """What a mark of the stated contrast adds to the density."""
        return float(abs(np.log(max(1 + self.contrast, 0.03))))


@dataclass(frozen=True, eq=False)
class PlantedCandidates:
    """Candidates of a batch of pictures, in order of picture, then row, then column.

    Attributes:
        image: int64 [K], the number of the picture.
        x: float64 [K], px (0 is the centre of the first pixel).
        y: float64 [K], px.
        kind: int64 [K], the class of the best template.
        amplitude: float64 [K], equation (1).
        features: float64 [K,len(PLANTED_FEATURES)].
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    kind: np.ndarray
    amplitude: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


def find_planted(images: np.ndarray, searched: Searched) -> PlantedCandidates:
    """Return every candidate of pictures, uint8 [N,C,H,W], with its features.

    Args:
        images: not smaller than a template.
        searched: what is looked for.
    """
    light = _LINEAR[images]
    bright = light[:, 0] if light.shape[1] == 1 else np.tensordot(_Y, light, axes=([0], [1]))
    density = (-1.0 if searched.contrast < 0 else 1.0) * np.log(bright + EPSILON)
    found = _matched(density, searched)
    at = _peaks(found, searched)
    which, kind = found.which[at], searched.classes[found.which[at]]
    of_class = found.by_class[:, *at]
    of_class[kind, np.arange(len(kind))] = -1.0
    half = searched.templates.shape[1] // 2
    edge, edge_spread = _edge(density, at, half)
    bent = _bent(density, max(0.7, 0.35 * searched.tolerance))
    grey = 255 * luma(images)
    columns = [
        found.best[at],
        found.amplitude[at],
        found.second[at],
        of_class.max(axis=0),
        _on_colour(light, at, searched, which),
        _middle(density, at) - edge,
        edge_spread,
        found.spread[at],
        _spread(density, 4 * half + 1)[at],
        ndimage.gaussian_gradient_magnitude(density, (0, 1.0, 1.0), mode="nearest")[at],
        bent[0][at],
        bent[1][at],
        grey[at],
        _noise(grey)[at[0]],
        density.std(axis=(1, 2))[at[0]],
        which,
    ]
    features = np.stack([np.asarray(column, np.float64) for column in columns], axis=1).round(6)
    x, y = (at[axis] + _shift(found.best, at, axis) for axis in (2, 1))
    return PlantedCandidates(at[0], x, y, kind, found.amplitude[at], features)


@dataclass(frozen=True, eq=False)
class _Matched:
    """How well the templates fit at each pixel, float64 [N,H,W] each.

    Attributes:
        best: the correlation of the best template.
        second: that of the next best; -1 for a single template.
        which: int64, the best template.
        amplitude: its amplitude.
        by_class: float64 [classes,N,H,W], the best correlation of each class.
        spread: the standard deviation in the square.
    """

    best: np.ndarray
    second: np.ndarray
    which: np.ndarray
    amplitude: np.ndarray
    by_class: np.ndarray
    spread: np.ndarray


def _matched(density: np.ndarray, searched: Searched) -> _Matched:
    """Return amplitude and correlation of the best template, template by template, edges of the picture repeated."""
    templates, classes = searched.templates, searched.classes
    side, half = templates.shape[1], templates.shape[1] // 2
    centred = templates - templates.mean(axis=(1, 2), keepdims=True)
    padded = np.pad(density, ((0, 0), (half, half), (half, half)), mode="edge")
    shape = [fft.next_fast_len(length, real=True) for length in padded.shape[1:]]
    pictures: Any = fft.rfft2(padded, shape, axes=(1, 2))
    height, width = density.shape[1:]
    spread = _spread(density, side)
    whole = 1 / (np.maximum(spread, 1e-3) * side)
    best, second = np.full(density.shape, -1.0), np.full(density.shape, -1.0)
    which, amplitude = np.zeros(density.shape, np.int64), np.zeros(density.shape)
    by_class = np.full((int(classes.max()) + 1, *density.shape), -1.0)
    for k, kernel in enumerate(centred):
        energy = float((kernel**2).sum())
        against: Any = fft.rfft2(kernel, shape)
        met = np.asarray(fft.irfft2(pictures * np.conj(against), shape, axes=(1, 2)))[:, :height, :width]
        correlation = met * whole / np.sqrt(energy)
        better = correlation > best
        second = np.where(better, best, np.maximum(second, correlation))
        which[better], amplitude[better] = k, met[better] / energy
        np.maximum(best, correlation, out=best)
        np.maximum(by_class[classes[k]], correlation, out=by_class[classes[k]])
    return _Matched(best, second, which, amplitude, by_class, spread)


def _spread(density: np.ndarray, side: int) -> np.ndarray:
    """Return the standard deviation in the square around each pixel."""
    square: Any = (0, side, side)  # the stubs of scipy know one number only
    mean = ndimage.uniform_filter(density, square, mode="nearest")
    return np.sqrt(np.maximum(ndimage.uniform_filter(density**2, square, mode="nearest") - mean**2, 0))


def _peaks(found: _Matched, searched: Searched) -> tuple[np.ndarray, ...]:
    """Return (image, row, column) of the local maxima."""
    side = 2 * max(1, int(searched.tolerance / 2)) + 1
    top = ndimage.maximum_filter(found.best, size=(1, side, side), mode="nearest")
    strong = found.amplitude >= LEAST_AMPLITUDE * searched.amplitude
    return np.nonzero((found.best == top) & (found.best >= LEAST_CORRELATION) & strong)


def _on_colour(light: np.ndarray, at: tuple[np.ndarray, ...], searched: Searched, which: np.ndarray) -> np.ndarray:
    """Return the correlation of the best template with ln(red / blue), which a planted mark hardly changes."""
    if light.shape[1] == 1:
        return np.zeros(len(which))
    hue = np.log(light[:, 0] + EPSILON) - np.log(light[:, 2] + EPSILON)
    reach = searched.templates.shape[1] // 2
    patches = _windows(hue, at, reach) - _windows(hue, at, reach).mean(axis=(1, 2), keepdims=True)
    centred = searched.templates - searched.templates.mean(axis=(1, 2), keepdims=True)
    energy = np.sqrt((centred**2).sum(axis=(1, 2)))[which]
    length = np.maximum(np.sqrt((patches**2).sum(axis=(1, 2))), 1e-2)
    return (patches * centred[which]).sum(axis=(1, 2)) / (energy * length)


def _windows(field: np.ndarray, at: tuple[np.ndarray, ...], half: int) -> np.ndarray:
    """Return the square around each candidate: float64 [K,S,S]."""
    padded = np.pad(field, ((0, 0), (half, half), (half, half)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1, 2 * half + 1), axis=(1, 2))[at]


def _edge(density: np.ndarray, at: tuple[np.ndarray, ...], half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return median and interquartile range of the rim of the square around each candidate."""
    rim = np.ones((2 * half + 1, 2 * half + 1), bool)
    rim[1:-1, 1:-1] = False
    ranks = np.sort(_windows(density, at, half)[:, rim], axis=1)
    quarter = ranks.shape[1] // 4
    return ranks[:, 2 * quarter], ranks[:, 3 * quarter] - ranks[:, quarter]


def _middle(density: np.ndarray, at: tuple[np.ndarray, ...]) -> np.ndarray:
    return _windows(density, at, 1).mean(axis=(1, 2))


def _bent(density: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvature in the least and in the most curved direction, positive on a mark."""
    orders: dict[str, Any] = {"yy": (0, 2, 0), "xx": (0, 0, 2), "xy": (0, 1, 1)}
    at = {
        name: ndimage.gaussian_filter(density, (0, scale, scale), order=order, mode="nearest")
        for name, order in orders.items()
    }
    mean, apart = -(at["xx"] + at["yy"]) / 2, np.hypot((at["xx"] - at["yy"]) / 2, at["xy"])
    return mean - apart, mean + apart


def _noise(grey: np.ndarray) -> np.ndarray:
    """Return the median absolute value of the mask [1 -2 1]^T [1 -2 1], in grey levels of noise: float64 [N]."""
    mask = ndimage.correlate1d(ndimage.correlate1d(grey, [1, -2, 1], axis=1), [1, -2, 1], axis=2)
    return np.median(np.abs(mask[:, 1:-1, 1:-1]), axis=(1, 2)) / (6 * 0.6744897501960817)


def _shift(field: np.ndarray, at: tuple[np.ndarray, ...], axis: int) -> np.ndarray:
    """Refine a peak along one axis by the parabola through it and its neighbours: -.5..5 px."""
    last = field.shape[axis] - 1
    before, after = list(at), list(at)
    before[axis], after[axis] = np.maximum(at[axis] - 1, 0), np.minimum(at[axis] + 1, last)
    low, middle, high = field[tuple(before)], field[at], field[tuple(after)]
    return np.clip((high - low) / (2 * np.maximum(2 * middle - low - high, 1e-12)), -0.5, 0.5)
