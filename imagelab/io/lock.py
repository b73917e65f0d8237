"""One writer at a time: a lock against other processes, on this machine and on others that share the disk.

The lock is ``flock`` on a file that stays where it is: the kernel releases it when its process ends, however it ends.
The worker processes of that process share it. They end with it, but a moment later, so a lock whose process is gone is
asked for again for some seconds.
Some network disks have no flock (NFS without its lock service, Lustre without ``-o flock``). There the lock is a second
file, NAME.owner, which only one process can create (``O_EXCL``). It names the host and the process, and a thread renews
its time every ten seconds. A lock of a dead process of this machine is taken over at once, that of another machine when
it has not been renewed for two minutes. Times are compared on the clock of the disk, not on those of two machines.

A Lustre mounted with ``-o localflock`` grants flock on each machine apart, which no program can see: run one experiment
from one machine there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .atomic import is_alive, place
from .untrusted import quoted, regular, shown

__all__ = ["held_alone"]

HELD = (errno.EWOULDBLOCK, errno.EACCES)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
RENEWED_SECONDS = 10.0
STALE_SECONDS = 120.0
ORPHANED_SECONDS = 20.0


@contextmanager
def held_alone(lock: Path, what: str, doing: str) -> Iterator[Callable[[], None]]:
    """Hold a lock against other processes while the block runs; it ends with the process, and the lock file stays.

    The block is given a function that raises ValueError where the lock was lost: on a disk without flock another
    process takes over what was not renewed for two minutes, for example while this machine was suspended.

    Args:
        lock: the file to lock, made if it does not exist; it contains the id of the process that holds it.
        what: what is locked, for the message to a second process.
        doing: what the first process does, such as "is writing this run".

    Raises:
        ValueError: if another process holds the lock, with the id of that process; or if the lock file is a link.
    """
    with _opened(lock) as file:
        owner = lock.with_name(f"{lock.name}.owner")
        if _flock(file, what, doing):
            held = _owner(owner)
            if held and not _is_stale(owner, held):
                raise _busy(what, doing, held)
            holding = contextlib.nullcontext(lambda: None)
        else:
            holding = _created(owner, what, doing)
        with holding as check:
            file.seek(0)
            file.truncate(0)
            file.write(f"{os.getpid()}\n{platform.node()}\n")
            file.flush()
            yield check


def _opened(lock: Path) -> IO[str]:
    """Open the lock file, never through a link: what a link points to would be overwritten."""
    if os.path.lexists(lock):
        if lock.is_symlink():
            raise ValueError(f"{shown(lock)}: is a link; expected a lock file. Remove it, and start again.")
        regular(lock)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return os.fdopen(handle, "r+", encoding="utf-8", errors="replace")


def _flock(file: IO[str], what: str, doing: str) -> bool:
    """Lock an open file; return False where the disk has no such locks.

    Raises:
        ValueError: if another process holds it.
    """
    import fcntl

    deadline = time.monotonic() + ORPHANED_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            if error.errno not in HELD:
                raise
            held = _told(file)
            if not _is_orphaned(held):
                raise _busy(what, doing, held) from error
            if time.monotonic() > deadline:
                raise _left_behind(what, held) from error
        time.sleep(0.05)


def _told(file: IO[str]) -> dict[str, object]:
    """Return what the lock file says of the process that holds it."""
    file.seek(0)
    pid, _, host = file.read(300).partition("\n")
    return {"pid": pid.strip(), "host": host.strip()}


def _is_orphaned(held: dict[str, object]) -> bool:
    """Whether the process that took the lock ended, so that only its workers, which end with it, still share it."""
    pid = str(held["pid"])
    return held["host"] == platform.node() and pid.isdecimal() and not is_alive(int(pid))


def _left_behind(what: str, held: dict[str, object]) -> ValueError:
    return ValueError(
        f"{what}: process {held['pid']} ended, but a process that it started still holds the lock after "
        f"{ORPHANED_SECONDS:g} s. End that process (ps -e | grep imagelab), and start again."
    )


def _busy(what: str, doing: str, held: dict[str, object]) -> ValueError:
    host = str(held.get("host") or "")
    elsewhere = f" on {quoted(host, 60)}" if host and host != platform.node() else ""
    pid = quoted(held.get("pid") or "unknown", 20)
    return ValueError(f"{what}: another process (pid {pid}{elsewhere}) {doing}. Wait for it.")


@contextmanager
def _created(owner: Path, what: str, doing: str) -> Iterator[Callable[[], None]]:
    """Hold the lock by a file that is created exclusively and renewed while the block runs."""
    ours = {"pid": os.getpid(), "host": platform.node(), "place": place(), "token": os.urandom(8).hex()}
    if not _claimed(owner, ours):
        _take_over(owner, ours, what, doing)
    over = threading.Event()

    def is_ours() -> bool:
        return _owner(owner).get("token") == ours["token"]

    def check() -> None:
        if not is_ours():
            raise ValueError(f"{what}: this process lost its lock to another one, because it did not answer for long.")

    def renew() -> None:
        while not over.wait(RENEWED_SECONDS):
            with suppress(OSError):
                if is_ours():
                    os.utime(owner)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield check
    finally:
        over.set()
        thread.join()
        if is_ours():
            owner.unlink(missing_ok=True)


def _claimed(path: Path, ours: dict[str, object]) -> bool:
    """Create a file that says whose it is; return False if it exists already."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(ours, file)
    return True


def _take_over(owner: Path, ours: dict[str, object], what: str, doing: str) -> None:
    """Replace the lock file of a process that is gone; a second file makes sure that only one process does so."""
    taking = owner.with_name(f"{owner.name}.taking")
    if _is_stale(taking, _owner(taking)):
        taking.unlink(missing_ok=True)
    if not _claimed(taking, ours):
        raise _busy(what, doing, _owner(taking))
    try:
        held = _owner(owner)
        if os.path.lexists(owner):
            if not _is_stale(owner, held):
                raise _busy(what, doing, held)
            owner.unlink(missing_ok=True)
        if not _claimed(owner, ours):
            raise _busy(what, doing, _owner(owner))
    finally:
        taking.unlink(missing_ok=True)


def _owner(path: Path) -> dict[str, object]:
    """Return what a lock file says of its owner; nothing where there is none, or where it is still being written."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")[:1000])
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_stale(path: Path, held: dict[str, object]) -> bool:
    """Whether the owner of a lock file is gone: a dead process of this machine, or no sign of life for two minutes."""
    pid = held.get("pid")
    if held.get("place") == place() and isinstance(pid, int):
        return not is_alive(pid)
    try:
        renewed = path.stat().st_mtime
    except OSError:
        return False
    return _disk_time(path.parent) - renewed > STALE_SECONDS


def _disk_time(folder: Path) -> float:
    """Return the present time on the clock of the disk, which may belong to another machine."""
    probe = folder / f".clock-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
