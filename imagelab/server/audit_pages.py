"""The pages of an audit: an introduction, one picture after the other, and the results after the last one.

All pictures are served by one piece of code, from memory, as PNGs of one length and with the same headers. A picture
can be fetched while it is asked about, not before and not afterwards. Answers are forms, so that everything works
without scripts; the script adds the two keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .app import Refused, form_of, page
from .audit_plan import ANSWERS
from .audit_results import AuditResults, session_result
from .audit_session import AuditSession, OldPicture, UnknownPicture
from .audit_words import HOLDS_ONE, HOLDS_PEOPLE, name_of, share_words
from .pages import rendered

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

__all__ = ["audit_routes"]

SIDE = 320
"""CSS pixels of the longer side of a picture, at most: it fits on a phone, and all raters see it in one size."""

WORDS: dict[str, dict[str, Any]] = {
    "tell": {
        "title": "Real or generated?",
        "labels": {"real": "Real", "generated": "Generated"},
        "question": "Is this a real picture, or was it made by a model?",
    },
    "keep": {
        "title": "Keep or reject?",
        "labels": {"reject": "Reject", "keep": "Keep"},
        "question": "Should this picture be published?",
    },
}


def audit_routes(session: AuditSession, results: Callable[[], AuditResults], resume: str) -> list[BaseRoute]:
    """Return the pages of one session.

    Args:
        session: whose.
        results: all sessions of the run as they are now, for the last page.
        resume: the command that goes on with a run that waits for these decisions.
    """
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import Route

    async def begin(request: Request) -> Response:
        if session.is_finished or session.done:
            return RedirectResponse(_onward(session), 303)
        return page(rendered("intro.html", **_about(session)))

    async def question(request: Request) -> Response:
        if session.is_finished:
            return RedirectResponse("/end", 303)
        return page(rendered("question.html", **_about(session), **_asking(session)))

    async def picture(request: Request) -> Response:
        try:
            return Response(session.png(request.path_params["name"]), media_type="image/png")
        except OldPicture as error:
            raise Refused(409, f"{_sentence(error)}.", _onward(session)) from error
        except UnknownPicture as error:
            raise Refused(404, f"{_sentence(error)}.", _onward(session)) from error

    async def answer(request: Request) -> Response:
        fields = await form_of(request)
        name, word = ("".join(fields.get(key, [""])[:1]) for key in ("picture", "answer"))
        try:
            session.answer(name, word)
        except OldPicture as error:
            raise Refused(409, f"{_sentence(error)}.", _onward(session)) from error
        except UnknownPicture as error:
            raise Refused(404, f"{_sentence(error)}.", _onward(session)) from error
        except ValueError as error:
            raise Refused(400, f"{_sentence(error)}.", _onward(session)) from error
        except OSError as error:
            raise Refused(500, f"The answer was not saved: {error}. Free some space, and answer again.", "/") from error
        return RedirectResponse(_onward(session), 303)

    async def end(request: Request) -> Response:
        if not session.is_finished:
            return RedirectResponse(_onward(session), 303)
        return page(rendered("end.html", **_about(session), **_ending(session, results(), resume)))

    return [
        Route("/", begin, methods=["GET"]),
        Route("/question", question, methods=["GET"]),
        Route("/picture/{name}.png", picture, methods=["GET"]),
        Route("/answer", answer, methods=["POST"]),
        Route("/end", end, methods=["GET"]),
    ]


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _onward(session: AuditSession) -> str:
    return "/end" if session.is_finished else "/question"


def _about(session: AuditSession) -> dict[str, Any]:
    """Return what all pages of a session show."""
    task, publish = session.plan.asked.task, session.plan.publish
    generated = sum(not each.is_real for each in session.plan.shown)
    return {
        **WORDS[task],
        "task": task,
        "total": session.total,
        "done": session.done,
        "generated": generated,
        "publish": publish,
        "file": session.file.path.name,
    }


def _asking(session: AuditSession) -> dict[str, Any]:
    """Return what the page of a picture shows."""
    height, width = session.plan.images.shape[2:]
    times = _times(session)
    labels = WORDS[session.plan.asked.task]["labels"]
    keys = (("ArrowLeft", "←"), ("ArrowRight", "→"))
    return {
        "picture": session.current,
        "width": width * times,
        "height": height * times,
        "choices": [(word, labels[word], *key) for word, key in zip(session.answers, keys, strict=True)],
        "kept": sum(each.word == "keep" for each in session.file.answers),
    }


def _times(session: AuditSession) -> int:
    """Return how many CSS pixels a side of a pixel has."""
    return max(1, SIDE // max(session.plan.images.shape[2:]))


def _ending(session: AuditSession, results: AuditResults, resume: str) -> dict[str, Any]:
    """Return what the last page shows."""
    asked, shown = session.plan.asked, session.plan.shown
    mine = session_result(asked, shown, session.file.answers, str(session.file.header.get("rater")))
    rows = [
        (name_of(each.generation), share_words(each), each.told_apart, each.seconds)
        for each in (*mine.generations, *([mine.whole] if mine.whole else []))
    ]
    return {
        "rater": mine.rater,
        "rows": rows,
        "found": mine.told_apart,
        "seconds": mine.seconds,
        "real_from": mine.real_from,
        "times": _times(session),
        "agreements": [each for each in results.agreements if each.task == asked.task and mine.rater in each.raters],
        "holds": HOLDS_ONE,
        "holds_people": HOLDS_PEOPLE,
        "resume": resume if asked.waiting else "",
        "words": ANSWERS[asked.task],
    }
