"""webdataset shards: plain tar files in which the files of one sample have the same name and different suffixes.

``000017.png``, ``000017.cls`` and ``000017.json`` are a picture, its class and further data. Only uncompressed tar
files are read, in place: nothing is unpacked and no path in the archive is followed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..io.archives import shard_catalogue
from ..io.catalogue import Catalogue, shown
from .picture_set import FilePath, PictureFiles, found_at

__all__ = ["WebDataset"]

SOURCE = "the author of the shards"


class WebDataset(PictureFiles):
    """Pictures in tar shards.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        path: a folder of ``.tar`` files, or a single file.
        official: whether shards with train and test (or val) in their names are the splits; else a seeded permutation.
        limit: use at most this many pictures; 0 for all.
    """

    kind: Literal["webdataset"] = "webdataset"
    path: FilePath
    official: bool = True
    limit: int = Field(default=20_000, ge=0)

    def _catalogue(self) -> Catalogue:
        root = found_at(self.kind, self.path, "a .tar file or a folder of them", SOURCE, self.path)
        return shard_catalogue(root, self._reading, self.official)

    def _subject(self) -> str:
        return f"the tar shards in {shown(self.path)}"
