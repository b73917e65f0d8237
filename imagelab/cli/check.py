"""``imagelab check RUN``: what of a run is whole, what is not, and what that means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..io.untrusted import shown
from ..runs.check import RunCheck, check_run
from .console import out

__all__ = ["check_command"]


def check_command(run: Path, /, *, quick: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Compare a run with what it wrote: every file with its SHA-256, every generation with those it was made from.

    Nothing is changed. Exit codes: 0 all is whole, 1 something is not.

    Parameters
    ----------
    run
        The run folder, finished or not.
    quick
        Compare places, sizes and the chain of digests only; do not read the data.
    """
    result = check_run(run, read_data=not quick)
    for line in _lines(result):
        out.print(line, markup=False, soft_wrap=True)
    return 1 if result.problems else 0


def _lines(result: RunCheck) -> list[str]:
    count = f"{result.shards} finished generation folder{'s' * (result.shards != 1)}"
    if result.compared:
        what = f"{count}, {result.compared / 1e6:,.1f} MB read and compared"
    else:
        what = f"{count}; the data were not read"
    verdict = f"{len(result.problems)} not as written" if result.problems else "nothing differs from what was written"
    return [
        f"{shown(result.run)}: {what}: {verdict}",
        *(f"  {problem}" for problem in result.problems),
        *(f"note: {note}" for note in result.notes),
        *result.advice,
    ]
