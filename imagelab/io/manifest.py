"""Manifests: what a finished folder holds, so that every later change of a byte is noticed.

Each file is listed with its size and SHA-256. A manifest also says where its folder belongs (generation, line, run) and
from which folders it was made, by their digests; so folders that were swapped, replaced or mixed do not fit together
any more. JSON records end with a checksum over their own content. These are guards against damage and mistakes, and
against changes that nobody mentions. They are no signature: whoever rewrites a folder and all that was made from it can
write new manifests.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .atomic import sync, write_atomic
from .untrusted import json_value, quoted, regular, shown

__all__ = [
    "MANIFEST",
    "MODEL",
    "REMOVED",
    "TIMED",
    "CheckedFiles",
    "Manifest",
    "checked",
    "file_digest",
    "files_in",
    "is_folder",
    "read_object",
    "status_of",
    "with_checksum",
]

MANIFEST = "manifest.json"

MODEL = "model/"
"""Folder of a model in a finished folder. Libraries read it as a whole, so nothing foreign may be in it."""

REMOVED = "the run has removed this model, as it was told to (--keep last, or none)"

TIMED = ("train.jsonl", "curation.json", "train.log")
"""Files that hold times of the clock, or what programs say, which differ between two runs of one experiment; no part
of a digest."""

CHECKSUM = "checksum"
FILES = 100_000  # most files of one folder: a folder of results holds about a dozen


@dataclass(frozen=True)
class Manifest:
    """What one finished folder holds.

    Attributes:
        generation: which generation it is.
        line: which line; -1 for real images.
        signature: of the experiment.
        made_from: name of each folder that it was made from -> the digest of that folder.
        made_with: what can change rounding: device, batch, threads, processes, versions; no part of the digest.
        files: path in the folder -> (bytes, SHA-256 in hex).
        removed: the same of files that the run wrote and removed again: models that nobody needs (runs/kept_models.py).
            They count in the digest, so what was made from the folder still fits to it.
    """

    generation: int
    line: int
    signature: str
    made_from: Mapping[str, str]
    made_with: Mapping[str, Any]
    files: Mapping[str, tuple[int, str]] = field(repr=False)
    removed: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, "tuple[int, str]"], repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of all that a second run of the experiment would make again: place, origin and files."""
        files = {name: facts for name, facts in (*self.files.items(), *self.removed.items()) if name not in TIMED}
        return _sha256([self.generation, self.line, dict(self.made_from), files])

    @property
    def whole(self) -> Manifest:
        """The manifest as it was before anything was removed."""
        return replace(self, files={**self.files, **self.removed}, removed={})

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into a folder that is not finished yet."""
        (folder / MANIFEST).write_text(self._text(), encoding="utf-8")

    def replace_in(self, folder: Path) -> None:
        """Replace the manifest of a finished folder, whole or not at all. Nothing else is ever in the folder."""
        beside = folder.with_name(f"{folder.name}.{MANIFEST}")
        write_atomic(beside, self._text())
        beside.replace(folder / MANIFEST)
        sync(folder)

    def _text(self) -> str:
        content = {key: value for key, value in asdict(self).items() if key != "removed" or value}
        record = with_checksum({**content, "digest": self.digest})
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a folder.

        Raises:
            ValueError: naming the file, if it is missing, a link, damaged or was changed.
        """
        path = folder / MANIFEST
        record = checked(read_object(path), path)
        try:
            files, removed = _facts(record["files"]), _facts(record.get("removed", {}))
            if not all(name.startswith(MODEL) for name in removed):
                raise ValueError("only models are removed")
            made_from = {str(name): str(digest) for name, digest in record["made_from"].items()}
            place = int(record["generation"]), int(record["line"]), str(record["signature"])
            return cls(*place, made_from, dict(record["made_with"]), files, removed)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{shown(path)}: not a manifest ({quoted(repr(error))})") from error

    def check(self, folder: Path, name: str) -> os.stat_result:
        """Compare one file with the manifest, byte for byte, and return its status.

        Raises:
            ValueError: naming the file, if it is not the file that was written.
        """
        status = self.check_size(folder, name)
        if file_digest(folder / name) != self.files[name][1]:
            raise ValueError(f"{shown(folder / name)}: was changed since it was written (its SHA-256 differs)")
        return status

    def check_size(self, folder: Path, name: str) -> os.stat_result:
        """Compare kind and size of one file with the manifest, without reading it, and return its status.

        Raises:
            ValueError: naming the file, if it is missing, is no regular file, or has another size.
        """
        path = folder / name
        if name in self.removed:
            raise ValueError(f"{shown(path)}: {REMOVED}")
        if name not in self.files:
            raise ValueError(f"{shown(path)}: is not part of what was written here ({MANIFEST} does not list it)")
        for part in (path, *(folder / parent for parent in Path(name).parents if parent != Path())):
            _refuse_link(part)
        status, size = regular(path), self.files[name][0]
        if status.st_size != size:
            raise ValueError(f"{shown(path)}: expected {size:,} bytes, as written, got {status.st_size:,}")
        return status


class CheckedFiles:
    """Compares files with their manifests: each version of a file once, however often it is asked for."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, ...]] = {}  # file -> its status when its bytes were compared

    def path(self, folder: Path, name: str, manifest: Manifest | None) -> Path:
        """Return the path of a file after comparing its bytes; without a manifest only its kind is looked at.

        Raises:
            ValueError: naming the file, if it is missing, is a link or no regular file, or was changed.
        """
        path = folder / name
        if self.knows(path):
            return path
        if manifest is None:
            _refuse_link(folder)
            _refuse_link(path)
            self._known[path] = status_of(regular(path))
        else:
            self._known[path] = status_of(manifest.check(folder, name))
        return path

    def knows(self, path: Path) -> bool:
        """Whether the file is the one whose bytes were compared."""
        return path in self._known and os.path.lexists(path) and status_of(path.lstat()) == self._known[path]

    def add(self, path: Path) -> None:
        """Remember a file whose bytes are known, because they were listed a moment ago."""
        self._known[path] = status_of(path.lstat())


def status_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def files_in(folder: Path, leave_out: Collection[str] = ()) -> Iterator[str]:
    """Yield the files of a folder as relative paths in sorted order; links and special files are yielded, too.

    Args:
        folder: the folder; its subfolders are searched, linked ones are not entered.
        leave_out: names at the top of the folder that do not count.

    Raises:
        ValueError: if there are more than 100,000.
    """
    found: list[str] = []
    open_folders = [""]
    while open_folders:
        inside = open_folders.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                if not inside and entry.name in leave_out:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(f"{inside}{entry.name}/")
                    continue
                found.append(f"{inside}{entry.name}")
        if len(found) + len(open_folders) > FILES:
            raise ValueError(f"{shown(folder)}: holds more than {FILES:,} files; expected about a dozen")
    yield from sorted(found)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits; the file is read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ValueError: naming the file, if it is missing, a link, damaged, or holds something else.
    """
    _refuse_link(path)
    regular(path)
    content = json_value(path.read_bytes(), path)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: expected a JSON object, got {type(content).__name__}")
    return content


def with_checksum(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with a checksum over the rest of it."""
    content = {key: value for key, value in record.items() if key != CHECKSUM}
    return {**content, CHECKSUM: _sha256(content)}


def checked(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a JSON object without its checksum.

    Raises:
        ValueError: naming the file, if it has no checksum, or does not fit it.
    """
    content = {key: value for key, value in record.items() if key != CHECKSUM}
    if CHECKSUM not in record:
        raise ValueError(f"{shown(path)}: was changed since it was written (its checksum is missing)")
    if record[CHECKSUM] != _sha256(content):
        raise ValueError(f"{shown(path)}: was changed since it was written (its content does not fit its checksum)")
    return content


def _sha256(content: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys and the spaces between them."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(record: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    return {str(name): (int(size), str(sha256)) for name, (size, sha256) in record.items()}


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise ValueError(f"{shown(path)}: is a link; expected the file itself. A run folder holds no links.")


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
