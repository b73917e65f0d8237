"""Where imported images came from: the files of a source, and the record of them that a shard keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.manifest import file_digest
from ..io.untrusted import regular, shown

__all__ = ["files_of", "write_origin"]

ORIGIN = "origin.jsonl"
MOST_FILES = 1_000_000  # of one source


def files_of(source: str) -> Iterator[dict[str, Any]]:
    """Yield name, bytes and SHA-256 of every file of a source; links and names with a dot at the front are left out."""
    path = Path(source).expanduser()
    if not path.exists():  # RUN@3: a shard of a run, whose manifest lists its files
        path = Path(source.rpartition("@")[0]).expanduser() / "seals.json"
    if path.is_file():
        yield _fact(path, path.name)
        return
    count = 0
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file, count = Path(parent) / name, count + 1
            if count > MOST_FILES:
                raise ValueError(f"{shown(source)}: holds more than {MOST_FILES:,} files")
            if not name.startswith(".") and not file.is_symlink() and file.is_file():
                yield _fact(file, file.relative_to(path).as_posix())


def _fact(path: Path, name: str) -> dict[str, Any]:
    return {"file": shown(name), "bytes": regular(path).st_size, "sha256": file_digest(path)}


def write_origin(shard: Path, files: Sequence[Mapping[str, Any]]) -> None:
    """Write ``origin.jsonl`` of a shard: a line a file."""
    lines = "".join(json.dumps(dict(each), ensure_ascii=False) + "\n" for each in files)
    (shard / ORIGIN).write_text(lines, encoding="utf-8")
