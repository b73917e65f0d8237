"""Picture files and image arrays on disk: what may be read, how, and how a PNG is written.

A file that is not a picture, is damaged or would decode to more pixels than the limit is refused, with its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..images import check_images
from .atomic import written_whole
from .npy import read_array
from .untrusted import shown

__all__ = ["FORMATS", "PIXEL_LIMIT", "read_npy", "read_rgb", "write_png"]


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


def read_rgb(source: Path | BinaryIO, alpha_over: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Read an image file as uint8 [3,H,W], turned upright by its EXIF tag.

    The content must be one of :data:`FORMATS`, whatever the name says. Grey becomes three equal channels; transparency
    is laid over ``alpha_over``; 16-bit grey is scaled to 8. Size and depth are checked before a pixel is decoded.

    Raises:
        ValueError: with the file's name (if it has one) and the reason: not a picture, truncated, too many pixels,
            32-bit or float values (for which no value is agreed to be white), and others.
    """
    try:
        with Image.open(source, formats=FORMATS) as opened:
            if opened.width * opened.height > PIXEL_LIMIT:
                raise ValueError(f"{opened.width} x {opened.height} pixels, more than the limit of {PIXEL_LIMIT:,}")
            if opened.mode == "F" or (opened.mode == "I" and opened.format == "TIFF"):
                raise ValueError("32-bit values without an agreed white; save it with 8 or 16 bits a channel")
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):
                grey = np.clip(np.asarray(upright, np.float64) / 257.0, 0, 255).round().astype(np.uint8)
                upright = Image.fromarray(grey)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, (*alpha_over, 255)), layer)
            return np.asarray(upright.convert("RGB")).transpose(2, 0, 1).copy()
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        reason = _reason(error)
        raise ValueError(f"{source}: {reason}" if isinstance(source, Path) else reason) from error


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
    return check_images(read_array(path, "a whole NPY image array", "r" if mmap else None), shown(path))
