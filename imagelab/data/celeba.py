"""CelebA: aligned faces of celebrities with forty binary attributes, some of them rare.

Layout: ``img_align_celeba/000001.jpg`` (178 x 218 pixels), ``list_attr_celeba.txt`` (count, header, then on each line a
name and forty values -1 or 1) and ``list_eval_partition.txt`` (name and 0, 1 or 2: train, validation, test). The CSV
forms of the two lists are read as well, values 0 for -1, and the PNG files, which have the names of the JPEG files in
the lists. The pictures may be a part of those on the lists.

References:
    Deep learning face attributes in the wild (Liu et al. 2015), arXiv:1411.7766.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..io.annotation_lists import ListRow, changed, counted, once, read_rows, truths
from ..io.catalogue import SUFFIXES, Catalogue, Split, digest, file_catalogue, list_pictures, shown
from ..io.listed import loose, present
from ..io.untrusted import few, quoted
from .picture_set import FACES_OF_PEOPLE, FilePath, PictureSet, found_at

__all__ = ["CelebA"]

SOURCE = "the CelebA project of the Chinese University of Hong Kong (MMLab)"
PARTITION: dict[str, Split] = {"0": "train", "1": "reserve", "2": "heldout"}
FOLDERS = ("img_align_celeba", "img_align_celeba_png")
NAME_TITLES = ("image_id", "image", "file_name", "filename", "file", "name")


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
        folder = self._folder()
        roots = [folder.parent, folder.parent.parent]
        root = next((root for root in roots if _list(root, "list_attr_celeba").is_file()), roots[0])
        listing = list_pictures(folder)
        stamp = (changed(_list(root, "list_attr_celeba")),)
        known = _attributes(*stamp)
        here = present(listing, known.names)
        catalogue = file_catalogue(here.listing, window=self.crop)
        splits, note = None, known.note + here.note
        if self.official:
            part = _list(root, "list_eval_partition")
            splits, repeated = _partition(part, [known.names[row] for row in here.rows])
            stamp, note = (*stamp, changed(part)), note + repeated
        return replace(
            catalogue,
            stamp=digest(catalogue.stamp, stamp),
            attributes={title: known.values[here.rows, column] for column, title in enumerate(known.titles)},
            splits=splits,
            note=f"Cut to the centre {self.crop} x {self.crop} pixels first. {note}",
        )

    def _subject(self) -> str:
        return f"CelebA in {shown(self.path)}"

    def _folder(self) -> Path:
        expected = "img_align_celeba/000001.jpg ..., list_attr_celeba.txt and list_eval_partition.txt"
        roots = (self.path / "celeba", self.path)
        places = [place for root in roots for name in FOLDERS for place in (root / name / name, root / name)]
        return found_at(self.kind, self.path, expected, SOURCE, *places)


def _list(root: Path, name: str) -> Path:
    """Return the CSV form of a list if only that exists, else its text form (which may be missing)."""
    text, table = root / f"{name}.txt", root / f"{name}.csv"
    return table if table.is_file() and not text.is_file() else text


@dataclass(frozen=True, eq=False)
class _Known:
    """The list of attributes: N names, K titles, bool [N,K], and a note."""

    names: list[str]
    titles: list[str]
    values: np.ndarray
    note: str


@lru_cache(maxsize=1)
def _attributes(file: tuple[str, int, int]) -> _Known:
    path, note = Path(file[0]), ""
    rows: Sequence[ListRow] = read_rows(path)
    if path.suffix == ".csv":
        header, body = rows[:1], rows[1:]
    else:
        header = rows[1:2]
        body, note = counted(path, rows, headers=1)
    if not header or not body:
        raise ValueError(f"{shown(path)}: expected a header with the names of the attributes and rows, got neither")
    at, titles = _columns(path, header[0], body[0])
    for row in body:
        if len(row.fields) != len(titles) + 1:
            raise ValueError(
                f"{shown(path)}: line {row.line}: {quoted(row.fields[0], 80)}: expected {len(titles)} values, got "
                f"{len(row.fields) - 1}"
            )
    names = [row.fields[at] for row in body]
    values = np.array([row.fields[:at] + row.fields[at + 1 :] for row in body]).reshape(len(body), len(titles))
    kept, repeated = once((path, row.line, row.fields[at], row.fields) for row in body)
    words = sorted({word for row in body for word in (*row.fields[:at], *row.fields[at + 1 :])})
    truth = truths(words)
    if truth is None:
        raise ValueError(_wrong(path, titles, body, values))
    yes = np.isin(values, np.array([word for word, is_yes in zip(words, truth, strict=True) if is_yes], str))
    return _Known([names[place] for place in kept], titles, yes[kept], note + repeated)


def _columns(path: Path, header: ListRow, first: ListRow) -> tuple[int, list[str]]:
    """Return which column of a list holds the names of the pictures, and the titles of the others."""
    named = [n for n, title in enumerate(header.fields) if title.lower() in NAME_TITLES]
    at = named[0] if len(header.fields) == len(first.fields) and len(named) == 1 else _name_field(first)
    titles = [*header.fields]
    if len(titles) == len(first.fields):
        del titles[at]
    if len(titles) != len(first.fields) - 1:
        raise ValueError(
            f"{shown(path)}: line {first.line}: {quoted(first.fields[0], 80)}: expected {len(titles)} values, as many "
            f"as the titles in line {header.line}, got {len(first.fields) - 1}"
        )
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise ValueError(f"{shown(path)}: line {header.line}: the attribute {quoted(twice, 80)} has two columns")
    return at, titles


def _name_field(row: ListRow) -> int:
    """Return which field of a row is the name of a picture: the one that ends as a picture does, else the first."""
    return next((n for n, field in enumerate(row.fields) if os.path.splitext(field)[1].lower() in SUFFIXES), 0)  # noqa: PTH122 - many rows


def _wrong(path: Path, titles: list[str], body: Sequence[ListRow], values: np.ndarray) -> str:
    """Return the message for values that are neither all of 1 and -1, nor all of 1 and 0."""
    usual = max(("-1", "0"), key=lambda no: int((values == no).sum()))
    row, column = np.argwhere(~np.isin(values, ("1", usual)))[0]
    return (
        f"{shown(path)}: line {body[row].line}: {quoted(titles[column], 80)}: expected 1 or {usual}, as in the other "
        f"lines, got {quoted(values[row, column], 40)}"
    )


def _partition(path: Path, names: list[str]) -> tuple[tuple[Split, ...], str]:
    part, note = _parts(changed(path))
    without = [name for name in names if loose(name) not in part]
    if without:
        raise ValueError(
            f"{shown(path)}: expected a line `name 0|1|2` for every picture, got none for {few(without)}; "
            "or set official = False"
        )
    return tuple(part[loose(name)] for name in names), note


@lru_cache(maxsize=1)
def _parts(file: tuple[str, int, int]) -> tuple[dict[str, Split], str]:
    """Return the split of each picture by its loose name, and a note."""
    path = Path(file[0])
    lines: list[tuple[Path, int, str, Split]] = []
    for row in read_rows(path):
        at = _name_field(row)
        split = PARTITION.get(row.fields[1 - at]) if len(row.fields) == 2 and at < 2 else None
        if split is None and not lines and not row.fields[-1].isdecimal():
            continue  # the header of the CSV form
        if split is None:
            got = quoted(" ".join(row.fields), 80)
            raise ValueError(f"{shown(path)}: line {row.line}: expected `name 0|1|2`, got {got!r}")
        lines.append((path, row.line, loose(row.fields[at]), split))
    kept, note = once(lines)
    return {lines[place][2]: lines[place][3] for place in kept}, note
