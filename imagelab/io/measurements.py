"""Files of measurements: one JSON object a line (JSONL), and the copy of several of them in one file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..measurement import Measurement
from .atomic import sync, write_atomic
from .untrusted import parsing, regular, shown

__all__ = ["mend_copy", "present_text", "read_measurements"]

_LOG = logging.getLogger(__name__)


def read_measurements(path: Path) -> list[Measurement]:
    """Return the measurements of a file. A last line without its end is left out: it is being written.

    Raises:
        ValueError: naming the file, and the line that is not a measurement.
    """
    regular(path)
    with parsing(path, "a text file of measurements"):
        text = path.read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.rpartition("\n")[0].splitlines(), 1):
        try:
            found.append(Measurement.from_json(line))
        except ValueError as error:
            raise ValueError(f"{shown(path)}, line {number}: {error}") from error
    return found


def present_text(path: Path) -> str | None:
    """Return the text of a file; None where there is none."""
    if not os.path.lexists(path):
        return None
    regular(path)
    return path.read_text(encoding="utf-8", errors="replace")


def mend_copy(path: Path, whole: str) -> None:
    """Make the text of a file what it should be: appended to where it is a beginning of it, else written again."""
    present = present_text(path)
    if present == whole:
        return
    if present is not None and whole.startswith(present) and not path.is_symlink():
        with path.open("a", encoding="utf-8") as file:
            file.write(whole[len(present) :])
            file.flush()
            os.fsync(file.fileno())
        sync(path.parent)
        return
    lines = (present or "").rpartition("\n")[0].splitlines()  # shards of one generation may be finished in any order
    if not set(lines) <= set(whole.splitlines()):
        _LOG.warning("%s: differed from the files that it is a copy of; it was written again", shown(path))
    write_atomic(path, whole)
