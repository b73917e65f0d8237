"""Pictures in archives: zip files and tar files, packed or not, as one catalogue, with the labels of webdataset.

Nothing is unpacked into a folder and no path in an archive is followed on the disk. A packed tar file (.tar.gz) is
unpacked once into the cache or a temporary file. What is wrong with an archive itself stands in ``bad`` of the
catalogue, and first among its remarks.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .annotation_lists import changed, columns_of, official_splits, split_word
from .catalogue import BadFile, Catalogue, digest, is_archive, shown
from .formats import unreadable
from .members import Contents, Member, chosen, is_debris, is_hidden, is_picture, key_and_ending, last_ending, plain_path
from .pictures import read_picture
from .reading import Picture, Reading
from .tar_members import MOST_BYTES, tar_members
from .unfolding import packing_of, unfolded
from .untrusted import json_value, parsing, quoted, regular
from .zip_members import zip_members

__all__ = ["Archives", "archive_catalogue", "archives_in"]

MOST_FACTS = 1 << 20  # bytes of a .json or .cls file
LABELS = (".cls", ".json")
WHOLE_TAR = "an uncompressed tar file, or one packed with gzip, bzip2, xz or Zstandard"
VERSION = 2
"""Part of the stamp; raise it when other pictures of an archive would be taken."""

File = tuple[str, int, int]


@dataclass(frozen=True)
class Archives:
    """Which pictures of archives are taken, and what is read with them.

    Attributes:
        key: the ending of the pictures, such as "jpg" or "seg.png", where samples have several; "all" for each picture.
        labels: whether the .cls and .json files of webdataset samples are read.
        official: whether archives whose names say train and test (or val) are the splits.
        cache: whether what is unpacked of a packed tar file is kept in the cache.
    """

    key: str = ""
    labels: bool = False
    official: bool = False
    cache: bool = True


def archives_in(root: Path) -> list[Path]:
    """Return an archive, or those in a folder and its subfolders, sorted; names that begin with a dot are left out."""
    if not root.is_dir():
        return [root]
    found = (path for path in root.rglob("*") if is_archive(path.name) and not path.is_dir())
    return sorted(path for path in found if not is_hidden(path.relative_to(root).as_posix()))


def archive_catalogue(root: Path, reading: Reading, how: Archives) -> Catalogue:
    """Return the pictures of an archive, or of all archives in a folder, as one set.

    Args:
        root: a zip or tar file, or a folder that is searched for them; split names are looked for in the paths below
            its parent.
        reading: how a picture is read.
        how: which pictures are taken.

    Raises:
        ValueError: if there is no archive, one is not readable, or the pictures of a sample have to be chosen.
    """
    paths = archives_in(root)
    if not paths:
        raise ValueError(f"expected .tar files in {shown(root)}, got none; also .tar.gz, .tar.xz, .tar.zst or .zip")
    for path in paths:
        regular(path)
    files = [changed(path) for path in paths]
    archives = _opened(files, how.cache)
    every = [(number, member) for number, each in enumerate(archives) for member in each.files]
    pictures = [(number, member) for number, member in every if is_picture(member.name)]
    rows, remarks = chosen([(number, member.name) for number, member in pictures], how.key, shown(root))
    taken = [pictures[row] for row in rows]
    damaged = [bad for path, each in zip(paths, archives, strict=True) for bad in each.bad(shown(path))]
    remarks[:0] = [f"the archive {bad.path} is damaged, and the pictures may be only a part of it" for bad in damaged]
    remarks += [
        f"{shown(path.name)}: {said}" for path, each in zip(paths, archives, strict=True) for said in each.remarks
    ]
    words = [split_word(path.relative_to(root.parent).as_posix(), last=True) for path in paths]
    attributes, note, unread = _attributes(paths, archives, taken) if how.labels else ({}, "", ())

    def content(row: int) -> io.BytesIO:
        number, member = taken[row]
        return io.BytesIO(_content(archives[number], member))

    def read(row: int) -> Picture:
        return read_picture(content(row), reading)

    single_zip = root.suffix.lower() == ".zip" and len(paths) == 1
    others = [(number, member.name) for number, member in every if not is_picture(member.name)]
    others = [each for each in others if not is_debris(each[1]) and not (how.labels and _is_label(each[1]))]
    closed = _unreadable(paths, others)
    return Catalogue(
        stamp=digest("archives", VERSION, files, reading, how.key),
        names=tuple(shown(m.name if single_zip else f"{paths[number].name}:{m.name}") for number, m in taken),
        read=read,
        attributes=attributes,
        splits=official_splits([words[number] for number, _ in taken]) if how.official else None,
        home=f"{shown(root.name)}:" if single_zip else "",
        bad=(*damaged, *unread, *closed),
        ignored=len(others) - len(closed),
        note=note,
        content=content,
        remarks=tuple(remarks),
    )


def _unreadable(paths: Sequence[Path], others: Sequence[tuple[int, str]]) -> tuple[BadFile, ...]:
    """Return the pictures in formats that cannot be read here, each with the reason."""
    return tuple(
        BadFile(shown(f"{paths[number].name}:{name}"), reason)
        for number, name in others
        if not is_hidden(name) and (reason := unreadable(last_ending(name)))
    )


def _content(archive: Contents, member: Member) -> bytes:
    """Return the content of a member.

    Raises:
        ValueError: with the reason, if it cannot be read.
    """
    if member.refused:
        raise ValueError(member.refused)
    if member.size > MOST_BYTES:
        raise ValueError(f"{member.size:,} bytes are too many for one picture")
    try:
        return archive.read(member)
    except ValueError:
        raise
    except Exception as error:  # damaged members raise almost anything
        raise ValueError(f"cannot be unpacked: {quoted(error)}") from error


def _opened(files: Sequence[File], cache: bool) -> list[Contents]:
    """Return what each archive holds; packed ones are unpacked together."""
    packings = {file: "" if file[0].lower().endswith(".zip") else packing_of(Path(file[0])) for file in files}
    packed = tuple(file for file in files if packings[file])
    unpacked = dict(zip(packed, _packed(packed, cache), strict=True)) if packed else {}
    return [unpacked[file] if file in unpacked else _plain(file) for file in files]


@lru_cache(maxsize=256)
def _plain(file: File) -> Contents:
    """Return what a zip file, or a tar file that is not packed, holds; it is read in place."""
    path = Path(file[0])
    if path.suffix.lower() == ".zip":
        return zip_members(path)

    def read(offset: int, count: int) -> bytes:
        with path.open("rb") as handle:
            handle.seek(offset)
            return handle.read(count)

    with parsing(path, WHOLE_TAR), path.open("rb") as handle:
        contents = tar_members(partial(_at, handle), file[1], read)
    return _named(path, contents)


def _at(handle: BinaryIO, offset: int, count: int) -> bytes:
    handle.seek(offset)
    return handle.read(count)


@lru_cache(maxsize=2)
def _packed(files: tuple[File, ...], cache: bool) -> tuple[Contents, ...]:
    """Return what packed tar files hold, unpacked once into one file."""
    content, spans = unfolded(files, cache)
    found = []
    for file, (begin, end) in zip(files, spans, strict=True):
        with parsing(file[0], WHOLE_TAR):
            contents = tar_members(partial(_slice, content[begin:end]), end - begin)
        found.append(_named(Path(file[0]), contents))
    return tuple(found)


def _slice(content: np.ndarray, offset: int, count: int) -> bytes:
    return content[offset : offset + count].tobytes()


def _named(path: Path, contents: Contents) -> Contents:
    """Return the contents; a damaged archive without one picture is refused with its name."""
    if contents.damage and not any(is_picture(member.name) for member in contents.files):
        raise ValueError(f"{shown(path)}: not {WHOLE_TAR} ({contents.damage})")
    return contents


def _is_label(name: str) -> bool:
    return last_ending(name) in LABELS and not is_hidden(name)


def _attributes(
    paths: Sequence[Path], archives: Sequence[Contents], taken: Sequence[tuple[int, Member]]
) -> tuple[dict[str, np.ndarray], str, tuple[BadFile, ...]]:
    """Return the attributes of the pictures from the labels beside them, a note, and the labels that are damaged."""
    facts = [_facts(each) for each in archives]
    rows = []
    for number, member in taken:
        key, _ = key_and_ending(member.name)
        known = facts[number][0]
        rows.append(known.get(key) or known.get(_until_dot(member.name)) or {})
    attributes, note = columns_of(rows, "cls")
    bad = tuple(
        BadFile(f"{shown(path)}:{shown(name)}", reason)
        for path, (_, refused) in zip(paths, facts, strict=True)
        for name, reason in refused
    )
    return attributes, note, bad


@lru_cache(maxsize=256)
def _facts(archive: Contents) -> tuple[Mapping[str, Mapping[str, Any]], tuple[tuple[str, str], ...]]:
    """Return the labels of each sample of an archive, and (name, reason) of labels that cannot be read."""
    facts: dict[str, dict[str, Any]] = {}
    bad: list[tuple[str, str]] = []
    for member in archive.files:
        if _is_label(member.name):
            key, _ = key_and_ending(member.name)
            try:
                facts.setdefault(key, {}).update(_label(archive, member))
            except ValueError as error:
                bad.append((member.name, shown(str(error))))
    return facts, tuple(bad)


def _label(archive: Contents, member: Member) -> Mapping[str, Any]:
    if member.size > MOST_FACTS:
        raise ValueError(f"{member.size} bytes are too many for a label")
    content = _content(archive, member)
    if member.name.lower().endswith("cls"):
        return {"cls": content.decode("utf-8").strip()}
    value = json_value(content, member.name)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def _until_dot(name: str) -> str:
    """Return the name of a sample as webdataset takes it: up to the first dot of the file's name."""
    folder, slash, last = plain_path(name).rpartition("/")
    return folder + slash + last.split(".")[0]
