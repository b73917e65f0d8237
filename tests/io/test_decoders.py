from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.io.chatter import listening
from imagelab.io.pictures import pages_in, read_picture, read_rgb
from imagelab.io.reading import Reading


def animation(form: str) -> io.BytesIO:
    file, frames = io.BytesIO(), [Image.new("RGB", (16, 16), (level,) * 3) for level in (10, 120, 240)]
    frames[0].save(file, form, save_all=True, append_images=frames[1:])
    return file


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_files_with_several_pictures_are_counted_and_each_can_be_chosen(form: str):
    file = animation(form)
    assert pages_in(file) == 3
    assert read_picture(file).several and abs(int(read_picture(file).pixels[0, 8, 8]) - 10) <= 3
    found = [int(read_picture(file, Reading(page=page)).pixels[0, 8, 8]) for page in (1, 2, 3)]
    assert np.abs(np.array(found) - [10, 120, 240]).max() <= 3
    with pytest.raises(ValueError, match="page 4: the file holds 3"):
        read_picture(file, Reading(page=4))


def test_a_file_of_one_picture_is_that_picture_whatever_the_page():
    file = io.BytesIO()
    Image.new("L", (4, 4), 7).save(file, "PNG")
    picture = read_picture(file, Reading(page=5))
    assert picture.pixels.max() == 7 and not picture.several and pages_in(file) == 1


def test_a_jpeg_of_twelve_bits_is_refused_by_its_reason():
    file = io.BytesIO()
    Image.new("L", (8, 8), 7).save(file, "JPEG")
    content = bytearray(file.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 1], content[frame + 4] = 0xC1, 12
    with pytest.raises(ValueError, match="a JPEG of 12 bits a value, which is not read"):
        read_picture(io.BytesIO(bytes(content)))


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: is a named pipe; expected a regular file"):
        read_rgb(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"b\.png: is a device"):
        read_rgb(tmp_path / "b.png")


def test_no_quotation_of_a_damaged_file_is_long(rng: np.random.Generator):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(file, "TIFF", compression="tiff_lzw")
    content = file.getvalue()
    for _ in range(300):
        mutated = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            mutated[place] = int(rng.integers(0, 256))
        try:
            with listening():
                picture = read_picture(io.BytesIO(bytes(mutated)))
        except ValueError as error:
            assert 0 < len(str(error)) <= 300 and "\n" not in str(error)
        else:
            assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[0] == 3
