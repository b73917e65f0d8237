"""Oxford Flowers 102: photographs of 102 kinds of flower.

Layout: ``jpg/image_00001.jpg``, ``imagelabels.mat`` (a class 1..102 for each picture) and ``setid.mat`` (the numbers of
the training, validation and test pictures), both MATLAB files without executable content.

References:
    Automated flower classification over a large number of classes (Nilsback and Zisserman 2008),
    doi:10.1109/ICVGIP.2008.47.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ..io.annotation_lists import changed, class_columns
from ..io.catalogue import Catalogue, Split, digest, file_catalogue, list_pictures, shown
from ..io.listed import present
from ..io.matlab import matlab_numbers
from ..io.untrusted import few, parsing
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["Flowers102"]

SOURCE = "the 102 Category Flower Dataset page of the Visual Geometry Group, University of Oxford"
SETS: dict[str, Split] = {"trnid": "train", "valid": "reserve", "tstid": "heldout"}


class Flowers102(PictureSet):
    """Oxford Flowers 102: the class is the attribute ``class/NUMBER``, 001 to 102.

    The published test set is the largest of the three. With ``official`` all of it is held out, and only 1,020 pictures
    are left for training. A seeded split leaves about 6,100.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``jpg`` and the two MATLAB files, or its parent.
        official: whether the published sets are the splits.
    """

    kind: Literal["flowers102"] = "flowers102"
    path: FilePath
    official: bool = True

    licence: ClassVar[str] = "Licence: none that imagelab knows of; check before publishing."

    def _catalogue(self) -> Catalogue:
        places = (self.path / "jpg", self.path / "flowers-102" / "jpg")
        folder = found_at(self.kind, self.path, "jpg/image_00001.jpg ... and imagelabels.mat", SOURCE, *places)
        labels_file, sets_file = folder.parent / "imagelabels.mat", folder.parent / "setid.mat"
        labels = _numbers(labels_file, "labels")
        names = [f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1)]
        here = present(list_pictures(folder), names)
        catalogue = file_catalogue(here.listing)
        classes, note = class_columns([f"{labels[row]:03d}" for row in here.rows])
        splits, stamps = None, [changed(labels_file)]
        if self.official:
            stamps.append(changed(sets_file))
            where = _sets(sets_file, len(labels))
            unassigned = [str(row + 1) for row in here.rows if row + 1 not in where]
            if unassigned:
                raise ValueError(f"{shown(sets_file)}: in none of {', '.join(SETS)}: picture {few(unassigned)}")
            splits = tuple(where[row + 1] for row in here.rows)
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamps),
            attributes=classes,
            splits=splits,
            note=note + here.note,
        )

    def _subject(self) -> str:
        return f"Oxford Flowers 102 in {shown(self.path)}"


def _sets(path: Path, count: int) -> dict[int, Split]:
    """Return the split of each of ``count`` pictures by its number, from 1 on."""
    where: dict[int, Split] = {}
    for key, split in SETS.items():
        for number in _numbers(path, key).tolist():
            if not 1 <= number <= count:
                raise ValueError(f"{shown(path)}: {key} holds {number}; expected numbers from 1 to {count}")
            if where.setdefault(number, split) != split:
                raise ValueError(f"{shown(path)}: picture {number} is in two of {', '.join(SETS)}; expected one")
    return where


def _numbers(path: Path, key: str) -> np.ndarray:
    """Return a row of whole numbers, 0 or more, from a MATLAB file: int64 [N]."""
    changed(path)
    content = matlab_numbers(path, key)
    with parsing(path, f"a list of whole numbers {key!r}"):
        numbers = content.astype(np.int64)
        if (numbers != content).any() or (numbers < 0).any():
            raise ValueError("it holds other values")
        return numbers
