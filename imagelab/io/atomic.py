"""Atomic writes: files are written under a temporary name in the same folder, synced to disk, then renamed.

A rename is atomic. Whoever reads NAME therefore finds the complete old content or the complete new content, never a
part, whenever the writer was killed or the disk became full. The package writes in these two ways only: a file
(:func:`written_whole`) and a folder that must be new (:func:`folder_made_whole`). Where two writers would overwrite
each other's work, a lock lets one write and stops the other with a message (:func:`held_alone`).
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["folder_made_whole", "held_alone", "sync", "write_atomic", "written_whole"]


@contextmanager
def written_whole(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block ends, the file is renamed to ``path``.

    If the block fails, the temporary file is removed and the old content of ``path`` stays.

    Args:
        path: the final name; its folder exists.
        shared: whether other processes may write the same file at the same time, as in a cache. Each then has its own
            temporary file, and the last one to finish wins. Otherwise the temporary file is ``<path>.partial``, which
            the next writer overwrites.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.bin"
        >>> with written_whole(path) as partial, partial.open("wb") as stream:
        ...     stream.write(b"1 2 3")
        5
        >>> path.read_bytes(), partial.exists()
        (b'1 2 3', False)
    """
    own = f".{os.getpid()}-{threading.get_ident()}" if shared else ""
    partial = path.with_name(f"{path.name}{own}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            partial.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def folder_made_whole(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it is renamed to ``folder`` when the block ends, and removed if the block fails.

    Raises:
        ValueError: if ``folder`` exists, or ``<folder>.partial``, which a killed process left behind.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    for existing in (folder, partial):
        if existing.exists():
            raise ValueError(f"{existing} exists already; nothing was written. Choose another name, or remove it.")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def held_alone(lock: Path, what: str, doing: str) -> Iterator[None]:
    """Hold a lock against other processes while the block runs; it ends with the process, and the lock file stays.

    Args:
        lock: the file to lock, made if it does not exist; it contains the id of the process that holds it.
        what: what is locked, for the message to a second process.
        doing: what the first process does, such as "is writing this run".

    Raises:
        ValueError: if another process holds the lock, with the id of that process.
    """
    import fcntl

    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise ValueError(f"{what}: another process (pid {owner}) {doing}. Wait for it.") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def sync(path: Path) -> None:
    """Flush a file, or the list of names in a folder, to the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
