"""The cache: results that can be computed again, kept on disk under a content address and within a size limit.

Rendered faces, decoded pictures, unpacked arrays and features are kept under ``$IMAGELAB_CACHE`` (else
``~/.cache/imagelab``). The name of an entry is a hash of everything that changes its content, so an entry may be
removed at any time and costs no more than the time to make it again. There are two kinds of entry:

- :func:`cached`: named arrays that fit into memory, one NPZ file;
- :func:`cached_stream`: one long file that is written piece by piece and memory-mapped afterwards, with a small JSON
  file beside it. The JSON file is written last and holds length and CRC-32, so an incomplete file is recognised.

For both kinds: files are readable by their owner alone, written under another name and renamed when complete; an entry
that cannot be read, or whose checksum is wrong, is made again with a warning; a folder that cannot be written to costs
a warning, and the work goes on without the cache.

Before a run or a measurement begins, :func:`make_room` removes entries, least recently used first, until the rest fits
into ``$IMAGELAB_CACHE_GB`` (5 GB where it is not set). It removes only files of the cache folders whose names are such
hashes and which were not used for a day, and the partial files of killed processes. All other files (weights, a user's
own files) are neither removed nor counted. "Used" means last read or written, as far as the file system records it. A
file that a process has mapped stays readable for that process after it was removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from .atomic import TEMPORARY, written_whole

__all__ = [
    "FOLDERS",
    "LIMIT_GB",
    "VARIABLE",
    "CacheEntry",
    "cache_entries",
    "cache_folder",
    "cached",
    "cached_stream",
    "limit",
    "make_room",
]

_LOG = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]
T = TypeVar("T")

VARIABLE = "IMAGELAB_CACHE_GB"
"""Environment variable: how many GB (10^9 bytes) the cache may hold."""

LIMIT_GB = 5.0
"""The limit where the variable is not set."""

FOLDERS = ("faces", "pictures", "measured", "features", "ledgers")
"""Folders of the cache that hold only entries that can be made again."""

UNUSED_SECONDS = 24 * 3600.0
"""How long an entry must be unused before it may go: longer than most runs, and no finer than disks record access."""

BLOCK_BYTES = 1 << 20  # read at once for a checksum

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a write to a full disk, or beyond a limit of the process
DIGEST = "digest"  # the array of an entry that holds the SHA-256 of the others

_KEPT = re.compile(r"((?:[\w.@+-]+-)?[0-9a-f]{16,64})\.(?:npz|npy|bytes|json)(?:" + TEMPORARY + ")?")


def cache_folder(name: str = "faces") -> Path:
    """Return a folder of the cache: ``$IMAGELAB_CACHE/<name>``, else ``~/.cache/imagelab/<name>``."""
    root = os.environ.get("IMAGELAB_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "imagelab") / name


def cached(
    folder: Path, name: str, expected: Mapping[str, tuple[int, ...]], make: Callable[[], Mapping[str, np.ndarray]]
) -> Arrays:
    """Return the arrays stored under a name, or make and store them.

    Args:
        folder: where entries of this kind are kept; made where it does not exist.
        name: the content address (a hash), without a suffix.
        expected: array name -> the shape that a complete entry has, -1 for any length.
        make: computes the arrays.
    """
    path = folder / f"{name}.npz"
    stored = _stored(path, lambda: _read_arrays(path, expected))
    if stored is not None:
        return stored
    arrays = make()
    try:
        with _private(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **{DIGEST: np.array(_digest(name, arrays))})
    except OSError as error:
        _warn_not_kept(path, error)
    return arrays


def cached_stream(
    path: Path | None, fill: Callable[[BinaryIO], dict[str, Any]], view: Callable[[BinaryIO, dict[str, Any]], T]
) -> T:
    """Return a view of the file stored under a name, or write the file first, piece by piece.

    Args:
        path: the name, a content address with a suffix; a file of the same name with suffix ``.json`` lies next to it.
            None keeps nothing: a temporary file without a name is used, and freed when the view is freed.
        fill: writes the content to an open file and returns facts about it, as JSON values.
        view: (open file, facts) -> the result, usually a memory map; the file is closed after it returns.

    Raises:
        Exception: whatever ``fill`` raises; then nothing is kept. If the cache's disk is full, ``fill`` is called again
            with a temporary file.
    """
    if path is not None:
        stored = _stored(path, lambda: _read_stream(path, view))
        if stored is not None:
            return stored
        try:
            return _written_stream(path, fill, view)
        except _NotKept as reason:
            _warn_not_kept(path, reason.error)
    with tempfile.TemporaryFile() as file:
        facts = fill(file)
        file.flush()
        return view(file, facts)


class _NotKept(Exception):
    """The disk of the cache cannot keep an entry; the work goes on without it."""

    def __init__(self, error: OSError):
        super().__init__(str(error))
        self.error = error


def _written_stream(
    path: Path, fill: Callable[[BinaryIO], dict[str, Any]], view: Callable[[BinaryIO, dict[str, Any]], T]
) -> T:
    """Write a file of the cache and return a view of it.

    Raises:
        _NotKept: where the folder cannot be written to, or its disk is full.
        Exception: whatever ``fill`` raises; then nothing is kept.
    """
    filling = False
    try:
        with _private(path) as partial, partial.open("w+b") as file:
            filling = True
            facts = fill(file)
            filling = False
            file.flush()
            result, summary = view(file, facts), _checksum(file)
    except OSError as error:
        if not filling or error.errno in FULL:  # else it is an error of what the entry is made from
            raise _NotKept(error) from error
        raise
    try:
        with _private(path.with_suffix(".json")) as note:
            note.write_text(json.dumps({**summary, "facts": facts}), encoding="utf-8")
    except OSError as error:
        _warn_not_kept(path, error)
    return result


def _stored(path: Path, read: Callable[[], T | None]) -> T | None:
    """Return what ``read`` makes of an entry; None with a warning where it is damaged, None where there is none."""
    try:
        return read() if path.is_file() else None
    except Exception as error:  # a damaged ZIP raises almost anything
        _LOG.warning("cached %s %s cannot be read (%s); making it again", path.parent.name, path, error)
        return None


def _read_arrays(path: Path, expected: Mapping[str, tuple[int, ...]]) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    digest = arrays.pop(DIGEST, None)
    if digest is None or str(digest) != _digest(path.stem, arrays):
        raise ValueError("its digest does not fit: it was changed, renamed, or kept by an older version")
    shapes = {key: array.shape for key, array in arrays.items()}
    if shapes.keys() != expected.keys() or not all(_fits(shapes[key], shape) for key, shape in expected.items()):
        raise ValueError(f"expected arrays {dict(expected)}, got {shapes}")
    return arrays


def _digest(name: str, arrays: Arrays) -> str:
    """Return the SHA-256 over the name of an entry and its arrays, so that another one cannot take its place."""
    total = hashlib.sha256(name.encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        total.update(f"\0{key} {array.dtype.str} {array.shape}\0".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (-1, s) for s, e in zip(shape, expected, strict=True))


def _read_stream(path: Path, view: Callable[[BinaryIO, dict[str, Any]], T]) -> T | None:
    note = path.with_suffix(".json")
    if not note.is_file():  # another process has not finished it
        return None
    summary = json.loads(note.read_text(encoding="utf-8"))
    facts = summary.pop("facts")
    with path.open("rb") as file:
        actual = _checksum(file)
        if actual != summary:
            raise ValueError(f"expected {summary}, got {actual}")
        return view(file, facts)


def _checksum(file: BinaryIO) -> dict[str, int]:
    """Return length and CRC-32 of an open file."""
    file.seek(0)
    length = crc = 0
    while block := file.read(BLOCK_BYTES):
        length, crc = length + len(block), zlib.crc32(block, crc)
    return {"bytes": length, "crc32": crc}


@contextlib.contextmanager
def _private(path: Path) -> Iterator[Path]:
    """Yield a new file that only its owner may read; it takes the name ``path`` when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path, mode=0o600) as partial:
        yield partial


def _warn_not_kept(path: Path, error: OSError) -> None:
    _LOG.warning("%s are not cached (%s); going on without the cache", path.parent.name, error)


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache.

    Attributes:
        folder: name of its folder, one of :data:`FOLDERS`.
        files: all files that belong to it.
        size: bytes, of all its files together.
        used: when it was last read or written, seconds since the epoch.
    """

    folder: str
    files: tuple[Path, ...]
    size: int
    used: float


def limit() -> int:
    """Return how many bytes the cache may hold.

    Raises:
        ValueError: if the variable does not hold a number of GB.
    """
    text = os.environ.get(VARIABLE) or str(LIMIT_GB)
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0.0 <= size < math.inf:
        raise ValueError(f"{VARIABLE}: expected a number of GB such as {LIMIT_GB:g}, got {text!r}")
    return round(size * 1e9)


def cache_entries() -> list[CacheEntry]:
    """Return all entries of the cache, least recently used first."""
    unsorted = [entry for folder in FOLDERS for entry in _entries_in(folder)]
    return sorted(unsorted, key=lambda entry: (entry.used, entry.files))


def make_room(now: float | None = None) -> list[CacheEntry]:
    """Remove entries, least recently used first, until the rest fits the limit or was used within the last day.

    Args:
        now: seconds since the epoch; the present time if not given.

    Returns:
        The removed entries. A file that cannot be removed stays; the cache is then larger than the limit.
    """
    kept, now = cache_entries(), time.time() if now is None else now
    excess, removed = sum(entry.size for entry in kept) - limit(), []
    for entry in kept:
        if excess <= 0 or now - entry.used < UNUSED_SECONDS:
            break
        with contextlib.suppress(OSError):
            for file in entry.files:
                file.unlink(missing_ok=True)
            removed.append(entry)
            excess -= entry.size
    return removed


def _entries_in(folder: str) -> Iterator[CacheEntry]:
    """Yield the entries of one folder: files with the same hash belong together; files that vanish are left out."""
    together: dict[str, list[tuple[Path, os.stat_result]]] = {}
    with contextlib.suppress(OSError), os.scandir(cache_folder(folder)) as files:
        for file in files:
            match = _KEPT.fullmatch(file.name)
            with contextlib.suppress(OSError):
                if match and file.is_file(follow_symlinks=False):
                    together.setdefault(match[1], []).append((Path(file.path), file.stat(follow_symlinks=False)))
    for members in together.values():
        used = max(max(stat.st_atime, stat.st_mtime) for _, stat in members)
        paths = tuple(sorted((path for path, _ in members), reverse=True))
        yield CacheEntry(folder, paths, sum(stat.st_size for _, stat in members), used)
