"""Features of many images: mapped from disk, not held in memory, and standardised block by block.

Up to ``MANY`` images a metric holds features in memory. Beyond, the float32 features [N,D] lie in the set's cache
folder (or in a temporary file), and the standardised float64 ones in a temporary file. Both are read as they are
touched. The values are the same as in memory, but for mean and spread of a reference of more than ``MANY`` images:
these are sums over blocks, and differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ..io.cache import cached_stream
from ..io.large_arrays import blocks_of, empty_array, let_go
from ..io.npy import mapped
from .base import ImageSet, NotMeasurable

__all__ = ["MANY", "mapped_features", "mean_and_spread", "standardised"]

MANY = 16_384
"""Images up to which features are held in memory."""

ROWS = 4096
"""Rows of features that are read at a time."""


def mapped_features(image_set: ImageSet, name: str, batches: Iterator[np.ndarray]) -> np.ndarray:
    """Return the features of a set, float32 [N,D], mapped from its cache folder; made and written where not there.

    Args:
        image_set: N >= 1 images.
        name: the content address of the features; not used without a cache folder.
        batches: the features batch by batch, float32 [B,D]; read only where they are not kept yet.
    """

    def fill(file: BinaryIO) -> dict[str, Any]:
        shape: tuple[int, int] | None = None
        for part in batches:
            if shape is None:
                shape = len(image_set), part.shape[1]
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part, "<f4").data)
        if shape is None:
            raise NotMeasurable("needs at least 1 image")
        return {"name": name, "shape": list(shape)}

    def view(file: BinaryIO, facts: dict[str, Any]) -> np.ndarray:
        found = mapped(file, "c")
        if facts != {"name": name, "shape": list(found.shape)} or found.dtype != np.float32:
            raise ValueError("it holds other features than its name says")
        if len(found) != len(image_set):
            raise ValueError(f"expected features of {len(image_set)} images, got {len(found)}")
        return found

    path = None if image_set.cache is None else image_set.cache / f"{name}.npy"
    return cached_stream(path, fill, view)


def mean_and_spread(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (N - 1) of each feature, float64 [D] each.

    Args:
        features: float32 [N,D], N >= 2.
    """
    if len(features) <= MANY:
        wide = features.astype(np.float64)
        return wide.mean(axis=0), wide.std(axis=0, ddof=1)
    n = len(features)
    mean = sum(block.sum(axis=0, dtype=np.float64) for _, block in blocks_of(features, ROWS)) / n
    squares = sum(np.square(block.astype(np.float64) - mean).sum(axis=0) for _, block in blocks_of(features, ROWS))
    return np.asarray(mean), np.sqrt(np.asarray(squares) / (n - 1))


def standardised(
    image_set: ImageSet, features: np.ndarray, alive: np.ndarray, ruler: tuple[np.ndarray, np.ndarray], slot: str
) -> np.ndarray:
    """Return features in units of a reference, float64 [N,K]; of many images they are mapped, and kept for the next.

    Args:
        image_set: the images.
        features: float32 [N,D].
        alive: bool [D], the K features that are used.
        ruler: mean and spread of those over the reference, float64 [K] each.
        slot: names space and reference; what is mapped is kept in the set's memory under it.
    """
    mean, spread = ruler
    if len(features) <= MANY:
        return (features.astype(np.float64)[:, alive] - mean) / spread
    if slot not in image_set.memory:
        found = empty_array((len(features), len(mean)), np.float64, image_set.cache)
        for rows, block in blocks_of(features, ROWS):
            found[rows] = (block.astype(np.float64)[:, alive] - mean) / spread
            let_go(found)
        image_set.memory[slot] = found
    return image_set.memory[slot]
