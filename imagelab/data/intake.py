"""Intake: read a folder of picture files once, name every bad one, and hand over pixels of one size.

The order is fixed (sorted by path), so the same files give the same set on every machine and with any number of
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
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..images import PIXEL_LIMIT, read_rgb
from .base import BadFile

__all__ = ["FORMATS", "SUFFIXES", "Intake", "read_folder", "shown", "square"]

SUFFIXES = frozenset(
    {".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Names that end so are pictures; all others are counted and left alone."""

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What the content may be. Nothing that would start another program (EPS) or hold other than pixels."""

THREADS = min(4, os.cpu_count() or 1)  # more would let several huge pictures unfold in memory together


@dataclass(frozen=True, eq=False)
class Intake:
    """What a folder turned out to hold.

    Attributes:
        images: uint8 [N,3,size,size], read-only; distinct pictures in sorted order of their names.
        names: N paths relative to the folder, printable.
        digests: N SHA-256 of the final pixels, hex.
        bad: the refused files with reasons.
        ignored: files that are no pictures by their name. copies: pictures left out as equal to an earlier one.
        enlarged: pictures whose shorter side is below ``size``: their fine detail is interpolated, not real.
    """

    images: np.ndarray
    names: tuple[str, ...]
    digests: tuple[str, ...]
    bad: tuple[BadFile, ...]
    ignored: int
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


@dataclass(frozen=True)
class _Entry:
    """A file as the listing saw it; part of the key under which a reading is remembered."""

    name: str
    size: int
    modified: int  # nanoseconds
    regular: bool


def read_folder(folder: Path, size: int, least: int, alpha_over: tuple[int, int, int], recursive: bool) -> Intake:
    """Read all pictures of a folder; within one process unchanged files are not read again.

    Args:
        folder: where to look. Names that begin with a dot are ignored; linked subfolders are not entered.
        size: side of the final square, pixels.
        least: shortest side a picture may have, pixels.
        alpha_over: RGB 0..255 behind transparent pixels.
        recursive: whether subfolders belong to it.

    Raises:
        ValueError: if the folder is missing, no folder or not readable.
    """
    if not folder.exists():
        raise ValueError(f"folder: {shown(folder)} does not exist; expected a folder of pictures. Check the path.")
    if not folder.is_dir():
        raise ValueError(f"folder: {shown(folder)} is a file; expected a folder. Name the folder that holds it.")
    entries, ignored, unread = _listing(folder, recursive)
    intake = _read_entries(folder, size, least, alpha_over, entries)
    return Intake(
        intake.images, intake.names, intake.digests, (*unread, *intake.bad), ignored, intake.copies, intake.enlarged
    )


def shown(path: str | Path) -> str:
    r"""Return a path in characters that can be printed on one line: control characters and broken bytes escaped.

    Example:
        >>> shown("two\nlines.png")
        'two\\nlines.png'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Crop uint8 [3,H,W] to its centre square and resample it once: uint8 [3,size,size].

    A square that already has the size is returned as it is, to the byte.
    """
    _, height, width = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = np.ascontiguousarray(pixels[:, top : top + side, left : left + side])
    if side == size:
        return crop
    small = Image.fromarray(crop.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def _listing(folder: Path, recursive: bool) -> tuple[tuple[_Entry, ...], int, list[BadFile]]:
    """Return the picture files in sorted order, the number of other files, and what could not be listed."""
    unread: list[BadFile] = []
    found: list[_Entry] = []
    ignored = 0

    def refuse(error: OSError) -> None:
        unread.append(BadFile(shown(error.filename or folder), f"folder cannot be read: {error.strerror}"))

    for path in _walk(folder, recursive, refuse):
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
            ignored += 1
            continue
        try:
            status = path.stat()
            entry = _Entry(
                str(path.relative_to(folder)), status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode)
            )
            found.append(entry)
        except OSError as error:
            unread.append(BadFile(shown(path), f"cannot be opened: {error.strerror}"))
    found.sort(key=lambda entry: os.fsencode(entry.name))
    return tuple(found), ignored, sorted(unread, key=lambda bad: bad.path)


def _walk(folder: Path, recursive: bool, refuse: Callable[[OSError], None]) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
        yield from (Path(parent) / name for name in files)


@lru_cache(maxsize=2)
def _read_entries(
    folder: Path, size: int, least: int, alpha_over: tuple[int, int, int], entries: tuple[_Entry, ...]
) -> Intake:
    """Decode the listed files, in threads, and keep the distinct ones in the order of the listing."""

    def read(entry: _Entry) -> _Picture | BadFile:
        path = folder / entry.name
        try:
            return _read_picture(path, entry, size, least, alpha_over)
        except ValueError as error:
            return BadFile(shown(path), shown(str(error).removeprefix(f"{path}: ")))

    images = np.empty((len(entries), 3, size, size), np.uint8)
    names: list[str] = []
    digests: dict[str, None] = {}
    bad: list[BadFile] = []
    copies = enlarged = 0
    # Threads inside read_rgb change the process's warning filters; this outer guard puts them back when all are done.
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")
        for entry, result in zip(entries, pool.map(read, entries), strict=True):
            if isinstance(result, BadFile):
                bad.append(result)
            elif result.digest in digests:
                copies += 1
            else:
                images[len(names)] = result.pixels
                names.append(shown(entry.name))
                digests[result.digest] = None
                enlarged += result.enlarged
    images = images[: len(names)]
    images.setflags(write=False)
    return Intake(images, tuple(names), tuple(digests), tuple(bad), 0, copies, enlarged)


def _read_picture(path: Path, entry: _Entry, size: int, least: int, alpha_over: tuple[int, int, int]) -> _Picture:
    """Read one file.

    Raises:
        ValueError: with the reason, if it is not a picture we can use.
    """
    if not entry.regular:
        raise ValueError("not a regular file")
    if entry.size == 0:
        raise ValueError("empty file (0 bytes)")
    shorter = _check_header(path, least)
    pixels = square(read_rgb(path, alpha_over), size)
    return _Picture(pixels, hashlib.sha256(pixels.tobytes()).hexdigest(), shorter < size)


def _check_header(path: Path, least: int) -> int:
    """Return the shorter side, pixels, having read nothing but the header."""
    try:
        with Image.open(path, formats=FORMATS) as opened:
            width, height, mode, kind = *opened.size, opened.mode, opened.format
    except UnidentifiedImageError as error:
        raise ValueError(f"not a picture: the content is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"would unfold to more than the limit of {PIXEL_LIMIT:,} pixels") from error
    except Exception as error:  # Pillow's parsers raise almost anything on damaged headers
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ValueError(f"cannot be opened: {reason}") from error
    if width * height > PIXEL_LIMIT:
        raise ValueError(f"{width} x {height} pixels, more than the limit of {PIXEL_LIMIT:,}")
    if min(width, height) < least:
        raise ValueError(f"too small: {width} x {height} pixels, the shorter side must be at least {least}")
    if mode == "F" or (mode == "I" and kind == "TIFF"):
        raise ValueError("32-bit values without an agreed white; save it with 8 or 16 bits a channel")
    return min(width, height)
