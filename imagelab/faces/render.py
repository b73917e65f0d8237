"""Rendering: from a latent record to an image.

The order is: backdrop, hair behind the head, neck, clothes, ears; then the face (albedo, light, nose, mouth, eyes) as
one layer; then hair in front or a scarf, glasses, jewellery. Everything is painted once, without freckles. At the end
the light that freckles absorb, times the share of skin that is still visible, is subtracted. So a face and its twin
without freckles have the same grain, and they differ only where freckles are visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accessories import paint_earrings, paint_eyepatch, paint_glasses, paint_hearing_aid, paint_stud
from .brush import Canvas, block_mean, develop
from .eyes import paint_brows, paint_eye
from .freckles import Freckles, loss, stamp, truth
from .hair import HairLayer, comb_hair, hairline, paint_back_hair, paint_front_hair, paint_locks, shows_ears
from .latent import Face
from .mouth import finish_mouth, finish_nose, mouth_area
from .scene import paint_backdrop, paint_clothes, paint_ears, paint_neck, paint_scarf
from .shape import Frame, Relief, relief
from .skin import Lighting, albedo, light_skin, skin_base

__all__ = ["GRAIN", "RENDERER_VERSION", "Portrait", "render"]

RENDERER_VERSION = 4
"""Increase it when the same record gives other pixels; it is part of every cache name."""

GRAIN = 1.0
"""Standard deviation of the film grain, in 8-bit levels."""


@dataclass(frozen=True)
class Portrait:
    """A rendered face.

    Attributes:
        image: uint8 [3,s,s].
        twin: uint8 [3,s,s], the same face without freckles (the same array if the face has none).
        freckles: float32 [K,5], see ``Sample.freckles``.
        skin: float32 [s,s], 0..1, share of each pixel that shows bare skin of the face: no hair, cloth, paint, eye or
            frame.
    """

    image: np.ndarray
    twin: np.ndarray
    freckles: np.ndarray
    skin: np.ndarray

    @property
    def freckle_mask(self) -> np.ndarray:
        """Bool [s,s]: the pixels that differ from the twin; a freckle too faint for 8 bits is not included."""
        return (self.image != self.twin).any(axis=0)


@dataclass
class _Skin:
    """The face as a layer: its canvas and the intermediate results that later steps need."""

    frame: Frame
    canvas: Canvas
    mask: np.ndarray
    surface: Relief
    naked: np.ndarray
    lighting: Lighting


def render(face: Face, freckles: Freckles, size: int, supersample: int, rng: np.random.Generator) -> Portrait:
    """Paint one face.

    Args:
        face: the latent record.
        freckles: its freckles; may be empty.
        size: side of the image in pixels.
        supersample: fine pixels per pixel in each direction.
        rng: for backdrop lights and grain, in a fixed order.
    """
    n = size * supersample
    canvas = paint_backdrop(face, n, rng)
    base = skin_base(face)
    layer = comb_hair(face, n)
    _paint_bust(face, layer, canvas, base)
    skin = _paint_skin(face, n, base)
    canvas.paint(skin.canvas.pixels, skin.mask, skin.frame.window)
    canvas.bare[skin.frame.window] = skin.mask * skin.canvas.bare
    _paint_over(face, layer, skin, canvas, base)
    grain = rng.standard_normal((3, size, size), np.float32) * np.float32(GRAIN)
    exposure = np.float32(face.light.exposure)
    light = block_mean(canvas.pixels, supersample) * exposure
    twin = develop(light, grain)
    bare = block_mean(canvas.bare, supersample)
    if len(freckles) == 0:
        return Portrait(twin, twin, np.zeros((0, 5), np.float32), bare)
    # all layers painted over the skin are linear, so the absorbed light reaches the image with the factor ``bare``
    absorbed = np.zeros_like(canvas.pixels)
    rows, cols = skin.frame.window
    melanin = stamp(skin.frame, freckles)
    absorbed[:, rows, cols] = loss(skin.naked, skin.lighting.diffuse, melanin) * canvas.bare[rows, cols]
    image = develop(light - block_mean(absorbed, supersample) * exposure, grain)
    return Portrait(image, twin, truth(freckles, face.head, bare), bare)


def _paint_bust(face: Face, layer: HairLayer | None, canvas: Canvas, base: np.ndarray) -> None:
    if layer is not None:
        paint_back_hair(layer, canvas)
    paint_neck(face, canvas, base)
    paint_clothes(face, canvas)
    if layer is not None and face.hair.in_front and face.hair.style in ("long", "wavy"):
        paint_locks(face, layer, canvas)
    if shows_ears(face):
        paint_ears(face, canvas, base)


def _paint_skin(face: Face, n: int, base: np.ndarray) -> _Skin:
    a = face.head.width
    frame = Frame.of(face.head, n, -a - 0.02, a + 0.02, -1.02, 1.02)
    area = mouth_area(face, frame)
    surface = relief(face, frame, (area.where, area.bulge))
    unlit, naked, shine = albedo(face, frame, surface, area)
    paint_brows(face, frame, unlit, shine)
    shadowed = face.hair.style not in ("bald", "scarf", "buzz")
    lighting = light_skin(face, frame, surface, area, shine, hairline(face, frame) if shadowed else None)
    skin = Canvas(unlit.pixels * lighting.diffuse + lighting.gloss, unlit.bare)
    finish_nose(face, frame, skin)
    finish_mouth(face, frame, area, skin)
    for side in (-1, 1):
        paint_eye(face, frame, skin, base, side)
    if face.marks.eyepatch:
        paint_eyepatch(face, frame, skin, lighting.normal_light)
    if face.marks.stud:
        paint_stud(face, frame, skin)
    return _Skin(frame, skin, frame.soft(surface.distance), surface, naked, lighting)


def _paint_over(face: Face, layer: HairLayer | None, skin: _Skin, canvas: Canvas, base: np.ndarray) -> None:
    n = canvas.bare.shape[0]
    hidden = np.zeros((n, n), np.float32)
    if layer is not None:
        hidden[layer.frame.window] = paint_front_hair(face, layer, canvas, base)
        if shows_ears(face):
            hidden[:] = 0
    elif face.hair.style == "scarf":
        before = canvas.bare[skin.frame.window].copy()
        paint_scarf(face, canvas, skin.mask, skin.frame.window)
        after = canvas.bare[skin.frame.window]
        hidden[skin.frame.window] = np.where(before > 0.05, 1 - after / np.maximum(before, 0.05), 1.0)
    if face.extras.glasses:
        over_arm = hidden[skin.frame.window]
        paint_glasses(face, skin.frame, canvas, skin.mask, skin.surface.r, over_arm)
    paint_earrings(face, canvas)
    if face.marks.hearing_aid:
        paint_hearing_aid(face, canvas)
