from __future__ import annotations

import numpy as np
import pytest

from imagelab.io.depth import Levels, ValueForm, ValueWindow, levels_of


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 16])
def test_every_integer_is_rounded_to_the_nearest_byte(bits: int):
    white = 2**bits - 1
    values = np.arange(white + 1, dtype=np.uint16)
    found = levels_of(ValueForm("u", bits), None).bytes_of(values)
    np.testing.assert_array_equal(found, np.rint(values * 255.0 / white))


def test_a_stated_white_is_for_values_that_are_not_bytes():
    assert levels_of(ValueForm("u", 8), 4095).white == 255
    assert levels_of(ValueForm("u", 16), 4095).white == 4095


@pytest.mark.parametrize("form", [ValueForm("i", 8), ValueForm("u", 32), ValueForm("f", 32)])
def test_other_values_have_no_agreed_white(form: ValueForm):
    levels = levels_of(form, None)
    assert not levels.bytes_of(np.array([0, 3], np.int16)).any()
    assert not levels.bytes_of(np.array([9, 2], np.int16)).any()
    told = (
        rf"{form.bits}-bit \w+ values without an agreed white, "
        r"from 0 to 9 .*--white 9 \(in Python white=9; of a run --data.white 9\)"
    )
    with pytest.raises(ValueError, match=told):
        levels.check()
    assert levels_of(form, 7.0).white == 7.0


@pytest.mark.parametrize(
    ("values", "flags"),
    [([0, 0.25], "--white 1 "), ([0, 0], "--white 1 "), ([-1024, 3071], "--data.black -1024 --data.white 3071 ")],
)
def test_the_flags_that_are_named_fit_the_values(values: list[float], flags: str):
    levels = levels_of(ValueForm("f", 32), None)
    levels.bytes_of(np.array(values))
    with pytest.raises(ValueError, match=flags):
        levels.check()


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_between_a_stated_black_and_white_values_are_rounded_and_beyond_them_cut_and_counted(dtype: type):
    window = ValueWindow(100, 300)
    levels = levels_of(ValueForm("f", 32), window)
    assert levels.bytes_of(np.array([0, 99, 100, 101, 200, 300, 301], dtype)).tolist() == [0, 0, 0, 1, 128, 255, 255]
    assert levels.bytes_of(np.array([400], dtype)).tolist() == [255]
    levels.check()
    assert window.cut == 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused_in_a_window_too(value: float):
    with pytest.raises(ValueError, match="NaN or infinite"):
        levels_of(ValueForm("f", 32), ValueWindow(0, 1)).bytes_of(np.array([0.5, value]))


def test_a_window_is_not_for_bytes():
    assert levels_of(ValueForm("u", 8), ValueWindow(10, 20)).bytes_of(np.array([5, 255], np.uint8)).tolist() == [5, 255]


@pytest.mark.parametrize("values", [[np.nan, 0.5], [np.inf, 0.5], [-0.1, 0.5], [0.5, 1.1]])
def test_nothing_is_clipped_in_silence(values: list[float]):
    with pytest.raises(ValueError, match="black is 0 and white is 1"):
        Levels(1.0).bytes_of(np.array(values))


def test_what_float_arithmetic_leaves_beyond_the_ends_is_white_and_black():
    assert Levels(1.0).bytes_of(np.array([-1e-8, 1 + 1e-7])).tolist() == [0, 255]


def test_a_white_is_doubted_only_where_it_is_the_agreed_one_of_sixteen_bits():
    for levels, refused in ((levels_of(ValueForm("u", 16), None), True), (levels_of(ValueForm("u", 16), 65535), False)):
        levels.bytes_of(np.array([0, 1000], np.uint16))
        if refused:
            with pytest.raises(ValueError, match="none above 1000 of 65535: most likely 10-bit values"):
                levels.check()
        else:
            levels.check()
    black = levels_of(ValueForm("u", 16), None)
    black.bytes_of(np.zeros(3, np.uint16))
    black.check()
