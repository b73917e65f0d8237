"""Files are whole or not there: laws of the one place that writes them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread

import pytest

from imagelab.io.atomic import (
    folder_made_whole,
    made_through_links,
    place,
    sweep,
    sync,
    write_atomic,
    written_whole,
)


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


def test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, synced = tmp_path / "card.txt", []

    def watch(handle: int) -> None:
        status = os.fstat(handle)
        synced.append(("folder" if stat.S_ISDIR(status.st_mode) else status.st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", watch)
    write_atomic(path, "whole")
    assert synced == [(5, False), ("folder", True)]


def test_a_folder_reaches_the_disk_with_all_that_is_in_it_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, synced = tmp_path / "set", []

    def watch(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").readlink().name.partition(".")[0], folder.exists()))

    monkeypatch.setattr(os, "fsync", watch)
    with folder_made_whole(folder) as partial:
        (partial / "train").mkdir()
        (partial / "train" / "0").write_bytes(b"0")
    assert sorted(synced[:-1]) == [("0", False), ("set", False), ("train", False)]
    assert synced[-1] == (tmp_path.name, True)


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
        with written_whole(path) as partial:
            places.append(partial)
            partial.write_text("theirs")

    with written_whole(path) as mine:
        mine.write_text("mine")
        other = Thread(target=write)
        other.start()
        other.join()
        assert path.read_text() == "theirs"
    assert path.read_text() == "mine"
    assert mine not in places and len(places) == 1
    assert str(os.getpid()) in mine.name
    assert list(tmp_path.iterdir()) == [path]


DEAD = 2**22 + 1  # above the largest process id of Linux


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_writer_removes_what_a_killed_one_has_left_and_nothing_else(tmp_path: Path, kind: str):
    def temporary(name: str, where: str, pid: int) -> Path:
        path = tmp_path / f"{name}.{where}-{pid}-0123456789ab.partial"
        path.touch() if kind == "file" else (path / "deep").mkdir(parents=True)
        return path

    left = temporary("card.txt", place(), DEAD)
    old = temporary("card.txt", "0" * 8, 1)
    os.utime(old, (0, 0))
    kept = [temporary("card.txt", place(), os.getpid()), temporary("card.txt", "0" * 8, 1234)]
    kept += [temporary("other.txt", place(), DEAD), tmp_path / "card.txt.partial", tmp_path / "my.card.txt"]
    for path in kept[-2:]:
        path.touch()
    if kind == "file":
        write_atomic(tmp_path / "card.txt", "whole")
    else:
        with folder_made_whole(tmp_path / "card.txt"):
            pass
    assert not left.exists() and not old.exists()
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "card.txt"])
    sweep(tmp_path)
    assert not kept[2].exists() and all(path.exists() for path in kept[:2] + kept[3:])


def test_a_link_under_the_name_is_replaced_and_what_it_points_to_stays(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("precious")
    (tmp_path / "card.txt").symlink_to("thesis.tex")
    write_atomic(tmp_path / "card.txt", "whole")
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    assert (tmp_path / "card.txt").read_text() == "whole" and not (tmp_path / "card.txt").is_symlink()


def test_temporary_names_cannot_be_foreseen_and_are_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with written_whole(tmp_path / "a") as first, written_whole(tmp_path / "a") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    planted = tmp_path / f"b.{place()}-{os.getpid()}-{'0' * 12}.partial"
    planted.symlink_to("thesis.tex")
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "b", "whole")
    assert not (tmp_path / "thesis.tex").exists()


def test_the_longest_names_can_be_written(tmp_path: Path):
    write_atomic(tmp_path / ("é" * 127), "whole")
    with folder_made_whole(tmp_path / ("e" * 255)):
        pass
    assert sorted(len(os.fsencode(child.name)) for child in tmp_path.iterdir()) == [254, 255]


@pytest.mark.parametrize("link", ["run", "run/report", "run/report/index"])
def test_links_below_a_folder_are_found_and_links_above_it_are_not(tmp_path: Path, link: str):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / "elsewhere")
    found = made_through_links(tmp_path / "run", tmp_path / "run" / "report" / "index" / "page.html")
    assert found == (None if link == "run" else path)


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


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_that_is_there_is_never_touched(tmp_path: Path, link: bool):
    there = "set"
    if link:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "set").symlink_to("elsewhere")
    else:
        (tmp_path / "set").mkdir()
    (tmp_path / there / "kept").touch()
    with pytest.raises(ValueError, match=f"{there} exists already; nothing was written"):
        _enter(lambda: folder_made_whole(tmp_path / "set"))
    assert [child.name for child in (tmp_path / there).iterdir()] == ["kept"]
    assert len(list(tmp_path.iterdir())) == 1 + link


def test_files_and_folders_can_be_synced(tmp_path: Path):
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


def _enter(make: Callable[[], AbstractContextManager[object]]) -> None:
    with make():
        raise AssertionError("the block ran")
