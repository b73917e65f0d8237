from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagelab.metrics.features import DISTANCE_SPACES, PRIMARY
from imagelab.metrics.frechet import (
    FittedGaussian,
    fid,
    frechet,
    frechet_distance,
    frechet_floor,
    frechet_infinity,
    frechet_jackknife,
    frechet_rows,
)
from imagelab.metrics.jackknife import jackknife


def with_moments(mean: np.ndarray, variance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return [N,D] whose sample mean and covariance are exactly mean and diag(variance); N > D."""
    basis, _ = np.linalg.qr(np.column_stack([np.ones(n), rng.standard_normal((n, len(mean)))]))
    return mean + basis[:, 1:] * np.sqrt(variance * (n - 1))


@pytest.mark.parametrize(("n", "dimensions"), [(300, 40), (40, 300), (50, 50)])
def test_a_set_has_no_distance_to_itself_nor_to_its_own_rows_in_another_order(n, dimensions, rng):
    x = rng.standard_normal((n, dimensions)) / np.arange(1, dimensions + 1)
    assert abs(frechet_distance(x, x)) < 1e-12
    assert abs(frechet_distance(x, x[::-1])) < 1e-12


def test_unit_gaussians_one_apart_in_every_dimension_are_d_apart(rng):
    zero, one = (with_moments(np.full(64, m), np.ones(64), 200, rng) for m in (0.0, 1.0))
    assert frechet_distance(zero, one) == pytest.approx(64.0, abs=1e-9)


def test_two_thousand_and_forty_eight_dimensions_one_apart_are_2048_apart(rng):
    x = rng.standard_normal((50, 2048))
    assert frechet_distance(x, x + 1.0) == pytest.approx(2048.0, abs=1e-8)


def test_four_times_the_covariance_diag_1_to_16_is_136_apart(rng):
    variance = np.arange(1.0, 17.0)
    narrow, wide = (with_moments(np.zeros(16), scale * variance, 60, rng) for scale in (1.0, 4.0))
    assert frechet_distance(narrow, wide) == pytest.approx(136.0, abs=1e-9)


def test_a_shift_costs_its_squared_length(rng):
    x, shift = rng.standard_normal((30, 5)), rng.standard_normal(5)
    assert frechet_distance(x, x + shift) == pytest.approx(np.sum(shift**2), abs=1e-10)


@pytest.mark.parametrize(("n", "m", "dimensions"), [(90, 60, 12), (9, 14, 12), (9, 60, 12)])
def test_it_equals_the_textbook_trace_of_the_symmetric_root(n, m, dimensions, rng):
    x, y = rng.standard_normal((n, dimensions)), 0.3 + rng.standard_normal((m, dimensions)) @ rng.random((12, 12))
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    eigen = np.linalg.eigvalsh(root @ s2 @ root)
    gap = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    expected = gap + np.trace(s1) + np.trace(s2) - 2 * np.sqrt(eigen.clip(0)).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-12)


def test_a_distant_origin_loses_no_precision(rng):
    x, y = rng.standard_normal((200, 8)), rng.standard_normal((150, 8))
    assert frechet_distance(x + 1e6, y + 1e6) == pytest.approx(frechet_distance(x, y), rel=1e-8)


@pytest.mark.parametrize(("n", "m", "dimensions"), [(300, 200, 7), (30, 25, 60), (300, 40, 60), (13, 400, 20)])
def test_the_jackknife_equals_leaving_groups_out(n, m, dimensions, rng):
    scale = np.exp(-np.arange(dimensions) / 5)  # down to 1e-5 and below: small variances must not be lost to rounding
    x, y = 3 + scale * rng.standard_normal((n, dimensions)), scale * rng.standard_t(4, (m, dimensions))
    brute = jackknife(lambda r, f: frechet_distance(x[r], y[f]), n, m, seed=3)
    merged = frechet_jackknife(x, y, seed=3)
    assert merged.value == pytest.approx(brute.value, rel=1e-12)
    assert merged.stderr == pytest.approx(brute.stderr, rel=1e-7)  # roots of eigenvalues: 1e-8 of the largest
    assert merged.corrected == pytest.approx(brute.corrected, rel=1e-9)
    assert frechet_jackknife(x, y, seed=3, groups=4).stderr != merged.stderr != frechet_jackknife(x, y, seed=2).stderr


def test_merged_gaussians_are_those_of_all_rows_together(rng):
    x = 1e6 + rng.standard_normal((500, 6)) * [1, 2, 3, 4, 5, 1e-3]
    whole, merged = (
        FittedGaussian.of(x),
        FittedGaussian.of(x[:3]).merge(FittedGaussian.of(x[3:90])).merge(FittedGaussian.of(x[90:])),
    )
    assert whole.n == merged.n == 500 and merged.factor.shape == (6, 6)
    np.testing.assert_allclose(merged.mean, x.mean(0), rtol=1e-15)
    for each in (whole, merged):
        np.testing.assert_allclose(each.factor.T @ each.factor / 499, np.cov(x, rowvar=False), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("dimensions", [5, 300])
def test_blocks_do_not_change_the_distance(dimensions, rng, monkeypatch):
    x, y = rng.standard_normal((700, dimensions)), rng.standard_normal((650, dimensions))
    whole = frechet_distance(x, y)
    monkeypatch.setattr("imagelab.metrics.frechet.BLOCK", 64)
    assert frechet_distance(x, y) == pytest.approx(whole, rel=1e-12)


def test_the_floor_is_what_gaussians_give_on_average(rng):
    scale = np.exp(-np.arange(12) / 4)
    found = [
        frechet_distance(rng.standard_normal((400, 12)) * scale, rng.standard_normal((250, 12)) * scale)
        for _ in range(200)
    ]
    floor = frechet_floor(scale**2, 400, 250)
    assert np.mean(found) == pytest.approx(floor, rel=0.04)  # 3 standard errors are 2 %, the next order about 1 %
    assert frechet_floor(np.append(scale**2, 0.0), 400, 250) == floor
    with pytest.raises(ValueError, match="eigenvalues >= 0"):
        frechet_floor(np.array([1.0, -1.0]), 400, 250)


def test_the_plain_distance_is_biased_and_infinity_is_not(rng):
    plain, infinite = [], []
    for _ in range(30):
        x, y = rng.standard_normal((400, 10)), rng.standard_normal((400, 10))
        plain.append(frechet_distance(x, y))
        infinite.append(frechet_infinity(x, y, seed=0))
    assert np.mean(plain) > 0.05
    assert abs(np.mean(infinite)) < 0.01


def test_infinity_is_seeded_and_refuses_tiny_sets(rng):
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((50, 4))
    assert frechet_infinity(x, y, seed=1) == frechet_infinity(x, y, seed=1) != frechet_infinity(x, y, seed=2)
    assert frechet_infinity(x, y, seed=1, points=3) != frechet_infinity(x, y, seed=1)
    with pytest.raises(ValueError, match=">= 10 images"):
        frechet_infinity(x[:9], y, seed=1)


@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((3,), (5, 3))])
def test_sets_that_do_not_belong_together_are_refused(shapes):
    with pytest.raises(ValueError, match="expected"):
        frechet_distance(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_rows_name_their_space_and_carry_an_error(pictures, evidence):
    found: list[Any] = frechet(evidence(pictures(60, 32, seed=1), pictures(50, 32, seed=2)))
    assert [m.name for m in found][:2] == [f"frechet/{PRIMARY}", f"frechet_corrected/{PRIMARY}"]
    assert len({m.feature_space for m in found}) == len(DISTANCE_SPACES)
    for plain, corrected in zip(found[::2], found[1::2], strict=True):
        assert corrected.value < plain.value
        assert plain.stderr == corrected.stderr > 0
        assert (plain.n_real, plain.n_fake, plain.better, plain.seed) == (60, 50, "lower", 1)


def test_brighter_pictures_are_further_than_other_draws(pictures, evidence):
    real, fake = pictures(80, 32, seed=1), pictures(80, 32, seed=2)
    near: Any
    far: Any
    near, far = (frechet(evidence(real, each))[0] for each in (fake, np.minimum(fake, 225) + 30))
    assert far.value > near.value + 3 * far.stderr


@pytest.mark.parametrize(("n_real", "n_fake", "reason"), [(1, 9, "at least 2"), (9, 9, "at least 10"), (40, 1, "2")])
def test_too_few_images_give_a_missing_value_with_a_reason(n_real, n_fake, reason, pictures, evidence):
    found = frechet(evidence(pictures(n_real, 32), pictures(n_fake, 32)))
    assert all(m.value is None and reason in m.missing for m in found)


def test_two_images_have_a_distance_but_no_correction(pictures, evidence):
    plain, corrected = frechet_rows(evidence(pictures(12, 32), pictures(2, 32)), "randconv-s0", "frechet/randconv-s0")
    assert plain.value is not None and plain.stderr is None
    assert "at least 3" in corrected.missing


def test_fid_is_missing_without_the_inception_weights(pictures, evidence):
    found = fid(evidence(pictures(12, 32), pictures(12, 32)))
    assert [m.name for m in found] == ["fid", "fid_corrected"]
    assert all(m.value is None and "inception-2015-12-05-6726825d.pth" in m.missing for m in found)


def test_three_images_a_set_are_the_fewest_with_an_error_and_ten_those_that_can_be_extrapolated(rng):
    real, fake = rng.standard_normal((2, 10, 3))
    assert frechet_jackknife(real[:2], fake, 0).stderr is None
    assert frechet_jackknife(real[:3], fake[:3], 0).stderr is not None
    assert np.isfinite(frechet_infinity(real, fake, 0))
    with pytest.raises(ValueError, match="10 images a set"):
        frechet_infinity(real[:9], fake, 0)
