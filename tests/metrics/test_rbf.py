from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from imagelab.metrics.features import PRIMARY, feature_pair, restandardised
from imagelab.metrics.rbf import COLUMNS, kernel_rbf, median_distance, rbf_distance


def textbook(x: np.ndarray, y: np.ndarray, sigma: float) -> float:
    """Unbiased MMD^2 from the full matrices."""
    k = [np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2)) for a, b in ((x, x), (y, y), (x, y))]
    n, m = len(x), len(y)
    return (k[0].sum() - n) / (n * (n - 1)) + (k[1].sum() - m) / (m * (m - 1)) - 2 * k[2].mean()


@pytest.mark.parametrize(("block", "columns"), [(7, 16_384), (1024, 16_384), (7, 5)])
def test_the_value_is_that_of_the_definition(block: int, columns: int, rng, monkeypatch):
    monkeypatch.setattr("imagelab.metrics.rbf.BLOCK", block)
    monkeypatch.setattr("imagelab.metrics.rbf.COLUMNS", columns)
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((33, 5)) + 0.3
    assert rbf_distance(x, y, sigma=10.0)[0] == pytest.approx(textbook(x, y, 10.0), rel=1e-6, abs=1e-12)
    assert rbf_distance(x, y)[0] == pytest.approx(textbook(x, y, float(np.median(pdist(x)))), rel=1e-9)


def test_with_a_known_ruler_the_error_is_the_delete_one_jackknife(rng):
    x, y = rng.standard_normal((24, 4)), rng.standard_normal((20, 4)) + 0.4
    left = [np.array([textbook(np.delete(x, i, 0), y, 2.0) for i in range(24)])]
    left.append(np.array([textbook(x, np.delete(y, i, 0), 2.0) for i in range(20)]))
    variance = sum((len(each) - 1) / len(each) * np.sum((each - each.mean()) ** 2) for each in left)
    assert rbf_distance(x, y, sigma=2.0)[1] == pytest.approx(np.sqrt(variance))


def test_the_width_of_a_known_pair_of_gaussians_gives_the_known_distance(rng):
    # E k(x, y) for N(a, I) and N(b, I): (s^2 / (s^2 + 2))^(d/2) exp(-|a - b|^2 / (2 (s^2 + 2)))
    shift, d, s = 1.0, 6, 3.0
    base = (s**2 / (s**2 + 2)) ** (d / 2)
    truth = 2 * base * (1 - np.exp(-(shift**2) / (2 * (s**2 + 2))))
    values = []
    for _ in range(30):
        x, y = rng.standard_normal((2, 200, d))
        y[:, 0] += shift
        values.append(rbf_distance(x, y, sigma=s))
    found, errors = np.array(values).T
    assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(30)
    assert 0.7 < np.sqrt(np.mean(errors**2)) / found.std(ddof=1) < 1.5


def test_the_units_of_the_reference_are_part_of_the_error(rng):
    values, errors = [], []
    for _ in range(60):
        x, y = rng.standard_normal((2, 120, 6))
        x, y = restandardised(x, y * 1.5)
        found = rbf_distance(x, y)
        values.append(found[0])
        errors.append([found[1], rbf_distance(x, y, sigma=median_distance(x))[1]])
    true, (own, fixed) = np.std(values, ddof=1), np.sqrt(np.mean(np.square(errors), axis=0))
    assert 0.8 < own / true < 1.3 and fixed / true < own / true


def test_blocks_of_pairs_do_not_grow_with_the_number_of_images(rng, monkeypatch):
    assert COLUMNS == 16_384
    monkeypatch.setattr("imagelab.metrics.rbf.BLOCK", 64)
    monkeypatch.setattr("imagelab.metrics.rbf.COLUMNS", 128)
    peaks = []
    for count in (256, 2048):
        x, y = rng.standard_normal((count, 2)), rng.standard_normal((count, 2))
        tracemalloc.start()
        rbf_distance(x, y, sigma=1.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 30 * 8 * 2048 < 2048 * 64 * 8  # some columns [N], no block of pairs


def test_equal_distributions_are_at_zero_and_far_images_count_once(rng):
    x, y = rng.standard_normal((2, 300, 8))
    value, error = rbf_distance(x, y)
    assert abs(value) < 3 * (error or 0.0)
    y[:3] += 1e3
    moved = rbf_distance(x, y)[0]
    y[:3] += 1e6
    assert rbf_distance(x, y)[0] == pytest.approx(moved, rel=1e-4)


def test_the_row_is_a_thousand_times_the_distance_of_the_features(pictures, evidence: Any):
    given = evidence(pictures(40, 32, seed=1), pictures(36, 32, seed=2, exponent=0.9))
    (m,) = kernel_rbf(given)
    value, error = rbf_distance(*feature_pair(given, PRIMARY))
    assert m.value == pytest.approx(1000 * value) and m.stderr == pytest.approx(1000 * (error or 0.0))
    assert (m.value or 0.0) > 5 * (m.stderr or 1.0)


def test_a_reference_without_a_spread_is_refused():
    with pytest.raises(ValueError, match="width above 0"):
        rbf_distance(np.zeros((5, 2)), np.ones((5, 2)))
