"""Laws of arrays that lie in files: the same content as in memory, no file left, memory of one block."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from imagelab.io import large_arrays
from imagelab.io.large_arrays import (
    COPIED_AT_ONCE,
    IN_MEMORY,
    READ_AT_ONCE,
    LetGo,
    MappedFile,
    blocks_of,
    chosen_rows,
    copy_rows,
    empty_array,
    is_mapped,
    let_go,
    new_npy,
)
from imagelab.io.npy import read_array


def changed_map(folder: Path) -> np.ndarray:
    """A copy-on-write map of zeros that was written to: what was written is lost when its pages are let go."""
    np.save(folder / "zeros.npy", np.zeros((64, 4096), np.uint8))
    array = np.load(folder / "zeros.npy", mmap_mode="c")
    array[:] = 1
    return array


def test_a_new_array_lies_in_a_file_without_a_name_from_32_mib_on(tmp_path: Path):
    assert IN_MEMORY == 32 * 1024**2
    assert not is_mapped(empty_array((IN_MEMORY,), np.uint8, tmp_path))
    array = empty_array((IN_MEMORY // 8 + 1,), np.float64, tmp_path / "made")
    assert is_mapped(array) and array.dtype == np.float64
    assert list((tmp_path / "made").iterdir()) == []


def test_what_is_written_to_a_mapped_array_is_there_after_its_pages_were_let_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 0)
    array = empty_array((100, 50), np.float32)
    array[:] = np.arange(5000).reshape(100, 50)
    let_go(array[3:])
    assert is_mapped(array[3:]) and np.array_equal(array.ravel(), np.arange(5000))


def test_an_array_in_memory_is_not_touched_by_letting_go():
    array = np.arange(5)
    let_go(array)
    assert array.tolist() == [0, 1, 2, 3, 4] and not is_mapped(array)


def test_pages_are_let_go_each_time_after_8_mib_were_read(tmp_path: Path):
    assert READ_AT_ONCE == 8 * 1024**2
    array = changed_map(tmp_path)
    pages = LetGo(array, after=1000)
    pages.read(999)
    assert array.any()
    pages.read(1)
    assert not array.any()
    array[:] = 1
    pages.read(999)  # counted from the last time
    assert array.any()


def test_blocks_hold_every_row_once_and_let_the_pages_go(tmp_path: Path):
    array = np.arange(70).reshape(7, 10)
    assert [(rows.start, rows.stop) for rows, _ in blocks_of(array, 3)] == [(0, 3), (3, 6), (6, 7)]
    assert np.array_equal(np.concatenate([block for _, block in blocks_of(array, 3)]), array)
    mapped = changed_map(tmp_path)
    assert all(block.all() for _, block in blocks_of(mapped, 8)) and not mapped.any()


def test_a_new_npy_file_has_the_bytes_of_numpys_own(tmp_path: Path, rng: np.random.Generator):
    images = rng.integers(0, 256, (5, 3, 8, 8), np.uint8)
    written = new_npy(tmp_path / "ours.npy", images.shape, np.uint8)
    written[:] = images
    written.flush()
    np.save(tmp_path / "theirs.npy", images)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


@pytest.mark.parametrize("in_memory", [0, IN_MEMORY])
def test_rows_are_taken_in_their_order_repeated_ones_too(in_memory: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(large_arrays, "IN_MEMORY", in_memory)
    monkeypatch.setattr(large_arrays, "COPIED_AT_ONCE", 40)  # two rows of 20 bytes
    array, rows = np.arange(50, dtype=np.float32).reshape(10, 5), np.array([9, 0, 0, 4, 7])
    found = chosen_rows(array, rows)
    assert np.array_equal(found, array[rows]) and is_mapped(found) == (in_memory == 0)
    into = np.zeros((6, 5), np.float32)
    copy_rows(array, rows, into, np.array([5, 4, 3, 2, 1]))
    assert np.array_equal(into[[5, 4, 3, 2, 1]], array[rows]) and not into[0].any()


def test_the_memory_of_taking_rows_does_not_grow_with_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert COPIED_AT_ONCE == 8 * 1024**2
    monkeypatch.setattr(large_arrays, "COPIED_AT_ONCE", 1 << 16)
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 0)
    peaks = []
    for count in (1 << 12, 1 << 15):
        array, rows = empty_array((count, 256), np.uint8, tmp_path), np.arange(count)
        tracemalloc.start()
        chosen_rows(array, rows, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 1 << 18


def test_another_process_is_told_the_place_of_a_mapped_file_and_the_values_of_any_other_array(tmp_path: Path):
    values = np.arange(60_000, dtype=np.uint8).reshape(100, 3, 20, 10)
    np.save(tmp_path / "images.npy", values)
    mapped = read_array(tmp_path / "images.npy", "images", "c")
    place = MappedFile.of(mapped)
    assert place is not None and len(pickle.dumps(place)) < 500
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(place)).mapped(), values)
    nameless = np.memmap((tmp_path / "gone.bin").open("w+b"), np.uint8, "w+", shape=(8,))
    (tmp_path / "gone.bin").unlink()
    for array in (values, mapped[10:], mapped[::-1], empty_array((IN_MEMORY + 1,), np.uint8, tmp_path), nameless):
        assert MappedFile.of(array) is None
