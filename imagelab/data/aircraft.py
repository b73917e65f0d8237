"""FGVC-Aircraft: photographs of aeroplanes, labelled by variant, family and manufacturer.

Layout: ``data/images/0034309.jpg`` and ``data/images_variant_train.txt`` (also ``val`` and ``test``, ``family`` and
``manufacturer``) with lines ``number label``.

References:
    Fine-grained visual classification of aircraft (Maji et al. 2013), arXiv:1306.5151.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..io.annotation_lists import changed, class_columns, division, once, read_rows
from ..io.catalogue import SUFFIXES, Catalogue, digest, file_catalogue, list_pictures, shown
from ..io.listed import present
from ..io.untrusted import quoted
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
        lines: list[tuple[Path, int, str, tuple[str, str]]] = []
        stamps = []
        for part in ("train", "val", "test"):
            path = folder.parent / f"images_{self.level}_{part}.txt"
            stamps.append(changed(path))
            for row in read_rows(path, most=1):
                if len(row.fields) != 2:
                    got = quoted(" ".join(row.fields), 80)
                    raise ValueError(f"{shown(path)}: line {row.line}: expected `number label`, got {got!r}")
                number, label = row.fields
                name = number if Path(number).suffix.lower() in SUFFIXES else f"{number}.jpg"
                lines.append((path, row.line, name, (shown(label), part)))
        kept, repeated = once(lines)
        here = present(list_pictures(folder), [lines[place][2] for place in kept])
        known = [lines[kept[row]][3] for row in here.rows]
        catalogue = file_catalogue(here.listing, bottom=self.banner)
        classes, note = class_columns([label for label, _ in known])
        splits, undivided = division([part for _, part in known]) if self.official else (None, "")
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamps),
            attributes=classes,
            splits=splits,
            note=f"The lowest {self.banner} rows were removed first. {note}{repeated}{here.note}{undivided}",
        )

    def _subject(self) -> str:
        return f"FGVC-Aircraft in {shown(self.path)}"
