"""What people answered in blind tests of a run, as the page shows it (``imagelab audit RUN``)."""

from __future__ import annotations

from dataclasses import dataclass

from ..server.audit_results import Agreement, SessionResult, audit_results
from ..server.audit_words import HOLDS_ONE, HOLDS_PEOPLE, name_of, share_words
from .run_view import Run, plain

__all__ = ["PeopleTest", "people_tests"]


@dataclass(frozen=True)
class PeopleTest:
    """One person's blind test.

    Attributes:
        title: who, when, how many pictures.
        rows: (kind of picture, how many were called what they are, d' against real) as text.
        real_from: which pictures the real ones are.
    """

    title: str
    rows: list[tuple[str, str, str]]
    real_from: str


def people_tests(run: Run) -> tuple[list[PeopleTest], list[str]]:
    """Return the finished blind tests of a run, and what is to be said of them; both empty where there is none.

    A test that somebody has not finished is not shown: its answers so far could guide the next ones.
    """
    results = audit_results(run.folder)
    done = [each for each in results.sessions if each.asked.task == "tell" and each.whole is not None]
    if not done:
        return [], []
    notes = [HOLDS_ONE, *(_together(each) for each in results.agreements if each.task == "tell")]
    return [_test(run, each) for each in done], [*notes, *([HOLDS_PEOPLE] if len(notes) > 1 else [])]


def _test(run: Run, session: SessionResult) -> PeopleTest:
    rows = []
    for each in (*session.generations, *([session.whole] if session.whole else [])):
        apart = each.told_apart
        limits = _two_digits(apart.d_prime, apart.low, apart.high) if apart else "–"
        rows.append((name_of(each.generation), share_words(each), limits))
    title = f"{session.rater}, {session.total} pictures, {run.label(session.asked.line, 80)}, {session.begun[:10]}"
    return PeopleTest(plain(title, 200), rows, plain(session.real_from, 200))


def _two_digits(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")


def _together(agreement: Agreement) -> str:
    share = [100 * value for value in (agreement.share, *agreement.share_interval)]
    alpha = f"; Krippendorff's alpha {agreement.alpha:.2f}" if agreement.alpha is not None else ""
    people = f"{len(agreement.raters)} people saw the same pictures"
    return plain(f"{people}: {share[0]:.0f} % [{share[1]:.0f}, {share[2]:.0f}] right on average{alpha}.", 300)
