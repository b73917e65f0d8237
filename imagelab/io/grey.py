"""Pictures of one channel: grey files as they are, and the luma of colour pictures, counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..images import LUMA
from .catalogue import Catalogue, digest
from .reading import Picture

__all__ = ["COLOURFUL", "grey_of", "one_channel"]

COLOURFUL = "pictures in colour, of which only the luma (ITU-R BT.601) was taken"
BAND = 1 << 20  # pixels that are converted together


def one_channel(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue of the same pictures in grey, uint8 [1,H,W]; those that were in colour have a remark."""

    def read(row: int) -> Picture:
        picture = catalogue.read(row)
        grey, coloured = grey_of(picture.pixels)
        return replace(picture, pixels=grey, remarks=(*picture.remarks, *([COLOURFUL] if coloured else [])))

    return replace(catalogue, stamp=digest(catalogue.stamp, "grey") if catalogue.stamp else "", read=read)


def grey_of(pixels: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the luma of a picture, rounded, and whether its channels differ (where they are equal, it is one of them).

    Args:
        pixels: uint8 [C,H,W], C = 1 or 3.

    Returns:
        uint8 [1,H,W], and whether the picture was in colour.

    Example:
        >>> grey_of(np.array([[[255]], [[0]], [[0]]], np.uint8))
        (array([[[76]]], dtype=uint8), True)
    """
    if len(pixels) == 1 or pixels.strides[0] == 0:
        return pixels[:1], False
    grey = np.empty((1, *pixels.shape[1:]), np.uint8)
    coloured = False
    step = max(1, BAND // max(1, pixels.shape[2]))
    for top in range(0, pixels.shape[1], step):
        band = pixels[:, top : top + step]
        coloured = coloured or bool((band[0] != band[1]).any() or (band[0] != band[2]).any())
        grey[0, top : top + step] = np.rint(np.tensordot(LUMA, band, axes=1))
    return grey, coloured
