"""The list files of published datasets: which pictures there are, what is said of them, whose split they are in.

Every reader refuses by name and reason: a list that is missing, a count line that does not fit, a row that is too
short. Pictures that a list names and the folder lacks are named too; pictures that no list names are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from .base import BadFile
from .intake import Entry, Listing, shown

__all__ = ["Rows", "changed", "counted", "present", "read_rows"]

Rows = tuple[tuple[str, ...], ...]


def changed(path: Path) -> tuple[str, int, int]:
    """Return what tells that a file is another one now: its path, bytes and time of change (nanoseconds).

    Raises:
        ValueError: naming the file, if it is missing.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{shown(path)}: cannot be opened: {error.strerror}; this list belongs to the set") from error
    return str(path), status.st_size, status.st_mtime_ns


def read_rows(path: Path, separator: str | None = None, most: int = -1) -> Rows:
    """Return the fields of every line that is not empty.

    Args:
        path: the list file.
        separator: between fields; None for any run of blanks.
        most: split a line at most so often; -1 for every separator.

    Raises:
        ValueError: naming the file, if it is missing or no text.
    """
    return _rows(changed(path), separator, most)


@lru_cache(maxsize=8)
def _rows(file: tuple[str, int, int], separator: str | None, most: int) -> Rows:
    try:
        text = Path(file[0]).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{shown(file[0])}: cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(file[0])}: expected a text file in UTF-8, got other bytes") from error
    return tuple(tuple(f.strip() for f in line.split(separator, most)) for line in text.splitlines() if line.strip())


def counted(path: Path, rows: Rows, headers: int) -> Rows:
    """Return the rows that follow a first line with their count and ``headers`` more lines.

    Raises:
        ValueError: naming the file, if the first line is no count or another one.
    """
    first = rows[0] if rows else ()
    body = rows[1 + headers :]
    if len(first) != 1 or not first[0].isdigit():
        raise ValueError(f"{shown(path)}: expected the number of entries in line 1, got {' '.join(first)[:80]!r}")
    if int(first[0]) != len(body):
        raise ValueError(f"{shown(path)}: line 1 promises {first[0]} entries, {len(body)} follow; is the file whole?")
    return body


def present(listing: Listing, names: Sequence[str]) -> tuple[np.ndarray, list[Entry], tuple[BadFile, ...]]:
    """Look listed names up in a folder.

    Returns:
        The rows of the list whose pictures are there (int64), their entries, and the missing ones as bad files.
    """
    there = {entry.name: entry for entry in listing.entries}
    rows = np.array([row for row, name in enumerate(names) if name in there], np.int64)
    missing = tuple(
        BadFile(shown(listing.folder / name), "is on the set's list, but there is no such file")
        for name in names
        if name not in there
    )
    return rows, [there[name] for name in names if name in there], missing
