"""Identity of files: other pixels under the same name, size and time are another file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imagelab
from imagelab.data import Arrays, Folder
from imagelab.io import identity as module
from imagelab.io.annotation_lists import read_rows
from imagelab.io.archives import Archives, archive_catalogue
from imagelab.io.catalogue import file_catalogue, list_pictures
from imagelab.io.identity import identity
from imagelab.io.reading import Reading

LONG_AGO = (1_000_000_000, 1_000_000_000)


def put(path: Path, content: bytes) -> None:
    """Write a file over the old one and give it the old time, as ``cp -p``, ``rsync -t`` and ``tar --mtime`` do."""
    path.write_bytes(content)
    os.utime(path, LONG_AGO)


def replace(path: Path, content: bytes) -> None:
    """Put a new file of that time in the place of the old one."""
    put(path.with_suffix(".new"), content)
    path.with_suffix(".new").replace(path)


def link(path: Path, content: bytes) -> None:
    """Put a link to another file of that time in the place of the file."""
    other = path.with_name("elsewhere")
    put(other, content)
    path.unlink(missing_ok=True)
    path.symlink_to(other)


WAYS = (put, replace, link)


@pytest.mark.parametrize("way", WAYS)
def test_other_content_of_the_same_name_size_and_time_is_another_file(
    tmp_path: Path, way: Callable[[Path, bytes], None]
) -> None:
    path = tmp_path / "file.bin"
    put(path, b"a" * 5000)
    before = identity(path)
    assert identity(path) == before
    way(path, b"b" * 5000)
    assert identity(path)[:2] == before[:2]
    assert identity(path)[2] != before[2]


@pytest.fixture
def times_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has no ctime and no inodes of its own: the status of a file is its size alone."""

    def status(path: Path) -> os.stat_result:
        numbers = (0o100644, 0, 0, 1, 0, 0, path.stat().st_size, 0, 0, 0)
        return os.stat_result(numbers, {"st_mtime_ns": 0, "st_ctime_ns": 0})

    monkeypatch.setattr(module, "regular", status)


@pytest.mark.usefixtures("times_stand_still")
@pytest.mark.parametrize("place", [0, 70_001, 199_999])
def test_without_true_times_one_byte_of_a_single_file_makes_another_file(tmp_path: Path, place: int) -> None:
    content, path = bytearray(np.random.default_rng(0).bytes(200_000)), tmp_path / "a"
    put(path, bytes(content))
    before = identity(path)
    content[place] ^= 1
    put(path, bytes(content))
    module._content.cache_clear()  # as another process
    assert identity(path) != before


@pytest.mark.usefixtures("times_stand_still")
def test_of_a_long_file_the_ends_and_blocks_in_between_count_and_of_an_array_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WHOLE", 1 << 16), ("HEAD", 1 << 10), ("TAIL", 1 << 12), ("BLOCK", 1 << 8)):
        monkeypatch.setattr(module, name, value)
    content, path = bytearray(1 << 20), tmp_path / "a"

    def seen(place: int, whole: bool) -> bool:
        put(path, bytes(content))
        module._content.cache_clear()
        before = identity(path, whole)
        other = bytearray(content)
        other[place] = 1
        put(path, bytes(other))
        module._content.cache_clear()
        return identity(path, whole) != before

    assert seen(0, False)
    assert seen((1 << 20) - 4000, False)  # the directory of a zip
    assert seen((1 << 20) // 63 * 30, False)
    assert not seen((1 << 20) // 63 * 30 + 2000, False)  # what the docstring says is not seen
    assert seen((1 << 20) // 63 * 30 + 2000, True)


def test_every_reader_takes_other_pixels_under_the_same_name_size_and_time(tmp_path: Path) -> None:
    folder, table, archive = tmp_path / "pictures", tmp_path / "list.txt", tmp_path / "a.zip"
    folder.mkdir()
    stamps = []
    for value in (10, 200):
        Image.new("RGB", (8, 8), (value,) * 3).save(folder / "0.bmp")
        os.utime(folder / "0.bmp", LONG_AGO)
        put(table, f"{value:03d}".encode())
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr(zipfile.ZipInfo("0.bmp"), (folder / "0.bmp").read_bytes())
        os.utime(archive, LONG_AGO)
        stamps.append(
            (file_catalogue(list_pictures(folder)), archive_catalogue(archive, Reading(), Archives()), read_rows(table))
        )
    assert stamps[0][0] != stamps[1][0]
    assert stamps[0][1] != stamps[1][1]
    assert [row.fields for row in stamps[1][2]] == [("200",)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_measure_gives_the_numbers_of_the_pixels_that_are_there_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Path, bytes], None], ending: str
) -> None:
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path / "cache"))
    rng, path = np.random.default_rng(0), tmp_path / f"made{ending}"
    real, found = rng.integers(0, 256, (20, 3, 16, 16), np.uint8), []
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        values = rng.uniform(low, high, (20, 3, 16, 16)).astype(np.float32)
        other = tmp_path / f"now{ending}"
        np.save(other, values) if ending == ".npy" else np.savez(other, images=values)
        way(path, other.read_bytes())
        found.append(imagelab.measure(real, path, metrics=["tone"], value_range=(0, 1))["brightness"].value)
    assert found == pytest.approx([0.25, 0.75], abs=0.02)


@pytest.mark.parametrize("way", WAYS)
def test_a_dataset_of_arrays_reads_again_what_was_replaced_within_one_process(
    tmp_path: Path, way: Callable[[Path, bytes], None]
) -> None:
    path, other = tmp_path / "set.npy", tmp_path / "now.npy"
    means = []
    for low in (0, 128):
        np.save(other, np.random.default_rng(low).integers(low, low + 100, (12, 3, 8, 8), np.uint8))
        way(path, other.read_bytes())
        means.append(Arrays(path=path, size=8, cache=False).load("train", 6, 0).images.mean())
    assert means == pytest.approx([50, 178], abs=5)


def test_new_times_and_inodes_of_a_dataset_change_neither_its_fingerprint_nor_the_experiment(tmp_path: Path) -> None:
    for row in range(8):
        pixels = np.random.default_rng(row).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    data = Folder(path=tmp_path, size=8, cache=False)
    before = data.fingerprint(), data.model_dump_json()
    for row in range(8):
        replace(tmp_path / f"{row}.png", (tmp_path / f"{row}.png").read_bytes())
        (tmp_path / f"{row}.png").chmod(0o600)
    assert (data.fingerprint(), data.model_dump_json()) == before
