"""The sanity checks of arXiv:2507.01761 and arXiv:2505.22450, at small sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import betabinom

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.clipped import clipped, clipped_errors, clipped_of, equivalent_share, expected_coverage

K = 5


def textbook(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The definitions, from the full matrices of distances: clipped density, and y of equation (1)."""
    among, across = cdist(x, x), cdist(x, y)
    ball = np.sort(among, axis=1)[:, K]
    small = np.minimum(ball, np.median(ball))
    own = np.array([(among[:, j] <= small).sum() - 1 for j in range(len(x))])
    there = (across < small[:, None]).sum(axis=0)
    density = np.minimum(there / K, 1).mean() / np.minimum(own / K, 1).mean()
    return density, np.minimum((across < ball[:, None]).sum(axis=1) / K, 1).mean()


def two(rng: np.random.Generator, n: int = 1000, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((n, d)), rng.standard_normal((n, d))


def test_the_numbers_are_those_of_the_definitions(rng):
    x, y = rng.standard_normal((120, 6)), rng.standard_normal((90, 6)) * 0.9 + 0.2
    density, covered = textbook(x, y)
    found = clipped_of(x, y, K)
    assert found[0] == pytest.approx(density, rel=1e-12)
    assert found[1] == pytest.approx(equivalent_share(covered, 120, 90), rel=1e-12)


@pytest.mark.parametrize(("m", "n", "k"), [(1000, 1000, 5), (40, 300, 5), (3, 50, 5), (700, 200, 3)])
def test_the_expected_coverage_is_that_of_the_beta_binomial(m: int, n: int, k: int):
    counts = np.arange(m + 1)
    wanted = np.sum(np.minimum(counts / k, 1) * betabinom.pmf(counts, m, k, n - k))
    assert expected_coverage(m, n, k) == pytest.approx(wanted, rel=1e-9)


def test_the_expected_coverage_grows_with_every_image_and_is_inverted_exactly():
    values = [expected_coverage(m, 500) for m in np.linspace(0, 1000, 300)]
    assert values[0] == 0 and (np.diff(values) > 0).all()
    for share in (0.01, 0.3, 1.0, 1.7):
        assert equivalent_share(expected_coverage(share * 400, 500), 500, 400) == pytest.approx(share)
    assert equivalent_share(0.0, 500, 400) == 0.0 and equivalent_share(1.0, 500, 400) == 4.0


def test_equal_distributions_score_one(rng):
    found = np.mean([clipped_of(*two(rng, 500)) for _ in range(8)], axis=0)
    assert found == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_both_fall_in_proportion_to_the_share_of_bad_images(share: float, rng):
    x, y = two(rng)
    y[: round(share * len(y))] += 100.0
    assert clipped_of(x, y) == pytest.approx([1 - share, 1 - share], abs=0.08)


def test_outliers_among_the_real_images_do_not_make_bad_images_good(rng):
    x, y = two(rng)
    x[:20] = rng.standard_normal((20, 16)) * 30  # their balls reach everywhere
    y[:500] = rng.standard_normal((500, 16)) * 8  # bad images, inside these balls
    density, coverage = clipped_of(x, y)
    assert density == pytest.approx(0.5, abs=0.06) and coverage == pytest.approx(0.5, abs=0.06)


def test_outliers_among_the_generated_images_cost_their_share_and_no_more(rng):
    x, y = two(rng)
    before = clipped_of(x, y)
    y[:20] *= 1000.0
    assert clipped_of(x, y) == pytest.approx([0.98 * value for value in before], abs=0.03)


def test_a_lost_mode_lowers_coverage_and_not_density(rng):
    x, y = two(rng)
    x[:500, 0] += 50.0
    density, coverage = clipped_of(x, y)
    assert density > 0.9 and coverage == pytest.approx(0.5 * 1.3, abs=0.2)


def test_a_set_that_repeats_one_image_covers_nothing(rng):
    x, y = two(rng, 500)
    _, coverage = clipped_of(x, np.repeat(y[:1], 500, axis=0))
    assert coverage < 0.1


def test_errors_are_those_of_repeated_samples(rng):
    values, errors = [], []
    for seed in range(40):
        x, y = two(rng, 200, 8)
        y *= 1.2
        values.append(clipped_of(x, y))
        errors.append(clipped_errors(x, y, seed))
    ratio = np.mean(np.array(errors) ** 2, axis=0) ** 0.5 / np.std(values, axis=0, ddof=1)
    assert (ratio > 0.65).all() and (ratio < 1.6).all()
    assert clipped_errors(*two(rng, 39, 8), seed=0) is None


def test_reference_images_that_coincide_are_refused(rng):
    with pytest.raises(ValueError, match="more than k = 5"):
        clipped_of(np.zeros((5, 2)), rng.standard_normal((9, 2)))


def test_a_set_too_small_is_not_measured(pictures, evidence: Any):
    with pytest.raises(NotMeasurable, match="more than k = 5 images"):
        clipped(evidence(pictures(12, 32), pictures(4, 32)))
