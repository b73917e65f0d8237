"""What to say when a disk refuses to store or to give a file: one sentence with the path, the bytes, and what to do.

Libraries report a full disk in many ways: numpy counts the values that it could write, shutil gives a list of tuples,
Pillow the number of an encoder's error, and a limit of the process (``ulimit -f``) looks like a file that is too large.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .untrusted import quoted, shown

__all__ = ["NoRoom", "NotStored", "free_bytes", "require_space", "sentence", "storing"]

FULL = (errno.ENOSPC, errno.EDQUOT)
UNSAID = re.compile(r"\d+ requested and \d+ written|encoder error|write error", re.IGNORECASE)
"""How numpy and Pillow say that not all bytes could be written, without an error number."""


class NotStored(OSError):
    """A result could not be stored; the text gives the path, the reason and what to do."""

    def __init__(self, said: str, number: int | None):
        super().__init__(said)
        self.errno = number


class NoRoom(OSError):
    """Fewer bytes are free than will be needed; raised before anything is written."""

    def __init__(self, needed: int):
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.needed = needed


@contextmanager
def storing(target: Path, source: Path | None = None) -> Iterator[None]:
    """Turn every failure of the disk while ``target`` is written into one sentence about it.

    Args:
        target: the final name of what is written.
        source: the folder that it is made from.

    Raises:
        NotStored: instead of any other OSError.
    """
    try:
        yield
    except NotStored:
        raise
    except OSError as error:
        gone = error.filename if isinstance(error.filename, str | bytes) else None
        if gone is None and source is not None and not source.exists():
            gone = os.fspath(source)
        if error.errno == errno.ENOENT and gone is not None:
            said = f"{shown(os.fsdecode(gone))}: is not there any more; was it moved or deleted meanwhile? "
            raise NotStored(f"{said}{shown(target)} was not written.", error.errno) from error
        raise NotStored(f"{shown(target)}: cannot be written: {_reason(error, target)}.", error.errno) from error


def require_space(folder: Path, needed: int) -> None:
    """Check that ``needed`` bytes can be stored in a folder before they are written.

    Raises:
        NoRoom: where fewer are free.
    """
    if needed > free_bytes(folder):
        raise NoRoom(needed)


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that ``path`` lies on, or will lie on."""
    here = next((place for place in (path, *path.absolute().parents) if place.exists()), Path("/"))
    return shutil.disk_usage(here).free


def sentence(error: OSError) -> str:
    """Return an error of the system as one sentence that begins with the path, where one is known."""
    if isinstance(error, NotStored) or (error.errno is None and not _unsaid(error)):
        return str(error)
    name = error.filename if isinstance(error.filename, str | bytes) else None
    path = None if name is None else Path(os.fsdecode(name))
    where = "" if path is None else f"{shown(path)}: "
    if error.errno == errno.ENOENT and path is not None:
        return f"{where}{error.strerror}; was it moved or deleted while the command ran?"
    kept = "; what is finished is kept" if error.errno in FULL or error.errno is None else ""
    return f"{where}{_reason(error, path)}{kept}."


def _unsaid(error: OSError) -> bool:
    return isinstance(error, shutil.Error) or UNSAID.search(str(error)) is not None


def _reason(error: OSError, path: Path | None) -> str:
    """Return why, and what to do; no full stop at the end."""
    number = error.errno
    words = os.strerror(number) if number in (*FULL, errno.EFBIG) else quoted(error.strerror or error)
    if isinstance(error, shutil.Error):  # a list of (from, to, text)
        first = error.args[0][0] if error.args and isinstance(error.args[0], list) and error.args[0] else error
        return quoted(first[-1] if isinstance(first, tuple) else first)
    if number == errno.EFBIG:
        import resource  # not on every system

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        most = "" if limit == resource.RLIM_INFINITY else f" of more than {limit:,} bytes (ulimit -f)"
        return f"{words}: no file{most} can be written here; raise the limit, or choose another disk"
    if number in FULL or (number is None and _unsaid(error)):
        why = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your quota is used up"}.get(
            number or 0, "the disk is full, or a file may not be larger (ulimit -f)"
        )
        needed = f", {error.needed:,} are needed" if isinstance(error, NoRoom) else ""
        free = "" if path is None else f" ({free_bytes(path):,} bytes are free{needed})"
        return f"{f'{words}: ' if number else ''}{why}{free}. Free some space, then repeat the command"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{words}; choose another folder, or change its permissions"
    return words
