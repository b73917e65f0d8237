from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from imagelab.io.colour import CONVERTED, FROM_LAB, NO_PROFILE, UNUSABLE, to_srgb
from imagelab.io.pictures import read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, gamma: float, primaries: tuple[tuple[float, float, float], ...]) -> bytes:
    """An ICC profile of version 2 with one curve, byte by byte; primaries are XYZ of red, green, blue under D50."""

    def fixed(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    named = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags = {b"desc": named, b"wtpt": fixed(0.9642, 1.0, 0.8249)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    for name, values in zip((b"r", b"g", b"b"), primaries, strict=False):
        tags |= {name + b"XYZ": fixed(*values), name + b"TRC": curve}
    table, body, place = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"test", 0x02100000, b"mntr", space, b"XYZ ")
    head = (head + bytes(12) + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


ADOBE = profile(b"RGB ", 2.2, ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)))
LINEAR_GREY = profile(b"GRAY", 1.0, ())


def saved(image: Image.Image, form: str = "PNG", **settings: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file


@pytest.fixture
def colours(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))


def test_pictures_without_a_profile_keep_their_bytes(colours: Image.Image):
    picture = read_picture(saved(colours))
    np.testing.assert_array_equal(picture.pixels, np.asarray(colours).transpose(2, 0, 1))
    assert picture.remarks == ()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_srgb_under_any_name_is_left_exactly(colours: Image.Image, mode: str):
    image = colours.convert(mode)
    with_profile, without = (read_picture(saved(image, icc_profile=content)) for content in (SRGB, None))
    np.testing.assert_array_equal(with_profile.pixels, without.pixels)
    assert with_profile.remarks == ()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_wider_space_is_converted_and_counted(form: str):
    image = Image.new("RGB", (4, 4), (128, 100, 90))
    picture = read_picture(saved(image, form, icc_profile=ADOBE))
    red, green, blue = picture.pixels[:, 0, 0].astype(int)
    # Adobe RGB (128, 100, 90) is sRGB (139, 100, 89) by the published matrices.
    assert abs(red - 139) <= 2 and abs(green - 100) <= 2 and abs(blue - 89) <= 2
    assert picture.remarks == (CONVERTED,)


def test_a_profile_is_used_at_sixteen_bits_and_below_transparency_too():
    deep = np.full((4, 4, 3), 128 * 257, np.uint16)
    assert read_picture(saved(Image.fromarray(deep[..., 0]), icc_profile=LINEAR_GREY)).pixels[0, 0, 0] == 188
    clear = Image.new("LA", (4, 4), (128, 255))
    assert read_picture(saved(clear, icc_profile=LINEAR_GREY)).pixels[0, 0, 0] == 188
    palette = Image.new("RGB", (4, 4), (128, 128, 128)).convert("P")
    picture = read_picture(saved(palette, icc_profile=ADOBE))
    assert picture.remarks == (CONVERTED,)


@pytest.mark.parametrize("content", [b"junk" * 50, SRGB[:300], LINEAR_GREY])
def test_a_profile_that_cannot_be_used_is_counted_and_changes_nothing(colours: Image.Image, content: bytes):
    picture = read_picture(saved(colours, icc_profile=content))
    np.testing.assert_array_equal(picture.pixels, np.asarray(colours).transpose(2, 0, 1))
    assert picture.remarks == (UNUSABLE,)


def test_cmyk_without_a_profile_is_said():
    picture = read_picture(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert picture.pixels[0, 0, 0] > 250 and picture.pixels[1, 0, 0] < 5 and picture.remarks == (NO_PROFILE,)


def test_lab_is_converted_by_its_definition():
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.new("RGB", (8, 8), (200, 120, 90)), transform)
    assert lab is not None
    lab.info.clear()
    picture = read_picture(saved(lab, "TIFF"))
    assert np.abs(picture.pixels[:, 0, 0].astype(int) - [200, 120, 90]).max() <= 3
    assert picture.remarks == (FROM_LAB,)


def test_a_very_long_profile_is_not_parsed():
    assert to_srgb("RGB", bytes(1 << 25)) == (None, UNUSABLE)
