"""One writer at a time, with and without locks on the disk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from imagelab.io.atomic import place
from imagelab.io.lock import STALE_SECONDS, held_alone

DEAD = 2**22 + 1  # above the largest process id of Linux


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


@pytest.fixture(params=["flock", errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """A disk with flock, or one that answers as network disks without it do."""
    if request.param != "flock":

        def refuse(*_: object) -> None:
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def test_what_is_held_is_refused_to_others_with_the_holders_number_until_it_is_free(lock: Path, disk: object):
    told = rf"a {{set}}: another process \(pid {os.getpid()}\) is at it\. Wait for it\."
    with held_alone(lock, "a {set}", "is at it") as check:
        with pytest.raises(ValueError, match=told):
            _enter(lambda: held_alone(lock, "a {set}", "is at it"))
        check()
    with held_alone(lock, "a {set}", "is at it"):
        assert lock.read_text() == f"{os.getpid()}\n{platform.node()}\n"
    assert list(lock.parent.iterdir()) == [lock]


@pytest.mark.parametrize("flock", [True, False])
def test_a_lock_dies_with_its_holder(lock: Path, flock: bool):
    code = f"""
import errno, fcntl, os
from pathlib import Path
from imagelab.io.lock import held_alone
def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")
if not {flock}:
    fcntl.flock = refuse
with held_alone(Path({str(lock)!r}), "a set", "is at it"):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with held_alone(lock, "a set", "is at it"):
        assert lock.read_text().startswith(f"{os.getpid()}\n")


FORKED = """
import os, sys, time
from pathlib import Path
from imagelab.io.lock import held_alone
with held_alone(Path(sys.argv[1]), "a set", "is at it"):
    if os.fork() == 0:  # a worker: it shares the lock, and outlives its parent by so many seconds
        sys.stdout.close()
        os.close(1)
        time.sleep(float(sys.argv[2]))
    os._exit(9)
"""


def test_the_lock_of_a_killed_process_is_had_when_its_last_worker_ended(lock: Path):
    assert subprocess.run([sys.executable, "-c", FORKED, str(lock), "0.6"]).returncode == 9
    with held_alone(lock, "a set", "is at it"):
        assert lock.read_text().startswith(f"{os.getpid()}\n")


def test_a_worker_that_outlives_its_process_is_named_and_not_waited_for_without_end(
    lock: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("imagelab.io.lock.ORPHANED_SECONDS", 0.1)
    assert subprocess.run([sys.executable, "-c", FORKED, str(lock), "3"]).returncode == 9
    pid = lock.read_text().split()[0]
    with pytest.raises(ValueError, match=rf"^a set: process {pid} ended, but a process that it started still holds"):
        _enter(lambda: held_alone(lock, "a set", "is at it"))


def _held(lock: Path, age: float, **owner: object) -> Path:
    file = lock.with_name("run.lock.owner")
    file.write_text(json.dumps({"pid": 77, "host": "node7", "place": "0" * 8, "token": "x", **owner}))
    renewed = time.time() - age
    os.utime(file, (renewed, renewed))
    return file


def test_the_lock_of_another_machine_holds_while_it_is_renewed_and_not_for_ever(lock: Path, disk: object):
    _held(lock, STALE_SECONDS - 30)
    with pytest.raises(ValueError, match=r"another process \(pid 77 on node7\) is at it"):
        _enter(lambda: held_alone(lock, "a set", "is at it"))
    _held(lock, STALE_SECONDS + 30)
    with held_alone(lock, "a set", "is at it") as check:
        check()


def test_a_dead_process_of_this_machine_holds_nothing(lock: Path, disk: object):
    _held(lock, 0, pid=DEAD, place=place())
    with held_alone(lock, "a set", "is at it"):
        pass


def test_a_lock_file_that_is_still_being_written_holds(lock: Path, disk: object):
    lock.with_name("run.lock.owner").touch()
    if disk != "flock":
        with pytest.raises(ValueError, match="another process"):
            _enter(lambda: held_alone(lock, "a set", "is at it"))


def test_only_one_process_takes_over_and_a_half_done_take_over_does_not_block_for_ever(
    lock: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fcntl, "flock", _refuse)
    _held(lock, 0, pid=DEAD, place=place())
    taking = lock.with_name("run.lock.owner.taking")
    taking.write_text(json.dumps({"pid": 5, "host": "node5", "place": "1" * 8}))
    with pytest.raises(ValueError, match="pid 5 on node5"):
        _enter(lambda: held_alone(lock, "a set", "is at it"))
    os.utime(taking, (0, 0))
    with held_alone(lock, "a set", "is at it"):
        assert not taking.exists()


def test_a_process_that_lost_its_lock_is_told(lock: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fcntl, "flock", _refuse)
    with held_alone(lock, "a set", "is at it") as check:
        theirs = _held(lock, 0)
        with pytest.raises(ValueError, match="lost its lock"):
            check()
    assert json.loads(theirs.read_text())["pid"] == 77


def test_an_error_of_the_disk_is_not_taken_for_a_lock_that_is_held(lock: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"):
        _enter(lambda: held_alone(lock, "a set", "is at it"))


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_no_lock_and_what_it_points_to_stays(lock: Path, dangling: bool):
    thesis = lock.with_name("thesis.tex")
    if not dangling:
        thesis.write_text("precious")
    lock.symlink_to("thesis.tex")
    with pytest.raises(ValueError, match="is a link"):
        _enter(lambda: held_alone(lock, "a set", "is at it"))
    assert not thesis.exists() if dangling else thesis.read_text() == "precious"


def test_a_pipe_is_no_lock(lock: Path):
    os.mkfifo(lock)
    with pytest.raises(ValueError, match="is a named pipe"):
        _enter(lambda: held_alone(lock, "a set", "is at it"))


def _refuse(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def _enter(make: Callable[[], AbstractContextManager[object]]) -> None:
    with make():
        raise AssertionError("the block ran")
