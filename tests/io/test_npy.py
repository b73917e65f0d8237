"""NPY files: every type is read right, and a damaged header is refused in one short sentence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from imagelab.io.npy import mapped, read_array
from imagelab.io.untrusted import QUOTED

FORM = (2, 4, 4, 3)
BYTES = bytes(range(96))


def npy(shape: object = FORM, kind: str = "'|u1'", version: int = 1, text: str | None = None) -> bytes:
    """Return an NPY header as anybody may write it."""
    header = text or f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin1")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_all_versions_of_the_format_are_read(version: int, tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(npy(version=version) + BYTES)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", "an array").ravel(), np.arange(96))


@pytest.mark.parametrize("kind", ["i1", "i2", "u2", "i4", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("order", "<>")
def test_every_type_and_byte_order_is_read_right(kind: str, order: str, tmp_path: Path):
    values = (np.arange(24).reshape(2, 3, 4) % 5).astype(np.dtype(order + kind))
    np.save(tmp_path / "a.npy", values)
    for mmap in (None, "r", "c"):
        found = read_array(tmp_path / "a.npy", "an array", mmap)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)


def test_fortran_order_is_read_right(tmp_path: Path):
    values = np.asfortranarray(np.arange(24).reshape(2, 3, 4))
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", "an array", "r"), values)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy((2**70, 4, 4, 3)), "its header announces"),
        (npy((10**9, 4, 4, 3)), "48000000000 bytes, 0 follow"),
        (npy((-1, 4, 4, 3)) + BYTES, "whole numbers from 0 on"),
        (npy("(True, 4, 4, 3)") + BYTES, "whole numbers from 0 on"),
        (npy("(2**9, 4, 4, 3)") + BYTES, "its header cannot be read"),
        (npy(text="{'descr': '|u1', 'shape': ("), "its header cannot be read"),
        (npy(text="-" * 9000 + "1"), "its header cannot be read"),
        (npy(text="[" * 9000), "its header cannot be read"),
        (npy("(" + "1," * 100 + ")") + b"x", "its header announces|ndarray|cannot be read"),
        (npy(kind="'|O'") + BYTES, "expected plain numbers, got object; nothing is unpickled"),
        (npy(kind="[('a', 'u1'), ('b', '<f4')]") + BYTES, "expected plain numbers"),
        (npy(kind="('|u1', (3,))") + BYTES, "expected plain numbers"),
        (npy(kind="'<M8[ns]'") + BYTES, "expected plain numbers"),
        (npy(kind="'<c8'") + BYTES, "expected plain numbers"),
        (npy() + BYTES + b"x", "97 follow; 1 bytes too many"),
        (npy() + BYTES + npy() + BYTES, "bytes too many"),
        (npy() + BYTES[:-1], "95 follow"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of at most 10000 letters"),
        (b"\x93NUMPY\x09\x00" + b"x" * 99, "version"),
        (b"\x93NUM", "expected an NPY header"),
        (b"\x93NUMPY\x01\x00\x01", "not an array"),
        (b"", "empty"),
    ],
)
def test_damage_is_told_in_one_short_sentence(content: bytes, reason: str, tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.npy: not an array.*({reason})|a\.npy: {reason}") as caught:
        read_array(tmp_path / "a.npy", "an array", "r")
    assert len(str(caught.value)) < QUOTED + len(str(tmp_path)) + 60


def test_a_map_that_may_be_written_to_changes_no_file(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros(5))
    read_array(tmp_path / "a.npy", "an array", "c")[:] = 1
    assert not np.load(tmp_path / "a.npy").any()


def test_an_open_file_can_be_mapped_after_its_name_is_gone(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.arange(5))
    with (tmp_path / "a.npy").open("rb") as file:
        (tmp_path / "a.npy").unlink()
        found = mapped(file, "r")
    np.testing.assert_array_equal(found, np.arange(5))


def test_what_numpy_writes_for_python_2_is_read(tmp_path: Path):
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 4L, 4L, 3L), }\n"
    (tmp_path / "a.npy").write_bytes(npy(text=text) + BYTES)
    assert read_array(tmp_path / "a.npy", "an array").shape == FORM


def test_numpy_reads_what_these_tests_write():
    np.testing.assert_array_equal(np.load(io.BytesIO(npy() + BYTES)).ravel(), np.arange(96))
