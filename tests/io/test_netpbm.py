from __future__ import annotations

import io

import numpy as np
import pytest

from imagelab.io.pictures import pages_in, read_picture
from imagelab.io.reading import Reading

HIGH, WIDE = 5, 7


def read(content: bytes, **reading: float) -> np.ndarray:
    return read_picture(io.BytesIO(content), Reading(**reading)).pixels  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("most", [1, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize(("binary", "plain", "channels"), [(5, 2, 1), (6, 3, 3)])
def test_any_largest_value_is_white_in_binary_and_in_text(
    rng: np.random.Generator, most: int, binary: int, plain: int, channels: int
):
    values = rng.integers(0, most + 1, (HIGH, WIDE, channels))
    values[0, 0] = most
    expected = np.broadcast_to(np.rint(values * 255 / most).transpose(2, 0, 1), (3, HIGH, WIDE))
    head = f"# a comment\n{WIDE} {HIGH}\n{most}\n".encode()
    stored = values.astype(">u2" if most > 255 else np.uint8).tobytes()
    np.testing.assert_array_equal(read(f"P{binary}\n".encode() + head + stored), expected)
    text = " ".join(str(value) for value in values.ravel()).encode()
    np.testing.assert_array_equal(read(f"P{plain}\n".encode() + head + text), expected)


def test_ones_are_black_in_bitmaps(rng: np.random.Generator):
    bits = rng.integers(0, 2, (HIGH, WIDE)).astype(np.uint8)
    expected = np.broadcast_to(255 * (1 - bits), (3, HIGH, WIDE))
    head = f"{WIDE} {HIGH}\n".encode()
    np.testing.assert_array_equal(read(b"P4\n" + head + np.packbits(bits, axis=1).tobytes()), expected)
    np.testing.assert_array_equal(read(b"P1\n" + head + "".join(map(str, bits.ravel())).encode()), expected)


def test_pam_has_alpha_and_names_what_it_cannot_be():
    head = f"P7\nWIDTH {WIDE}\nHEIGHT {HIGH}\nDEPTH 4\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n"
    values = np.full((HIGH, WIDE, 4), 200, np.uint8)
    values[0, 0, 3] = 0
    pixels = read((head % "RGB_ALPHA").encode() + values.tobytes())
    assert (pixels[:, 0, 0] == 255).all()
    with pytest.raises(ValueError, match="PAM of 4 values a pixel, TUPLTYPE 'CMYK'"):
        read((head % "CMYK").encode() + values.tobytes())


@pytest.mark.parametrize(("scale", "order"), [("-1.0", "<f4"), ("1.0", ">f4")])
def test_pfm_is_read_with_a_stated_white_from_the_bottom_up(scale: str, order: str):
    values = np.linspace(0, 1, HIGH * WIDE * 3).reshape(HIGH, WIDE, 3).astype(order)
    content = f"PF\n{WIDE} {HIGH}\n{scale}\n".encode() + values[::-1].tobytes()
    with pytest.raises(ValueError, match=r"32-bit float values without an agreed white, from 0 to 1"):
        read(content)
    np.testing.assert_array_equal(read(content, white=1.0), np.rint(values * 255.0).transpose(2, 0, 1))


def test_several_pictures_in_one_file_are_counted_and_chosen():
    content = b"P5\n2 2\n255\n" + b"\0" * 4 + b"P5\n2 2\n255\n" + b"\xff" * 4
    assert pages_in(io.BytesIO(content)) == 2
    first, second = (read_picture(io.BytesIO(content), Reading(page=page)) for page in (None, 2))
    assert first.several and first.pixels.max() == 0 and second.pixels.min() == 255
    with pytest.raises(ValueError, match="page 3: the file holds 2"):
        read(content, page=3)
    assert read(content[:15], page=3).max() == 0, "a file of one picture has no other page"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"P5\n2 2\n255\n\0\0\0", "1 bytes are missing"),
        (b"P5\n2 2\n255\n" + b"\1" * 9, "bytes after the picture that are no other one"),
        (b"P5\n2 2\n70000\n" + b"\0" * 8, "largest value of 70000"),
        (b"P5\n90000 90000\n255\n", "limit of 64,000,000"),
        (b"P5\n0 2\n255\n", "0 x 2 pixels"),
        (b"P5\n2 x\n255\n", "no numbers"),
        (b"P2\n2 2\n255\n1 2 3", "3 of 4 values"),
        (b"P2\n2 2\n255\n1 2 3 -4", "no number"),
        (b"P2\n2 2\n255\n1 2 3 99999999999", "no number"),
        (b"P2\n2 2\n255\n1 2 3 256", "white is 255"),
    ],
)
def test_damage_is_refused_with_the_reason(content: bytes, reason: str):
    with pytest.raises(ValueError, match=reason):
        read(content)
