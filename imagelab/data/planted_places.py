"""Where a picture has a place for a mark, and how the mark is laid on it, in linear light.

A place is allowed if, over the whole mark and a margin around it,

    nothing is clipped           no value is 255, and no pixel is darker than 2 of 255;
    the contrast stays whole     adding the mark brings no value out of 0..255;
    it is part of a picture      the pixels are not all equal (as they are on a flattened transparent border);
    the texture allows it        |c| M / s >= a stated number, with M and s the mean and the standard deviation of the
                                 luminance there: the contrast-to-noise ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..images import luma
from .marks import Stamp

__all__ = ["MARGIN", "Ground", "laid", "places"]

MARGIN = 2  # px around the reach of a mark that count as its surroundings
DARKEST = 2.0  # of 255; a darker pixel is clipped

_LEVELS = np.arange(256) / 255.0
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)
_Y = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, eq=False)
class Ground:
    """What pictures are like around each of their pixels.

    Attributes:
        light: float64 [N,C,H,W], linear light 0..1.
        mean: float64 [N,C,H,W], its mean over the square of the mark and its margin.
        ratio: float64 [N,H,W], contrast-to-noise ratio for a contrast of 1; infinite for no noise.
        usable: bool [N,H,W], whether a mark of this contrast may lie there but for that ratio.
    """

    light: np.ndarray
    mean: np.ndarray
    ratio: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, contrast: float, reach: int) -> Ground:
        """Return the ground of pictures, uint8 [N,C,H,W], for marks of at most this contrast and this reach in px."""
        from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

        side = 2 * (reach + MARGIN) + 1
        light = _LINEAR[images]
        bright = light[:, 0] if light.shape[1] == 1 else np.tensordot(_Y, light, axes=([0], [1]))
        square: Any = (0, side, side)  # for scipy's stubs, sizes by axis are no numbers
        mean = uniform_filter(light, (0, *square), mode="nearest")  # pyright: ignore[reportArgumentType]
        level = uniform_filter(bright, square, mode="nearest")
        variance = uniform_filter(bright**2, square, mode="nearest") - level**2
        grey = 255 * luma(images)
        low, high = (each(grey, square, mode="nearest") for each in (minimum_filter, maximum_filter))
        least = minimum_filter(bright, square, mode="nearest")
        most = maximum_filter(light, (0, *square), mode="nearest")
        usable = (low >= DARKEST) & (high > low + 0.5) & (most.max(axis=1) < 1)
        if contrast < 0:
            usable &= least + contrast * level > _LINEAR[1]
        else:
            usable &= (most + contrast * mean).max(axis=1) < 1
        for axis in (1, 2):  # nothing that would be cut off by the border
            rows = np.arange(bright.shape[axis])
            inside = (rows >= reach) & (rows < len(rows) - reach)
            usable &= inside[:, None] if axis == 1 else inside
        with np.errstate(divide="ignore"):
            ratio = level / np.sqrt(np.maximum(variance, 0))
        return cls(light, mean, ratio, usable)


def places(allowed: np.ndarray, number: int, apart: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (row, column) of up to so many places, none nearer to another than ``apart`` px in both directions.

    Args:
        allowed: bool [H,W].
        number: how many are wanted.
        apart: least distance in px.
        rng: chooses among the allowed ones.
    """
    free, found = allowed.copy(), []
    while len(found) < number:
        left = np.flatnonzero(free)
        if not len(left):
            break
        row, column = map(int, np.unravel_index(int(left[rng.integers(len(left))]), free.shape))
        found.append((row, column))
        free[max(row - apart + 1, 0) : row + apart, max(column - apart + 1, 0) : column + apart] = False
    return found


def laid(
    image: np.ndarray, light: np.ndarray, mean: np.ndarray, stamp: Stamp, at: tuple[int, int], contrast: float
) -> None:
    """Lay a mark on a picture, equation (1) of marks.py; nothing but the pixels under the mark is changed.

    Args:
        image: uint8 [C,H,W], changed in place.
        light: float64 [C,H,W], linear light of the picture without marks.
        mean: float64 [C], its mean around the place.
        stamp: the form of the mark.
        at: row and column of its middle pixel.
        contrast: c.
    """
    reach = len(stamp.mask) // 2
    window = (slice(at[0] - reach, at[0] + reach + 1), slice(at[1] - reach, at[1] + reach + 1))
    under = stamp.mask > 0
    after = light[:, *window] + contrast * stamp.mask * mean[:, None, None]
    after = np.clip(after, 0, 1)
    level = np.where(after <= 0.0031308, 12.92 * after, 1.055 * np.maximum(after, 1e-9) ** (1 / 2.4) - 0.055)
    patch = image[:, *window]
    patch[:, under] = np.round(255 * level[:, under]).astype(np.uint8)
