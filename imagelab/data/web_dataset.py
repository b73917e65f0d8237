"""webdataset shards: plain tar files in which files of one sample share a name and differ in their ending.

``000017.png``, ``000017.cls`` and ``000017.json`` are one picture, its class and what else is known of it. Only
uncompressed tars are read, in place: nothing is unpacked and no path in the archive is followed.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field

from ..images import read_rgb
from .base import BadFile
from .folder import OFFICIAL, official_splits
from .hugging_face import columns_of
from .intake import SUFFIXES, Catalogue, digest, shown
from .lists import changed
from .picture_set import FilePath, Level, PictureSet, found_at

__all__ = ["WebDataset"]

SOURCE = "whoever wrote the shards"
MOST_FACTS = 1 << 20  # bytes of a .json or .cls file


@dataclass(frozen=True)
class _Member:
    name: str
    file: str
    offset: int
    size: int
    facts: Mapping[str, Any]


class WebDataset(PictureSet):
    """Pictures in tar shards.

    Attributes:
        path: a folder of ``.tar`` files, or one of them.
        alpha_over: RGB 0..255 behind transparent pixels.
        official: whether shards whose names say train and test (or val) are the splits; else a seeded permutation.
        limit: 20,000 pictures unless told otherwise (0 for all).
        size, on_bad, heldout_share, reserve_share, cache: see :class:`~imagelab.data.picture_set.PictureSet`.
    """

    kind: Literal["webdataset"] = "webdataset"
    path: FilePath
    alpha_over: tuple[Level, Level, Level] = (255, 255, 255)
    official: bool = True
    limit: int = Field(default=20_000, ge=0)

    def _catalogue(self) -> Catalogue:
        root = found_at(self.kind, self.path, "a .tar file or a folder of them", SOURCE, self.path)
        shards = [root] if root.is_file() else sorted(root.rglob("*.tar"))
        if not shards:
            raise ValueError(f"{self.kind}: expected .tar files in {shown(root)}, got none")
        members: list[_Member] = []
        parts: list[str] = []
        bad: list[BadFile] = []
        for shard in shards:
            found, refused = _index(changed(shard))
            members += found
            bad += refused
            words = re.split(r"[/._-]", shard.relative_to(root.parent).as_posix())
            parts += [next((word for word in reversed(words) if word.lower() in OFFICIAL), "")] * len(found)
        attributes, note = columns_of([member.facts for member in members], "cls")
        names = tuple(member.name for member in members)

        def read(row: int):
            member = members[row]
            with Path(member.file).open("rb") as stream:
                stream.seek(member.offset)
                content = stream.read(member.size)
            if len(content) < member.size:
                raise ValueError(f"the shard ends after {len(content)} of {member.size} bytes")
            return read_rgb(io.BytesIO(content), self.alpha_over)

        return Catalogue(
            stamp=digest([changed(shard) for shard in shards], self.alpha_over),
            names=names,
            read=read,
            attributes=attributes,
            splits=official_splits(parts) if self.official else None,
            bad=tuple(bad),
            note=note,
        )

    def _subject(self) -> str:
        return f"the tar shards in {shown(self.path)}"


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
    found = tuple(
        _Member(shown(f"{path.name}:{info.name}"), file[0], info.offset_data, info.size, facts.get(key, {}))
        for key, info in pictures.items()
    )
    return found, tuple(bad)


def _key(name: str) -> tuple[str, str]:
    """Split ``a/000017.seg.png`` at the first dot of its last part: key ``a/000017``, last ending ``.png``."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.split(".")[0]), path.suffix.lower()


def _facts(archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> dict[str, Any]:
    stream = archive.extractfile(member)
    if stream is None or member.size > MOST_FACTS:
        raise ValueError(f"{member.size} bytes are too many for a label")
    text = stream.read().decode("utf-8")
    if ending == ".cls":
        return {"cls": text.strip()}
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    return content
