from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.base import ImageSet
from imagelab.metrics.diversity import colour, image_colour, image_tone, pixel_variance, tone, variance_and_error


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


def test_tone_describes_the_generated_images(pictures, evidence):
    dark = pictures(9, 16) // 2
    found = {m.name: m for m in tone(evidence(pictures(4, 16), dark))}
    assert found["brightness"].value == pytest.approx(image_tone(ImageSet(dark))["brightness"].mean())
    assert (found["contrast"].n_real, found["contrast"].n_fake) == (4, 9)


def solid(*rgb: int) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, np.uint8)[None, :, None, None], (1, 3, 8, 8)).copy()


def test_colours_of_known_pictures():
    chroma, vector, clipped = image_colour(
        ImageSet(np.concatenate([solid(255, 0, 0), solid(0, 255, 0), solid(90, 90, 90)]))
    )
    np.testing.assert_allclose(chroma, [1, 1, 0])
    np.testing.assert_allclose(np.degrees(np.arctan2(vector[:2, 1], vector[:2, 0])), [0, 120], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(clipped, [1, 1, 0])


def test_grey_pictures_of_one_channel_have_no_colour_and_no_hue(pictures, evidence):
    found = {m.name: m for m in colour(evidence(pictures(3, 16, channels=1), pictures(4, 16, channels=1)))}
    assert found["chroma"].value == 0.0
    assert found["hue_spread"].value is None and "grey" in found["hue_spread"].missing


def test_one_hue_has_no_spread_and_opposite_hues_all(evidence):
    red, cyan = solid(200, 50, 50), solid(50, 200, 200)

    def spread(*images):
        fake = np.concatenate(images)
        return next(m for m in colour(evidence(fake, fake)) if m.name == "hue_spread")

    assert spread(red, red, red // 2).value == pytest.approx(0.0, abs=1e-12)
    assert spread(red, cyan).value == pytest.approx(1.0, abs=1e-12)
    assert spread(red, red, red, cyan).value == pytest.approx(0.5, abs=1e-12)


def test_errors_of_colours_are_their_spread_over_repeats(pictures, evidence):
    pool, rng = pictures(3000, 8, seed=4), np.random.default_rng(0)
    pool[:, 0] = np.minimum(pool[:, 0], 215) + 40  # a common tint: where all hues cancel, the error is conservative
    found = [colour(evidence(some, some)) for some in (pool[rng.permutation(3000)[:60]] for _ in range(120))]
    for row in range(3):
        values, errors = np.array([[each[row].value, each[row].stderr] for each in found]).T
        assert 0.75 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.35, found[0][row].name


def test_less_saturated_pictures_lose_chroma_and_stretched_ones_clip(pictures, evidence):
    real = pictures(30, 16)
    washed = (real * 0.5 + real.mean(axis=1, keepdims=True) * 0.5).astype(np.uint8)
    stretched = np.clip((real.astype(float) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    chroma, clipped = ({m.name: m.value or 0.0 for m in colour(evidence(real, each))} for each in (washed, stretched))
    before = {m.name: m.value or 0.0 for m in colour(evidence(real, real))}
    assert chroma["chroma"] == pytest.approx(before["chroma"] / 2, rel=0.05)
    assert clipped["clipped"] > before["clipped"] + 0.1
