"""Resampling pictures: cut the centre square, then resize once with one of Pillow's kernels.

The kernels work on the sRGB values as stored. All but "nearest" are antialiased, that is, the support of the kernel is
widened when a picture is made smaller, as in clean-fid; "bicubic" has a = -0.5.

References:
    On aliased resizing and surprising subtleties in GAN evaluation (Parmar et al. 2022), arXiv:2104.11222.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from .catalogue import centre

__all__ = ["Kernel", "squared"]

Kernel = Literal["bicubic", "lanczos", "bilinear", "box", "nearest"]
"""Pillow's kernels."""


def squared(pixels: np.ndarray, size: int, kernel: Kernel = "bicubic") -> np.ndarray:
    """Crop a picture to its centre square and resample it once.

    A square that already has the size is returned unchanged.

    Args:
        pixels: uint8 [C,H,W].
        size: side of the result, pixels.
        kernel: how to resample.

    Returns:
        uint8 [C,size,size].

    Raises:
        ValueError: if the shorter side is below half the size, so that no picture is enlarged more than twice.
    """
    height, width = pixels.shape[1:]
    side, least = min(height, width), -(-size // 2)
    if side < least:
        raise ValueError(f"too small: {width} x {height} pixels, the shorter side must be at least {least}")
    crop = centre(pixels, side)
    if side == size:
        return np.ascontiguousarray(crop)
    method = Image.Resampling[kernel.upper()]
    equal = len(crop) > 1 and crop.strides[0] == 0  # one grey channel, seen as three
    small = [
        np.asarray(Image.fromarray(np.ascontiguousarray(channel)).resize((size, size), method))
        for channel in crop[: 1 if equal else None]
    ]
    return np.repeat(small, len(crop), axis=0) if equal else np.stack(small)
