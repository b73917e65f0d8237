"""``imagelab weights``: the official networks behind FID, KID, LPIPS and FD-DINOv2, and how they get here.

    imagelab weights list                  what is here, what is missing, where it belongs, under which licence
    imagelab weights fetch NAME...         download from the official address, resumable, checked; "all" for all
    imagelab weights import PATH...        take the files from a folder or a memory stick, for machines without network

Nothing is ever downloaded by any other command.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..metrics.weights import WEIGHTS, locate, short, state, status
from .console import UsageError, err, out
from .download import bring_in, fetch, target

__all__ = ["weights_app"]


QUIET = 10.0  # seconds between two lines of progress where there is no terminal

weights_app = App(
    name="weights",
    help="The official networks behind FID, KID, LPIPS and FD-DINOv2: what is here, and how the rest gets here.",
    result_action="return_value",
)


@weights_app.command(name="list")
def list_command() -> int:
    """Say which weights are here, which are missing or damaged, where they belong, and under which licence."""
    for line in status():
        out.print(line, markup=False)
    return 0


@weights_app.command(name="fetch")
def fetch_command(*names: str, source: Annotated[str, Parameter(name="--source")] = "", timeout: float = 30.0) -> int:
    """Download weights from where their authors publish them; what a cut connection leaves is continued.

    Parameters
    ----------
    names
        Names from `imagelab weights list`, or all.
    source
        Another address of the same file; one that ends in / is a folder that holds it under its official name.
    timeout
        Seconds without a byte after which the connection counts as dead.
    """
    chosen = tuple(WEIGHTS) if names == ("all",) else tuple(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in WEIGHTS]
    if not chosen or unknown:
        got = f", got {', '.join(unknown)}" if unknown else ""
        raise UsageError(f"weights fetch: expected names out of {', '.join(WEIGHTS)}, or all{got}")
    if source and not source.endswith("/") and len(chosen) > 1:
        raise UsageError("--source: one address is one file; for several names give a folder, ending in /")
    for name in chosen:
        try:
            _follow(name, source, timeout)
        except KeyboardInterrupt:
            err.print("imagelab: stopped; what arrived is kept, the same command goes on from there", markup=False)
            return 130
    return 0


@weights_app.command(name="import")
def import_command(*paths: Path) -> int:
    """Take weights from files or folders, for machines without a network: known by name, or by size and SHA-256.

    Parameters
    ----------
    paths
        Files, or folders (a memory stick, another machine's cache) that are searched six levels deep.
    """
    if not paths:
        raise UsageError("weights import: give a file, or a folder such as a memory stick's")
    try:
        found = list(bring_in(paths))
    except KeyboardInterrupt:
        err.print("imagelab: stopped; what is copied whole is kept, nothing else is left", markup=False)
        return 130
    for each in found:
        where = "" if each.path is None else f", {short(each.path)}"
        note = f" ({each.note})" if each.note else ""
        out.print(f"{each.name}: {each.outcome}{where}{note}", markup=False)
    if any(each.outcome in ("copied", "already here") for each in found):
        return 0
    looked = ", ".join(wanted.files[0] for wanted in WEIGHTS.values())
    err.print(f"imagelab: none of the files was there: {looked}", markup=False)
    return 1


def _follow(name: str, source: str, timeout: float) -> None:
    """Download one of the weights under the user's eyes."""
    before = state(name)
    if before.word == "present":
        out.print(f"{name}: already here, {short(locate(name))}", markup=False)
        return
    if before.word == "DAMAGED":
        out.print(f"{name}: {before.path}: {before.fault}; a sound one takes its place", markup=False)
    size = WEIGHTS[name].size
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar, said = Progress(*columns, TimeRemainingColumn(), console=err, disable=not err.is_terminal), time.monotonic()
    with bar:
        task = bar.add_task(name, total=size)
        for received in fetch(name, source, timeout):
            bar.update(task, completed=received.bytes)
            if not err.is_terminal and time.monotonic() - said > QUIET:
                said = time.monotonic()
                err.print(f"{name}: {received.bytes / 1e6:.0f} of {size / 1e6:.0f} MB", markup=False)
    out.print(f"{name}: fetched and checked, {short(target(name))}", markup=False)
