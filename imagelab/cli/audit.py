"""``imagelab audit RUN``: people judge pictures of a run on a local page; the answers are kept in the run folder."""

from __future__ import annotations

import os
import shlex
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..io.untrusted import shown
from ..run_folder import RunFolder
from .console import UsageError, err, out

if TYPE_CHECKING:
    from ..runs.waiting import Waiting
    from ..server.audit_plan import Asked

__all__ = ["audit_command", "is_graphical"]


def audit_command(
    run: Path,
    /,
    *,
    task: Literal["tell", "keep"] | None = None,
    pictures: int = 40,
    generations: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative=())] = (),
    line: int = 0,
    seed: int = 0,
    rater: str = "rater",
    port: int = 0,
    browser: bool = True,
    results: Annotated[bool, Parameter(negative="")] = False,
    format: Literal["text", "json", "csv"] = "text",
    export: Path | None = None,
) -> int:
    """Let a person judge pictures of a run in a browser: which are real, or which to keep.

    It serves pages on 127.0.0.1 under an address with a random token, until Ctrl-C. Each answer is on the disk before
    the next picture shows; the same command goes on at the next picture. In a blind test half of the pictures are real,
    none of them from the training set, and nothing is said of right or wrong before the last picture. Where a run waits
    for decisions (curation human_audit), its candidates are shown.

    The answers lie in RUN/audits. Nothing else in the run is changed.

    Parameters
    ----------
    run
        The run folder.
    task
        tell: say which pictures are real. keep: say which to keep. By default keep where the run waits for decisions,
        else tell.
    pictures
        How many pictures.
    generations
        Which generations; by default at most four, from the first to the last.
    line
        Which model: 0 is the main one.
    seed
        Seed of choice and order; people with one seed see the same pictures. Not used for waiting candidates.
    rater
        Name of the person, letters and digits. Each person has a session of their own.
    port
        Port on 127.0.0.1; 0 for any that is free.
    browser
        Open the page in the browser.
    results
        Print what has been answered so far, and serve nothing.
    format
        Of the results: text, json, or csv with one row an answer.
    export
        Write the judged pictures to this new folder, sorted by answer, with a table; serve nothing.
    """
    if format != "text" and not results:
        raise UsageError(f"--format {format}: is the form of --results")
    folder = RunFolder.open(run)
    if export is not None:
        from ..server.judged_pictures import export_judged

        written, missing = export_judged(folder, export)
        left_out = f"; {missing} candidates that were not published are not in the run any more" if missing else ""
        out.print(f"written: {shown(export)}, {written} pictures{left_out}", markup=False)
        return 0
    if results:
        return _print_results(run, format)
    return _serve(folder, (task, pictures, generations, line, seed), rater, port, browser)


def _print_results(run: Path, form: str) -> int:
    from ..server.audit_results import audit_results
    from ..server.audit_words import results_csv, results_json, results_text

    found = audit_results(run)
    lines = {"text": results_text, "json": lambda r: [results_json(r)], "csv": lambda r: [results_csv(r).rstrip("\n")]}
    for text in lines[form](found):
        out.print(text, markup=False)
    for sentence in found.damaged if form != "text" else ():
        err.print(f"not read: {sentence}", markup=False)
    return 1 if found.damaged else 0


def _serve(
    folder: RunFolder,
    wanted: tuple[Literal["tell", "keep"] | None, int, tuple[int, ...], int, int],
    rater: str,
    port: int,
    browser: bool,
) -> int:
    from ..runs.waiting import waiting_shards
    from ..server.app import Site, listen
    from ..server.audit_pages import audit_routes
    from ..server.audit_plan import Asked
    from ..server.audit_results import audit_results
    from ..server.audit_session import audit_session, session_path

    task, pictures, generations, line, seed = wanted
    waiting = _next_waiting(folder, waiting_shards(folder.path), rater) if task != "tell" else None
    asked = Asked(task or "tell", pictures, generations, line, seed) if waiting is None else _about(waiting)
    resume = f"imagelab resume {shlex.quote(shown(folder.path))}"
    with audit_session(folder, asked, rater, waiting) as session:
        if session.file.torn:
            err.print("the last answer was not written whole; its picture is shown again", markup=False)
        where = f"{session.done} of {session.total} answered" if session.done else f"{session.total} pictures"
        if waiting is not None:
            line_words = f", line {waiting.line}" if waiting.line else ""
            where += f", candidates of generation {waiting.generation}{line_words}"

        def ready(site: Site) -> None:
            out.print(f"{asked.task}: {where}; saved in {shown(session_path(folder, asked, rater))}", markup=False)
            out.print(f"open: {site.address}   (Ctrl-C ends)", markup=False)
            out.file.flush()
            if browser and is_graphical():
                webbrowser.open(site.address)

        listen(port, lambda site: audit_routes(session, lambda: audit_results(folder.path), resume), ready)
        left = session.total - session.done
    out.print("all answered" if not left else f"{left} pictures are left; the same command goes on", markup=False)
    if waiting is not None and not left:
        out.print(f"go on with the run: {resume}", markup=False)
    return 0


def is_graphical() -> bool:
    """Whether there is a screen; elsewhere a browser would take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _next_waiting(folder: RunFolder, waiting: Sequence[Waiting], rater: str) -> Waiting | None:
    """Return the first candidates that this person has not finished; where all are finished, the last."""
    from ..io.answers import read_answers
    from ..server.audit_session import session_path

    for each in waiting:
        path = session_path(folder, _about(each), rater)
        if not path.exists() or len(read_answers(path)[1]) < len(each.looked):
            return each
    return waiting[-1] if waiting else None


def _about(waiting: Waiting) -> Asked:
    from ..server.audit_plan import Asked

    return Asked("keep", len(waiting.looked), (waiting.generation,), waiting.line, 0, waiting.digest)
