"""``imagelab check RUN``: what of a run is whole, what is not, and what that means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..io.untrusted import shown
from ..provenance.keys import own_key
from ..provenance.signatures import HOW_TO_INSTALL, can_verify
from ..provenance.signed_runs import FOLDER, SignedShard, check_signed, signed_shards
from ..run_folder import RunFolder
from ..runs.check import RunCheck, check_run
from .console import out

__all__ = ["check_command"]


def check_command(run: Path, /, *, quick: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Compare a run with what it wrote: every file with its SHA-256, every generation with those it was made from.

    The signatures of `imagelab sign` are verified, too, where there are any. Nothing is changed. Exit codes: 0 all is
    whole, 1 something is not.

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
    signed, notes = _signatures(run, not quick) if not result.problems else ([], [])
    if result.problems and (run / FOLDER).is_dir():
        notes = ["note: its signatures were not verified, because it is not whole"]
    for line in (*_told(signed), *notes):
        out.print(line, markup=False, soft_wrap=True)
    return 1 if result.problems or any(shard.problems for shard in signed) else 0


def _signatures(path: Path, read_data: bool) -> tuple[list[SignedShard], list[str]]:
    """Return what the signatures of a run say, and what is worth knowing about that."""
    run = RunFolder(path)
    shards = signed_shards(run)
    if not shards:
        return [], []
    if not can_verify():
        return [], [f"note: {len(shards)} signatures were not verified; that needs: {HOW_TO_INSTALL}"]
    try:
        key, notes = own_key(), []
    except ValueError as error:
        key, notes = None, [f"note: your own key is not used: {error}"]
    return [check_signed(run, *shard, [key.root] if key else [], read_data) for shard in shards], notes


def _told(signed: list[SignedShard]) -> list[str]:
    if not signed:
        return []
    problems = [f"  {problem}" for shard in signed for problem in shard.problems]
    whole = [shard for shard in signed if not shard.problems]
    words = {"trusted": "by a key that you trust", "valid": "by a key that is not yours"}
    groups: dict[str, int] = {}
    for shard in whole:
        group = f"{words.get(shard.state, shard.state)} ({shard.signer})"
        groups[group] = groups.get(group, 0) + 1
    told = [f"signatures: {count} generation folders as signed, {group}" for group, count in groups.items()]
    return told + ([f"signatures: {len(problems)} not as signed", *problems] if problems else [])


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
