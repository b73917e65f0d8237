from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelab.measurement import Measurement


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans(), st.integers(-2, 50))
def test_a_measurement_survives_its_line_of_json(value: float, text: str, predicted: bool, line: int):
    measurement = Measurement("x/1-2", value, text, 3, line, predicted=predicted, missing=text, stderr=abs(value))
    assert Measurement.from_json(measurement.to_json()) == measurement
    assert "\n" not in measurement.to_json()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(bad: float):
    with pytest.raises(ValueError, match="finite"):
        Measurement("x", bad)


def test_a_gap_needs_its_reason():
    with pytest.raises(ValueError, match="missing"):
        Measurement("x", None)
    assert Measurement("x", None, missing="too few images").value is None


@pytest.mark.parametrize("field", ["name", "unit", "estimator", "feature_space", "resize"])
def test_measurements_of_different_instruments_refuse_comparison(field: str):
    ours = Measurement("fd", 1.0)
    theirs = Measurement(**{"name": "fd", "value": 1.0, field: "other"})
    with pytest.raises(ValueError, match=f"{field} differs"):
        ours.check_comparable(theirs)


def test_a_placed_measurement_carries_its_floor():
    floor = Measurement("fd", 0.5, stderr=0.1)
    placed = Measurement("fd", 2.0).at(4, 1, floor)
    assert (placed.generation, placed.line, placed.floor, placed.floor_stderr) == (4, 1, 0.5, 0.1)


def test_a_torn_line_is_refused():
    whole = Measurement("fd", 1.0).to_json()
    with pytest.raises(ValueError, match="not a measurement"):
        Measurement.from_json(whole[:-3])
    with pytest.raises(ValueError, match="not a measurement"):
        Measurement.from_json('{"name": "fd", "value": 1.0, "colour": "red"}')
