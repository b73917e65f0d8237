"""What the page says about signatures: which key signed which generations, and what that proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..provenance.keys import WHAT_IT_PROVES
from ..provenance.signatures import HOW_TO_INSTALL, can_verify
from ..provenance.signed_runs import SignedShard, check_signed, signed_shards
from .run_view import Run, plain

__all__ = ["Signed", "signed"]


@dataclass(frozen=True)
class Signed:
    """The signatures of a run, as the page shows them.

    Attributes:
        rows: (generations, what was found) for each key and state.
        unsigned: the finished generations that have no signature, as text; "" if all have one.
        proves: what a self-made key proves and what it does not.
    """

    rows: list[tuple[str, str]]
    unsigned: str
    proves: str


def signed(run: Run) -> Signed | None:
    """Return what is signed of a run; None for a run without signatures.

    The signatures of the lists of pictures and files are verified; whether the pictures are still those in the lists is
    the task of ``imagelab check``. No key is taken as known, so that the page is the same on every computer.
    """
    shards = signed_shards(run.store)
    if not shards:
        return None
    left = [shard for shard in run.store.shards() if shard not in shards]
    unsigned = _generations([run.store.shard_path(*shard).name for shard in left])
    if not can_verify():
        names = [run.store.shard_path(*shard).name for shard in shards]
        return Signed([(_generations(names), f"not verified: this needs {HOW_TO_INSTALL}")], unsigned, "")
    found: dict[str, list[str]] = {}
    for shard in shards:
        state = check_signed(run.store, *shard, anchors=(), read_data=False)
        found.setdefault(_said(state), []).append(state.name)
    return Signed([(_generations(names), words) for words, names in found.items()], unsigned, WHAT_IT_PROVES[0])


def _said(state: SignedShard) -> str:
    if state.problems:
        return plain(f"not valid: {state.problems[0]}", 300)
    return plain(f"signed by {state.signer}, not changed since", 200)


def _generations(names: Sequence[str]) -> str:
    """Return the names of shards as text: the first and the last of many."""
    return ", ".join(names) if len(names) < 5 else f"{names[0]} to {names[-1]} ({len(names)} parts)"
