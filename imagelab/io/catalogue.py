"""Catalogues: which pictures a set has, in a fixed order, and how one of them is read; and listing a folder.

A dataset describes its pictures in a :class:`Catalogue`; decoding is the same for all datasets (decode.py). The order
is fixed, so the same files give the same set on every machine and with any number of threads.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from .formats import SUFFIXES, unreadable
from .identity import state_of
from .pictures import pages_in, read_picture
from .reading import Picture, Reading, Source
from .untrusted import shown

__all__ = [
    "BadFile",
    "Catalogue",
    "Entry",
    "Listing",
    "Split",
    "centre",
    "digest",
    "every_page",
    "file_catalogue",
    "is_archive",
    "list_pictures",
    "shown",
]

Split = Literal["train", "heldout", "reserve"]
"""The three parts of a dataset, which never share an image."""


ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".zip")
"""Endings of archives that can be read, see archives.py."""

TABLES = (".parquet",)
LISTED = 3  # names given one by one in a remark


@dataclass(frozen=True)
class BadFile:
    """A file that was refused: its path, and the reason as a text."""

    path: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A listed file: name relative to the folder, bytes, state (see identity.py), whether a regular file."""

    name: str
    size: int
    state: int
    regular: bool


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder in sorted order; other files counted, unreadable places and formats named.

    Attributes:
        folder: the folder.
        entries: its pictures.
        ignored: number of other files, archives and tables among them.
        unread: what cannot be opened, and pictures in formats that cannot be read here.
        archives: names of zip and tar files, sorted.
        tables: names of Parquet files, sorted.
        linked: names of subfolders that are links, which are not entered, sorted.
    """

    folder: Path
    entries: tuple[Entry, ...]
    ignored: int = 0
    unread: tuple[BadFile, ...] = ()
    archives: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()

    def remarks(self, *read: str) -> tuple[str, ...]:
        """Return what was not read of the folder, one sentence a kind; ``read`` names the kinds that were."""
        pictures = tuple(entry.name for entry in self.entries)
        kinds = {"pictures": pictures, "archives": self.archives, "tables": self.tables}
        found = [
            f"{kind} that were not read: {_some(names)}" for kind, names in kinds.items() if names and kind not in read
        ]
        return (*found, *(f"linked folders that were not entered: {_some(names)}" for names in (self.linked,) if names))


@dataclass(frozen=True)
class Catalogue:
    """What is known of a dataset before a picture is decoded. Two catalogues are equal when their stamps are.

    Attributes:
        stamp: SHA-256 of all that changes the pixels: files with size and state (identity.py), decoding settings.
        names: N names in the dataset's fixed order, printable.
        read: row -> picture with its facts, uint8 [3,H,W] of any size; ValueError with the reason if it cannot. Called
            from threads.
        attributes: name -> bool [N], from the dataset's own lists.
        splits: N splits where the dataset has an official division.
        groups: N numbers; pictures of one group are in the same part of a seeded split.
        home: prefix of a name in messages about a bad picture, such as ``folder/``.
        bad: pictures that were refused already.
        ignored: number of files that are not pictures.
        note: a sentence for the card.
        remarks: what a reader of the numbers has to know, sentences without a full stop; damage to archives first.
        content: row -> its file, or the content of it; ValueError with the reason if there is none. None for rows that
            are not picture files.
    """

    stamp: str
    names: tuple[str, ...] = field(compare=False, repr=False)
    read: Callable[[int], Picture] = field(compare=False, repr=False)
    attributes: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    splits: tuple[Split, ...] | None = field(default=None, compare=False, repr=False)
    groups: np.ndarray | None = field(default=None, compare=False, repr=False)
    home: str = field(default="", compare=False, repr=False)
    bad: tuple[BadFile, ...] = field(default=(), compare=False)
    ignored: int = field(default=0, compare=False)
    note: str = field(default="", compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)
    content: Callable[[int], Source] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> Catalogue:
        """Return the catalogue of some rows only, in the order given."""
        chosen = [int(row) for row in rows]
        return replace(
            self,
            stamp=digest(self.stamp, chosen),
            names=tuple(self.names[row] for row in chosen),
            read=lambda row: self.read(chosen[row]),
            attributes={name: column[rows] for name, column in self.attributes.items()},
            splits=None if self.splits is None else tuple(self.splits[row] for row in chosen),
            groups=None if self.groups is None else self.groups[rows],
            content=None if (content := self.content) is None else lambda row: content(chosen[row]),
        )


def digest(*parts: object) -> str:
    """SHA-256, hex, of plain values (numbers, strings, frozen records of these)."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def list_pictures(folder: Path, recursive: bool = True) -> Listing:
    """List a folder's picture files, recognised by the suffix of their names, in sorted order.

    Names that begin with a dot are ignored; linked subfolders are not entered, and named.

    Raises:
        ValueError: if the folder is missing or is not a folder.
    """
    if not folder.exists():
        raise ValueError(f"folder: {shown(folder)} does not exist; expected a folder of pictures. Check the path.")
    if not folder.is_dir():
        raise ValueError(f"folder: {shown(folder)} is a file; expected a folder. Name the folder that holds it.")
    unread: list[BadFile] = []
    entries: list[Entry] = []
    archives: list[str] = []
    tables: list[str] = []
    linked: list[str] = []
    ignored = 0

    def refuse(error: OSError) -> None:
        unread.append(BadFile(shown(error.filename or folder), f"folder cannot be read: {error.strerror}"))

    root = os.path.join(folder, "")  # noqa: PTH118 - with the last separator
    for parent, folders, names in _walk(folder, recursive, refuse):
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):  # noqa: PTH114, PTH118
                linked.append(_inside(root, parent, name))
        for name in names:
            if is_archive(name) and not name.startswith("."):
                archives.append(_inside(root, parent, name))
            elif name.lower().endswith(TABLES) and not name.startswith("."):
                tables.append(_inside(root, parent, name))
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - many files
            path = os.path.join(parent, name)  # noqa: PTH118
            if name.startswith(".") or suffix not in SUFFIXES:
                reason = "" if name.startswith(".") else unreadable(suffix)
                unread += [BadFile(shown(path), reason)] if reason else []
                ignored += not reason
                continue
            try:
                status = os.stat(path)  # noqa: PTH116
                inside = _inside(root, parent, name)
                entries.append(Entry(inside, status.st_size, state_of(status), stat.S_ISREG(status.st_mode)))
            except OSError as error:
                unread.append(BadFile(shown(path), f"cannot be opened: {error.strerror}"))
    entries.sort(key=lambda entry: os.fsencode(entry.name))
    named = tuple(sorted(unread, key=lambda bad: bad.path))
    others = [tuple(sorted(names, key=os.fsencode)) for names in (archives, tables, linked)]
    return Listing(folder, tuple(entries), ignored, named, *others)


def is_archive(name: str) -> bool:
    """Return whether the name of a file is that of an archive that can be read."""
    return name.lower().endswith(ARCHIVES)


def _inside(root: str, parent: str, name: str) -> str:
    return os.path.join(parent, name)[len(root) :].replace(os.sep, "/")  # noqa: PTH118 - many files


def _some(names: Sequence[str]) -> str:
    """Return how many names there are, and the first ones."""
    listed = ", ".join(shown(name) for name in names[:LISTED])
    return f"{len(names)} ({listed}{', ...' if len(names) > LISTED else ''})"


def _walk(
    folder: Path, recursive: bool, refuse: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str], list[str]]]:
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
        yield parent, folders, files


def file_catalogue(
    listing: Listing,
    reading: Reading | None = None,
    window: int | None = None,
    bottom: int = 0,
    entries: Sequence[Entry] | None = None,
) -> Catalogue:
    """Return the catalogue of listed files; labels and splits are for the caller to add (``dataclasses.replace``).

    Args:
        listing: where the files are.
        reading: how a file is read.
        window: take only the centre, so many pixels a side, before anything else; None for the whole picture.
        bottom: rows cut off at the bottom, before that.
        entries: the files to take, in this order; all if not given.
    """
    chosen = listing.entries if entries is None else tuple(entries)
    reading = reading or Reading()

    def content(row: int) -> Path:
        return listing.folder / chosen[row].name

    def read(row: int) -> Picture:
        picture = read_picture(content(row), reading)
        if not bottom and window is None:
            return picture
        pixels = picture.pixels[:, : picture.pixels.shape[1] - bottom]
        return replace(picture, pixels=pixels if window is None else centre(pixels, window))

    return Catalogue(
        stamp=digest(str(listing.folder), reading, window, bottom, chosen),
        names=tuple(shown(entry.name) for entry in chosen),
        read=read,
        home=f"{shown(listing.folder)}/",
        bad=listing.unread,
        ignored=listing.ignored + len(listing.entries) - len(chosen),
        content=content,
        remarks=listing.remarks("pictures") if entries is None else listing.remarks("pictures", "archives", "tables"),
    )


def every_page(catalogue: Catalogue, reading: Reading) -> Catalogue:
    """Return a catalogue in which each picture of a file has its own row, if the reading says "all" pages.

    The pages of one file are one group: a seeded split does not divide them.

    Args:
        catalogue: one row a file, complete (with attributes and splits).
        reading: how a file is read; for any other page the catalogue is returned as it is.
    """
    content = catalogue.content
    if reading.page != "all" or content is None:
        return catalogue
    places = _places(catalogue) if catalogue.stamp else _places.__wrapped__(catalogue)
    rows = np.array([row for row, _ in places], np.int64)
    several = np.bincount(rows, minlength=len(catalogue)) > 1
    names = catalogue.names

    def read(row: int) -> Picture:
        file, page = places[row]
        if not several[file]:
            return catalogue.read(file)
        return read_picture(content(file), replace(reading, page=page))

    return replace(
        catalogue.take(rows),
        stamp=digest(catalogue.stamp, places),
        names=tuple(f"{names[row]}#{page}" if several[row] else names[row] for row, page in places),
        read=read,
        groups=rows if catalogue.groups is None else catalogue.groups[rows],
        content=None,
    )


@lru_cache(maxsize=2)
def _places(catalogue: Catalogue) -> tuple[tuple[int, int], ...]:
    """Return (row, page) of every picture of every file; this opens each file, so it is kept while nothing changes."""
    content, places = catalogue.content, []
    for row in range(len(catalogue)):
        try:
            count = pages_in(content(row)) if content else 1
        except (ValueError, OSError):
            count = 1  # reading it will give the reason
        places += [(row, page) for page in range(1, count + 1)]
    return tuple(places)


def centre(pixels: np.ndarray, window: int) -> np.ndarray:
    """Cut the centre window out of uint8 [3,H,W]: uint8 [3,window,window], or less where the picture is smaller."""
    _, height, width = pixels.shape
    top, left = max(height - window, 0) // 2, max(width - window, 0) // 2
    return pixels[:, top : top + window, left : left + window]
