from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

from imagelab.io.pictures import read_picture
from imagelab.io.reading import Reading
from imagelab.io.tiff import directories

Tiff = Callable[..., bytes]

RAMP = np.linspace(0, 1, 32)[None, :, None] * np.ones((8, 1, 1))


def grey(content: bytes, **reading: float) -> np.ndarray:
    """Return the first row of the first channel."""
    return read_picture(io.BytesIO(content), Reading(**reading)).pixels[0, 0]  # pyright: ignore[reportArgumentType]


def levels(white: int, dtype: type = np.uint16) -> np.ndarray:
    return np.rint(RAMP * white).astype(dtype)


EXPECTED = np.rint(RAMP[0, :, 0] * 255)


@pytest.mark.parametrize("bits", [4, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_of_any_depth_has_the_white_of_its_bits(tiff_of: Tiff, bits: int, order: str):
    values = levels(2**bits - 1, np.uint8 if bits <= 8 else np.uint16)
    found = grey(tiff_of(values, bits, order))
    assert np.abs(found.astype(int) - EXPECTED).max() <= (8 if bits == 4 else 1)
    assert found[0] == 0 and found[-1] == 255


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16), (12, np.uint16)])
def test_white_that_is_zero_is_white(tiff_of: Tiff, bits: int, dtype: type):
    plain = grey(tiff_of(levels(2**bits - 1, dtype), bits))
    inverted = grey(tiff_of((2**bits - 1 - levels(2**bits - 1, dtype)).astype(dtype), bits, t262=(3, [0])))
    assert (plain == inverted).all()


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("channels", [3, 4])
def test_planes_and_interleaved_values_are_the_same_picture(
    tiff_of: Tiff, rng: np.random.Generator, bits: int, dtype: type, channels: int
):
    values = rng.integers(0, 2**bits, (9, 7, channels)).astype(dtype)
    colours = {"t262": (3, [5])} if channels == 4 else {}
    one, two = (read_picture(io.BytesIO(tiff_of(values, bits, planes=p, **colours))).pixels for p in (False, True))
    np.testing.assert_array_equal(one, two)
    if channels == 3:
        np.testing.assert_array_equal(one, np.rint(values / (2**bits - 1) * 255).transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_signed_values_are_refused_unless_white_is_stated(tiff_of: Tiff, dtype: type):
    bits, most = np.dtype(dtype).itemsize * 8, int(np.iinfo(dtype).max)
    content = tiff_of(levels(most, dtype), bits, t339=(3, [2]))
    with pytest.raises(ValueError, match=rf"{bits}-bit signed values without an agreed white.*--white {most}"):
        grey(content)
    assert np.abs(grey(content, white=most) - EXPECTED).max() <= 1
    with pytest.raises(ValueError, match="black is 0 and white is"):
        grey(tiff_of((levels(most, dtype) - 5).astype(dtype), bits, t339=(3, [2])), white=most)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_values_are_refused_unless_white_is_stated(tiff_of: Tiff, dtype: type):
    content = tiff_of(RAMP.astype(dtype), np.dtype(dtype).itemsize * 8, t339=(3, [3]))
    with pytest.raises(ValueError, match=r"without an agreed white, from 0 to 1 .*say .*--white 1 "):
        grey(content)
    assert np.abs(grey(content, white=1.0) - EXPECTED).max() <= (dtype == np.float16)
    broken = RAMP.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="values from nan"):
        grey(tiff_of(broken.astype(dtype), np.dtype(dtype).itemsize * 8, t339=(3, [3])), white=1.0)


def test_ten_bits_in_sixteen_are_refused_unless_white_is_stated(tiff_of: Tiff):
    content = tiff_of(levels(1023), 16)
    with pytest.raises(ValueError, match=r"none above 1023 of 65535: most likely 10-bit values.*--white 1023"):
        grey(content)
    assert np.abs(grey(content, white=1023) - EXPECTED).max() <= 1
    assert grey(content, white=65535).max() == 4
    assert grey(tiff_of(levels(3) * 257, 16)).max() == 3, "bytes written twice are a dark picture"


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_associated_and_other_alpha_are_laid_over_the_colour(tiff_of: Tiff, bits: int, dtype: type, channels: int):
    white, half = 2**bits - 1, 2 ** (bits - 1)
    colour = np.full((4, 4, channels), white)
    alpha = np.full((4, 4, 1), half)
    alpha[0] = white
    share = alpha / white
    meaning = {"t262": (3, [2 if channels == 3 else 1])}
    for kind, stored in ((2, colour), (1, np.rint(colour * share))):
        values = np.concatenate([stored, alpha], axis=2).astype(dtype)
        picture = read_picture(
            io.BytesIO(tiff_of(values, bits, t338=(3, [kind]), **meaning)), Reading(alpha_over=(0, 0, 0))
        )
        assert picture.transparent
        assert np.abs(picture.pixels[0] - 255 * share[..., 0]).max() <= 1


def test_a_predictor_without_compression_is_refused_with_the_reason(tiff_of: Tiff):
    with pytest.raises(ValueError, match=r"predictor \(2\) but no compression"):
        grey(tiff_of(levels(255, np.uint8), 8, t317=(3, [2])))


def test_channels_without_a_meaning_are_refused_in_grey_and_counted_in_colour(tiff_of: Tiff):
    values = np.full((4, 4, 4), 9, np.uint8)
    with pytest.raises(ValueError, match="4 channels without a stated meaning"):
        grey(tiff_of(values, 8))
    picture = read_picture(io.BytesIO(tiff_of(values, 8, t262=(3, [2]))))
    assert not picture.transparent and "extra channels" in picture.remarks[0]


def test_unknown_colours_are_named(tiff_of: Tiff):
    with pytest.raises(ValueError, match="photometric 32803"):
        grey(tiff_of(levels(255, np.uint8), 8, t262=(3, [32803])))


def test_a_circle_of_pages_ends(tiff_of: Tiff):
    content = tiff_of(levels(255, np.uint8), 8, following=8 + RAMP.size)
    with pytest.raises(ValueError, match="circle"):
        list(directories(io.BytesIO(content)))
    picture = read_picture(io.BytesIO(content))
    assert picture.said and "circle" in picture.said[0], "the first picture is read, and the fault is told"


def test_the_limit_of_pixels_holds_before_anything_is_decoded(tiff_of: Tiff):
    with pytest.raises(ValueError, match="limit of 64,000,000"):
        grey(tiff_of(levels(65535), 16, t256=(4, [60_000]), t257=(4, [60_000])))
