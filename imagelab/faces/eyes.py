"""Eyes and brows: sclera, iris with a limbal ring and a catchlight, lids, lashes, eye shadow, brows."""

from __future__ import annotations

import numpy as np

from .brush import Canvas, bell, noise, step
from .latent import Face
from .shape import Frame

__all__ = ["brow_colour", "paint_brows", "paint_eye"]

_SCLERA = np.array([0.76, 0.73, 0.70], np.float32)[:, None, None]
_BLOOD = np.array([0.10, 0.78, 0.62], np.float32)[:, None, None]


def brow_colour(face: Face) -> np.ndarray:
    """Return the colour of brows and lashes, [3,1,1]."""
    return face.hair.colour * np.float32(0.58 if face.skin.tone < 7 else 0.5)


def paint_brows(face: Face, frame: Frame, albedo: Canvas, shine: np.ndarray) -> None:
    """Paint two arched, tapering brows onto the albedo, and reduce the shine there."""
    e = face.eyes
    where = frame.cut(0.0, e.height - e.brow_height - 0.02, e.spacing + e.width * 1.6, 0.13)
    u = frame.U[where]
    x = (np.abs(u) - e.spacing - 0.022) * (1 / (e.width * 1.26))
    bend = np.where(x < 0.2, np.float32(0.55), np.float32(1.15)) * (x - 0.2) ** 2  # a high inner end looks friendly
    centre = e.height - e.brow_height - 0.050 * e.brow_arch * (1 - bend) + 0.022 * e.brow_tilt * x
    thick = e.brow_thickness * step(-1.15, -0.70, x) * (1 - 0.68 * step(-0.1, 1.1, x))
    y = (frame.V[where] - centre) / np.maximum(thick, 1e-3)
    mask = step(1.25, 0.40, np.abs(y)) * (np.abs(x) < 1.12)
    hairs = noise((x - y * 0.35) * 26, np.clip(y, -9, 9) * 1.3 + np.sign(u) * 7, face.texture + 41)
    opacity = np.minimum(mask * (0.35 + 1.0 * hairs) * e.brow_density, 0.94)
    albedo.paint(brow_colour(face), opacity, where)
    shine[where] *= 1 - 0.6 * mask


def paint_eye(face: Face, frame: Frame, skin: Canvas, base: np.ndarray, side: int) -> None:
    """Paint one eye (side -1 or +1 in texture coordinates) onto the lit skin; ``base`` is the skin's albedo."""
    e = face.eyes
    where = frame.cut(side * e.spacing, e.height, e.width * 1.45, e.width * 1.15)
    if frame.X[where].size == 0:
        return
    x = (side * frame.U[where] - e.spacing) * (1 / e.width)
    y = (frame.V[where] - e.height) * (1 / e.width) + e.tilt * x
    open_ = e.opening * (1 - 0.20 * face.mouth.smile)
    rest = np.maximum(1 - x * x, 0)
    root = np.sqrt(rest)
    upper = -open_ * (root * (0.60 + 0.40 * root)) * (1 + 0.10 * x) - 0.02
    lower = (0.36 - 0.09 * face.mouth.smile) * e.opening / 0.5 * rest * (1.15 - 0.15 * rest) * (1 + 0.18 * x) + 0.02
    ax = np.abs(x)
    blur = 1.2 * frame.pixel / e.width
    inside = step(blur, -blur, np.maximum(upper - y, y - lower)) * (ax < 1.0)
    crease = upper - 0.20 * e.crease * np.sqrt(root) - 0.03
    skin.darken(1 - 0.34 * bell((y - crease) * (1 / 0.055)) * step(1.15, 0.7, ax) * e.lid, where)
    skin.darken(1 - 0.10 * bell((y - lower - 0.16) * (1 / 0.07)) * step(1.0, 0.6, ax), where)
    if e.shadow is not None:
        lid = step(0.0, 0.12, upper - y + 0.05) * step(-0.28, -0.02, y - crease) * step(1.25, 0.8, ax)
        skin.paint(e.shadow * (face.light.ambient + face.light.key * 0.7), lid * 0.45, where)
    ball = _eyeball(face, base, side, x, y, upper, blur)
    skin.paint(ball, inside, where)
    skin.darken(1 - 0.26 * bell((y - lower) * (1 / 0.045)) * step(1.05, 0.75, ax) * step(-1, 0.2, x), where)
    skin.paint(brow_colour(face) * np.float32(0.28) + np.float32(0.004), _lashes(face, x, y, upper), where)


def _eyeball(
    face: Face, base: np.ndarray, side: int, x: np.ndarray, y: np.ndarray, upper: np.ndarray, blur: float
) -> np.ndarray:
    """Return the colour [3,h,w] of sclera, iris, pupil, catchlights and the inner corner."""
    e, key, ambient = face.eyes, face.light.key, face.light.ambient
    gaze_x, gaze_y, radius = e.gaze_x * side, e.gaze_y - 0.06, e.iris_radius
    dx, dy = x - gaze_x, y - gaze_y
    r = np.sqrt(dx * dx + dy * dy)
    lid_shadow = bell((y - upper) * (1 / 0.16))
    white = np.maximum(1 - 0.36 * x * x, 0) * (1 - 0.55 * lid_shadow)
    colour = _SCLERA * (ambient * 0.9 + key * 0.62) * white
    fibre = noise(np.arctan2(dy, dx) * 5.5 + 40, r * 4, face.texture + (51 if side < 0 else 52))
    glow = (0.70 + 0.75 * (fibre - 0.35)) * (1 - 0.66 * step(radius * 0.80, radius, r))
    glow *= (1 + 0.75 * bell((dy - 0.16) * (1 / 0.20))) * (1 - 0.97 * step(radius * 0.46, radius * 0.36, r))
    glow *= 1.15 * (1 - 0.52 * lid_shadow)
    iris = e.iris[0 if side < 0 else 1] * (ambient + key * 0.95) * glow
    iris -= colour
    iris *= step(blur * 1.2, -blur * 1.2, r - radius)
    colour += iris
    length = float(np.sqrt(face.light.x**2 + face.light.y**2 + 0.81))
    light_x, light_y = face.light.x / length * radius * 0.55, face.light.y / length * radius * 0.55
    spot = np.sqrt((dx - side * light_x) ** 2 + (dy - light_y) ** 2)
    colour += 0.92 * step(0.14, 0.07, spot)
    back = np.sqrt((dx + side * light_x * 0.9) ** 2 + (dy - radius * 0.45) ** 2)
    colour += 0.10 * step(0.12, 0.05, back)
    pink = base * np.exp(-_BLOOD * np.float32(0.9))
    colour += (pink - colour) * (step(-0.80, -0.97, x) * 0.8)
    return colour


def _lashes(face: Face, x: np.ndarray, y: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the opacity of lash line, lashes and outer wing: [h,w]."""
    strength = face.eyes.lashes
    outward = step(-0.9, 0.9, x)
    width = (0.055 + 0.070 * outward) * strength
    ax = np.abs(x)
    line = bell((y - upper + width * 0.3) / width) * step(1.13, 0.93, ax)
    comb = step(0.35, 0.65, noise((x + 0.25 * (y - upper)) * 11 + 3, np.zeros_like(x), face.texture + 61))
    above = y - upper
    reach = -0.30 * strength * outward - 0.02
    t = np.clip((above - reach) / -reach, 0, 1)
    comb *= t * t * (3 - 2 * t) * (above < 0) * step(1.3, 0.9, ax) * 0.5
    wing = bell((y - upper + 0.25 * (x - 1)) * (1 / 0.05)) * step(0.8, 0.95, x) * step(1.25, 1.02, x) * 0.55
    return np.minimum(np.maximum(np.maximum(line, comb), wing) * (0.70 + 0.25 * strength), 0.96)
