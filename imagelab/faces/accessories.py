"""Accessories: glasses, earrings, a nose stud, a hearing aid, an eyepatch."""

from __future__ import annotations

import numpy as np

from .brush import Canvas, bell, step
from .latent import Face
from .scene import ear_places
from .shape import Frame
from .skin import light_direction

__all__ = ["paint_earrings", "paint_eyepatch", "paint_glasses", "paint_hearing_aid", "paint_stud"]


def _rgb(r: float, g: float, b: float) -> np.ndarray:
    return np.array([r, g, b], np.float32)[:, None, None]


_GOLD, _SILVER = _rgb(0.80, 0.58, 0.22), _rgb(0.9, 0.88, 0.82)
_AID, _TUBE, _PATCH = _rgb(0.30, 0.42, 0.62), _rgb(0.5, 0.6, 0.75), _rgb(0.02, 0.02, 0.025)


def paint_glasses(
    face: Face, frame: Frame, canvas: Canvas, mask: np.ndarray, r: np.ndarray, over_arm: np.ndarray
) -> None:
    """Paint frame, bridge, arms and lens reflections of glasses.

    Args:
        face: the latent record.
        frame: the frame of the face.
        canvas: the whole image.
        mask: opacity of the face on its frame, [h,w].
        r: 1 on the outline of the head, 0 in the middle, [h,w].
        over_arm: opacity of hair or scarf, which hides the arms, [h,w].
    """
    x, e = face.extras, face.eyes
    key, ambient = face.light.key, face.light.ambient
    metal = x.frame * (ambient + key * 0.5)
    centre = e.spacing * 1.03
    top, left = frame.window[0].start, frame.window[1].start
    for side in (-1, 1):
        where = frame.cut(side * centre, e.height + 0.02, x.frame_x * 1.35, x.frame_y * 1.35)
        at = (slice(where[0].start + top, where[0].stop + top), slice(where[1].start + left, where[1].stop + left))
        u = frame.U[where] - side * centre
        v = frame.V[where] - e.height - 0.02
        d = _superellipse(np.abs(u) * (1 / x.frame_x), np.abs(v) * (1 / x.frame_y), x.frame_power)
        lens = step(1.0, 0.97, d) * mask[where]
        streak = step(0.02, 0.0, np.abs(np.abs(u) - v * 0.6 + 0.03) - 0.03)
        canvas.paint(key, lens * (0.02 + 0.08 * streak), at)
        canvas.darken(1 - 0.13 * bell((d - 1.06) * (1 / 0.10)) * mask[where], at)
        rim = step(x.frame_thickness + 0.02, x.frame_thickness, np.abs(d - 1)) * step(1.05, 0.99, r[where])
        canvas.paint(metal + 0.042 * step(-0.2, -1, v * (1 / x.frame_y)), rim, at)
    u, v = np.abs(frame.U), frame.V - e.height
    inner, outer = centre - x.frame_x, centre + x.frame_x
    bridge = step(0.020, 0.012, np.abs(v + 0.035 + 1.2 * u * u)) * step(inner + 0.01, inner - 0.01, u)
    arm = step(0.020, 0.012, np.abs(v + 0.04)) * step(outer - 0.01, outer + 0.02, u) * mask * (1 - over_arm)
    canvas.paint(metal, np.maximum(bridge, arm), frame.window)


def _superellipse(x: np.ndarray, y: np.ndarray, power: float) -> np.ndarray:
    """Return (x^p + y^p)^(1/p) for p = 2 or 4; for 2.6 it is computed with p = 2.5, which is faster."""
    xx, yy = x * x, y * y
    if power == 4.0:
        return np.sqrt(np.sqrt(xx * xx + yy * yy))
    if power == 2.0:
        return np.sqrt(xx + yy)
    return (xx * np.sqrt(x) + yy * np.sqrt(y)) ** np.float32(1 / 2.5)


def paint_earrings(face: Face, canvas: Canvas) -> None:
    """Paint studs (1) or hoops (2) on ears that are not hidden by the head, a scarf or thick hair."""
    kind = face.extras.earring
    if kind == 0 or face.hair.style in ("scarf", "afro", "wavy", "long", "curls"):
        return
    lx, _, _ = light_direction(face)
    for x0, y0, out in ear_places(face):
        if out < 0:
            continue
        drop = y0 + (0.20 if kind == 1 else 0.27)
        frame = Frame.of(face.head, canvas.bare.shape[0], x0 - 0.13, x0 + 0.13, drop - 0.13, drop + 0.13)
        dx, dy = frame.X - x0, frame.Y - drop
        d = np.sqrt(dx * dx + dy * dy)
        mask = step(0.040, 0.028, d) if kind == 1 else step(0.018, 0.010, np.abs(d - 0.085))
        canvas.paint(_GOLD * (0.45 + 0.8 * step(0.05, -0.05, dy - dx * lx)), mask, frame.window)


def paint_hearing_aid(face: Face, canvas: Canvas) -> None:
    """Paint a hearing aid with its tube behind the ear on the side ``face.marks.hearing_aid``."""
    side = face.marks.hearing_aid
    x0, y0, _ = ear_places(face)[0 if side < 0 else 1]
    frame = Frame.of(face.head, canvas.bare.shape[0], x0 - 0.20, x0 + 0.20, y0 - 0.24, y0 + 0.24)
    lit = face.light.ambient + face.light.key * 0.7
    shell = np.sqrt(((frame.X - x0 - side * 0.045) * (1 / 0.05)) ** 2 + ((frame.Y - y0 + 0.08) * (1 / 0.10)) ** 2)
    canvas.paint(_AID * lit, step(1.08, 0.92, shell), frame.window)
    ring = np.abs(np.sqrt((frame.X - x0) ** 2 + (frame.Y - y0 - 0.02) ** 2) - 0.085)
    tube = step(0.012, 0.006, ring) * (y0 - 0.08 < frame.Y) * ((frame.X - x0) * side < 0.03)
    canvas.paint(_TUBE * lit, tube * 0.8, frame.window)


def paint_stud(face: Face, frame: Frame, skin: Canvas) -> None:
    """Paint a nose stud onto the lit skin, on the nose wing of the side ``face.marks.stud``."""
    m = face.mouth
    centre = face.marks.stud * m.nose_width * 0.95
    where = frame.cut(centre, m.nose_base - 0.02, 0.09, 0.09)
    d = np.sqrt((frame.U[where] - frame.head.yaw * 0.10 - centre) ** 2 + (frame.V[where] - m.nose_base + 0.02) ** 2)
    skin.paint(_SILVER, step(0.024, 0.014, d), where)
    skin.darken(1 - 0.35 * bell(np.maximum(d - 0.022, 0) * (1 / 0.01)) * (d > 0.02), where)


def paint_eyepatch(face: Face, frame: Frame, skin: Canvas, normal_light: np.ndarray) -> None:
    """Paint an eyepatch with its strap onto the lit skin, over the eye of the side ``face.marks.eyepatch``."""
    e = face.eyes
    across, down = face.marks.eyepatch * frame.U - e.spacing, frame.V - e.height
    patch = step(1.08, 0.95, (across * (1 / 0.25)) ** 4 + ((down + 0.02) * (1 / 0.20)) ** 4)
    strap = step(0.020, 0.012, np.abs(down + 0.10 + 0.42 * across))
    light = np.maximum(normal_light, 0)
    skin.paint(
        _PATCH * (face.light.ambient + face.light.key * (0.5 + 1.2 * light * light * light)), np.maximum(patch, strap)
    )
