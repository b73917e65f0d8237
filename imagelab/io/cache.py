"""The cache: what can be made again, kept on disk under a name that hashes all that changes it, and kept within bounds.

Rendered faces, decoded pictures, unpacked arrays and features are kept under ``$IMAGELAB_CACHE`` (else
``~/.cache/imagelab``). So an entry may go at any time and costs no more than the time to make it again: a file that
cannot be read is made anew, a folder that cannot be written is worked without. Files are readable by their owner alone,
written beside their name and renamed when whole.

Before a run or a measurement begins, entries are removed, least lately used first, until the rest fits into
``$IMAGELAB_CACHE_GB`` (5 GB where it is not set). What may be removed: files of the cache folders whose names are such
hashes, unused for a day; so too the parts that killed processes left. Everything else (weights, a reader's own files)
is not even counted. "Used" is when a file was last read or written, as far as the disk keeps record; a file that a
process still maps lives on until it is done.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .atomic import written_whole

__all__ = ["LIMIT_GB", "SHELVES", "VARIABLE", "Entry", "cache_folder", "cached", "entries", "limit", "make_room"]

_LOG = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]

VARIABLE = "IMAGELAB_CACHE_GB"
"""Environment variable: how many GB (10^9 bytes) the cache may hold."""

LIMIT_GB = 5.0
"""The limit where the variable is not set."""

SHELVES = ("faces", "pictures", "measured", "features")
"""Folders of the cache that hold nothing but what can be made again."""

UNUSED_SECONDS = 24 * 3600.0
"""How long an entry must be unused before it may go: longer than most runs, and no finer than disks record access."""

_KEPT = re.compile(r"((?:[\w.@+-]+-)?[0-9a-f]{16,64})\.(?:npz|npy|bytes|json)(?:\.\d+-\d+\.partial)?")


def cache_folder(shelf: str = "faces") -> Path:
    """Return where a shelf is kept: ``$IMAGELAB_CACHE/<shelf>``, else ``~/.cache/imagelab/<shelf>``."""
    root = os.environ.get("IMAGELAB_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "imagelab") / shelf


def cached(
    name: str, expected: Mapping[str, tuple[int, ...]], make: Callable[[], Arrays], shelf: str = "faces"
) -> Arrays:
    """Return the arrays stored under a name, or make and store them.

    Args:
        name: the content address (a hash), without an ending.
        expected: array name -> shape that a whole file holds, -1 for any length.
        make: makes the arrays.
        shelf: the folder of this kind of set.
    """
    path = cache_folder(shelf) / f"{name}.npz"
    found = _read(path, expected)
    if found is not None:
        return found
    arrays = make()
    _write(path, arrays)
    return arrays


def _read(path: Path, expected: Mapping[str, tuple[int, ...]]) -> Arrays | None:
    try:
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # a spoiled ZIP raises almost anything
        _LOG.warning("cached %s %s cannot be read (%s); making them again", path.parent.name, path.name, error)
        return None
    if arrays.keys() == expected.keys() and all(_fits(arrays[key].shape, shape) for key, shape in expected.items()):
        return arrays
    _LOG.warning("cached %s %s do not have the expected form; making them again", path.parent.name, path.name)
    return None


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (-1, s) for s, e in zip(shape, expected, strict=True))


def _write(path: Path, arrays: Arrays) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, shared=True) as partial:
            partial.touch(mode=0o600)
            with partial.open("wb") as handle:
                np.savez(handle, allow_pickle=False, **arrays)
    except OSError as error:
        _LOG.warning("%s are not cached (%s); the run goes on without", path.parent.name, error)


@dataclass(frozen=True)
class Entry:
    """One thing that is kept.

    Attributes:
        shelf: its folder. files: all that belong to it. size: bytes. used: when it was last used, seconds of the epoch.
    """

    shelf: str
    files: tuple[Path, ...]
    size: int
    used: float


def limit() -> int:
    """Return how many bytes the cache may hold.

    Raises:
        ValueError: if the variable holds no number of GB.
    """
    said = os.environ.get(VARIABLE) or str(LIMIT_GB)
    try:
        size = float(said)
    except ValueError:
        size = -1.0
    if not 0.0 <= size < math.inf:
        raise ValueError(f"{VARIABLE}: expected a number of GB such as {LIMIT_GB:g}, got {said!r}")
    return round(size * 1e9)


def entries() -> list[Entry]:
    """Return what is kept, least lately used first."""
    found = [entry for shelf in SHELVES for entry in _on(shelf)]
    return sorted(found, key=lambda entry: (entry.used, entry.files))


def make_room(now: float | None = None) -> list[Entry]:
    """Remove entries, least lately used first, until the others fit the limit or have all been used within a day.

    Args:
        now: seconds of the epoch; by default the present.

    Returns:
        What was removed. A file that cannot be removed stays; the cache is then larger than asked, nothing else.
    """
    kept, now = entries(), time.time() if now is None else now
    excess, gone = sum(entry.size for entry in kept) - limit(), []
    for entry in kept:
        if excess <= 0 or now - entry.used < UNUSED_SECONDS:
            break
        with contextlib.suppress(OSError):
            for file in entry.files:
                file.unlink(missing_ok=True)
            gone.append(entry)
            excess -= entry.size
    return gone


def _on(shelf: str) -> Iterator[Entry]:
    """What stands on a shelf: the files of one hash together; what vanishes meanwhile is not there."""
    together: dict[str, list[tuple[Path, os.stat_result]]] = {}
    with contextlib.suppress(OSError), os.scandir(cache_folder(shelf)) as files:
        for file in files:
            match = _KEPT.fullmatch(file.name)
            with contextlib.suppress(OSError):
                if match and file.is_file(follow_symlinks=False):
                    together.setdefault(match[1], []).append((Path(file.path), file.stat(follow_symlinks=False)))
    for members in together.values():
        used = max(max(stat.st_atime, stat.st_mtime) for _, stat in members)
        paths = tuple(sorted((path for path, _ in members), reverse=True))
        yield Entry(shelf, paths, sum(stat.st_size for _, stat in members), used)
