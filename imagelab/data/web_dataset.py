"""webdataset shards: plain tar files in which the files of one sample have the same name and different suffixes.

``000017.png``, ``000017.cls`` and ``000017.json`` are a picture, its class and further data. Where samples have several
pictures, such as ``000017.jpg`` and ``000017.seg.png``, ``key`` chooses one. Plain tar files are read in place; packed
ones (.tar.gz, .tar.xz ...) are unpacked once. No path in an archive is followed on the disk.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ..io.archives import Archives, archive_catalogue
from ..io.catalogue import Catalogue, list_pictures, shown
from .picture_set import FilePath, PictureFiles, found_at

__all__ = ["WebDataset"]

SOURCE = "the author of the shards"


class WebDataset(PictureFiles):
    """Pictures in tar shards.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        path: a folder of ``.tar`` files (also .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .zip), or a single file.
        key: the ending of the pictures, such as ``jpg`` or ``seg.png``, where samples have several; ``all`` takes each.
        official: whether shards with train and test (or val) in their names are the splits; else a seeded permutation.
        limit: use at most this many pictures; 0 for all.
    """

    kind: Literal["webdataset"] = "webdataset"
    path: FilePath
    key: str = ""
    official: bool = True
    limit: int = Field(default=20_000, ge=0)

    later: ClassVar[frozenset[str]] = PictureFiles.later | {"key"}

    def _catalogue(self) -> Catalogue:
        root = found_at(self.kind, self.path, "a .tar file or a folder of them", SOURCE, self.path)
        how = Archives(self.key, labels=True, official=self.official, cache=self.cache)
        try:
            catalogue = archive_catalogue(root, self._reading, how)
        except ValueError as error:
            raise ValueError(f"{self.kind}: {error}") from error
        if not root.is_dir():
            return catalogue
        return replace(catalogue, remarks=(*catalogue.remarks, *list_pictures(root).remarks("archives")))

    def _subject(self) -> str:
        return f"the tar shards in {shown(self.path)}"
