from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imagelab import theory
from imagelab.pool import REAL, Pool

R, N = 3000, 8


def awkward() -> dict[tuple[int, int], np.ndarray]:
    """Pools that no regime draws: two lines, repeated images, old and new images, a real image that is used again."""
    real, own, other = Pool.of(0, REAL, range(N)), Pool.of(1, 0, range(N)), Pool.of(1, 1, range(N))
    return {
        (1, 0): real.names(),
        (1, 1): Pool.concat(real.take(np.arange(4)), real.take(np.arange(4))).names(),
        (2, 0): Pool.concat(own, other.take(np.arange(5)), real.take(np.arange(2))).names(),
        (2, 1): Pool.concat(other, other.take(np.arange(3))).names(),
        (3, 0): Pool.concat(Pool.of(2, 0, range(N)), Pool.of(2, 1, range(4)), own.take(np.arange(4))).names(),
    }


@pytest.mark.parametrize("dimensions", [1, 3])
@pytest.mark.parametrize(("unbiased", "scale"), [(False, 1.0), (True, 0.8)])
def test_replicas_obey_the_law_of_their_pools_however_awkward(dimensions: int, unbiased: bool, scale: float) -> None:
    pools = awkward()
    if unbiased:
        pools = {key: np.unique(pool, axis=0) for key, pool in pools.items()}  # the correction is for distinct images
    law = theory.pool_moments(pools, unbiased, scale)
    rng, seen = np.random.default_rng(dimensions), []
    for key, variance, offset in theory.gaussian_replicas(pools, R, rng, unbiased, scale, dimensions):
        for values, expected in zip((variance, offset), law[key], strict=True):
            assert values.shape == (R,)
            z = (values.mean() - expected) / (values.std(ddof=1) / np.sqrt(R))
            assert abs(z) < 3.5, f"model {key}: {z:.1f} standard errors from {expected:.4f}"
        seen.append(key)
    assert seen == list(pools)


def test_replicas_would_notice_a_wrong_law() -> None:
    pools = awkward()
    wrong = theory.pool_moments(pools, scale=0.9)
    last = {key: variance for key, variance, _ in theory.gaussian_replicas(pools, R, np.random.default_rng(0))}[3, 0]
    assert abs(last.mean() - wrong[3, 0][0]) / (last.std(ddof=1) / np.sqrt(R)) > 6


def test_the_factor_of_a_wishart_matrix_plays_replace_in_many_dimensions() -> None:
    generations, n, dimensions, runs = 4, 30, 5, 2000
    rng = np.random.default_rng(5)
    played = np.array([list(theory.wishart_replica(generations, n, dimensions, rng)) for _ in range(runs)])
    error = played.std(0, ddof=1) / np.sqrt(runs)
    for t in range(1, generations + 1):
        law = [*theory.replace_moments(t, n), theory.replace_log_variance(t, n, dimensions=dimensions)]
        z = (played[:, t - 1].mean(0) - law) / error[t - 1]
        assert np.abs(z).max() < 3.5


def test_the_determinant_is_nothing_where_there_are_fewer_images_than_dimensions() -> None:
    rng = np.random.default_rng(6)
    played = np.array([list(theory.wishart_replica(3, 4, 10, rng)) for _ in range(2000)])
    assert np.isnan(played[..., 2]).all()
    assert_allclose(played[:, 2, 0].mean(), 0.75**3, atol=4 * played[:, 2, 0].std() / np.sqrt(2000))
