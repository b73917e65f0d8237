"""Painting tools of the face renderer: soft edges, fast noise, colours, and a canvas that records visible skin.

All images are planar (float32 [3,h,w]) linear light until :func:`develop` converts them to bytes once. A
:class:`Canvas` has a second map, ``bare``: the share of bare skin that is still visible at a pixel. Painting a colour
with opacity m multiplies any difference underneath by (1 - m). So ``bare`` is exactly the factor with which a freckle
is visible through everything painted after it, and one rendering gives a face and its twin without freckles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Canvas", "bell", "block_mean", "develop", "linear", "noise", "step"]

Window = tuple[slice, slice]

_CELLS, _TEXELS = 64, 8  # the noise tile: lattice cells a side, texels a cell
_SIDE = _CELLS * _TEXELS
_SHIFT = _SIDE.bit_length() - 1


def step(edge: float, full: float, x: np.ndarray) -> np.ndarray:
    """Return a smooth step, with the dtype of x: 0 at ``edge``, 1 at ``full`` (which may be smaller), cubic between.

    Example:
        >>> step(0.0, 2.0, np.array([-1.0, 1.0, 5.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    t = (x - edge) * (1.0 / (full - edge))
    np.maximum(t, 0.0, out=t)
    np.minimum(t, 1.0, out=t)
    s = t * -2.0
    s += 3.0
    s *= t
    s *= t
    return s


def bell(x: np.ndarray) -> np.ndarray:
    """Return exp(-x^2)."""
    y = x * x
    np.negative(y, out=y)
    return np.exp(y, out=y)


def _noise_tile() -> np.ndarray:
    lattice = np.random.default_rng(1234).random((_CELLS, _CELLS)).astype(np.float32)
    t = (np.arange(_SIDE, dtype=np.float32) % _TEXELS + 0.5) / _TEXELS
    t = t * t * (3 - 2 * t)
    low = np.arange(_SIDE) // _TEXELS
    high = (low + 1) % _CELLS
    rows = lattice[low] + (lattice[high] - lattice[low]) * t[:, None]
    return np.ascontiguousarray(rows[:, low] + (rows[:, high] - rows[:, low]) * t)


_TILE = _noise_tile().ravel()


def noise(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Return smooth value noise in 0..1 with one lattice cell per unit of x and y.

    The noise is a stored tile of 64 x 64 cells, 8 texels a cell, read at the nearest texel. This takes six array
    operations; an interpolating lookup takes thirty. ``seed`` shifts the tile.

    Args:
        x: float32, broadcast against y, absolute values below about 1000.
        y: float32, likewise.
        seed: whole number >= 0.
    """
    column = (x * _TEXELS + float(8192 + seed * 296 % _SIDE)).astype(np.int32)
    row = (y * _TEXELS + float(8192 + seed * 1192 % _SIDE)).astype(np.int32)
    column &= _SIDE - 1
    row &= _SIDE - 1
    row <<= _SHIFT
    return _TILE.take(row + column)


def linear(colour: str) -> np.ndarray:
    """Return linear RGB, float32 [3,1,1], of a hexadecimal sRGB colour such as ``"f4dccb"``."""
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)[:, None, None]


@dataclass
class Canvas:
    """An image that is being painted.

    Attributes:
        pixels: float32 [3,h,w], linear light.
        bare: float32 [h,w], 0..1, the share of bare skin that is still visible (see the module's docstring).
    """

    pixels: np.ndarray
    bare: np.ndarray

    def paint(self, colour: np.ndarray, mask: np.ndarray, where: Window | None = None) -> None:
        """Paint a colour ([3,1,1] or [3,h,w]) over the window with opacity ``mask`` ([h,w], 0..1)."""
        rows, cols = where or (slice(None), slice(None))
        view = self.pixels[:, rows, cols]
        layer = colour - view
        layer *= mask
        view += layer
        self.bare[rows, cols] *= 1.0 - mask

    def darken(self, keep: np.ndarray, where: Window | None = None) -> None:
        """Multiply the window by ``keep`` ([h,w], 0..1), for contact shadows, creases and dark lines."""
        rows, cols = where or (slice(None), slice(None))
        self.pixels[:, rows, cols] *= keep
        self.bare[rows, cols] *= keep

    def glow(self, light: np.ndarray, where: Window | None = None) -> None:
        """Add light ([3,h,w]) to the window, for reflections on glass. The layers below remain fully visible."""
        rows, cols = where or (slice(None), slice(None))
        self.pixels[:, rows, cols] += light


def block_mean(fine: np.ndarray, factor: int) -> np.ndarray:
    """Return the box average over factor x factor pixels of the last two axes."""
    if factor == 1:
        return fine
    rows = sum(fine[..., i::factor, :] for i in range(1, factor)) + fine[..., ::factor, :]
    cells = sum(rows[..., i::factor] for i in range(1, factor)) + rows[..., ::factor]
    return np.asarray(cells * (1.0 / factor**2), np.float32)


_LEVELS = 16384


def _tone_curve() -> np.ndarray:
    c = np.linspace(0, 4.0, _LEVELS)
    c = np.clip(c * (1 + 0.18 * c) / (1 + 0.42 * c) * 1.06, 0, 1)  # compress highlights smoothly, clip few of them
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055).astype(np.float32) * 255


_TONE = _tone_curve()


def develop(light: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Convert linear light to bytes: tone curve, sRGB, grain, rounding.

    Args:
        light: float32 [3,s,s], linear, >= 0; values above 4 are clipped.
        grain: float32 [3,s,s], in 8-bit levels, added before rounding.

    Returns:
        uint8 [3,s,s].
    """
    index = (light * ((_LEVELS - 1) / 4.0) + 0.5).astype(np.int32)
    np.maximum(index, 0, out=index)
    np.minimum(index, _LEVELS - 1, out=index)
    levels = _TONE.take(index)
    levels += grain
    levels += 0.5
    np.maximum(levels, 0, out=levels)
    np.minimum(levels, 255, out=levels)
    return levels.astype(np.uint8)
