"""Skin: tone, pigment and blood as absorbance, marks, beard, and the lighting.

Albedo is ``base * exp(-(m S_mel + b S_hb))``: m units of melanin and b of haemoglobin on a base colour, which is
interpolated between ten tones. Diffuse light extends beyond the boundary of light and shadow, most of all in red: a
simple approximation of light that is scattered under the skin. Two specular lobes, a cool fill light and ambient
occlusion are added. All arrays are planar float32 on the window of the face frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .brush import Canvas, linear, noise, step
from .latent import Face
from .mouth import MouthArea, lip_colour
from .shape import Frame, Relief, bump, half_width, pair

__all__ = ["S_HB", "S_MEL", "Lighting", "albedo", "light_skin", "skin_base"]

S_MEL = np.array([0.48, 0.88, 1.28], np.float32)[:, None, None]
"""Absorbance of one unit of melanin in R, G, B."""
S_HB = np.array([0.10, 0.78, 0.62], np.float32)[:, None, None]
"""Absorbance of one unit of haemoglobin in R, G, B."""

_RAMP = ("e9c4aa", "e5bc9f", "e2b791", "d9ac85", "c99a72", "a87852", "885e41", "704a35", "5a3e2d", "4c352a")
_TONES = [linear(c) for c in _RAMP]
_PAINT_FADE = np.float32(0.88)


def skin_base(face: Face) -> np.ndarray:
    """Return the base albedo of the skin [3,1,1]: interpolated between ten tones, with some haemoglobin."""
    tone = min(max(face.skin.tone, 0.0), 9.0)
    low = min(int(tone), 8)
    base = _TONES[low] + (_TONES[low + 1] - _TONES[low]) * np.float32(tone - low)
    return base * np.exp(-S_HB * np.float32(face.skin.blood * 0.30)) * np.float32(1.03)


def albedo(face: Face, frame: Frame, surface: Relief, area: MouthArea) -> tuple[Canvas, np.ndarray, np.ndarray]:
    """Paint the unlit skin with its marks, beard and lips (brows are painted later).

    Args:
        face: the latent record.
        frame: the frame of the face.
        surface: from :func:`imagelab.faces.shape.relief`.
        area: the mouth.

    Returns:
        The canvas, the albedo of the bare skin without anything painted over it [3,h,w], and the shine map [h,w].
    """
    melanin, blood = _pigments(face, frame, surface)
    base = skin_base(face)
    naked = np.exp(-(S_MEL * melanin + S_HB * np.maximum(blood, -0.2)))
    naked *= base
    canvas = Canvas(naked.copy(), np.ones_like(frame.X))
    _marks(face, frame, canvas, base)
    shine = np.full_like(frame.X, 0.75 if face.skin.tone > 4 else 0.50)
    if face.skin.beard > 0:
        _beard(face, frame, area, canvas, shine)
    colour, opacity = lip_colour(face, area, base)
    canvas.paint(colour, opacity, area.where)
    shine[area.where] += (0.9 if face.mouth.lipstick is not None else 0.5) * area.lips
    return canvas, naked, shine


def _pigments(face: Face, frame: Frame, surface: Relief) -> tuple[np.ndarray, np.ndarray]:
    """Return melanin and haemoglobin, in units of absorbance, [h,w] each."""
    e, m, skin, seed = face.eyes, face.mouth, face.skin, face.texture
    melanin = 0.05 * noise(frame.U * 5, frame.V * 5, seed + 1) - 0.025
    melanin += (0.05 * skin.pores) * surface.pores
    blood = 0.12 * noise(frame.U * 4 + 7, frame.V * 4, seed + 2) - 0.06
    for target, amount, u, v, su, sv in (
        (blood, 0.60 * skin.blush, 0.38, 0.27, 0.17, 0.13),
        (melanin, 0.07 + 0.13 * skin.age, e.spacing - 0.02, e.height + 0.115, 0.12, 0.05),
        (melanin, 0.08, e.spacing, e.height - 0.07, 0.15, 0.06),
    ):
        where, hill = pair(frame, u, v, su, sv)
        target[where] += amount * hill
    for amount, u, v, su, sv in (
        (0.42, frame.head.yaw * 0.1, m.nose_base - 0.03, 0.11, 0.10),
        (0.18, 0.0, 0.88, 0.15, 0.1),
    ):
        where, hill = bump(frame, u, v, su, sv)
        blood[where] += amount * skin.blush * hill
    if face.marks.mole is not None:
        u, v, radius = face.marks.mole
        where = frame.cut(u, v, radius * 1.4, radius * 1.4)
        q = ((frame.U[where] - u) ** 2 + (frame.V[where] - v) ** 2) / radius**2
        melanin[where] += 2.1 * step(1.4, 0.5, q)
    if face.marks.birthmark is not None:
        u, v, radius = face.marks.birthmark
        blood += 1.05 * step(radius, radius - 0.045, _ragged(frame, u, v, 0.14, 9, seed + 21))
    return melanin, blood


def _ragged(frame: Frame, u: float, v: float, wobble: float, cells: float, seed: int) -> np.ndarray:
    """Return the distance to a point plus noise, for patches with irregular edges: [h,w]."""
    d = np.sqrt((frame.U - u) ** 2 + (frame.V - v) ** 2)
    d += wobble * (noise(frame.U * cells, frame.V * cells, seed) - 0.5)
    return d + 0.045 * (noise(frame.U * 25, frame.V * 25, seed + 1) - 0.5)


def _marks(face: Face, frame: Frame, canvas: Canvas, base: np.ndarray) -> None:
    """Paint the marks on top of the pigment: vitiligo, scar, face paint, bindi."""
    marks = face.marks
    u, v = frame.U, frame.V
    if marks.vitiligo:
        light = np.zeros_like(u)
        for cu, cv, radius in marks.vitiligo:
            light = np.maximum(light, step(radius, radius - 0.03, _ragged(frame, cu, cv, 0.12, 8, face.texture + 23)))
        canvas.paint(np.maximum(_TONES[1] * np.float32(0.98), base), light * 0.9)
    if marks.scar is not None:
        _scar(marks.scar, frame, canvas, base)
    if marks.paint is not None:
        colour, pattern = marks.paint
        x = np.abs(u) - 0.38
        if pattern == 0:
            tilt = 0.05 * np.abs(np.abs(u) - 0.36)
            bars = [step(0.024, 0.015, np.abs(v - height - tilt)) for height in (0.23, 0.31)]
            mask = np.maximum(*bars) * step(0.15, 0.14, np.abs(x))
        else:
            r = np.sqrt((v - 0.28) ** 2 + x * x)
            mask = step(0.02, 0.0, r - 0.085 - 0.04 * np.cos(5 * np.arctan2(v - 0.28, x)))
        canvas.paint(colour, mask * _PAINT_FADE)
    if marks.bindi:
        spot = np.sqrt(u**2 + (v - face.eyes.height + 0.20) ** 2) * (1 / 0.030)
        canvas.paint(np.array([0.42, 0.02, 0.03], np.float32)[:, None, None], step(1.25, 0.75, spot))


def _scar(scar: tuple[float, float, float, float], frame: Frame, canvas: Canvas, base: np.ndarray) -> None:
    u, v, angle, half = scar
    du, dv = frame.U - u, frame.V - v
    c, s = float(np.cos(angle)), float(np.sin(angle))
    along = np.abs(du * c + dv * s)
    across = np.abs(dv * c - du * s + 0.18 * along * along)
    ends = step(half, half * 0.85, along)
    halo = step(0.040, 0.020, across) * step(half * 1.05, half * 0.9, along)
    stitch = along * (1 / 0.06)
    ticks = step(0.1, 0.03, np.abs(stitch - np.floor(stitch) - 0.5)) * step(0.045, 0.035, across) * ends
    canvas.paint(base * np.array([0.70, 0.33, 0.33], np.float32)[:, None, None], np.maximum(halo, 0.9 * ticks) * 0.85)
    canvas.paint(base * np.array([1.25, 1.05, 1.0], np.float32)[:, None, None], step(0.016, 0.006, across) * ends * 0.8)


def _beard(face: Face, frame: Frame, area: MouthArea, canvas: Canvas, shine: np.ndarray) -> None:
    u, v, m, density = np.abs(frame.U), frame.V, face.mouth, face.skin.beard
    widths = np.maximum(half_width(face.head, v), 0.1).astype(np.float32)
    rim = u / widths
    jaw = step(-0.03, 0.09, v - (0.50 - 0.50 * step(0.55, 1.02, rim))) * step(0.02, 0.20, v)
    moustache = step(m.height - 0.14, m.height - 0.07, v) * step(m.width * 1.35, m.width, u)
    zone = np.maximum(jaw, moustache)
    lip_zone = step(1.12, 0.92, np.abs(area.across)) * step(m.lower + 0.075, m.lower + 0.02, area.down)
    lip_zone *= step(-m.upper - 0.045, -m.upper + 0.005, area.down)
    soul_patch = step(0.04, 0.02, u[area.where]) * step(0, 0.02, area.down - area.gap - m.lower)
    zone[area.where] *= 1 - np.maximum(lip_zone, area.lips) * (1 - soul_patch)
    hairs = noise(frame.U * 110 + v * 20, v * 46, face.texture + 31)
    opacity = np.minimum(density * zone * (0.55 + 0.75 * hairs), 0.93)
    canvas.paint(face.hair.colour * (0.5 + 0.9 * hairs), opacity)
    shine *= 1 - 0.7 * zone * density


@dataclass
class Lighting:
    """The light on the face; the visible colour is ``albedo * diffuse + gloss``.

    Attributes:
        diffuse: [3,h,w].
        gloss: [3,h,w].
        normal_light: cosine of the angle between the normal and the key light, [h,w].
    """

    diffuse: np.ndarray
    gloss: np.ndarray
    normal_light: np.ndarray


_STEPS = 1024


def _wrap_table() -> np.ndarray:
    nl = np.linspace(-1, 1, _STEPS)
    wrap = np.array([0.46, 0.27, 0.19])[:, None]
    return (np.clip((nl + wrap) / (1 + wrap), 0, 1) ** 1.15).astype(np.float32)


def _gloss_table() -> np.ndarray:
    nh = np.linspace(0, 1, _STEPS)
    return (0.085 * nh**14 + 0.10 * nh**55).astype(np.float32)


_WRAP = _wrap_table()
_GLOSS = _gloss_table()


def light_direction(face: Face) -> tuple[float, float, float]:
    """Return the unit vector towards the key light."""
    x, y, z = face.light.x, face.light.y, 0.9
    length = (x * x + y * y + z * z) ** 0.5
    return x / length, y / length, z / length


def light_skin(
    face: Face, frame: Frame, surface: Relief, area: MouthArea, shine: np.ndarray, hairline: np.ndarray | None
) -> Lighting:
    """Return the light on the face.

    Args:
        face: the latent record.
        frame: the frame of the face.
        surface: normals and pores.
        area: the mouth.
        shine: [h,w], strength of the specular light.
        hairline: texture height V of the hairline [h,w], below which the hair casts a shadow; None for no shadow.
    """
    lx, ly, lz = light_direction(face)
    nx, ny, nz = surface.nx, surface.ny, surface.nz
    normal_light = nx * lx + ny * ly + nz * lz
    index = ((normal_light + 1) * ((_STEPS - 1) / 2)).astype(np.int32)
    occlusion = _occlusion(face, frame, surface, area)
    direct = occlusion * _shadows(face, frame, lx, ly, hairline)
    diffuse = _WRAP.take(index, axis=1)
    diffuse *= face.light.key * direct
    hemisphere = (0.64 - 0.36 * ny) * occlusion
    side = 1.0 if lx >= 0 else -1.0
    fill = np.maximum(nx * (-0.6 * side) + nz * 0.35, 0)
    diffuse += face.light.ambient * hemisphere
    diffuse += np.array([0.065, 0.075, 0.095], np.float32)[:, None, None] * fill
    half = (lx * lx + ly * ly + (lz + 1) ** 2) ** 0.5
    nh = np.clip((nx * lx + ny * ly + nz * (lz + 1)) * (1 / half), 0, 1)
    glossy = _GLOSS.take((nh * (_STEPS - 1)).astype(np.int32))
    glossy *= shine * (1 + 0.25 * face.skin.pores * surface.pores) * direct * face.skin.gloss
    edge = 1 - nz
    rim = edge * edge * edge * np.clip(0.3 - nx * side, 0, 1) * 0.14
    gloss = face.light.key * glossy
    gloss += face.dress.backdrop_dark * rim
    return Lighting(diffuse, gloss, normal_light)


def _occlusion(face: Face, frame: Frame, surface: Relief, area: MouthArea) -> np.ndarray:
    e, m = face.eyes, face.mouth
    occlusion = step(-0.09, 0.02, surface.distance)
    occlusion *= occlusion
    occlusion *= -0.36
    occlusion += 1
    for amount, u, v, su, sv in ((0.20, e.spacing, e.height - 0.035, 0.15, 0.075), (0.06, 0.12, e.height, 0.06, 0.08)):
        where, hill = pair(frame, u, v, su, sv)
        occlusion[where] -= amount * hill
    under_lip = m.height + m.lower + 0.098 * m.open + 0.045
    for amount, v, su, sv in ((0.13, m.nose_base + 0.055, m.nose_width, 0.036), (0.13, under_lip, 0.13, 0.035)):
        where, hill = bump(frame, 0.0, v, su, sv)
        occlusion[where] -= amount * hill
    return occlusion


def _shadows(face: Face, frame: Frame, lx: float, ly: float, hairline: np.ndarray | None) -> np.ndarray:
    """Return the share of the key light that is not blocked by hair and nose: [h,w]."""
    if hairline is None:
        light = np.ones_like(frame.X)
    else:
        light = step(0.10, -0.04, frame.V - hairline - (0.05 + 0.05 * max(0.0, -ly)))
        light *= -0.38
        light += 1
    side = -1.0 if lx >= 0 else 1.0
    m = face.mouth
    where, cast = bump(frame, side * (m.nose_width + 0.02), m.nose_base, 0.075, 0.10)
    light[where] *= 1 - 0.24 * min(abs(lx) * 1.6, 1.0) * cast
    return light
