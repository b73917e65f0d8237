"""How weights come to this machine: by wire (:func:`fetch`) or in the hand (:func:`bring_in`); never during a run.

A file grows as NAME.partial, is checked against the official SHA-256, and only then takes its name: at any moment a
file of that name is whole or absent. What a cut connection or Ctrl-C leaves is kept and continued (HTTP Range); a
server that knows no ranges is read again from the start; a second process that wants the same file is told of the
first. Nothing below this floor can import this file, so no experiment can start a download.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from .. import __version__
from ..io.atomic import held_alone
from ..metrics.weights import WEIGHTS, Weights, folders, short, state

__all__ = ["Arrived", "NotFetched", "Received", "bring_in", "fetch", "target"]

CHUNK = 1 << 18
SPARE_BYTES = 50_000_000  # bytes left free on the disk
DEEP = 6  # levels of folders searched under one that is imported


class NotFetched(OSError):
    """A download did not come about; the text says why, what is kept, and what to do."""


@dataclass(frozen=True)
class Received:
    """So many bytes of a file are here, of so many."""

    name: str
    bytes: int
    size: int


@dataclass(frozen=True)
class Arrived:
    """What became of one of the weights in an import.

    Attributes:
        name: a key of ``WEIGHTS``.
        outcome: "copied" (or "already here") to ``path``; "damaged": a file of that name is not it; "not found".
        path: where it lies now, or the damaged file. note: details, "" for none.
    """

    name: str
    outcome: Literal["copied", "already here", "damaged", "not found"]
    path: Path | None = None
    note: str = ""


def target(name: str) -> Path:
    """Return where weights are put: the user's folder, the first official file name."""
    return folders()[0] / WEIGHTS[name].files[0]


def fetch(name: str, source: str = "", timeout: float = 30.0) -> Iterator[Received]:
    """Download weights, yielding as they arrive; whole and checked at :func:`target` when the iteration ends.

    Weights that are here and sound already are left alone, and nothing is yielded. A connection that is cut is taken
    up again as long as each attempt brings something.

    Args:
        name: a key of ``WEIGHTS``.
        source: another http(s) address of the same file, or of a folder that holds it (ending in "/").
        timeout: seconds without a byte after which the connection counts as dead.

    Raises:
        NotFetched: with what arrived kept for the next time, unless it is proved wrong.
        ValueError: for an unknown name, a source that is not http(s), or a file that another process is fetching.
    """
    if state(name).word == "present":
        return
    wanted, path = WEIGHTS[name], target(name)
    address = source + wanted.files[0] if source.endswith("/") else source or wanted.source
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"weights: expected an http or https address, got {address!r}; for a file: weights import")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with _alone(path):
        if state(name).word == "present":  # the process before us brought it
            return
        while (before := _length(partial)) < wanted.size:
            _ask_disk(path.parent, wanted.size - before)
            try:
                for count in _receive(address, partial, wanted.size, timeout):
                    yield Received(name, count, wanted.size)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, NotFetched) or _is_disk(error):
                    raise
                if _length(partial) <= before:
                    raise NotFetched(_explain(error, address, partial, wanted.size)) from error
        _accept(partial, path, wanted, address)


def bring_in(places: Iterable[Path]) -> Iterator[Arrived]:
    """Copy weights from files or folders (a memory stick, another machine's cache) to where they are looked for.

    A file is known by its official name or, where it was renamed, by its size and SHA-256. It is checked while it is
    copied, and takes its name only when the copy is whole and right.

    Args:
        places: files, or folders to search six levels deep.

    Yields:
        One answer for each of ``WEIGHTS``, in their order.

    Raises:
        ValueError: for a place that does not exist, or a file that another process is fetching.
    """
    files = [file for place in places for file in _files_under(place)]
    for name, wanted in WEIGHTS.items():
        candidates = [file for file in files if file.name in wanted.files or _length(file) == wanted.size]
        candidates.sort(key=lambda file: file.name not in wanted.files)
        if not candidates:
            yield Arrived(name, "not found")
            continue
        if state(name).word == "present":
            yield Arrived(name, "already here", state(name).path)
            continue
        sound = next((file for file in candidates if _length(file) == wanted.size and _copy(file, name)), None)
        damaged = next((file for file in candidates if file.name in wanted.files), None)
        if sound is not None:
            note = f"found as {sound.name}" if sound.name not in wanted.files else ""
            yield Arrived(name, "copied", target(name), note)
        elif damaged is not None:
            size = _length(damaged)
            note = f"{size:,} bytes, not {wanted.size:,}" if size != wanted.size else "another SHA-256"
            yield Arrived(name, "damaged", damaged, note)
        else:
            yield Arrived(name, "not found")


# -- the wire


def _receive(address: str, partial: Path, size: int, timeout: float) -> Iterator[int]:
    """Append what the server sends to the partial file, yielding its length; returns when the server has ended."""
    start = _length(partial)
    headers = {"User-Agent": f"imagelab/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        start = _checked_start(response, address, start, size)
        with partial.open("r+b" if start else "wb") as handle:
            handle.seek(start)
            handle.truncate()
            while block := response.read(CHUNK):
                if handle.tell() + len(block) > size:
                    partial.unlink()
                    raise NotFetched(f"{address} sends more than the {size:,} bytes of the official file; not used")
                handle.write(block)
                yield handle.tell()
            if handle.tell() < size:
                raise http.client.IncompleteRead(b"", size - handle.tell())
            handle.flush()
            os.fsync(handle.fileno())


def _checked_start(response: http.client.HTTPResponse, address: str, start: int, size: int) -> int:
    """Return at which byte the answer begins, after making sure that it can be the file and no login page."""
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise NotFetched(
            f"{address} answered with a web page, not a file: a login page of this network, perhaps. Nothing of it is "
            "kept. Open the address in a browser, or give another one with --source."
        )
    begin, total = 0, response.headers.get("Content-Length")
    if response.status == 206:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if said is None or int(said[1]) != start:
            raise NotFetched(f"{address} sends another part than was asked for; delete the .partial file and try again")
        begin, total = start, None if said[2] == "*" else said[2]
    if total is not None and int(total) != size:
        raise NotFetched(
            f"{address} offers {int(total):,} bytes, the official file has {size:,}. Nothing of it is kept."
        )
    return begin


def _accept(partial: Path, path: Path, wanted: Weights, address: str) -> None:
    """Give the finished file its name if its digest is the official one; remove it if not."""
    with partial.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != wanted.sha256:
        partial.unlink()
        raise NotFetched(
            f"what came from {address} has SHA-256 {found[:16]}..., the official file has {wanted.sha256[:16]}...: it "
            "is removed, nothing is installed. Try again from the start, or another --source."
        )
    partial.replace(path)


def _explain(error: Exception, address: str, partial: Path, size: int) -> str:
    """Return what went wrong on the wire, what is kept, and the way around."""
    kept = f" {_length(partial) / 1e6:.1f} of {size / 1e6:.1f} MB are kept; the same command goes on from there."
    kept = kept if _length(partial) else ""
    host = urlsplit(address).hostname
    if isinstance(error, urllib.error.HTTPError):
        if error.code == 416 and partial.exists():
            partial.unlink()
            return (
                f"{address}: the server has no more than what was here already; it is removed. Run the command again."
            )
        advice = {404: "The file is not there (any more)", 410: "The file is gone", 401: "It asks for a login"}
        why = advice.get(error.code, "It refuses to send the file" if error.code < 500 else "The server has a fault")
        return f"{address} answers {error.code} {error.reason}. {why}; --source takes another address.{kept}"
    if isinstance(error, urllib.error.URLError):
        return (
            f"no connection to {host} ({error.reason}). Without a network: fetch the file elsewhere, carry it here, "
            f"imagelab weights import PATH.{kept}"
        )
    cut = isinstance(error, http.client.IncompleteRead)
    return f"the connection to {host} was lost{'' if cut else f' ({error or type(error).__name__})'}.{kept}"


# -- the disk


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a file for writing against other processes; nothing is left of the lock when it is over."""
    lock = path.with_name(path.name + ".lock")
    with held_alone(lock, short(path), "is bringing this file"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _copy(file: Path, name: str) -> bool:
    """Copy a file to where weights belong, checking as it goes; leave nothing, and say so, if it is not the one."""
    wanted, path = WEIGHTS[name], target(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        _ask_disk(path.parent, wanted.size)
        partial, digest = path.with_name(path.name + ".copy.partial"), hashlib.sha256()
        try:
            with file.open("rb") as taken, partial.open("wb") as handle:
                while block := taken.read(CHUNK):
                    digest.update(block)
                    handle.write(block)
                handle.flush()
                os.fsync(handle.fileno())
            if digest.hexdigest() == wanted.sha256:
                partial.replace(path)
                path.with_name(path.name + ".partial").unlink(missing_ok=True)  # of a download now needless
                return True
        finally:
            partial.unlink(missing_ok=True)
    return False


def _files_under(place: Path) -> list[Path]:
    """Return the file itself, or the files of a folder, hidden ones left out, links to folders not followed."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ValueError(f"weights import: {place} is not there; give a file, or a folder such as a memory stick's")
    found = []
    for root, below, names in os.walk(place):
        depth = len(Path(root).relative_to(place).parts)
        below[:] = sorted(each for each in below if not each.startswith(".")) if depth < DEEP else []
        found += [Path(root) / each for each in sorted(names) if not each.startswith(".")]
    return found


def _ask_disk(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + SPARE_BYTES:
        raise NotFetched(
            f"{short(folder)}: {need / 1e6:.0f} MB are still to be written and the disk has {free / 1e6:.0f} MB free. "
            "Free some space; what is here already is kept."
        )


def _is_disk(error: Exception) -> bool:
    """Return whether an error is the disk's, not the wire's: those name a file or the want of space."""
    if not isinstance(error, OSError) or isinstance(error, urllib.error.URLError):
        return False
    return error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
