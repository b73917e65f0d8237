"""The cache: its two kinds of entry, and its size limit on small files whose ages are set by hand."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from imagelab import Faces
from imagelab.cli.doctor import examine
from imagelab.cli.entry import main
from imagelab.evaluation.evaluate import measure
from imagelab.io.cache import (
    FOLDERS,
    LIMIT_GB,
    VARIABLE,
    cache_entries,
    cache_folder,
    cached,
    cached_stream,
    limit,
    make_room,
)

DAY = 24 * 3600.0


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.000003")  # 3000 bytes


def put(folder: str, name: str, days: float, size: int = 1000, read: float | None = None) -> Path:
    """A file of the cache, last written so many days ago, and read then or later."""
    path = cache_folder(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    now = time.time()
    os.utime(path, (now - DAY * (days if read is None else read), now - DAY * days))
    return path


def hashed(letter: str) -> str:
    return letter * 64


CONTENT = np.arange(600).astype(np.uint8)


def arrays_kept(folder: Path, made: list[str]) -> np.ndarray:
    """Get or make a small entry of named arrays."""

    def make() -> dict[str, np.ndarray]:
        made.append("arrays")
        return {"values": CONTENT}

    return cached(folder, hashed("a"), {"values": (600,)}, make)["values"]


def stream_kept(folder: Path, made: list[str]) -> np.ndarray:
    """Get or make a small entry of one long file."""

    def fill(file: BinaryIO) -> dict[str, Any]:
        made.append("stream")
        for part in np.split(CONTENT, 3):
            file.write(part.data)
        return {"count": 600}

    def view(file: BinaryIO, facts: dict[str, Any]) -> np.ndarray:
        return np.memmap(file, np.uint8, "c", shape=(facts["count"],))

    return cached_stream(folder / f"{hashed('a')}.bytes", fill, view)


Kept = Callable[[Path, list[str]], np.ndarray]
BOTH = pytest.mark.parametrize("kept", [arrays_kept, stream_kept])


@BOTH
def test_an_entry_is_made_once_and_only_its_owner_can_read_it(kept: Kept, tmp_path: Path, caplog):
    made: list[str] = []
    for _ in range(3):
        np.testing.assert_array_equal(kept(tmp_path / "new" / "folder", made), CONTENT)
    assert len(made) == 1 and not caplog.records
    files = list((tmp_path / "new" / "folder").iterdir())
    assert files and not any(file.stat().st_mode & 0o077 for file in files)
    assert not any("partial" in file.name for file in files)


@BOTH
@pytest.mark.parametrize("damage", ["cut", "one bit", "nonsense", "empty"])
def test_a_damaged_entry_is_made_again_with_a_warning(kept: Kept, damage: str, tmp_path: Path, caplog):
    kept(tmp_path, [])
    for path in sorted(tmp_path.iterdir()):
        made: list[str] = []
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        path.write_bytes({"cut": whole[:-9], "one bit": flipped, "nonsense": b"no such thing", "empty": b""}[damage])
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            np.testing.assert_array_equal(kept(tmp_path, made), CONTENT)
        assert len(made) == 1 and "cannot be read" in caplog.text and str(tmp_path) in caplog.text
        np.testing.assert_array_equal(kept(tmp_path, made), CONTENT)
        assert len(made) == 1


@BOTH
def test_a_folder_that_cannot_be_written_costs_a_warning(kept: Kept, tmp_path: Path, caplog):
    (tmp_path / "file").write_text("a file, not a folder")
    made: list[str] = []
    for _ in range(2):
        np.testing.assert_array_equal(kept(tmp_path / "file", made), CONTENT)
    assert len(made) == 2 and "going on without the cache" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arrays_of_another_shape_or_name_are_made_again(tmp_path: Path):
    for name, values in (("values", CONTENT[:-1]), ("values", CONTENT[None]), ("others", CONTENT)):
        path = tmp_path / f"{hashed('a')}.npz"
        with zipfile.ZipFile(path, "w") as archive, archive.open(f"{name}.npy", "w") as member:
            np.save(member, values)
        np.testing.assert_array_equal(arrays_kept(tmp_path, []), CONTENT)


def test_a_stream_without_its_note_is_unfinished_and_made_again(tmp_path: Path, caplog):
    stream_kept(tmp_path, [])
    (tmp_path / f"{hashed('a')}.json").unlink()
    made: list[str] = []
    np.testing.assert_array_equal(stream_kept(tmp_path, made), CONTENT)
    assert len(made) == 1 and not caplog.records


def test_a_stream_that_fails_leaves_nothing_behind(tmp_path: Path):
    def fill(file: BinaryIO) -> dict[str, Any]:
        file.write(b"half")
        raise ValueError("the disk was pulled")

    with pytest.raises(ValueError, match="pulled"):
        cached_stream(tmp_path / "name.bytes", fill, lambda file, facts: 0)
    assert not list(tmp_path.iterdir())


def test_a_stream_without_a_name_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fill(file: BinaryIO) -> dict[str, Any]:
        file.write(CONTENT.data)
        return {}

    array = cached_stream(None, fill, lambda file, facts: np.memmap(file, np.uint8, "c", shape=(600,)))
    np.testing.assert_array_equal(array, CONTENT)
    assert not list(tmp_path.iterdir())


def test_what_is_unused_longest_goes_until_the_rest_fits():
    files = [put("faces", f"{hashed(letter)}.npz", days) for letter, days in zip("abcde", (9, 5, 7, 3, 2), strict=True)]
    gone = make_room()
    assert [entry.files for entry in gone] == [(files[0],), (files[2],)]
    assert [file.exists() for file in files] == [False, True, False, True, True]
    assert make_room() == []


def test_reading_counts_as_use():
    old = put("faces", f"{hashed('a')}.npz", 9, read=2, size=2000)
    newer = put("faces", f"{hashed('b')}.npz", 5, size=2000)
    make_room()
    assert old.exists() and not newer.exists()


def test_what_was_used_today_stays_however_large_it_is():
    file = put("features", "imagelab-ssl-v1-0123456789abcdef.npy", 0.9, size=9000)
    assert make_room() == [] and file.exists()
    assert make_room(now=time.time() + DAY) and not file.exists()


def test_a_set_and_what_is_known_of_it_go_together():
    name = hashed("a")
    files = [put("measured", f"{name}.bytes", 9, size=2900), put("measured", f"{name}.json", 9, size=200)]
    (entry,) = make_room()
    assert entry.size == 3100 and set(entry.files) == set(files) and not any(file.exists() for file in files)
    put("measured", f"{name}.bytes", 9, size=4000)
    put("measured", f"{name}.json", 0.1)
    assert make_room() == []  # the set is in use if its facts are


def test_what_a_killed_process_left_goes_too():
    left = put("faces", f"{hashed('a')}.npz.0123abcd-4711-0123456789ab.partial", 2, size=4000)
    assert make_room() and not left.exists()


def test_nothing_that_cannot_be_made_again_is_touched_or_counted(tmp_path: Path):
    names = [
        ("weights", f"{hashed('a')}.npy"),
        ("faces", "holiday.npz"),
        ("faces", f"{hashed('b')}.pth"),
        ("faces/deeper", f"{hashed('c')}.npz"),
        ("probes", f"{hashed('d')}.npz"),
    ]
    files = [put(folder, name, 99, size=9000) for folder, name in names]
    link = cache_folder("faces") / f"{hashed('e')}.npz"
    link.symlink_to(files[0])
    assert cache_entries() == [] and make_room() == []
    assert all(file.exists() for file in [*files, link])


def test_every_file_that_the_package_keeps_is_counted(
    monkeypatch: pytest.MonkeyPatch, picture_folder: Path, tmp_path: Path
):
    Faces(size=32).load("train", 4, 0)
    np.savez(tmp_path / "a.npz", images=np.zeros((6, 3, 16, 16), np.uint8))
    measure(picture_folder, picture_folder, metrics=["frechet"], size=32)
    measure(tmp_path / "a.npz", tmp_path / "a.npz", metrics=["pixel_variance"])
    assert {entry.folder for entry in cache_entries()} == {"faces", "measured", "features"} <= set(FOLDERS)
    root = cache_folder("faces").parent
    assert sum(entry.size for entry in cache_entries()) == sum(f.stat().st_size for f in root.rglob("*") if f.is_file())


def test_a_mapped_set_outlives_its_removal():
    path = put("measured", f"{hashed('a')}.bytes", 9, size=4000)
    mapped = np.memmap(path, np.uint8, "c", shape=(4000,))
    past = time.time() - 9 * DAY
    os.utime(path, (past, past))
    assert make_room() and not path.exists() and int(mapped.sum()) == 0


def test_the_limit_is_the_users(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE)
    assert limit() == LIMIT_GB * 1e9
    monkeypatch.setenv(VARIABLE, "0")
    put("faces", f"{hashed('a')}.npz", 2, size=1)
    assert limit() == 0 and len(make_room()) == 1
    for wrong in ("many", "-1", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(ValueError, match=rf"{VARIABLE}: expected a number of GB such as 5, got '{wrong}'"):
            limit()


def test_an_entry_that_cannot_be_removed_is_left_in_peace(monkeypatch: pytest.MonkeyPatch):
    put("faces", f"{hashed('a')}.npz", 9, size=4000)

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr(Path, "unlink", locked)
    assert make_room() == [] and len(cache_entries()) == 1


def test_a_run_and_a_measurement_make_room_first(tmp_path: Path, picture_folder: Path):
    (tmp_path / "tiny.py").write_text(
        "from imagelab import Experiment, Faces, Gaussian\n"
        "experiment = Experiment(data=Faces(size=32, cache=False), generator=Gaussian(components=4), generations=1,\n"
        f"    images=8, heldout=8, tracked=2, metrics=('pixel_variance',), runtime={{'runs': {str(tmp_path)!r}}})\n"
    )
    for words in (("run", tmp_path / "tiny.py"), ("measure", picture_folder, picture_folder, "--size", "32")):
        old = put("faces", f"{hashed('a')}.npz", 9, size=9000)
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        assert not stopped.value.code and not old.exists()


def test_the_doctor_says_how_much_is_kept_and_removes_nothing():
    old = put("faces", f"{hashed('a')}.npz", 9, size=2_000_000)
    (line,) = [line for line in examine() if line.startswith("cache")]
    assert "faces 2 MB" in line and VARIABLE in line and old.exists()


def test_the_limit_is_five_gigabytes_where_nothing_is_said_and_what_is_said_counts_in_powers_of_ten(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(VARIABLE, "0.25")
    assert limit() == 250_000_000
    monkeypatch.delenv(VARIABLE)
    assert limit() == 5_000_000_000


@pytest.mark.parametrize(("days", "stays"), [(0.99, True), (1.01, False)])
def test_an_entry_may_go_a_day_after_its_last_use(days: float, stays: bool):
    file = put("faces", f"{hashed('a')}.npz", days, size=9000)
    make_room()
    assert file.exists() == stays


@pytest.mark.parametrize("damage", ["changed", "renamed", "without a digest"])
def test_an_entry_that_was_changed_or_renamed_is_made_again(tmp_path: Path, damage: str, caplog):
    def make(value: float) -> dict[str, np.ndarray]:
        return {"features": np.full((2, 3), value)}

    expected = {"features": (2, -1)}
    cached(tmp_path, "a" * 16, expected, lambda: make(1))
    path = tmp_path / ("a" * 16 + ".npz")
    if damage == "renamed":
        cached(tmp_path, "b" * 16, expected, lambda: make(5))
        (tmp_path / ("b" * 16 + ".npz")).replace(path)
    else:
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["features"] = arrays["features"] + (damage == "changed")
        if damage == "without a digest":
            del arrays["digest"]
        np.savez(path, **arrays)
    assert (cached(tmp_path, "a" * 16, expected, lambda: make(2))["features"] == 2).all()
    assert (cached(tmp_path, "a" * 16, expected, lambda: make(3))["features"] == 2).all()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_stream_is_made_without_the_cache_where_its_disk_is_full(tmp_path: Path, error: int, caplog):
    files = []

    def fill(file: BinaryIO) -> dict[str, Any]:
        files.append(file)
        file.write(b"half")
        if len(files) == 1:
            raise OSError(error, os.strerror(error))
        file.write(b" and half")
        return {}

    def view(file: BinaryIO, facts: dict[str, Any]) -> bytes:
        file.seek(0)
        return file.read()

    assert cached_stream(tmp_path / "kept" / f"{'0' * 16}.bytes", fill, view) == b"half and half"
    assert "going on without the cache" in caplog.text
    assert list((tmp_path / "kept").iterdir()) == []


def test_an_error_of_what_a_stream_is_made_from_is_not_one_of_the_cache(tmp_path: Path):
    def fill(file: BinaryIO) -> dict[str, Any]:
        raise FileNotFoundError(errno.ENOENT, "gone", "picture.png")

    with pytest.raises(FileNotFoundError, match=r"picture\.png"):
        cached_stream(tmp_path / f"{'0' * 16}.bytes", fill, lambda file, facts: None)


def test_measure_needs_no_room_in_the_cache(tmp_path: Path):
    program = """
import resource, numpy as np, imagelab
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a disk that takes no more than this
images = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16), np.uint8)
print(imagelab.measure(images[:40], images[40:], metrics=["frechet"])["frechet/randconv-s0"].value)
"""
    environment = {**os.environ, "IMAGELAB_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout) > 0
    assert "features are not cached" in done.stderr and "Traceback" not in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
