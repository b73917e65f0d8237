"""Which images train a detector and which test it: no image is in both, and images that belong together stay together.

Half of the held-out real images of a run train, the other half test. The models of the run saw neither. An image whose
pixels equal those of a training image, of the models or of the detector, is left out of the test: real sets contain
duplicates, and generators repeat themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

__all__ = ["halves", "pixel_keys", "unseen"]


def halves(n: int, groups: np.ndarray | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that train and the rows that test, int64, each sorted.

    Args:
        n: number of images.
        groups: int64 [n], images of one number belong together; None if all are independent.
        rng: for the division.

    Raises:
        ValueError: if there are fewer than two images, or fewer than two groups.
    """
    own = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(own.max(initial=-1)) + 1
    if count < 2:
        raise ValueError(f"needs 2 or more images that do not belong together, to train and to test; got {count}")
    order = rng.permutation(count)
    sizes = np.bincount(own)[order]
    first = int(np.clip(np.searchsorted(np.cumsum(sizes), n / 2, "left") + 1, 1, count - 1))
    trains = np.isin(own, order[:first])
    return np.flatnonzero(trains), np.flatnonzero(~trains)


def pixel_keys(images: np.ndarray) -> list[bytes]:
    """Return a digest of the pixels of every image, uint8 [N,C,H,W]."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def unseen(images: np.ndarray, rows: np.ndarray, seen: Iterable[bytes]) -> np.ndarray:
    """Return those of some rows whose pixels are not among the digests ``seen``."""
    known = set(seen)
    keys = pixel_keys(images[rows])
    return rows[np.array([key not in known for key in keys], bool)] if len(rows) else rows
