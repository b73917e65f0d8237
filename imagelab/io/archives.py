"""Pictures in archives and tables: zip, webdataset tar, Parquet. Each is a catalogue; nothing is unpacked to disk."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from .annotation_lists import changed, columns_of, official_splits, split_word
from .arrow import Feature, arrow_catalogue, parquet_files, saved_files
from .catalogue import BadFile, Catalogue, digest, shown
from .formats import SUFFIXES
from .pictures import read_picture
from .reading import Picture, Reading

__all__ = ["saved_files_in", "table_catalogue", "tar_catalogue", "zip_catalogue"]

MOST_BYTES = 1 << 28  # of one packed picture


def zip_catalogue(path: Path, reading: Reading) -> Catalogue:
    """Return the pictures in a zip file, sorted by name; nothing is unpacked onto the disk.

    Raises:
        ValueError: if it is no zip file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole zip file ({error})") from error
    files = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    pictures = [info for info in files if PurePosixPath(info.filename).suffix.lower() in SUFFIXES]
    members = sorted(pictures, key=lambda info: info.filename)

    def content(row: int) -> io.BytesIO:
        if members[row].file_size > MOST_BYTES:
            raise ValueError(f"{members[row].file_size} bytes are too many for one picture")
        try:
            return io.BytesIO(archive.read(members[row]))
        except Exception as error:  # damaged or encrypted members raise almost anything
            raise ValueError(f"cannot be unpacked: {error}") from error

    def read(row: int) -> Picture:
        return read_picture(content(row), reading)

    names = tuple(shown(info.filename) for info in members)
    stamp = digest("zip", changed(path), reading)
    ignored = len(files) - len(members)
    return Catalogue(stamp, names, read, home=f"{shown(path.name)}:", ignored=ignored, content=content)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def tar_catalogue(path: Path, reading: Reading) -> Catalogue:
    """Return the pictures in a tar file, or in the tar files of a folder (webdataset shards)."""
    return shard_catalogue(path, reading, official=False)


def shard_catalogue(root: Path, reading: Reading, official: bool) -> Catalogue:
    """Return the pictures in webdataset shards: uncompressed tar files, read in place.

    Args:
        root: a tar file, or a folder that is searched for tar files; split names are looked for in the paths below its
            parent.
        reading: how a picture is read.
        official: whether shards whose names say train and test (or val) are the splits.

    Raises:
        ValueError: if there is no shard, or one is not an uncompressed tar file.
    """
    shards = [root] if root.is_file() else sorted(root.rglob("*.tar"))
    if not shards:
        raise ValueError(f"webdataset: expected .tar files in {shown(root)}, got none")
    members: list[_Member] = []
    parts: list[str] = []
    bad: list[BadFile] = []
    for shard in shards:
        pictures, refused = _index(changed(shard))
        members += pictures
        bad += refused
        parts += [split_word(shard.relative_to(root.parent).as_posix(), last=True)] * len(pictures)
    attributes, note = columns_of([member.facts for member in members], "cls")

    def content(row: int) -> io.BytesIO:
        member = members[row]
        with Path(member.file).open("rb") as handle:
            handle.seek(member.offset)
            packed = handle.read(member.size)
        if len(packed) < member.size:
            raise ValueError(f"the shard ends after {len(packed)} of {member.size} bytes")
        return io.BytesIO(packed)

    def read(row: int) -> Picture:
        return read_picture(content(row), reading)

    return Catalogue(
        stamp=digest([changed(shard) for shard in shards], reading),
        names=tuple(member.name for member in members),
        read=read,
        attributes=attributes,
        splits=official_splits(parts) if official else None,
        bad=tuple(bad),
        note=note,
        content=content,
    )


def saved_files_in(folder: Path) -> bool:
    """Return whether a folder was written by ``datasets.save_to_disk``."""
    return bool(saved_files(folder))


def table_catalogue(path: Path, reading: Reading) -> Catalogue:
    """Return the pictures in a Parquet file, a folder of them, or what ``datasets.save_to_disk`` wrote."""
    files = (saved_files(path) if path.is_dir() else []) or parquet_files(path)
    return arrow_catalogue(files, Feature("", "label"), reading)[0]


MOST_FACTS = 1 << 20  # bytes of a .json or .cls file


@dataclass(frozen=True)
class _Member:
    name: str
    file: str
    offset: int
    size: int
    facts: Mapping[str, Any]


@lru_cache(maxsize=256)
def _index(file: tuple[str, int, int]) -> tuple[tuple[_Member, ...], tuple[BadFile, ...]]:
    """Return the pictures of a shard in the order of the archive, and what was refused."""
    path = Path(file[0])
    pictures: dict[str, tarfile.TarInfo] = {}
    facts: dict[str, dict[str, Any]] = {}
    bad: list[BadFile] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, ending = _key(member.name)
                if not member.isreg() or member.issparse():
                    continue
                if ending in SUFFIXES:
                    pictures[key] = member
                elif ending in (".cls", ".json"):
                    try:
                        facts.setdefault(key, {}).update(_facts(archive, member, ending))
                    except ValueError as error:
                        bad.append(BadFile(shown(f"{path}:{member.name}"), shown(str(error))))
    except (tarfile.TarError, OSError, EOFError) as error:
        if not pictures:
            raise ValueError(f"{shown(path)}: not an uncompressed tar file ({error})") from error
        bad.append(BadFile(shown(path), shown(f"the archive is damaged after {len(pictures)} pictures: {error}")))
    members = tuple(
        _Member(shown(f"{path.name}:{info.name}"), file[0], info.offset_data, info.size, facts.get(key, {}))
        for key, info in pictures.items()
    )
    return members, tuple(bad)


def _key(name: str) -> tuple[str, str]:
    """Split ``a/000017.seg.png`` at the first dot of its last part: key ``a/000017``, last ending ``.png``."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.split(".")[0]), path.suffix.lower()


def _facts(archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> dict[str, Any]:
    handle = archive.extractfile(member)
    if handle is None or member.size > MOST_FACTS:
        raise ValueError(f"{member.size} bytes are too many for a label")
    text = handle.read().decode("utf-8")
    if ending == ".cls":
        return {"cls": text.strip()}
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    return content
