from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imagelab import theory
from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.regimes import Accumulate, Breed, Contaminate, Fresh, Golden, Mix, Regime, Replace, Schedule, Window

N, T = 12, 9
Names = dict[tuple[int, int], np.ndarray]


def pools_of(regime: Regime, seed: int = 0, lines: int = 1) -> Names:
    rng = np.random.default_rng(seed)
    archive = Archive(Pool.of(0, REAL, range(N)), Pool.of(0, RESERVE, range(regime.reserve(N, T))))
    pools = {}
    for t in range(1, T + 1):
        for line in range(lines):
            pools[t, line] = regime(archive, line, N, rng).names()  # pyright: ignore[reportArgumentType]
        archive = archive.add(t, {line: Pool.of(t, line, range(N)) for line in range(lines)})
    return pools


def moments(regime: Regime, **settings: float) -> np.ndarray:
    """(v, m) of every generation, [T,2]."""
    return np.array(list(theory.pool_moments(pools_of(regime), **settings).values()))  # pyright: ignore[reportArgumentType]


def curve(law: object, *settings: float, **more: float) -> np.ndarray:
    return np.array([law(t, *settings, **more) for t in range(1, T + 1)])  # pyright: ignore[reportCallIssue]


def test_the_law_of_the_pools_is_every_closed_form_to_rounding() -> None:
    assert_allclose(moments(Replace()), curve(theory.replace_moments, N))
    assert_allclose(moments(Mix()), curve(theory.mix_moments, 3, 9))
    assert_allclose(moments(Contaminate(share=0.75)), curve(theory.mix_moments, 3, 9))
    assert_allclose(moments(Fresh()), curve(theory.fresh_moments, 3, 9))
    assert_allclose(moments(Fresh(period=3)), curve(theory.fresh_moments, 3, 9, period=3))
    assert_allclose(moments(Golden()), curve(theory.weighted_moments, N, N, 5 / 8))
    assert_allclose(moments(Window(last=3)), curve(theory.window_moments, N, 3))
    assert_allclose(moments(Accumulate())[:, 0], curve(theory.accumulate_variance, N))


def test_estimator_sampling_bias_and_rounding_are_obeyed() -> None:
    assert_allclose(moments(Replace(), unbiased=True), curve(theory.replace_moments, N, unbiased=True))
    assert_allclose(moments(Replace(), scale=0.8), curve(theory.replace_moments, N, scale=0.8))
    assert_allclose(moments(Fresh(), scale=0.8), curve(theory.fresh_moments, 3, 9, 0.8))
    assert_allclose(moments(Replace(), added=0.1), curve(theory.replace_moments, N, added=0.1))
    assert_allclose(moments(Accumulate(), added=0.1)[:, 0], curve(theory.accumulate_variance, N, added=0.1))


def test_random_draws_average_to_the_law_over_draws() -> None:
    drawn = [
        np.array(list(theory.pool_moments(pools_of(Accumulate(subsample=True), seed)).values())) for seed in range(200)
    ]
    error = np.std(drawn, axis=0)[:, 0] / np.sqrt(200)
    gap = np.mean(drawn, axis=0)[:, 0] - curve(theory.accumulate_subsample_variance, N)
    assert (np.abs(gap) < 4 * error + 1e-12).all()
    assert error[3:].min() > 0


@pytest.mark.parametrize(
    "regime",
    [
        Schedule(first=Replace(), until=4, then=Fresh(real_fraction=0.5)),
        Schedule(first=Accumulate(), until=3, then=Window(last=2)),
        Schedule(first=Fresh(), until=4, then=Schedule(first=Replace(), until=6, then=Golden())),
        Contaminate(share=0.5, rounds=3),
    ],
)
def test_any_schedule_has_a_law_and_it_is_the_one_that_the_regime_states(regime: Regime) -> None:
    found = theory.pool_moments(pools_of(regime))
    stated = [regime.predictions(t, N)[0].value or 0.0 for t in range(1, T + 1)]
    assert_allclose([v for v, _ in found.values()], stated)


def test_lines_that_feed_on_each_other_lose_less_than_lines_alone_and_agree_on_average_with_the_regimes_own_law() -> (
    None
):
    regime = Breed(real_fraction=0.0)
    bred = np.array(
        [[v for v, _ in theory.pool_moments(pools_of(regime, seed, lines=2)).values()] for seed in range(100)]
    )
    first = bred[:, ::2]
    assert (first[:, 3:] > curve(theory.replace_moments, N)[3:, 0]).all()
    stated = [regime.predictions(t, N, 2)[0].value or 0.0 for t in range(1, T + 1)]
    assert (np.abs(first.mean(0) - stated) < 4 * first.std(0) / 10 + 1e-12).all()


def test_weights_are_copies() -> None:
    pools = pools_of(Mix())
    doubled = {key: np.concatenate([pool, pool[:3]]) for key, pool in pools.items()}
    weights = {key: np.r_[2 * np.ones(3), np.ones(9)] for key in pools}
    weighed = theory.pool_moments(pools, weights=weights)
    for key, moments_of in theory.pool_moments(doubled).items():
        assert_allclose(moments_of, weighed[key])
    assert weighed[T, 0][0] != theory.pool_moments(pools)[T, 0][0]


def test_a_window_lies_between_replace_and_accumulate() -> None:
    assert_allclose(theory.window_moments(7, N, 1), theory.replace_moments(7, N))
    assert_allclose(theory.window_moments(7, N, 7)[0], theory.accumulate_variance(7, N))
    kept = [theory.window_moments(7, N, window)[0] for window in range(1, 8)]
    assert kept == sorted(kept)
    assert theory.window_moments(0, N, 3) == (1.0, 0.0)
    with pytest.raises(ValueError, match="expected at least 1 shard, got 0"):
        theory.window_moments(3, N, 0)


def test_pools_from_the_future_and_empty_pools_are_refused() -> None:
    real = Pool.of(0, REAL, range(4)).names()
    with pytest.raises(ValueError, match=r"\(1, 0\): reads from a model that was not made before it"):
        theory.pool_moments({(1, 0): Pool.of(1, 0, range(4)).names()})
    with pytest.raises(ValueError, match=r"\(2, 0\): expected names int \[P,3\]"):
        theory.pool_moments({(1, 0): real, (2, 0): real[:0]})
