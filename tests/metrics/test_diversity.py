from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.base import ImageSet
from imagelab.metrics.diversity import image_tone, pixel_variance, tone, variance_and_error


def test_variance_is_half_the_mean_squared_distance_of_two_images(pictures):
    images = pictures(12, 16)
    x = images.reshape(12, -1) / 255.0
    pairs = [np.mean((x[i] - x[j]) ** 2) / 2 for i in range(12) for j in range(i)]
    assert variance_and_error(images)[0] == pytest.approx(np.mean(pairs), rel=1e-12)


def test_variance_does_not_depend_on_how_many_are_read_at_a_time(pictures):
    images = pictures(300, 8)  # more than one block
    assert variance_and_error(images)[0] == pytest.approx(np.var(images / 255.0, axis=0, ddof=1).mean(), rel=1e-12)


def test_the_stated_error_of_the_variance_is_its_spread_over_repeats(pictures):
    pool, rng = pictures(4000, 16, seed=3), np.random.default_rng(0)
    found = [variance_and_error(pool[rng.permutation(4000)[:80]]) for _ in range(150)]
    stated = np.mean([error for _, error in found if error is not None])
    assert 0.85 < np.std([value for value, _ in found]) / stated < 1.15


def test_the_ratio_is_one_for_the_same_images_and_a_quarter_at_half_contrast(pictures, evidence):
    images = (pictures(40, 16) // 4) * 2
    same, raw = pixel_variance(evidence(images, images))
    assert same.value == 1.0 and raw.name == "pixel_variance/raw"
    assert pixel_variance(evidence(images, images // 2))[0].value == pytest.approx(0.25, rel=1e-12)


def test_the_error_of_the_ratio_counts_both_sets(pictures, evidence):
    few, many = pictures(20, 16, seed=1), pictures(400, 16, seed=2)
    errors = [
        pixel_variance(evidence(real, fake))[0].stderr or 0.0 for real, fake in ((few, few), (few, many), (many, many))
    ]
    assert errors == sorted(errors, reverse=True)


def test_copies_of_one_image_have_no_variance_and_no_ratio_below_them(pictures, evidence):
    copies = np.repeat(pictures(1, 16), 5, axis=0)
    assert pixel_variance(evidence(pictures(5, 16), copies))[0].value == 0.0
    assert "all the same" in pixel_variance(evidence(copies, pictures(5, 16)))[0].missing


def test_one_image_has_no_variance(pictures, evidence):
    assert all("at least 2" in m.missing for m in pixel_variance(evidence(pictures(5, 16), pictures(1, 16))))
    with pytest.raises(ValueError, match="at least 2"):
        variance_and_error(pictures(1, 16))


def test_tone_of_known_pictures():
    half = np.zeros((1, 3, 8, 8), np.uint8)
    half[..., 4:] = 255
    known = image_tone(ImageSet(half))
    assert known["brightness"][0] == pytest.approx(0.5)
    assert known["contrast"][0] == pytest.approx(0.5)
    assert known["colourfulness"][0] == pytest.approx(0.0)
    red = np.zeros((1, 3, 8, 8), np.uint8)
    red[:, 0] = 255
    assert image_tone(ImageSet(red))["colourfulness"][0] == pytest.approx(0.3 * np.hypot(1.0, 0.5))
    assert image_tone(ImageSet(red[:, :1]))["colourfulness"][0] == 0.0


def test_tone_speaks_of_the_generated_images(pictures, evidence):
    dark = pictures(9, 16) // 2
    found = {m.name: m for m in tone(evidence(pictures(4, 16), dark))}
    assert found["brightness"].value == pytest.approx(image_tone(ImageSet(dark))["brightness"].mean())
    assert (found["contrast"].n_real, found["contrast"].n_fake) == (4, 9)
