"""Files whole or not at all: written beside their name, synced to the disk, then renamed.

A rename is the one step of a file system that nothing can cut in half. So whoever reads NAME finds the old content or
the new, never a part, wherever a kill, a full disk or a Ctrl-C fell. The two forms here are the only ones in the
package: a file (:func:`written_whole`) and a folder that must be new (:func:`folder_made_whole`). Where two writers
would undo each other's work, one goes first and the other is told whom to wait for (:func:`held_alone`).
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
    """Yield a place to write to; what stands there when the block ends takes the name ``path``.

    If the block fails, nothing is left of it, and what ``path`` held before stays.

    Args:
        path: the name to be; its folder exists.
        shared: whether others may write the same file meanwhile, as with a cache. Each then has a place of its own, and
            the last one to end wins; without it the place is ``<path>.partial``, which the next writer overwrites.

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
        with suppress(OSError):  # what went wrong before is what to tell
            partial.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def folder_made_whole(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the name ``folder`` when the block ends, and is removed if it fails.

    Raises:
        ValueError: if ``folder`` is there already, or ``<folder>.partial``, the mark of a killed attempt.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    for there in (folder, partial):
        if there.exists():
            raise ValueError(f"{there} exists already; nothing was written. Choose another name, or remove it.")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def held_alone(lock: Path, what: str, doing: str) -> Iterator[None]:
    """Hold a lock file against other processes while the block runs; it dies with its holder, and the file stays.

    Args:
        lock: the file to lock, made if it is not there; it says which process holds it.
        what: what is held, as a second process is told of it.
        doing: what the first one does, such as "is writing this run".

    Raises:
        ValueError: if another process holds it, naming that one.
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
    """Return when a file, or the names in a folder, have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
