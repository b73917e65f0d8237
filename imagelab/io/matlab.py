"""Rows of numbers in MATLAB files of version 5 (also 6 and 7): a reader of its own, small and checked at every step.

The reader of scipy ends the whole process (a segmentation fault) on some damaged files.

References:
    MAT-File Format, R2021b (The MathWorks 2021): data elements, compressed elements and numeric arrays.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .untrusted import parsing, regular

__all__ = ["matlab_numbers"]

MOST_BYTES = 1 << 26  # of a file, and of an unpacked element
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Number of a data type -> numpy's code of it."""

NUMERIC = range(6, 16)
"""The classes of arrays that hold numbers, from double to uint64."""


def matlab_numbers(path: Path, name: str) -> np.ndarray:
    """Return the values of a numeric array in a MATLAB file, column by column: [N] of the stored type.

    Raises:
        ValueError: naming the file, if it is no whole file of this form, or has no real numeric array of this name.
    """
    size = regular(path).st_size
    with parsing(path, f"a MATLAB 5 file with an array of numbers {name!r}"):
        if size > MOST_BYTES:
            raise ValueError(f"{size:,} bytes are too many")
        content = path.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
        if order is None:
            raise ValueError("its header is not one of MATLAB 5")
        for kind, data in _elements(content[128:], order):
            packed = _unpacked(data, order) if kind == COMPRESSED else (kind, data)
            found = _array(packed[1], order, name) if packed[0] == MATRIX else None
            if found is not None:
                return found
        raise ValueError("it has no such array")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (type, data) of each data element; small ones hold their data in the tag."""
    at = 0
    while at < len(content):
        if at + 8 > len(content):
            raise ValueError("it ends inside a tag")
        kind, size = struct.unpack_from(f"{order}2I", content, at)
        start = at + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            end = at + 8
            if size > 4:
                raise ValueError("a tag promises more than it can hold")
        else:
            end = start + size if kind == COMPRESSED else start + -(-size // 8) * 8
        if start + size > len(content):
            raise ValueError(f"it ends inside an element of {size:,} bytes")
        yield kind, content[start : start + size]
        at = end


def _unpacked(data: bytes, order: str) -> tuple[int, bytes]:
    reader = zlib.decompressobj()
    content = reader.decompress(data, MOST_BYTES)
    if not reader.eof:
        raise ValueError("a compressed element is cut, or unfolds to too many bytes")
    return next(_elements(content, order))


def _array(content: bytes, order: str, name: str) -> np.ndarray | None:
    """Return the values of an array if it has this name, else None."""
    parts = _elements(content, order)
    flags, dimensions, title = (next(parts, (0, b""))[1] for _ in range(3))
    if title.decode("latin-1") != name:
        return None
    kind, values = next(parts, (0, b""))
    bits = int(np.frombuffer(flags[:4], f"{order}u4")[0])
    shape = np.frombuffer(dimensions, f"{order}i4").tolist()
    if bits & 0xFF not in NUMERIC or bits & 0x800 or kind not in TYPES:
        raise ValueError("the array of this name holds no real numbers")
    found = np.frombuffer(values, f"{order}{TYPES[kind]}")
    count = 1
    for side in shape:
        count *= side
    if not shape or min(shape) < 0 or len(found) != count:
        raise ValueError(f"the array has {len(found)} values and the sides {shape[:4]}")
    return found
