"""``imagelab mirror``: a copy of a run in TensorBoard, W&B, MLflow or trackio, while the run goes on or afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..export.mirror import Mirrored, Tracker, mirror_run
from ..export.mirrored import MirroredRun
from ..io.untrusted import shown
from ..server.processes import holder
from ..sweeps.outcomes import STUDY_LOCK
from ..sweeps.study import STUDY, with_runs_of_studies
from .console import out

__all__ = ["mirror_command"]

EVERY_SECONDS = 10.0
REPORT_SECONDS = 60.0
"""How long a finished run is waited for that is writing its report."""

LOOK: dict[Tracker, str] = {
    "tensorboard": "tensorboard --logdir {folder}",
    "wandb": "wandb sync {folder}/wandb/offline-run-*    (this sends it; nothing was sent yet)",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db",
    "trackio": "TRACKIO_DIR={folder} trackio show",
}
"""Tracker -> the command that shows the mirror."""


def mirror_command(
    run: Path,
    /,
    *,
    to: Tracker,
    follow: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """Copy a run into a tracker: numbers with their intervals and floors, picture strips, settings, and the report.

    A step is a generation. Only finished generations are copied, each once: repeat the command whenever the run has
    grown. The run is only read, and nothing is sent to any other machine. Of a study every run that has begun is
    copied, as a group.

    Parameters
    ----------
    run
        A run folder, or a study of `imagelab sweep`.
    to
        tensorboard, wandb (an offline folder for `wandb sync`), mlflow (an SQLite file) or trackio.
    follow
        Go on until the run is finished or nobody writes it any more on this machine.
    output
        Folder for the files of the tracker; mirrors/TRACKER beside the run if not given.
    """
    folder = output or run.resolve().parent / "mirrors" / to
    seen: set[str] = set()  # runs that were being written while they were followed
    while True:
        is_live = holder(run, STUDY_LOCK if _is_study(run) else "run.lock") is not None
        running = {each.run for each in _mirror(run, to, folder) if each.state == "running"}
        seen |= running
        if not follow or not (is_live or running):
            break
        time.sleep(EVERY_SECONDS)
    if seen and follow:
        _wait_for_reports(run, seen)
        _mirror(run, to, folder)
    out.print(f"mirror: {shown(folder)}; look at it with: {LOOK[to].format(folder=shown(folder))}", markup=False)
    return 0


def _is_study(place: Path) -> bool:
    return (place / STUDY).is_file()


def _mirror(place: Path, to: Tracker, folder: Path) -> list[Mirrored]:
    """Bring the mirror of a run, or of all runs of a study, up to date; say what was new."""
    done = []
    for run in with_runs_of_studies([place]):
        is_live = holder(run) is not None
        found = mirror_run(run, to, folder, group=place.resolve().stem if _is_study(place) else "", is_live=is_live)
        if found.written or found.state != "running":
            out.print(
                f"{found.run}: {found.written} generation folders copied, {found.shards} are there; {found.state}",
                markup=False,
            )
        done.append(found)
    return done


def _wait_for_reports(place: Path, names: set[str]) -> None:
    """Wait until the runs that have just finished have written their reports; at most a minute."""
    deadline = time.monotonic() + REPORT_SECONDS
    for path in with_runs_of_studies([place]):
        run = MirroredRun(path)
        while run.name in names and run.is_finished and run.report is None and time.monotonic() < deadline:
            time.sleep(0.5)
