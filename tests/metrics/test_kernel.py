from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from imagelab.metrics import kernel as module
from imagelab.metrics.features import DISTANCE_SPACES
from imagelab.metrics.kernel import kernel, kernel_distance, kid


def test_it_equals_the_textbook_statistic_with_scikit_learns_kernel(rng):
    x, y = rng.standard_normal((31, 7)), 0.4 + rng.standard_normal((23, 7))
    kxx, kyy, kxy = (polynomial_kernel(a, b, degree=3, gamma=1 / 7, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    within = (kxx.sum() - np.trace(kxx)) / (31 * 30) + (kyy.sum() - np.trace(kyy)) / (23 * 22)
    assert kernel_distance(x, y)[0] == pytest.approx(within - 2 * kxy.mean(), rel=1e-12)


def test_the_error_is_the_delete_one_jackknife(rng):
    x, y = rng.standard_normal((12, 3)), rng.standard_normal((9, 3))
    left = [kernel_distance(np.delete(x, i, 0), y)[0] for i in range(12)]
    right = [kernel_distance(x, np.delete(y, j, 0))[0] for j in range(9)]
    variance = 11 * np.var(left) + 8 * np.var(right)
    assert kernel_distance(x, y)[1] == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_blocks_do_not_change_the_value(rng, monkeypatch):
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((41, 4))
    whole = kernel_distance(x, y)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-10)


def test_it_is_unbiased_at_small_n(rng):
    values = [kernel_distance(rng.standard_normal((8, 5)), rng.standard_normal((6, 5)))[0] for _ in range(4000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(4000)
    assert min(values) < 0


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.9, 1.8), (0.5, 0.8, 1.25)])
def test_the_error_is_accurate_for_different_sets_and_conservative_at_the_null(shift, low, high, rng):
    pairs = [(rng.standard_normal((80, 6)), shift + rng.standard_normal((60, 6))) for _ in range(200)]
    found = [kernel_distance(x, y) for x, y in pairs]
    stated = np.mean([error for _, error in found if error is not None])
    assert low < stated / np.std([value for value, _ in found]) < high


def test_two_images_a_set_have_no_error_and_one_has_no_value(rng):
    assert kernel_distance(rng.standard_normal((2, 3)), rng.standard_normal((5, 3)))[1] is None
    with pytest.raises(ValueError, match="N, M >= 2"):
        kernel_distance(rng.standard_normal((1, 3)), rng.standard_normal((5, 3)))


def test_rows_name_their_space_and_detect_brighter_pictures(pictures, evidence):
    real, fake = pictures(60, 32, seed=1), pictures(50, 32, seed=2)
    near: list[Any]
    far: list[Any]
    near, far = kernel(evidence(real, fake)), kernel(evidence(real, np.minimum(fake, 225) + 30))
    assert [m.name for m in near] == [f"kernel/{space}" for space in DISTANCE_SPACES]
    for low, high in zip(near, far, strict=True):
        assert abs(low.value) < 4 * low.stderr
        assert high.value > abs(low.value) + 1.5 * high.stderr  # with few images the unit itself is uncertain
        assert (low.n_real, low.n_fake, low.better) == (60, 50, "lower")


def test_kid_is_missing_without_the_inception_weights(pictures, evidence):
    (found,) = kid(evidence(pictures(12, 32), pictures(12, 32)))
    assert found.name == "kid" and found.value is None and "6726825d.pth" in found.missing


def test_three_images_a_set_are_the_fewest_with_an_error(rng):
    real, fake = rng.standard_normal((2, 3, 4))
    value, error = kernel_distance(real, fake)
    left = [[kernel_distance(np.delete(real, k, 0), fake)[0] for k in range(3)]]
    left += [[kernel_distance(real, np.delete(fake, k, 0))[0] for k in range(3)]]
    assert error == pytest.approx(np.sqrt(sum(2 / 3 * np.sum((np.array(v) - np.mean(v)) ** 2) for v in left)))
    assert np.isfinite(value)


@pytest.mark.parametrize("wrong", [(4, 3, 1), (12,)])
def test_features_that_are_no_rows_are_refused_whichever_set_has_them(wrong, rng):
    rows, odd = rng.standard_normal((4, 3)), rng.standard_normal(wrong)
    for pair in ((rows, odd), (odd, rows)):
        with pytest.raises(ValueError, match=r"kernel: expected \[N,D\]"):
            kernel_distance(*pair)
