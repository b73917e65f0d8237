"""Rare attributes under every regime: a perfect generator that resamples the pools of the real code.

The generator gives each sample the attribute with the probability that it has in the pool, so that losses are due to
chance only. Under replace this is the Wright-Fisher chain, with its closed form. With real images in the pools the
attribute cannot be lost permanently.
"""

from __future__ import annotations

import numpy as np

from imagelab import theory
from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.regimes import Accumulate, AnyRegime, Fresh, Mix, Replace

N, T, P, RUNS = 40, 12, 0.05, 4000


def survival(regime: AnyRegime) -> np.ndarray:
    """Counts of the attribute among the N samples of each generation: int [T, RUNS]."""
    rng = np.random.default_rng(11)
    reserve = regime.reserve(N, T)
    carried = {(0, REAL): rng.random((N, RUNS)) < P, (0, RESERVE): rng.random((reserve, RUNS)) < P}
    archive = Archive(Pool.of(0, REAL, range(N)), Pool.of(0, RESERVE, range(reserve)))
    counts = []
    for t in range(1, T + 1):
        pool = regime(archive, 0, N, rng)
        share = np.mean([carried[g, line][row] for g, line, row in pool.names().tolist()], axis=0)
        carried[t, 0] = rng.random((N, RUNS)) < share
        counts.append(carried[t, 0].sum(0))
        archive = archive.add(t, {0: Pool.of(t, 0, range(N))})
    return np.array(counts)


def z_of(there: np.ndarray, law: list[float]) -> np.ndarray:
    return (there.mean(1) - law) / (there.std(1, ddof=1) / np.sqrt(RUNS))


def test_replace_loses_rare_attributes_as_wright_and_fisher_say() -> None:
    counts = survival(Replace())
    times = range(2, T + 2)  # the real set is the chain's first draw
    assert np.abs(z_of(counts > 0, [theory.wright_fisher_survival(P, N, t) for t in times])).max() < 3.5
    assert np.abs(z_of(counts / N, [P] * T)).max() < 3.5
    share = counts / N
    law = [theory.wright_fisher_heterozygosity(P, N, t) for t in times]
    assert np.abs(z_of(2 * share * (1 - share), law)).max() < 3.5
    assert np.abs(z_of(counts > 0, [theory.wright_fisher_survival(P, N, t - 1) for t in times])).max() > 10


def test_a_lost_attribute_comes_back_only_where_real_images_do() -> None:
    for regime, back in ((Replace(), False), (Fresh(), True), (Mix(), True), (Accumulate(), True)):
        counts = survival(regime)
        returned = (counts[1:] > 0) & (counts[:-1] == 0)
        assert returned.any() == back, regime.kind


def test_regimes_keep_rare_attributes_in_the_order_in_which_they_keep_variance() -> None:
    kept = {regime.kind: (survival(regime)[-1] > 0).mean() for regime in (Replace(), Mix(), Fresh(), Accumulate())}
    assert kept["replace"] < kept["mix"] < kept["fresh"]
    assert kept["replace"] < kept["accumulate"]
