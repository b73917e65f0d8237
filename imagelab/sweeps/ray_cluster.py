"""The Ray executor: the points of a study as tasks of Ray Core, on a cluster that exists or on one of this machine.

A task starts ``imagelab run`` as a process of its own and waits for it, so that nothing of one point stays in the
memory of the next. Ray is given paths only. Whether a point is finished is read from its run folder; a task that was
killed is submitted again here, not by Ray, so that tries are counted in one place.

Ray listens on the network of the machine. A cluster is started only where none is named (``--ray.address``, or the
variable ``RAY_ADDRESS``), and it is stopped at the end.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.untrusted import quoted, shown
from ..runs.threads import default_threads, usable_cores
from .first_images import FirstImages
from .outcomes import Outcome, alone_with, outcome_of, why_it_ended, worth_another_try
from .processes import end, start
from .states import point_state
from .study import Point, Study

__all__ = ["RayJob", "run_ray"]

STORE_BYTES = 80_000_000  # of Ray's object store: only paths are handed over
STOP = "stop-asked"
"""File of a study: its tasks end their points in order while it is there."""


@dataclass(frozen=True)
class RayJob:
    """What is asked of Ray.

    Attributes:
        address: of an existing cluster, such as "auto" or "10.0.0.1:6379"; "" for RAY_ADDRESS, else a cluster of this
            machine alone that is stopped at the end.
        gpus: of each point; parts of one are counted by Ray, not held back. With 2 or more, the point runs under
            torchrun on one node.
    """

    address: str = ""
    gpus: float = 0.0


def run_ray(
    study: Study,
    job: RayJob = RayJob(),
    *,
    jobs: int = 0,
    threads: int = 0,
    device: str = "auto",
    retries: int = 2,
    on_change: Callable[[Point, str], None] = lambda point, words: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Run what is not finished of a study on Ray, and return how each point ended, in the order of the study.

    Args:
        study: the points; its folder lies on a disk that all nodes share.
        job: what is asked of Ray.
        jobs: points at a time on a cluster of this machine; 0 for as many as the cores allow.
        threads: of torch in each point, and the CPUs that Ray counts for it; 0 for OMP_NUM_THREADS, else 1.
        device: torch device of every point.
        retries: how often a point is started again that was killed, or failed after it had made something.
        on_change: called with a point and what happened to it, in words.
        should_stop: asked about once a second; True lets every point finish its step, save it and end.

    Raises:
        ValueError: if Ray is not installed, no cluster answers or none of its nodes has what a point needs, the nodes
            do not share the disk, or another process is running this study.
    """
    ray = _ray()
    threads = threads or default_threads()
    with alone_with(study):
        (study.folder / STOP).unlink(missing_ok=True)
        _connect(ray, job, (jobs or max(1, usable_cores() // threads)) * threads)
        try:
            _check(ray, study, job, threads)
            tasks = _Tasks(ray, study, job, threads, device, on_change)
            tasks.follow(
                [point for point in study.points if point_state(point).state != "finished"], retries, should_stop
            )
        finally:
            ray.shutdown()
            (study.folder / STOP).unlink(missing_ok=True)
    return [outcome_of(study, point, point_state(point), tasks.failed.get(point.name, "")) for point in study.points]


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ValueError("--executor ray needs the package ray: pip install 'imagelab-collapse[ray]'") from error


def _connect(ray: Any, job: RayJob, cpus: int) -> None:
    address = job.address or os.environ.get("RAY_ADDRESS", "")
    try:
        if address:
            ray.init(address=address, log_to_driver=False)
        else:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=STORE_BYTES,
            )
    except Exception as error:  # Ray raises almost anything
        where = f"the cluster at {address}" if address else "a cluster of this machine"
        raise ValueError(f"ray: {where} does not answer: {quoted(error, 300)}") from error


def _check(ray: Any, study: Study, job: RayJob, threads: int) -> None:
    """Refuse tasks that no node could run, and nodes that do not see the study."""
    nodes = [node.get("Resources", {}) for node in ray.nodes() if node.get("Alive")]
    if not any(node.get("CPU", 0) >= threads and node.get("GPU", 0) >= job.gpus for node in nodes):
        there = ", ".join(f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU" for node in nodes) or "none"
        raise ValueError(
            f"ray: a point needs {threads} CPU and {job.gpus:g} GPU on one node; the nodes have {there}. Give fewer "
            "--threads or --ray.gpus, or another cluster"
        )
    record = study.folder.resolve() / "study.json"
    task = ray.remote(num_cpus=0, max_retries=0)(_sees)
    if not ray.get(task.remote(str(record), record.stat().st_size)):
        raise ValueError(f"ray: a node does not see {shown(record)}. The runs must lie on a disk that all nodes share")


def _sees(path: str, size: int) -> bool:
    return Path(path).is_file() and Path(path).stat().st_size == size


class _Tasks:
    """The tasks of one study on a cluster."""

    def __init__(
        self, ray: Any, study: Study, job: RayJob, threads: int, device: str, on_change: Callable[[Point, str], None]
    ):
        self.ray, self.study, self.threads, self.device, self.on_change = ray, study, threads, device, on_change
        self.processes = int(job.gpus) if job.gpus >= 2 else 1
        self.task = ray.remote(num_cpus=threads, num_gpus=job.gpus, max_retries=0)(_carry_out)
        self.first = FirstImages(study)
        self.at_work: dict[Any, tuple[Point, int]] = {}
        self.tries: dict[str, int] = {}
        self.failed: dict[str, str] = {}

    def submit(self, point: Point) -> None:
        """Hand a point to Ray."""
        self.tries[point.name] = self.tries.get(point.name, 0) + 1
        folder = self.study.folder.resolve()
        words = self.study.words(point, threads=self.threads, device=self.device)
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        log = str(self.study.log_of(point).resolve())
        reference = self.task.remote(words, log, str(folder / STOP), environment, str(Path.cwd()), self.processes)
        self.at_work[reference] = point, point_state(point).made
        tries = self.tries[point.name]
        self.on_change(point, "submitted" if tries == 1 else f"submitted, try {tries}")

    def follow(self, waiting: list[Point], retries: int, should_stop: Callable[[], bool]) -> None:
        """Hand points to Ray and wait until no task is at work; start those again that are worth another try.

        A point whose generation 0 another one is just making is handed over when that is there.
        """
        stopping = False
        while waiting or self.at_work:
            if not stopping and should_stop():
                stopping = True
                (self.study.folder / STOP).touch()
            waiting = [] if stopping else self._submit_ready(waiting)
            if not self.at_work:
                continue
            done, _ = self.ray.wait(list(self.at_work), timeout=1.0)
            for each in done:
                point, before = self.at_work.pop(each)
                code, state = _code(self.ray, each), point_state(point)
                if state.state == "finished":
                    self.on_change(point, "finished")
                elif stopping:
                    self.on_change(point, "stopped; what is finished is kept")
                elif worth_another_try(code, state.made, before, self.tries[point.name], retries):
                    self.on_change(point, f"{why_it_ended(code)}; it is started again")
                    waiting.append(point)
                else:
                    self.on_change(point, f"failed: {why_it_ended(code)}")

    def _submit_ready(self, waiting: list[Point]) -> list[Point]:
        """Hand over all points that need not wait for another one; return the others."""
        startable = self.first.startable(waiting, [point for point, _ in self.at_work.values()])
        for point, fault in startable:
            if fault:
                self.failed[point.name] = fault
                self.on_change(point, f"failed: {fault}")
            else:
                self.submit(point)
        gone = {point.name for point, _ in startable}
        return [point for point in waiting if point.name not in gone]


def _code(ray: Any, task: Any) -> int:
    """Return the exit code of a point; -9 where its task was killed."""
    try:
        return int(ray.get(task))
    except ray.exceptions.RayError:
        return -9


def _carry_out(
    words: Sequence[str], log: str, stop: str, environment: Mapping[str, str], folder: str, processes: int
) -> int:
    """Run one point in a process of its own; the body of a task, on any node."""
    os.chdir(folder)
    running = start(words, Path(log), 0, {**os.environ, **environment}, processes=processes)
    while True:
        try:
            return running.process.wait(1.0)
        except subprocess.TimeoutExpired:
            if Path(stop).exists():
                end(running)
