"""Details of mouth and nose: lips with a cupid's bow, an open smile with teeth, nostrils, creases of the nose wings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .brush import Canvas, Window, bell, noise, step
from .latent import Face
from .shape import Frame

__all__ = ["MouthArea", "finish_mouth", "finish_nose", "mouth_area"]

_TEETH = np.array([0.70, 0.645, 0.565], np.float32)[:, None, None]
_THROAT = np.array([0.115, 0.026, 0.022], np.float32)[:, None, None]


@dataclass
class MouthArea:
    """The mouth in its own coordinates; all arrays are [h,w] on the window ``where``.

    Attributes:
        where: window of the face frame.
        across: U in half mouth widths, -1..1 from corner to corner.
        side: absolute value of ``across``, at most 1.05.
        down: distance below the upper edge of the opening, which is curved by the smile; head units.
        gap: height of the opening, head units.
        upper_lip: mask 0..1.
        lower_lip: mask 0..1.
        inner: 1 between the corners, 0 outside.
        bulge: height field of the lips.
    """

    where: Window
    across: np.ndarray
    side: np.ndarray
    down: np.ndarray
    gap: np.ndarray
    upper_lip: np.ndarray
    lower_lip: np.ndarray
    inner: np.ndarray
    bulge: np.ndarray

    @property
    def lips(self) -> np.ndarray:
        """Both lips, 0..1."""
        return np.maximum(self.upper_lip, self.lower_lip)


def mouth_area(face: Face, frame: Frame) -> MouthArea:
    """Return the geometry of the mouth: the position of the lips and their height field."""
    m = face.mouth
    where = frame.cut(0.0, m.height + 0.02, m.width * 1.40, 0.24)
    across = frame.U[where] * (1 / m.width)
    side = np.minimum(np.abs(across), 1.05)
    rest = np.maximum(1 - side * side, 0)
    root = np.sqrt(rest)
    bow = bell(across * (1 / 0.15))
    down = frame.V[where] - m.height + (0.010 + 0.068 * m.smile) * side * side - (0.018 * m.smile + 0.0)
    down += 0.005 * bell(across * (1 / 0.22))
    peaks = bell((side - 0.26) * (1 / 0.17))
    top = -m.upper * rest * (1.12 - 0.12 * rest) * (1 - 0.20 * bow + 0.18 * peaks)
    gap = (m.open * 0.098) * rest
    bottom = gap + m.lower * root * (0.76 + 0.24 * root)
    inner = (side < 1).astype(np.float32)
    upper_lip = frame.soft(np.maximum(top - down, down)) * inner
    lower_lip = frame.soft(np.maximum(gap - down, down - bottom)) * inner
    bulge = 0.030 * bell((down - 0.5 * top) * (1 / (m.upper * 0.55))) * root
    bulge += 0.038 * bell((down - gap - m.lower * 0.5) * (1 / (m.lower * 0.55))) * root
    # |across| must not be clipped before this Gaussian: the clipped values would give a groove across both cheeks
    corner = bell((np.abs(across) - 1.03) * (1 / 0.10)) * bell(down * (1 / 0.05))
    bulge -= 0.013 * corner
    return MouthArea(where, across, side, down, gap, upper_lip, lower_lip, inner, bulge)


def lip_colour(face: Face, area: MouthArea, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lips' albedo [3,h,w] and opacity [h,w]."""
    m = face.mouth
    blood = np.array([0.10, 0.78, 0.62], np.float32)[:, None, None]
    colour = skin * np.exp(-blood * np.float32(m.redness)) * np.float32(0.88) if m.lipstick is None else m.lipstick
    lines = bell(noise(area.across * 24, area.down * 3, face.texture + 5) * (1 / 0.28))
    shade = 1 - 0.18 * area.upper_lip + 0.06 * area.lower_lip - 0.08 * lines
    return colour * shade, area.lips * (0.82 if m.lipstick is None else 0.92)


def finish_mouth(face: Face, frame: Frame, area: MouthArea, skin: Canvas) -> None:
    """Paint the opening, the teeth and the line between the lips onto the lit skin."""
    key, ambient = face.light.key, face.light.ambient
    if face.mouth.open > 0.05:
        hole = frame.soft(np.maximum(-area.down, area.down - area.gap)) * area.inner
        skin.paint(_THROAT * (ambient + key), hole, area.where)
        teeth = hole * frame.soft(area.down - area.gap * 0.74) * step(0.97, 0.62, area.side)
        tooth = frame.U[area.where] * (1 / 0.062) + 100.0
        tooth -= np.floor(tooth)
        between = step(0.10, 0.0, np.minimum(tooth, 1 - tooth))
        if face.marks.tooth_gap:
            between = np.maximum(between, 3.2 * step(0.30, 0.16, np.abs(area.across) * (face.mouth.width / 0.062)))
        shade = (1 - 0.13 * between - 0.42 * step(0.35, 1.0, area.side)) * (1 - 0.30 * step(0.02, 0.0, area.down))
        skin.paint(_TEETH * (ambient * 0.9 + key * 0.64) * shade, teeth, area.where)
        line = bell(area.down * (1 / 0.008)) * area.inner * 0.30
        corner = bell((np.abs(area.across) - 0.98) * (1 / 0.06)) * bell(area.down * (1 / 0.016)) * 0.35
        line = np.maximum(line, corner)
    else:
        line = bell(area.down * (1 / 0.0105)) * (0.58 * step(1.08, 0.80, area.side))
    skin.darken(1 - line, area.where)


def finish_nose(face: Face, frame: Frame, skin: Canvas) -> None:
    """Darken the nostrils and the creases around the wings of the nose."""
    m = face.mouth
    base, width = m.nose_base, m.nose_width
    where = frame.cut(0.0, base, width * 1.6, 0.12)
    u = np.abs(frame.U[where] - frame.head.yaw * 0.10)
    v = frame.V[where] - base
    nostril = bell((u - width * 0.50) * (0.95 / (0.036 * width / 0.12)))
    nostril *= bell((v - 0.018 + 0.12 * (u - width * 0.5)) * (0.95 / 0.0155))
    ring = np.sqrt((u - width * 0.72) ** 2 + (v + 0.012) ** 2) - 0.062
    crease = bell(ring * (1 / 0.013)) * step(width * 0.85, width * 1.05, u) * step(-0.09, -0.03, v)
    skin.darken((1 - 0.46 * nostril) * (1 - 0.13 * crease), where)
