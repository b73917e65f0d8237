from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from imagelab.data.folder import Folder
from imagelab.evaluation.sources import open_images
from imagelab.io.catalogue import list_pictures
from imagelab.io.formats import SUFFIXES, UNREADABLE, content_reason, formats, unreadable
from imagelab.io.pictures import read_picture

NO_HEIF = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="HEIC can be read here")


@pytest.mark.parametrize("suffix", [".pnm", ".pbm", ".pgm", ".ppm", ".pam", ".pfm", ".apng", ".mpo", ".jfif", ".tif"])
def test_these_suffixes_are_those_of_pictures(suffix: str):
    assert suffix in SUFFIXES and not unreadable(suffix)


def test_no_suffix_is_both_readable_and_not():
    assert not SUFFIXES & UNREADABLE.keys()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow cannot read AVIF")
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_avif_is_read(mode: str):
    file = io.BytesIO()
    image = Image.new(mode, (16, 12), (200, 100, 50, 255)[: len(mode)])
    if mode == "RGBA":
        image.paste((0, 0, 0, 0), (0, 0, 3, 3))
    image.save(file, "AVIF", quality=95)
    picture = read_picture(file)
    assert np.abs(picture.pixels[:, 5, 5].astype(int) - [200, 100, 50]).max() <= 4
    assert picture.transparent == (mode == "RGBA") and not picture.deep


@NO_HEIF
def test_pictures_that_cannot_be_read_here_are_named_and_not_counted_as_other_files(picture_folder: Path):
    (picture_folder / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (picture_folder / "b.tga").write_bytes(b"?")
    (picture_folder / "c.txt").write_text("x")
    listing = list_pictures(picture_folder)
    assert listing.ignored == 1
    reasons = {Path(bad.path).name: bad.reason for bad in listing.unread}
    assert "cannot read: HEIC" in reasons["a.HEIC"] and "pillow-heif" in reasons["a.HEIC"] and "TGA" in reasons["b.tga"]
    assert {Path(bad.path).name for bad in Folder(path=picture_folder).bad_files()} == {"a.HEIC", "b.tga"}


@NO_HEIF
def test_a_folder_of_nothing_else_says_so(tmp_path: Path):
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"1 that cannot be read(.|\n)*a\.heic: a picture in a format"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheicmif1", "HEIC"),
        (b"\xff\x0aabc", "JPEG XL; pip inst" + "all pillow-jxl-plugin, or save it as PNG"),
        (b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000; save it as PNG"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\x89PNG\r\n\x1a\n", "a damaged PNG file"),
        (b"dear diary", "not a picture: the content is none of BMP"),
    ],
)
def test_content_that_cannot_be_read_is_named_whatever_the_suffix(head: bytes, words: str):
    assert words in content_reason(head)
    with pytest.raises(ValueError, match=words[:18]):
        read_picture(io.BytesIO(head + bytes(100)))


def test_no_format_starts_another_program():
    assert not {"EPS", "PDF", "WMF", "FPX", "MIC"} & set(formats())
