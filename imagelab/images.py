"""The two image forms of the laboratory and the only conversions between them.

At rest, and across every room's door, images are ``uint8 [N,C,H,W]``, values 0..255. Inside a generator
they are ``float32 [B,C,H,W]`` in -1..1. Each generation is therefore quantised exactly once, when a
model publishes what it made; that is how pictures reach the next model in the world outside, and it is
part of the physics of every experiment: the rounding error has variance (1/255)^2 / 12 a pixel.

Torch is never imported here: the two conversions use only arithmetic that tensors bring with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .atomic import written_whole

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FORMATS",
    "PIXEL_LIMIT",
    "check_images",
    "luma",
    "read_npy",
    "read_rgb",
    "tile",
    "to_bytes",
    "to_signed",
    "write_png",
]

PIXEL_LIMIT = 64_000_000
"""The most pixels a file may unfold to. A larger one is refused by name instead of filling the memory."""

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a picture file may hold. Nothing that would start another program (EPS) or holds other than pixels."""

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as used by clean-fid's and most spectral papers' grey


def check_images(images: np.ndarray, name: str = "images") -> np.ndarray:
    """Return the images unchanged, or say how they differ from the form at rest.

    Args:
        images: what should be uint8 [N,C,H,W], values 0..255, C = 1 or 3, N >= 1.
        name: what to call them in the message.

    Raises:
        ValueError: for another dtype, another number of axes or channels, or an empty set.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        got = getattr(images, "dtype", type(images).__name__)
        raise ValueError(f"{name}: expected a uint8 array [N,C,H,W] with values 0..255, got {got}. Convert first.")
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"{name}: expected [N,C,H,W] with C = 1 or 3, got shape {tuple(images.shape)}")
    if 0 in images.shape:
        raise ValueError(f"{name}: expected at least one image, got shape {tuple(images.shape)}")
    return images


def to_signed(images: Tensor) -> Tensor:
    """Turn published images into what a network reads: uint8 [B,C,H,W] 0..255 -> float32 [B,C,H,W] -1..1."""
    return images.float() / 127.5 - 1.0


def to_bytes(signed: Tensor) -> Tensor:
    """Publish what a network made: float [B,C,H,W] in about -1..1 -> uint8 [B,C,H,W].

    Values outside -1..1 saturate, as they do on any screen, and the rest is rounded to the nearest of the
    256 levels. ``to_bytes(to_signed(x)) == x`` for every x.

    Raises:
        ValueError: if any value is NaN or infinite. A diverged model must not pass for a dark image.
    """
    if not bool(signed.isfinite().all()):
        bad = int((~signed.isfinite()).sum())
        raise ValueError(
            f"cannot publish images: {bad} of {signed.numel()} values are NaN or infinite (the model diverged)"
        )
    levels = ((signed.float() + 1.0) * 127.5).round().clamp(0, 255)
    return levels.byte()


def luma(images: np.ndarray) -> np.ndarray:
    """Grey value .299 R + .587 G + .114 B in 0..1: uint8 [N,C,H,W] -> float64 [N,H,W] (C = 1: the channel itself)."""
    check_images(images)
    if images.shape[1] == 1:
        return images[:, 0] / 255.0
    return np.tensordot(LUMA, images, axes=([0], [1])) / 255.0


def tile(images: np.ndarray, columns: int, scale: int = 1, gap: int = 2, background: int = 255) -> np.ndarray:
    """Lay images out row by row, enlarged by whole pixels only, so that no detail is invented or smoothed.

    Args:
        images: uint8 [N,C,H,W].
        columns: images a row; the last row may be short.
        scale: whole-number nearest-neighbour enlargement.
        gap: pixels between images (after enlargement), and around none.
        background: grey level 0..255 of gaps and of missing images.

    Returns:
        uint8 [height,width,3].
    """
    check_images(images)
    if columns < 1 or scale < 1:
        raise ValueError(f"tile: expected columns >= 1 and scale >= 1, got {columns} and {scale}")
    big = images.repeat(scale, axis=2).repeat(scale, axis=3)
    count, _, height, width = big.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), background, np.uint8)
    for index, image in enumerate(big):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas


def write_png(path: Path, pixels: np.ndarray, text: dict[str, str] | None = None) -> None:
    """Write uint8 [H,W,3] as a PNG, whole or not at all; ``text`` goes into its tEXt chunks."""
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
        ValueError: naming the file (if it has a name) and the reason: not a picture, truncated, a decompression bomb,
            32-bit or float values, for which no white is agreed...
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
    """Say in words for a person why a picture could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture: the content is none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"would unfold to more than the limit of {PIXEL_LIMIT:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened: {error.strerror}"
    return str(error) or type(error).__name__


def read_npy(path: Path, mmap: bool = False) -> np.ndarray:
    """Read an image array from disk (never a pickle) and check its form.

    Raises:
        ValueError: naming the file, if it is not a whole NPY file of uint8 [N,C,H,W].
    """
    try:
        array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole NPY image array ({error})") from error
    return check_images(array, str(path))
