"""Looks: what is read from images of known damage, and real images brought to it."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.data.faces import Faces
from imagelab.metrics.degradations import blurred, noised, toned
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.looks import Appearance, brought_to, look_of, readings

SKIN = shipped_calibration().skin
RULER = np.array([(row["sigma"], row["value"]) for row in shipped_calibration().tables["sharpness by blur"]])


@pytest.fixture(scope="module")
def faces():
    return Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 60, 7)


def look(fake: np.ndarray, real: np.ndarray) -> Appearance:
    return look_of(readings(fake, SKIN), readings(real, SKIN), RULER)


@pytest.mark.parametrize("sigma", [0.5, 0.75, 1.0, 1.4])
def test_blur_is_read_in_pixels(faces, sigma):
    assert look(blurred(faces.images, sigma), faces.images).blur == pytest.approx(sigma, abs=0.05)


def test_images_as_sharp_as_real_ones_have_no_blur_and_very_soft_ones_an_infinite_one(faces):
    assert look(faces.images, faces.images).blur == 0
    assert look(blurred(faces.images, 3.0), faces.images).blur == np.inf


@pytest.mark.parametrize("contrast", [0.7, 1.2])
@pytest.mark.parametrize("saturation", [0.6, 1.2])
def test_contrast_and_saturation_are_read_as_they_were_changed(faces, contrast, saturation):
    found = look(toned(faces.images, contrast, saturation), faces.images)
    assert found.contrast == pytest.approx(contrast, abs=0.03)
    assert found.saturation == pytest.approx(contrast * saturation, abs=0.05)


def test_noise_is_not_read_as_colour_nor_as_sharpness(faces):
    found = look(noised(faces.images, 0.03, np.random.default_rng(0)), faces.images)
    assert found.saturation == pytest.approx(1, abs=0.04) and found.contrast == pytest.approx(1, abs=0.02)
    soft = look(noised(blurred(faces.images, 1.0), 0.02, np.random.default_rng(0)), faces.images)
    assert soft.blur == pytest.approx(1, abs=0.08)


def test_lost_freckles_are_not_read_as_blur(faces):
    assert look(faces.twins, faces.images).blur < 0.35


LOOKS = [(0.8, 0.0, 1.0, 1.0), (0.0, 6.0, 1.0, 1.0), (0.0, 0.0, 0.8, 0.6), (0.6, 8.0, 0.9, 1.1)]


@pytest.mark.parametrize("wanted", [Appearance(*each) for each in LOOKS])
def test_faces_brought_to_a_look_have_it(faces, wanted):
    found = look(brought_to(wanted, faces.images, SKIN, 3), faces.images)
    assert found.blur == pytest.approx(wanted.blur, abs=0.1)
    assert found.contrast == pytest.approx(wanted.contrast, abs=0.03)
    assert found.saturation == pytest.approx(wanted.saturation, abs=0.07)
    if wanted.noise:
        assert found.noise == pytest.approx(wanted.noise, rel=0.05)


def test_a_face_and_its_twin_get_the_same_noise(faces):
    wanted = Appearance(0.0, 10.0, 1.0, 1.0)
    one, two = (brought_to(wanted, images, SKIN, 3).astype(int) for images in (faces.images, faces.twins))
    same = (faces.images == faces.twins).all(axis=1)
    gap = np.abs(one - two).max(axis=1)[same]
    assert np.percentile(gap, 99) <= 1  # the two amounts of noise differ by rounding


def test_flat_images_have_a_look():
    flat = np.full((3, 3, 64, 64), 90, np.uint8)
    assert look(flat, flat) == Appearance(0.0, 0.0, 1.0, 1.0)
