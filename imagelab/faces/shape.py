"""The shape of a rendered head: outline, texture coordinates on the turned head, height field, normals.

The half-width of the head at height Y is ``w(Y) = a (1 - |Y|^p)^q``; the exponents change smoothly with Y from those of
the skull to those of the jaw. Inside the outline, ``r = (|X|/a)^(1/q) + |Y|^p`` is 1 on the outline and 0 in the
middle. Each horizontal slice is treated as a cylinder: a pixel at X lies at the angle ``theta = asin(X/w)`` and shows
the texture coordinate ``U = w sin(theta - yaw)``. So a turn of the head moves the features and keeps the silhouette.
This is exact for a cylinder and looks right up to a yaw of 0.38. All facial features are defined in texture coordinates
(U, V); the forward map :func:`project` gives the position of a texture point in the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .brush import Window, bell, noise, step
from .latent import Face, Head

__all__ = [
    "Frame",
    "Relief",
    "bump",
    "half_width",
    "lattice",
    "outline",
    "pair",
    "project",
    "relief",
    "slopes",
    "to_pixels",
]

_SKULL = (2.5, 0.5)
_LUT = 512
_LUT_TOP = 1.7
_HEIGHTS = np.linspace(-_LUT_TOP, _LUT_TOP, _LUT)


def _exponents(head: Head, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k = step(-0.45, 0.55, y)
    return _SKULL[0] + (head.jaw_power - _SKULL[0]) * k, _SKULL[1] + (head.jaw_round - _SKULL[1]) * k


def half_width(head: Head, y: np.ndarray) -> np.ndarray:
    """Return the half-width of the outline at the heights y, both in head units."""
    power, roundness = _exponents(head, y)
    t = np.clip(np.abs(y), 0, 1)
    return head.width * (1 - t**power) ** roundness


def project(head: Head, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions of texture points: head X, Y and the cosine of the angle to the viewer.

    Args:
        head: outline and pose.
        u: texture coordinate across, [K].
        v: texture coordinate down, [K].

    Returns:
        float64 [K] each. Y depends on the angle through the pitch, so both are found by fixed-point iteration.
    """
    u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
    y = v.copy()
    theta = np.zeros_like(u)
    for _ in range(7):
        w = np.maximum(half_width(head, y), 1e-3)
        theta = np.arcsin(np.clip(u / w, -0.999, 0.999)) + head.yaw
        y = v + head.pitch * np.cos(theta) * (1 - 0.6 * y * y)
    return np.maximum(half_width(head, y), 1e-3) * np.sin(theta), y, np.cos(theta)


def to_pixels(head: Head, x: np.ndarray, y: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel coordinates (pixel centres at whole numbers) of head coordinates, in an image ``size`` px wide."""
    c, s = math.cos(head.roll), math.sin(head.roll)
    across = head.x + head.scale * (c * x - s * y)
    down = head.y + head.scale * (s * x + c * y)
    return (across + 1) * size / 2 - 0.5, (down + 1) * size / 2 - 0.5


@lru_cache(maxsize=8)
def lattice(n: int) -> np.ndarray:
    """Return the image coordinates -1..1 of n pixel centres, float32 [n]."""
    return (np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1


@dataclass
class Frame:
    """A window of the image with the head coordinates of every pixel.

    The texture coordinates U, V and the half-width w are computed at first use.

    Attributes:
        head: outline and pose.
        window: (rows, columns) of the canvas.
        X: head coordinate across, float32 [h,w].
        Y: head coordinate down, float32 [h,w].
        pixel: size of a pixel in head units.
        n: side of the whole canvas in pixels.
    """

    head: Head
    window: Window
    X: np.ndarray
    Y: np.ndarray
    pixel: float
    n: int

    @classmethod
    def of(cls, head: Head, n: int, left: float, right: float, top: float, bottom: float) -> Frame:
        """Return the frame that contains the box left..right x top..bottom of head coordinates."""
        c, s = math.cos(head.roll), math.sin(head.roll)
        x = [c * across - s * down for across in (left, right) for down in (top, bottom)]
        y = [s * across + c * down for across in (left, right) for down in (top, bottom)]
        first_row, last_row = (int((head.y + head.scale * edge + 1) * n / 2 - 0.5) for edge in (min(y), max(y)))
        first_col, last_col = (int((head.x + head.scale * edge + 1) * n / 2 - 0.5) for edge in (min(x), max(x)))
        rows = slice(min(max(first_row, 0), n), min(max(last_row + 2, 0), n))
        cols = slice(min(max(first_col, 0), n), min(max(last_col + 2, 0), n))
        dx = (lattice(n)[cols] - head.x) * (1 / head.scale)
        dy = ((lattice(n)[rows] - head.y) * (1 / head.scale))[:, None]
        return cls(head, (rows, cols), c * dx + s * dy, c * dy - s * dx, 2 / n / head.scale, n)

    @cached_property
    def w(self) -> np.ndarray:
        """Half-width of the outline at Y, float32 [h,w]."""
        return _look_up(self.Y, np.maximum(half_width(self.head, _HEIGHTS), 0.02))[0]

    @cached_property
    def _turned(self) -> tuple[np.ndarray, np.ndarray]:
        sine = self.X / self.w
        np.maximum(sine, -0.998, out=sine)
        np.minimum(sine, 0.998, out=sine)
        cosine = np.sqrt(1 - sine * sine)
        u = self.w * (sine * math.cos(self.head.yaw) - cosine * math.sin(self.head.yaw))
        cosine *= self.head.pitch
        cosine *= 1 - 0.6 * np.minimum(self.Y * self.Y, 1)
        return u, self.Y - cosine

    @property
    def U(self) -> np.ndarray:
        """Texture coordinate across, float32 [h,w]."""
        return self._turned[0]

    @property
    def V(self) -> np.ndarray:
        """Texture coordinate down, float32 [h,w]."""
        return self._turned[1]

    def soft(self, distance: np.ndarray) -> np.ndarray:
        """Return an anti-aliased mask: 1 where the signed distance (head units) is below zero, which is inside."""
        mask = distance * (-0.5 / self.pixel)
        mask += 0.5
        np.maximum(mask, 0, out=mask)
        return np.minimum(mask, 1, out=mask)

    def cut(self, u: float, v: float, reach_u: float, reach_v: float) -> Window:
        """Return the window, within this frame, that contains the texture box (u, v) +- reach."""
        x, y = _project_one(self.head, u, v)
        c, s = math.cos(self.head.roll), math.sin(self.head.roll)
        across = self.head.x + self.head.scale * (c * x - s * y)
        down = self.head.y + self.head.scale * (s * x + c * y)
        return self.around((across + 1) * self.n / 2 - 0.5, (down + 1) * self.n / 2 - 0.5, reach_u, reach_v)

    def around(self, column: float, row: float, reach_u: float, reach_v: float) -> Window:
        """Return the window around a pixel of the canvas, with texture offsets up to the reaches (head units)."""
        half_u = 1.25 * (reach_u + 0.12 * reach_v) / self.pixel + 1
        half_v = 1.10 * (reach_v + 0.12 * reach_u) / self.pixel + 1
        top, left = self.window[0].start, self.window[1].start
        height, width = self.X.shape
        rows = slice(min(max(int(row - half_v) - top, 0), height), max(min(int(row + half_v) + 2 - top, height), 0))
        cols = slice(
            min(max(int(column - half_u) - left, 0), width), max(min(int(column + half_u) + 2 - left, width), 0)
        )
        return rows, cols


def _look_up(y: np.ndarray, *tables: np.ndarray) -> list[np.ndarray]:
    """Return functions of the height, tabulated at ``_HEIGHTS``, at every pixel.

    They are interpolated linearly; the nearest entry would cause a visible moire pattern.
    """
    scale = (_LUT - 1) / (2 * _LUT_TOP)
    place = y * scale
    place += _LUT_TOP * scale
    np.maximum(place, 0, out=place)
    np.minimum(place, _LUT - 1.001, out=place)
    index = place.astype(np.int32)
    place -= index
    values = []
    for table in tables:
        entries = table.astype(np.float32)
        value = np.append(np.diff(entries), np.float32(0)).take(index)
        value *= place
        value += entries.take(index)
        values.append(value)
    return values


def _project_one(head: Head, u: float, v: float) -> tuple[float, float]:
    """Return the forward map of one point with Python floats, by two iterations: accurate enough for windows."""
    y = v
    theta = head.yaw
    w = head.width
    for _ in range(2):
        k = min(max(y + 0.45, 0.0), 1.0)
        k = k * k * (3 - 2 * k)
        power = _SKULL[0] + (head.jaw_power - _SKULL[0]) * k
        roundness = _SKULL[1] + (head.jaw_round - _SKULL[1]) * k
        w = max(head.width * (1 - min(abs(y), 1.0) ** power) ** roundness, 1e-3)
        theta = math.asin(min(max(u / w, -0.999), 0.999)) + head.yaw
        y = v + head.pitch * math.cos(theta) * (1 - 0.6 * y * y)
    return w * math.sin(theta), y


def outline(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Return r (1 on the outline, 0 in the middle) and the approximate signed distance to the outline (head units).

    The distance is (r - 1) / |gradient of r|, which is accurate near the outline.
    """
    power, roundness = _exponents(frame.head, _HEIGHTS)
    inverse, heights = _look_up(frame.Y, 1 / roundness, np.minimum(np.abs(_HEIGHTS), 1.6) ** power)
    across = np.maximum(np.abs(frame.X), 1e-6)
    across *= 1 / frame.head.width
    np.log(across, out=across)
    across *= inverse
    r = np.exp(across, out=across)
    r += heights
    down, right = slopes(r, frame.pixel)
    steep = np.sqrt(right * right + down * down)
    return r, (r - 1) / np.maximum(steep, 0.3)


def slopes(field: np.ndarray, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of a field down and to the right, by central differences (one-sided at the border)."""
    down, right = np.empty_like(field), np.empty_like(field)
    np.subtract(field[2:], field[:-2], out=down[1:-1])
    down[1:-1] *= 0.5 / pixel
    down[0], down[-1] = (field[1] - field[0]) / pixel, (field[-1] - field[-2]) / pixel
    np.subtract(field[:, 2:], field[:, :-2], out=right[:, 1:-1])
    right[:, 1:-1] *= 0.5 / pixel
    right[:, 0], right[:, -1] = (field[:, 1] - field[:, 0]) / pixel, (field[:, -1] - field[:, -2]) / pixel
    return down, right


@dataclass
class Relief:
    """The surface of the face; all float32 [h,w].

    Attributes:
        nx: unit normal, component to the right.
        ny: unit normal, component down.
        nz: unit normal, component to the viewer.
        pores: noise of the pores, -0.5..0.5.
        r: 1 on the outline, 0 in the middle.
        distance: signed distance to the outline, head units, below 0 inside.
    """

    nx: np.ndarray
    ny: np.ndarray
    nz: np.ndarray
    pores: np.ndarray
    r: np.ndarray
    distance: np.ndarray


def relief(face: Face, frame: Frame, mouth_bump: tuple[Window, np.ndarray] | None) -> Relief:
    """Build the height field of the face, with the mouth if given, and return its surface."""
    r, distance = outline(frame)
    dome = np.minimum(r, 0.995)
    height = 1 - np.exp(np.log(np.maximum(dome, 1e-6)) * 1.12)
    np.sqrt(height, out=height)
    height *= 0.66
    _raise_bumps(face, frame, height)
    _raise_nose(face, frame, height)
    _fold_skin(face, frame, height)
    if mouth_bump is not None:
        height[mouth_bump[0]] += mouth_bump[1]
    pores = noise(frame.U * 55, frame.V * 55, face.texture + 13)
    pores -= 0.5
    height += (0.0011 * face.skin.pores) * pores
    down, right = slopes(height, frame.pixel)
    np.clip(down, -3.5, 3.5, out=down)
    np.clip(right, -3.5, 3.5, out=right)
    nz = 1 / np.sqrt(1 + right * right + down * down)
    return Relief(-right * nz, -down * nz, nz, pores, r, distance)


def bump(frame: Frame, u: float, v: float, su: float, sv: float) -> tuple[Window, np.ndarray]:
    """Return a window and in it the Gaussian exp(-((U-u)/su)^2 - ((V-v)/sv)^2), which is negligible outside."""
    where = frame.cut(u, v, 2.3 * su, 2.3 * sv)
    a = frame.U[where] - u
    b = frame.V[where] - v
    a *= 1 / su
    b *= 1 / sv
    a *= a
    b *= b
    a += b
    np.negative(a, out=a)
    return where, np.exp(a, out=a)


def pair(frame: Frame, u: float, v: float, su: float, sv: float) -> tuple[Window, np.ndarray]:
    """Return a window and in it two Gaussians, at (-u, v) and (u, v)."""
    where = frame.cut(0.0, v, u + 2.3 * su, 2.3 * sv)
    a = np.abs(frame.U[where])
    a -= u
    a *= 1 / su
    a *= a
    b = frame.V[where] - v
    b *= 1 / sv
    b *= b
    a += b
    np.negative(a, out=a)
    return where, np.exp(a, out=a)


def _raise_bumps(face: Face, frame: Frame, height: np.ndarray) -> None:
    eyes, mouth = face.eyes, face.mouth
    pairs = (
        (-0.058, eyes.spacing - 0.02, eyes.height + 0.01, 0.17, 0.115),
        (-0.016, 0.11, eyes.height + 0.02, 0.06, 0.10),
        (0.030, eyes.spacing, eyes.height - 0.02, 0.13, 0.07),
        (0.036 + 0.026 * mouth.smile, 0.36, 0.26, 0.17, 0.17),
    )
    for amount, u, v, su, sv in pairs:
        where, hill = pair(frame, u, v, su, sv)
        height[where] += amount * hill
    for amount, v, su, sv in ((0.045, 0.86, 0.17, 0.12), (-0.020, mouth.height + 0.15, 0.2, 0.045)):
        where, hill = bump(frame, 0.0, v, su, sv)
        height[where] += amount * hill
    rows = frame.cut(0.0, eyes.height - 0.19, 0.62, 0.20)
    ridge = bell((frame.V[rows] - (eyes.height - 0.19)) * (1 / 0.09))
    height[rows] += 0.018 * ridge * step(0.6, 0.25, np.abs(frame.U[rows]))


def _raise_nose(face: Face, frame: Frame, height: np.ndarray) -> None:
    mouth, eyes = face.mouth, face.eyes
    base, width, tall = mouth.nose_base, mouth.nose_width, mouth.nose_height
    middle = (eyes.height - 0.3 + base) / 2
    where = frame.cut(0.04 * np.sign(frame.head.yaw), middle, 0.30, (base - eyes.height + 0.5) / 2)
    u = frame.U[where] - frame.head.yaw * 0.10
    v = frame.V[where]
    profile = step(eyes.height - 0.16, base - 0.03, v)
    profile *= np.sqrt(np.sqrt(profile))
    spread = 0.055 + 0.05 * profile + (0.29 * width) * step(base - 0.2, base, v)
    away = np.abs(u) / spread
    away *= away * (0.72 + 0.28 * away)  # about |x|^2.4
    bridge = np.exp(-away)
    bridge *= (
        (0.22 + 0.78 * profile) * step(base + 0.06, base - 0.08, v) * step(eyes.height - 0.30, eyes.height - 0.02, v)
    )
    bridge *= tall * 0.58
    bridge += tall * 0.50 * bell(u * (1 / (width * 0.62))) * bell((v - (base - 0.05)) * (1 / 0.070))
    wing = bell((np.abs(u) - width * 0.78) * (1 / (width * 0.36))) * bell((v - (base - 0.025)) * (1 / 0.052))
    bridge += tall * 0.30 * wing
    height[where] += bridge


def _fold_skin(face: Face, frame: Frame, height: np.ndarray) -> None:
    mouth, eyes, age = face.mouth, face.eyes, face.skin.age
    base = mouth.nose_base
    depth = 0.003 + 0.010 * mouth.smile * (0.25 + age)
    where = frame.cut(0.0, (base + mouth.height) / 2, 0.40, 0.20)
    along = np.abs(frame.U[where]) - (0.13 + 0.55 * (frame.V[where] - base + 0.06))
    fold = bell(along * (1 / 0.045)) * step(base - 0.08, base + 0.05, frame.V[where])
    height[where] -= depth * fold * step(mouth.height + 0.08, mouth.height - 0.06, frame.V[where])
    where, groove = bump(frame, 0.0, (base + mouth.height) / 2 + 0.02, 0.03, 0.05)
    height[where] -= 0.008 * groove
    if age > 0.5:
        rows = frame.cut(0.0, -0.42, 0.55, 0.25)
        u, v = frame.U[rows], frame.V[rows]
        lines = np.sin((v + 0.5 + 0.05 * np.cos(u * 5)) * 62) * bell((v + 0.42) * (1 / 0.11))
        height[rows] += (age - 0.5) * 0.006 * lines * step(0.5, 0.2, np.abs(u))
        where = frame.cut(0.0, eyes.height + 0.16, eyes.spacing + 0.16, 0.12)
        off = np.abs(frame.U[where]) - eyes.spacing
        bag = bell((frame.V[where] - eyes.height - 0.15 + 0.7 * off * off) * (1 / 0.022))
        height[where] -= (age - 0.45) * 0.014 * bag * step(0.14, 0.07, np.abs(off))
