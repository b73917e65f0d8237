"""CelebA: aligned faces of celebrities with forty binary attributes, some of them rare.

Layout: ``img_align_celeba/000001.jpg`` (178 x 218 pixels), ``list_attr_celeba.txt`` (count, header, then on each line a
name and forty values -1 or 1) and ``list_eval_partition.txt`` (name and 0, 1 or 2: train, validation, test). The CSV
forms of the two lists are read as well.

References:
    Deep learning face attributes in the wild (Liu et al. 2015), arXiv:1411.7766.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..io.annotation_lists import Rows, changed, counted, present, read_rows
from ..io.catalogue import Catalogue, Split, digest, file_catalogue, list_pictures, shown
from .picture_set import FACES_OF_PEOPLE, FilePath, PictureSet, found_at

__all__ = ["CelebA"]

SOURCE = "the CelebA project of the Chinese University of Hong Kong (MMLab)"
PARTITION: dict[str, Split] = {"0": "train", "1": "reserve", "2": "heldout"}


class CelebA(PictureSet):
    """CelebA as its authors publish it.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``img_align_celeba`` and the two lists, or its parent.
        crop: side of the centre square that is cut out first, pixels: 178 is the whole width, 148 leaves out most of
            the background. Distances can be compared with those of papers only under the same crop.
        official: whether the published partition is the splits; else a seeded permutation.
        limit: use at most this many of the 202,599 pictures; 0 for all.
        cache: off by default, so that no copy of real people's faces is left on the disk.
    """

    kind: Literal["celeba"] = "celeba"
    path: FilePath
    crop: Literal[148, 178] = 178
    official: bool = True
    cache: bool = False
    limit: int = Field(default=20_000, ge=0)

    licence: ClassVar[str] = (
        "Licence: non-commercial research only, as stated by the CelebA release agreement; check before publishing. "
        + FACES_OF_PEOPLE
    )

    def _catalogue(self) -> Catalogue:
        root = self._root()
        folders = [
            root / "img_align_celeba" / "img_align_celeba",
            root / "img_align_celeba",
            root / "img_align_celeba_png",
        ]
        listing = list_pictures(found_at(self.kind, self.path, "img_align_celeba/000001.jpg ...", SOURCE, *folders))
        stamp = (changed(_list(root, "list_attr_celeba")),)
        names, titles, values = _attributes(*stamp)
        rows, entries, missing = present(listing, names)
        catalogue = file_catalogue(listing, window=self.crop, entries=entries)
        splits = None
        if self.official:
            part = _list(root, "list_eval_partition")
            splits, stamp = _partition(part, [names[row] for row in rows]), (*stamp, changed(part))
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamp),
            attributes={title: values[rows, column] for column, title in enumerate(titles)},
            splits=splits,
            bad=(*catalogue.bad, *missing),
            note=f"Cut to the centre {self.crop} x {self.crop} pixels first. ",
        )

    def _subject(self) -> str:
        return f"CelebA in {shown(self.path)}"

    def _root(self) -> Path:
        expected = "img_align_celeba/ (pictures), list_attr_celeba.txt and list_eval_partition.txt"
        inner = [self.path / "celeba" / "img_align_celeba", self.path / "img_align_celeba"]
        return found_at(self.kind, self.path, expected, SOURCE, *inner, self.path / "img_align_celeba_png").parent


def _list(root: Path, name: str) -> Path:
    """Return the CSV form of a list if only that exists, else its text form (which may be missing)."""
    text, table = root / f"{name}.txt", root / f"{name}.csv"
    return table if table.is_file() and not text.is_file() else text


@lru_cache(maxsize=1)
def _attributes(file: tuple[str, int, int]) -> tuple[list[str], list[str], np.ndarray]:
    """Return names [N], attribute titles [K] and bool [N,K]."""
    path = Path(file[0])
    if path.suffix == ".csv":
        rows = read_rows(path, ",")
        titles, body = list(rows[0][1:]) if rows else [], rows[1:]
    else:
        rows = read_rows(path)
        titles, body = list(rows[1]) if len(rows) > 1 else [], counted(path, rows, headers=1)
    _check(path, titles, body)
    values = np.array([row[1:] for row in body]).reshape(len(body), len(titles))
    wrong = ~np.isin(values, ("1", "-1"))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{shown(path)}: {titles[column]} of {body[row][0]}: expected 1 or -1, got {values[row, column]}"
        )
    return [row[0] for row in body], titles, values == "1"


def _check(path: Path, titles: list[str], body: Rows) -> None:
    if not titles or not body:
        raise ValueError(f"{shown(path)}: expected a header with the names of the attributes and rows, got neither")
    for row in body:
        if len(row) != len(titles) + 1:
            raise ValueError(f"{shown(path)}: {row[0]}: expected {len(titles)} values, got {len(row) - 1}")


def _partition(path: Path, names: list[str]) -> tuple[Split, ...]:
    part = {
        row[0]: PARTITION.get(row[1])
        for row in read_rows(path, "," if path.suffix == ".csv" else None)
        if len(row) == 2
    }
    splits = []
    for name in names:
        split = part.get(name)
        if split is None:
            raise ValueError(f"{shown(path)}: expected a line `{name} 0|1|2`, got none; or set official = False")
        splits.append(split)
    return tuple(splits)
