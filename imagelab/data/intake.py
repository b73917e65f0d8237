"""Intake: read pictures once, name every bad one, and hand over pixels of one size.

A dataset says in a :class:`Catalogue` which pictures it has, in a fixed order, and how one of them is read; the rest is
the same for all. The order is fixed, so the same files give the same set on every machine and with any number of
threads. A picture is turned upright, laid over one background colour, cropped to its centre square and resampled
ONCE, with Pillow's antialiased bicubic kernel (a = -0.5, support widened when shrinking, as in clean-fid), on the
sRGB values as stored. Of pictures whose final pixels are equal only the first stays: a copy that stood in train and
in heldout would make memorisation look like quality.

References:
    On aliased resizing and surprising subtleties in GAN evaluation (Parmar et al. 2022), arXiv:2104.11222.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import PIL
from PIL import Image

from ..images import FORMATS, read_rgb
from .base import BadFile, Split
from .face_cache import cached

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Catalogue",
    "Entry",
    "Intake",
    "Listing",
    "digest",
    "file_catalogue",
    "list_pictures",
    "shown",
    "square",
    "take_in",
]

SUFFIXES = frozenset(
    {".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Names that end so are pictures; all others are counted and left alone."""

INTAKE_VERSION = 1
"""Part of the name of every cached set; raise it when a picture would come out otherwise."""

THREADS = min(4, os.cpu_count() or 1)  # more would let several huge pictures unfold in memory together


@dataclass(frozen=True)
class Entry:
    """A file as the listing saw it: name relative to the folder, bytes, nanoseconds of its last change."""

    name: str
    size: int
    modified: int
    regular: bool


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder in sorted order; other files counted, unreadable places named."""

    folder: Path
    entries: tuple[Entry, ...]
    ignored: int = 0
    unread: tuple[BadFile, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """What a dataset's layout says before a picture is decoded. Two are equal when their stamps are.

    Attributes:
        stamp: SHA-256 of all that changes the pixels: files with size and time of change, decoding settings.
        names: N names in the dataset's fixed order, printable.
        read: row -> uint8 [3,H,W] of any size; ValueError with the reason if it cannot. Called from threads.
        attributes: name -> bool [N], as the dataset's own lists state them.
        splits: N splits where the dataset has an official division.
        groups: N numbers; pictures of one group never part in a seeded split.
        home: what stands before a name in messages about a bad picture, such as ``folder/``.
        bad: what was refused already. ignored: files that are no pictures. note: a sentence for the card.
    """

    stamp: str
    names: tuple[str, ...] = field(compare=False, repr=False)
    read: Callable[[int], np.ndarray] = field(compare=False, repr=False)
    attributes: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    splits: tuple[Split, ...] | None = field(default=None, compare=False, repr=False)
    groups: np.ndarray | None = field(default=None, compare=False, repr=False)
    home: str = field(default="", compare=False, repr=False)
    bad: tuple[BadFile, ...] = field(default=(), compare=False)
    ignored: int = field(default=0, compare=False)
    note: str = field(default="", compare=False)

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
        )


@dataclass(frozen=True, eq=False)
class Intake:
    """What a catalogue's pictures turned out to be.

    Attributes:
        images: uint8 [N,3,size,size], read-only; distinct pictures in the order of the catalogue.
        rows: int64 [N], their rows in the catalogue. names: their N names.
        digests: N SHA-256 of the final pixels, hex.
        bad: the refused pictures with reasons.
        copies: pictures left out as equal to an earlier one.
        enlarged: pictures whose shorter side is below ``size``: their fine detail is interpolated, not real.
    """

    images: np.ndarray
    rows: np.ndarray
    names: tuple[str, ...]
    digests: tuple[str, ...]
    bad: tuple[BadFile, ...]
    copies: int
    enlarged: int

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, pixel SHA-256) pairs: equal for equal pictures under equal names."""
        pairs = sorted(zip(self.names, self.digests, strict=True))
        return hashlib.sha256(repr(pairs).encode()).hexdigest()


@dataclass(frozen=True)
class _Picture:
    pixels: np.ndarray  # uint8 [3,size,size]
    digest: str
    enlarged: bool


def digest(*parts: object) -> str:
    """SHA-256, hex, of plain values (numbers, strings, frozen records of these)."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def list_pictures(folder: Path, recursive: bool = True) -> Listing:
    """List a folder's picture files, told by their names, in sorted order.

    Names that begin with a dot are ignored; linked subfolders are not entered.

    Raises:
        ValueError: if the folder is missing, no folder or not readable.
    """
    if not folder.exists():
        raise ValueError(f"folder: {shown(folder)} does not exist; expected a folder of pictures. Check the path.")
    if not folder.is_dir():
        raise ValueError(f"folder: {shown(folder)} is a file; expected a folder. Name the folder that holds it.")
    unread: list[BadFile] = []
    found: list[Entry] = []
    ignored = 0

    def refuse(error: OSError) -> None:
        unread.append(BadFile(shown(error.filename or folder), f"folder cannot be read: {error.strerror}"))

    root = os.path.join(folder, "")  # noqa: PTH118 - with the last separator
    for parent, names in _walk(folder, recursive, refuse):
        for name in names:
            if name.startswith(".") or os.path.splitext(name)[1].lower() not in SUFFIXES:  # noqa: PTH122 - many files
                ignored += 1
                continue
            path = os.path.join(parent, name)  # noqa: PTH118
            try:
                status = os.stat(path)  # noqa: PTH116
                inside = path[len(root) :].replace(os.sep, "/")
                found.append(Entry(inside, status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode)))
            except OSError as error:
                unread.append(BadFile(shown(path), f"cannot be opened: {error.strerror}"))
    found.sort(key=lambda entry: os.fsencode(entry.name))
    return Listing(folder, tuple(found), ignored, tuple(sorted(unread, key=lambda bad: bad.path)))


def _walk(folder: Path, recursive: bool, refuse: Callable[[OSError], None]) -> Iterator[tuple[str, list[str]]]:
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
        yield parent, files


def file_catalogue(
    listing: Listing,
    alpha_over: tuple[int, int, int] = (255, 255, 255),
    window: int | None = None,
    bottom: int = 0,
    entries: Sequence[Entry] | None = None,
) -> Catalogue:
    """Return the catalogue of listed files; labels and splits are for the caller to add (``dataclasses.replace``).

    Args:
        listing: where the files are.
        alpha_over: RGB 0..255 behind transparent pixels.
        window: take only the centre, this many pixels a side, before anything else; None for the largest square.
        bottom: rows cut off below, before that.
        entries: the ones to take, in this order; all if not given.
    """
    chosen = listing.entries if entries is None else tuple(entries)

    def read(row: int) -> np.ndarray:
        pixels = _read_file(listing.folder / chosen[row].name, chosen[row], alpha_over)
        pixels = pixels[:, : pixels.shape[1] - bottom]
        return pixels if window is None else centre(pixels, window)

    return Catalogue(
        stamp=digest(str(listing.folder), alpha_over, window, bottom, chosen),
        names=tuple(shown(entry.name) for entry in chosen),
        read=read,
        home=f"{shown(listing.folder)}/",
        bad=listing.unread,
        ignored=listing.ignored + len(listing.entries) - len(chosen),
    )


def _read_file(path: Path, entry: Entry, alpha_over: tuple[int, int, int]) -> np.ndarray:
    """Read one file: uint8 [3,H,W].

    Raises:
        ValueError: with the reason alone, if it is not a picture we can use.
    """
    if not entry.regular:
        raise ValueError("not a regular file")
    if entry.size == 0:
        raise ValueError("empty file (0 bytes)")
    try:
        return read_rgb(path, alpha_over)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from error


@lru_cache(maxsize=2)
def take_in(catalogue: Catalogue, size: int, cache: bool = False) -> Intake:
    """Read all pictures of a catalogue, in threads, and keep the distinct ones in its order.

    Within one process an unchanged catalogue is not read again; with ``cache`` the final pixels are kept on disk as
    well, in ``cache_folder("pictures")``. A picture whose shorter side is below ``size / 2`` is refused, so none is
    enlarged more than twice.
    """
    if cache:
        expected = dict.fromkeys(("rows", "digests", "refused", "reasons"), (-1,))
        form = {"images": (-1, 3, size, size), **expected, "counts": (2,)}
        name = digest(INTAKE_VERSION, PIL.__version__, catalogue.stamp, size)
        arrays = cached(name, form, lambda: _read_all(catalogue, size), shelf="pictures")
    else:
        arrays = _read_all(catalogue, size)
    images, rows = arrays["images"], arrays["rows"]
    images.setflags(write=False)
    refused = zip(arrays["refused"], arrays["reasons"], strict=True)
    bad = (BadFile(f"{catalogue.home}{catalogue.names[row]}", str(reason)) for row, reason in refused)
    return Intake(
        images=images,
        rows=rows,
        names=tuple(catalogue.names[row] for row in rows),
        digests=tuple(arrays["digests"].tolist()),
        bad=(*catalogue.bad, *bad),
        copies=int(arrays["counts"][0]),
        enlarged=int(arrays["counts"][1]),
    )


def _read_all(catalogue: Catalogue, size: int) -> dict[str, np.ndarray]:
    """Return the distinct pictures, their rows and digests; the refused rows with reasons; (copies, enlarged)."""

    def read(row: int) -> _Picture | str:
        try:
            return _prepare(catalogue.read(row), size)
        except (ValueError, OSError) as error:
            return shown(str(error))

    images = np.empty((len(catalogue), 3, size, size), np.uint8)
    rows: list[int] = []
    digests: dict[str, None] = {}
    bad: dict[int, str] = {}
    copies = enlarged = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for row, result in enumerate(pool.map(read, range(len(catalogue)))):
            if isinstance(result, str):
                bad[row] = result
            elif result.digest in digests:
                copies += 1
            else:
                images[len(rows)] = result.pixels
                rows.append(row)
                digests[result.digest] = None
                enlarged += result.enlarged
    return {
        "images": images[: len(rows)],
        "rows": np.array(rows, np.int64),
        "digests": np.array(list(digests), "U64"),
        "refused": np.array(list(bad), np.int64),
        "reasons": np.array(list(bad.values()), str),
        "counts": np.array([copies, enlarged]),
    }


def _prepare(pixels: np.ndarray, size: int) -> _Picture:
    height, width = pixels.shape[1:]
    least = -(-size // 2)
    if min(width, height) < least:
        raise ValueError(f"too small: {width} x {height} pixels, the shorter side must be at least {least}")
    final = square(pixels, size)
    return _Picture(final, hashlib.sha256(final.tobytes()).hexdigest(), min(width, height) < size)


def shown(path: str | Path) -> str:
    r"""Return a path in characters that can be printed on one line: control characters and broken bytes escaped.

    Example:
        >>> shown("two\nlines.png")
        'two\\nlines.png'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def centre(pixels: np.ndarray, window: int) -> np.ndarray:
    """Cut the centre window out of uint8 [3,H,W]: uint8 [3,window,window], or less where the picture is smaller."""
    _, height, width = pixels.shape
    top, left = max(height - window, 0) // 2, max(width - window, 0) // 2
    return pixels[:, top : top + window, left : left + window]


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Crop uint8 [3,H,W] to its centre square and resample it once: uint8 [3,size,size].

    A square that already has the size is returned as it is, to the byte.
    """
    side = min(pixels.shape[1:])
    crop = np.ascontiguousarray(centre(pixels, side))
    if side == size:
        return crop
    small = Image.fromarray(crop.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))
