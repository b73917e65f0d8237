"""Pictures in one NumPy file: ``.npy``, or ``.npz`` with labels. The ``images.npy`` of a run is such a file.

The values must be uint8. Pickled content is refused. The axis of length 1 or 3 determines the order of the axes; if
this is ambiguous, ``layout`` must be set.
"""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from ..io.annotation_lists import changed, class_columns
from ..io.catalogue import Catalogue, digest, shown
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["Arrays"]

SOURCE = "its author"
MOST_BYTES = 1 << 33
Layout = Literal["auto", "nhwc", "nchw", "nhw"]


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
        file = changed(self.path)
        pictures, labels = _read(file, self.key, self.labels)
        planar = _planar(pictures, self.layout, shown(self.path))
        classes, note = ({}, "") if labels is None else class_columns([shown(str(label)) for label in labels.tolist()])

        def read(row: int) -> np.ndarray:
            return np.ascontiguousarray(np.broadcast_to(planar[row], (3, *planar.shape[2:])))

        stamp = digest(file, self.layout, self.key, self.labels)
        names = tuple(f"{shown(self.path.name)}:{row}" for row in range(len(planar)))
        return Catalogue(stamp=stamp, names=names, read=read, attributes=classes, note=note)

    def _subject(self) -> str:
        return f"the array file {shown(self.path)}"


@lru_cache(maxsize=2)
def _read(file: tuple[str, int, int], key: str, labels: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the array of pictures (memory-mapped from a .npy) and the labels, if any."""
    path = Path(file[0])
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False), None
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_BYTES:
            raise ValueError(f"it would need {unpacked} bytes unpacked; save the pictures as .npy")
        with np.load(path, allow_pickle=False) as stored:
            pictures = stored[_picture_key(list(stored.files), key)]
            classes = stored[labels] if labels in stored.files else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole .npy or .npz file of pictures ({error})") from error
    if classes is not None and classes.shape != (len(pictures),):
        raise ValueError(
            f"{shown(path)}: {labels}: expected one label per picture [{len(pictures)}], got {classes.shape}"
        )
    return pictures, classes


def _picture_key(names: list[str], key: str) -> str:
    if key in names:
        return key
    if not key and "images" in names:
        return "images"
    if not key and len(names) == 1:
        return names[0]
    raise ValueError(f"expected an array {key or 'images'!r}, got {', '.join(names)}; name it with key")


def _planar(pictures: np.ndarray, layout: Layout, name: str) -> np.ndarray:
    """Return a view uint8 [N,C,H,W], C = 1 or 3.

    Raises:
        ValueError: for another dtype, another shape, or a shape that can be read in two ways.
    """
    got = f"got {pictures.dtype} {pictures.shape}"
    if pictures.dtype != np.uint8:
        raise ValueError(f"{name}: expected uint8 values 0..255, {got}; scale and round them first")
    if layout == "auto":
        first, last = (pictures.ndim == 4 and pictures.shape[axis] in (1, 3) for axis in (1, -1))
        if first and last:
            raise ValueError(f"{name}: {got} can be N,C,H,W or N,H,W,C; set layout")
        layout = "nhw" if pictures.ndim == 3 else "nchw" if first else "nhwc"
    if pictures.ndim != len(layout):
        raise ValueError(f"{name}: expected {','.join(layout.upper())} with C = 1 or 3, {got}")
    planar = pictures[:, None] if layout == "nhw" else pictures if layout == "nchw" else pictures.transpose(0, 3, 1, 2)
    if planar.shape[1] not in (1, 3):
        raise ValueError(f"{name}: expected {','.join(layout.upper())} with C = 1 or 3, {got}")
    return planar
