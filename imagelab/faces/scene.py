"""The surroundings of the face: backdrop, neck, clothes, ears, headscarf."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .brush import Canvas, bell, noise, step
from .latent import Face
from .shape import Frame, lattice
from .skin import S_HB, light_direction

__all__ = ["ear_places", "paint_backdrop", "paint_clothes", "paint_ears", "paint_neck", "paint_scarf"]


@lru_cache(maxsize=8)
def _vignette(n: int) -> np.ndarray:
    x = lattice(n)
    return ((1 - 0.20 * step(0.7, 1.6, np.sqrt(x * x + (x * x)[:, None]))) * 0.9).astype(np.float32)


def paint_backdrop(face: Face, n: int, rng: np.random.Generator) -> Canvas:
    """Return a canvas with a smooth two-colour backdrop, and with discs of light if ``face.dress.bokeh``."""
    dress = face.dress
    x, y = lattice(n), lattice(n)[:, None]
    shade = step(-1.1, 1.1, y * 0.8 - x * (0.5 * face.light.x))
    pixels = dress.backdrop + (dress.backdrop_dark - dress.backdrop) * shade
    canvas = Canvas(pixels, np.zeros((n, n), np.float32))
    if dress.bokeh:
        light = dress.backdrop * np.float32(1.25) + np.float32(0.10)
        for _ in range(7):
            bx, by, radius, strength = (float(t) for t in rng.uniform((-1, -1, 0.10, 0.12), (1, 0.6, 0.28, 0.32)))
            cols = slice(max(int((bx - radius + 1) * n / 2), 0), max(int((bx + radius + 1) * n / 2) + 1, 0))
            rows = slice(max(int((by - radius + 1) * n / 2), 0), max(int((by + radius + 1) * n / 2) + 1, 0))
            d = np.sqrt((x[cols] - bx) ** 2 + (y[rows] - by) ** 2)
            canvas.paint(light, step(radius, radius * 0.75, d) * strength, (rows, cols))
    canvas.pixels *= _vignette(n)
    return canvas


def paint_neck(face: Face, canvas: Canvas, base: np.ndarray) -> None:
    """Paint the neck: a column with the shadow of the jaw, two faint tendons and the hollow of the throat."""
    frame = Frame.of(face.head, canvas.bare.shape[0], -0.62, 0.62, 0.28, 1.55)
    lx, _, _ = light_direction(face)
    x = frame.X - face.head.yaw * 0.10
    y = frame.Y
    half = face.head.neck + 0.10 * step(1.0, 1.45, y) ** 2 + 0.06 * step(1.02, 1.30, y)
    mask = frame.soft(np.abs(x) - half)
    across = x / half
    round_ = np.clip(0.50 + 0.62 * lx * across - 0.28 * across * across, 0.10, 1)
    jaw = y - 0.86 - 0.10 * np.sqrt(np.maximum(1 - (x * 1.6) ** 2, 0)) + 0.14 * x * lx
    shade = 1 - 0.55 * step(0.30, -0.02, jaw)
    side = np.abs(x) - (0.20 - 0.34 * (y - 1.05))
    sinew = bell(side * (1 / 0.035)) * step(0.95, 1.12, y)
    hollow = bell(x * (1 / 0.07)) * bell((y - 1.24) * (1 / 0.05))
    shade *= 1 - 0.10 * sinew - 0.14 * hollow
    warm = base * np.exp(-S_HB * np.float32(0.12))
    canvas.paint(
        warm * (face.light.ambient * np.float32(0.8) + face.light.key * (round_ * 0.74)) * shade, mask, frame.window
    )


def paint_clothes(face: Face, canvas: Canvas) -> None:
    """Paint shoulders and collar: round or V neck, plain or knitted."""
    head, dress = face.head, face.dress
    frame = Frame.of(head, canvas.bare.shape[0], -1.6, 1.6, 1.02, 1.75)
    x, y = np.abs(frame.X - head.yaw * 0.10), frame.Y
    shoulder = 1.17 + 0.40 * np.maximum(x - 0.30, 0) ** 1.15
    depth = 0.62 if dress.vneck else 0.20
    neckline = 1.19 + np.maximum(depth * (0.42 - x), 0) - (0.0 if dress.vneck else 0.5 * np.maximum(x - 0.25, 0) ** 2)
    edge = np.where(x < head.neck + 0.09, np.maximum(shoulder, neckline), shoulder)
    mask = frame.soft((edge - y) * 0.8)
    lx, _, _ = light_direction(face)
    weave = 1 + 0.10 * (noise(frame.X * 22, y * 22, face.texture) - 0.5)
    if dress.knit:
        weave += 0.10 * np.sin(y * 70)
    hem = 1 - 0.22 * bell((y - edge - 0.055) * (1 / 0.012)) - 0.10 * step(0.05, 0.0, y - edge)
    light = np.clip(0.62 + 0.28 * frame.X * lx - 0.35 * (y - 1.2), 0.2, 1.1) * weave * hem
    canvas.paint(
        dress.cloth * (face.light.ambient * np.float32(0.8) + face.light.key * (light * 0.75)), mask, frame.window
    )


def ear_places(face: Face) -> list[tuple[float, float, float]]:
    """Return centre x, centre y and how far the ear extends outwards, for the left and the right ear (head units)."""
    places = []
    for side in (-1, 1):
        out = 0.035 - side * face.head.yaw * 0.16
        places.append((side * (face.head.width * 0.985 + out * 0.75), 0.14 + face.head.pitch * 0.3, out))
    return places


def paint_ears(face: Face, canvas: Canvas, base: np.ndarray) -> None:
    """Paint the ears that are visible in this pose."""
    lx, _, _ = light_direction(face)
    for side, (x0, y0, out) in zip((-1, 1), ear_places(face), strict=True):
        if out <= -0.03:
            continue
        frame = Frame.of(face.head, canvas.bare.shape[0], x0 - 0.18, x0 + 0.18, y0 - 0.22, y0 + 0.22)
        dx = (frame.X - x0) * (1 / 0.085) - 0.35 * side * (frame.Y - y0)
        dy = (frame.Y - y0) * (1 / 0.185)
        radius = np.sqrt(dx * dx + dy * dy)
        light = np.clip(0.56 + 0.34 * side * lx - 0.15 * dy, 0.15, 1)
        shape = 1 - 0.42 * bell((radius - 0.45) * (1 / 0.25)) - 0.1 * bell(radius * (1 / 0.3))
        lit = face.light.ambient * np.float32(0.8) + face.light.key * (light * 0.78)
        canvas.paint(
            base * np.exp(-S_HB * np.float32(0.30)) * lit * shape, frame.soft((radius - 1) * 0.09), frame.window
        )


def paint_scarf(face: Face, canvas: Canvas, face_mask: np.ndarray, face_window: tuple[slice, slice]) -> None:
    """Paint a headscarf around the face; inside its opening everything except the face is cloth, too."""
    n = canvas.bare.shape[0]
    frame = Frame.of(face.head, n, -1.6, 1.6, -1.25, 1.75)
    a = face.head.width
    x, y, v = frame.X, frame.Y, frame.V
    lx, _, _ = light_direction(face)
    dv = v - 0.15
    opening = ((x - face.head.yaw * 0.10) * (1 / (a * 0.92))) ** 2 + (dv * np.where(dv < 0, 1 / 0.74, 1 / 0.86)) ** 2
    cap = (
        np.sqrt((x * (1 / (a + 0.15))) ** 2 + (np.minimum(y + 0.05, 0) * (1 / 1.06)) ** 2)
        - 1
        - 0.10 * step(0.5, 1.3, y)
    )
    drape = np.maximum(np.abs(x) - (a + 0.13) - 0.35 * step(0.85, 1.4, y), 0.3 - y)
    covered = np.zeros((n, n), np.float32)
    covered[face_window] = face_mask
    mask = frame.soft(np.minimum(cap, drape)) * np.maximum(step(0.97, 1.03, opening), 1 - covered[frame.window])
    ring = np.sqrt((x * (1 / 0.9)) ** 2 + ((y - 0.1) * (1 / 1.05)) ** 2)
    folds = np.sin(ring * 34 + 3.5 * noise(x * 3, y * 3, face.texture)) * step(0.75, 1.05, ring)
    light = 0.78 + 0.14 * folds + 0.30 * x * lx - 0.20 * y
    shade = 1 - 0.5 * bell((opening - 1.0) * (1 / 0.10))
    lit = face.light.ambient * np.float32(0.7) + face.light.key * (np.maximum(light, 0.1) * 0.85)
    canvas.paint(face.dress.scarf * lit * shade, mask, frame.window)
