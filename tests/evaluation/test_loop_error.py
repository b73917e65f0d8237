from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from imagelab.evaluation.loop_error import holm, improbable, joined, loop_error, replicated, sigmas
from imagelab.measurement import Measurement


def test_one_training_has_the_error_of_its_images_and_no_error_has_none():
    assert loop_error(Measurement("own", 1.0, stderr=0.3, df=19)) == (0.3, 19)
    assert loop_error(Measurement("own", 1.0)) is None


def test_several_trainings_add_their_spread_divided_by_their_number():
    m = Measurement("own", 1.0, stderr=0.3, between=0.8, between_df=3, chains=4)
    error, df = loop_error(m) or (0.0, None)
    assert error == pytest.approx(0.5) and df == pytest.approx(0.5**4 / (0.4**4 / 3))


def test_the_degrees_of_freedom_lie_between_those_of_the_parts_and_their_sum():
    error, df = joined([(1.0, 5.0), (1.0, 5.0)])
    assert error == pytest.approx(math.sqrt(2)) and df == pytest.approx(10.0)
    assert joined([(1.0, 5.0), (0.0, 2.0)]) == (1.0, pytest.approx(5.0))
    assert joined([(1.0, None), (2.0, None)])[1] is None and joined([(0.0, 5.0)]) == (0.0, None)


def test_an_interval_of_a_loop_covers_the_mean_of_all_its_trainings():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        values = rng.normal(0.0, 1.0, 3)  # three trainings; the real images add their own error, .5, to all three
        shift = rng.normal(0.0, 0.5)
        m = Measurement(
            "own", values.mean() + shift, stderr=0.5, between=float(values.std(ddof=1)), between_df=2, chains=3
        )
        error, df = loop_error(m) or (0.0, None)
        covered += abs(m.value or 0.0) < t.ppf(0.975, df) * error
    assert 0.92 < covered / 2000 < 0.97  # .930: Satterthwaite's t is a little short with two degrees of freedom


def test_only_trainings_of_the_loop_itself_are_replicates():
    assert replicated(Measurement("own", 1.0, between=0.1, chains=3))
    assert not replicated(Measurement("own", 1.0, between=0.1)) and not replicated(Measurement("own", 1.0, chains=3))


@pytest.mark.parametrize("df", [1.0, 2.0, 7.3, 19.0])
def test_students_errors_become_the_normal_ones_that_are_as_improbable(df: float):
    for value in (-4.0, 0.0, 0.5, 3.0):
        assert norm.sf(sigmas(value, 1.0, df)) == pytest.approx(t.sf(value, df))
    assert sigmas(1.0, 0.0, df) == math.inf and sigmas(-1.0, 0.0, df) == -math.inf


def test_p_values_are_those_of_a_normal_distribution_and_are_corrected_for_their_number():
    assert improbable(1.7) == pytest.approx(norm.sf(1.7)) and improbable(-math.inf) == 1.0
    assert holm([0.01, 0.04, 0.03, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
