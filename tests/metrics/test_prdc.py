from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.features import PRIMARY
from imagelab.metrics.prdc import NAMES, coverage_of_equals, prdc, prdc_errors, prdc_of


def take(x: np.ndarray, y: np.ndarray, k: int = 5) -> tuple[float, ...]:
    return prdc_of(x, y, k)


def textbook(x: np.ndarray, y: np.ndarray, k: int = 5) -> list[float]:
    """The definitions, computed from the full matrices of distances."""
    across = cdist(x, y)
    ball_x, ball_y = (np.sort(cdist(each, each), axis=1)[:, k] for each in (x, y))
    inside, held = across < ball_x[:, None], across < ball_y
    return [inside.any(0).mean(), held.any(1).mean(), inside.sum(0).mean() / k, (across.min(1) < ball_x).mean()]


def test_a_set_against_itself_is_one_in_all_four(rng):
    x = rng.standard_normal((60, 8))
    assert take(x, x) == (1.0, 1.0, 1.0, 1.0)


def test_distant_sets_are_zero_in_all_four(rng):
    x = rng.standard_normal((30, 3))
    assert take(x, x + 100.0) == (0.0, 0.0, 0.0, 0.0)


def test_one_mode_of_two_keeps_precision_and_loses_half_of_recall_and_coverage(rng):
    left, right = rng.standard_normal((200, 2)), rng.standard_normal((200, 2)) + 50.0
    precision, recall, density, coverage = take(np.concatenate([left, right]), rng.standard_normal((400, 2)))
    assert precision > 0.9 and density > 0.9
    assert recall == pytest.approx(0.5, abs=0.05) and coverage == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_balls_reach_to_the_kth_neighbour(k, rng):
    x, y = rng.standard_normal((40, 3)), 0.5 + rng.standard_normal((30, 3))
    reach = NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]
    inside = cdist(x, y) < reach[:, None]
    precision, _, density, coverage = take(x, y, k)
    assert precision == pytest.approx(inside.any(axis=0).mean())
    assert density == pytest.approx(inside.sum() / k / 30)
    assert coverage == pytest.approx(inside.any(axis=1).mean())


@pytest.mark.parametrize(("n", "m", "k"), [(40, 30, 5), (25, 60, 3), (300, 200, 5)])
def test_the_values_are_the_definitions_on_the_whole_matrices(n, m, k, rng):
    x, y = rng.standard_normal((n, 3)), 0.3 + rng.standard_normal((m, 3))
    assert prdc_of(x, y, k) == pytest.approx(textbook(x, y, k), rel=1e-12)


def test_the_errors_are_the_spread_over_repeated_draws(rng):
    def draw() -> tuple[np.ndarray, np.ndarray]:
        return rng.standard_normal((240, 6)), 0.8 * rng.standard_normal((200, 6))

    spread = np.std([textbook(*draw()) for _ in range(300)], axis=0)
    errors = [prdc_errors(*draw(), seed=seed) for seed in range(15)]
    stated = np.sqrt(np.mean(np.square(np.array(errors)), axis=0))
    assert ((stated / spread > 0.65) & (stated / spread < 1.35)).all(), stated / spread


def test_the_errors_depend_on_seed_and_k_and_need_enough_images(rng):
    x, y = rng.standard_normal((200, 3)), rng.standard_normal((220, 3))
    assert prdc_errors(x, y, seed=1) == prdc_errors(x, y, seed=1) != prdc_errors(x, y, seed=2)
    assert prdc_errors(x, y, seed=1, k=2) != prdc_errors(x, y, seed=1)
    assert prdc_errors(x[1:], y, seed=1) is None and prdc_errors(x[1:], y, seed=1, k=2) is not None


def test_recall_is_precision_with_the_roles_exchanged(rng):
    x, y = rng.standard_normal((40, 3)), 0.5 + rng.standard_normal((30, 3))
    assert take(x, y)[1] == take(y, x)[0]


def test_coverage_of_equals_is_what_theory_expects(rng):
    found = [take(rng.standard_normal((50, 4)), rng.standard_normal((80, 4)))[3] for _ in range(200)]
    assert np.mean(found) == pytest.approx(coverage_of_equals(50, 80), abs=0.01)


def test_no_more_images_than_neighbours_is_refused(rng, pictures, evidence):
    with pytest.raises(ValueError, match="more than k = 5"):
        take(rng.standard_normal((5, 2)), rng.standard_normal((9, 2)))
    with pytest.raises(NotMeasurable, match="more than 5"):
        prdc(evidence(pictures(12, 32), pictures(5, 32)))


def test_rows_carry_errors_and_small_sets_none(pictures, evidence):
    found: list[Any] = prdc(evidence(pictures(200, 32, seed=1), pictures(210, 32, seed=2)))
    assert [m.name for m in found] == [f"prdc/{name}" for name in NAMES]
    assert all(0 < m.stderr < 0.3 and m.feature_space.startswith(f"{PRIMARY}@") for m in found)
    assert all(m.stderr is None for m in prdc(evidence(pictures(99, 32), pictures(110, 32))))
    lost = prdc(evidence(pictures(100, 32), np.zeros((100, 3, 32, 32), np.uint8)))
    assert [(m.value, m.stderr) for m in lost] == [(0.0, None)] * 4  # the error of 0 of 100 is unknown
