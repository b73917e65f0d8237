"""Limits of shares and areas."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.intervals import area_interval, share_interval, wilson


@pytest.mark.parametrize(("share", "n"), [(0.5, 40), (0.05, 100), (0.01, 300), (0.98, 200)])
def test_wilsons_limits_hold_as_often_as_they_say(share, n, rng):
    found = [wilson(count / n, n) for count in rng.binomial(n, share, 2000)]
    assert 0.92 < np.mean([low <= share <= high for low, high in found]) < 0.985


def test_none_of_many_is_no_proof_of_none():
    low, high = share_interval(0.0, None, 100)
    assert (low, round(high, 3)) == (0.0, 0.037)
    assert share_interval(1.0, 0.0, 100)[0] == pytest.approx(1 - high)


def test_a_share_of_dependent_images_has_wider_limits():
    alone, together = share_interval(0.1, (0.1 * 0.9 / 300) ** 0.5, 300), share_interval(0.1, 0.05, 300)
    assert together[0] < alone[0] < 0.1 < alone[1] < together[1]
    assert alone == pytest.approx(wilson(0.1, 300))
    assert wilson(0.1, 30, df=8)[1] > wilson(0.1, 30)[1]


def test_the_limits_of_an_area_stay_within_it_and_say_something_at_one():
    low, high = area_interval(0.995, 0.004, 100)
    assert 0.97 < low < 0.995 < high < 1.0
    assert area_interval(0.5, 0.02, 100) == pytest.approx((0.461, 0.539), abs=0.001)  # as value +- 1.96 stderr
    # of 100 images none was out of order; 3.6 % that always are would be overlooked once in forty times
    assert area_interval(1.0, None, 100) == (pytest.approx(0.964, abs=0.001), 1.0)
    assert area_interval(0.0, None, 100) == (0.0, pytest.approx(0.036, abs=0.001))


def test_of_no_independent_image_nothing_is_known():
    assert share_interval(0.0, None, 0) == (0.0, 1.0)
