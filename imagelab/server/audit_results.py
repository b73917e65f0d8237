"""What people have answered: accuracy by generation, d', agreement, and what each interval holds.

Only finished sessions are read: before the last picture nothing is said of right and wrong. A session whose file is
damaged is named, and the others are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from ..io.answers import GivenAnswer, read_answers
from ..io.manifest import is_folder
from ..io.untrusted import quoted, shown
from ..measurement import t95
from ..metrics.intervals import wilson
from ..runs.waiting import AUDITS
from .agreement import alpha_interval, cohen_kappa, krippendorff_alpha
from .audit_plan import ANSWERS, Asked, AuditPicture, recorded
from .signal_detection import Sensitivity, sensitivity

__all__ = ["Agreement", "AnswerCount", "AuditResults", "SessionResult", "audit_results", "session_result"]


@dataclass(frozen=True)
class AnswerCount:
    """Answers to the pictures of one generation.

    Attributes:
        generation: 0 for real pictures.
        count: right answers in the blind test, kept pictures in the other pass.
        shown: how many pictures.
        low: lower end of Wilson's 95 % interval of count / shown.
        high: upper end.
        seconds: median time of an answer.
        told_apart: d' of this generation against all real pictures of the session; None for real ones, and for keeping.
    """

    generation: int
    count: int
    shown: int
    low: float
    high: float
    seconds: float
    told_apart: Sensitivity | None = None

    @property
    def share(self) -> float:
        """Count / shown."""
        return self.count / self.shown


@dataclass(frozen=True)
class SessionResult:
    """One person's session.

    Attributes:
        rater: who.
        asked: what was asked.
        done: pictures answered.
        total: pictures of the session.
        begun: date and time.
        real_from: which real pictures were shown, in words; "" for none.
        generations: real pictures first; empty before the last answer.
        whole: all pictures together; None before the last answer.
        seconds: median time of an answer.
        answers: (picture, word, seconds) in order; empty before the last answer.
    """

    rater: str
    asked: Asked
    done: int
    total: int
    begun: str
    real_from: str = ""
    generations: tuple[AnswerCount, ...] = ()
    whole: AnswerCount | None = None
    seconds: float = 0.0
    answers: tuple[tuple[AuditPicture, str, float], ...] = field(default=(), repr=False)

    @property
    def told_apart(self) -> Sensitivity | None:
        """D' of all generated pictures against all real ones; None for the keep-or-reject pass."""
        return self.whole.told_apart if self.whole else None


@dataclass(frozen=True)
class Agreement:
    """Several people on the same pictures.

    Attributes:
        task: what they were asked.
        raters: their names.
        pictures: how many pictures.
        alpha: Krippendorff's alpha; None where it is not defined.
        alpha_interval: its 95 % interval, which holds pictures, not people.
        kappa: Cohen's kappa, for two people.
        share: mean over the people of the share of right answers, or of kept pictures.
        share_interval: its 95 % interval, which holds people: Student's t over them.
        d_prime: mean d'; None for keeping.
        d_prime_interval: its 95 % interval, which holds people.
    """

    task: str
    raters: tuple[str, ...]
    pictures: int
    alpha: float | None
    alpha_interval: tuple[float, float] | None
    kappa: float | None
    share: float
    share_interval: tuple[float, float]
    d_prime: float | None = None
    d_prime_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class AuditResults:
    """All sessions of a run.

    Attributes:
        run: name of the run folder.
        sessions: finished and unfinished ones.
        agreements: one for each set of pictures that several people have finished.
        damaged: a sentence for each file that could not be read.
    """

    run: str
    sessions: tuple[SessionResult, ...]
    agreements: tuple[Agreement, ...] = ()
    damaged: tuple[str, ...] = ()


def audit_results(run: Path) -> AuditResults:
    """Return what people have answered about a run; reads the folder ``audits`` of the run alone.

    Args:
        run: the run folder.
    """
    folder, found, damaged = run / AUDITS, [], []
    for path in sorted(folder.glob("*.jsonl")) if is_folder(folder) else ():
        try:
            header, answers = read_answers(path)
            plan = header.get("plan")
            asked, pictures = recorded(plan if isinstance(plan, dict) else {})
            told = quoted(header.get("rater"), 60), quoted(header.get("begun"), 40)
            found.append(session_result(asked, pictures, answers, *told))
        except ValueError as error:
            text = str(error)
            damaged.append(text if str(path) in text or shown(path) in text else f"{shown(path)}: {text}")
    return AuditResults(run.resolve().name, tuple(found), tuple(_agreements(found)), tuple(damaged))


def session_result(
    asked: Asked, pictures: Sequence[AuditPicture], answers: Sequence[GivenAnswer], rater: str, begun: str = ""
) -> SessionResult:
    """Return the result of one session; nothing of right and wrong before its last answer.

    Args:
        asked: what was asked.
        pictures: in the order in which they are shown.
        answers: as far as they go.
        rater: who.
        begun: date and time.

    Raises:
        ValueError: for more answers than pictures, or words that do not belong to the task.
    """
    if len(answers) > len(pictures) or any(answer.word not in ANSWERS[asked.task] for answer in answers):
        raise ValueError(f"expected at most {len(pictures)} answers of {' or '.join(ANSWERS[asked.task])}")
    done = SessionResult(rater, asked, len(answers), len(pictures), begun, _real_from(pictures))
    if not pictures or len(answers) < len(pictures):
        return done
    rows = [(picture, answer.word, answer.seconds) for picture, answer in zip(pictures, answers, strict=True)]
    generations = sorted({picture.generation for picture in pictures})
    each = [_counted(asked, rows, generation) for generation in generations]
    seconds = median(row[2] for row in rows)
    return SessionResult(
        rater,
        asked,
        len(answers),
        len(pictures),
        begun,
        done.real_from,
        tuple(each),
        _counted(asked, rows),
        seconds,
        tuple(rows),
    )


def _real_from(pictures: Iterable[AuditPicture]) -> str:
    words = {
        "heldout": "held-out ones, which no model was trained on",
        "reserve": "reserve ones, which the model of generation 1 was not trained on",
    }
    return " and ".join(words[name] for name in words if any(each.source == name for each in pictures))


def _counted(
    asked: Asked, rows: Sequence[tuple[AuditPicture, str, float]], generation: int | None = None
) -> AnswerCount:
    """Return the answers to one generation, or to all pictures."""
    chosen = [row for row in rows if generation is None or row[0].generation == generation]
    if asked.task == "tell":
        count = sum((word == "real") == picture.is_real for picture, word, _ in chosen)
    else:
        count = sum(word == "keep" for _, word, _ in chosen)
    low, high = wilson(count / len(chosen), len(chosen))
    found = None
    if asked.task == "tell" and generation != 0:
        signals = [word == "generated" for picture, word, _ in chosen if not picture.is_real]
        noises = [word == "generated" for picture, word, _ in rows if picture.is_real]
        if signals and noises:
            found = sensitivity(sum(signals), len(signals), sum(noises), len(noises))
    seconds = median(row[2] for row in chosen)
    return AnswerCount(-1 if generation is None else generation, count, len(chosen), low, high, seconds, found)


def _agreements(sessions: Sequence[SessionResult]) -> list[Agreement]:
    """Return how far people agree who have finished the same pictures."""
    groups: dict[tuple[object, ...], list[SessionResult]] = {}
    for each in sessions:
        if each.whole is not None:
            pictures = tuple(picture for picture, _, _ in each.answers)
            groups.setdefault((each.asked.task, each.asked.line, each.asked.waiting, pictures), []).append(each)
    return [_agreement(group) for group in groups.values() if len(group) > 1]


def _agreement(group: Sequence[SessionResult]) -> Agreement:
    words = ANSWERS[group[0].asked.task]
    said = np.array([[words.index(word) for _, word, _ in each.answers] for each in group])
    counts = np.stack([(said == 0).sum(axis=0), (said == 1).sum(axis=0)], axis=1)
    shares = [each.whole.share for each in group if each.whole]
    d_primes = [each.told_apart.d_prime for each in group if each.told_apart]
    share, interval = _over_people(shares)
    low, high = max(interval[0], 0.0), min(interval[1], 1.0)
    d_prime, of_d = _over_people(d_primes) if len(d_primes) == len(group) else (None, None)
    return Agreement(
        task=group[0].asked.task,
        raters=tuple(each.rater for each in group),
        pictures=said.shape[1],
        alpha=krippendorff_alpha(counts),
        alpha_interval=alpha_interval(counts),
        kappa=cohen_kappa(said[0], said[1]) if len(group) == 2 else None,
        share=share,
        share_interval=(low, high),
        d_prime=d_prime,
        d_prime_interval=of_d,
    )


def _over_people(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the mean and Student's 95 % interval over two or more people."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)
    half = t95(len(values) - 1) * error
    return mean, (mean - half, mean + half)
