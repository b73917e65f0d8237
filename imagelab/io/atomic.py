"""Atomic writes: files are written under a temporary name in the same folder, synced to disk, then renamed.

A rename is atomic. Whoever reads NAME therefore finds the complete old content or the complete new content, never a
part, whenever the writer was killed or the disk became full. The list of names in the folder is synced too, so that
this also holds after a power cut. The package writes in these two ways only: a file (:func:`written_whole`) and a
folder that must be new (:func:`folder_made_whole`).

A temporary name is NAME.<place>-<pid>-<random>.partial. It is created exclusively, so two writers of one file never
share it, and nobody can prepare a link of that name. The place is a digest of host, boot and process namespace. The
next writer of NAME removes what a process of the same place has left that exists no longer (:func:`sweep`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from .untrusted import shown

__all__ = [
    "TEMPORARY",
    "folder_made_whole",
    "is_alive",
    "made_through_links",
    "place",
    "sweep",
    "sync",
    "write_atomic",
    "written_whole",
]

TEMPORARY = r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.partial"
"""Regular expression of what a temporary name adds to the name it will take: place and process id are its groups."""

ABANDONED_SECONDS = 24 * 3600.0
"""After this time without a write, the temporary file of a process of another machine counts as abandoned."""

CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EBADF)

LONGEST_NAME = 180  # bytes of a name that its temporary name begins with: most disks allow 255 in all


@contextmanager
def written_whole(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block ends, the file is renamed to ``path``.

    If the block fails, the temporary file is removed and the old content of ``path`` stays. If ``path`` is a link, the
    link is replaced; what it points to is not touched. Several processes may write one file at the same time: the last
    one to finish wins, with its whole content.

    Args:
        path: the final name; its folder exists.
        mode: permissions of the new file, before the process's umask.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.bin"
        >>> with written_whole(path) as partial, partial.open("wb") as stream:
        ...     stream.write(b"1 2 3")
        5
        >>> path.read_bytes(), partial.exists()
        (b'1 2 3', False)
    """
    sweep(path.parent, path.name)
    partial = _temporary(path)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, mode))
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def folder_made_whole(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it is renamed to ``folder`` when the block ends, and removed if the block fails.

    Raises:
        ValueError: if ``folder`` exists.
    """
    if os.path.lexists(folder):
        raise ValueError(f"{shown(folder)} exists already; nothing was written. Choose another name, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent, folder.name)
    partial = _temporary(folder)
    partial.mkdir()
    try:
        yield partial
        sync_all(partial)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(folder.parent)


def sweep(folder: Path, name: str = "") -> None:
    """Remove the temporary files and folders that dead processes have left.

    Args:
        folder: where they are looked for; its subfolders are not searched.
        name: only those that would have taken this name; all of them if not given.
    """
    pattern = re.compile((re.escape(_stem(name)) if name else ".*") + TEMPORARY, re.DOTALL)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            with suppress(OSError):
                if not match or not _abandoned(match[1], int(match[2]), entry):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)


def made_through_links(root: Path, path: Path) -> Path | None:
    """Return the first part of ``path`` below ``root`` that is a link, so that writing would leave ``root``; or None.

    Args:
        root: a folder; it may be reached through links itself.
        path: a place in it, which need not exist.
    """
    here = root
    for part in path.relative_to(root).parts:
        here = here / part
        if here.is_symlink():
            return here
    return None


@cache
def place() -> str:
    """Return 8 hex digits for this host, boot and process namespace, within which a process id means one process."""
    told = [platform.node()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        told.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def is_alive(pid: int) -> bool:
    """Return whether a process of this place exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync(path: Path) -> None:
    """Flush a file, or the list of names in a folder, to the disk (fsync).

    A folder that cannot be synced (some network disks, a folder without read permission) is left as it is.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in CANNOT_SYNC or not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Flush a folder, and all files and folders in it, to the disk."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            sync(path)


def _stem(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:LONGEST_NAME])


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_stem(path.name)}.{place()}-{os.getpid()}-{secrets.token_hex(6)}.partial")


def _abandoned(where: str, pid: int, entry: os.DirEntry[str]) -> bool:
    if where == place():
        return not is_alive(pid)
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS
