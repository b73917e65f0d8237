"""The metadata files of a folder of pictures: ``metadata.csv`` and ``metadata.jsonl``, one entry for each picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .annotation_lists import once, read_rows, text_lines
from .catalogue import shown
from .untrusted import few, json_value, quoted

__all__ = ["Described", "described"]

METADATA = ("metadata.jsonl", "metadata.csv")


@dataclass(frozen=True)
class Described:
    """What the metadata files of a folder say.

    Attributes:
        tables: the files, none if there is none.
        names: N names of pictures relative to the folder, each one once.
        facts: N entries.
        note: what was counted while they were read, for the card.
    """

    tables: tuple[Path, ...]
    names: tuple[str, ...]
    facts: tuple[Mapping[str, Any], ...]
    note: str


def described(root: Path) -> Described:
    """Read the metadata files in a folder and its subfolders.

    Raises:
        ValueError: with file, line and reason, if one is damaged or two entries disagree.
    """
    tables = sorted(path for name in METADATA for path in root.rglob(name))
    rows: list[tuple[Path, int, str, object]] = []
    facts: list[Mapping[str, Any]] = []
    for table in tables:
        home = table.parent.relative_to(root)
        for line, row in (_csv_rows if table.suffix == ".csv" else _json_rows)(table):
            name = row.get("file_name")
            if not isinstance(name, str) or not name.strip():
                raise ValueError(
                    f"{shown(table)}: line {line}: expected one entry per line with file_name, got "
                    f"{few(sorted(row)) if name is None else repr(quoted(name, 80))}"
                )
            fact = {key: value for key, value in row.items() if key != "file_name"}
            rows.append((table, line, (home / name.strip().replace("\\", "/")).as_posix(), fact))
            facts.append(row)
    kept, note = once(rows)
    return Described(tuple(tables), tuple(rows[i][2] for i in kept), tuple(facts[i] for i in kept), note)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, title -> text) of a CSV file; the titles are its first row."""
    rows = read_rows(path)
    if not rows:
        return
    titles = ["file_name" if title.lower() == "file_name" else title for title in rows[0].fields]
    twice = [title for title in set(titles) if title and titles.count(title) > 1]
    if twice:
        raise ValueError(
            f"{shown(path)}: line {rows[0].line}: expected one column of each name, got two of {few(twice)}"
        )
    for row in rows[1:]:
        if len(row.fields) != len(titles):
            raise ValueError(
                f"{shown(path)}: line {row.line}: expected {len(titles)} fields, as in line {rows[0].line}, got "
                f"{len(row.fields)}"
            )
        yield row.line, {title: field for title, field in zip(titles, row.fields, strict=True) if title}


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, entry) of a file with one JSON object on each line."""
    for line, text in enumerate(text_lines(path), 1):
        if text.strip():
            row = json_value(text, f"{path}: line {line}")
            if not isinstance(row, dict):
                raise ValueError(
                    f"{shown(path)}: line {line}: expected one entry per line with file_name, got "
                    f"{quoted(text.strip(), 80)}"
                )
            yield line, row
