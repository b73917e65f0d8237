"""Picture files and image arrays on disk: what may be read, how, and how a PNG is written.

A file that is not a picture, is damaged or would decode to more pixels than the limit is refused, with its name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..images import check_images
from .atomic import written_whole
from .reading import Picture, Reading, Source
from .untrusted import regular, shown

__all__ = ["FORMATS", "PIXEL_LIMIT", "pages_in", "read_npy", "read_picture", "read_rgb", "write_png"]


PIXEL_LIMIT = 64_000_000
"""The most pixels a file may decode to. A larger one is refused with its name instead of filling the memory."""


FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Allowed formats of picture files. None of them starts another program (as EPS does) or holds other than pixels."""


def write_png(path: Path, pixels: np.ndarray, text: dict[str, str] | None = None) -> None:
    """Write uint8 [H,W,3] as a PNG, atomically; ``text`` goes into its tEXt chunks."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
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

    The content must be one of :data:`FORMATS`, whatever the name says. Grey becomes three equal channels; transparency
    is laid over a colour; 16-bit grey is scaled to 8. Size and depth are checked before a pixel is decoded.

    Args:
        source: a file, or its content.
        reading: how to read it.

    Raises:
        ValueError: with the reason, without the name of the file: not a picture, truncated, too many pixels,
            32-bit or float values (for which no value is agreed to be white), and others.
    """
    reading = reading or Reading()
    try:
        stored = regular(source).st_size if isinstance(source, Path) else source.seek(0, 2)
        if not stored:
            raise ValueError("empty file (0 bytes)")
        with Image.open(source, formats=FORMATS) as opened:
            several = getattr(opened, "is_animated", False)
            if reading.page is not None:
                opened.seek(_page(reading) - 1)
            deep = opened.mode.startswith("I") or ";16" in str(opened.tile)
            if opened.width * opened.height > PIXEL_LIMIT:
                raise ValueError(f"{opened.width} x {opened.height} pixels, more than the limit of {PIXEL_LIMIT:,}")
            if opened.mode == "F" or (opened.mode == "I" and opened.format == "TIFF"):
                raise ValueError("32-bit values without an agreed white; save it with 8 or 16 bits a channel")
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):
                grey = np.clip(np.asarray(upright, np.float64) / 257.0, 0, 255).round().astype(np.uint8)
                upright = Image.fromarray(grey)
            transparent = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            if transparent:
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, (*reading.alpha_over, 255)), layer)
            pixels = np.asarray(upright.convert("RGB")).transpose(2, 0, 1).copy()
            return Picture(pixels, transparent, deep, several, stored)
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        reason = _reason(error).removeprefix(f"{shown(source)}: " if isinstance(source, Path) else "")
        raise ValueError(reason) from error


def pages_in(source: Source) -> int:
    """Return how many pictures a file holds; 1 where that cannot be found out, reading it will give the reason."""
    try:
        if isinstance(source, Path):
            regular(source)
        with Image.open(source, formats=FORMATS) as opened:
            return getattr(opened, "n_frames", 1)
    except Exception:  # Pillow's decoders raise almost anything on damaged files
        return 1


def _page(reading: Reading) -> int:
    if reading.page == "all":
        raise ValueError("page all: expected one page; every_page gives each picture of a file its row")
    return reading.page or 1


def _reason(error: Exception) -> str:
    """Return the reason why a picture could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture: the content is none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"would unfold to more than the limit of {PIXEL_LIMIT:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened: {error.strerror}"
    return str(error) or type(error).__name__


def read_npy(path: Path, mmap: bool = False) -> np.ndarray:
    """Read an image array from disk (pickles are refused) and check its shape and type.

    Args:
        path: an NPY file.
        mmap: whether to map it from disk, read-only, instead of reading it into memory.

    Raises:
        ValueError: with the file's name, if it is not a complete NPY file of uint8 [N,C,H,W].
    """
    try:
        array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole NPY image array ({error})") from error
    return check_images(array, str(path))
