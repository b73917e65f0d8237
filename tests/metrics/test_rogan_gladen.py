"""Shares from a test with errors: limits that cover, on both sides, where few are found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from imagelab.metrics.freckle_calibration import CardValue
from imagelab.metrics.rogan_gladen import binomial_limits, corrected, corrected_limits


def card(value: float, n: int) -> CardValue:
    likely = (value * n + 0.5) / (n + 1)
    return CardValue(value, math.sqrt(likely * (1 - likely) / n), n)


def test_binomial_limits_leave_the_stated_tail_on_either_side():
    for found, n in ((1, 20), (7, 50), (49, 50), (300, 10_000)):
        low, high = binomial_limits(found, n)
        assert binom.sf(found, n, low) + binom.pmf(found, n, low) / 2 == pytest.approx(0.025, rel=1e-4)
        assert binom.cdf(found - 1, n, high) + binom.pmf(found, n, high) / 2 == pytest.approx(0.025, rel=1e-4)


@pytest.mark.parametrize("n", [1, 30, 1000])
def test_none_and_all_have_limits_at_the_ends(n):
    assert binomial_limits(0, n)[0] == 0 and binomial_limits(n, n)[1] == 1
    assert binomial_limits(0, n)[1] == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-6)
    assert binomial_limits(n, n)[0] == pytest.approx(0.05 ** (1 / n), rel=1e-6)


@pytest.mark.parametrize("found", [0, 1, 5, 400])
def test_the_limits_contain_the_value_and_widen_with_less_calibration(found):
    value, _ = corrected(found, 1000, card(0.9, 150), card(0.998, 4000))
    low, high = corrected_limits(found, 1000, card(0.9, 150), card(0.998, 4000))
    assert low <= value <= high
    wide = corrected_limits(found, 1000, card(0.9, 20), card(0.998, 500))
    assert wide[0] <= low and high <= wide[1]


def test_with_many_found_the_limits_are_those_of_the_standard_error():
    value, error = corrected(4000, 10_000, card(0.9, 20_000), card(0.99, 20_000))
    low, high = corrected_limits(4000, 10_000, card(0.9, 20_000), card(0.99, 20_000))
    assert (low, high) == pytest.approx((value - 1.96 * error, value + 1.96 * error), abs=0.02 * error)


@pytest.mark.parametrize("expected", [0.5, 1.5, 5, 50])
@pytest.mark.parametrize(("sensitivity", "specificity"), [((0.97, 300), (0.9998, 4000)), ((0.83, 150), (0.996, 4000))])
def test_limits_cover_a_rare_share_and_do_not_call_it_lost(expected, sensitivity, specificity):
    """Se, Sp and the images are drawn 600 times; a coverage of .95 is then known to .009."""
    rng, n, repeats, lost, gained = np.random.default_rng(2), 1000, 600, 0, 0
    share = expected / n
    for _ in range(repeats):
        met = rng.binomial(sensitivity[1], sensitivity[0]) / sensitivity[1]
        spared = rng.binomial(specificity[1], specificity[0]) / specificity[1]
        there = rng.binomial(n, share)
        found = rng.binomial(there, sensitivity[0]) + rng.binomial(n - there, 1 - specificity[0])
        low, high = corrected_limits(int(found), n, card(met, sensitivity[1]), card(spared, specificity[1]))
        lost, gained = lost + (high < share), gained + (low > share)
    assert lost / repeats < 0.05 and gained / repeats < 0.05
    assert 1 - (lost + gained) / repeats > 0.92
