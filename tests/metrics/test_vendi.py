from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vendi_score import vendi as oracle

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.features import PRIMARY
from imagelab.metrics.jackknife import jackknife
from imagelab.metrics.vendi import score_and_error, score_of_shares, vendi, vendi_score


def test_orthogonal_vectors_score_their_number():
    assert vendi_score(np.eye(7)) == pytest.approx(7.0, rel=1e-12)
    assert vendi_score(np.repeat(np.eye(7), 5, axis=0)) == pytest.approx(7.0, rel=1e-12)


def test_copies_score_one_however_many(rng):
    one = rng.standard_normal((1, 9))
    for n in (1, 2, 500):
        assert vendi_score(np.repeat(one, n, axis=0)) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (12, 30)])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_it_equals_the_vendi_score_package_in_either_form(n, d, order, rng):
    x = rng.standard_normal((n, d)) + 0.3
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert vendi_score(x, order) == pytest.approx(
        oracle.score_K(unit @ unit.T, q=order), rel=1e-6 if order < 1 else 1e-10
    )
    if order >= 1:  # below 1 rounding noise in the package's zero eigenvalues counts as kinds
        assert vendi_score(x, order) == pytest.approx(oracle.score_dual(x, q=order), rel=1e-10)


def test_a_larger_order_counts_fewer_kinds_and_infinity_the_largest_only(rng):
    x = rng.standard_normal((60, 8)) * np.linspace(0.2, 2, 8)
    scores = [vendi_score(x, q) for q in (0.0, 0.5, 1.0, 2.0, 5.0, np.inf)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(8.0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert scores[-1] == pytest.approx(60 / np.linalg.eigvalsh(unit.T @ unit)[-1])


def test_orders_near_one_converge_to_the_entropy():
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    assert score_of_shares(shares, 1.0 + 1e-6) == pytest.approx(score_of_shares(shares, 1.0), rel=1e-5)


def test_a_rotation_and_the_lengths_of_the_vectors_change_nothing(rng):
    x = rng.standard_normal((50, 6))
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert vendi_score(x @ turn * rng.uniform(0.1, 9, (50, 1))) == pytest.approx(vendi_score(x), rel=1e-10)


def test_it_stays_within_the_number_of_images_and_of_dimensions(rng):
    assert 1 <= vendi_score(rng.standard_normal((5, 40))) <= 5
    assert 1 <= vendi_score(rng.standard_normal((400, 3))) <= 3


@pytest.mark.parametrize("n", [60, 300])
def test_the_error_is_the_spread_over_repeats(n, rng):
    mix = rng.standard_normal((15, 15))
    found = [score_and_error(rng.standard_normal((n, 15)) @ mix, seed) for seed in range(120)]
    values, errors = np.array([(each.value, each.stderr) for each in found], float).T
    assert 0.75 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.35


def test_the_error_follows_the_seed_and_the_score_does_not(rng):
    x = rng.standard_normal((40, 4))
    found = [score_and_error(x, seed) for seed in range(3)]
    assert len({each.value for each in found}) == 1 and len({each.stderr for each in found}) == 3
    assert score_and_error(x, 0, order=2.0).stderr != found[0].stderr


def test_two_images_have_no_error_and_bad_input_has_no_score(rng):
    assert score_and_error(rng.standard_normal((2, 3)), 0).stderr is None
    with pytest.raises(ValueError, match="length 0"):
        vendi_score(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="N >= 1"):
        vendi_score(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="order q >= 0"):
        vendi_score(np.eye(3), -1.0)


def test_lost_kinds_lower_it_and_noise_raises_it(pictures, evidence):
    real, images = pictures(80, 32, seed=1), pictures(60, 32, seed=2)
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 40, images.shape), 0, 255).astype(np.uint8)
    found: list[Any] = [vendi(evidence(real, each))[0] for each in (images[np.arange(60) % 2], images, noisy)]
    few, all_of_them, rough = found
    assert few.value <= 2 + 1e-6 < 4 < all_of_them.value != rough.value
    assert all_of_them.name == f"vendi/{PRIMARY}" and all_of_them.unit == "images" and all_of_them.stderr > 0


def test_the_order_of_the_row_is_stated(pictures, evidence):
    both = [vendi(evidence(pictures(30, 32), pictures(30, 32, seed=2)), order)[0] for order in (1.0, 2.0)]
    assert both[0].value != both[1].value
    assert "order 1," in both[0].estimator and "order 2," in both[1].estimator


def test_images_that_are_the_mean_image_have_no_direction(pictures, evidence, monkeypatch):
    monkeypatch.setattr("imagelab.metrics.vendi.feature_pair", lambda *_: (np.ones((3, 2)), np.zeros((3, 2))))
    with pytest.raises(NotMeasurable, match="no direction"):
        vendi(evidence(pictures(3, 32), pictures(3, 32)))


@pytest.mark.parametrize(("n", "d"), [(3, 4), (40, 6), (25, 60)])
def test_the_error_is_the_jackknife_of_the_score(n, d, rng):
    features = rng.standard_normal((n, d)) + 0.5
    found = score_and_error(features, seed=4)
    plain = jackknife(lambda _, rows: vendi_score(features[rows]), n, n, seed=4)
    assert (found.value, found.stderr) == (pytest.approx(plain.value), pytest.approx(plain.stderr, rel=1e-6))
    assert found.df == plain.df == min(n, 20) - 1


def test_the_score_about_the_own_mean_does_not_see_a_shift_and_sees_lost_variety(rng):
    features = rng.standard_normal((60, 5))
    here, moved = (score_and_error(x, 0, centred=True).value for x in (features, features + 3.0))
    assert moved == pytest.approx(here, rel=1e-9) and score_and_error(features + 3.0, 0).value < here / 2
    assert score_and_error(features * [1, 1, 0.1, 0.1, 0.1], 0, centred=True).value < here - 1


def test_both_scores_are_reported_with_their_zero_point(pictures, evidence):
    found = vendi(evidence(pictures(30, 32), pictures(30, 32, seed=2)))
    assert [m.name for m in found] == [f"vendi/{PRIMARY}", f"vendi_centred/{PRIMARY}"]
    assert "own mean" in found[1].estimator and all(m.stderr and m.df == 19 for m in found)
