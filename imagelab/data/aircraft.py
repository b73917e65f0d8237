"""FGVC-Aircraft: photographs of aeroplanes, labelled by variant, family and manufacturer.

Layout: ``data/images/0034309.jpg`` and ``data/images_variant_train.txt`` (also ``val`` and ``test``, ``family`` and
``manufacturer``) with lines ``number label``.

References:
    Fine-grained visual classification of aircraft (Maji et al. 2013), arXiv:1306.5151.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ..io.annotation_lists import changed, class_columns, official_splits, present, read_rows
from ..io.catalogue import Catalogue, digest, file_catalogue, list_pictures, shown
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["Aircraft"]

SOURCE = "the FGVC-Aircraft page of the Visual Geometry Group, University of Oxford"


class Aircraft(PictureSet):
    """FGVC-Aircraft: the label is the attribute ``class/NAME``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``images`` and the lists, or a parent of it.
        level: which label: variant (finest), family or manufacturer.
        banner: rows removed at the bottom, where these photographs have a line of text about their origin.
        official: whether the published lists are the splits; else a seeded permutation of the pictures in them.
    """

    kind: Literal["aircraft"] = "aircraft"
    path: FilePath
    level: Literal["variant", "family", "manufacturer"] = "variant"
    banner: int = Field(default=20, ge=0, le=200)
    official: bool = True

    licence: ClassVar[str] = (
        "Licence: non-commercial research, as imagelab understands its authors; check before publishing."
    )

    def _catalogue(self) -> Catalogue:
        roots = (self.path, self.path / "data", self.path / "fgvc-aircraft-2013b" / "data")
        expected = f"data/images/0034309.jpg ... and data/images_{self.level}_train.txt"
        folder = found_at(self.kind, self.path, expected, SOURCE, *(root / "images" for root in roots))
        names: list[str] = []
        labels: list[str] = []
        parts: list[str] = []
        stamps = []
        for part in ("train", "val", "test"):
            path = folder.parent / f"images_{self.level}_{part}.txt"
            stamps.append(changed(path))
            for row in read_rows(path, " ", most=1):
                if len(row) != 2:
                    raise ValueError(f"{shown(path)}: expected lines `number label`, got {' '.join(row)!r}")
                names.append(f"{row[0]}.jpg")
                labels.append(row[1])
                parts.append(part)
        listing = list_pictures(folder)
        found, entries, missing = present(listing, names)
        catalogue = file_catalogue(listing, bottom=self.banner, entries=entries)
        classes, note = class_columns([labels[row] for row in found])
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamps),
            attributes=classes,
            splits=official_splits([parts[row] for row in found]) if self.official else None,
            bad=(*catalogue.bad, *missing),
            note=f"The lowest {self.banner} rows were removed first. {note}",
        )

    def _subject(self) -> str:
        return f"FGVC-Aircraft in {shown(self.path)}"
