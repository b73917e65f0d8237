from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.entropy import entropy, entropy_gap, knn_entropy, principal_plane
from imagelab.metrics.features import PRIMARY


def gaussian_entropy(d: int) -> float:
    return d / 2 * np.log(2 * np.pi * np.e)


@pytest.mark.parametrize("d", range(1, 11))
def test_gaussians_of_one_to_ten_dimensions_have_their_entropy(d, rng):
    assert knn_entropy(rng.standard_normal((2000, d))) == pytest.approx(gaussian_entropy(d), abs=0.25)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_every_k_gives_the_same_entropy_for_a_uniform_square(k, rng):
    assert knn_entropy(3.0 * rng.random((3000, 2)), k) == pytest.approx(2 * np.log(3.0), abs=0.08)


def test_halving_all_distances_costs_d_log_two(rng):
    x = rng.standard_normal((200, 10))
    assert knn_entropy(x / 2) == pytest.approx(knn_entropy(x) - 10 * np.log(2), abs=1e-9)
    gap = entropy_gap(x, x / 2, seed=0).value
    assert gap == pytest.approx(-10 * np.log(2), abs=1e-9)


def test_in_many_dimensions_it_is_too_high_which_is_why_the_plane_has_ten(rng):
    assert knn_entropy(rng.standard_normal((1000, 32))) > gaussian_entropy(32) + 1.5


def test_a_k_larger_than_the_number_of_copies_does_not_detect_them(rng):
    x = rng.standard_normal((300, 4))
    near = np.concatenate([x[:150], x[:150] + 1e-4 * rng.standard_normal((150, 4))])
    first, second = (knn_entropy(near, k) - knn_entropy(x, k) for k in (1, 2))
    assert first < -20 and -5 < second < 0


def test_exact_copies_are_minus_infinity(rng):
    assert knn_entropy(np.repeat(rng.standard_normal((30, 3)), 2, axis=0)) == -np.inf


@pytest.mark.parametrize("n", [100, 200])
def test_the_error_is_the_spread_over_repeats(n, rng):
    found = [entropy_gap(rng.standard_normal((n, 10)), 0.9 * rng.standard_normal((n, 10)), seed) for seed in range(80)]
    values, errors = np.array([(each.value, each.stderr) for each in found], float).T
    assert 0.75 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.4
    assert abs(values.mean() - 10 * np.log(0.9)) < 4 * values.std() / 80**0.5  # the same bias in both


def test_the_error_follows_the_seed_and_the_neighbour_counts(rng):
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 3))
    assert entropy_gap(x, y, 0).value == entropy_gap(x, y, 1).value != entropy_gap(x, y, 0, k=3).value
    assert entropy_gap(x, y, 0).stderr != entropy_gap(x, y, 1).stderr


def test_the_plane_holds_the_directions_in_which_the_reference_varies(rng):
    x = rng.standard_normal((400, 5)) * [9, 0.1, 5, 0.1, 0.1]
    plane = principal_plane(x, 2)
    assert plane.shape == (5, 2)
    assert abs(plane[0, 0]) > 0.99 and abs(plane[2, 1]) > 0.99
    assert principal_plane(x).shape == (5, 5)


def test_rows_compare_sets_of_one_size(pictures, evidence):
    found: list[Any] = entropy(evidence(pictures(70, 32, seed=1), pictures(50, 32, seed=2)))
    gap, twins = found
    assert (gap.name, twins.name) == (f"entropy/{PRIMARY}", f"entropy_twins/{PRIMARY}")
    assert (gap.n_real, gap.n_fake) == (50, 50) and "in 10 principal directions" in gap.estimator
    assert gap.stderr > 0 and twins.value == 0.0 and twins.stderr > 0


def test_pictures_that_become_more_similar_lose_entropy(pictures, evidence):
    real, fake = pictures(150, 32, seed=1), pictures(150, 32, seed=2).astype(float)
    drawn = np.rint(fake.mean(axis=0) + 0.6 * (fake - fake.mean(axis=0))).astype(np.uint8)
    near: Any = entropy(evidence(real, fake.astype(np.uint8)))[0]
    far: Any = entropy(evidence(real, drawn))[0]
    assert far.value < near.value - 4 * far.stderr


def test_exact_twins_are_counted_and_make_the_entropy_missing(pictures, evidence):
    real, some = pictures(40, 32, seed=1), pictures(36, 32, seed=2)
    fake = np.concatenate([some, some[:4]])
    gap, twins = entropy(evidence(real, fake))
    assert gap.value is None and "8 of 40 generated images have an exact twin" in gap.missing
    assert twins.value == pytest.approx(0.2)
    gap, twins = entropy(evidence(fake, real))
    assert gap.value is None and "8 of 40 reference images" in gap.missing and twins.value == 0.0


def test_too_few_images_are_refused(pictures, evidence):
    with pytest.raises(NotMeasurable, match="at least 20"):
        entropy(evidence(pictures(40, 32), pictures(19, 32)))


def test_large_sets_are_subsampled(pictures, evidence, monkeypatch):
    monkeypatch.setattr("imagelab.metrics.entropy.MAX_IMAGES", 30)
    found = entropy(evidence(pictures(40, 32, seed=1), pictures(50, 32, seed=2)))
    assert all((m.n_real, m.n_fake) == (30, 30) for m in found)
