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

from ..io.annotation_lists import changed, class_columns, present
from ..io.catalogue import Catalogue, Split, digest, file_catalogue, list_pictures, shown
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
        listing = list_pictures(folder)
        found, entries, missing = present(listing, [f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1)])
        catalogue = file_catalogue(listing, entries=entries)
        classes, note = class_columns([f"{labels[row]:03d}" for row in found])
        splits, stamps = None, [changed(labels_file)]
        if self.official:
            stamps.append(changed(sets_file))
            where = {int(n): split for key, split in SETS.items() for n in _numbers(sets_file, key)}
            unassigned = [int(row) + 1 for row in found if int(row) + 1 not in where]
            if unassigned:
                raise ValueError(f"{shown(sets_file)}: picture {unassigned[0]} is in none of {', '.join(SETS)}")
            splits = tuple(where[int(row) + 1] for row in found)
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamps),
            attributes=classes,
            splits=splits,
            bad=(*catalogue.bad, *missing),
            note=note,
        )

    def _subject(self) -> str:
        return f"Oxford Flowers 102 in {shown(self.path)}"


def _numbers(path: Path, key: str) -> np.ndarray:
    """Return a row of whole numbers from a MATLAB file: int64 [N]."""
    from scipy.io import loadmat

    changed(path)
    try:
        return np.asarray(loadmat(str(path), variable_names=[key])[key]).ravel().astype(np.int64)
    except Exception as error:  # on damaged files the reader of scipy raises many kinds of exceptions
        raise ValueError(f"{shown(path)}: expected a MATLAB file with a row of numbers {key!r} ({error})") from error
