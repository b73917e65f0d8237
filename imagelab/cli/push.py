"""``imagelab push`` and ``imagelab pull``: finished generations of a run to object storage, and a run from there."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..export.pulled import pull_run
from ..export.storage import push_run
from ..io.untrusted import shown
from .console import out

__all__ = ["pull_command", "push_command"]


def push_command(run: Path, address: str, /) -> int:
    """Copy the finished generations of a run to object storage: imagelab push runs/NAME s3://bucket/runs.

    What is there already is not sent again, so repeat the command when the run has grown, or when it was interrupted.
    Everything that is sent is read back and compared. The run may be running; it is only read. Features and reports are
    not sent: they are made again from the rest.

    Parameters
    ----------
    run
        The run folder, finished or not.
    address
        A folder on the store, such as s3://bucket/runs; the run gets its own name in it. s3:// needs the package s3fs;
        gs://, abfs:// and others need the package that fsspec names. file:///backup/runs is another disk.
    """
    pushed = push_run(run, address)
    out.print(
        f"push: {shown(pushed.address)}: {pushed.sent} generation folders sent, {pushed.shards} are there; "
        f"{pushed.bytes / 1e6:,.1f} MB sent and read back",
        markup=False,
    )
    out.print(f"get it back with: imagelab pull {shlex.quote(pushed.address)} FOLDER", markup=False)
    return 0


def pull_command(address: str, runs: Path, /) -> int:
    """Copy a run from object storage into a folder of runs: imagelab pull s3://bucket/runs/NAME runs.

    Every file is compared with its SHA-256, and every generation with those it was made from, before the run folder
    gets its name. A run that is not what imagelab wrote is refused. Go on with it as with any other run: imagelab
    resume.

    Parameters
    ----------
    address
        Of one run, as `imagelab push` prints it.
    runs
        The folder in which the run folder is made.
    """
    pulled = pull_run(address, runs)
    out.print(
        f"pull: {shown(pulled.folder)}: {pulled.shards} generation folders, {pulled.bytes / 1e6:,.1f} MB read and "
        "compared",
        markup=False,
    )
    return 0
