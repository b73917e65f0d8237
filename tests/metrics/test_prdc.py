from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.jackknife import leave_out, spread
from imagelab.metrics.prdc import NAMES, _without_groups, coverage_of_equals, prdc, prdc_of


def take(x: np.ndarray, y: np.ndarray, k: int = 5) -> tuple[float, ...]:
    return prdc_of(x, y, k)[0]


def textbook(x: np.ndarray, y: np.ndarray, k: int = 5) -> list[float]:
    """The definitions, read off the whole matrices of distances."""
    across = cdist(x, y)
    ball_x, ball_y = (np.sort(cdist(each, each), axis=1)[:, k] for each in (x, y))
    inside, held = across < ball_x[:, None], across < ball_y
    return [inside.any(0).mean(), held.any(1).mean(), inside.sum(0).mean() / k, (across.min(1) < ball_x).mean()]


def test_a_set_against_itself_is_one_in_all_four(rng):
    x = rng.standard_normal((60, 8))
    assert take(x, x) == (1.0, 1.0, 1.0, 1.0)


def test_far_away_sets_are_zero_in_all_four(rng):
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
def test_the_errors_are_those_of_leaving_groups_out_one_by_one(n, m, k, rng):
    x, y = rng.standard_normal((n, 3)), 0.3 + rng.standard_normal((m, 3))
    values, errors = prdc_of(x, y, k, seed=4)
    assert values == pytest.approx(textbook(x, y, k), rel=1e-12)
    left = [textbook(x[real], y[fake], k) for real, fake in leave_out(n, m, seed=4)]
    assert errors == pytest.approx(spread(np.array(left)), rel=1e-9)
    assert prdc_of(x, y, k, seed=5)[1] != errors


def test_neighbours_that_are_all_of_one_group_are_looked_for_further_away(rng):
    x, labels = rng.standard_normal((120, 2)), np.repeat([0, 1, 2], 40)
    x[:40] = 0.01 * x[:40] + 50  # group 0 keeps to itself
    found = _without_groups(x, x, labels, 5, True, "cpu")
    for group in range(3):
        for row in (0, 20, 70, 119):
            others = np.flatnonzero((labels != group) & (np.arange(120) != row))
            assert found[1 + group, row] == pytest.approx(np.sort(cdist(x[[row]], x[others])[0])[4])


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
    found: list[Any] = prdc(evidence(pictures(60, 32, seed=1), pictures(50, 32, seed=2)))
    assert [m.name for m in found] == [f"prdc/{name}" for name in NAMES]
    assert all(0 < (m.stderr or 0.01) < 0.3 and m.feature_space.startswith("randconv-s0@") for m in found)
    assert all(m.stderr is None for m in prdc(evidence(pictures(12, 32), pictures(6, 32))))
    same = prdc(evidence(pictures(30, 32), pictures(30, 32)))
    assert [m.value for m in same] == [1.0] * 4 and same[0].stderr is None  # nobody knows the error of 30 out of 30
