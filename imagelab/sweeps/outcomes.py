"""What every executor does with the points of a study: begins them alone, judges how they ended, and says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..io.lock import held_alone
from ..io.untrusted import shown
from ..runs.consent import allow_commands
from .states import PointState
from .study import Point, Study

__all__ = ["STUDY_LOCK", "Outcome", "alone_with", "last_words", "outcome_of", "why_it_ended", "worth_another_try"]

STUDY_LOCK = "study.lock"
WRONG, WAITS = 2, 4  # exit codes of `imagelab run` that another try does not change


@dataclass(frozen=True)
class Outcome:
    """How one point ended.

    Attributes:
        point: which.
        state: how far it is.
        why: why it is not finished; "" if it is.
        log: the file of its output; None where it was not started.
    """

    point: Point
    state: PointState
    why: str = ""
    log: Path | None = None

    @property
    def is_finished(self) -> bool:
        """Whether every generation is there."""
        return self.state.state == "finished"


@contextmanager
def alone_with(study: Study) -> Iterator[None]:
    """Write a study to its folder, and keep every other executor from it while the block runs.

    Raises:
        ValueError: if another process is running this study.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    with held_alone(study.folder / STUDY_LOCK, shown(study.folder), "is running this study"):
        study.write()
        for point in study.points:
            allow_commands(point.experiment)
        yield


def outcome_of(study: Study, point: Point, state: PointState, why: str) -> Outcome:
    """Return how a point ended: why it is not finished, else what is wrong with it, else the last words of its log."""
    log = study.log_of(point)
    known = log if log.is_file() else None
    if state.state == "finished":
        return Outcome(point, state, "", known)
    return Outcome(point, state, why or state.fault or (last_words(log) if known else "never started"), known)


def worth_another_try(code: int, made: int, before: int, tries: int, retries: int) -> bool:
    """Return whether a point that ended unfinished is to be started again.

    Args:
        code: exit code of ``imagelab run``, negative for a signal.
        made: generations that are there now, over all lines.
        before: those that were there when it was started.
        tries: how often it was started.
        retries: how often it may be started again.
    """
    if code in (WRONG, WAITS) or tries > retries:
        return False
    return made > before or (code < 0 and tries == 1)


def why_it_ended(code: int) -> str:
    """Return in words why a point ended, from the exit code of ``imagelab run``."""
    if code == -signal.SIGKILL:
        return "killed (SIGKILL); probably memory was short"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return {WRONG: "its settings are wrong", WAITS: "people have to decide first"}.get(code, f"exit code {code}")


def last_words(log: Path) -> str:
    """Return the last line of a log that says something."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode("utf-8", "replace").splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("-- ")]
    return shown(said[-1])[:400] if said else "it said nothing"
