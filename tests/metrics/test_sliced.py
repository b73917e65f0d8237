from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from imagelab.metrics import distances
from imagelab.metrics import sliced as module
from imagelab.metrics.features import PRIMARY
from imagelab.metrics.jackknife import leave_out
from imagelab.metrics.sliced import mind, sliced, sliced_w2, sliced_w2_and_error, wasserstein_1d


def test_a_set_has_no_distance_to_itself_in_any_order(rng):
    x = rng.standard_normal((40, 5))
    assert sliced_w2(x, x[rng.permutation(40)], seed=0) == pytest.approx(0.0, abs=1e-28)


def test_a_shift_by_d_is_its_squared_length_over_the_dimensions(rng):
    x, shift = rng.standard_normal((60, 4)), np.array([3.0, 0.0, 4.0, 0.0])
    # along u it is exactly (u.d)^2, whose mean over lines is |d|^2 / D and whose sd |d|^2 sqrt(2 (D-1)/(D+2)) / D
    error = 25 / 4 * np.sqrt(2 * 3 / 6) / np.sqrt(2000)
    assert sliced_w2(x, x + shift, seed=1, directions=2000) == pytest.approx(25 / 4, abs=4 * error)
    whole = x @ np.ones((4, 1))
    assert sliced_w2(whole, whole + 3.0, seed=1, directions=1) == pytest.approx(9.0, rel=1e-12)


def test_scaling_a_cloud_costs_its_mean_square(rng):
    x = rng.standard_normal((50, 3))
    lines = np.array([sliced_w2(x, 1.5 * x, seed=s, directions=400) for s in range(5)])
    assert lines.mean() == pytest.approx(0.25 * np.mean(x**2), rel=0.05)  # (1.5 - 1)^2 mean (u.x)^2


def test_units_enter_squared(rng):
    x, y = rng.standard_normal((30, 4)), 1 + rng.standard_normal((20, 4))
    assert sliced_w2(3 * x, 3 * y, seed=0) == pytest.approx(9 * sliced_w2(x, y, seed=0), rel=1e-10)


def test_the_distance_of_gaussians_of_different_width_follows_the_formula(rng):
    x, y = rng.standard_normal((4000, 1)), 2 * rng.standard_normal((4000, 1)) + 1
    assert sliced_w2(x, y, seed=0, directions=1) == pytest.approx(1.0 + 1.0, rel=0.1)  # (mu gap)^2 + (sd gap)^2


@pytest.mark.parametrize(("n", "m"), [(7, 7), (6, 9), (10, 3), (1, 5)])
def test_sets_of_any_size_are_coupled_by_their_quantiles(n, m, rng):
    x, y = np.sort(rng.standard_normal((2, n))), np.sort(rng.standard_normal((2, m)))
    fine = np.repeat(x, m, axis=1), np.repeat(y, n, axis=1)  # both on a common grid of n m points
    np.testing.assert_allclose(wasserstein_1d(x, y), np.mean((fine[0] - fine[1]) ** 2, axis=1), rtol=1e-12)
    first_power = wasserstein_distance(x[0], y[0])  # scipy has W1, a lower bound by Jensen's inequality
    assert wasserstein_1d(x, y)[0] >= first_power**2 - 1e-12


def test_value_and_error_agree_with_the_plain_function_and_with_leaving_out_by_hand(rng):
    x, y = rng.standard_normal((23, 3)), 0.5 + rng.standard_normal((31, 3))
    found = sliced_w2_and_error(x, y, seed=3, directions=20)
    assert found.value == pytest.approx(sliced_w2(x, y, seed=3, directions=20), rel=1e-12)
    left = [sliced_w2(x[r], y[f], seed=3, directions=20) for r, f in leave_out(23, 31, 3)]
    assert found.corrected == pytest.approx(20 * found.value - 19 * np.mean(left), rel=1e-9)


def test_blocks_of_lines_change_nothing(rng, monkeypatch):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((25, 3))
    whole = sliced_w2_and_error(x, y, 0, 50)
    monkeypatch.setattr(module, "BLOCK", 7)
    again = sliced_w2_and_error(x, y, 0, 50)
    assert (again.value, again.corrected) == pytest.approx((whole.value, whole.corrected), rel=1e-10)


def test_the_lines_depend_on_the_seed_and_more_lines_add_others(rng):
    x, y = rng.standard_normal((20, 6)), 0.5 + rng.standard_normal((20, 6))
    assert sliced_w2(x, y, 0) == sliced_w2(x, y, 0)
    assert len({sliced_w2(x, y, 0), sliced_w2(x, y, 1), sliced_w2(x, y, 0, directions=64)}) == 3


def test_the_corrected_value_has_lost_most_of_the_bias(rng):
    found = [sliced_w2_and_error(rng.standard_normal((80, 5)), rng.standard_normal((80, 5)), s, 32) for s in range(80)]
    plain, corrected = (np.mean([getattr(f, name) for f in found]) for name in ("value", "corrected"))
    assert plain > 0.03 and abs(corrected) < 0.3 * plain


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.9, 1.9), (0.5, 0.75, 1.35)])
def test_the_error_is_the_spread_over_repeats_and_conservative_at_the_null(shift, low, high, rng):
    def draw(seed):
        return sliced_w2_and_error(rng.standard_normal((120, 8)), shift + rng.standard_normal((90, 8)), seed, 64)

    found = np.array([(f.corrected, f.stderr) for f in map(draw, range(120))], float)
    assert low < np.sqrt(np.mean(found[:, 1] ** 2)) / found[:, 0].std(ddof=1) < high


def test_few_images_have_no_error_and_no_images_no_value(rng):
    found = sliced_w2_and_error(rng.standard_normal((2, 3)), rng.standard_normal((9, 3)), 0)
    assert found.value > 0 and found.stderr is None and found.corrected is None
    with pytest.raises(ValueError, match="N, M >= 1"):
        sliced_w2(np.zeros((0, 3)), np.zeros((2, 3)), 0)
    with pytest.raises(ValueError, match="at least 1 line"):
        sliced_w2(np.zeros((2, 3)), np.zeros((2, 3)), 0, directions=0)


def test_it_detects_clusters_that_a_gaussian_does_not(rng):
    smooth = rng.standard_normal((2000, 1))
    lumps = np.sign(rng.standard_normal((2000, 1)))  # the same mean and variance, two points
    far, near = (sliced_w2(smooth, each, 0, 1) for each in (lumps, rng.standard_normal((2000, 1))))
    assert far == pytest.approx(2 - 2 * np.sqrt(2 / np.pi), abs=0.05)  # E (|x| - 1)^2
    assert far > 20 * near


def test_rows_name_their_space_and_detect_brighter_pictures(pictures, evidence):
    real, fake = pictures(60, 32, seed=1), pictures(50, 32, seed=2)
    near: list[Any] = sliced(evidence(real, fake))
    far: list[Any] = sliced(evidence(real, np.minimum(fake, 225) + 30))
    assert [m.name for m in near] == [f"sliced_w2/{PRIMARY}", f"sliced_w2_corrected/{PRIMARY}"]
    assert far[1].value > abs(near[1].value) + 2 * far[1].stderr and "256 lines" in far[0].estimator


def test_mind_is_3_d_times_the_distance_of_inception_features_and_needs_their_weights(
    pictures, evidence, monkeypatch, rng
):
    found = mind(evidence(pictures(12, 32), pictures(12, 32)))
    assert [m.name for m in found] == ["mind", "mind_corrected"]
    assert all(m.value is None and "6726825d.pth" in m.missing for m in found)
    x, y = rng.standard_normal((30, 6)), 1 + rng.standard_normal((30, 6))
    monkeypatch.setattr(distances, "feature_pair", lambda evidence, space: (x, y))
    known = mind(evidence(pictures(12, 32), pictures(12, 32)))[0]
    assert known.value == pytest.approx(18 * sliced_w2(x, y, 1, 1000), rel=1e-12)
    assert "3 D x" in known.estimator and "1000 lines" in known.estimator
