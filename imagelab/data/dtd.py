"""DTD, the Describable Textures Dataset: 47 kinds of texture photographed in the wild.

Layout: ``images/banded/banded_0002.jpg`` and ``labels/train1.txt``, ``val1.txt``, ``test1.txt`` ... for ten folds,
with lines ``class/file``.

References:
    Describing textures in the wild (Cimpoi et al. 2014), arXiv:1311.3618.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..io.annotation_lists import changed, class_columns, division, once, read_rows
from ..io.catalogue import Catalogue, Entry, digest, file_catalogue, list_pictures, shown
from ..io.listed import present
from ..io.untrusted import quoted
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["DTD"]

SOURCE = "the DTD page of the Visual Geometry Group, University of Oxford"


class DTD(PictureSet):
    """Describable Textures: the kind of texture is the attribute ``class/NAME``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``images`` and ``labels``, or a parent of it.
        fold: which of the ten published divisions is used for the splits.
        official: whether a published division is the splits; else a seeded permutation of all pictures.
    """

    kind: Literal["dtd"] = "dtd"
    path: FilePath
    fold: int = Field(default=1, ge=1, le=10)
    official: bool = True

    licence: ClassVar[str] = "Licence: for research, as imagelab understands its authors; check before publishing."

    def _catalogue(self) -> Catalogue:
        places = (self.path / "images", self.path / "dtd" / "images", self.path / "dtd" / "dtd" / "images")
        folder = found_at(
            self.kind, self.path, "images/CLASS/CLASS_0001.jpg and labels/train1.txt ...", SOURCE, *places
        )
        listing = list_pictures(folder)
        if not self.official:
            classes, note = class_columns([_class_of(entry) for entry in listing.entries])
            return replace(file_catalogue(listing), attributes=classes, note=note)
        lines: list[tuple[Path, int, str, str]] = []
        stamps = []
        for part in ("train", "val", "test"):
            path = folder.parent / "labels" / f"{part}{self.fold}.txt"
            stamps.append(changed(path))
            for row in read_rows(path):
                name = row.fields[0].replace("\\", "/").removeprefix("./")
                if len(row.fields) != 1 or "/" not in name:
                    got = quoted(" ".join(row.fields), 80)
                    raise ValueError(f"{shown(path)}: line {row.line}: expected `class/file`, got {got!r}")
                lines.append((path, row.line, name, part))
        kept, repeated = once(lines)
        here = present(listing, [lines[place][2] for place in kept])
        catalogue = file_catalogue(here.listing)
        splits, undivided = division([lines[kept[row]][3] for row in here.rows])
        classes, note = class_columns([_class_of(entry) for entry in here.listing.entries])
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamps),
            attributes=classes,
            splits=splits,
            note=note + repeated + here.note + undivided,
        )

    def _subject(self) -> str:
        return f"the Describable Textures Dataset in {shown(self.path)}"


def _class_of(entry: Entry) -> str | None:
    folder, slash, _ = entry.name.partition("/")
    return shown(folder) if slash else None
