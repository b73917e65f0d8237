"""The results of an audit as text, JSON and CSV, for the terminal; the page shows the same numbers."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from .audit_results import Agreement, AnswerCount, AuditResults, SessionResult
from .signal_detection import Sensitivity

__all__ = ["HOLDS_ONE", "HOLDS_PEOPLE", "name_of", "results_csv", "results_json", "results_text", "share_words"]

HOLDS_ONE = (
    "Each 95 % interval holds which pictures of this one model were shown to this one person. It says nothing of other "
    "people, and nothing of another training of the model."
)
HOLDS_PEOPLE = (
    "The 95 % intervals of the means hold people (Student's t over them), on these pictures of this one training. The "
    "interval of alpha holds pictures, not people."
)

TITLES = {"tell": "real or generated", "keep": "keep or reject"}


def name_of(generation: int) -> str:
    """Return the name of a row: "real", "generation 3", or "all" for -1."""
    return {-1: "all", 0: "real"}.get(generation, f"generation {generation}")


def share_words(each: AnswerCount) -> str:
    """Return a share with its interval, such as "14 of 20, 70 % [48, 85]"."""
    return f"{each.count} of {each.shown}, {100 * each.share:.0f} % [{100 * each.low:.0f}, {100 * each.high:.0f}]"


def results_text(results: AuditResults) -> list[str]:
    """Return the results as lines for a terminal."""
    if not results.sessions and not results.damaged:
        return [f"{results.run}: nobody has answered yet: imagelab audit RUN"]
    lines = []
    for each in results.sessions:
        lines += [*_session(each), ""]
    for each in results.agreements:
        lines += [*_agreement(each), ""]
    if any(each.whole for each in results.sessions):
        lines.append(HOLDS_ONE)
    if results.agreements:
        lines.append(HOLDS_PEOPLE)
    return [*lines, *(f"not read: {sentence}" for sentence in results.damaged)]


def _session(each: SessionResult) -> list[str]:
    head = f"{each.rater}: {TITLES[each.asked.task]}, line {each.asked.line}, seed {each.asked.seed}"
    if each.whole is None:
        return [f"{head}: {each.done} of {each.total} answered; results come after the last picture"]
    what = "right" if each.asked.task == "tell" else "kept"
    lines = [f"{head}: {each.total} pictures, median {each.seconds:.1f} s a picture"]
    for row in (*each.generations, each.whole):
        told = f"   {_d_words(row.told_apart)}" if row.told_apart else ""
        lines.append(f"  {name_of(row.generation):14} {what} {share_words(row)}{told}")
    if found := each.told_apart:
        lines.append(
            f"  generated pictures called generated: {found.hits} of {found.signals}; real ones called generated: "
            f"{found.false_alarms} of {found.noises}; criterion {found.criterion:+.2f} ({_leaning(found.criterion)})"
        )
        lines.append(f"  real pictures: {each.real_from}")
    return lines


def _d_words(found: Sensitivity) -> str:
    return f"d' {found.d_prime:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _leaning(criterion: float) -> str:
    if abs(criterion) < 0.1:
        return "no preference for one word"
    return "says “real” more readily" if criterion > 0 else "says “generated” more readily"


def _agreement(each: Agreement) -> list[str]:
    what = "right" if each.task == "tell" else "kept"
    low, high = each.share_interval
    lines = [
        f"{len(each.raters)} people on the same {each.pictures} pictures ({TITLES[each.task]}): "
        f"{', '.join(each.raters)}",
        f"  mean share {what} {100 * each.share:.0f} % [{100 * low:.0f}, {100 * high:.0f}]",
    ]
    if each.d_prime is not None and each.d_prime_interval is not None:
        lines.append(f"  mean d' {each.d_prime:.2f} [{each.d_prime_interval[0]:.2f}, {each.d_prime_interval[1]:.2f}]")
    if each.alpha is None or each.alpha_interval is None:
        lines.append("  agreement: not defined, because everybody said one word only")
    else:
        low, high = each.alpha_interval
        beside = "" if each.kappa is None else f"; Cohen's kappa {each.kappa:.2f}"
        lines.append(f"  agreement: Krippendorff's alpha {each.alpha:.2f} [{low:.2f}, {high:.2f}]{beside}")
    return lines


def results_json(results: AuditResults) -> str:
    """Return the results as one JSON object."""
    plain: dict[str, Any] = asdict(results)
    for told, each in zip(plain["sessions"], results.sessions, strict=True):
        told["answers"] = [
            {
                "source": picture.source,
                "generation": picture.generation,
                "row": picture.row,
                "answer": word,
                "seconds": seconds,
            }
            for picture, word, seconds in each.answers
        ]
    return json.dumps({**plain, "holds": {"sessions": HOLDS_ONE, "agreements": HOLDS_PEOPLE}}, indent=1)


def results_csv(results: AuditResults) -> str:
    """Return one row an answer, of finished sessions: the form that other tools read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["run", "rater", "task", "line", "seed", "place", "source", "generation", "row", "answer", "seconds"]
    )
    for each in results.sessions:
        head = [results.run, each.rater, each.asked.task, each.asked.line, each.asked.seed]
        for place, (picture, word, seconds) in enumerate(each.answers):
            writer.writerow([*head, place, picture.source, picture.generation, picture.row, word, seconds])
    return text.getvalue()
