"""A copy of a run's evidence in a tracker that its user has already: TensorBoard, W&B, MLflow or trackio.

A mirror is a process of its own that reads finished shards, so no tracker can break a run. It writes what is missing
and nothing twice, and can be killed at any moment and started again. Everything stays on this machine: TensorBoard's
event files, W&B's offline folder, an SQLite file of MLflow, the files of trackio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..io.disk import storing
from ..io.lock import held_alone
from ..io.untrusted import shown
from .mirror_mlflow import mirror_to_mlflow
from .mirror_tensorboard import mirror_to_tensorboard
from .mirror_trackio import mirror_to_trackio
from .mirror_wandb import mirror_to_wandb
from .mirrored import MirroredRun, MirroredShard, MirrorState

__all__ = ["TRACKERS", "Mirrored", "Tracker", "mirror_run"]

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]

TRACKERS: Mapping[Tracker, Callable[[Path, MirroredRun, Sequence[MirroredShard], MirrorState], int]] = {
    "tensorboard": mirror_to_tensorboard,
    "wandb": mirror_to_wandb,
    "mlflow": mirror_to_mlflow,
    "trackio": mirror_to_trackio,
}
"""Tracker -> what writes the missing shards of a run into a folder, and returns how many."""


@dataclass(frozen=True)
class Mirrored:
    """What a mirror has done.

    Attributes:
        run: the name of the run.
        written: how many shards were new to the tracker.
        shards: how many shards of the run are there.
        state: of the run.
    """

    run: str
    written: int
    shards: int
    state: MirrorState


def mirror_run(path: Path, tracker: Tracker, folder: Path, *, group: str = "", is_live: bool = False) -> Mirrored:
    """Copy what a tracker lacks of a run. The run folder is only read.

    Args:
        path: the run folder, finished or not.
        tracker: which tracker.
        folder: where the tracker keeps its files; made if it is not there.
        group: the study that the run belongs to; "" for none.
        is_live: whether a process is writing the run.

    Raises:
        ValueError: for an unknown tracker, a tracker that is not installed, a run that is damaged, or another mirror
            that is writing the same run into the same folder.
        NotStored: if the disk is full or refuses to write.
    """
    if tracker not in get_args(Tracker):
        raise ValueError(f"mirror: expected a tracker of {', '.join(get_args(Tracker))}, got {tracker!r}")
    run = MirroredRun(path, group)
    finished = run.is_finished  # before the shards are listed: what is finished now is listed then
    state: MirrorState = "finished" if finished else "running" if is_live else "stopped"
    shards = run.shards()
    with storing(folder, path):
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        lock = folder / "locks" / f"{run.name}.lock"
        with held_alone(lock, f"{shown(folder)}, {run.name}", "is mirroring this run"):
            written = TRACKERS[tracker](folder, run, shards, state)
    return Mirrored(run.name, written, len(shards), state)
