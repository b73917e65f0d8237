"""Fingerprints of pictures: one that every change of a pixel changes, and one that survives small changes.

:func:`pixel_name` names the decoded pixels of a picture: height, width, channels, and the SHA-256 of its bytes row by
row with the channels last. Two pictures have the same name only if every pixel is equal. The digest alone is what
``imagelab export`` writes as ``sha256``.

:func:`perceptual_hashes` keeps the signs of the lowest frequencies of the luminance, relative to their median. Pictures
that look alike differ in few bits. How few are too few to be chance is no property of the hash: it depends on how alike
the pictures are that are compared. It was measured, see :mod:`~imagelab.provenance.near_match`.

References:
    Implementation and benchmarking of perceptual image hash functions (Zauner 2010), the DCT hash pHash. Here the
    transform is taken of the whole picture, not of a copy of 32 x 32 pixels: its low frequencies are the same.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from scipy.fft import dctn

__all__ = ["BITS", "SMALLEST_SIDE", "hamming", "perceptual_hashes", "pixel_digests", "pixel_name"]

BITS = (64, 256)
"""The lengths of perceptual hash that are used."""

SMALLEST_SIDE = 16
"""Pixels of the shorter side below which a picture has no hash of 256 bits."""

BLOCK = 4_000_000  # values that are transformed together


def pixel_name(image: np.ndarray) -> str:
    """Return the name of a picture's pixels: "height x width x channels:SHA-256".

    Args:
        image: uint8 [C,H,W].

    Example:
        >>> pixel_name(np.zeros((3, 2, 4), np.uint8))[:20]
        '2x4x3:9d908ecfb6b256'
    """
    channels, height, width = image.shape
    return f"{height}x{width}x{channels}:{pixel_digests(image[None])[0].tobytes().hex()}"


def pixel_digests(images: np.ndarray) -> np.ndarray:
    """Return uint8 [N,32]: the SHA-256 of each picture's bytes, row by row, channels last.

    Args:
        images: uint8 [N,C,H,W].
    """
    found = np.empty((len(images), 32), np.uint8)
    for row, image in enumerate(images):
        content = np.ascontiguousarray(image.transpose(1, 2, 0))
        found[row] = np.frombuffer(hashlib.sha256(content.data).digest(), np.uint8)
    return found


def perceptual_hashes(images: np.ndarray, bits: int) -> np.ndarray:
    """Return the perceptual hash of each picture: uint64 [N, bits / 64].

    Args:
        images: uint8 [N,C,H,W], C = 1 or 3, at least 16 x 16 pixels.
        bits: 64 or 256, the square of how many frequencies are taken in each direction.

    Raises:
        ValueError: for smaller pictures, or another number of bits.
    """
    side = math.isqrt(bits)
    if bits not in BITS or min(images.shape[2:]) < side:
        raise ValueError(f"perceptual hash: expected {BITS} bits of pictures of at least {side} px, got {images.shape}")
    weights = np.array([0.299, 0.587, 0.114] if images.shape[1] == 3 else [1.0], np.float32)
    found = np.empty((len(images), bits // 64), np.uint64)
    step = max(1, BLOCK // max(1, math.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        grey = np.einsum("nchw,c->nhw", images[start : start + step].astype(np.float32), weights)
        low = np.asarray(dctn(grey, axes=(1, 2), norm="ortho"))[:, :side, :side].reshape(-1, bits)
        signs = low > np.median(low, axis=1, keepdims=True)
        found[start : start + step] = np.packbits(signs, axis=1).view(np.uint64)
    return found


def hamming(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Return in how many bits one hash, uint64 [W], differs from each of many, uint64 [N,W]: int64 [N]."""
    return np.bitwise_count(many ^ one).sum(axis=1, dtype=np.int64)
