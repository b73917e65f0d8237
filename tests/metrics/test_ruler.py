"""The ruler inside the errors of the distances, against leaving images out before standardising, by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imagelab.metrics.frechet import frechet_distance, frechet_jackknife
from imagelab.metrics.jackknife import jackknife
from imagelab.metrics.kernel import kernel_distance
from imagelab.metrics.ruler import ruler_influence, rulers_without
from imagelab.metrics.sliced import sliced_w2, sliced_w2_and_error
from imagelab.metrics.vendi import score_and_error, vendi_score

Sets = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def raw(rng) -> Sets:
    """A reference and a clearly different set, both with features of very different size."""
    size = np.exp(np.arange(6.0))
    return rng.standard_normal((300, 6)) * size, (0.4 + 1.4 * rng.standard_normal((260, 6))) * size


def standardised(real: np.ndarray, fake: np.ndarray) -> Sets:
    mean, spread = real.mean(axis=0), real.std(axis=0, ddof=1)
    return (real - mean) / spread, (fake - mean) / spread


def by_hand(statistic: Callable[[np.ndarray, np.ndarray], float], raw: Sets, groups: int = 20) -> float:
    found = jackknife(lambda r, f: statistic(*standardised(raw[0][r], raw[1][f])), *map(len, raw), 3, groups)
    assert found.stderr is not None
    return found.stderr


def test_the_frechet_distance_leaves_groups_out_before_standardising(raw):
    found = frechet_jackknife(*standardised(*raw), seed=3, own_ruler=True)
    assert found.stderr == pytest.approx(by_hand(frechet_distance, raw), rel=1e-7)
    known = frechet_jackknife(*standardised(*raw), seed=3).stderr
    assert known is not None and abs(known / by_hand(frechet_distance, raw) - 1) > 0.02


def test_the_kernel_distance_has_the_rulers_error_to_first_order(raw):
    _, found = kernel_distance(*standardised(*raw), own_ruler=True)
    every_image = raw[0][:60], raw[1][:60]
    one_by_one = by_hand(lambda r, f: kernel_distance(r, f)[0], every_image, groups=60)
    _, small = kernel_distance(*standardised(*every_image), own_ruler=True)
    # pairs of one group of each set are left out together: the variances add up to chance of a tenth
    assert small == pytest.approx(one_by_one, rel=0.25)
    known = kernel_distance(*standardised(*raw))[1]
    assert found is not None and known is not None and found > 1.1 * known


@pytest.mark.parametrize("sizes", [(300, 260), (260, 260)])
def test_the_sliced_distance_has_the_rulers_error_to_first_order(sizes, raw):
    raw = raw[0][: sizes[0]], raw[1][: sizes[1]]
    found = sliced_w2_and_error(*standardised(*raw), 3, 64, own_ruler=True)
    known = sliced_w2_and_error(*standardised(*raw), 3, 64)
    assert found.stderr is not None and known.stderr is not None
    of_groups = by_hand(lambda r, f: sliced_w2(r, f, 3, 64), raw) ** 2 - by_hand_with_known_ruler(raw) ** 2
    assert found.stderr**2 - known.stderr**2 == pytest.approx(of_groups, rel=0.25)


def by_hand_with_known_ruler(raw: Sets) -> float:
    real, fake = standardised(*raw)
    found = jackknife(lambda r, f: sliced_w2(real[r], fake[f], 3, 64), len(real), len(fake), 3)
    assert found.stderr is not None
    return found.stderr


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("order", [1.0, 2.0, np.inf])
def test_the_vendi_scores_have_the_rulers_error_to_first_order(centred, order, raw):
    real, fake = standardised(*raw)
    found = score_and_error(fake, 3, order, centred, real).stderr
    expected = by_hand(lambda r, f: vendi_score(f - centred * f.mean(axis=0), order), raw)
    assert found == pytest.approx(expected, rel=0.1)


def test_rulers_are_those_of_the_other_images(rng):
    real, _ = standardised(rng.standard_normal((50, 3)), rng.standard_normal((2, 3)))
    labels = np.arange(50) % 7
    rulers = rulers_without(real, labels)
    for j in range(7):
        np.testing.assert_allclose(rulers.mean[j], real[labels != j].mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(rulers.spread[j], real[labels != j].std(axis=0, ddof=1), rtol=1e-10)


def test_a_feature_that_does_not_vary_without_a_group_keeps_its_unit():
    real = np.zeros((30, 1))
    real[0] = 1.0
    rulers = rulers_without(real, np.arange(30) % 3)
    assert rulers.spread[0, 0] == 1.0 and rulers.mean[0, 0] == 0.0 and np.isfinite(np.log(rulers.spread)).all()


def test_the_influence_on_a_mean_and_on_a_spread_is_that_of_leaving_an_image_out(rng):
    real, _ = standardised(rng.standard_normal((400, 2)), rng.standard_normal((2, 2)))
    rulers = rulers_without(real, np.arange(400))
    of_mean, of_spread = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    np.testing.assert_allclose(ruler_influence(real, of_mean, 0 * of_mean), -399 * rulers.mean[:, 0], rtol=1e-9)
    np.testing.assert_allclose(
        ruler_influence(real, 0 * of_spread, of_spread), -399 * np.log(rulers.spread[:, 1]), rtol=0.05, atol=0.05
    )
