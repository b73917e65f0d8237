"""PIL images that are handed over: read as their files would be."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from .chatter import said
from .decoders import ORIENTATION, check_size
from .depth import Stated, ValueForm, levels_of
from .formats import formats
from .layers import Layers
from .pictures import finished, read_picture, reason_of
from .reading import Picture, Reading
from .tiff import Directory

__all__ = ["file_of", "read_image"]

_FORMS = {"I": ValueForm("i", 32), "F": ValueForm("f", 32)}
_FILES = threading.Lock()  # a file has one place at which it is read, and images may share it


def read_image(picture: Image.Image, reading: Reading | None = None) -> Picture:
    """Read a PIL image as its file would be: upright, colours in sRGB, transparency laid over a colour.

    An image that was opened and not yet loaded is read from its file, because Pillow cuts 16 bits to 8.

    Args:
        picture: the image; its pixels are not changed.
        reading: how to read it; without a page the frame that the image shows is taken.

    Raises:
        ValueError: with the reason.
    """
    reading = reading or Reading()
    content = file_of(picture)
    if content is not None:
        frame = picture.tell() + 1
        return read_picture(content, replace(reading, page=frame) if reading.page is None and frame > 1 else reading)
    with said() as lines:
        try:
            check_size(picture.width, picture.height)
            _check_tiff(picture)
            deep = picture.mode in _FORMS or picture.mode.startswith("I;16")
            picture.load()
            white = reading.stated()
            layers = Layers(_bytes_of(picture, white) if deep else picture, deep=deep)
            layers.profile = picture.info.get("icc_profile")
            layers.orientation = picture.getexif().get(ORIENTATION, 1)
            return finished(layers, reading, 0, lines, white)
        except Exception as error:  # Pillow raises almost anything on damaged files
            raise ValueError(reason_of(error, b"", lines)) from error


def file_of(picture: Image.Image) -> io.BytesIO | None:
    """Return the content of the file of a PIL image that was opened and not loaded yet; None for any other image."""
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile or picture.fp is None:
        return None
    with _FILES:
        try:
            place = picture.fp.tell()
            picture.fp.seek(0)
            content = io.BytesIO(picture.fp.read())
            picture.fp.seek(place)
            again = Image.open(content, formats=formats())
            again.seek(picture.tell())
        except Exception:  # the file was closed, or is damaged: reading the image gives the reason
            return None
    same = (again.size, again.mode) == (picture.size, picture.mode)
    return content if same else None  # else it was changed, such as by draft()


def _bytes_of(picture: Image.Image, white: Stated) -> Image.Image:
    levels = levels_of(_FORMS.get(picture.mode, ValueForm("u", 16)), white)
    result = levels.bytes_of(np.asarray(picture))
    levels.check()
    return Image.fromarray(result)


def _check_tiff(picture: Image.Image) -> None:
    """Refuse a TIFF that Pillow has loaded and cannot have decoded as it is meant."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return
    tags = {number: value if isinstance(value, tuple) else (value,) for number, value in picture.tag_v2.items()}
    page = Directory("<", {tag: value for tag, value in tags.items() if all(isinstance(each, int) for each in value)})
    if not page.plain and not (picture.mode.startswith("I;16") and page.form == ValueForm("u", 16)):
        raise ValueError(
            f"a TIFF of {page.bits[0]} bits a value that Pillow has loaded, which cuts or mistakes such values; hand "
            "over the path of the file"
        )
