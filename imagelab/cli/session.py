"""One run as its user sees it: what is being done, how long the whole will take, and a clean way to stop.

The first Ctrl-C (or SIGTERM, or SIGUSR1 from a cluster's scheduler) lets the step in hand finish, saves it and prints
the command that goes on from there; the second stops at once.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..experiment import Experiment
from ..generators import Diverged, Interrupted, RunContext, TrainRecord
from ..generators.base import SINGLE_PROCESS, ProcessGroup
from ..run_folder import CHECKPOINT, RunFolder
from ..runs.device import choose_device
from ..runs.environment import provenance
from ..runs.prepare import open_run
from ..runs.threads import choose, default_threads, limited, usable_cores, waiting, warnings

__all__ = ["Session"]

REPEATED_SIGNAL_SECONDS = 2.0  # seconds in which torchrun passes on a Ctrl-C that its processes have had already
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Session:
    """Carries out one experiment under the eyes of its user. Use as a context manager, then call :meth:`go`."""

    def __init__(self, experiment: Experiment, out: Console, err: Console, group: ProcessGroup = SINGLE_PROCESS):
        self.experiment, self.out, self.err, self.group = experiment, out, err, group
        self.stopping = False
        self._asked_at = 0.0
        self._stack = ExitStack()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._bar = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=err)
        self._task = self._bar.add_task("preparing the data", total=None, start=False)
        self._done = 0.0

    def __enter__(self) -> Session:
        for number in SIGNALS:
            self._stack.callback(signal.signal, number, signal.signal(number, self._asked_to_stop))
        handler = RichHandler(console=self.err, show_path=False, show_time=False, markup=False)
        logger = logging.getLogger("imagelab")
        logger.addHandler(handler)
        self._stack.callback(logger.removeHandler, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def go(self, folder: RunFolder | None = None) -> int:
        """Run what is missing and write the report; return the exit code."""
        started = time.monotonic()
        self._name_bad_files()
        folder = folder or open_run(self.experiment)
        self.out.print(f"run: {folder.path}", markup=False)
        missing = self._missing(folder)
        if missing:
            try:
                self._run(folder, missing)
            except (Interrupted, KeyboardInterrupt):
                self._say(f"stopped, everything finished is kept. Go on with: imagelab resume {_quoted(folder.path)}")
                return 130
            except Diverged as error:
                raise ValueError(f"{folder.path}: {error}") from error
        else:
            self.out.print("every generation is there already; nothing is run again")
        from ..report import write_report

        page = write_report(folder.path)
        self.out.print(f"report: {page}   ({time.monotonic() - started:.0f} s)", markup=False)
        return 0

    def _run(self, folder: RunFolder, missing: list[tuple[int, int]]) -> None:
        self._bar.update(self._task, description="loading torch")
        with folder.lock(), self._bar if self.err.is_terminal else ExitStack(), limited(self._threads(folder)):
            folder.mend()
            device = choose_device(self.experiment.runtime.device)
            record = provenance(self.experiment, folder, device)
            folder.write_provenance(record)
            self._name_data(record["data"]["counts"])
            from ..lab import run
            from ..runs.preflight import preflight

            batch = self.experiment.runtime.batch
            context = RunContext(
                device, batch, on_record=self._training, should_stop=lambda: self.stopping, group=self.group
            )
            if (1, 0) in missing:
                self._bar.update(self._task, description="trying models and metrics")
                preflight(self.experiment, context)
            self._bar.update(self._task, description="generation 0", total=len(missing), completed=0)
            self._bar.start_task(self._task)
            try:
                for made in run(self.experiment, folder, context):
                    self._shard_done(made.generation, made.line)
                    if self.stopping and len(missing) > self._done:
                        raise Interrupted
            except Exception as error:
                if not _is_full_disk(error):
                    raise
                _clear_partial(folder)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.path)) from error

    def _threads(self, folder: RunFolder) -> int:
        """Return the number of torch's threads for this run, after telling the user what speaks against it."""
        choice = choose(self.experiment.runtime.threads, folder.provenance, default_threads())
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", self.group.size))  # of this run, on this machine
        for sentence in (choice.note, *warnings(choice.threads, processes, usable_cores(), waiting())):
            if sentence:
                self._say(sentence)
        return choice.threads

    def _missing(self, folder: RunFolder) -> list[tuple[int, int]]:
        lines, last = len(self.experiment.lines), self.experiment.generations
        wanted = [(0, 0), *((g, i) for g in range(1, last + 1) for i in range(lines))]
        return [shard for shard in wanted if not folder.has(*shard)]

    def _training(self, record: TrainRecord) -> None:
        share = record.images_seen / max(record.images_total, 1)
        self._bar.update(self._task, completed=self._done + 0.9 * share)

    def _shard_done(self, generation: int, line: int) -> None:
        self._done += 1
        last = self.experiment.generations
        label = self.experiment.lines[line].label if line >= 0 else "real images"
        self._bar.update(self._task, description=f"generation {generation} of {last}", completed=self._done)
        if not self.err.is_terminal:
            self.out.print(f"generation {generation} of {last}: {label} done", markup=False)

    def _name_data(self, counts: dict[str, int]) -> None:
        data = self.experiment.data
        channels, height, width = data.shape
        held = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count)
        self.out.print(f"data: {data.kind}, {held}, {width} x {height} px, {channels} channels", markup=False)
        self.out.print(f"      licence and origin: imagelab data describe {data.kind}, and in the report", markup=False)

    def _name_bad_files(self) -> None:
        bad = self.experiment.data.bad_files()
        for file in bad[:20]:
            self._say(f"left out: {file.path}: {file.reason}")
        if len(bad) > 20:
            self._say(f"... and {len(bad) - 20} more files were left out; the report lists them all")

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopping and time.monotonic() - self._asked_at < REPEATED_SIGNAL_SECONDS and self.group.size > 1:
            return
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping, self._asked_at = True, time.monotonic()
        self._say("stopping after this step; once more to stop at once")

    def _say(self, message: str) -> None:
        self.err.print(message, markup=False)


def _is_full_disk(error: Exception) -> bool:
    """Whether a write failed for want of room; safetensors tells it in words of its own instead of an OSError."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


def _clear_partial(folder: RunFolder) -> None:
    """Leave nothing half-written but a training checkpoint."""
    import shutil

    for partial in folder.path.glob("gen-*.partial"):
        if not (partial / CHECKPOINT).exists():
            shutil.rmtree(partial, ignore_errors=True)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
