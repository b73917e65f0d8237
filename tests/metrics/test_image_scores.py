"""Scores of single images, by which a curation may choose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imagelab import Faces
from imagelab.curation import TopFraction
from imagelab.faces.freckles import Style
from imagelab.metrics import Evidence, ImageSet, NotMeasurable, measure_panel
from imagelab.metrics.features import PRIMARY, feature_pair
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckles import counts
from imagelab.metrics.image_scores import IMAGE_SCORES, detail, freckles, realism

Pictures = Callable[..., np.ndarray]


def of(images: np.ndarray, real: np.ndarray, style: Style = "countable") -> Evidence:
    return Evidence(ImageSet(real), ImageSet(images), freckle_style=style)


def test_every_score_says_what_it_measures_and_what_it_rewards_wrongly():
    assert set(IMAGE_SCORES) == set(TopFraction.model_fields["score"].annotation.__args__)  # pyright: ignore
    for name, score in IMAGE_SCORES.items():
        assert score.what and not score.what.endswith(".") and score.blind.endswith("."), name


@pytest.mark.parametrize("name", ["realism", "detail"])
def test_a_score_gives_one_finite_number_an_image_whatever_their_order(name: str, pictures: Pictures):
    images, real = pictures(9, 32, seed=1), pictures(14, 32, seed=2)
    scores = IMAGE_SCORES[name].of(of(images, real))
    assert scores.shape == (9,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(IMAGE_SCORES[name].of(of(images[order], real)), scores[order], rtol=1e-5, atol=1e-8)


def test_realism_is_zero_for_a_copy_and_minus_one_at_the_distance_of_real_images(pictures: Pictures):
    real = pictures(20, 32, seed=1)
    np.testing.assert_allclose(realism(of(real[:3], real)), 0.0, atol=1e-3)
    made = pictures(5, 32, seed=2)
    reference, features = feature_pair(Evidence(ImageSet(real), ImageSet(made)), PRIMARY)
    gaps = np.linalg.norm(reference[:, None] - reference[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = np.linalg.norm(features[:, None] - reference[None], axis=2).min(axis=1)
    np.testing.assert_allclose(realism(of(made, real)), -nearest / np.median(gaps.min(axis=1)), rtol=1e-3)


def test_realism_prefers_images_like_the_real_ones(pictures: Pictures):
    real, like = pictures(40, 32, seed=1), pictures(12, 32, seed=2)
    noise = np.random.default_rng(0).integers(0, 256, like.shape, np.uint8)
    assert realism(of(like, real)).min() > realism(of(noise, real)).max()


def test_realism_of_too_few_real_images_is_not_measurable(pictures: Pictures):
    with pytest.raises(NotMeasurable, match="at least 10 reference images"):
        realism(of(pictures(4, 32), pictures(9, 32, seed=2)))


def test_detail_is_the_share_of_power_from_a_quarter_of_the_side_on():
    x = np.arange(32)
    waves = [
        128 + 60 * np.cos(2 * np.pi * cycles * x / 32) for cycles in (1, 4, 6, 9, 15)
    ]  # a window spreads each over its neighbours
    both = 128 + 30 * np.cos(2 * np.pi * 2 * x / 32) + 40 * np.cos(2 * np.pi * 12 * x / 32)
    rows = np.rint([*waves, both]).astype(np.uint8)
    images = np.broadcast_to(rows[:, None, None, :], (6, 3, 32, 32))
    scores = detail(of(images, images))
    np.testing.assert_allclose(scores, [0, 0, 0, 1, 1, 16 / 25], atol=0.01)
    flat = np.full((2, 1, 16, 16), 200, np.uint8)
    np.testing.assert_allclose(detail(of(flat, flat)), 0.0, atol=1e-12)


def test_detail_does_not_depend_on_contrast_or_on_the_real_images(pictures: Pictures):
    images = np.random.default_rng(0).integers(64, 192, (5, 3, 32, 32), np.uint8)
    louder = ((images.astype(float) - 128) * 1.9 + 128).round().astype(np.uint8)
    np.testing.assert_allclose(detail(of(louder, images)), detail(of(images, pictures(4, 32))), rtol=0.02)


def test_freckles_are_the_counts_of_the_counter():
    sample = Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 12, 7)
    assert sample.twins is not None
    spotted, plain = (freckles(of(images, images)) for images in (sample.images, sample.twins))
    assert spotted.dtype == np.float64 and (spotted >= 0).all() and spotted.sum() > 4 * plain.sum() + 10
    (count, *_) = measure_panel(Evidence(ImageSet(sample.twins), ImageSet(sample.images)), ["freckles"])
    assert count.name == "freckles/count" and count.value == pytest.approx(spotted.mean())


def test_fine_freckles_are_counted_by_their_own_counter():
    images = Faces(size=128, freckle_style="fine", freckle_rate=1.0, cache=False).load("heldout", 6, 7).images
    fine, countable = (freckles(of(images, images, style)) for style in ("fine", "countable"))
    np.testing.assert_array_equal(fine, counts(images, shipped_calibration(128, "fine")))
    assert fine.sum() > 1.5 * countable.sum() > 0
    with pytest.raises(ValueError, match="calibrated for 128 px RGB faces with fine freckles; got 3 channels of 64 x"):
        freckles(of(images[:, :, :64, :64], images, "fine"))


def test_freckles_are_counted_on_faces_of_a_calibrated_size_only(pictures: Pictures):
    for images in (pictures(2, 40), pictures(2, 64, channels=1)):
        with pytest.raises(ValueError, match="calibrated for 64 or 128 px RGB faces"):
            freckles(of(images, images))
