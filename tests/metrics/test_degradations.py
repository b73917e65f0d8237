"""The degradations that the freckle counter is calibrated on: each has the stated effect and is reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.degradations import (
    Ghosts,
    blurred,
    compressed,
    noised,
    posterised,
    shifted,
    shrunk,
    spoiled,
    tinted,
    toned,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def pictures(rng) -> np.ndarray:
    """Twelve smooth pictures."""
    return blurred(rng.integers(0, 256, (12, 3, 24, 24)).astype(np.uint8), 2.0)


def test_sigma_0_changes_nothing_and_more_blur_leaves_less_detail(pictures):
    np.testing.assert_array_equal(blurred(pictures, 0.0), pictures)
    detail = [np.diff(blurred(pictures, sigma).astype(float)).std() for sigma in (0.0, 1.0, 2.0)]
    assert detail[0] > detail[1] > detail[2]


@pytest.mark.parametrize("kind", ["white", "grey", "clumped"])
def test_noise_has_the_given_standard_deviation(rng, kind):
    flat = np.full((6, 3, 64, 64), 128, np.uint8)
    difference = noised(flat, 0.02, rng, kind).astype(float) - 128
    assert difference.std() == pytest.approx(0.02 * 255, rel=0.03)
    red, green = difference[:, 0].ravel(), difference[:, 1].ravel()
    beside = difference[..., 1:].ravel(), difference[..., :-1].ravel()
    assert (np.corrcoef(red, green)[0, 1] > 0.9) == (kind == "grey")
    assert (np.corrcoef(*beside)[0, 1] > 0.3) == (kind == "clumped")


def test_compression_loses_more_at_lower_quality(pictures):
    error = [np.abs(compressed(pictures, quality).astype(int) - pictures).mean() for quality in (95, 50, 10)]
    assert error[0] < error[1] < error[2]


def test_all_axes_reconstruct_a_training_face_and_fewer_axes_are_less_accurate(pictures):
    ghosts = Ghosts.of(pictures)
    error = [np.abs(ghosts.through(pictures, kept).astype(int) - pictures).mean() for kept in (11, 5, 1)]
    assert error[0] < 0.6  # eleven axes hold twelve pictures; publishing rounds
    assert error[0] < error[1] < error[2]


def test_drawn_faces_have_the_mean_and_the_variance_of_the_model(rng):
    model = Ghosts(
        np.full(48, 120, np.float32), np.eye(48, dtype=np.float32)[:2], np.array([20, 10], np.float32), (3, 4, 4)
    )
    drawn = model.drawn(4000, 2, rng).reshape(4000, -1).astype(float)
    np.testing.assert_allclose(drawn[:, :2].std(axis=0), [20, 10], rtol=0.05)
    assert (drawn[:, 2:] == 120).all()
    assert (model.drawn(50, 1, rng).reshape(50, -1)[:, 1] == 120).all()


def test_spoiling_depends_on_its_generator_alone(pictures):
    first, again = (spoiled(pictures, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, spoiled(pictures, np.random.default_rng(2)))


def test_contrast_and_saturation_change_the_spread_of_luma_and_of_colour_and_keep_the_mean(pictures):
    grey = np.array([0.299, 0.587, 0.114])
    for contrast, saturation in ((0.5, 1.0), (1.0, 0.5), (1.1, 0.8), (1.0, 0.0)):
        made = toned(pictures, contrast, saturation).astype(float)
        luma, before = (np.tensordot(grey, each.astype(float), axes=([0], [1])) for each in (made, pictures))
        assert luma.mean() == pytest.approx(before.mean(), abs=0.3)
        assert luma.std(axis=(1, 2)).mean() == pytest.approx(contrast * before.std(axis=(1, 2)).mean(), rel=0.03)
        colour, plain = made - luma[:, None], pictures - before[:, None]
        assert colour.std() == pytest.approx(contrast * saturation * plain.std(), abs=0.4)


def test_a_tint_adds_levels_to_each_colour_and_stops_at_the_ends():
    made = tinted(np.full((1, 3, 2, 2), 250, np.uint8), (10.0, 0.0, -8.0))
    assert made[0, :, 0, 0].tolist() == [255, 250, 242]


def test_shrinking_keeps_the_mean_image_and_a_share_of_the_distance_from_it(pictures):
    made = shrunk(pictures, 0.7).astype(float)
    mean = pictures.mean(axis=0)
    np.testing.assert_allclose(made.mean(axis=0), mean, atol=0.6)
    np.testing.assert_allclose(made - mean, 0.7 * (pictures - mean), atol=0.6)


def test_a_shift_moves_every_column_to_the_right(pictures):
    made = shifted(pictures, 2)
    np.testing.assert_array_equal(made[..., 2:], pictures[..., :-2])
    np.testing.assert_array_equal(made[..., 0], pictures[..., 0])


def test_posterised_images_have_so_many_levels_at_most_half_a_step_away(rng):
    noise = rng.integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    made = posterised(noise, 5)
    assert sorted(np.unique(made)) == [0, 64, 128, 191, 255]
    assert np.abs(made.astype(int) - noise).max() <= 32
