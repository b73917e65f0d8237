"""One run on a terminal: what is being done, how long the whole will take, and a clean way to stop.

The first Ctrl-C (or SIGTERM, or SIGUSR1 or SIGUSR2 from a cluster's scheduler) lets the current step finish, saves it
and prints the command that goes on from there; the second stops at once. The run itself is :func:`imagelab.run`.
"""

from __future__ import annotations

import errno
import logging
import shlex
import signal
import time
from contextlib import ExitStack
from types import FrameType, TracebackType

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..experiment import Experiment
from ..families import kind_of
from ..generators import Interrupted, TrainRecord
from ..generators.base import SINGLE_PROCESS, ProcessGroup
from ..io.disk import sentence
from ..lab import Shard
from ..run_folder import RunFolder
from ..runs.check import made_otherwise
from ..runs.consent import executes
from ..runs.prepare import open_run
from ..runs.run import Begun, Event, Note, Phase, missing_shards, run
from ..runs.settings import resume_command
from ..runs.waiting import AwaitsDecisions

__all__ = ["WAITS", "Session"]

REPEATED_SIGNAL_SECONDS = 2.0
"""Within this time a second Ctrl-C under torchrun is the first one, passed on to processes that have had it already."""

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

WAITS = 4
"""Exit code of a run that people have to decide about before it goes on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Session:
    """Runs one experiment on a terminal. Use as a context manager, then call :meth:`go`."""

    def __init__(self, experiment: Experiment, out: Console, err: Console, group: ProcessGroup = SINGLE_PROCESS):
        self.experiment, self.out, self.err, self.group = experiment, out, err, group
        self.stopping = False
        self._asked_at = 0.0
        self._stack = ExitStack()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._bar = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=err)
        self._task = self._bar.add_task("preparing the data", total=None, start=False)
        self._done = self._shown = 0.0

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
        for code in self.experiment.own_code:
            place = code.source or "code that cannot be found again: another process can not resume this run"
            self.out.print(f"of your own: {code.what}, from {place}", markup=False)
        for line in executes(self.experiment):
            self.out.print(f"executes, {line}", markup=False)
        folder = folder or open_run(self.experiment)
        self.out.print(f"run: {folder.path}", markup=False)
        missing = missing_shards(self.experiment, folder)
        if not missing:
            self.out.print("every generation is there already; nothing is run again")
        try:
            with self._bar if missing and self.err.is_terminal else ExitStack():
                run(
                    self.experiment,
                    folder=folder,
                    on_event=self._show,
                    should_stop=lambda: self.stopping,
                    group=self.group,
                    workers=0,
                )
        except AwaitsDecisions as asked:
            self._say(str(asked))
            return WAITS
        except (Interrupted, KeyboardInterrupt):
            command = resume_command(folder.path, self.group.size)
            self._say(f"stopped, everything finished is kept. Go on with: {command}")
            return 130
        for words in made_otherwise({folder.shard_path(*s).name: folder.origin(*s)[1] for s in folder.shards()}):
            self._say(f"not all generations were made alike: {words}")
        from ..report import write_report

        try:
            page = write_report(folder.path)
        except OSError as error:
            if missing or error.errno not in READ_ONLY:
                raise
            command = f"imagelab report {shlex.quote(str(folder.path))} -o FOLDER"
            self._say(f"{sentence(error)} The run itself is complete. For a report elsewhere: {command}")
            return 0  # a job that asks for the run goes on: all of it is there, and nothing had to be written
        self.out.print(f"report: {page}   ({time.monotonic() - started:.0f} s)", markup=False)
        return 0

    def _show(self, event: Event) -> None:
        """Show what the run reports."""
        if isinstance(event, Note):
            self._say(event.text)
        elif isinstance(event, Phase):
            self._bar.update(self._task, description=event.what)
        elif isinstance(event, Begun):
            self._name_data(event.counts)
            self._bar.update(self._task, total=len(event.missing), completed=0)
            self._bar.start_task(self._task)
        elif isinstance(event, TrainRecord):
            share = event.images_seen / max(event.images_total, 1)
            self._shown = max(self._shown, self._done + 0.9 * share)  # several shards may be in work
            self._bar.update(self._task, completed=self._shown)
        elif isinstance(event, Shard):
            self._shard_done(event)

    def _shard_done(self, shard: Shard) -> None:
        self._done += 1
        self._shown = max(self._shown, self._done)
        last = self.experiment.generations
        label = self.experiment.label(shard.line) if shard.line >= 0 else "real images"
        self._bar.update(self._task, description=f"generation {shard.generation} of {last}", completed=self._shown)
        if not self.err.is_terminal:
            self.out.print(f"generation {shard.generation} of {last}: {label} done", markup=False)

    def _name_data(self, counts: dict[str, int]) -> None:
        data = self.experiment.data
        kind = kind_of(data)
        channels, height, width = data.shape
        held = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count)
        self.out.print(
            f"data: {kind}, {held}, {width} x {height} px, {channels} channel{'s'[: channels - 1]}", markup=False
        )
        self.out.print(f"      licence and origin: imagelab data describe {kind}, and in the report", markup=False)

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
