"""``imagelab inspect FILE...``: what a picture is, and how that is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..io.catalogue import list_pictures
from ..io.untrusted import few, quoted, shown
from ..provenance.inspection import Answer, inspect_file
from ..provenance.keys import own_key
from ..provenance.ledger import Ledger, find_runs
from ..sweeps.study import with_runs_of_studies
from .console import UsageError, err, out

__all__ = ["inspect_command"]

RUNS = Path("runs")
TITLES = {
    "signature": "signature",
    "ledger": "ledger",
    "collage": "ledger",
    "near": "near match",
    "estimate": "estimate",
    "mark": "mark",
    "unknown": "unknown",
    "unreadable": "unreadable",
}


def inspect_command(
    files: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    runs: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
    trust: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
    json_lines: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Say what a picture is and how that is known: signature, ledger of runs, near match, mark; or that it is unknown.

    Nothing is fetched from a network, and no run is changed. Exit codes: 0 every file was answered, 1 a file could not
    be read.

    Parameters
    ----------
    files
        Pictures, and folders of pictures.
    runs
        Run folders, folders of runs, or studies, in which the pictures are looked for; ./runs if not given.
    trust
        Certificates (PEM) of further keys that you trust; your own key is trusted.
    json_lines
        Print one JSON object a line instead.
    """
    if not files:
        raise UsageError("inspect: expected at least one picture or folder of pictures")
    anchors = _anchors(trust or [])
    ledger = _ledger(runs)
    readable = True
    for place, path in enumerate(_expanded(files)):
        answer = inspect_file(path, ledger, anchors)
        readable &= answer.readable or answer.findings[0].kind not in ("unreadable",)
        if json_lines:
            out.print(json.dumps(answer.json(), ensure_ascii=False), markup=False, soft_wrap=True)
            continue
        for line in _lines(answer, first=place == 0):
            out.print(line, markup=False, soft_wrap=True)
    return 0 if readable else 1


def _anchors(paths: list[Path]) -> list[str]:
    """Return the certificates of the keys that are trusted: the user's own, and those that were named."""
    found = []
    try:
        key = own_key()
        found += [key.root] if key else []
    except ValueError as error:
        err.print(f"your own key is not used: {error}", markup=False)
    for path in paths:
        text = path.read_text(encoding="ascii", errors="replace")
        if "-----BEGIN CERTIFICATE-----" not in text:
            raise ValueError(f"--trust: {shown(path)}: expected a certificate in PEM")
        found.append(text)
    return found


def _ledger(runs: list[Path] | None) -> Ledger:
    folders = runs if runs is not None else [RUNS] if RUNS.is_dir() else []
    if not folders:
        err.print("no runs were searched: there is no folder ./runs here; --runs names others", markup=False)
    shown_at = -1

    def told(what: str, done: int, total: int) -> None:
        nonlocal shown_at
        if total and done * 10 // total != shown_at and err.is_terminal:
            shown_at = done * 10 // total
            err.print(f"reading the runs: {done} of {total} arrays  {what}", markup=False)

    found = find_runs(with_runs_of_studies(folders))
    if runs is not None and not found:
        raise ValueError(f"--runs: {few([str(path) for path in runs])}: no run lies there, so nothing can be searched")
    ledger = Ledger.read(found, told)
    for name, reason in list(ledger.unread.items())[:10]:
        err.print(f"not searched: {name}: {quoted(reason)}", markup=False)
    if len(ledger.unread) > 10:
        err.print(f"... and {len(ledger.unread) - 10} more places were not searched", markup=False)
    return ledger


def _expanded(paths: list[Path]) -> Iterator[Path]:
    """Yield the files, and for every folder the pictures in it."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        listing = list_pictures(path)
        drawings = sorted(p for p in path.rglob("*.svg") if p.is_file() and not p.is_symlink())
        for remark in listing.remarks("pictures"):
            err.print(f"{shown(path)}: {remark}", markup=False)
        if listing.unread:
            names = [f"{bad.path} ({bad.reason})" for bad in listing.unread]
            err.print(f"{shown(path)}: not looked at: {few(names)}", markup=False)
        if not listing.entries and not drawings:
            err.print(f"{shown(path)}: holds no pictures", markup=False)
        yield from (path / entry.name for entry in listing.entries)
        yield from drawings


def _lines(answer: Answer, first: bool) -> Iterator[str]:
    if not first:
        yield ""
    yield shown(answer.path)
    for finding in answer.findings:
        yield f"  {TITLES[finding.kind]}: {finding.headline}"
        yield from (f"    {words}" for words in finding.details)
    yield from (f"  note: {words}" for words in answer.remarks)
