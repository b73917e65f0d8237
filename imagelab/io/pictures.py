"""Picture files and image arrays on disk: what may be read, how, and how a PNG is written.

A file that is not a picture, is damaged or would decode to more pixels than the limit is refused, with its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..images import check_images
from .atomic import written_whole
from .chatter import listening, said
from .decoders import layers_of, pages_of
from .depth import Stated, ValueWindow
from .formats import FORMATS, PIXEL_LIMIT, content_reason
from .layers import Layers, pixels_of
from .marks import Origin, png_marks
from .npy import read_array
from .reading import Picture, Reading, Source
from .untrusted import quoted, regular, shown

__all__ = [
    "FORMATS",
    "PIXEL_LIMIT",
    "finished",
    "pages_in",
    "read_npy",
    "read_picture",
    "read_rgb",
    "reason_of",
    "write_png",
]

HEAD = 64  # bytes by which a format is named
MOST_PAGES = 10_000  # pictures that are taken of one file

_LIBTIFF = re.compile(r"(?:decoder error )?-\d+")  # what Pillow says where libtiff has written the reason elsewhere


def write_png(
    path: Path, pixels: np.ndarray, text: Mapping[str, str] | None = None, origin: Origin | None = None
) -> None:
    """Write uint8 [H,W,3] as a PNG, atomically.

    Args:
        path: the file.
        pixels: the picture.
        text: keyword -> text of its iTXt chunks; Title and Description also go into its XMP packet.
        origin: how it came about, for its XMP packet; None where it is not claimed.
    """
    told = dict(text or {})
    title, description = told.pop("Title", ""), told.pop("Description", "")
    info = png_marks(origin, title, description, **told)
    with written_whole(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG", pnginfo=info, optimize=False)


def read_rgb(source: Source, alpha_over: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Return the pixels of a picture file, uint8 [3,H,W]: :func:`read_picture` without the facts.

    Raises:
        ValueError: with the file's name, if it has one, and the reason.
    """
    try:
        return read_picture(source, Reading(alpha_over)).pixels
    except ValueError as error:
        raise ValueError(f"{shown(source)}: {error}" if isinstance(source, Path) else str(error)) from error


def read_picture(source: Source, reading: Reading | None = None) -> Picture:
    """Read a picture file as uint8 [3,H,W], turned upright by its EXIF tag, with the facts about it.

    The content must be one of :func:`~imagelab.io.formats.formats`, whatever the name says. Grey becomes three equal
    channels; transparency is laid over a colour; values of more than 8 bits are rounded to 8; colours with an ICC
    profile become sRGB. Size and depth are checked before a pixel is decoded.

    Args:
        source: a file, or its content.
        reading: how to read it. Page "all" is taken as the first page.

    Raises:
        ValueError: with the reason, without the name of the file: not a picture, truncated, too many pixels, values for
            which no value is agreed to be white, and others.
    """
    reading, head = reading or Reading(), b""
    with said() as lines:
        try:
            with _opened(source) as file:
                file.seek(0)
                head, stored = file.read(HEAD), file.seek(0, 2)
                if not stored:
                    raise ValueError("empty file (0 bytes)")
                page = None if reading.page == "all" else reading.page
                return finished(layers_of(file, page, white := reading.stated()), reading, stored, lines, white)
        except Exception as error:  # Pillow's decoders raise almost anything on damaged files
            name = f"{shown(source)}: " if isinstance(source, Path) else ""
            raise ValueError(reason_of(error, head, lines).removeprefix(name)) from error


def pages_in(source: Source) -> int:
    """Return how many pictures a file holds; 1 where that cannot be found out, reading it will give the reason."""
    with listening(), said():
        try:
            with _opened(source) as file:
                return min(MOST_PAGES, max(1, pages_of(file)))
        except Exception:  # Pillow's decoders raise almost anything on damaged files
            return 1


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    regular(source)
    with source.open("rb") as file:
        yield file


def finished(layers: Layers, reading: Reading, stored: int, lines: list[str], white: Stated = None) -> Picture:
    """Return the picture of decoded layers.

    Args:
        layers: the decoded picture.
        reading: how it is read.
        stored: bytes of its file.
        lines: what the decoder said; read after the pixels.
        white: what was stated of black and white; it has counted the values beyond them.
    """
    pixels = pixels_of(layers, reading.alpha_over)
    remarks = tuple(dict.fromkeys(layers.remarks))
    cut = white.cut if isinstance(white, ValueWindow) else 0
    return Picture(pixels, layers.transparent, layers.deep, layers.several, remarks, tuple(lines), stored, cut)


def reason_of(error: Exception, head: bytes, lines: list[str]) -> str:
    """Return the reason why a picture could not be read, on one line.

    Args:
        error: what was raised.
        head: the first bytes of the file.
        lines: what the decoder said.
    """
    if isinstance(error, UnidentifiedImageError):
        text = content_reason(head)
    elif isinstance(error, Image.DecompressionBombError):
        text = f"would unfold to more than the limit of {PIXEL_LIMIT:,} pixels"
    elif isinstance(error, MemoryError):
        text = "it needs more memory than there is"
    elif isinstance(error, OSError) and error.strerror:
        text = f"cannot be opened: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
        text = "image file is truncated or damaged" if _LIBTIFF.fullmatch(text) else text
    return quoted(text + (f" ({'; '.join(lines)})" if lines else ""))


def read_npy(path: Path, mmap: bool = False) -> np.ndarray:
    """Read an image array from disk (pickles are refused) and check its shape and type.

    Args:
        path: an NPY file.
        mmap: whether to map it from disk, read-only, instead of reading it into memory.

    Raises:
        ValueError: with the file's name, if it is not a complete NPY file of uint8 [N,C,H,W].
    """
    return check_images(read_array(path, "a whole NPY image array", "r" if mmap else None), shown(path))
