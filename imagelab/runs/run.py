"""Carry out one experiment: the one way to do it, for the command line, scripts, notebooks and studies.

    folder = imagelab.run(experiment)                        # a finished run folder
    for shard in imagelab.runs.run.steps(experiment): ...    # the same, shard by shard

A run takes the lock of its folder, repairs what a kill has left, records the environment, tries every model and metric
on a handful of images, and then makes what is missing. A run that is there already is returned as it is.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass

from ..experiment import Experiment
from ..generators import Diverged, Interrupted, RunContext, TrainRecord
from ..generators.base import SINGLE_PROCESS, ProcessGroup
from ..io.untrusted import quoted
from ..lab import Shard
from ..run_folder import CHECKPOINT, RunFolder
from .consent import allow_commands
from .environment import provenance
from .kept_models import forget_models, thin_finished
from .planted import told_of_counter
from .preflight import check_instruments, costs_of_trials, not_repeatable, preflight
from .prepare import open_run
from .settings import Settings, choose_settings
from .threads import limited, usable_cores, waiting, warnings
from .workers import choose_workers, run_side_by_side

__all__ = ["Begun", "Event", "Note", "Phase", "missing_shards", "run", "steps"]


@dataclass(frozen=True)
class Begun:
    """The folder is open: ``missing`` (generation, line) pairs are to be made, of ``counts`` images a split."""

    folder: RunFolder
    missing: tuple[tuple[int, int], ...]
    counts: dict[str, int]


@dataclass(frozen=True)
class Phase:
    """What is being done now, in a few words, until the next event."""

    what: str


@dataclass(frozen=True)
class Note:
    """A sentence that the user should read."""

    text: str


Event = Begun | Phase | Note | TrainRecord | Shard
"""What a run reports while it goes on; :class:`Shard` when one is finished, ``TrainRecord`` within a training."""


def run(
    experiment: Experiment,
    *,
    folder: RunFolder | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 1,
) -> RunFolder:
    """Run an experiment, or what is left of it, and return its folder. Nothing that is there is made again.

    Args:
        experiment: what to run; ``experiment.runtime`` says on which device, with how many threads, and where.
        folder: the run folder, if it is open already; by default the experiment's own, made if need be.
        on_event: called with every event.
        should_stop: asked between steps of a training and between shards; True saves the work and raises Interrupted.
        group: the processes that share the trainings.
        workers: shards that are worked on side by side where ``experiment.runtime`` gives no number; 0: as many as
            there are cores. More than one fork this process.

    Returns:
        The finished run. No report is written; ``imagelab.report.write_report(folder.path)`` does that.

    Raises:
        ValueError: for data, settings or a device that do not suit, or a folder that another process is writing.
        OSError: for a disk that is full; what is finished is kept.
        Diverged: if a training ran away.
        Interrupted: if ``should_stop`` said so; the same call goes on later.

    Example:
        >>> import tempfile
        >>> from imagelab import Experiment, Gaussian, Runtime, Textures, run
        >>> small = Experiment(data=Textures(size=16), generator=Gaussian(), generations=1, images=24, heldout=12,
        ...                    metrics=("pixel_variance",), runtime=Runtime(runs=tempfile.mkdtemp()))
        >>> run(small).shards()
        [(0, -1), (1, 0)]
    """
    folder = folder or open_run(experiment)
    for _ in steps(experiment, folder=folder, on_event=on_event, should_stop=should_stop, group=group, workers=workers):
        pass
    return folder


def steps(
    experiment: Experiment,
    *,
    folder: RunFolder | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 1,
) -> Generator[Shard, None, None]:
    """Run an experiment and yield each shard when it is finished; arguments and errors as for :func:`run`.

    The folder stays locked until the iterator is exhausted or closed.
    """
    folder = folder or open_run(experiment)
    missing = missing_shards(experiment, folder)
    if not missing:
        folder.heal()
        thin_finished(experiment, folder)
        return
    allow_commands(experiment)
    on_event(Phase("loading torch"))
    settings = choose_settings(experiment.runtime, folder.provenance, group.size, folder.path)
    _tell(settings, on_event, group)
    with folder.lock(), limited(settings.threads):
        folder.mend()
        context = RunContext(
            settings.device,
            settings.batch,
            on_record=on_event,
            should_stop=should_stop,
            group=group,
            on_line=lambda line: on_event(Phase(quoted(line, 60))),
            kernels=settings.kernels,
        )
        asked = workers if experiment.runtime.workers is None else experiment.runtime.workers
        many = choose_workers(asked, settings.device, group.size, settings.threads, len(experiment.lines))
        record = {**provenance(experiment, folder, context), **settings.recorded}
        folder.write_provenance(record)
        on_event(Begun(folder, missing, record["data"]["counts"]))
        if (1, 0) in missing:
            on_event(Phase("trying models and metrics"))
            for sentence in costs_of_trials(experiment):
                on_event(Note(sentence))
            with limited(1):  # a process that has computed with several threads cannot be forked safely
                record["repeatable"] = preflight(experiment, context)
            folder.write_provenance(record)
        for sentence in not_repeatable(record):
            on_event(Note(sentence))
        if folder.has(0):
            with limited(1):
                check_instruments(experiment, folder, context)
        on_event(Phase("generation 0"))
        left = len(missing)
        try:
            for shard in run_side_by_side(experiment, folder, context, _alone_if_compiled(many, settings, on_event)):
                left -= 1
                forget_models(experiment, folder, settings.keep)
                on_event(shard)
                for sentence in told_of_counter(folder) if shard.generation == 0 else ():
                    on_event(Note(sentence))
                yield shard
                if left and should_stop():
                    raise Interrupted
        except Diverged as error:
            raise Diverged(f"{folder.path}: {error}") from error
        except Exception as error:
            if not _is_full_disk(error):
                raise
            _clear_partial(folder)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.path)) from error


def missing_shards(experiment: Experiment, folder: RunFolder) -> tuple[tuple[int, int], ...]:
    """Return the (generation, line) pairs that are not finished, in the order in which they are made."""
    lines, last = len(experiment.lines), experiment.generations
    wanted = [(0, 0), *((generation, line) for generation in range(1, last + 1) for line in range(lines))]
    return tuple(shard for shard in wanted if not folder.has(*shard))


def _tell(settings: Settings, on_event: Callable[[Event], None], group: ProcessGroup) -> None:
    """Tell the user which settings differ from those that the run was begun with, and what makes it slow."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", group.size))  # of this run, on this machine
    for sentence in (*settings.notes, *warnings(settings.threads, processes, usable_cores(), waiting())):
        on_event(Note(sentence))


def _alone_if_compiled(workers: int, settings: Settings, on_event: Callable[[Event], None]) -> int:
    """Return the workers, or one where networks are compiled; the user is told."""
    if not settings.kernels.compile or workers == 1:
        return workers
    on_event(Note("Compiled networks are trained one after the other: torch's compiler cannot be forked."))
    return 1


def _is_full_disk(error: Exception) -> bool:
    """Whether a write failed because the disk is full; safetensors says so in its own words, without an OSError."""
    number = error.errno if isinstance(error, OSError) else None
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return number in full or any(os.strerror(code) in str(error) for code in full)


def _clear_partial(folder: RunFolder) -> None:
    """Remove what is half-written, but keep training checkpoints."""
    for partial in folder.path.glob("gen-*.partial"):
        if not (partial / CHECKPOINT).exists():
            shutil.rmtree(partial, ignore_errors=True)
