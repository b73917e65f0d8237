"""Every regime against the exact moments of its pools: a small version of experiments/studies/gaussian_regimes.py.

A regime is called as in any run, on an archive without images. Then the values are drawn for all replicas according to
its pools. The table below must contain every regime of REGIMES.
"""

from __future__ import annotations

import numpy as np
import pytest

from imagelab import theory
from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.regimes import (
    REGIMES,
    Accumulate,
    Breed,
    Contaminate,
    Fresh,
    Golden,
    Mislabelled,
    Mix,
    Regime,
    Replace,
    Schedule,
    Window,
)
from imagelab.seeds import rng_at

N, T, RUNS = 16, 10, 3000
CASES: list[Regime] = [
    Replace(),
    Accumulate(),
    Accumulate(subsample=True),
    Window(last=3),
    Window(last=2, subsample=True),
    Mix(),
    Contaminate(share=0.5, rounds=4),
    Fresh(),
    Fresh(period=3),
    Golden(),
    Breed(real_fraction=0.25),
    Mislabelled(regime=Fresh(real_fraction=0.5), rate=0.25),
    Mislabelled(regime=Accumulate(), rate=0.25),
    Schedule(first=Replace(), until=5, then=Fresh(real_fraction=0.5)),
]


def scores(regime: Regime, dimensions: int = 1) -> np.ndarray:
    """Deviation of v and m from the prediction in standard errors, every model of every line: [models, 2]."""
    lines = 2 if isinstance(regime, Breed) else 1
    archive = Archive(Pool.of(0, REAL, range(N)), Pool.of(0, RESERVE, range(regime.reserve(N, T))))
    pools = {}
    for t in range(1, T + 1):
        for line in range(lines):
            pools[t, line] = regime(archive, line, N, rng_at(1, "pool", t, line)).names()
        archive = archive.add(t, {line: Pool.of(t, line, range(N)) for line in range(lines)})
    law, found = theory.pool_moments(pools), []
    for key, *values in theory.gaussian_replicas(pools, RUNS, rng_at(2, "replicas"), dimensions=dimensions):
        found.append([(v.mean() - x) / (v.std(ddof=1) / np.sqrt(RUNS)) for v, x in zip(values, law[key], strict=True)])
    return np.array(found)


def test_no_regime_is_left_out() -> None:
    assert {regime.model_dump()["kind"] for regime in CASES} == set(REGIMES)


@pytest.mark.parametrize("regime", CASES, ids=lambda regime: regime.model_dump_json()[9:40])
def test_every_regime_obeys_the_law_of_its_pools(regime: Regime) -> None:
    z = np.abs(scores(regime))
    assert z.max() < 4, np.round(z, 1)  # 20 or 40 correlated points a regime; replicas are skewed at N = 16
    assert (z < 3).mean() > 0.85


def test_the_law_holds_for_full_covariance_in_many_dimensions() -> None:
    assert np.abs(scores(Fresh(real_fraction=0.5), dimensions=6)).max() < 4
