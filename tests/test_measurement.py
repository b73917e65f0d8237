from __future__ import annotations

import math
from typing import cast

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


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "5", "null", "[" * 100_000, '{"name": "a"}', '{"value": 1}'),
        *(f'{{"name": {value}, "value": 1}}' for value in ("[]", "null", '"' + "a" * 999 + '"', '"\\ud800"')),
        *(f'{{"name": "a", "value": {value}}}' for value in ('"1"', "true", "[1]", "null", "NaN", "1e999", "9" * 5000)),
        *(f'{{"name": "a", "value": 1, "floor": {value}}}' for value in ('""', "{}", "9" * 400)),
        *(f'{{"name": "a", "value": 1, "stderr": {value}}}' for value in ("-1", "false", "-" + "9" * 400)),
        *(f'{{"name": "a", "value": 1, "generation": {value}}}' for value in ('""', "1.5", "-1", "null", "9" * 40)),
        *(f'{{"name": "a", "value": 1, "line": {value}}}' for value in ("[1]", "-3", "true")),
        *(f'{{"name": "a", "value": 1, "feature_space": {value}}}' for value in ("5", "null", "[]")),
        *(f'{{"name": "a", "value": 1, "{key}": 1}}' for key in ("better", "predicted", "unknown", "k" * 9999)),
        '{"name": "a", "value": 1, "better": "up"}',
    ],
    ids=lambda text: text[:60],
)
def test_a_line_of_any_other_shape_is_refused_in_one_short_sentence(text: str):
    with pytest.raises(ValueError, match="not a measurement") as caught:
        Measurement.from_json(text)
    assert len(str(caught.value)) < 340


def test_a_number_written_without_a_point_is_read_as_the_same_number():
    read = Measurement.from_json('{"name": "a", "value": 5, "floor": 1' + "0" * 29 + "}")
    assert (read.value, read.floor) == (5, 1e29)
    assert isinstance(read.floor, float)


def test_the_interval_of_the_images_is_students_or_the_exact_one():
    assert Measurement("a", 1.0).interval is None
    low, high = cast("tuple[float, float]", Measurement("a", 1.0, stderr=0.1).interval)
    assert (round(low, 4), round(high, 4)) == (0.804, 1.196)
    low, high = cast("tuple[float, float]", Measurement("a", 1.0, stderr=0.1, df=19).interval)
    assert (round(low, 4), round(high, 4)) == (0.7907, 1.2093)
    assert Measurement("a", 0.0, stderr=0.1, df=19, low=0.0, high=0.004).interval == (0.0, 0.004)


def test_half_an_interval_is_refused():
    with pytest.raises(ValueError, match=r"expected low and high together, got 0\.5 and None"):
        Measurement("a", 1.0, low=0.5)


def test_the_errors_between_trainings_go_to_json_and_back():
    whole = Measurement("a", 1.0, stderr=0.1, df=19.0, low=0.8, high=1.3, between=0.2, between_df=4.5, chains=3)
    assert Measurement.from_json(whole.to_json()) == whole
    with pytest.raises(ValueError, match="expected chains to be at least 1"):
        Measurement.from_json('{"name": "a", "value": 1.0, "chains": 0}')
