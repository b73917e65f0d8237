"""The two forms of images in this package and the only conversions between them.

In files and between all parts of the package, images are ``uint8 [N,C,H,W]``, values 0..255. Inside a generator
they are ``float32 [B,C,H,W]`` in -1..1. So each generation is quantised exactly once, when a model publishes its
images, as images on the web are. The quantisation affects every experiment: the rounding error has variance
(1/255)^2 / 12 per pixel value.

Torch is never imported here: the two conversions use only methods of the tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "check_images",
    "luma",
    "spread_over",
    "tile",
    "to_bytes",
    "to_signed",
]


LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as used by clean-fid's and most spectral papers' grey


def spread_over(total: int, most: int) -> np.ndarray:
    """Return at most ``most`` of the rows 0..total - 1, evenly spread, the first and the last among them: int64 [K].

    Example:
        >>> spread_over(50, 4).tolist(), spread_over(3, 8).tolist()
        ([0, 16, 33, 49], [0, 1, 2])
    """
    return np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)


def check_images(images: np.ndarray, name: str = "images") -> np.ndarray:
    """Return the images unchanged, or raise an error that says how they differ from ``uint8 [N,C,H,W]``.

    Args:
        images: to be checked: uint8 [N,C,H,W], values 0..255, C = 1 or 3, N >= 1.
        name: the name of the images in the message.

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
    """Convert images to the input of a network: uint8 [B,C,H,W] 0..255 -> float32 [B,C,H,W] -1..1."""
    return images.float() / 127.5 - 1.0


def to_bytes(signed: Tensor) -> Tensor:
    """Publish the output of a network: float [B,C,H,W] in about -1..1 -> uint8 [B,C,H,W].

    Values outside -1..1 are clipped, the others are rounded to the nearest of the 256 levels.
    ``to_bytes(to_signed(x)) == x`` for every x.

    Raises:
        ValueError: if any value is NaN or infinite, so that the output of a diverged model is not taken for an image.
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
    """Arrange images in a grid, row by row, enlarged by whole pixels only, without interpolation.

    Args:
        images: uint8 [N,C,H,W].
        columns: images a row; the last row may be short.
        scale: factor of the nearest-neighbour enlargement, a whole number >= 1.
        gap: pixels between images (after enlargement); there is no border.
        background: grey level 0..255 of gaps and of missing images.

    Returns:
        uint8 [height,width,3].

    Raises:
        ValueError: for columns or scale below 1, or images of another form.
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
