"""Arrays larger than memory should hold: they lie in a file, are mapped, and are read and written block by block.

A mapped page counts as memory of the process until it is let go, although the kernel can take it back at any time.
:func:`let_go` gives the pages of an array back; :func:`blocks_of` does so as it goes along. So the memory of a pass
over an array is that of one block, whatever the number of images. The content stays in the file, and usually in the
page cache of the machine: what is read again is not read from the disk again while memory is free.
"""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "IN_MEMORY",
    "LetGo",
    "MappedFile",
    "blocks_of",
    "chosen_rows",
    "copy_rows",
    "empty_array",
    "is_mapped",
    "let_go",
    "new_npy",
]

IN_MEMORY = 1 << 25
"""Bytes up to which a new array is held in memory: 32 MiB. A larger one lies in a file."""

COPIED_AT_ONCE = 1 << 23
"""Bytes that are copied at a time: 8 MiB."""

READ_AT_ONCE = 1 << 23
"""Bytes of a mapped array that are read before their pages are given back: 8 MiB."""


def empty_array(shape: tuple[int, ...], dtype: np.dtype | type, folder: Path | None = None) -> np.ndarray:
    """Return a new array, to be filled: in memory up to ``IN_MEMORY`` bytes, else mapped from a file without a name.

    The disk space of such a file is freed with the array, and when the process ends, however it ends.

    Args:
        shape: of the array.
        dtype: of its values.
        folder: where the file lies; None for the folder of temporary files (``TMPDIR``).
    """
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def new_npy(path: Path, shape: tuple[int, ...], dtype: np.dtype | type) -> np.memmap:
    """Return a new array, to be filled, that is mapped from a new NPY file: the bytes that ``numpy.save`` would write.

    Args:
        path: the file; replaced where it exists.
        shape: of the array.
        dtype: of its values.
    """
    return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)


def is_mapped(array: np.ndarray) -> bool:
    """Return whether an array, or the array that it is a view of, is mapped from a file."""
    return _mapping(array) is not None


def let_go(array: np.ndarray) -> None:
    """Give the pages of a mapped array back to the kernel; nothing for other arrays.

    What was written to a file's own pages stays. A copy-on-write map must not have been written to: it would be read
    from the file again.
    """
    mapping = _mapping(array)
    if mapping is not None and hasattr(mapping, "madvise") and not mapping.closed:
        mapping.madvise(mmap.MADV_DONTNEED)


class LetGo:
    """Lets the pages of an array go each time after so many bytes of it were read, in any order."""

    def __init__(self, array: np.ndarray, after: int = READ_AT_ONCE):
        self._array, self._after, self._read = array, after, 0

    def read(self, size: int) -> None:
        """Note that so many bytes were read."""
        self._read += size
        if self._read >= self._after:
            let_go(self._array)
            self._read = 0


@dataclass(frozen=True)
class MappedFile:
    """An array that lies in a file, by the place of the file: what one process tells another that sees the same disk.

    Attributes:
        path: the file.
        offset: of the first value, in bytes.
        shape: of the array.
        dtype: of its values.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, array: np.ndarray) -> MappedFile | None:
        """Return the place of an array that is mapped whole from a file with a name; None for any other array."""
        if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap) or array.filename is None:
            return None
        path = Path(array.filename).absolute()
        return cls(path, array.offset, array.shape, array.dtype.str) if path.is_file() else None

    def mapped(self) -> np.ndarray:
        """Return the array, copy on write."""
        return np.memmap(self.path, self.dtype, "c", self.offset, self.shape)


def blocks_of(array: np.ndarray, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, block) over the first axis; pages of a mapped array that were read are let go on the way.

    Args:
        array: [N,...].
        rows: of a block, >= 1; the last one may be shorter.
    """
    pages = LetGo(array)
    for first in range(0, len(array), rows):
        part = slice(first, min(first + rows, len(array)))
        yield part, array[part]
        pages.read((part.stop - first) * (array.nbytes // len(array)))
    let_go(array)


def chosen_rows(array: np.ndarray, rows: np.ndarray, folder: Path | None = None) -> np.ndarray:
    """Return ``array[rows]``, in memory or, where it is large, mapped from a file without a name.

    Args:
        array: [N,...], in memory or mapped.
        rows: int64 [M].
        folder: see :func:`empty_array`.
    """
    found = empty_array((len(rows), *array.shape[1:]), array.dtype, folder)
    copy_rows(array, rows, found)
    return found


def copy_rows(array: np.ndarray, rows: np.ndarray, into: np.ndarray, at: np.ndarray | None = None) -> None:
    """Write ``array[rows]`` into another array, block by block.

    Args:
        array: [N,...], in memory or mapped.
        rows: int64 [M].
        into: [L,...], in memory or mapped; not copy on write.
        at: int64 [M], the rows of ``into``; None for the first M in order.
    """
    size = max(1, array.nbytes // max(len(array), 1))
    step = max(1, COPIED_AT_ONCE // size)
    pages = LetGo(array), LetGo(into)
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        into[part if at is None else at[part]] = array[rows[part]]
        for each in pages:
            each.read(len(rows[part]) * size)
    for each in (array, into):
        let_go(each)


def _mapping(array: np.ndarray) -> mmap.mmap | None:
    """Return what maps the file of an array or of its base."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
