"""PNG files of one length: pixels stored without compression, and nothing else in the file.

A smooth picture compresses better than a detailed one, and generated pictures are smoother: the size of a compressed
file would give the answer of a blind test away. Stored pixels have one length for all pictures of one shape.

References:
    Portable Network Graphics Specification, third edition (World Wide Web Consortium 2025).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ..images import check_images
from ..io.png import SIGNATURE

__all__ = ["stored_pngs"]

GREY, RGB = 0, 2  # colour types


def stored_pngs(images: np.ndarray) -> list[bytes]:
    """Return each image as a PNG; all have one length.

    Args:
        images: uint8 [N,C,H,W], C = 1 or 3.

    Example:
        >>> flat, noise = np.zeros((1, 3, 8, 8), np.uint8), np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8))
        >>> len(stored_pngs(flat)[0]) == len(stored_pngs(noise.astype(np.uint8))[0])
        True
    """
    _, channels, height, width = check_images(images).shape
    header = struct.pack(">IIBBBBB", width, height, 8, GREY if channels == 1 else RGB, 0, 0, 0)
    pixels = images.transpose(0, 2, 3, 1).reshape(len(images), height, width * channels)
    rows = np.concatenate([np.zeros((len(images), height, 1), np.uint8), pixels], axis=2)  # filter 0 for every row
    parts = [(_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(each.tobytes(), 0))) for each in rows]
    return [SIGNATURE + first + data + _chunk(b"IEND", b"") for first, data in parts]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
