"""The degradations that the freckle counter is calibrated on: each has the stated effect and is reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.degradations import Ghosts, blurred, compressed, noised, spoiled


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
