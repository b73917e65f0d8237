"""Answers of one person, one JSON line each, written to disk before the next question is shown.

The first line says what was asked; it is written whole or not at all. Each answer is appended and synced (fsync). A
kill or a power cut can leave a last line without its end: it is not an answer, and the question is asked again. Line
k + 2 holds the answer to picture k, counted from 0, so none is there twice and none is left out.

Only its owner can read such a file: it says which picture is which.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .atomic import sync, written_whole
from .settings import check_plain
from .untrusted import json_value, quoted, regular, shown

__all__ = ["AnswerFile", "GivenAnswer", "read_answers"]

LONGEST = 1 << 26  # bytes of a file that is read: a million answers
MOST_VALUES = 1_000_000  # of the first line


@dataclass(frozen=True)
class GivenAnswer:
    """One answer.

    Attributes:
        picture: number of the picture in the order in which they are shown, from 0.
        word: the answer.
        seconds: from the time the picture was sent until the answer came.
        at: date and time of the answer, ISO 8601, UTC.
    """

    picture: int
    word: str
    seconds: float
    at: str


def read_answers(path: Path) -> tuple[dict[str, Any], list[GivenAnswer]]:
    """Return the first line and the answers of a file; an unfinished last line is left out.

    Raises:
        ValueError: naming the file and the line, where it is not one of these files, or was changed.
    """
    if path.is_symlink():
        raise ValueError(f"{shown(path)}: is a link; expected a file of answers. Remove it.")
    if regular(path).st_size > LONGEST:
        raise ValueError(f"{shown(path)}: not a file of answers (more than {LONGEST:,} bytes)")
    whole = path.read_bytes().rpartition(b"\n")[0]
    first, *rest = whole.split(b"\n")
    header = json_value(first, f"{path}, line 1")
    asked = header.get("answers") if isinstance(header, dict) else None
    if not isinstance(asked, list) or not all(isinstance(word, str) for word in asked):
        raise ValueError(f"{shown(path)}: not a file of answers (line 1 does not say what was asked)")
    check_plain(header, MOST_VALUES)
    return header, [_answer(line, number, asked, path) for number, line in enumerate(rest)]


def _answer(line: bytes, number: int, asked: list[str], path: Path) -> GivenAnswer:
    where = f"{shown(path)}, line {number + 2}"
    told = json_value(line, where)
    if not isinstance(told, dict) or told.get("picture") != number or isinstance(told.get("picture"), bool):
        raise ValueError(f"{where}: expected the answer to picture {number}. The file was changed; remove it.")
    word, seconds, at = told.get("answer"), told.get("seconds"), told.get("at")
    if word not in asked:
        raise ValueError(f"{where}: expected one of {', '.join(asked)}, got {quoted(word, 40)}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not (0 <= seconds < math.inf):
        raise ValueError(f"{where}: expected `seconds`, a number from 0 on, got {quoted(seconds, 40)}")
    return GivenAnswer(number, word, float(seconds), quoted(at, 40))


class AnswerFile:
    """The answers of one person, open for more of them."""

    def __init__(self, path: Path, header: Mapping[str, Any]):
        """Open the file, made if it is not there yet. An unfinished last line is cut off.

        Args:
            path: the file; its folder exists. The caller holds a lock, so that one process writes it.
            header: its first line where it is new; it holds ``answers``, the words that can be answered.
        """
        if not os.path.lexists(path):
            line = json.dumps(dict(header), ensure_ascii=False) + "\n"
            with written_whole(path, mode=0o600) as partial:
                partial.write_text(line, encoding="utf-8")
        self.path = path
        self.header, self._answers = read_answers(path)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        size = os.fstat(self._file).st_size
        whole = path.read_bytes().rfind(b"\n") + 1
        self.torn = whole < size
        if self.torn:
            os.ftruncate(self._file, whole)
            os.fsync(self._file)

    @property
    def answers(self) -> tuple[GivenAnswer, ...]:
        """What has been answered, in order."""
        return tuple(self._answers)

    def append(self, answer: GivenAnswer) -> None:
        """Write one answer; it is on the disk when this returns.

        Raises:
            ValueError: if it is not the answer to the next picture.
            OSError: if it could not be written; then it does not count.
        """
        if answer.picture != len(self._answers):
            raise ValueError(f"expected the answer to picture {len(self._answers)}, got one to {answer.picture}")
        told = {"picture": answer.picture, "answer": answer.word, "seconds": round(answer.seconds, 3), "at": answer.at}
        line, before = json.dumps(told).encode() + b"\n", os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("only a part of the answer could be written; is the disk full?")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise
        self._answers.append(answer)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
        sync(self.path.parent)
