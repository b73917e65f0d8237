from __future__ import annotations

from dataclasses import replace

import pytest

from imagelab.evaluation.comparison import by_name, compare_to_floor, gaps
from imagelab.measurement import Measurement
from imagelab.pool import REAL

FID = Measurement("fid", 8.0, stderr=0.3, better="lower", floor=2.0, floor_stderr=0.4, n_real=100, n_fake=100)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "4.0 x the floor, +12.0 sigma"),
        ({"value": 2.9}, "within the floor"),
        ({"value": 80.0}, "40 x the floor, +156.0 sigma"),
        ({"value": 0.0}, "below the floor, -4.0 sigma"),
        ({"floor": 0.1}, "+15.8 sigma"),  # no ratio to a floor that is not above its own error
        ({"better": "two-sided"}, "+12.0 sigma"),
        ({"better": "higher", "value": 1.2}, "within the floor"),
        ({"better": "higher", "value": 0.5}, "-3.0 sigma"),
        ({"unit": "AUC"}, "+12.0 sigma"),  # a ratio of AUCs has no meaning
        ({"better": "none"}, ""),
        ({"floor": None, "floor_stderr": None}, ""),
        ({"floor_stderr": None}, "4.0 x the floor (no error known)"),
        ({"stderr": None, "better": "two-sided"}, "+6 from the floor (no error known)"),
        ({"stderr": None, "floor_stderr": None, "value": 2.0}, "within the floor"),
        ({"value": None, "missing": "too few"}, "missing"),
    ],
)
def test_a_value_is_compared_with_its_floor(changed: dict, expected: str):
    assert compare_to_floor(replace(FID, **changed)) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "4.0 x the floor, +12.0 sigma"),
        ({"value": 2.1}, "within a floor of fewer images"),
        ({"value": 0.0}, "below a floor of fewer images"),
        ({"value": 0.0, "better": "two-sided"}, "-4.0 sigma"),
        ({"value": 2.1, "better": "higher"}, "within the floor"),
    ],
)
def test_a_floor_of_fewer_images_decides_only_about_values_above_it(changed: dict, expected: str):
    assert compare_to_floor(replace(FID, **changed), fewer=True) == expected


def test_a_difference_is_counted_in_units_of_both_errors():
    (each,) = gaps({"fid": FID}, {"fid": replace(FID, value=3.0, stderr=0.4)})
    assert (each.gap, each.sigma, each.words, each.note) == (5.0, 0.5, "+10.0 sigma", "")


def test_a_difference_within_two_errors_is_not_significant():
    (each,) = gaps({"fid": FID}, {"fid": replace(FID, value=8.5)})
    assert each.words == "no difference that shows"


@pytest.mark.parametrize("field", ["estimator", "feature_space", "resize", "unit"])
def test_numbers_of_other_instruments_are_refused_with_the_reason(field: str):
    (each,) = gaps({"fid": FID}, {"fid": replace(FID, **{field: "another"})})
    assert each.gap is None and each.refused.startswith(f"{field} differs")


def test_numbers_of_different_n_are_compared_with_a_warning():
    (each,) = gaps({"fid": FID}, {"fid": replace(FID, n_fake=50)})
    assert each.gap == 0.0 and "100/50 then, 100/100 now" in each.note


def test_what_only_one_result_has_and_what_is_missing_is_not_compared():
    missing = replace(FID, value=None, missing="no weights")
    assert [each.refused for each in gaps({"fid": FID, "kid": FID}, {"fid": missing, "lpips": FID})] == [
        "missing earlier: no weights",
        "not measured earlier",
        "not measured now",
    ]


def test_floors_and_predictions_are_left_out():
    floor, prediction = FID.at(0, REAL), replace(FID, predicted=True)
    assert by_name([floor, prediction, FID.at(1, 0)], "here") == {"fid": FID.at(1, 0)}
    assert by_name([floor], "here") == {"fid": floor}


def test_several_generations_are_refused_until_one_is_named():
    with pytest.raises(ValueError, match="several generations; name one: @1, @1:1, @2"):
        by_name([FID.at(1, 0), FID.at(1, 1), FID.at(2, 0)], "run")
