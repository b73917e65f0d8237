"""NPY data of unknown origin: the header is checked before any value is read; nothing is unpickled.

NumPy's own reader trusts a header: it allocates what the header asks for, ignores what follows the last value, and
raises many kinds of exceptions on damage. Here a file must have exactly the length that its header announces.

References:
    A simple file format for NumPy arrays (Kern 2007), NumPy Enhancement Proposal 1.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from .untrusted import check_unpacked, parsing, quoted, regular

__all__ = ["Header", "mapped", "npz_columns", "read_array", "read_header"]

MOST_LETTERS = 10_000  # of a header; an array of plain numbers needs about 100
KINDS = "biufSU"  # of NumPy: truth values, whole numbers, floating point, bytes, text
LENGTHS = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}


@dataclass(frozen=True)
class Header:
    """What an NPY header says.

    Attributes:
        shape: of the array.
        fortran: whether the first axis varies fastest.
        dtype: type of the values, with their byte order.
        start: bytes before the first value.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def read_header(handle: BinaryIO) -> Header:
    """Read the header of an NPY file; the handle is then at the first value.

    Raises:
        ValueError: if it is no NPY header, or not one of plain numbers or text. Damage may raise other exceptions:
            call it inside :func:`~imagelab.io.untrusted.parsing`.
    """
    magic = handle.read(8)
    if magic[:6] != b"\x93NUMPY":
        raise ValueError(f"expected an NPY header, got {quoted(magic, 40)}" if magic else "empty")
    version = (magic[6], magic[7]) if len(magic) == 8 else (0, 0)
    if version not in LENGTHS:
        raise ValueError(f"expected NPY version 1.0, 2.0 or 3.0, got {version[0]}.{version[1]}")
    size = struct.calcsize(LENGTHS[version])
    prefix = handle.read(size)
    (length,) = struct.unpack(LENGTHS[version], prefix)
    if length > MOST_LETTERS:
        raise ValueError(f"expected a header of at most {MOST_LETTERS} letters, got {length}")
    shape, fortran, dtype = _parsed(prefix, handle.read(length))
    if not all(type(axis) is int and axis >= 0 for axis in shape):
        raise ValueError(f"expected a shape of whole numbers from 0 on, got {quoted(shape, 80)}")
    if dtype.kind not in KINDS:
        raise ValueError(f"expected plain numbers, got {quoted(dtype, 80)}; nothing is unpickled")
    return Header(shape, fortran, dtype, 8 + size + length)


def _parsed(prefix: bytes, text: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, Fortran order and dtype from the text of a header and the bytes of its length before it."""
    read = np.lib.format.read_array_header_1_0 if len(prefix) == 2 else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():  # about Python 2, and about the syntax of a damaged header
            warnings.simplefilter("ignore")
            return read(io.BytesIO(prefix + text))
    except Exception as error:  # the header is Python text, and damaged text raises almost anything
        raise ValueError(f"its header cannot be read: {quoted(text, 150)}") from error


def mapped(file: BinaryIO, mode: Literal["r", "c"]) -> np.ndarray:
    """Return the array in an open NPY file, mapped from disk.

    Args:
        file: the file, open for reading.
        mode: "r" for read-only; "c" for copy on write: the array can be written to and the file never changes.

    Raises:
        ValueError: if the file is longer or shorter than its header announces. See also :func:`read_header`.
    """
    file.seek(0)
    header = read_header(file)
    follow = os.fstat(file.fileno()).st_size - header.start
    if follow != header.nbytes:
        surplus = f"; {follow - header.nbytes} bytes too many" if follow > header.nbytes else ""
        raise ValueError(
            f"its header announces {quoted(header, 100)} = {header.nbytes} bytes, {follow} follow{surplus}"
        )
    if not header.nbytes:
        return np.empty(header.shape, header.dtype)
    return np.memmap(file, header.dtype, mode, header.start, header.shape, "F" if header.fortran else "C")


def read_array(path: Path, expected: str, mmap: Literal["r", "c"] | None = None) -> np.ndarray:
    """Return the array of an NPY file.

    Args:
        path: the file.
        expected: what it should be, for the message, such as "a whole NPY image array".
        mmap: how to map it from disk; None reads it into memory.

    Raises:
        ValueError: naming the file, if it is no regular file, is damaged, or holds other than plain numbers or text.
    """
    regular(path)
    with parsing(path, expected), path.open("rb") as file:
        array = mapped(file, mmap or "r")
        return array if mmap else np.array(array)


def npz_columns(path: Path, names: tuple[str, ...], expected: str) -> list[np.ndarray]:
    """Return some arrays of an NPZ file, in memory.

    Args:
        path: the file.
        names: the arrays to return, in this order.
        expected: what the file should be, such as "a whole ledger".

    Raises:
        ValueError: naming the file, if it is damaged, lacks an array, or would unpack to too much.
    """
    packed = regular(path).st_size
    with parsing(path, expected):
        with zipfile.ZipFile(path) as archive:
            check_unpacked(packed, sum(member.file_size for member in archive.infolist()))
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in names]
