from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagelab.metrics.rke import kinds, rke
from imagelab.metrics.vendi import vendi_score


def clusters(rng: np.random.Generator, modes: int, n: int, spread: float = 0.001) -> np.ndarray:
    """Return n points in so many tight, equally large groups with orthogonal centres."""
    return np.eye(32)[np.arange(n) % modes] + spread * rng.standard_normal((n, 32))


@pytest.mark.parametrize("modes", [2, 5, 12, 30])
def test_the_number_of_equal_modes_is_found(modes: int, rng):
    # centred, m orthogonal centres are the corners of a simplex, which has m - 1 directions
    found = kinds(clusters(rng, modes, 60 * modes))
    assert found == pytest.approx(modes - 1, rel=0.05)


def test_it_is_the_vendi_score_of_order_two_without_pairs_of_an_image_with_itself(rng):
    x = rng.standard_normal((400, 12)) * np.linspace(0.2, 2, 12)
    centred = x - x.mean(axis=0)
    n, whole = len(x), vendi_score(centred, order=2)
    assert 1 / kinds(x) == pytest.approx((n / whole - 1) / (n - 1))


def test_it_does_not_grow_with_the_number_of_images(rng):
    few, many = (np.mean([kinds(rng.standard_normal((n, 20))) for _ in range(20)]) for n in (100, 1000))
    assert few == pytest.approx(many, rel=0.03) and many == pytest.approx(20, rel=0.03)


def test_it_falls_when_modes_are_lost_and_not_when_the_set_moves(rng):
    x = rng.standard_normal((500, 16))
    assert kinds(x[:, :] * np.r_[np.ones(8), np.zeros(8)]) == pytest.approx(8, rel=0.1)
    assert kinds(x + 5.0) == pytest.approx(kinds(x), rel=1e-9)


def test_real_against_real_is_one_with_an_error_that_says_so(pictures, evidence: Any):
    (m,) = rke(evidence(pictures(200, 32, seed=1), pictures(200, 32, seed=2)))
    assert m.value is not None and m.stderr is not None and (m.df or 0) >= 9
    assert abs(m.value - 1.0) < 3 * m.stderr < 0.5


def test_copies_of_few_images_are_less_varied(pictures, evidence: Any):
    (m,) = rke(evidence(pictures(200, 32, seed=1), np.repeat(pictures(4, 32, seed=2), 50, axis=0)))
    assert m.value is not None and m.value < 0.8


def test_an_image_at_the_mean_has_no_direction():
    with pytest.raises(ValueError, match="no direction"):
        kinds(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
