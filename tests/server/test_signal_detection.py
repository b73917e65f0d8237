from __future__ import annotations

import pytest
from scipy.stats import norm

from imagelab.server.signal_detection import sensitivity


def test_without_correction_it_is_the_published_example():
    # Stanislaw and Todorov 1999, doi:10.3758/BF03207704: 20 hits of 25, 10 false alarms of 25
    found = sensitivity(20, 25, 10, 25, half=0.0)
    assert found.d_prime == pytest.approx(norm.ppf(0.8) - norm.ppf(0.4)) == pytest.approx(1.095, abs=5e-4)
    assert found.criterion == pytest.approx(-0.294, abs=5e-4)


def test_the_log_linear_correction_adds_half_a_picture_to_each_count():
    found = sensitivity(20, 20, 0, 12)
    hit, alarm = norm.ppf(20.5 / 21), norm.ppf(0.5 / 13)
    assert found.d_prime == pytest.approx(hit - alarm) and found.criterion == pytest.approx(-(hit + alarm) / 2)
    assert (found.hit_rate, found.false_alarm_rate) == (1.0, 0.0)


def test_the_interval_is_that_of_gourevitch_and_galanter():
    found = sensitivity(15, 20, 5, 20)
    rates = 15.5 / 21, 5.5 / 21
    variance = sum(p * (1 - p) / (20 * norm.pdf(norm.ppf(p)) ** 2) for p in rates)
    assert (
        found.high - found.d_prime
        == pytest.approx(1.959964 * variance**0.5)
        == pytest.approx(found.d_prime - found.low)
    )


def test_chance_is_zero_and_swapping_the_words_changes_the_sign():
    assert sensitivity(7, 20, 7, 20).d_prime == 0
    first, swapped = sensitivity(15, 20, 4, 20), sensitivity(4, 20, 15, 20)
    assert first.d_prime == pytest.approx(-swapped.d_prime) and first.criterion == pytest.approx(swapped.criterion)


@pytest.mark.parametrize("counts", [(21, 20, 0, 20), (-1, 20, 0, 20), (0, 0, 0, 20), (5, 20, 3, 0)])
def test_counts_out_of_range_are_refused(counts: tuple[int, int, int, int]):
    with pytest.raises(ValueError, match="expected counts within their totals"):
        sensitivity(*counts)


def test_a_rate_of_one_has_no_d_prime_without_correction():
    with pytest.raises(ValueError, match="without correction"):
        sensitivity(20, 20, 5, 20, half=0.0)
