from __future__ import annotations

import math

import pytest
from scipy.stats import norm, t

from imagelab.evaluation.chains import loop_error
from imagelab.evaluation.significance import holm, improbable, joined, replicated, sigmas
from imagelab.measurement import Measurement


def test_the_degrees_of_freedom_lie_between_those_of_the_parts_and_their_sum():
    error, df = joined([(1.0, 5.0), (1.0, 5.0)])
    assert error == pytest.approx(math.sqrt(2)) and df == pytest.approx(10.0)
    assert joined([(1.0, 5.0), (0.0, 2.0)]) == (1.0, pytest.approx(5.0))
    assert joined([(1.0, None), (2.0, None)])[1] is None and joined([(0.0, 5.0)]) == (0.0, None)


def test_the_error_of_a_loop_is_that_of_its_two_parts():
    m = Measurement("own", 1.0, stderr=0.3, df=19, between=0.8, between_df=3, chains=4)
    assert loop_error(m) == pytest.approx(joined([(0.3, 19), (0.4, 3)]))


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
