"""webdataset shards: plain tar files in which files of one sample share a name and differ in their ending.

``000017.png``, ``000017.cls`` and ``000017.json`` are one picture, its class and what else is known of it. Only
uncompressed tars are read, in place: nothing is unpacked and no path in the archive is followed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..io.archives import shard_catalogue
from ..io.catalogue import Catalogue, shown
from .picture_set import FilePath, Level, PictureSet, found_at

__all__ = ["WebDataset"]

SOURCE = "whoever wrote the shards"


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
        return shard_catalogue(root, self.alpha_over, self.official)

    def _subject(self) -> str:
        return f"the tar shards in {shown(self.path)}"
