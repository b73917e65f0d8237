"""Labeled Faces in the Wild: news photographs of faces, a folder for each person.

Layout: ``lfw_funneled/Name_Surname/Name_Surname_0001.jpg`` (250 x 250 pixels; ``lfw-deepfunneled`` and ``lfw`` are
read as well), with ``peopleDevTrain.txt`` and ``peopleDevTest.txt`` (a count, then lines with a name and its number of
pictures). Names are used for one purpose only: to keep each person within one split. They never become attributes.

References:
    Labeled faces in the wild (Huang et al. 2007), University of Massachusetts technical report 07-49.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ..io.annotation_lists import changed, counted, present, read_rows
from ..io.catalogue import Catalogue, Split, digest, file_catalogue, list_pictures, shown
from .picture_set import FACES_OF_PEOPLE, FilePath, PictureSet, found_at

__all__ = ["LFW"]

SOURCE = "the LFW page of the University of Massachusetts Amherst (Vision Lab), or a mirror you trust"
LISTS: dict[str, Split] = {"peopleDevTrain.txt": "train", "peopleDevTest.txt": "heldout"}


class LFW(PictureSet):
    """Labeled Faces in the Wild.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains the folder of persons and the lists, or its parent.
        official: whether the published development lists are the splits; else a seeded permutation of persons.
        cache: off by default, so that no copy of real people's faces is left on the disk.
    """

    kind: Literal["lfw"] = "lfw"
    path: FilePath
    official: bool = True
    cache: bool = False

    licence: ClassVar[str] = (
        "Licence: none that imagelab knows of; the photographs were collected from news pages without consent; check "
        "before publishing. " + FACES_OF_PEOPLE
    )

    def _catalogue(self) -> Catalogue:
        folder = self._folder()
        listing = list_pictures(folder)
        persons = {entry.name: entry.name.split("/")[0] for entry in listing.entries if "/" in entry.name}
        chosen, stamp = self._listed(folder) if self.official else (dict.fromkeys(persons), ())
        _, entries, missing = present(listing, list(chosen))
        _, groups = np.unique([persons[entry.name] for entry in entries], return_inverse=True)
        splits = tuple(split for entry in entries if (split := chosen[entry.name]) is not None)
        catalogue = file_catalogue(listing, entries=entries)
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamp),
            splits=splits if self.official else None,
            groups=groups,
            bad=(*catalogue.bad, *missing),
        )

    def _listed(self, folder: Path) -> tuple[dict[str, Split | None], tuple[object, ...]]:
        """Return the split of every picture named by the development lists, and the stamps of the lists."""
        found: dict[str, Split | None] = {}
        stamps = []
        for title, split in LISTS.items():
            path = folder.parent / title
            if not path.is_file() and (folder / title).is_file():
                path = folder / title
            if not path.is_file():
                raise ValueError(f"{shown(path)}: no such list; add it, or set official = False for a seeded split")
            stamps.append(changed(path))
            for row in counted(path, read_rows(path, "\t"), headers=0):
                if len(row) != 2 or not row[1].isdigit() or len(row[1]) > 4:
                    raise ValueError(f"{shown(path)}: expected lines `Name<tab>count`, got {' '.join(row)!r}")
                for number in range(1, int(row[1]) + 1):
                    found[f"{row[0]}/{row[0]}_{number:04d}.jpg"] = split
        return found, tuple(stamps)

    def _folder(self) -> Path:
        roots = (self.path, self.path / "lfw-py", self.path / "lfw_home")
        names = ("lfw_funneled", "lfw-deepfunneled", "lfw_deepfunneled", "lfw")
        places = [root / name for root in roots for name in names]
        return found_at(self.kind, self.path, "lfw_funneled/Name/Name_0001.jpg and the people lists", SOURCE, *places)

    def _subject(self) -> str:
        return f"Labeled Faces in the Wild in {shown(self.path)}"
