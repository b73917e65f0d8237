"""One person's session of an audit: pictures under opaque ids, answers on the disk, and going on after a kill.

A session is one file, ``RUN/audits/TASK-XXXXXXXX-RATER.jsonl``, readable by its owner alone. Its first line holds the
plan (which pictures, in which order) and a random key; then follows one line an answer (io/answers.py). The id of a
picture is HMAC-SHA256(key, its place in the order), so it says nothing of the picture. The same command opens the same
file and goes on at the next picture.

The file itself tells which pictures are real. It is not served; a rater who opens it, or the run folder, is not blind.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..io.answers import AnswerFile, GivenAnswer, read_answers
from ..io.lock import held_alone
from ..io.manifest import is_folder
from ..io.untrusted import quoted, shown
from ..run_folder import RunFolder
from ..runs.waiting import AUDITS, Waiting
from .audit_plan import ANSWERS, Asked, AuditPlan, planned, stored_plan
from .stored_png import stored_pngs

__all__ = ["AuditSession", "OldPicture", "UnknownPicture", "audit_session", "session_path"]

RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class UnknownPicture(ValueError):
    """An id that this session never gave out."""


class OldPicture(ValueError):
    """An id of a picture that has been answered already."""


def session_path(folder: RunFolder, asked: Asked, rater: str) -> Path:
    """Return the file of a session.

    Raises:
        ValueError: for a name of a rater that is not letters, digits, dot, dash and underscore.
    """
    if not RATER.fullmatch(rater):
        raise ValueError(
            f"--rater: expected 1 to 40 letters (a-z), digits, '.', '-' and '_', got {quoted(rater, 50)!r}"
        )
    return folder.path / AUDITS / f"{asked.task}-{asked.name}-{rater}.jsonl"


@contextmanager
def audit_session(
    folder: RunFolder, asked: Asked, rater: str, waiting: Waiting | None = None
) -> Iterator[AuditSession]:
    """Yield a session, begun or gone on with; its file is locked meanwhile.

    Args:
        folder: the run.
        asked: what is to be shown.
        rater: who looks.
        waiting: the candidates, where it is about some that wait for decisions.

    Raises:
        ValueError: if another process has the session open, its file was changed, or the run lacks such pictures.
    """
    path = session_path(folder, asked, rater)
    if os.path.lexists(path.parent) and not is_folder(path.parent):
        raise ValueError(f"{shown(path.parent)}: is a link or a file; expected a folder. Remove it.")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with held_alone(path.with_suffix(".lock"), shown(path), "has this session open"):
        if os.path.lexists(path):
            told = read_answers(path)[0].get("plan")
            try:
                plan = stored_plan(folder, told if isinstance(told, dict) else {}, waiting)
            except ValueError as error:
                raise ValueError(f"{shown(path)}: {error}. Move it away, or use another --rater or --seed.") from error
        else:
            plan = planned(folder, asked, waiting)
        header = {
            "imagelab": "audit",
            "answers": list(ANSWERS[plan.asked.task]),
            "rater": rater,
            "run": folder.config["signature"],
            "begun": _now(),
            "key": secrets.token_hex(32),
            "plan": plan.stored(),
        }
        file = AnswerFile(path, header)
        try:
            yield AuditSession(plan, file)
        finally:
            file.close()


class AuditSession:
    """The pictures of a session in order, and what has been answered."""

    def __init__(self, plan: AuditPlan, file: AnswerFile):
        self.plan, self.file = plan, file
        self._pngs = stored_pngs(plan.images)
        key = str(file.header.get("key", "")).encode()
        if len(key) < 32:
            raise ValueError(f"{shown(file.path)}: its first line has no key. Move it away.")
        places = [str(place).encode() for place in range(len(self._pngs))]
        self.ids = [hmac.new(key, place, hashlib.sha256).hexdigest()[:32] for place in places]
        self._places = {name: place for place, name in enumerate(self.ids)}
        self._sent: dict[int, float] = {}  # place -> when the picture was sent first

    @property
    def answers(self) -> tuple[str, str]:
        """What can be answered: left, right."""
        return ANSWERS[self.plan.asked.task]

    @property
    def total(self) -> int:
        """How many pictures the session has."""
        return len(self.ids)

    @property
    def done(self) -> int:
        """How many have been answered."""
        return len(self.file.answers)

    @property
    def is_finished(self) -> bool:
        """Whether every picture has its answer."""
        return self.done == self.total

    @property
    def current(self) -> str:
        """The id of the picture that is asked about now."""
        return self.ids[self.done]

    def png(self, name: str) -> bytes:
        """Return the picture that is asked about now.

        Raises:
            UnknownPicture: for an id that was not given out yet, or never.
            OldPicture: for a picture that has its answer.
        """
        place = self._place(name)
        self._sent.setdefault(place, time.monotonic())
        return self._pngs[place]

    def answer(self, name: str, word: str) -> None:
        """Record an answer; it is on the disk when this returns.

        Raises:
            UnknownPicture: as for :meth:`png`.
            OldPicture: as for :meth:`png`; the first answer stands.
            ValueError: for a word that is no answer.
        """
        place = self._place(name)
        if word not in self.answers:
            raise ValueError(f"expected {' or '.join(self.answers)}, got {quoted(word, 40)!r}")
        now = time.monotonic()
        self.file.append(GivenAnswer(place, word, now - self._sent.get(place, now), _now()))

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None or place > self.done:
            raise UnknownPicture("this session has asked about no such picture")
        if place < self.done:
            raise OldPicture("this picture has its answer already; the first answer stands")
        return place


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
