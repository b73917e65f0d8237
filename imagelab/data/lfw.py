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

from ..io.annotation_lists import changed, counted, once, read_rows
from ..io.catalogue import Catalogue, Split, digest, file_catalogue, list_pictures, shown
from ..io.listed import present
from ..io.untrusted import quoted
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
        found = [entry.name for entry in listing.entries if "/" in entry.name]
        names, splits, stamps, note = self._listed(folder) if self.official else (found, [], [], "")
        here = present(listing, names)
        catalogue = file_catalogue(here.listing)
        _, groups = np.unique([entry.name.split("/")[0] for entry in here.listing.entries], return_inverse=True)
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, tuple(stamps)),
            splits=tuple(splits[row] for row in here.rows) if self.official else None,
            groups=groups,
            note=note + here.note,
        )

    def _listed(self, folder: Path) -> tuple[list[str], list[Split], list[object], str]:
        """Return every picture named by the development lists, its split, the stamps of the lists, and a note."""
        persons: list[tuple[Path, int, str, tuple[Split, int]]] = []
        stamps: list[object] = []
        notes: list[str] = []
        for title, split in LISTS.items():
            path = folder.parent / title
            if not path.is_file() and (folder / title).is_file():
                path = folder / title
            if not path.is_file():
                raise ValueError(f"{shown(path)}: no such list; add it, or set official = False for a seeded split")
            stamps.append(changed(path))
            body, note = counted(path, read_rows(path), headers=0)
            notes.append(note)
            for row in body:
                if len(row.fields) != 2 or not row.fields[1].isdecimal() or len(row.fields[1]) > 4:
                    got = quoted(" ".join(row.fields), 80)
                    raise ValueError(f"{shown(path)}: line {row.line}: expected `Name<tab>count`, got {got!r}")
                persons.append((path, row.line, row.fields[0], (split, int(row.fields[1]))))
        kept, repeated = once(persons)
        names: list[str] = []
        splits: list[Split] = []
        for _, _, person, (split, count) in (persons[place] for place in kept):
            names += [f"{person}/{person}_{number:04d}.jpg" for number in range(1, count + 1)]
            splits.extend(split for _ in range(count))
        return names, splits, stamps, "".join(notes) + repeated

    def _folder(self) -> Path:
        roots = (self.path, self.path / "lfw-py", self.path / "lfw_home")
        names = ("lfw_funneled", "lfw-deepfunneled", "lfw_deepfunneled", "lfw")
        places = [root / name for root in roots for name in names]
        return found_at(self.kind, self.path, "lfw_funneled/Name/Name_0001.jpg and the people lists", SOURCE, *places)

    def _subject(self) -> str:
        return f"Labeled Faces in the Wild in {shown(self.path)}"
