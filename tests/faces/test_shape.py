"""Geometry: the forward map is the inverse of the pixel coordinates; and the painting tools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagelab.faces.brush import Canvas, block_mean, develop, linear, noise, step
from imagelab.faces.sample import sample_face
from imagelab.faces.shape import Frame, project, slopes, to_pixels
from imagelab.seeds import rng_at


@pytest.mark.parametrize("yaw", [-0.35, 0.0, 0.35])
def test_a_projected_point_finds_its_own_texture_coordinates(yaw: float) -> None:
    head = replace(sample_face(rng_at(0, "test")).head, yaw=yaw, roll=0.1, pitch=0.06)
    u, v = np.array([-0.3, 0.0, 0.25, 0.1]), np.array([0.2, 0.4, -0.3, 0.7])
    columns, rows = to_pixels(head, *project(head, u, v)[:2], 512)
    frame = Frame.of(head, 512, -2, 2, -2, 2)
    assert frame.X.shape == (512, 512)
    at = np.rint(rows).astype(int), np.rint(columns).astype(int)
    np.testing.assert_allclose(frame.U[at], u, atol=2 * frame.pixel)
    np.testing.assert_allclose(frame.V[at], v, atol=2 * frame.pixel)


def test_a_cut_holds_its_point() -> None:
    head = replace(sample_face(rng_at(1, "test")).head, yaw=0.3)
    frame = Frame.of(head, 256, -0.7, 0.7, -1, 1)
    where = frame.cut(0.3, 0.25, 0.1, 0.1)
    inside = (np.abs(frame.U - 0.3) < 0.1) & (np.abs(frame.V - 0.25) < 0.1)
    inside[where] = False
    assert not inside.any()


def test_slopes_of_a_plane_are_its_gradient() -> None:
    y, x = np.mgrid[:7, :9].astype(np.float32) * 0.5
    down, right = slopes(3 * y - 2 * x, 0.5)
    np.testing.assert_allclose(down, 3, atol=1e-5)
    np.testing.assert_allclose(right, -2, atol=1e-5)


def test_shrinking_keeps_the_mean() -> None:
    fine = np.random.default_rng(0).random((3, 12, 12)).astype(np.float32)
    for factor in (1, 2, 3):
        small = block_mean(fine, factor)
        assert small.shape == (3, 12 // factor, 12 // factor)
        np.testing.assert_allclose(small.mean(), fine.mean(), atol=1e-6)


def test_paint_hides_what_lies_beneath_by_its_opacity() -> None:
    rng = np.random.default_rng(0)
    below = rng.random((3, 4, 4)).astype(np.float32)
    difference = rng.random((3, 4, 4)).astype(np.float32) * 0.1
    mask = rng.random((2, 4)).astype(np.float32)
    canvases = [
        Canvas(below.copy(), np.ones((4, 4), np.float32)),
        Canvas(below - difference, np.ones((4, 4), np.float32)),
    ]
    for canvas in canvases:
        canvas.paint(linear("a8323a"), mask, (slice(1, 3), slice(None)))
        canvas.darken(np.full((4, 4), 0.7, np.float32))
    np.testing.assert_allclose(canvases[0].pixels - canvases[1].pixels, difference * canvases[0].bare, atol=1e-6)


def test_developing_is_monotone_and_spans_the_bytes() -> None:
    ramp = np.broadcast_to(np.linspace(0, 4, 64, dtype=np.float32), (3, 64, 64))
    levels = develop(ramp, np.zeros((3, 64, 64), np.float32))
    assert levels.dtype == np.uint8 and levels.min() == 0 and levels.max() > 240
    assert (np.diff(levels.astype(int), axis=2) >= 0).all()


def test_noise_is_smooth_and_fills_its_range() -> None:
    x = np.linspace(0, 40, 4000, dtype=np.float32)
    values = noise(x, x * 0.3, seed=5)
    assert 0 <= values.min() < 0.2 and 0.8 < values.max() <= 1
    assert np.abs(np.diff(values)).max() < 0.35
    assert not np.array_equal(values, noise(x, x * 0.3, seed=6))


def test_a_step_may_fall() -> None:
    x = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(step(1.0, 0.0, x), 1 - step(0.0, 1.0, x))
