"""Pictures in one NumPy file: ``.npy``, or ``.npz`` that may hold labels as well. A run's ``images.npy`` is one.

The values must be uint8. Pickled content is refused. The order of the axes is recognised by the axis of length 1 or 3;
where that is ambiguous, ``layout`` must be set.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..io.annotation_lists import changed, class_columns
from ..io.arrays import Layout, array_file, labels_beside, planar_view
from ..io.catalogue import Catalogue, digest, shown
from ..io.reading import Picture
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["Arrays"]

SOURCE = "whoever wrote it"


class Arrays(PictureSet):
    """Pictures of one size in a ``.npy`` or ``.npz`` file.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the file.
        layout: order of the axes: N,H,W,C (as picture files), N,C,H,W (as torch) or N,H,W (grey).
        key: name of the array of pictures in a ``.npz`` file; by default ``images``, or the only array.
        labels: name of the labels in a ``.npz`` file: whole numbers or words, one per picture; optional.
    """

    kind: Literal["arrays"] = "arrays"
    path: FilePath
    layout: Layout = "auto"
    key: str = ""
    labels: str = "labels"

    def _catalogue(self) -> Catalogue:
        found_at(self.kind, self.path, "a .npy or .npz file", SOURCE, self.path)
        file = changed(self.path, whole=True)
        pictures, labels = _read(file, self.key, self.labels)
        if pictures.dtype != np.uint8:
            got = f"got {pictures.dtype} {pictures.shape}"
            raise ValueError(f"{shown(self.path)}: expected uint8 values 0..255, {got}; scale and round them first")
        planar = planar_view(pictures, self.layout, shown(self.path))
        height, width = planar.shape[2:]
        if min(height, width) < -(-self.size // 2):  # all are; none is looked at
            raise ValueError(
                f"{shown(self.path)}: its pictures are too small: {width} x {height} pixels; expected a shorter side "
                f"of at least {-(-self.size // 2)} for size {self.size}"
            )
        classes, note = ({}, "") if labels is None else class_columns([shown(str(label)) for label in labels])

        def read(row: int) -> Picture:
            return Picture(np.broadcast_to(planar[row], (3, *planar.shape[2:])))

        stamp = digest(file, self.layout, self.key, self.labels)
        names = tuple(f"{shown(self.path.name)}:{row}" for row in range(len(planar)))
        return Catalogue(stamp=stamp, names=names, read=read, attributes=classes, note=note)

    def _subject(self) -> str:
        return f"the array file {shown(self.path)}"


@lru_cache(maxsize=2)
def _read(file: tuple[str, int, int], key: str, labels: str) -> tuple[np.ndarray, list[Any] | None]:
    """Return the array of pictures, mapped from disk, and the labels, if any.

    An array inside a .npz file is unpacked into a temporary file: what is kept for the next time are the decoded
    pictures, and that only where the dataset's setting ``cache`` says so.
    """
    path = Path(file[0])
    pictures, _ = array_file(path, cache=False, key=key)
    return pictures, labels_beside(path, labels, len(pictures)) if pictures.ndim else None
