"""The files of a shard, as they are written into its partial folder: arrays, ledger, measurements, a grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..images import tile
from ..io.large_arrays import copy_rows, is_mapped, new_npy
from ..io.pictures import write_png
from ..measurement import Measurement
from ..pool import Pool

__all__ = ["IMAGES", "write_images", "write_measurements", "write_npy"]

IMAGES = "images.npy"
"""File of a shard that holds its images."""


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an array as NPY without pickling; meant for files inside a partial shard.

    Nothing is written where the array is mapped from this very file.
    """
    if isinstance(array, np.memmap) and array.filename is not None and Path(array.filename) == path.resolve():
        return
    if not is_mapped(array):
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        return
    written = new_npy(path, array.shape, array.dtype)
    copy_rows(array, np.arange(len(array)), written)
    written.flush()


def write_images(shard: Path, images: np.ndarray, pool: Pool) -> None:
    """Write what every shard holds into its partial folder, but for the measurements: images, ledger, a grid."""
    write_npy(shard / IMAGES, images)
    np.savez(shard / "pool.npz", generation=pool.generation, line=pool.line, row=pool.row)
    write_png(shard / "grid.png", tile(images[:64], columns=8, scale=max(1, 128 // images.shape[3])))


def write_measurements(shard: Path, measurements: list[Measurement]) -> None:
    """Write a shard's measurements into its partial folder."""
    (shard / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in measurements), encoding="utf-8")
