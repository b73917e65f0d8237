"""The files of tables: which ones belong to a dataset, and how one is opened. Needs pyarrow alone.

Parquet files, and what ``datasets.Dataset.save_to_disk`` writes (Arrow streams with a ``state.json`` beside them).
Names in such a list never lead out of its folder.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .annotation_lists import split_word
from .untrusted import check_unpacked, json_value, parsing, quoted, regular, shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["File", "TableFile", "column_of", "lengths_of", "parquet_files", "saved_files", "schema_of"]

MOST_ROWS = 20_000_000
"""The most rows of one file: more cannot be pictures, and a damaged file may state any number."""

MOST_JSON = 1 << 28  # bytes of a list of files

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
ROWS = 64  # read at once

_ONE = threading.Lock()  # of several threads that want one column, the first reads it

File = tuple[str, int, int]
"""Path, size and state of a file, see :func:`~imagelab.io.annotation_lists.changed`."""


@dataclass(frozen=True)
class TableFile:
    """One file of a table: where it is and the name of the dataset's own split."""

    path: Path
    split: str


def saved_files(root: Path) -> list[TableFile]:
    """Return the files of a dataset or dictionary of datasets written by ``save_to_disk``; none for another layout.

    Raises:
        ValueError: naming the file, if one of the lists is damaged or names a file outside of its folder.
    """
    listed = root / "dataset_dict.json"
    if listed.is_file():
        splits = _json(listed).get("splits")
        if not isinstance(splits, list) or not splits:
            raise ValueError(f"{shown(listed)}: expected a list of splits, got {quoted(splits, 80)}")
        return [file for split in splits for file in _state_files(root / _plain_name(split, listed), str(split))]
    return _state_files(root, "") if (root / "state.json").is_file() else []


def parquet_files(root: Path) -> list[TableFile]:
    """Return a Parquet file, or those in a folder and its subfolders, with the split that is in their names.

    Raises:
        ValueError: naming the file, if it is not a regular file.
    """
    files = [root] if root.suffix.lower() == ".parquet" and not root.is_dir() else sorted(root.rglob("*.parquet"))
    files = [file for file in files if not file.is_dir()]
    for file in files:
        regular(file)
    return [TableFile(file, _split_word(file, root)) for file in files]


def schema_of(file: File) -> pyarrow.Schema:
    """Return the columns of a file.

    Raises:
        ValueError: naming the file, if it is damaged, or pyarrow is missing.
    """
    opened = _open(file)
    with parsing(file[0], f"a whole {_kind(file)} file"):
        return cast("pyarrow.Schema", opened.schema_arrow if _is_parquet(file) else opened.schema)


@lru_cache(maxsize=512)
def lengths_of(file: File) -> tuple[int, ...]:
    """Return the number of rows of each row group of a Parquet file, or of a whole Arrow file.

    Raises:
        ValueError: naming the file, if it is damaged or states more rows than a set of pictures has.
    """
    opened = _open(file)
    with parsing(file[0], f"a whole {_kind(file)} file"):
        if not _is_parquet(file):
            lengths, total = (int(opened.num_rows),), int(opened.num_rows)
        else:
            about = opened.metadata
            lengths = tuple(int(about.row_group(group).num_rows) for group in range(opened.num_row_groups))
            total = int(about.num_rows)
        if min(lengths, default=0) < 0 or sum(lengths) != total:
            raise ValueError(f"it states {total} rows, and its parts hold {sum(lengths)}")
        if total > MOST_ROWS:
            raise ValueError(f"it states {total:,} rows, more than the limit of {MOST_ROWS:,}")
    return lengths


def column_of(file: File, group: int, name: str) -> pyarrow.ChunkedArray:
    """Return one column of a row group of a Parquet file, or of a whole Arrow file.

    Raises:
        ValueError: naming the file, if it is damaged, has no such column, or unfolds to more than the limit.
    """
    with _ONE:
        column = _column_or_reason(file, group, name)
    if isinstance(column, str):
        raise ValueError(column)
    return column


@lru_cache(maxsize=4)
def _column_or_reason(file: File, group: int, name: str) -> pyarrow.ChunkedArray | str:
    """Return a column, or why it cannot be read; so this is found out once and not for each of its rows."""
    try:
        return _column(file, group, name)
    except ValueError as error:
        return str(error)


def _column(file: File, group: int, name: str) -> pyarrow.ChunkedArray:
    opened = _open(file)
    import pyarrow

    names = schema_of(file).names
    if names.count(name) != 1:
        raise ValueError(f"{shown(file[0])}: expected one column {name!r}; its columns are {quoted(', '.join(names))}")
    with parsing(file[0], f"a table of which row group {group} can be read"):
        if not _is_parquet(file):
            column = opened.column(name)
            column.validate(full=True)  # offsets in a damaged file may point anywhere
            return column
        batches, size = [], 0
        for batch in opened.iter_batches(batch_size=ROWS, row_groups=[group], columns=[name]):
            batches.append(batch.column(0))
            size += batch.nbytes
            check_unpacked(file[1], size)  # a repeated value is stored once
        column = pyarrow.chunked_array(batches, schema_of(file).field(name).type)
        if len(column) != lengths_of(file)[group]:
            raise ValueError(f"it states {lengths_of(file)[group]} rows and holds {len(column)}")
        return column


def _open(file: File) -> Any:
    """Return a ParquetFile, or the whole (memory-mapped) table of an Arrow stream."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError('Parquet and Arrow files need pyarrow: pip install "imagelab-collapse[data]"') from error
    regular(Path(file[0]))
    with parsing(file[0], f"a whole {_kind(file)} file"):
        if _is_parquet(file):
            return pyarrow.parquet.ParquetFile(file[0], page_checksum_verification=True)
        with Path(file[0]).open("rb") as handle:
            handle.seek(max(0, file[1] - len(END_OF_STREAM)))
            if handle.read() != END_OF_STREAM:  # pyarrow takes a cut between two parts for the end
                raise ValueError("it has no end: it was cut, or its writing was not finished")
        source = pyarrow.memory_map(file[0])
        table = pyarrow.ipc.open_stream(source).read_all()
        if source.tell() != file[1]:
            raise ValueError(f"{file[1] - source.tell()} bytes follow its end")
        return table


def _is_parquet(file: File) -> bool:
    return file[0].lower().endswith(".parquet")


def _kind(file: File) -> str:
    return "Parquet" if _is_parquet(file) else "Arrow"


def _state_files(folder: Path, split: str) -> list[TableFile]:
    listed = folder / "state.json"
    state = _json(listed)
    if state.get("_indices_data_files"):
        raise ValueError(
            f"{shown(listed)}: the dataset is a selection of rows that an old version of datasets did not apply; load "
            "it with datasets, and save it again"
        )
    files = state.get("_data_files")
    if not isinstance(files, list) or not files:
        raise ValueError(f"{shown(listed)}: expected data files, got {'none' if not files else quoted(files, 80)}")
    names = [_plain_name(each.get("filename") if isinstance(each, dict) else each, listed) for each in files]
    own = state.get("_split")
    return [TableFile(folder / name, split or (own if isinstance(own, str) else "")) for name in names]


def _plain_name(name: object, listed: Path) -> str:
    """Return a name of a file or folder beside a list.

    Raises:
        ValueError: naming the list, for what is no name, or leads to another folder.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or "\0" in name or "/" in name or "\\" in name:
        raise ValueError(f"{shown(listed)}: expected a name inside its folder, got {quoted(name, 80)!r}")
    return name


def _json(path: Path) -> dict[str, Any]:
    if regular(path).st_size > MOST_JSON:
        raise ValueError(f"{shown(path)}: {path.stat().st_size:,} bytes are too many for a list of files")
    content = json_value(path.read_bytes(), path)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: expected a JSON object, got {type(content).__name__}")
    return content


def _split_word(file: Path, root: Path) -> str:
    return split_word(file.relative_to(root.parent if root == file else root).as_posix(), last=True)
