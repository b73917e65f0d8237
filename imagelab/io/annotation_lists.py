"""The list files of published datasets: names of the pictures, their annotations, and their splits.

Every reader refuses damaged lists with the file's name and the reason: a list that is missing, a count line that does
not agree, a row that is too short. Pictures that are on a list but not in the folder are named; pictures that are on no
list are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import BadFile, Entry, Listing, Split, shown
from .identity import identity

__all__ = ["Rows", "changed", "counted", "present", "read_rows"]

Rows = tuple[tuple[str, ...], ...]


def changed(path: Path, whole: bool = False) -> tuple[str, int, int]:
    """Return (path, size in bytes, state): another value means that the file was changed, see :func:`identity`.

    Args:
        path: the file.
        whole: whether every byte counts also where the file is long, as for arrays.

    Raises:
        ValueError: with the file's name, if it is missing, cannot be read or is not a regular file.
    """
    try:
        if not path.exists():
            raise ValueError(
                f"{shown(path)}: cannot be opened: No such file or directory; this file belongs to the set"
            )
        return identity(path, whole)
    except OSError as error:
        raise ValueError(f"{shown(path)}: cannot be opened: {error.strerror}") from error


def read_rows(path: Path, separator: str | None = None, most: int = -1) -> Rows:
    """Return the fields of every line that is not empty.

    Args:
        path: the list file.
        separator: between fields; None for any run of blanks.
        most: how often a line is split at most; -1 for every separator.

    Raises:
        ValueError: with the file's name, if it is missing or not a text file.
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
    """Return the rows below the first line, which holds their number, and ``headers`` further lines.

    Raises:
        ValueError: with the file's name, if the first line is not a number or does not agree with the rows.
    """
    first = rows[0] if rows else ()
    body = rows[1 + headers :]
    if len(first) != 1 or not first[0].isdigit():
        raise ValueError(f"{shown(path)}: expected the number of entries in line 1, got {' '.join(first)[:80]!r}")
    if int(first[0]) != len(body):
        raise ValueError(f"{shown(path)}: line 1 promises {first[0]} entries, {len(body)} follow; is the file whole?")
    return body


def present(listing: Listing, names: Sequence[str]) -> tuple[np.ndarray, list[Entry], tuple[BadFile, ...]]:
    """Look up listed names in a folder.

    Returns:
        The rows of the list whose pictures exist (int64), their entries, and the missing ones as bad files.
    """
    by_name = {entry.name: entry for entry in listing.entries}
    rows = np.array([row for row, name in enumerate(names) if name in by_name], np.int64)
    missing = tuple(
        BadFile(shown(listing.folder / name), "is on the set's list, but there is no such file")
        for name in names
        if name not in by_name
    )
    return rows, [by_name[name] for name in names if name in by_name], missing


MOST_CLASSES = 256


def class_columns(labels: Sequence[str | None], prefix: str = "class") -> tuple[dict[str, np.ndarray], str]:
    """Return one bool [N] column for each class, ``class/NAME``; above 256 classes no column and a note instead."""
    known = sorted({label for label in labels if label is not None})
    if len(known) > MOST_CLASSES:
        return {}, f"{len(known)} classes, too many (more than {MOST_CLASSES}) to follow one by one. "
    column = np.array([label if label is not None else "" for label in labels], dtype=object)
    return {f"{prefix}/{name}": np.array(column == name, bool) for name in known}, ""


OFFICIAL: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "reserve",
    "valid": "reserve",
    "validation": "reserve",
    "test": "heldout",
    "testing": "heldout",
}
"""Names of a dataset's own splits (also of folders), in lower case -> our split."""


def split_word(path: str, *, last: bool = False) -> str:
    """Return the first (or last) word in a relative path that stands for a split, as written; "" where there is none.

    Words are separated by ``/``, ``.``, ``_`` and ``-``.

    Example:
        >>> split_word("train/cat-Test.png"), split_word("train/cat-Test.png", last=True), split_word("a/b.png")
        ('train', 'Test', '')
    """
    words = re.split(r"[/._-]", path)
    return next((word for word in (reversed(words) if last else words) if word.lower() in OFFICIAL), "")


def official_splits(names: list[str]) -> tuple[Split, ...] | None:
    """Return our splits for the dataset's own split names; None if one is unknown, or train or heldout is missing.

    Without a test split, validation becomes ``heldout``.

    Example:
        >>> official_splits(["train", "val", "test"]), official_splits(["train", "val"]), official_splits(["cats"])
        (('train', 'reserve', 'heldout'), ('train', 'heldout'), None)
    """
    splits: tuple[Split, ...] = tuple(OFFICIAL[name.lower()] for name in names if name.lower() in OFFICIAL)
    if "heldout" not in splits:
        splits = tuple(split if split == "train" else "heldout" for split in splits)
    return splits if len(splits) == len(names) and {"train", "heldout"} <= set(splits) else None


def columns_of(facts: Sequence[Mapping[str, Any]], label: str) -> tuple[dict[str, np.ndarray], str]:
    """Return the attributes in rows of annotations: every bool (also one level down), and the classes of the label."""
    flat = [
        {**row, **{k: v for nested in row.values() if isinstance(nested, dict) for k, v in nested.items()}}
        for row in facts
    ]
    names = dict.fromkeys(name for row in flat for name, value in row.items() if isinstance(value, bool))
    columns = {shown(name): np.array([row.get(name) is True for row in flat], bool) for name in names}
    labels = [None if row.get(label) is None else shown(str(row[label])) for row in flat]
    classes, note = ({}, "") if label in names else class_columns(labels)
    return {**columns, **classes}, note
