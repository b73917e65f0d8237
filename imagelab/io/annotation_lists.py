"""The list files of published datasets: names of the pictures, their annotations, and their splits.

Every reader refuses damaged lists with the file's name, the line and the reason. What is whole but does not agree is
told in a note of one or two sentences, whatever its length: listed pictures that are not in the folder, pictures that
are on no list, lines that repeat another, a number of entries in line 1 that is not that of the lines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .catalogue import Split, shown
from .identity import identity
from .untrusted import few, parsing, quoted, regular

__all__ = [
    "OFFICIAL",
    "ListRow",
    "changed",
    "class_columns",
    "columns_of",
    "counted",
    "division",
    "official_splits",
    "once",
    "read_rows",
    "split_word",
    "text_lines",
    "truths",
]


class ListRow(NamedTuple):
    """A line of a list that is not empty: its number in the file, from 1 on, and its fields without blanks around."""

    line: int
    fields: tuple[str, ...]


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


def read_rows(path: Path, most: int = -1) -> tuple[ListRow, ...]:
    """Return the lines of a list that are not empty; any kind of line end, with or without a byte order mark.

    The fields of a ``.csv`` file are separated by commas, semicolons or tabs, those of any other file by blanks.

    Args:
        path: the list file.
        most: how often a line is split at blanks at most; -1 for every run of blanks.

    Raises:
        ValueError: with the file's name, if it is missing or not a text file.
    """
    return _rows(changed(path), most)


@lru_cache(maxsize=8)
def _rows(file: tuple[str, int, int], most: int) -> tuple[ListRow, ...]:
    path = Path(file[0])
    lines = text_lines(path)
    if path.suffix.lower() == ".csv":
        return tuple(row for row in _table(path, lines) if any(row.fields))
    return tuple(ListRow(n, tuple(line.strip().split(None, most))) for n, line in enumerate(lines, 1) if line.strip())


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file in UTF-8, with or without a byte order mark, without their ends.

    Raises:
        ValueError: with the file's name, if it is not a regular file or not text.
    """
    regular(path)
    with parsing(path, "a text file in UTF-8"):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ValueError(f"line {line} holds other bytes") from error
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise ValueError(f"line {line} holds zero bytes")
        return re.split(r"\r\n|\r|\n", text)


def _table(path: Path, lines: list[str]) -> Iterator[ListRow]:
    """Yield the rows of a CSV file; what its header has most of comma, semicolon and tab separates the fields."""
    table = csv.reader(lines, delimiter=max(",;\t", key=lines[0].count), strict=True)
    line = 1  # on which the row begins: a quoted field may go on over several lines
    try:
        for fields in table:
            yield ListRow(line, tuple(field.strip() for field in fields))
            line = table.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{shown(path)}: line {line}: not a row of a CSV file ({quoted(error)})") from error


def counted(path: Path, rows: Sequence[ListRow], headers: int) -> tuple[Sequence[ListRow], str]:
    """Return the rows below line 1, which holds their number, and ``headers`` further lines; and a note.

    A number that does not agree is told in the note: a list that was shortened on purpose is as good as a whole one.

    Raises:
        ValueError: with the file's name, if the first line is not a number.
    """
    first = rows[0].fields if rows else ()
    body = rows[1 + headers :]
    if len(first) != 1 or not (first[0].isascii() and first[0].isdecimal()):
        got = quoted(" ".join(first), 80)
        raise ValueError(f"{shown(path)}: line 1: expected the number of entries, got {got!r}")
    if int(first[0][:18]) == len(body):
        return body, ""
    return body, f"Line 1 of {shown(path.name)} promises {quoted(first[0], 20)} entries, {len(body)} follow. "


def once(rows: Iterable[tuple[Path, int, str, object]]) -> tuple[list[int], str]:
    """Return which rows name a picture for the first time; and a note that counts those that repeat one.

    Args:
        rows: of each line the list file, the line number, the name of the picture, and what the line says of it.

    Raises:
        ValueError: if two lines say different things of one picture, with both lines.
    """
    known: dict[str, tuple[Path, int, object]] = {}
    kept: list[int] = []
    repeated = 0
    for place, (path, line, name, fact) in enumerate(rows):
        if name not in known:
            known[name] = path, line, fact
            kept.append(place)
            continue
        file, before, said = known[name]
        if said != fact:
            raise ValueError(
                f"{shown(path)}: line {line}: says something else of {quoted(name, 120)} than line {before} of "
                f"{shown(file.name)}; expected one line for each picture"
            )
        repeated += 1
    count = f"{repeated:,} lines of the set's lists repeat" if repeated > 1 else "1 line of the set's lists repeats"
    return kept, f"{count} an earlier one and count once. " if repeated else ""


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


def division(names: list[str]) -> tuple[tuple[Split, ...] | None, str]:
    """Return :func:`official_splits` of the pictures that are here; and a note where they allow none."""
    splits = official_splits(names)
    here = few(sorted(set(names))) or "none"
    if splits is not None:
        return splits, ""
    return None, f"The set's own division cannot be used: it needs pictures of train and test, here are {here}. "


TRUTHS = (("true", "false"), ("yes", "no"), ("y", "n"), ("1", "0"), ("1", "-1"))
"""The pairs of words that stand for yes and no in a table, in lower case."""


def truths(words: Sequence[str]) -> np.ndarray | None:
    """Return bool [N] for words that are all of one pair of :data:`TRUTHS`, in any case; None for others.

    Example:
        >>> truths(["1", "-1"]).tolist(), truths(["True", "false"]).tolist(), truths(["yes", "perhaps"])
        ([True, False], [True, False], None)
    """
    known = {word.lower() for word in set(words)}
    pair = next((pair for pair in TRUTHS if known and known <= set(pair)), None)
    return None if pair is None else np.array([word.lower() == pair[0] for word in words], bool)


def columns_of(
    facts: Sequence[Mapping[str, Any]], label: str, words: bool = False
) -> tuple[dict[str, np.ndarray], str]:
    """Return the attributes in rows of annotations: every bool (also one level down), and the classes of the label.

    Args:
        facts: what is known of each picture, N mappings.
        label: the entry that holds the class.
        words: whether words and numbers for yes and no (:data:`TRUTHS`) count as well, as in a table without types.

    Returns:
        name -> bool [N], and a note: what was not taken, because not every picture is said to have it or not.
    """
    flat = [
        {**row, **{k: v for nested in row.values() if isinstance(nested, dict) for k, v in nested.items()}}
        for row in facts
    ]
    columns: dict[str, np.ndarray] = {}
    left: list[str] = []
    sparse: list[str] = []
    for name in dict.fromkeys(name for row in flat for name in row):
        values = [row[name] for row in flat if name in row]
        typed = any(isinstance(value, bool) for value in values)
        if name == label and not all(isinstance(value, bool) for value in values):
            continue
        if not typed and not words:
            continue
        if typed and all(isinstance(value, bool) for value in values):
            columns[shown(name)] = np.array([row.get(name) is True for row in flat], bool)
            if len(values) < len(flat):
                sparse.append(f"{name} ({len(flat) - len(values):,})")
            continue
        spelled = [_word(value) for value in values]
        column = truths(spelled) if words and len(values) == len(flat) else None
        if column is not None:
            columns[shown(name)] = column
        elif typed or _nearly(spelled):
            left.append(f"{name} ({' / '.join(quoted(word, 20) for word in sorted(set(spelled))[:4])})")
    labels = [None if row.get(label) in (None, "") else shown(str(row[label])) for row in flat]
    classes, note = ({}, "") if label in columns else class_columns(labels)
    if sparse:
        note += f"Not stated for every picture, and false where it is not (for how many): {few(sparse)}. "
    if left:
        note += f"Not used, because they hold more than yes and no: {few(left)}. "
    return {**columns, **classes}, note


def _word(value: object) -> str:
    """A value as a word in lower case; whole numbers without their point, nothing and values of many parts by name."""
    if isinstance(value, str | bool | int | float):
        word = str(value).strip().lower()[:100]
        return re.sub(r"^(-?\d+)\.0+$", r"\1", word) or "nothing"
    return "nothing" if value is None else type(value).__name__


def _nearly(words: Sequence[str]) -> bool:
    """Return whether words are yes and no except for one or two others, as "unknown"; numbers need both 0 and 1."""
    known = set(words)
    spoken = any(known & set(pair) for pair in TRUTHS[:2])
    return len(known) <= 4 and (spoken or any(set(pair) <= known for pair in TRUTHS))
