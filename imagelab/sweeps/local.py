"""The local executor: the points of a study on this machine, a process each, within its cores and its memory.

Whether a point is finished is read from its run folder, never from an exit code. So the same command goes on with
whatever was interrupted, and points that another study has finished are not run again.

Points of the same data and seed have the same generation 0. The first of them makes it, the others copy it
(first_images.py).
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..runs.threads import default_threads, usable_cores
from .first_images import FirstImages
from .outcomes import Outcome, alone_with, last_words, outcome_of, why_it_ended, worth_another_try
from .processes import Running, end, memory_of, start
from .states import PointState, point_state
from .study import Point, Study

__all__ = ["Limits", "run_local", "usable_gpus"]

LOOK_EVERY = 0.2  # seconds
WEIGH_EVERY = 2.0  # seconds between two looks at the memory
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of Nvidia, of AMD, of Windows' Linux; torch is slow to ask


@dataclass(frozen=True)
class Limits:
    """What the points of a study may use of a machine.

    Attributes:
        jobs: points at a time; 0 for as many as the cores allow, and on GPUs for one a GPU.
        threads: of torch, in each point; 0 for OMP_NUM_THREADS, else 1. Another number may change the last bits.
        memory_gb: for all points together; 0 for nine tenths of what the machine has free at the start.
        retries: how often a point is started again that was killed, or failed after it had made something.
    """

    jobs: int = 0
    threads: int = 0
    memory_gb: float = 0.0
    retries: int = 2


def run_local(
    study: Study,
    limits: Limits = Limits(),
    *,
    device: str = "auto",
    on_change: Callable[[Point, str], None] = lambda point, words: None,
    should_stop: Callable[[], bool] = lambda: False,
    fail_fast: bool = False,
) -> list[Outcome]:
    """Run what is not finished of a study, and return how each point ended, in the order of the study.

    Args:
        study: the points.
        limits: cores, memory, tries.
        device: torch device of every point; with "cuda", and with "auto" where there are GPUs, each point sees one GPU.
        on_change: called with a point and what happened to it, in words.
        should_stop: asked several times a second; True lets every point finish its step, save it and end.
        fail_fast: whether no other point is started after one has failed for good.

    Raises:
        ValueError: if another process is running this study.
    """
    with alone_with(study):
        return _Driver(study, limits, device, on_change).carry_out(should_stop, fail_fast)


class _Driver:
    """Starts, watches and ends the processes of one study."""

    def __init__(self, study: Study, limits: Limits, device: str, on_change: Callable[[Point, str], None]):
        self.study, self.device, self.on_change = study, device, on_change
        self.threads = limits.threads or default_threads()
        self.gpus = usable_gpus(device)
        at_once = max(1, usable_cores() // self.threads)
        self.jobs = limits.jobs or (min(at_once, len(self.gpus)) if self.gpus else at_once)
        self.gpu_of: dict[str, str] = {}
        self.retries = limits.retries
        self.budget = round(limits.memory_gb * 1e9) or _free_memory() * 9 // 10
        self.running: dict[str, tuple[Point, Running]] = {}
        self.failed: dict[str, str] = {}
        self.tries: dict[str, int] = {}
        self.alone: set[str] = set()
        self.first = FirstImages(study)
        self.stopping = False
        self._weighed = 0.0

    def carry_out(self, should_stop: Callable[[], bool], fail_fast: bool) -> list[Outcome]:
        """Run until every point is finished or has failed, or until it is asked to stop."""
        waiting = [point for point in self.study.points if point_state(point).state != "finished"]
        try:
            while waiting or self.running:
                self.stopping = self.stopping or should_stop()
                if self.stopping or (fail_fast and self.failed):
                    waiting = []
                while (point := self._next(waiting)) is not None:
                    waiting.remove(point)
                    self._start(point, len(waiting))
                waiting += self._ended()
                self._watch()
                time.sleep(LOOK_EVERY)
        finally:
            for _, running in self.running.values():
                if running.process.poll() is None:
                    os.killpg(running.process.pid, signal.SIGKILL)
                    running.process.wait()
        return [self._outcome(point) for point in self.study.points]

    def _next(self, waiting: list[Point]) -> Point | None:
        """Return the first point that can be started now; None for none."""
        if any(name in self.alone for name in self.running) or len(self.running) >= self.jobs:
            return None
        at_work = [point for point, _ in self.running.values()]
        for point in waiting:
            if point.name in self.alone and (self.running or any(p.name not in self.alone for p in waiting)):
                continue
            if self.first.being_made(point, at_work):
                continue
            return point
        return None

    def _start(self, point: Point, left: int) -> None:
        try:
            self.first.take(point)
        except (ValueError, OSError) as error:
            self._fail(point, str(error))
            return
        free = max(1, self.jobs // max(1, min(self.jobs, left + 1 + len(self.running))))
        words = self.study.words(point, threads=self.threads, workers=free, device=self.device)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            in_use = [self.gpu_of[name] for name in self.running]
            self.gpu_of[point.name] = min(self.gpus, key=in_use.count)
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu_of[point.name]
        log = self.study.log_of(point)
        self.tries[point.name] = self.tries.get(point.name, 0) + 1
        self.running[point.name] = point, start(words, log, point_state(point).made, environment)
        self.on_change(point, "started" if self.tries[point.name] == 1 else f"started, try {self.tries[point.name]}")

    def _ended(self) -> list[Point]:
        """Take note of the processes that ended; return the points that are to be started again."""
        again = []
        for name, (point, running) in list(self.running.items()):
            code = running.process.poll()
            if code is None:
                continue
            del self.running[name]
            state = point_state(point)
            self._record(point, running, code, state)
            if state.state == "finished":
                self.on_change(point, f"finished in {running.seconds:.0f} s")
            elif self.stopping:
                self.on_change(point, "stopped; what is finished is kept")
            elif self._may_try_again(point, running, code, state):
                self.on_change(point, f"{why_it_ended(code)}; it is started again")
                again.append(point)
            else:
                self._fail(point, f"{why_it_ended(code)}: {last_words(running.log)}")
        return again

    def _may_try_again(self, point: Point, running: Running, code: int, state: PointState) -> bool:
        if running.asked_at:  # for its memory
            return self.tries[point.name] <= self.retries + 1
        return worth_another_try(code, state.made, running.before, self.tries[point.name], self.retries)

    def _watch(self) -> None:
        """End processes that were asked to, and the largest one where all together use too much memory."""
        for _, running in self.running.values():
            if self.stopping or running.asked_at:
                end(running)
        if time.monotonic() - self._weighed < WEIGH_EVERY:
            return
        self._weighed = time.monotonic()
        used = {name: memory_of(running) for name, (_, running) in self.running.items()}
        if sum(used.values()) <= self.budget or self.stopping:
            return
        largest = max(used, key=lambda name: used[name])
        point, running = self.running[largest]
        if running.asked_at:
            return
        needs = f"needs more than {used[largest] / 1e9:.1f} GB"
        if len(self.running) == 1:
            running.process.kill()
            self.tries[largest] = self.retries + 2
            self.failed[largest] = f"{needs} by itself, and {self.budget / 1e9:.1f} GB are allowed (--memory)"
            return
        self.alone.add(largest)
        self.on_change(point, f"{needs}; it is stopped, and run alone later")
        end(running)

    def _fail(self, point: Point, why: str) -> None:
        self.failed.setdefault(point.name, why)
        self.on_change(point, f"failed: {self.failed[point.name]}")

    def _record(self, point: Point, running: Running, code: int, state: PointState) -> None:
        line = {"point": point.name, "settings": dict(point.settings), "code": code, "seconds": running.seconds}
        line |= {"peak_gb": running.peak_bytes / 1e9, "ended": time.strftime("%Y-%m-%d %H:%M:%S"), **asdict(state)}
        with (self.study.folder / "attempts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _outcome(self, point: Point) -> Outcome:
        state = point_state(point)
        return outcome_of(self.study, point, state, self.failed.get(point.name) or state.fault or state.state)


def usable_gpus(device: str) -> tuple[str, ...]:
    """Return the GPUs that points are spread over, each as ``CUDA_VISIBLE_DEVICES`` names it.

    Args:
        device: torch device of the points; none are spread for "cpu", or for a certain one such as "cuda:1".
    """
    if device not in ("auto", "cuda") or (device == "auto" and not any(Path(file).exists() for file in DRIVERS)):
        return ()
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named[:count]) if named else tuple(str(index) for index in range(count))


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
