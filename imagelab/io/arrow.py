"""Pictures in Arrow tables: Parquet files and what ``datasets.Dataset.save_to_disk`` writes. Needs pyarrow alone.

Only the columns that are needed are read, one row group at a time; a table written by ``save_to_disk`` is memory-mapped
and not copied.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .annotation_lists import changed, class_columns
from .catalogue import Catalogue, digest, shown
from .pictures import read_picture
from .reading import Picture, Reading
from .table_files import File, TableFile, column_of, lengths_of, schema_of
from .untrusted import json_value, parsing, quoted

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Feature", "arrow_catalogue", "holds_pictures"]

BYTES = ("binary", "large_binary", "binary_view")
MARKS = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
"""How the files of pictures begin."""


@dataclass(frozen=True)
class Feature:
    """Which columns to use.

    Attributes:
        image: the column of pictures; "" for the only one.
        label: the column of labels.
        facts: whether labels and columns of bools are read.
    """

    image: str = ""
    label: str = "label"
    facts: bool = True


@dataclass(frozen=True)
class _Piece:
    """Rows that are read at once: a row group of a Parquet file, or a whole Arrow file."""

    file: File
    group: int
    first: int


def arrow_catalogue(files: Sequence[TableFile], feature: Feature, reading: Reading) -> tuple[Catalogue, list[str]]:
    """Return the catalogue of table files, and the split name of each row.

    Raises:
        ValueError: if pyarrow is missing, a file is damaged, there is no column of pictures, or there are several and
            none was chosen.
    """
    _, image = _columns(changed(files[0].path), feature.image)
    pieces: list[_Piece] = []
    names: list[str] = []
    parts: list[str] = []
    for file in files:
        stamp, before = changed(file.path), len(names)
        if (other := _columns(stamp, feature.image)[1]) != image:
            raise ValueError(
                f"{shown(file.path)}: its pictures are in the column {other!r}, those of other files in {image!r}"
            )
        for group, count in enumerate(lengths_of(stamp)):
            pieces.append(_Piece(stamp, group, len(names)))
            names += [f"{shown(file.path.name)}:{len(names) - before + row}" for row in range(count)]
            parts += [file.split] * count
    starts = [piece.first for piece in pieces]

    def content(row: int) -> io.BytesIO:
        piece = pieces[bisect_right(starts, row) - 1]
        return _content(column_of(piece.file, piece.group, image)[row - piece.first].as_py())

    def read(row: int) -> Picture:
        return read_picture(content(row), reading)

    attributes, note = _facts(tuple(pieces), feature, image) if feature.facts else ({}, "")
    stamp = digest([changed(file.path) for file in files], feature, reading)
    catalogue = Catalogue(stamp=stamp, names=tuple(names), read=read, attributes=attributes, note=note, content=content)
    return catalogue, parts


def holds_pictures(path: Path) -> bool:
    """Return whether a table has a column of pictures; True as well where that cannot be found out."""
    try:
        return bool(_columns_of_pictures(changed(path)))
    except ValueError:
        return True


def _content(value: Any) -> io.BytesIO:
    content = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(content, bytes) and content:
        return io.BytesIO(content)
    path = value.get("path") if isinstance(value, dict) else None
    named = (
        f", only its path {quoted(path, 80)!r}, which is not followed; save the table with the bytes" if path else ""
    )
    raise ValueError(f"the table holds no bytes of this picture{named}")


@lru_cache(maxsize=2)
def _facts(pieces: tuple[_Piece, ...], feature: Feature, image: str) -> tuple[dict[str, np.ndarray], str]:
    """Return the attributes: every bool column (also those in a struct of bools), and the classes of the label."""
    kinds = _kinds(pieces[0].file) if pieces else {}
    columns: dict[str, np.ndarray] = {}
    for name, kind in kinds.items():
        if name == image or kind not in ("bool", "bools"):
            continue
        values = _values(pieces, name)
        inner = {name: values}
        if kind == "bools":
            inner = {key: [bool(v and v[key]) for v in values] for key in next((v for v in values if v), {})}
        columns |= {shown(key): np.array([value is True for value in column], bool) for key, column in inner.items()}
    if kinds.get(feature.label, "bool") in ("bool", "bools", "image"):
        return columns, ""
    labels = [None if value is None else _word(value, kinds[feature.label]) for value in _values(pieces, feature.label)]
    classes, note = class_columns(labels)
    return {**columns, **classes}, note


def _values(pieces: Sequence[_Piece], name: str) -> list[Any]:
    return [value for piece in pieces for value in column_of(piece.file, piece.group, name).to_pylist()]


def _word(value: Any, words: Any) -> str:
    known = isinstance(words, list) and isinstance(value, int) and 0 <= value < len(words)
    return shown(str(words[value] if known else value))


def _columns(file: File, image: str) -> tuple[dict[str, Any], str]:
    """Return the kind of each column, and the name of the column of pictures.

    Raises:
        ValueError: listing the columns, if there is no column of pictures, or several and none was chosen.
    """
    kinds = _kinds(file)
    listed = quoted(", ".join(kinds))
    if image and image not in kinds:
        raise ValueError(f"{shown(file[0])}: expected a column {quoted(image, 80)!r}; its columns are {listed}")
    found = [image] if image else _columns_of_pictures(file)
    if not found or kinds[found[0]] not in ("image", "bytes"):
        chosen = f", got {quoted(image, 80)!r}" if image else ""
        raise ValueError(
            f"{shown(file[0])}: expected a column of pictures (a struct with bytes){chosen}; its columns are {listed}"
        )
    if len(found) > 1:
        raise ValueError(
            f"{shown(file[0])}: {len(found)} columns hold pictures: {quoted(', '.join(found))}. Choose one: in measure "
            f"--column {quoted(found[0], 40)}, in a dataset image_column"
        )
    return kinds, found[0]


def _kinds(file: File) -> dict[str, Any]:
    """Return the kind of each column.

    A kind is "image" (a struct with bytes, or described as pictures), "bytes", "bool", "bools" (a struct of bools),
    "other", or a list of class names.
    """
    schema = schema_of(file)
    described = _described(schema, file[0])
    with parsing(file[0], "a table with readable columns"):
        return {field.name: _kind(field.type, described.get(field.name)) for field in schema}


def _columns_of_pictures(file: File) -> list[str]:
    kinds = _kinds(file)
    structs = [name for name, kind in kinds.items() if kind == "image"]
    plain = [name for name, kind in kinds.items() if kind == "bytes"]
    if len(structs) + len(plain) > 1:  # other things are stored as bytes, too
        plain = [name for name in plain if _begins_like_a_picture(file, name)]
    return structs + plain


def _begins_like_a_picture(file: File, name: str) -> bool:
    """Return whether the first value of a column that is not missing begins as the files of pictures do."""
    for group in range(len(lengths_of(file))):
        for value in column_of(file, group, name):
            if value.is_valid:
                return value.as_py().startswith(MARKS)
    return False


def _described(schema: pyarrow.Schema, path: str) -> dict[str, Any]:
    """Return the features in the schema's ``huggingface`` entry; empty where there is no such entry."""
    content = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        found = json_value(content, path)
        for name in ("info", "features"):
            found = {} if found is None else found.get(name, {})
        return dict(found or {})
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{shown(path)}: its entry on Hugging Face features cannot be read ({quoted(error)})"
        ) from error


def _kind(form: pyarrow.DataType, description: Any) -> Any:
    description = description if isinstance(description, dict) else {}
    inner = {form.field(i).name: str(form.field(i).type) for i in range(form.num_fields)}
    is_struct = str(form).startswith("struct<")
    if description.get("_type") == "Image" or (is_struct and inner.get("bytes") in BYTES):
        return "image"
    if description.get("_type") == "ClassLabel":
        names = description.get("names")
        return [str(name) for name in names] if isinstance(names, list) else []
    if str(form) in BYTES:
        return "bytes"
    if str(form) == "bool":
        return "bool"
    return "bools" if is_struct and inner and set(inner.values()) == {"bool"} else "other"
