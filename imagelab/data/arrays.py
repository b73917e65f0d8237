"""Pictures in one NumPy file: ``.npy``, or ``.npz`` that may hold labels as well. A run's ``images.npy`` is one.

Values that are not bytes need a stated white; pickled content is refused. The order of the axes is recognised by the
axis of length 1 or 3; where that is ambiguous, ``layout`` must be set.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from ..io.annotation_lists import changed, class_columns
from ..io.arrays import Layout, array_file, labels_beside, planar_view
from ..io.catalogue import Catalogue, digest, shown
from ..io.decode import stretches
from ..io.depth import ValueForm, ValueWindow, levels_of
from ..io.reading import Picture, Reading
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
        white: the value that means white in values that are not bytes, one for all pictures; by default the largest
            value of unsigned integers of 16 bits. Other values need it.
        black: the value that means black in them, 0 if not stated. Where it is stated, values beyond black or white are
            cut to them, and the card counts them; else such a picture is refused.
    """

    kind: Literal["arrays"] = "arrays"
    path: FilePath
    layout: Layout = "auto"
    key: str = ""
    labels: str = "labels"
    white: float | None = None
    black: float | None = None

    later: ClassVar[frozenset[str]] = PictureSet.later | {"white", "black"}

    @model_validator(mode="after")
    def _reading_is_possible(self) -> Arrays:
        _ = self._reading
        return self

    @property
    def _reading(self) -> Reading:
        return Reading(white=self.white, black=self.black)

    def _catalogue(self) -> Catalogue:
        found_at(self.kind, self.path, "a .npy or .npz file", SOURCE, self.path)
        file = changed(self.path, whole=True)
        pictures, labels = _read(file, self.key, self.labels)
        planar = planar_view(pictures, self.layout, shown(self.path))
        form = _form_of(planar, self.white, shown(self.path))
        height, width = planar.shape[2:]
        if min(height, width) < -(-self.size // 2):  # all are; none is looked at
            raise ValueError(
                f"{shown(self.path)}: its pictures are too small: {width} x {height} pixels; expected a shorter side "
                f"of at least {-(-self.size // 2)} for size {self.size}"
            )
        reading = self._reading
        classes, note = ({}, "") if labels is None else class_columns([shown(str(label)) for label in labels])

        def read(row: int) -> Picture:
            stated = reading.stated()
            levels = levels_of(form, stated)
            values = planar[row] if planar.dtype == np.uint8 else levels.bytes_of(np.asarray(planar[row]))
            levels.check()
            cut = stated.cut if isinstance(stated, ValueWindow) else 0
            return Picture(np.broadcast_to(values, (3, *planar.shape[2:])), deep=form.bits > 8, cut=cut)

        stated = () if self.white is None else (self.white, self.black)
        stamp = digest(file, self.layout, self.key, self.labels, *stated)
        names = tuple(f"{shown(self.path.name)}:{row}" for row in range(len(planar)))
        return Catalogue(stamp=stamp, names=names, read=read, attributes=classes, note=note)

    def _subject(self) -> str:
        return f"the array file {shown(self.path)}"


def _form_of(planar: np.ndarray, white: float | None, name: str) -> ValueForm:
    """Return how the values of an array are stored.

    Raises:
        ValueError: for values that are no numbers; and for others than unsigned integers of up to 16 bits where no
            white was stated, with the range of the first ones.
    """
    kind, bits = planar.dtype.kind, planar.dtype.itemsize * 8
    if kind == "u" and (bits <= 16 or white is not None):
        return ValueForm("u", bits)
    if kind in "if" and white is not None:
        return ValueForm("i" if kind == "i" else "f", bits)
    if kind not in "iuf":
        raise ValueError(f"{name}: expected uint8 values 0..255, or other numbers and their white, got {planar.dtype}")
    first = planar[next(stretches(len(planar), planar.shape[1:]))]
    finite = first[np.isfinite(first)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    black = f"{low:g}" if low < 0 else ""
    largest = "1" if high <= 1 else f"{high:g}"
    flags = f"--data.black {black} --data.white {largest}" if black else f"--data.white {largest}"
    python = f"black={black}, white={largest}" if black else f"white={largest}"
    raise ValueError(
        f"{name}: expected uint8 values 0..255, or other numbers and their white, got {planar.dtype} from {low:g} to "
        f"{high:g} (in the first {len(first)} pictures); say which value is white for all pictures: {flags} (in Python "
        f"{python})"
    )


@lru_cache(maxsize=2)
def _read(file: tuple[str, int, int], key: str, labels: str) -> tuple[np.ndarray, list[Any] | None]:
    """Return the array of pictures, mapped from disk, and the labels, if any.

    An array inside a .npz file is unpacked into a temporary file: what is kept for the next time are the decoded
    pictures, and that only where the dataset's setting ``cache`` says so.
    """
    path = Path(file[0])
    pictures, _ = array_file(path, cache=False, key=key)
    return pictures, labels_beside(path, labels, len(pictures)) if pictures.ndim else None
