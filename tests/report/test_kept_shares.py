from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from imagelab.evaluation.chains import repetition
from imagelab.measurement import Measurement
from imagelab.report.kept_shares import KeptShares, kept_together


def shares_of(
    values: Sequence[float] | np.ndarray, errors: Sequence[float], generation: int = 0, chains: int = 1, n: int = 1000
) -> list[Measurement]:
    """Return one measurement an attribute; generated ones differ between trainings as much as between images."""
    made = generation > 0
    return [
        Measurement(
            f"tails/a{k}",
            float(value),
            generation=generation,
            stderr=error,
            n_fake=n,
            chains=chains,
            between=error if made else None,
            between_df=20.0 if made else None,
        )
        for k, (value, error) in enumerate(zip(values, errors, strict=True))
    ]


def kept(made: Sequence[float], real: Sequence[float], error: float = 0.002, known: bool = True) -> KeptShares:
    errors = [error] * len(real)
    start = [float(value) for value in real] if known else [None] * len(real)
    return kept_together(shares_of(made, errors, 1), shares_of(real, errors), start, 1)


def test_a_gain_counts_as_kept_and_a_loss_as_lost():
    found = kept((0.0, 0.3), (0.1, 0.1))
    assert found.value == pytest.approx(0.5) and found.low < 0.5 < found.high < 0.6
    assert kept((0.1, 0.3), (0.1, 0.1)).value == 1.0


def test_the_interval_of_one_lost_attribute_is_that_of_its_repetition():
    (m,) = shares_of((0.02,), (0.002,), 1)
    ends = repetition(m)
    found = kept((0.02,), (0.1,))
    assert ends is not None and (found.low, found.high) == pytest.approx((ends[0] / 0.1, ends[1] / 0.1))


def test_the_interval_stays_between_nothing_and_all():
    assert kept((0.0, 0.0), (0.01, 0.01), 0.01).low == 0.0
    assert kept((0.2, 0.2), (0.1, 0.1), 0.01).high == 1.0


@pytest.mark.parametrize("left", [(1.0,) * 6, (0.2,) * 6, (0.1, 0.3, 1.0, 1.0, 1.5, 0.9)])
def test_the_interval_holds_the_figure_of_another_run(left: tuple[float, ...]):
    rng, start, error = np.random.default_rng(5), np.full(6, 0.1), 0.008
    true = start * np.array(left)
    found = []
    for _ in range(400):
        first, second = (true + np.sqrt(2) * error * rng.standard_normal(6) for _ in range(2))
        one = kept_together(shares_of(first, [error] * 6, 1), shares_of(start, [error] * 6), list(start), 1)
        found.append(one.low <= np.minimum(second, start).sum() / start.sum() <= one.high)
    assert np.mean(found) >= 0.93


def test_an_unknown_start_widens_the_interval():
    sure, unsure = (kept((0.05, 0.05), (0.1, 0.1), 0.01, known) for known in (True, False))
    assert unsure.high - unsure.low > sure.high - sure.low


def test_chance_is_what_wright_fisher_runs_leave_of_the_same_sum():
    start, n, generations = np.array([0.04, 0.02]), 400, 5
    rng, shares = np.random.default_rng(1), np.tile(start, (40_000, 1))
    for _ in range(generations):
        shares = rng.binomial(n, shares) / n
    wanted = np.quantile(np.minimum(shares, start).sum(axis=1) / start.sum(), (0.025, 0.975))
    made = [replace(m, n_fake=n) for m in shares_of(start, (1e-6, 1e-6), generations)]
    found = kept_together(made, shares_of(start, (1e-6, 1e-6)), list(start), generations)
    assert found.chance == pytest.approx(tuple(wanted), abs=0.02)
    several = [replace(m, chains=4) for m in made]
    assert kept_together(several, shares_of(start, (1e-6, 1e-6)), list(start), generations).chance[0] > found.chance[0]
