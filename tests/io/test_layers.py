from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from imagelab.io import layers as module
from imagelab.io.layers import Layers, pixels_of, turned

WHITE = (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(rng: np.random.Generator, orientation: int):
    image = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image)).transpose(2, 0, 1)
    np.testing.assert_array_equal(turned(np.asarray(image).transpose(2, 0, 1), orientation), expected)
    np.testing.assert_array_equal(pixels_of(Layers(image, orientation=orientation), WHITE), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_bands_of_rows_give_the_same_picture_as_all_at_once(
    rng: np.random.Generator, mode: str, monkeypatch: pytest.MonkeyPatch
):
    colours = Image.fromarray(rng.integers(0, 256, (50, 40, 4), np.uint8))
    image = colours.convert("RGB").convert(mode) if mode in ("YCbCr", "HSV") else colours.convert(mode)
    at_once = pixels_of(Layers(image), WHITE)
    monkeypatch.setattr(module, "BAND", 70)
    np.testing.assert_array_equal(pixels_of(Layers(image), WHITE), at_once)
    if mode not in ("LA", "RGBA"):
        np.testing.assert_array_equal(at_once, np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_transparency_is_laid_over_as_pillow_lays_it(rng: np.random.Generator):
    image = Image.fromarray(rng.integers(0, 256, (9, 9, 4), np.uint8))
    expected = Image.alpha_composite(Image.new("RGBA", image.size, (10, 20, 30, 255)), image).convert("RGB")
    found = pixels_of(Layers(image), (10, 20, 30))
    np.testing.assert_array_equal(found, np.asarray(expected).transpose(2, 0, 1))
    apart = Layers(image.convert("RGB"), alpha=np.asarray(image.getchannel("A")))
    np.testing.assert_array_equal(pixels_of(apart, (10, 20, 30)), found)


def test_a_transparent_colour_of_a_palette_shows_what_is_behind():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info["transparency"] = 1
    assert (pixels_of(Layers(image), (1, 2, 3))[:, 0, 0] == [1, 2, 3]).all()


def test_premultiplied_colours_are_not_multiplied_again():
    image = Image.frombytes("RGBa", (1, 1), bytes([100, 50, 0, 128]))
    assert pixels_of(Layers(image), WHITE)[:, 0, 0].tolist() == [227, 177, 127]
    grey = Image.frombytes("La", (1, 1), bytes([100, 128]))
    assert pixels_of(Layers(grey), (0, 0, 0))[:, 0, 0].tolist() == [100, 100, 100]


def test_grey_takes_the_memory_of_one_channel():
    pixels = pixels_of(Layers(Image.new("L", (30, 20), 7)), WHITE)
    assert pixels.shape == (3, 20, 30) and pixels.strides[0] == 0
