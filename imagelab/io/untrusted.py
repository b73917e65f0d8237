"""Reading files that somebody else made: only regular files are opened, and damage is told in one short sentence.

Parsers of other libraries raise almost any exception on damaged input, and quote as much of it as they like. Every
reader of this package therefore parses inside :func:`parsing`, which turns all of them into a ValueError that names the
file, and shortens what is quoted. A file that is not regular (a named pipe, a device, a socket) is refused before it is
opened, because opening a pipe waits for ever and a device has no end.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "NAMED",
    "QUOTED",
    "UNPACK_GB",
    "check_unpacked",
    "few",
    "json_value",
    "parsing",
    "quoted",
    "regular",
    "shown",
]

QUOTED = 300
"""The most letters that a message quotes of a file."""

NAMED = 5
"""The most names that a message gives one by one."""

UNPACK_GB = "IMAGELAB_UNPACK_GB"
"""Environment variable: how many GB (10^9 bytes) a compressed file may unpack to, at any ratio."""

MOST_UNPACKED = 16_000_000_000
"""Bytes that a compressed file may unpack to where the variable is not set."""

ANY_RATIO = 1 << 28
"""Bytes that a file may unpack to at any ratio."""

MOST_RATIO = 250
"""Beyond that: unpacked bytes for each stored byte. Deflate packs zeros 1,030 times; pictures stay below 150."""

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors that say nothing of the content of a file."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def shown(path: str | Path) -> str:
    r"""Return a path in characters that can be printed on one line: control characters and broken bytes escaped.

    Example:
        >>> shown("two\nlines.png")
        'two\\nlines.png'
    """
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can spell it
        text = str(path).encode("utf-8", "backslashreplace").decode()
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(content: object, most: int = QUOTED) -> str:
    """Return what a file or a library says, on one printable line of at most ``most`` letters.

    Example:
        >>> quoted("x" * 1000, 8)
        'xxxxxxx…'
    """
    try:
        text = str(content)
    except (ValueError, RecursionError):  # an integer of too many digits, a list of too many levels
        text = type(content).__name__
    text = shown(text[: most + 1].encode("utf-8", "backslashreplace").decode())
    return text if len(text) <= most else text[: most - 1] + "…"


def few(names: Sequence[str], most: int = NAMED) -> str:
    """Return the first names on one printable line, and how many more there are, so that a message stays short.

    Example:
        >>> few(["a", "b", "c"]), few([f"{i}.png" for i in range(2000)], 2)
        ('a, b, c', '0.png, 1.png and 1,998 more')
    """
    text = ", ".join(quoted(name, 120) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most:,} more"


def regular(path: Path) -> os.stat_result:
    """Return the status of a regular file, or of the regular file that a link points to.

    Raises:
        ValueError: naming the file, where it is missing, cannot be looked at, or is not a regular file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - also for file names that are no valid Path content
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{shown(path)}: cannot be opened: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise ValueError(f"{shown(path)}: is {kind}; expected a regular file")
    return status


@contextmanager
def parsing(path: str | Path, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises on damaged content into a ValueError of one short sentence that names the file.

    Args:
        path: the file, for the message.
        expected: what it should be, such as "a whole zip file".

    Raises:
        ValueError: for any exception of the block. A full disk stays an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        raise ValueError(f"{shown(path)}: not {expected} ({quoted(error.strerror or error)})") from error
    except MemoryError as error:
        raise ValueError(f"{shown(path)}: not {expected} (it asks for more memory than there is)") from error
    except Exception as error:  # damaged content makes parsers raise almost anything
        raise ValueError(f"{shown(path)}: not {expected} ({quoted(str(error) or type(error).__name__)})") from error


def json_value(text: str | bytes, name: str | Path) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: naming the file, where it is not JSON, is not UTF-8, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{shown(name)}: not whole JSON (nested too deeply)") from error
    except ValueError as error:  # also JSONDecodeError, UnicodeDecodeError, integers of too many digits
        raise ValueError(f"{shown(name)}: not whole JSON ({quoted(error)})") from error


def check_unpacked(packed: int, unpacked: int) -> None:
    """Refuse to unpack more than a compressed file may hold: 16 GB, or 250 times its size where that is above 268 MB.

    Args:
        packed: bytes of the file on disk.
        unpacked: bytes that it would unpack to.

    Raises:
        ValueError: with the limit and how to raise it. The file is not named.
    """
    if unpacked <= max(packed, ANY_RATIO):
        return
    asked = os.environ.get(UNPACK_GB)
    try:
        most = round(float(asked) * 1e9) if asked else min(MOST_UNPACKED, max(ANY_RATIO, MOST_RATIO * packed))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{UNPACK_GB}: expected a number of GB such as 16, got {quoted(asked, 40)}") from error
    if unpacked > most:
        raise ValueError(
            f"{packed / 1e6:.3g} MB would unpack to {unpacked / 1e9:.3g} GB, more than the limit of {most / 1e9:.3g} "
            f"GB. If the file can be trusted, set {UNPACK_GB}={math.ceil(unpacked / 1e9)}, or store it uncompressed"
        )
