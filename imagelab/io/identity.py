"""The identity of files: whether a file is still the one that was read before.

Size and time of change do not identify the content of a file: ``cp -p``, ``rsync -t``, a tar made with ``--mtime`` and
the layers of a container keep the time. What is kept of a file (in the cache, or in the memory of a process) therefore
goes by more than these:

- every file: size, time of the last write, time of the last change of its entry (``ctime``, which no program can set),
  and number of its entry (inode), all of the file that a link points to;
- a file named by itself (an array, an archive, a list): its content, too. Up to 256 MiB, and for arrays of any length,
  that is every byte. Of a longer archive or table it is the first MiB, the last 16 MiB (there a zip has the CRC-32 of
  its members, and Parquet its index) and 64 blocks of 64 KiB in between.

So arrays of any length and other single files up to 256 MiB are told apart on any disk. Pictures in a folder, and the
members of a longer archive, are told apart where the disk keeps a true ctime, as all local disks of Linux and macOS do.

A changed ctime (by ``chmod`` or a new hard link) costs no more than reading the files again: identities name entries of
the cache only, and are no part of the signature of an experiment, of fingerprints, or of a run.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from .untrusted import regular

__all__ = ["identity", "state_of"]

WHOLE = 1 << 28  # bytes up to which every file is digested whole
HEAD, TAIL = 1 << 20, 1 << 24  # bytes that are read at the ends of a longer file
BLOCKS, BLOCK = 64, 1 << 16  # blocks that are read in between, and their bytes
PROBES, PROBE = 16, 1 << 12  # the same for the short digest that is made each time
SETTLED_NS = 2_000_000_000  # a file that changed this recently could change again within the same tick of its clock


def identity(path: Path, whole: bool = False) -> tuple[str, int, int]:
    """Return (path, size in bytes, state): another value means that the file was changed.

    The content is digested once in a process. After that only the status and 16 small blocks are looked at, unless the
    file was written in the last two seconds. A disk without a true ctime could so hide, from one process, a
    small change between those blocks.

    Args:
        path: a regular file, or a link to one.
        whole: digest every byte, whatever the length of the file.

    Raises:
        ValueError: naming the file, if it is missing or is not a regular file.
        OSError: if it cannot be read.
    """
    status = regular(path)
    recent = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED_NS
    digest = _content.__wrapped__ if recent else _content
    content = digest(str(path), status.st_size, state_of(status), _probe(path, status.st_size), whole)
    return str(path), status.st_size, _number(state_of(status), content)


def state_of(status: os.stat_result) -> int:
    """Return a number that changes with the times of last write and last change of a file, and with its inode."""
    return _number(status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8])


def _probe(path: Path, size: int) -> bytes:
    """Return a digest of a few small blocks of a file."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        _spread(file, size, PROBES, PROBE, total.update)
    return total.digest()


@lru_cache(maxsize=4096)
def _content(path: str, size: int, state: int, probe: bytes, whole: bool) -> bytes:
    """Return a digest of the content; ``state`` and ``probe`` are arguments so that a changed file is read again."""
    with Path(path).open("rb") as file:
        if whole or size <= WHOLE:
            return hashlib.file_digest(file, "sha256").digest()
        total = hashlib.sha256(file.read(HEAD))
        _spread(file, size, BLOCKS, BLOCK, total.update)
        file.seek(size - TAIL)
        total.update(file.read(TAIL))
        return total.digest()


def _spread(file: BinaryIO, size: int, count: int, length: int, use: Callable[[bytes], None]) -> None:
    """Hand over ``count`` blocks at equal distances, the first and the last of the file among them."""
    for place in range(count):
        file.seek(max(0, size - length) * place // (count - 1))
        use(file.read(length))
