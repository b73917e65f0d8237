"""``imagelab weights``: the weights of the official networks for FID, KID, LPIPS and FD-DINOv2.

    imagelab weights list                  which weights are on this machine or missing, their folders and licences
    imagelab weights fetch NAME...         download from the official address, resumable, checked; "all" for all
    imagelab weights import PATH...        copy the files from a folder or a memory stick, for machines without network

No other command downloads anything.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..metrics.weights import WEIGHTS, locate, short, state, status
from .console import UsageError, err, out, pages
from .download import bring_in, fetch, target

__all__ = ["weights_app"]


QUIET = 10.0  # seconds between two lines of progress if standard error is not a terminal

weights_app = App(
    name="weights",
    help="List, download or import the weights of the official networks for FID, KID, LPIPS and FD-DINOv2.",
    result_action="return_value",
    console=pages,
)


@weights_app.command(name="list")
def list_command() -> int:
    """List the weights: present, missing or damaged, with their folder and licence."""
    for line in status():
        out.print(line, markup=False)
    return 0


@weights_app.command(name="fetch")
def fetch_command(*names: str, source: Annotated[str, Parameter(name="--source")] = "", timeout: float = 30.0) -> int:
    """Download weights from the address of their authors; an interrupted download is continued.

    Parameters
    ----------
    names
        Names from `imagelab weights list`, or all.
    source
        Another address of the same file; an address that ends in / is a folder with the file under its official name.
    timeout
        Seconds without data after which the connection is considered lost.
    """
    chosen = tuple(WEIGHTS) if names == ("all",) else tuple(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in WEIGHTS]
    if not chosen or unknown:
        got = f", got {', '.join(unknown)}" if unknown else ""
        raise UsageError(f"weights fetch: expected names from {', '.join(WEIGHTS)}, or all{got}")
    if source and not source.endswith("/") and len(chosen) > 1:
        raise UsageError("--source: this address is a single file; for several names give a folder, ending in /")
    for name in chosen:
        try:
            _follow(name, source, timeout)
        except KeyboardInterrupt:
            err.print("imagelab: stopped; the partial file is kept, the same command continues it", markup=False)
            return 130
    return 0


@weights_app.command(name="import")
def import_command(*paths: Path) -> int:
    """Copy weights from files or folders, for machines without a network; found by name, or by size and SHA-256.

    Parameters
    ----------
    paths
        Files, or folders (such as a memory stick or the cache of another machine), searched six levels deep.
    """
    if not paths:
        raise UsageError("weights import: give a file, or a folder such as a memory stick")
    try:
        found = list(bring_in(paths))
    except KeyboardInterrupt:
        err.print("imagelab: stopped; complete files are kept, incomplete ones are removed", markup=False)
        return 130
    for each in found:
        where = "" if each.path is None else f", {short(each.path)}"
        note = f" ({each.note})" if each.note else ""
        out.print(f"{each.name}: {each.outcome}{where}{note}", markup=False)
    if any(each.outcome in ("copied", "already here") for each in found):
        return 0
    files = ", ".join(weights.files[0] for weights in WEIGHTS.values())
    err.print(f"imagelab: none of these files was found: {files}", markup=False)
    return 1


def _follow(name: str, source: str, timeout: float) -> None:
    """Download one of the weights and show the progress."""
    before = state(name)
    if before.word == "present":
        out.print(f"{name}: already here, {short(locate(name))}", markup=False)
        return
    if before.word == "DAMAGED":
        out.print(f"{name}: {before.path}: {before.fault}; it will be replaced", markup=False)
    size = WEIGHTS[name].size
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar, printed = Progress(*columns, TimeRemainingColumn(), console=err, disable=not err.is_terminal), time.monotonic()
    with bar:
        task = bar.add_task(name, total=size)
        for received in fetch(name, source, timeout):
            bar.update(task, completed=received.bytes)
            if not err.is_terminal and time.monotonic() - printed > QUIET:
                printed = time.monotonic()
                err.print(f"{name}: {received.bytes / 1e6:.0f} of {size / 1e6:.0f} MB", markup=False)
    out.print(f"{name}: fetched and checked, {short(target(name))}", markup=False)
