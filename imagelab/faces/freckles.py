"""Freckles: a clustered point process on the face, its rendering, and the ground-truth list of visible freckles.

Freckles are drawn in texture coordinates by a gamma-Poisson cluster process: cluster centres on the cheeks, the bridge
of the nose and, few, on the forehead; unequal cluster weights; a tenth to a seventh of all freckles anywhere on the
face. The process is thinned so that the dots stay separate. A freckle of radius r and contrast c adds c units of
melanin in its middle, which fall smoothly to 0 at 1.38 r. The ground-truth list is computed from the same numbers by
the forward map, so it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .brush import step
from .latent import Face, Head
from .shape import Frame, project, to_pixels
from .skin import S_MEL

__all__ = [
    "STYLES",
    "FreckleStyle",
    "Freckles",
    "Style",
    "freckle_chance",
    "freckle_style",
    "sample_freckles",
    "stamp",
    "truth",
]

Style = Literal["countable", "fine"]
"""How freckles look: dots that a small model can reproduce and a counter can detect, or small, realistic ones."""

STYLES: tuple[Style, ...] = ("countable", "fine")


@dataclass(frozen=True)
class FreckleStyle:
    """The appearance of freckles at one resolution.

    Attributes:
        radius: median radius, head units (h * size / 2 pixels each, h about 0.78).
        spread: standard deviation of the logarithm of the radius.
        spacing: least distance of two centres, in units of the sum of the two radii.
        contrast: least contrast, in melanin units.
        few: mean count at level 0; in general it is ``few * exp(growth * level)``.
        growth: see ``few``.
    """

    radius: float
    spread: float
    spacing: float
    contrast: float
    few: float
    growth: float


_COUNTABLE = {
    32: FreckleStyle(0.058, 0.10, 1.40, 0.85, 9.0, 1.7),
    64: FreckleStyle(0.0410, 0.14, 1.35, 0.80, 11.0, 2.7),
    128: FreckleStyle(0.0260, 0.18, 1.35, 0.70, 12.0, 2.7),
    256: FreckleStyle(0.0190, 0.22, 1.40, 0.60, 16.0, 2.1),
}
_FINE = {
    32: FreckleStyle(0.0280, 0.25, 1.15, 0.22, 9.0, 2.3),
    64: FreckleStyle(0.0220, 0.28, 1.15, 0.22, 12.0, 2.3),
    128: FreckleStyle(0.0185, 0.30, 1.10, 0.22, 16.0, 2.3),
    256: FreckleStyle(0.0150, 0.30, 1.10, 0.22, 18.0, 2.3),
}


def freckle_style(name: Style, size: int) -> FreckleStyle:
    """Return the style ``countable`` or ``fine`` for an image size in px; the radii are chosen for each size.

    Args:
        name: of the style.
        size: 32, 64, 128 or 256.
    """
    return (_COUNTABLE if name == "countable" else _FINE)[size]


def freckle_chance(face: Face) -> float:
    """Return the probability that this face has freckles, by skin tone and hair colour (a design choice)."""
    tone = face.skin.tone
    chance = 0.62 if tone < 2.2 else 0.35 if tone < 4 else 0.12 if tone < 6 else 0.04
    if face.hair.colour_name in ("ginger", "auburn"):
        chance = min(0.95, chance + 0.30)
    return chance


@dataclass(frozen=True)
class Freckles:
    """Freckles of one face; all float64 [K].

    Attributes:
        u: texture coordinate across.
        v: texture coordinate down.
        radius: head units.
        contrast: melanin units in the middle.
        ellipse: ellipticity, -0.25..0.25; 0 for a circle.
    """

    u: np.ndarray
    v: np.ndarray
    radius: np.ndarray
    contrast: np.ndarray
    ellipse: np.ndarray

    def __len__(self) -> int:
        return len(self.u)

    @classmethod
    def none(cls) -> Freckles:
        """Return no freckles."""
        return cls(*(np.zeros(0) for _ in range(5)))


def sample_freckles(rng: np.random.Generator, head: Head, style: FreckleStyle) -> Freckles:
    """Draw the freckles of one face: three or more; their number has a heavy-tailed distribution."""
    while True:
        drawn = _draw_freckles(rng, head, style)
        if len(drawn) >= 3:
            return drawn


def _draw_freckles(rng: np.random.Generator, head: Head, style: FreckleStyle) -> Freckles:
    level = rng.beta(1.1, 2.2)
    mean = style.few * np.exp(style.growth * level)
    n = min(int(rng.negative_binomial(2.2, 2.2 / (2.2 + mean))) + 6, 260)
    u, v = _positions(rng, n, level)
    radius = style.radius * np.exp(np.clip(rng.standard_normal(n), -2, 2) * style.spread)
    contrast = np.clip(rng.gamma(8, 0.1, n) * (0.75 + 0.4 * level) + 0.5 * (style.contrast - 0.22), style.contrast, 1.7)
    ellipse = rng.uniform(-0.25, 0.25, n)
    keep = _thin(u, v, radius, np.flatnonzero(_allowed(u, v, radius, head)), style.spacing)
    return Freckles(u[keep], v[keep], radius[keep], contrast[keep], ellipse[keep])


def _positions(rng: np.random.Generator, n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    parents = 7 + int(rng.poisson(9 + 14 * level))
    kind = rng.random(parents)
    side = np.where(kind < 0.42, -1.0, 1.0)
    near = rng.standard_normal((2, parents))
    cheek = kind < 0.84
    bridge = ~cheek & (kind < 0.98)
    centre_u = np.where(cheek, side * np.abs(0.31 + 0.10 * near[0]), np.where(bridge, 0.05 * near[0], 0.22 * near[0]))
    centre_v = np.where(cheek, 0.25 + 0.06 * near[1], np.where(bridge, 0.18 + 0.08 * near[1], -0.34 + 0.08 * near[1]))
    weight = rng.gamma(1.1, 1.0, parents)
    child = rng.choice(parents, n, p=weight / weight.sum())
    u = centre_u[child] + 0.085 * rng.standard_normal(n)
    v = centre_v[child] + 0.060 * rng.standard_normal(n)
    anywhere = rng.random(n) < 0.13
    u[anywhere] = rng.uniform(-0.5, 0.5, int(anywhere.sum()))
    v[anywhere] = rng.uniform(-0.40, 0.55, int(anywhere.sum()))
    return u, v


def _allowed(u: np.ndarray, v: np.ndarray, r: np.ndarray, head: Head) -> np.ndarray:
    """Return which freckles do not touch eyes, brows, mouth, nostrils or the rim of the face: bool [K]."""
    eyes = np.hypot((np.abs(u) - 0.28) / (0.19 + r), (v - 0.01) / (0.12 + r)) > 1
    brows = ~((np.abs(np.abs(u) - 0.28) < 0.24) & (v > -0.24 - r) & (v < -0.06))
    mouth = np.hypot(u / (0.30 + r), (v - 0.585) / (0.13 + r)) > 1
    nostrils = ~((np.abs(u) < 0.16) & (v > 0.33) & (v < 0.46))
    rim = (np.hypot(u / (head.width * 0.88), v / 0.92) < 1) & (v > -0.55)
    return eyes & brows & mouth & nostrils & rim


def _thin(u: np.ndarray, v: np.ndarray, r: np.ndarray, order: np.ndarray, spacing: float) -> np.ndarray:
    """Return the indices of the freckles that are kept.

    In the given order, a freckle is kept unless one that is already kept is nearer than spacing * (r1 + r2).
    """
    kept: list[int] = []
    for i in order.tolist():
        near = np.array(kept, np.intp)
        if len(kept) == 0 or bool((np.hypot(u[near] - u[i], v[near] - v[i]) > spacing * (r[near] + r[i])).all()):
            kept.append(i)
    return np.array(kept, np.intp)


def stamp(frame: Frame, freckles: Freckles) -> np.ndarray:
    """Return the melanin that the freckles add, float32 [h,w] on the frame; the sum saturates where they overlap."""
    melanin = np.zeros_like(frame.X)
    x, y, facing = project(frame.head, freckles.u, freckles.v)
    columns, rows = to_pixels(frame.head, x, y, frame.n)
    for i in np.flatnonzero(facing > 0.12).tolist():
        u, v, r = float(freckles.u[i]), float(freckles.v[i]), float(freckles.radius[i])
        where = frame.around(float(columns[i]), float(rows[i]), 1.7 * r, 1.7 * r)
        du, dv = frame.U[where] - u, frame.V[where] - v
        e = float(freckles.ellipse[i])
        q = (du * du * (1 + e) + dv * dv * (1 - e)) * (1 / (r * r))
        melanin[where] += float(freckles.contrast[i]) * step(1.9, 0.25, q)
    return melanin / (1 + 0.25 * melanin)


def loss(naked: np.ndarray, diffuse: np.ndarray, melanin: np.ndarray) -> np.ndarray:
    """Return the light that freckles absorb on bare, lit skin: [3,h,w].

    Args:
        naked: albedo of the bare skin, [3,h,w].
        diffuse: diffuse light, [3,h,w].
        melanin: from :func:`stamp`, [h,w].
    """
    return naked * diffuse * (1 - np.exp(-S_MEL * melanin))


def truth(freckles: Freckles, head: Head, bare: np.ndarray) -> np.ndarray:
    """Return the ground-truth list of freckles in the image.

    Args:
        freckles: in texture coordinates.
        head: outline and pose.
        bare: float32 [size,size], share of bare skin that is visible in each pixel.

    Returns:
        float32 [K,5]: x px, y px (pixel centres at whole numbers), radius px, contrast, visible 0/1. A freckle is
        visible if it is turned from the viewer by less than 75 degrees (cosine above 0.25) and more than 80 % of the
        bare skin is visible at its centre and at four points around it.
    """
    size = len(bare)
    x, y, facing = project(head, freckles.u, freckles.v)
    px, py = to_pixels(head, x, y, size)
    radius = freckles.radius * head.scale * size / 2
    shows = np.ones(len(freckles), bool)
    for dx, dy in ((0, 0), (-0.6, 0), (0.6, 0), (0, -0.6), (0, 0.6)):
        column = np.clip(np.rint(px + dx * radius), 0, size - 1).astype(np.intp)
        row = np.clip(np.rint(py + dy * radius), 0, size - 1).astype(np.intp)
        shows &= bare[row, column] > 0.8
    visible = (facing > 0.25) & shows
    return np.stack([px, py, radius, freckles.contrast, visible], axis=1).astype(np.float32).reshape(-1, 5)
