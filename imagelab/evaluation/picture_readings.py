"""What is read of a single picture to tell whether a batch still looks as it should: a few plain numbers and features.

The numbers have names that an operator understands (brightness, fine detail). The features are those of the package's
encoder; they see what the numbers do not. Every reading is of one picture alone, so the readings of a batch are a sum
over its pictures, and a batch can be forgotten when its sums are kept.
"""

from __future__ import annotations

import numpy as np

__all__ = ["READ_SMALLEST", "picture_readings", "reading_names"]

READ_SMALLEST = 16
"""Pixels a side: three octaves of detail need 16, and so does the encoder."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
DARK, BRIGHT = 2.0, 253.0  # grey levels at and beyond which a pixel counts as black or burnt out
AT_ONCE = 256  # pictures


DETAIL = ("fine detail", "medium detail", "coarse detail")


def reading_names(channels: int) -> tuple[str, ...]:
    """Return the names of the readings of pictures with so many channels, in order."""
    return ("brightness", "contrast", "black or burnt out", *(("colour",) if channels == 3 else ()), *DETAIL)


def picture_readings(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the readings of each picture, name -> float64 [N].

    Brightness, contrast (standard deviation of luma) and colour (mean distance of a channel from luma) are in grey
    levels of 255; black or burnt out is a share of pixels; fine, medium and coarse detail are mean squares of what
    averaging over 2, 4 and 8 pixels takes away.

    Args:
        images: uint8 [N,C,H,W], 16 px a side or more; colour is read where C = 3.

    Raises:
        ValueError: for smaller pictures.
    """
    if min(images.shape[2:]) < READ_SMALLEST:
        raise ValueError(f"expected pictures of {READ_SMALLEST} px a side or more, got {images.shape[2:]}")
    parts = [_readings_of(images[first : first + AT_ONCE]) for first in range(0, len(images), AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _readings_of(images: np.ndarray) -> dict[str, np.ndarray]:
    pixels = images.astype(np.float32)
    luma = pixels[:, 0] if pixels.shape[1] == 1 else (pixels * LUMA[:, None, None]).sum(axis=1)
    found = {
        "brightness": luma.mean(axis=(1, 2), dtype=np.float64),
        "contrast": luma.std(axis=(1, 2), dtype=np.float64),
        "black or burnt out": ((luma <= DARK) | (luma >= BRIGHT)).mean(axis=(1, 2), dtype=np.float64),
    }
    if pixels.shape[1] == 3:
        found["colour"] = np.abs(pixels - luma[:, None]).mean(axis=(1, 2, 3), dtype=np.float64)
    here = luma
    for name in DETAIL:
        height, width = (side - side % 2 for side in here.shape[1:])
        cells = here[:, :height, :width].reshape(len(here), height // 2, 2, width // 2, 2)
        coarser = cells.mean(axis=(2, 4))
        found[name] = ((cells - coarser[:, :, None, :, None]) ** 2).mean(axis=(1, 2, 3, 4), dtype=np.float64)
        here = coarser
    return found
