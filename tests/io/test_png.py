from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from imagelab.io.pictures import read_picture
from imagelab.io.png import UNUSED_COLOURS, png_header
from imagelab.io.reading import Reading

Png = Callable[..., bytes]

GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "channels"), [(GREY, 1), (RGB, 3), (GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_sixteen_bits_are_rounded_and_not_cut(
    png_of: Png, rng: np.random.Generator, kind: int, channels: int, interlaced: bool
):
    values = rng.integers(0, 65536, (13, 11, channels))
    if kind in (GREY_ALPHA, RGB_ALPHA):
        values[..., -1] = 65535
    picture = read_picture(io.BytesIO(png_of(values, 16, kind, interlaced=interlaced)))
    colours = np.rint(values[..., : 3 if channels > 2 else 1] / 65535 * 255).transpose(2, 0, 1)
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(colours, (3, 13, 11)))
    assert picture.deep and picture.transparent == (channels in (2, 4))


@pytest.mark.parametrize(("kind", "channels"), [(GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_transparency_of_sixteen_bits_is_laid_over_the_colour(png_of: Png, kind: int, channels: int):
    values = np.full((4, 4, channels), 65535)
    values[1, 1, -1] = 0
    values[2, 2, -1] = 32768
    pixels = read_picture(io.BytesIO(png_of(values, 16, kind)), Reading(alpha_over=(0, 0, 0))).pixels
    assert (pixels[:, 1, 1] == 0).all() and (pixels[:, 0, 0] == 255).all()
    assert np.abs(pixels[:, 2, 2].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_value_of_grey_is_found_at_every_depth(png_of: Png, bits: int):
    white = 2**bits - 1
    values = np.full((4, 4), white)
    values[0, 0] = 0
    content = png_of(values, bits, GREY, ((b"tRNS", struct.pack(">H", white)),))
    picture = read_picture(io.BytesIO(content), Reading(alpha_over=(9, 9, 9)))
    assert picture.transparent
    assert picture.pixels[0, 0, 0] == 0 and (picture.pixels[:, 1:, 1:] == 9).all()


def test_a_transparent_colour_of_sixteen_bits_has_to_fit_in_all_bits(png_of: Png):
    values = np.full((2, 2, 3), 40_000)
    values[0, 0] = 40_001
    content = png_of(values, 16, RGB, ((b"tRNS", struct.pack(">3H", 40_001, 40_001, 40_001)),))
    pixels = read_picture(io.BytesIO(content)).pixels
    assert pixels[0, 0, 0] == 255 and (pixels[:, 1] == 156).all()


@pytest.mark.parametrize(
    ("chunk", "other"),
    [
        ((b"gAMA", struct.pack(">I", 45455)), False),
        ((b"gAMA", struct.pack(">I", 100_000)), True),
        ((b"sRGB", b"\0"), False),
        ((b"cICP", b"\x01\x0d\x00\x01"), False),
        ((b"cICP", b"\x09\x10\x00\x01"), True),
        ((b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)), True),
    ],
)
def test_colours_that_are_stated_to_be_others_are_said_and_not_changed(
    png_of: Png, chunk: tuple[bytes, bytes], other: bool
):
    picture = read_picture(io.BytesIO(png_of(np.full((4, 4, 3), 77), 8, RGB, (chunk,))))
    assert (picture.pixels == 77).all()
    assert picture.remarks == ((UNUSED_COLOURS,) if other else ())


def test_a_changed_byte_of_the_pixels_is_refused(png_of: Png, rng: np.random.Generator):
    content = bytearray(png_of(rng.integers(0, 65536, (9, 9, 3)), 16, RGB))
    content[80] ^= 1
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_picture(io.BytesIO(bytes(content)))
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_picture(io.BytesIO(bytes(content[:200])))


def test_the_header_says_what_the_file_is(png_of: Png):
    header = png_header(io.BytesIO(png_of(np.zeros((3, 5)), 2, GREY, interlaced=True)))
    assert (header.width, header.height, header.depth, header.kind, header.interlaced) == (5, 3, 2, GREY, True)
    assert len(header.data) == 1
    with pytest.raises(ValueError, match="header is not whole"):
        png_header(io.BytesIO(b"\x89PNG"))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_no_flipped_bit_of_the_pixels_of_a_png_is_read_in_silence(mode: str):
    """Pillow does not compare the checksum of the pixels; damage near their end would give other values."""
    rng = np.random.default_rng(0)
    stored = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).convert(mode).save(stored, "PNG")
    content = stored.getvalue()
    place = content.index(b"IDAT")
    length = int.from_bytes(content[place - 4 : place], "big")
    for at in range(place + 4, place + 8 + length):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError, match=r"damaged|broken|truncated|checksum|decod"):
            read_picture(io.BytesIO(bytes(damaged)))
