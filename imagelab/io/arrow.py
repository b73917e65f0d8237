"""Pictures in Arrow tables: Parquet files and what ``datasets.Dataset.save_to_disk`` writes. Needs pyarrow alone.

Only the columns that are needed are read, one row group at a time; a table written by ``save_to_disk`` is memory-mapped
and not copied.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .annotation_lists import changed, class_columns, split_word
from .catalogue import Catalogue, digest, shown
from .pictures import read_picture
from .reading import Picture, Reading

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Feature", "TableFile", "arrow_catalogue", "parquet_files", "saved_files"]


@dataclass(frozen=True)
class Feature:
    """Which columns to use; with an empty image name the first picture column."""

    image: str
    label: str


@dataclass(frozen=True)
class TableFile:
    """One file of a table: where it is and the name of the dataset's own split."""

    path: Path
    split: str


@dataclass(frozen=True)
class _Piece:
    """Rows that are read at once: a row group of a Parquet file, or a whole Arrow file."""

    file: tuple[str, int, int]
    group: int
    first: int


def saved_files(root: Path) -> list[TableFile]:
    """Return the files of a dataset or dictionary of datasets written by ``save_to_disk``; none for another layout."""
    if (root / "dataset_dict.json").is_file():
        splits = _json(root / "dataset_dict.json").get("splits", [])
        return [file for split in splits for file in _state_files(root / str(split), str(split))]
    return _state_files(root, "") if (root / "state.json").is_file() else []


def parquet_files(root: Path) -> list[TableFile]:
    """Return a Parquet file, or those in a folder and its subfolders, with the split that is in their names."""
    files = [root] if root.suffix == ".parquet" else sorted(root.rglob("*.parquet"))
    return [TableFile(file, _split_word(file, root)) for file in files if file.is_file()]


def arrow_catalogue(files: Sequence[TableFile], feature: Feature, reading: Reading) -> tuple[Catalogue, list[str]]:
    """Return the catalogue of table files, and the split name of each row.

    Raises:
        ValueError: if pyarrow is missing, a file is damaged, or there is no column of pictures.
    """
    _, image = _features(changed(files[0].path), feature)
    pieces: list[_Piece] = []
    names: list[str] = []
    parts: list[str] = []
    for file in files:
        stamp, before = changed(file.path), len(names)
        for group, count in enumerate(_lengths(stamp)):
            pieces.append(_Piece(stamp, group, len(names)))
            names += [f"{shown(file.path.name)}:{len(names) - before + row}" for row in range(count)]
            parts += [file.split] * count
    starts = [piece.first for piece in pieces]

    def content(row: int) -> io.BytesIO:
        piece = pieces[bisect_right(starts, row) - 1]
        return _content(_column(piece.file, piece.group, image)[row - piece.first].as_py())

    def read(row: int) -> Picture:
        return read_picture(content(row), reading)

    attributes, note = _facts(tuple(pieces), feature, image)
    stamp = digest([changed(file.path) for file in files], feature, reading)
    catalogue = Catalogue(stamp=stamp, names=tuple(names), read=read, attributes=attributes, note=note, content=content)
    return catalogue, parts


def _content(value: Any) -> io.BytesIO:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes) or not content:
        raise ValueError("the table holds no bytes of this picture")
    return io.BytesIO(content)


@lru_cache(maxsize=2)
def _facts(pieces: tuple[_Piece, ...], feature: Feature, image: str) -> tuple[dict[str, np.ndarray], str]:
    """Return the attributes: every bool column (also those in a struct of bools), and the classes of the label."""
    kinds, _ = _features(pieces[0].file, feature) if pieces else ({}, "")
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
    return [value for piece in pieces for value in _column(piece.file, piece.group, name).to_pylist()]


def _word(value: Any, words: Any) -> str:
    known = isinstance(words, list) and isinstance(value, int) and 0 <= value < len(words)
    return shown(str(words[value] if known else value))


def _features(file: tuple[str, int, int], feature: Feature) -> tuple[dict[str, Any], str]:
    """Return the kind of each column, and the name of the column of pictures.

    A kind is "image", "bool", "bools" (a struct of bools), "other", or a list of class names.
    """
    schema = _schema(file)
    described = _described(schema, file[0])
    kinds = {field.name: _kind(field.type, described.get(field.name)) for field in schema}
    pictures = [name for name, kind in kinds.items() if kind == "image"]
    pictures += [f.name for f in schema if str(f.type) in ("binary", "large_binary")]
    image = feature.image or (pictures[0] if pictures else "")
    if image not in kinds:
        expected = f"a column {feature.image!r}" if feature.image else "a column of pictures (a struct with bytes)"
        raise ValueError(f"{shown(file[0])}: expected {expected}; its columns are {', '.join(kinds)}")
    return kinds, image


def _described(schema: pyarrow.Schema, path: str) -> dict[str, Any]:
    """Return the features in the schema's ``huggingface`` entry; empty where there is no such entry."""
    try:
        content = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return dict(content.get("info", {}).get("features", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{shown(path)}: its entry on Hugging Face features cannot be read ({error})") from error


def _kind(form: pyarrow.DataType, description: Any) -> Any:
    description = description if isinstance(description, dict) else {}
    inner = {form.field(i).name: str(form.field(i).type) for i in range(form.num_fields)}
    if description.get("_type") == "Image" or inner.get("bytes") in ("binary", "large_binary"):
        return "image"
    if description.get("_type") == "ClassLabel":
        return list(description.get("names") or [])
    if str(form) == "bool":
        return "bool"
    is_struct = str(form).startswith("struct<")
    return "bools" if is_struct and inner and set(inner.values()) == {"bool"} else "other"


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError('Parquet and Arrow files need pyarrow: pip install "imagelab-collapse[data]"') from error
    return pyarrow


def _open(file: tuple[str, int, int]) -> Any:
    """Return a ParquetFile, or the whole (memory-mapped) table of an Arrow stream."""
    arrow = _arrow()
    try:
        if file[0].endswith(".parquet"):
            return arrow.parquet.ParquetFile(file[0])
        return arrow.ipc.open_stream(arrow.memory_map(file[0])).read_all()
    except (arrow.ArrowException, OSError) as error:
        kind = "Parquet" if file[0].endswith(".parquet") else "Arrow"
        raise ValueError(f"{shown(file[0])}: not a whole {kind} file ({error})") from error


def _schema(file: tuple[str, int, int]) -> pyarrow.Schema:
    opened = _open(file)
    return cast("pyarrow.Schema", opened.schema_arrow if file[0].endswith(".parquet") else opened.schema)


@lru_cache(maxsize=512)
def _lengths(file: tuple[str, int, int]) -> tuple[int, ...]:
    opened = _open(file)
    if file[0].endswith(".parquet"):
        return tuple(opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups))
    return (opened.num_rows,)


@lru_cache(maxsize=8)
def _column(file: tuple[str, int, int], group: int, name: str) -> pyarrow.ChunkedArray:
    opened, arrow = _open(file), _arrow()
    try:
        table = opened.read_row_group(group, columns=[name]) if file[0].endswith(".parquet") else opened
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{shown(file[0])}: row group {group} cannot be read ({error})") from error
    if name not in table.column_names:
        raise ValueError(
            f"{shown(file[0])}: expected a column {name!r}; its columns are {', '.join(table.column_names)}"
        )
    return table.column(name)


def _state_files(folder: Path, split: str) -> list[TableFile]:
    state = _json(folder / "state.json")
    names = [str(entry.get("filename")) for entry in state.get("_data_files", [])]
    if not names:
        raise ValueError(f"{shown(folder / 'state.json')}: expected data files, got none")
    return [TableFile(folder / Path(name).name, split or str(state.get("_split") or "")) for name in names]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{shown(path)}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: expected a JSON object, got {type(content).__name__}")
    return content


def _split_word(file: Path, root: Path) -> str:
    return split_word(file.relative_to(root.parent if root == file else root).as_posix(), last=True)
