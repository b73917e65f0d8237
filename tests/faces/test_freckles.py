"""Freckles: the ground-truth list against the pixels, and the things that hide a freckle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagelab.data.faces import Faces
from imagelab.faces.freckles import Freckles, freckle_style, sample_freckles
from imagelab.faces.latent import Face
from imagelab.faces.render import Portrait, render
from imagelab.faces.sample import sample_face
from imagelab.images import luma
from imagelab.seeds import rng_at


def _plain_face(row: int = 0) -> Face:
    """A frontal, light-skinned, short-haired face without glasses or beard."""
    face = sample_face(rng_at(3, "test", row=row))
    return replace(
        face,
        head=replace(face.head, yaw=0.0, pitch=0.0, roll=0.0),
        skin=replace(face.skin, tone=1.0, beard=0.0),
        hair=replace(face.hair, style="buzz", top=0.03, sides=0.015),
        extras=replace(face.extras, glasses=False),
    )


def _one_freckle(u: float, v: float) -> Freckles:
    return Freckles(*(np.array([value]) for value in (u, v, 0.042, 1.0, 0.0)))


def _draw(face: Face, freckles: Freckles, size: int = 64) -> Portrait:
    return render(face, freckles, size, 2, rng_at(0, "paint"))


@pytest.mark.parametrize("size", [64, 128])
def test_listed_freckles_lie_on_dark_spots(size: int) -> None:
    sample = Faces(size=size, freckle_rate=1.0, cache=False).load("train", 20, seed=1)
    assert sample.twins is not None and sample.freckles is not None
    drop = (luma(sample.twins) - luma(sample.images)) * 255
    offsets = []
    rows, columns = np.mgrid[:size, :size]
    for picture, entries in zip(drop, sample.freckles, strict=True):
        centres = entries[:, :2]
        for x, y, radius, _, visible in entries:
            nearest = np.sort(np.hypot(*(centres - (x, y)).T))[1:2].min(initial=99)
            if not visible or nearest < 4 * radius + 1:
                continue  # hidden, or so near another that the disc would contain the other's peak
            disc = np.where(np.hypot(columns - x, rows - y) <= 1.5 * radius + 1, picture, -1)
            row, column = np.unravel_index(int(disc.argmax()), disc.shape)
            assert disc.max() > 3  # levels
            offsets.append(np.hypot(column - x, row - y))
    assert len(offsets) > 20
    assert max(offsets) <= 1.0


def test_a_twin_differs_only_where_freckles_are() -> None:
    sample = Faces(size=64, freckle_rate=1.0, cache=False).load("train", 12, seed=6)
    assert sample.twins is not None and sample.freckles is not None
    rows, columns = np.mgrid[:64, :64]
    for image, twin, entries in zip(sample.images, sample.twins, sample.freckles, strict=True):
        near = np.zeros((64, 64), bool)
        for x, y, radius, *_ in entries:
            near |= np.hypot(columns - x, rows - y) < 1.9 * radius + 1.0
        assert not (image != twin).any(axis=0)[~near].any()


def test_freckles_only_darken() -> None:
    sample = Faces(size=64, freckle_rate=1.0, cache=False).load("train", 6, seed=6)
    assert sample.twins is not None
    assert (sample.images <= sample.twins).all()


def test_a_freckle_on_a_bare_cheek_is_visible() -> None:
    portrait = _draw(_plain_face(), _one_freckle(0.36, 0.26))
    assert portrait.freckles[0, 4] == 1


def test_a_freckle_under_the_frame_of_glasses_is_not_visible() -> None:
    face = _plain_face()
    glasses = replace(face.extras, glasses=True, frame_power=2.0, frame_x=0.2, frame_y=0.17, frame_thickness=0.09)
    at = _one_freckle(face.eyes.spacing * 1.03, face.eyes.height + 0.02 + 0.17)
    assert _draw(face, at).freckles[0, 4] == 1
    assert _draw(replace(face, extras=glasses), at).freckles[0, 4] == 0


def test_a_freckle_under_hair_is_not_visible() -> None:
    face = _plain_face()
    fringe = replace(face.hair, style="fringe", top=0.1, sides=0.08, length=0.9)
    at = _one_freckle(0.05, -0.42)
    assert _draw(face, at).freckles[0, 4] == 1
    assert _draw(replace(face, hair=fringe), at).freckles[0, 4] == 0


def test_a_freckle_under_face_paint_or_a_beard_is_not_visible() -> None:
    face = _plain_face()
    stripes = replace(face.marks, paint=(np.full((3, 1, 1), 0.5, np.float32), 0))
    cheek, jaw = _one_freckle(0.36, 0.23), _one_freckle(0.30, 0.72)
    assert _draw(replace(face, marks=stripes), cheek).freckles[0, 4] == 0
    assert _draw(face, jaw).freckles[0, 4] == 1
    assert _draw(replace(face, skin=replace(face.skin, beard=0.92)), jaw).freckles[0, 4] == 0


def test_a_freckle_turned_away_is_not_visible() -> None:
    face = _plain_face()
    turned = replace(face, head=replace(face.head, yaw=0.38))
    at = _one_freckle(0.58, 0.1)
    assert _draw(turned, at).freckles[0, 4] == 0


def test_darker_contrast_and_larger_radius_take_more_light() -> None:
    face = _plain_face()

    def taken(radius: float, contrast: float) -> float:
        freckle = Freckles(*(np.array([value]) for value in (0.36, 0.26, radius, contrast, 0.0)))
        portrait = _draw(face, freckle)
        return float((portrait.twin.astype(int) - portrait.image.astype(int)).sum())

    assert taken(0.042, 0.5) < taken(0.042, 1.0) < taken(0.060, 1.0)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_dots_keep_their_distance_and_their_size_in_pixels(size: int) -> None:
    style = freckle_style("countable", size)
    head = _plain_face().head
    for row in range(10):
        drawn = sample_freckles(rng_at(0, "test", row=row), head, style)
        gap = np.hypot(drawn.u[:, None] - drawn.u, drawn.v[:, None] - drawn.v)
        need = style.spacing * (drawn.radius[:, None] + drawn.radius)
        np.fill_diagonal(gap, np.inf)
        assert (gap > need).all()
        assert len(drawn) >= 3
        assert drawn.contrast.min() >= style.contrast
    assert style.radius * head.scale * size / 2 > 0.65  # pixels


def test_few_and_growth_set_the_number() -> None:
    head = _plain_face().head
    style = freckle_style("fine", 128)

    def mean_count(**changes: float) -> float:
        changed = replace(style, **changes)
        return float(np.mean([len(sample_freckles(rng_at(0, "test", row=row), head, changed)) for row in range(40)]))

    base = mean_count()
    assert mean_count(few=4.0) < base
    assert mean_count(growth=1.0) < base
