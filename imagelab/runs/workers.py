"""Work on several shards of a run side by side, each step in a process of its own, with the same bytes as one by one.

A shard is made (trained, sampled), measured and committed (lab.py). Making a shard needs the images of the generation
before, not their measurements. So a line trains its next model while the last one is still measured, and the lines and
chains of a run do not wait for each other. What a step writes depends on its inputs alone, therefore the number of
workers changes no byte. Only this process commits, in the order of the generations, so that a kill leaves whole shards.

A worker is a fork of this process, which has loaded torch already. It works on one step and ends; a worker that dies
takes one step with it and is named. Workers end with the process that started them. A fork is only safe where this
process has not computed with several threads or on a GPU; elsewhere (:func:`choose_workers`) steps are taken one by
one.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Literal

from ..experiment import Experiment
from ..generators import Diverged, Interrupted, RunContext, TrainRecord
from ..lab import Shard, assess, commit, make, run_generations
from ..pool import REAL
from ..run_folder import RunFolder
from .first_shard import first_shard
from .threads import usable_cores
from .waiting import AwaitsDecisions, Waits

__all__ = ["LostWorker", "choose_workers", "end_with", "run_side_by_side"]

LOOK_EVERY = 0.2  # seconds between two questions whether the run should stop
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class LostWorker(ValueError):
    """A worker process ended without a word: it was killed, or memory was short."""


def choose_workers(asked: int, device: str, processes: int, threads: int, lines: int) -> int:
    """Return how many workers a run uses; 1 for none, each step in this process.

    Args:
        asked: what the user gave; 0 for as many as there are cores to use.
        device: torch device; a GPU cannot be shared with a fork of this process.
        processes: of torchrun.
        threads: of torch, in each worker.
        lines: of the run: each can keep two workers busy, one that trains and one that measures.
    """
    if device != "cpu" or processes > 1 or sys.platform != "linux":
        return 1
    return min(asked or max(1, usable_cores() // max(threads, 1)), 2 * lines)


@dataclass(frozen=True, order=True)
class _Step:
    """One step of one shard."""

    what: Literal["first", "make", "assess"]
    generation: int
    line: int


@dataclass
class _Worker:
    """A process that takes a step.

    Attributes:
        step: what it does.
        process: the process.
        has_read: whether it has read all it needs from other shards.
    """

    step: _Step
    process: ForkProcess
    has_read: bool = False


class _Read:
    """The message that a worker has read all it needs from other shards."""


def run_side_by_side(experiment: Experiment, folder: RunFolder, context: RunContext, workers: int) -> Iterator[Shard]:
    """Run every generation that is not yet in the folder, yielding each shard as it is committed.

    Args:
        experiment: what to run.
        folder: where the results go; its lock is held by this process.
        context: device, batch, callbacks.
        workers: processes at a time; 1: none, see :func:`imagelab.lab.run_generations`.

    Raises:
        LostWorker: if a worker process was killed.
        Exception: what a step raised; steps in progress are then finished, and what is measured is committed.
    """
    if workers == 1:
        yield from run_generations(experiment, folder, context)
        return
    schedule = _Schedule(experiment, folder, context, workers)
    try:
        yield from schedule.shards()
    finally:
        schedule.kill()


class _Schedule:
    """Which steps of a run are done, running, and next."""

    def __init__(self, experiment: Experiment, folder: RunFolder, context: RunContext, workers: int):
        self.experiment, self.folder, self.context, self.workers = experiment, folder, context, workers
        self.committed = set(folder.shards())
        self.measured: set[tuple[int, int]] = set()
        self.running: dict[Connection, _Worker] = {}
        self.fault: BaseException | None = None
        self.waits = Waits()
        self.asking: set[tuple[int, int]] = set()  # what cannot go on before people have decided
        self.stop = mmap.mmap(-1, 1)  # shared with the workers: 1 asks them to stop
        self.at_once = experiment.reads_models  # of finished shards only

    def shards(self) -> Iterator[Shard]:
        """Yield each shard as it is committed; raise what a step raised when the others have ended."""
        import torch

        if (0, REAL) not in self.committed and torch.get_num_threads() == 1:
            # not in a worker: what this process loads for it, every worker has
            first_shard(self.experiment, self.folder, self.context)
            self.measured.add((0, REAL))
        while True:
            yield from self._committed()
            self._start()
            if not self.running:
                break
            for pipe in wait(list(self.running), LOOK_EVERY):
                self._hear(pipe)  # pyright: ignore[reportArgumentType]
            if self.context.should_stop():
                self._stop(Interrupted())
        if self.fault is not None:
            raise self.fault
        self.waits.check(self.folder.path)

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self.running.values():
            worker.process.kill()
            worker.process.join()
        self.running.clear()

    def _stop(self, fault: BaseException) -> None:
        """Let the workers save their work and start none; a real fault is kept, not the stop that followed it."""
        if self.fault is None or isinstance(self.fault, Interrupted):
            self.fault = fault
        self.stop[0] = 1

    def _committed(self) -> Iterator[Shard]:
        """Commit what is measured and whose predecessors are committed, unless a worker still reads its files."""
        for generation, line in sorted(self.measured):
            together = self._together(line) if generation > 1 else (REAL,) if generation else ()
            if {(generation - 1, each) for each in together} <= self.committed and not self._is_read(generation, line):
                self.measured.remove((generation, line))
                shard = commit(self.experiment, self.folder, self.context, generation, line)
                self.committed.add((generation, line))
                yield shard

    def _is_read(self, generation: int, line: int) -> bool:
        steps = [worker.step for worker in self.running.values() if not worker.has_read]
        return any(
            step.what == "make" and step.generation == generation + 1 and line in self._together(step.line)
            for step in steps
        )

    def _together(self, line: int) -> tuple[int, ...]:
        return self.experiment.line(line).together

    def _start(self) -> None:
        """Start workers until there are enough, or nothing can be started."""
        while len(self.running) < self.workers:
            steps = self._possible()
            if isinstance(self.fault, Interrupted | Diverged):
                steps = [step for step in steps if step.what == "assess"]  # what was made is not thrown away
            elif self.fault is not None:
                return
            if not steps:
                return
            step = min(steps, key=self._turn)
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("fork").Process(
                target=_work, args=(self, step, theirs, os.getpid()), name=f"{step.what} {step.generation}"
            )
            process.start()
            theirs.close()
            self.running[ours] = _Worker(step, process)

    def _possible(self) -> list[_Step]:
        """Return the steps that can be started now."""
        busy = {worker.step for worker in self.running.values()}
        if (0, REAL) not in self.committed:
            first = _Step("first", 0, REAL)
            return [] if first in busy or (0, REAL) in self.measured else [first]
        steps = []
        for line in range(len(self.experiment.lines)):
            for generation in range(1, self.experiment.generations + 1):
                if (generation, line) in self.committed | self.measured:
                    continue
                made = self.folder.is_made(generation, line)
                step = _Step("assess" if made else "make", generation, line)
                able = self._can_measure(generation, line) if made else self._can_make(generation, line)
                if able and step not in busy and (generation, line) not in self.asking:
                    steps.append(step)
                if not made:
                    break  # the next generation needs this one
        return steps

    def _can_make(self, generation: int, line: int) -> bool:
        """Whether the images of the generation before are there, and the one before that is committed."""
        if generation == 1:
            return True
        for each in self._together(line):
            before = (generation - 1, each)
            there = before in self.committed or (self.folder.is_made(*before) and not self.at_once)
            if not there or (generation > 2 and (generation - 2, each) not in self.committed):
                return False
        return True

    def _can_measure(self, generation: int, line: int) -> bool:
        twin = self.experiment.line(line).twin
        return twin is None or (generation, twin) in self.committed

    def _turn(self, step: _Step) -> tuple[int, int, int]:
        """Trainings first: they are the longest sequence of steps that wait for each other; then the oldest."""
        recipe = self.experiment.lines[step.line]
        trains = step.what == "make" and (recipe.training_length > 0 or recipe.alone)
        return (0 if trains else 1, step.generation, self.experiment.order.index(step.line) if step.generation else 0)

    def _hear(self, pipe: Connection) -> None:
        """Take one message of a worker, or its end."""
        worker = self.running[pipe]
        try:
            said = pipe.recv()
        except EOFError:
            self._ended(pipe, worker)
            return
        if isinstance(said, _Read):
            worker.has_read = True
        elif isinstance(said, TrainRecord):
            if worker is min(self.running.values(), key=lambda each: self._turn(each.step)):
                self.context.on_record(said)
        elif isinstance(said, str):
            self.context.on_line(said)
        elif isinstance(said, logging.LogRecord):
            logging.getLogger(said.name).handle(said)
        elif isinstance(said, AwaitsDecisions):  # the other lines go on until they ask, too
            self.waits.heard.append(said)
            self.asking.add((worker.step.generation, worker.step.line))
        elif isinstance(said, BaseException):
            self._stop(said)
            worker.has_read = True

    def _ended(self, pipe: Connection, worker: _Worker) -> None:
        """Note what a worker that has ended did."""
        worker.process.join()
        pipe.close()
        del self.running[pipe]
        step, code = worker.step, worker.process.exitcode
        place = step.generation, step.line
        if code == 0 and step.what == "make":
            self.folder.mark_made(*place)
        elif code == 0:
            self.measured.add(place)
        elif self.fault is None and place not in self.asking:
            label = "the real images" if step.what == "first" else self.experiment.label(step.line)
            how = f"was killed by signal {-code} (memory?)" if code and code < 0 else f"ended with code {code}"
            self._stop(
                LostWorker(
                    f"generation {step.generation}, {label}: the process that worked on it {how}. All finished work is "
                    "kept: start the run again to continue; --runtime.workers 1 needs the least memory."
                )
            )


def _work(schedule: _Schedule, step: _Step, pipe: Connection, parent: int) -> None:
    """Take one step, in a worker process; end with code 1 after an error, which the pipe has been told."""
    end_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the process that started this one has them, too, and says what to do
    for handler in (logger := logging.getLogger("imagelab")).handlers[:]:
        logger.removeHandler(handler)
    logger.addHandler(_Told(pipe.send))
    logger.propagate = False
    experiment, folder = schedule.experiment, schedule.folder
    context = replace(
        schedule.context, on_record=pipe.send, on_line=pipe.send, should_stop=lambda: schedule.stop[0] == 1
    )
    place = step.generation, step.line
    try:
        if step.what == "first":
            first_shard(experiment, folder, context)
        elif step.what == "make":
            make(experiment, folder, context, *place, on_read=lambda: pipe.send(_Read()))
        else:
            assess(experiment, folder, context, *place)
    except BaseException as error:
        pipe.send(_sendable(error))
        pipe.close()
        sys.exit(1)


class _Told(logging.Handler):
    """Sends what is logged in a worker to the process that started it."""

    def __init__(self, send: Callable[[logging.LogRecord], None]):
        super().__init__()
        self.send = send

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.send(record)


def _sendable(error: BaseException) -> BaseException:
    """Return an error that can be sent to another process and raised there."""
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        return ValueError(f"{type(error).__name__}: {error}")
    return error if type(again) is type(error) and str(again) == str(error) else ValueError(str(error))


def end_with(parent: int) -> None:
    """Let the kernel kill this process when the one that started it ends, however that ends (on Linux)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)
