"""Download of weights (:func:`fetch`) and copies from local files (:func:`bring_in`); never during a run.

A file is written as NAME.partial, checked against the official SHA-256, and then renamed: a file of that name is always
complete. A partial file that a lost connection or Ctrl-C leaves is kept and continued (HTTP Range). If the server does
not support ranges, the file is read again from the start. A second process that requests the same file gets an error
that names the first. Only the command line imports this module, so no experiment can start a download.
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

from .._version import __version__
from ..io.lock import held_alone
from ..metrics.weights import WEIGHTS, Weights, folders, short, state

__all__ = ["Arrived", "NotFetched", "Received", "bring_in", "fetch", "target"]

CHUNK = 1 << 18
SPARE_BYTES = 50_000_000  # bytes that stay free on the disk
DEEP = 6  # levels of folders searched below an imported folder


class NotFetched(OSError):
    """A download failed; the text gives the reason, what is kept, and what to do."""


@dataclass(frozen=True)
class Received:
    """The progress of a download: ``bytes`` of ``size`` bytes of the file have arrived."""

    name: str
    bytes: int
    size: int


@dataclass(frozen=True)
class Arrived:
    """The result of an import for one of the weights.

    Attributes:
        name: a key of ``WEIGHTS``.
        outcome: "copied" to ``path``; "already here" in ``path``; "damaged": a file of that name has other content;
            "not found".
        path: the path of the weights now, or the damaged file.
        note: details, "" for none.
    """

    name: str
    outcome: Literal["copied", "already here", "damaged", "not found"]
    path: Path | None = None
    note: str = ""


def target(name: str) -> Path:
    """Return the path for weights: the first of their official file names in the user's folder."""
    return folders()[0] / WEIGHTS[name].files[0]


def fetch(name: str, source: str = "", timeout: float = 30.0) -> Iterator[Received]:
    """Download weights and yield the progress; when the iteration ends, the checked file is at :func:`target`.

    Weights that are already present and intact are not downloaded, and nothing is yielded. A lost connection is opened
    again as long as every attempt brings some bytes.

    Args:
        name: a key of ``WEIGHTS``.
        source: another http(s) address of the same file, or of a folder with the file (ending in "/").
        timeout: seconds without data after which the connection is considered lost.

    Yields:
        The progress after every block of bytes.

    Raises:
        NotFetched: if the download fails; the partial file is kept for the next attempt unless it is known to be wrong.
        ValueError: for an unknown name, a source that is not http(s), or a file that another process is writing.
    """
    if state(name).word == "present":
        return
    weights, path = WEIGHTS[name], target(name)
    address = source + weights.files[0] if source.endswith("/") else source or weights.source
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"weights: expected an http or https address, got {address!r}; for a file: weights import")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with _alone(path):
        if state(name).word == "present":  # another process has finished it in the meantime
            return
        while (before := _length(partial)) < weights.size:
            _check_space(path.parent, weights.size - before)
            try:
                for count in _receive(address, partial, weights.size, timeout):
                    yield Received(name, count, weights.size)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, NotFetched) or _is_disk(error):
                    raise
                if _length(partial) <= before:  # no progress: give up; else connect again
                    raise NotFetched(_explain(error, address, partial, weights.size)) from error
        _accept(partial, path, weights, address)


def bring_in(places: Iterable[Path]) -> Iterator[Arrived]:
    """Copy weights from files or folders (such as a memory stick or another machine's cache) to the user's folder.

    A file is recognised by its official name or, if it was renamed, by its size and SHA-256. It is checked during the
    copy and gets its name only when the copy is complete and correct.

    Args:
        places: files, or folders to search six levels deep.

    Yields:
        One result for each of ``WEIGHTS``, in their order.

    Raises:
        ValueError: for a place that does not exist, or a file that another process is writing.
    """
    files = [file for place in places for file in _files_under(place)]
    for name, weights in WEIGHTS.items():
        candidates = [file for file in files if file.name in weights.files or _length(file) == weights.size]
        candidates.sort(key=lambda file: file.name not in weights.files)
        if not candidates:
            yield Arrived(name, "not found")
            continue
        if state(name).word == "present":
            yield Arrived(name, "already here", state(name).path)
            continue
        intact = next((file for file in candidates if _length(file) == weights.size and _copy(file, name)), None)
        damaged = next((file for file in candidates if file.name in weights.files), None)
        if intact is not None:
            note = f"found as {intact.name}" if intact.name not in weights.files else ""
            yield Arrived(name, "copied", target(name), note)
        elif damaged is not None:
            size = _length(damaged)
            note = f"{size:,} bytes, not {weights.size:,}" if size != weights.size else "another SHA-256"
            yield Arrived(name, "damaged", damaged, note)
        else:
            yield Arrived(name, "not found")


# -- network


def _receive(address: str, partial: Path, size: int, timeout: float) -> Iterator[int]:
    """Append the data of the server to the partial file and yield its length; return when the data ends."""
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
    """Return the byte at which the answer begins; raise NotFetched if it cannot be the file, such as a login page."""
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise NotFetched(
            f"{address} answered with a web page, not a file, perhaps the login page of this network. Nothing is kept. "
            "Open the address in a browser, or give another one with --source."
        )
    begin, total = 0, response.headers.get("Content-Length")
    if response.status == 206:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if sent is None or int(sent[1]) != start:
            raise NotFetched(f"{address} sends another part than requested; delete the .partial file and try again")
        begin, total = start, None if sent[2] == "*" else sent[2]
    if total is not None and int(total) != size:
        raise NotFetched(f"{address} offers {int(total):,} bytes, the official file has {size:,}. Nothing is kept.")
    return begin


def _accept(partial: Path, path: Path, weights: Weights, address: str) -> None:
    """Rename the finished file if its digest is the official one; otherwise remove it."""
    with partial.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest != weights.sha256:
        partial.unlink()
        raise NotFetched(
            f"the file from {address} has SHA-256 {digest[:16]}..., the official file has {weights.sha256[:16]}...: it "
            "was removed, nothing is installed. Try again, or use another --source."
        )
    partial.replace(path)


def _explain(error: Exception, address: str, partial: Path, size: int) -> str:
    """Return what went wrong in the transfer, what is kept, and what the user can do."""
    kept = f" {_length(partial) / 1e6:.1f} of {size / 1e6:.1f} MB are kept; the same command continues from there."
    kept = kept if _length(partial) else ""
    host = urlsplit(address).hostname
    if isinstance(error, urllib.error.HTTPError):
        if error.code == 416 and partial.exists():
            partial.unlink()
            return (
                f"{address}: the file of the server is not longer than the partial file, which was removed. Run the "
                "command again."
            )
        advice = {
            404: "The file is not at this address",
            410: "The file was deleted",
            401: "The server asks for a login",
        }
        why = advice.get(error.code, "The server refuses to send the file" if error.code < 500 else "The server failed")
        return f"{address} answers {error.code} {error.reason}. {why}; use --source for another address.{kept}"
    if isinstance(error, urllib.error.URLError):
        return (
            f"no connection to {host} ({error.reason}). Without a network: download the file on another machine, copy "
            f"it to this one and run imagelab weights import PATH.{kept}"
        )
    cut = isinstance(error, http.client.IncompleteRead)
    return f"the connection to {host} was lost{'' if cut else f' ({error or type(error).__name__})'}.{kept}"


# -- disk


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock a file against other processes while the block runs.

    The lock file stays: if it were removed, a process that had opened it before would lock a file without a name, and
    a third process a new file, both at once.
    """
    with held_alone(path.with_name(path.name + ".lock"), short(path), "is writing this file"):
        yield


def _copy(file: Path, name: str) -> bool:
    """Copy a file to the path of the weights and check it; return False and keep nothing if it is another file."""
    weights, path = WEIGHTS[name], target(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        _check_space(path.parent, weights.size)
        partial, digest = path.with_name(path.name + ".copy.partial"), hashlib.sha256()
        try:
            with file.open("rb") as source, partial.open("wb") as handle:
                while block := source.read(CHUNK):
                    digest.update(block)
                    handle.write(block)
                handle.flush()
                os.fsync(handle.fileno())
            if digest.hexdigest() == weights.sha256:
                partial.replace(path)
                path.with_name(path.name + ".partial").unlink(missing_ok=True)  # of a download no longer needed
                return True
        finally:
            partial.unlink(missing_ok=True)
    return False


def _files_under(place: Path) -> list[Path]:
    """Return the file itself, or the files of a folder; hidden ones are left out, links to folders not followed."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ValueError(f"weights import: {place} does not exist; give a file, or a folder such as a memory stick")
    found = []
    for root, below, names in os.walk(place):
        depth = len(Path(root).relative_to(place).parts)
        below[:] = sorted(each for each in below if not each.startswith(".")) if depth < DEEP else []
        found += [Path(root) / each for each in sorted(names) if not each.startswith(".")]
    return found


def _check_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + SPARE_BYTES:
        raise NotFetched(
            f"{short(folder)}: {need / 1e6:.0f} MB are still to be written and the disk has {free / 1e6:.0f} MB free. "
            "Free some space; the partial file is kept."
        )


def _is_disk(error: Exception) -> bool:
    """Return whether an error comes from the disk and not from the network: it names a file or lack of space."""
    if not isinstance(error, OSError) or isinstance(error, urllib.error.URLError):
        return False
    return error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
