"""A limit for whole sets: small files that unfold to very much more are refused before they fill the disk.

A single picture has a limit of pixels. This one is for many of them, and for sets that do not fit onto the disk.
"""

from __future__ import annotations

import shutil
import tempfile

from .reading import Picture

__all__ = ["Growth"]

FREE_TO_UNFOLD = 1 << 30  # bytes of pixels up to which nothing is asked
MOST_FOLDS = 5000  # bytes of pixels a byte of the files; photographs have 5 to 50, blank pages some 500


class Growth:
    """Watches how much the pictures of a set unfold to.

    Args:
        count: how many pictures the set has.
    """

    def __init__(self, count: int) -> None:
        self._count, self._kept, self._stored, self._known = count, 0, 0, True

    def add(self, picture: Picture, row: int) -> None:
        """Count a picture that is about to be written.

        Raises:
            ValueError: if the set unfolds without end, or will not fit onto the disk.
        """
        size = picture.pixels.nbytes
        self._kept += size
        self._stored += picture.stored
        self._known &= picture.stored > 0
        if self._known and self._kept > max(FREE_TO_UNFOLD, MOST_FOLDS * self._stored):
            raise ValueError(
                f"{row + 1} pictures of together {self._stored:,} bytes unfold to {self._kept:,} bytes of pixels, more "
                f"than {MOST_FOLDS:,} times as much; such files are made to fill a disk. Give a smaller size "
                "(--size 64), or leave them out"
            )
        rest = (self._count - row) * size
        if rest > FREE_TO_UNFOLD and (row & 1023) == 0:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            if rest > free:
                raise ValueError(
                    f"{self._count} pictures take {self._count * size:,} bytes as pixels, but only {free:,} are free "
                    "on the disk; make room, set TMPDIR to a larger disk, or give a smaller size (--size 64)"
                )
