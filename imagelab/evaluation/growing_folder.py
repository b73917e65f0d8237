"""Batches of pictures in a folder that a production system fills: which are complete, and which are still written.

A batch is a subfolder, a day (UTC, by the time of the file), or the next N new pictures. A picture is complete when
nothing has changed it, or its entry, for some time; a batch is complete when all its pictures are, and no file beside
them has the ending of an unfinished one. Links, and names that begin with a dot, are left out.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..generators.command_files import natural_key
from ..io.formats import SUFFIXES
from ..io.untrusted import shown

__all__ = ["BatchForm", "PictureFile", "ProductionBatch", "list_batches", "states_of"]

UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".download", ".swp")
MOST_PICTURES = 5_000_000
DAY = 24 * 3600.0


@dataclass(frozen=True)
class BatchForm:
    """What makes a batch: "subfolder", "day", or a number of new pictures.

    Attributes:
        kind: "subfolder", "day" or "count".
        count: pictures of a batch where the kind is "count".
    """

    kind: str
    count: int = 0

    @classmethod
    def of(cls, text: str) -> BatchForm:
        """Return the form that ``--batch`` names.

        Raises:
            ValueError: for anything but subfolder, day or a number above 0.
        """
        if text in ("subfolder", "day"):
            return cls(text)
        if re.fullmatch(r"[0-9]{1,7}", text) and int(text) > 0:
            return cls("count", int(text))
        raise ValueError(f"expected subfolder, day, or the number of pictures of a batch such as 200, got {text!r}")


@dataclass(frozen=True)
class PictureFile:
    """A picture: its name in the folder, bytes, time of its content, time of its last change (both s since 1970)."""

    name: str
    size: int
    modified: float
    changed: float


@dataclass(frozen=True)
class ProductionBatch:
    """Pictures that are measured together.

    Attributes:
        name: of the subfolder; of the day, such as 2026-11-29; or "batch 12".
        files: its pictures in natural order.
        waits_for: why it is not complete, "" where it is.
    """

    name: str
    files: tuple[PictureFile, ...]
    waits_for: str = ""


def list_batches(
    folder: Path, form: BatchForm, settle: float, seen: Collection[str], made: int, now: float | None = None
) -> tuple[list[ProductionBatch], list[str]]:
    """Return the batches of a folder in order, complete or not, and remarks on what belongs to no batch.

    Args:
        folder: where the pictures arrive.
        form: what a batch is.
        settle: seconds without a change after which a picture counts as complete.
        seen: names that earlier batches held; used where a batch is a number of new pictures.
        made: batches measured already; used for the number of the next one there.
        now: s since 1970; the clock of this machine if not given.

    Raises:
        ValueError: if the folder does not exist, holds more than five million files, or has pictures but no subfolder
            where that is a batch.
    """
    if not folder.is_dir():
        raise ValueError(f"--folder: {shown(folder)} is no folder; expected the one that the production system fills")
    now = time.time() if now is None else now
    files, unfinished = _scanned(folder)
    if form.kind == "count":
        return _by_count(files, form.count, settle, seen, made, now)
    groups: dict[str, list[PictureFile]] = {}
    for file in files:
        key = file.name.partition("/")[0] if form.kind == "subfolder" else _day(file.modified)
        groups.setdefault(key if form.kind == "day" or "/" in file.name else "", []).append(file)
    outside = groups.pop("", [])
    if outside and not groups:
        raise ValueError(
            f"--folder: the {len(outside):,} pictures in {shown(folder)} lie in no subfolder and belong to no batch; "
            "expected a subfolder a batch. Or give --batch 100, for as many files, or --batch day"
        )
    remarks = [f"{len(outside)} pictures lie in no subfolder and belong to no batch"] if outside else []
    batches = []
    for name in sorted(groups, key=natural_key):
        waits = _waiting(groups[name], settle, now)
        if form.kind == "day" and name >= _day(now - settle):
            waits = "its day is not over (UTC)"
        open_ = [each for each in unfinished if form.kind == "subfolder" and each.startswith(f"{name}/")]
        waits = f"{shown(open_[0])} is being written" if open_ else waits
        batches.append(ProductionBatch(name, tuple(groups[name]), waits))
    return batches, remarks


def states_of(folder: Path, files: Collection[PictureFile]) -> dict[str, tuple[int, float, float] | None]:
    """Return name -> size and times of files as they are now; None for one that is gone."""
    found: dict[str, tuple[int, float, float] | None] = {}
    for file in files:
        try:
            status = (folder / file.name).stat(follow_symlinks=False)
            found[file.name] = status.st_size, status.st_mtime, status.st_ctime
        except FileNotFoundError:
            found[file.name] = None
    return found


def _by_count(
    files: list[PictureFile], count: int, settle: float, seen: Collection[str], made: int, now: float
) -> tuple[list[ProductionBatch], list[str]]:
    """Return batches of ``count`` new complete pictures, in the order of their arrival; the last may be short."""
    fresh = [file for file in files if file.name not in seen]
    complete = [file for file in fresh if not _waiting([file], settle, now)]
    complete.sort(key=lambda file: (file.changed, natural_key(file.name)))
    batches = []
    for number, first in enumerate(range(0, len(complete), count), made + 1):
        some = complete[first : first + count]
        waits = f"{len(some)} of {count} pictures are there" if len(some) < count else ""
        batches.append(ProductionBatch(f"batch {number}", tuple(some), waits))
    growing = len(fresh) - len(complete)
    return batches, [f"{growing} pictures changed less than {settle:g} s ago and wait"] if growing else []


def _waiting(files: list[PictureFile], settle: float, now: float) -> str:
    newest = max(files, key=lambda file: max(file.modified, file.changed))
    age = now - max(newest.modified, newest.changed)
    if age < -settle:
        return f"{shown(newest.name)} is dated {-age:.0f} s in the future: the clocks differ"
    return f"{shown(newest.name)} changed {max(age, 0.0):.0f} s ago (--settle {settle:g})" if age < settle else ""


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _scanned(folder: Path) -> tuple[list[PictureFile], list[str]]:
    """Return the pictures in natural order, and the names of unfinished files."""
    pictures: list[PictureFile] = []
    unfinished: list[str] = []
    for name, status in _walked(folder):
        if name.lower().endswith(UNFINISHED):
            unfinished.append(name)
        elif os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - many files
            pictures.append(PictureFile(name, status.st_size, status.st_mtime, status.st_ctime))
        if len(pictures) > MOST_PICTURES:
            raise ValueError(f"--folder: {shown(folder)} holds more than {MOST_PICTURES:,} pictures; name a part of it")
    return sorted(pictures, key=lambda file: natural_key(file.name)), unfinished


def _walked(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent) / name
            if name.startswith("."):
                continue
            try:
                status = path.stat(follow_symlinks=False)
            except FileNotFoundError:  # renamed or removed since it was listed
                continue
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(folder).as_posix(), status


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
