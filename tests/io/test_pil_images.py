from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.evaluation.sources import Opening, open_images
from imagelab.io.pictures import read_picture
from imagelab.io.pil_images import file_of, read_image
from imagelab.io.reading import Reading


def same(content: bytes, **reading: int) -> None:
    """Check that an image that was opened, and one that was loaded, are what their file is."""
    expected = read_picture(io.BytesIO(content), Reading(**reading))  # pyright: ignore[reportArgumentType]
    for load in (False, True):
        image = Image.open(io.BytesIO(content))
        if load:
            image.load()
        found = read_image(image, Reading(**reading))  # pyright: ignore[reportArgumentType]
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert (found.transparent, found.remarks) == (expected.transparent, expected.remarks)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_image_is_turned_as_its_file_is(rng: np.random.Generator, form: str, orientation: int):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)).save(file, form, exif=exif)
    same(file.getvalue())


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_jpeg_of_any_colours_is_read_as_its_file_is(rng: np.random.Generator, mode: str):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)).convert(mode).save(file, "JPEG")
    same(file.getvalue())


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA"])
def test_palettes_bits_and_transparency_are_read_as_in_a_file(rng: np.random.Generator, mode: str):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 24, 4), np.uint8)).convert(mode).save(file, "PNG")
    same(file.getvalue())


def test_sixteen_bit_colours_are_rounded_while_the_file_is_not_loaded(
    rng: np.random.Generator, png_of: Callable[..., bytes]
):
    content = png_of(rng.integers(0, 65536, (9, 9, 3)), 16, 2)
    expected = read_picture(io.BytesIO(content)).pixels
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(content))).pixels, expected)


def test_a_loaded_tiff_that_pillow_has_cut_is_refused(tiff_of: Callable[..., bytes], rng: np.random.Generator):
    content = tiff_of(rng.integers(0, 65536, (9, 9, 3)).astype(np.uint16), 16, planes=True)
    image = Image.open(io.BytesIO(content))
    np.testing.assert_array_equal(read_image(image).pixels, read_picture(io.BytesIO(content)).pixels)
    image.load()
    with pytest.raises(ValueError, match="hand over the path"):
        read_image(image)


def test_deep_images_are_rounded_or_need_a_white():
    deep = Image.fromarray(np.full((4, 4), 128 * 257, np.uint16))
    assert read_image(deep).pixels[0, 0, 0] == 128 and read_image(deep).deep
    with pytest.raises(ValueError, match="without an agreed white"):
        read_image(Image.fromarray(np.full((4, 4), 0.5, np.float32)))
    assert read_image(Image.fromarray(np.full((4, 4), 0.5, np.float32)), Reading(white=1.0)).pixels[0, 0, 0] == 128


def test_the_frame_that_an_image_shows_is_taken():
    file = io.BytesIO()
    Image.new("L", (4, 4), 0).save(file, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 255)])
    image = Image.open(file)
    assert read_image(image).pixels.max() == 0 and read_image(image).several
    image.seek(1)
    assert read_image(image).pixels.min() == 255
    assert read_image(image, Reading(page=1)).pixels.max() in (0, 255)


def test_an_image_that_was_made_smaller_while_decoding_stays_as_it_is(rng: np.random.Generator):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file, "JPEG")
    image = Image.open(file)
    image.draft("RGB", (16, 16))
    assert file_of(image) is None and read_image(image).pixels.shape == (3, image.height, image.width)


def test_lists_of_images_are_the_files_of_their_folder(tmp_path: Path, rng: np.random.Generator):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(3):
        picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        picture.save(tmp_path / f"{number}.jpg", exif=exif)
    paths = sorted(tmp_path.iterdir())
    by_path = open_images(paths).images
    np.testing.assert_array_equal(open_images([Image.open(path) for path in paths]).images, by_path)
    np.testing.assert_array_equal(open_images(tmp_path, Opening(cache=False)).images, by_path)
