"""Hair: an outline, a hairline, strands and their light, for ten styles (bald and scarf have none).

Strands are noise that is stretched along a flow coordinate. The flow depends on the style: arcs over the crown that
continue as falling lines (long, wavy, bob, fringe), swept or upright (short, sidepart), gathered (bun), isotropic
(afro, curls), dots (buzz). The same layer is painted twice: darker behind neck and face, then in front of the face
above the hairline and next to the cheeks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .brush import Canvas, bell, noise, step
from .latent import Face
from .shape import Frame
from .skin import light_direction

__all__ = ["HairLayer", "comb_hair", "hairline", "paint_back_hair", "paint_front_hair", "shows_ears"]

_DRAPED = ("long", "wavy", "bob")


def shows_ears(face: Face) -> bool:
    """Return whether the ears are visible with this style."""
    return face.hair.style in ("buzz", "short", "sidepart", "bun", "bald")


@dataclass
class HairLayer:
    """Hair ready to be painted.

    Attributes:
        frame: its window of the canvas.
        mask: opacity 0..1, [h,w].
        colour: lit colour, [3,h,w].
        line: texture height V of the hairline, [h,w].
        edge: noise of the edges, -0.5..0.5, [h,w].
    """

    frame: Frame
    mask: np.ndarray
    colour: np.ndarray
    line: np.ndarray
    edge: np.ndarray


def comb_hair(face: Face, n: int) -> HairLayer | None:
    """Return the hair of a face on an n-pixel canvas, or None for bald heads and scarves."""
    hair, a = face.hair, face.head.width
    if hair.style in ("bald", "scarf"):
        return None
    reach = a + hair.sides + (0.20 if hair.style in _DRAPED else 0.10)
    crown = -1.36 if hair.style == "bun" else -1.10 - hair.top
    bottom = {
        "afro": 0.85 + hair.top,
        "curls": hair.length + 0.1,
        "buzz": 0.25,
        "short": 0.25,
        "sidepart": 0.25,
        "bun": 0.25,
    }
    frame = Frame.of(face.head, n, -reach, reach, crown, bottom.get(hair.style, hair.length + 0.12))
    edge = noise(frame.U * 30 + 9, frame.V * 2, face.texture)
    edge -= 0.5
    wave = 0.035 * np.sin(frame.Y * 9 + np.sign(frame.U) * 1.3 + hair.phase) if hair.style == "wavy" else 0.0
    mask = frame.soft(_outline(face, frame, edge, wave))
    strands, glint = _strands(face, frame, hairline(face, frame, edge), wave)
    return HairLayer(frame, mask, _lit(face, frame, strands, glint), hairline(face, frame, edge), edge)


def hairline(face: Face, frame: Frame, edge: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the texture height V of the hairline at every pixel of the frame; hair is above it."""
    hair, a = face.hair, face.head.width
    away = frame.U - hair.part
    if hair.style in _DRAPED:
        left = away < 0
        ratio = np.abs(away) * np.where(left, 1 / (a + hair.part), 1 / (a - hair.part)).astype(np.float32)
        fall = np.where(left, hair.fall_left, hair.fall_right).astype(np.float32)
        return -0.66 + fall * ratio * ratio * (0.42 + 0.68 * ratio) + 0.05 * edge
    side = np.abs(frame.U) * (1 / a)
    if hair.style == "fringe":
        tips = noise(frame.U * 16, frame.V * 0.6, face.texture + 3) - 0.5
        return -0.30 + 0.08 * side * side + 0.55 * step(0.78, 1.0, side) + 0.10 * tips + 0.05 * edge
    if hair.style == "sidepart":
        swept = away * (hair.sweep / a)
        right = 0.20 * np.sin(np.clip(swept * (1 / 1.3), 0, 1) * 2.6) + 0.70 * np.clip(swept - 0.55, 0, 1) ** 2
        return -0.63 + np.where(swept > 0, right, 0.85 * swept * swept) + 0.06 * edge
    side *= side
    line = hair.line + 0.60 * side * side + 0.04 * edge
    if hair.style in ("short", "curls", "buzz"):
        line -= hair.recede * 0.16 * bell((np.sqrt(side) - 0.5) * (1 / 0.22))
    return line


def _outline(face: Face, frame: Frame, edge: np.ndarray, wave: np.ndarray | float) -> np.ndarray:
    """Return the approximate signed distance to the outer edge of the hair, negative inside: [h,w]."""
    hair, a, seed = face.hair, face.head.width, face.texture
    x, y = frame.X, frame.Y
    wide = a + hair.sides
    if hair.style == "afro":
        radius = np.sqrt((x * (1 / wide)) ** 2 + ((y + 0.22) * (1 / (0.78 + hair.top))) ** 2)
        fluff = noise(x * 14, y * 14, seed) + noise(x * 30, y * 30, seed) - 1.0
        return (radius - 1) * 0.9 + 0.05 * fluff
    if hair.style == "curls":
        up, down = np.minimum(y + 0.1, 0) * (1 / (0.9 + hair.top)), np.maximum(y + 0.1, 0) * (1 / hair.length)
        radius = np.sqrt((x * (1 / wide)) ** 2 + up * up + down * down)
        return (
            (radius - 1) * 0.8 + 0.13 * (noise(x * 6, y * 6, seed) - 0.5) + 0.05 * (noise(x * 20, y * 20, seed) - 0.5)
        )
    top = np.minimum(y + 0.15, 0) * (1 / (0.85 + hair.top))
    width = wide + wave
    if hair.style in ("long", "wavy"):
        width = width + 0.14 * step(-0.1, 1.1, y)
    elif hair.style == "bob":
        width = width + 0.11 * step(-0.2, 0.45, y) - 0.16 * step(0.45, 0.85, y)
    radius = np.sqrt((x / width) ** 2 + top * top)
    if hair.style in _DRAPED:
        end = y - hair.length + 0.12 * (noise(x * 18, y * 2, seed) - 0.5)
    else:
        end = y - (hair.length if hair.style == "fringe" else hair.sideburn + 0.04) + 0.05 * edge
    outer = np.maximum((radius - 1) * 0.9, end)
    outer += 0.022 * (noise(x * (12 + 6 * (y < 0)), radius * 2, seed) - 0.5)
    if hair.style == "bun":
        outer = np.minimum(outer, np.sqrt(x * x + (y + 1.05) ** 2) - 0.225)
    return outer


def _strands(face: Face, frame: Frame, line: np.ndarray, wave: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return the tone of the strands (about 0..1, mean about .5) and the glint, 0..1: [h,w] each."""
    hair, a, seed = face.hair, face.head.width, face.texture
    x, y = frame.X, frame.Y
    if hair.style in ("afro", "curls"):
        return _coils(face, frame)
    if hair.style == "buzz":
        q = noise(x * 60, y * 60, seed)
        return 0.5 + 0.5 * (q - 0.5), 0.05 * q
    xp = x - hair.part * 0.5
    top = np.minimum(y + 0.15, 0) * (1 / (0.85 + hair.top))
    if hair.style == "bun":
        flow, along = np.arctan2(x, y + 1.05) * 0.9, y
    elif hair.style == "short":
        flow, along = x * 0.9 + 0.25 * y * hair.sweep - 0.4 * x * y, y
    elif hair.style == "sidepart":
        flow, along = 0.9 * y - 0.55 * (x - hair.part) * hair.sweep + 0.35 * x * x, x
    else:
        flow = np.sqrt((xp * (1 / (a + hair.sides))) ** 2 + top * top) + wave * 1.5
        along = np.abs(xp) * 0.8 - 0.3 * top + np.maximum(y + 0.15, 0)
        if hair.style == "fringe":
            flow = np.where(
                (line + 0.02 > frame.V) & (np.abs(frame.U) < a * 0.8), frame.U * (0.95 + 0.12 * frame.V), flow
            )
            along = y
    flow = flow + np.where(xp < 0, np.float32(17.0), np.float32(0.0))
    q = 0.42 * noise(flow * 46, along * 2.2, seed) + 0.42 * noise(flow * 96, along * 3, seed + 7)
    q += 0.16 * noise(flow * 20, along * 1.6, seed + 11)
    if hair.style in ("short", "sidepart", "bun"):
        band = bell((y + 0.78 + 0.12 * (q - 0.5)) * (1 / 0.16))
    else:
        band = bell((along - hair.band - 0.15 * q) * (1 / 0.22))
    return 0.5 + 1.55 * (q - 0.5), band * step(0.30, 0.75, q)


def _coils(face: Face, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    seed, x, y = face.texture, frame.X, frame.Y
    wx, wy = x + 0.03 * noise(x * 9, y * 9, seed + 2), y + 0.03 * noise(x * 9 + 5, y * 9, seed + 4)
    cells = 26 if face.hair.style == "afro" else 13
    q, fine = noise(wx * cells, wy * cells, seed), noise(wx * (2.1 * cells), wy * (2.1 * cells), seed + 5)
    if face.hair.style == "afro":
        return 0.45 + 0.85 * (q - 0.5) + 0.65 * (fine - 0.5), 0.3 * step(0.6, 0.95, fine)
    turn = q * 9
    spiral = np.sin((wx * np.cos(turn) + wy * np.sin(turn)) * 55 + q * 12)
    return 0.55 + 0.28 * spiral + 0.5 * (fine - 0.5), 0.45 * step(0.5, 0.95, q)


def _lit(face: Face, frame: Frame, strands: np.ndarray, glint: np.ndarray) -> np.ndarray:
    """Return the lit colour of the hair, [3,h,w]."""
    hair, key, ambient = face.hair, face.light.key, face.light.ambient
    lx, ly, lz = light_direction(face)
    nx = frame.X * (0.85 / (face.head.width + hair.sides))
    ny = np.minimum(frame.Y + 0.1, 0.2) * 0.8
    rest = 1 - np.minimum(nx * nx * 1.1 + (np.minimum(frame.Y, 0) * (1 / (1 + hair.top))) ** 2 * 0.75, 0.97)
    light = np.clip((nx * lx + ny * ly + np.sqrt(rest) * lz) * 0.75 + 0.35, 0.12, 1.2)
    tone = np.clip(0.35 + 1.15 * strands, 0.12, 2.0) * (0.35 + 0.95 * light)
    colour = (hair.colour * (key * 0.62 + ambient * 0.7)) * tone
    colour += ((hair.colour * 1.6 + np.float32(0.045)) * key) * (glint * light * light * 0.5)
    return colour


def paint_back_hair(layer: HairLayer, canvas: Canvas) -> None:
    """Paint the hair behind neck and face."""
    canvas.paint(layer.colour * np.float32(0.52), layer.mask, layer.frame.window)


def paint_locks(face: Face, layer: HairLayer, canvas: Canvas) -> None:
    """Paint long hair that falls in front of the shoulders."""
    beside = np.abs(layer.frame.X - face.head.yaw * 0.10) + 0.06 * layer.edge
    canvas.paint(
        layer.colour * np.float32(0.8), layer.mask * step(face.head.neck - 0.02, 0.50, beside), layer.frame.window
    )


def paint_front_hair(face: Face, layer: HairLayer, canvas: Canvas, base: np.ndarray) -> np.ndarray:
    """Paint the hair above the hairline and next to the face; return its opacity on the layer's frame, [h,w]."""
    hair, frame, style = face.hair, layer.frame, face.hair.style
    x, y, v = frame.X, frame.Y, frame.V
    above = v - layer.line
    if style in ("short", "sidepart", "bun", "curls", "afro"):
        front = step(0.045, -0.03, above + 0.05 * (noise(frame.U * 60, v * 5, face.texture + 71) - 0.5))
    else:
        front = frame.soft(above * 0.8)
    if style in (*_DRAPED, "curls"):
        beside = hair.curtain + 0.05 * layer.edge
        if style == "wavy":
            beside = beside + 0.03 * np.sin(y * 9 + hair.phase)
        inner = beside * face.head.width * (1 - 0.06 * step(0.2, 1.0, y))
        curtain = frame.soft(inner - np.abs(x - face.head.yaw * 0.12)) * step(-0.62, -0.3, v)
        front = np.maximum(front, curtain * (y < hair.length))
        if style in ("long", "wavy") and not hair.in_front:
            front *= step(1.16, 1.0, y)
    elif style in ("short", "sidepart", "buzz"):
        burn = step(0.93, 0.985, np.abs(x) / np.maximum(frame.w, 0.1)) * step(
            hair.sideburn + 0.02, hair.sideburn - 0.14, v
        )
        front = np.maximum(front, 0.9 * burn)
    elif style == "fringe":
        low = np.maximum(frame.w, 0.55)
        front = np.maximum(front, frame.soft(0.90 - np.abs(x) / low) * (y < hair.length))
    front *= layer.mask
    if style == "buzz":
        front *= 0.80 * step(0.02, -0.10, above) + 0.1
    ink = step(-0.07, 0.0, above) * frame.soft(above * 0.8)
    canvas.paint(layer.colour * (1 - 0.25 * ink), front, frame.window)
    if style in (*_DRAPED, "sidepart"):
        parting = (
            bell((x - hair.part - face.head.yaw * 0.1) * (1 / 0.018)) * step(-0.60, -0.75, v) * step(-1.08, -0.92, y)
        )
        canvas.paint(base * face.light.ambient * np.float32(0.9), parting * layer.mask * 0.5, frame.window)
    return front
