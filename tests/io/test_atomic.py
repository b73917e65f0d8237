"""Files are whole or not there: laws of the one place that writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread

import pytest

from imagelab.io.atomic import folder_made_whole, held_alone, sync, write_atomic, written_whole


def test_until_the_block_ends_the_name_holds_what_it_held(tmp_path: Path):
    path = tmp_path / "card.txt"
    path.write_text("old")
    with written_whole(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [child.name for child in tmp_path.iterdir()] == ["card.txt"]


@pytest.mark.parametrize("fault", [OSError, ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, fault: type[BaseException]):
    path = tmp_path / "card.txt"
    path.write_text("old")
    with pytest.raises(fault), written_whole(path) as partial:
        partial.write_text("half of the ne")
        raise fault
    assert path.read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["card.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path):
    path = tmp_path / "card.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), written_whole(path):
        pass
    assert path.read_text() == "old"


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, synced = tmp_path / "card.txt", []

    def watch(handle: int) -> None:
        synced.append((os.fstat(handle).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", watch)
    write_atomic(path, "whole")
    assert synced == [(5, False)]


def test_a_disk_that_will_not_sync_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "card.txt"
    path.write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert [(child.name, child.read_text()) for child in tmp_path.iterdir()] == [("card.txt", "old")]


def test_text_is_written_as_utf_8_wherever_it_runs(tmp_path: Path):
    write_atomic(tmp_path / "card.txt", "Fréchet ± σ")
    assert (tmp_path / "card.txt").read_bytes() == "Fréchet ± σ".encode()


def test_writers_who_share_a_file_do_not_share_a_place(tmp_path: Path):
    path, places = tmp_path / "features.npy", []

    def write() -> None:
        with written_whole(path, shared=True) as partial:
            places.append(partial)
            partial.write_text("theirs")

    with written_whole(path, shared=True) as mine:
        mine.write_text("mine")
        other = Thread(target=write)
        other.start()
        other.join()
        assert path.read_text() == "theirs"
    assert path.read_text() == "mine"
    assert mine not in places and len(places) == 1
    assert str(os.getpid()) in mine.name
    assert list(tmp_path.iterdir()) == [path]


def test_a_lone_writer_takes_the_place_that_a_killed_one_left(tmp_path: Path):
    (tmp_path / "card.txt.partial").write_text("of a killed one")
    write_atomic(tmp_path / "card.txt", "whole")
    assert [child.name for child in tmp_path.iterdir()] == ["card.txt"]


def test_a_folder_takes_its_name_when_it_is_full(tmp_path: Path):
    folder = tmp_path / "deep" / "set"
    with folder_made_whole(folder) as partial:
        (partial / "0.png").write_bytes(b"0")
        assert not folder.exists()
    assert [child.name for child in folder.parent.iterdir()] == ["set"]
    assert (folder / "0.png").read_bytes() == b"0"


def test_a_folder_that_fails_is_not_there(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), folder_made_whole(tmp_path / "set") as partial:
        (partial / "0.png").write_bytes(b"0")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["set", "set.partial"])
def test_a_folder_that_is_there_is_never_touched(tmp_path: Path, there: str):
    (tmp_path / there).mkdir()
    (tmp_path / there / "kept").touch()
    with pytest.raises(ValueError, match=f"{there} exists already; nothing was written"):
        _enter(lambda: folder_made_whole(tmp_path / "set"))
    assert [child.name for child in (tmp_path / there).iterdir()] == ["kept"]
    assert [child.name for child in tmp_path.iterdir()] == [there]


def test_files_and_folders_can_be_synced(tmp_path: Path):
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


def test_what_is_held_is_refused_to_others_with_the_holders_number_until_it_is_free(tmp_path: Path):
    lock, told = tmp_path / "run.lock", rf"a {{set}}: another process \(pid {os.getpid()}\) is at it\. Wait for it\."
    with held_alone(lock, "a {set}", "is at it"), pytest.raises(ValueError, match=told):
        _enter(lambda: held_alone(lock, "a {set}", "is at it"))
    with held_alone(lock, "a {set}", "is at it"):
        assert lock.read_text() == str(os.getpid())


def test_a_lock_dies_with_its_holder(tmp_path: Path):
    code = f"""
import os
from pathlib import Path
from imagelab.io.atomic import held_alone
with held_alone(Path({str(tmp_path / "run.lock")!r}), "a set", "is at it"):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with held_alone(tmp_path / "run.lock", "a set", "is at it"):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def _enter(make: Callable[[], AbstractContextManager[object]]) -> None:
    with make():
        raise AssertionError("the block ran")
