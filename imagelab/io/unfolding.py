"""Packed files, unpacked once: gzip, bzip2, xz and Zstandard, with a limit on what a small file may unfold to.

A picture inside a packed tar file cannot be reached without unpacking all that is before it. The file is therefore
unpacked once, into the cache where one is used, else into a temporary file without a name, and read from there.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .cache import cache_folder, cached_stream
from .catalogue import digest
from .untrusted import check_unpacked, parsing, regular, shown

__all__ = ["packing_of", "unfolded"]

STEP = 1 << 20  # bytes unpacked at once
XZ_MEMORY = 1 << 28  # bytes that unpacking may take; the highest setting of xz needs a quarter of it

File = tuple[str, int, int]
"""Path, size and state of a file, see :func:`~imagelab.io.annotation_lists.changed`."""

PACKINGS = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "Zstandard": b"\x28\xb5\x2f\xfd",
}
"""How the content of a packed file begins."""


def packing_of(path: Path) -> str:
    """Return how a file is packed, by its first bytes: a key of ``PACKINGS``, or "" for a file that is not packed."""
    regular(path)
    with path.open("rb") as file:
        begin = file.read(max(map(len, PACKINGS.values())))
    return next((name for name, mark in PACKINGS.items() if begin.startswith(mark)), "")


@lru_cache(maxsize=4)
def unfolded(files: tuple[File, ...], cache: bool) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Unpack files, one after the other, into one.

    Args:
        files: the packed files.
        cache: whether the result is kept in the cache for the next time.

    Returns:
        uint8 [bytes], mapped from disk, and the (begin, end) of each file in it.

    Raises:
        ValueError: naming the file, if it is damaged, cut, or unfolds to more than the limit.
    """

    def fill(target: BinaryIO) -> dict[str, Any]:
        spans: list[tuple[int, int]] = []
        begin = 0
        for path, stored, _ in files:
            end = begin
            for block in _blocks(Path(path)):
                end += len(block)
                try:
                    check_unpacked(stored, end - begin)
                except ValueError as error:
                    raise ValueError(f"{shown(path)}: stopped before its end: {error}") from error
                target.write(block)
            spans.append((begin, end))
            begin = end
        return {"spans": spans}

    def view(file: BinaryIO, facts: dict[str, Any]) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
        spans = tuple((int(begin), int(end)) for begin, end in facts["spans"])
        length = spans[-1][1]
        return np.memmap(file, np.uint8, "r", shape=(length,)) if length else np.empty(0, np.uint8), spans

    path = cache_folder("measured") / f"{digest('unfolded', files)}.bytes" if cache else None
    return cached_stream(path, fill, view)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a packed file."""
    packing = packing_of(path)
    if packing == "Zstandard":
        yield from _zstandard(path)
        return
    with parsing(path, f"a whole {packing} file"), path.open("rb") as file:
        if packing == "gzip":
            with gzip.open(file) as opened:
                while block := opened.read(STEP):
                    yield block
        else:
            yield from _streams(file, bz2.BZ2Decompressor if packing == "bzip2" else _xz)


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def _streams(file: BinaryIO, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Iterator[bytes]:
    """Yield the content of the streams of a file; between them and after them only zeros are allowed."""
    decoder, packed = new(), file.read(STEP)
    while True:
        if decoder.eof:
            rest = (decoder.unused_data or file.read(STEP)).lstrip(b"\0")
            while not rest:
                chunk = file.read(STEP)
                if not chunk:
                    return
                rest = chunk.lstrip(b"\0")
            decoder, packed = new(), rest
        if block := decoder.decompress(packed, STEP):
            yield block
        packed = b""
        if decoder.needs_input and not decoder.eof:
            packed = file.read(STEP)
            if not packed:
                raise EOFError("it ends before its content ends")


def _zstandard(path: Path) -> Iterator[bytes]:
    try:
        import pyarrow
    except ImportError as error:
        raise ValueError(
            f"{shown(path)}: is packed with Zstandard, for which pyarrow is needed: pip install "
            '"imagelab-collapse[data]", or unpack it'
        ) from error
    with parsing(path, "a whole Zstandard file"), pyarrow.input_stream(str(path), compression="zstd") as opened:
        while block := opened.read(STEP):
            yield block
