"""The Slurm executor: the points of a study as one array job, submitted by ``sbatch`` and followed by ``squeue``.

The script that is submitted needs nothing but Slurm: ``script_of`` prints it for those who submit it themselves. Run
folders and the study lie on a disk that all nodes share.

What Slurm says of a task that ended (its state, its exit code) differs between versions and with how it ended, so it is
not asked. A point is finished when its run folder says so. A point that is missing when its task is gone is submitted
again: one that was killed goes on from its last finished step.

Points that have generation 0 in common are submitted when the first of them has made it (first_images.py). A script
that is submitted by hand runs all points at once; each then makes its own, with the same bytes.

Slurm sends USR1 two minutes before the time limit; ``imagelab run`` then finishes its step and ends.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io.atomic import written_whole
from ..io.untrusted import quoted, shown
from ..runs.threads import default_threads
from .first_images import FirstImages
from .outcomes import Outcome, alone_with, outcome_of
from .processes import program
from .states import point_state
from .study import Point, Study

__all__ = ["SlurmJob", "run_slurm", "script_of"]

STUCK = {
    "launch failed requeued held": "scontrol release {task}",
    "job launch failure": "scontrol release {task}",
    "jobheldadmin": "ask the administrator, or scancel {task}",
    "jobhelduser": "scontrol release {task}",
    "dependencyneversatisfied": "scancel {task}",
    "badconstraints": "scancel {task}, and give another --slurm.constraint, --slurm.gpus or --slurm.memory",
    "partitionnodelimit": "scancel {task}, and ask for less, or for another --slurm.partition",
    "partitiontimelimit": "scancel {task}, and give a shorter --slurm.time",
    "invalidaccount": "scancel {task}, and give another --slurm.account",
    "invalidqos": "scancel {task}, and give another quality of service with --slurm.lines",
}
"""Reasons for which Slurm would let a task wait for ever, in small letters, and what helps."""

SILENT = 10  # questions in a row that squeue may leave unanswered
COMMAND_SECONDS = 120.0  # for one sbatch or squeue


@dataclass(frozen=True)
class SlurmJob:
    """What is asked of Slurm for each point.

    Attributes:
        partition: of the cluster; "" for its default.
        account: that is charged; "" for the user's default.
        time: limit, such as "4:00:00"; "" for that of the partition.
        memory: of each point, such as "8G"; "" for the default of the cluster.
        gpus: of each point. With more than one, the point runs under torchrun on one node.
        constraint: features that a node must have; "" for none.
        parallel: points at a time; 0 for as many as the cluster gives.
        lines: other options of sbatch, as they stand behind ``#SBATCH``.
    """

    partition: str = ""
    account: str = ""
    time: str = ""
    memory: str = ""
    gpus: int = 0
    constraint: str = ""
    parallel: int = 0
    lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for value in (self.partition, self.account, self.time, self.memory, self.constraint, *self.lines):
            if "\n" in value or not value.isprintable():
                raise ValueError(f"slurm: expected one line of printable text, got {quoted(value, 80)}")


def script_of(study: Study, points: Sequence[Point], job: SlurmJob, threads: int = 0, device: str = "auto") -> str:
    """Return the script of an array job that runs some points of a study; ``sbatch`` takes it as it is.

    Args:
        study: already written to its folder.
        points: which.
        job: what is asked of Slurm.
        threads: of torch in each point; 0 for OMP_NUM_THREADS, else 1.
        device: torch device of every point.
    """
    threads, folder = threads or default_threads(), study.folder.resolve()
    options = {
        "job-name": study.folder.stem,
        "array": f"0-{len(points) - 1}" + (f"%{job.parallel}" if job.parallel else ""),
        "output": "/dev/null",
        "open-mode": "append",
        "signal": "B:USR1@120",
        "ntasks": "1",
        "cpus-per-task": str(threads * max(1, job.gpus)),
        "partition": job.partition,
        "account": job.account,
        "time": job.time,
        "mem": job.memory,
        "gpus-per-task": str(job.gpus) if job.gpus else "",
        "constraint": job.constraint,
    }
    asked = [f"#SBATCH --{name}={shlex.quote(value)}" for name, value in options.items() if value]
    asked += [f"#SBATCH {line}" for line in ("--requeue", *job.lines)]
    names = "\n".join(f"  {shlex.quote(point.name)}" for point in points)
    config, *how = study.words(points[0], threads=threads, device=device)[1:]
    points_folder = shlex.quote(str(Path(config).parent))
    return "\n".join(
        [
            "#!/bin/bash",
            *asked,
            "points=(",
            names,
            ")",
            'point="${points[$SLURM_ARRAY_TASK_ID]}"',
            f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
            f"exec >> {shlex.quote(str(folder / 'logs'))}/$point.log 2>&1",
            f"export OMP_NUM_THREADS={threads}",
            'echo "-- $(date) on $(hostname), job ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"',
            f"exec {shlex.join(program(job.gpus))} run {points_folder}/$point.json {shlex.join(how)}",
            "",
        ]
    )


def run_slurm(
    study: Study,
    job: SlurmJob = SlurmJob(),
    *,
    threads: int = 0,
    device: str = "auto",
    retries: int = 2,
    ask_every: float = 5.0,
    most_hours: float = 14 * 24.0,
    on_change: Callable[[Point, str], None] = lambda point, words: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Submit what is not finished of a study, wait for it, and return how each point ended, in the order of the study.

    A study whose job is in the queue already is not submitted again; its tasks are waited for.

    Args:
        study: the points.
        job: what is asked of Slurm.
        threads: as for :func:`script_of`.
        device: as for :func:`script_of`.
        retries: how often a point is submitted again that is missing when its task is gone.
        ask_every: seconds between two questions to Slurm.
        most_hours: how long to wait at the most; the tasks stay in the queue afterwards.
        on_change: called with a point and what happened to it, in words.
        should_stop: asked between two questions; True ends the waiting and leaves the tasks in the queue.

    Raises:
        ValueError: if another process is running this study, Slurm refuses the job or does not answer.
    """
    with alone_with(study):
        follower = _Follower(study, job, threads, device, on_change)
        deadline = time.monotonic() + most_hours * 3600
        return follower.carry_out(retries, ask_every, lambda: should_stop() or time.monotonic() > deadline)


@dataclass(frozen=True)
class _Task:
    """A task of an array job that is in the queue: its job, its index there, its point, its state, why it waits."""

    job: str
    index: int
    point: str
    state: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.job}_{self.index}"


class _Follower:
    """Submits the missing points of one study, and follows their tasks in the queue."""

    def __init__(self, study: Study, job: SlurmJob, threads: int, device: str, on_change: Callable[[Point, str], None]):
        self.study, self.job, self.threads, self.device, self.on_change = study, job, threads, device, on_change
        self.record = study.folder / "slurm.json"
        self.first = FirstImages(study)
        self.finished: set[str] = {p.name for p in study.points if point_state(p).state == "finished"}
        self.tries: dict[str, int] = {}
        self.made: dict[str, list[int]] = {}
        self.gone: set[str] = set()
        self.told: dict[str, str] = {}
        self.why: dict[str, str] = {}

    def carry_out(self, retries: int, ask_every: float, is_over: Callable[[], bool]) -> list[Outcome]:
        """Submit and wait until every point is finished, has been tried often enough, or waits for ever."""
        jobs = self._known_jobs()
        while True:
            tasks = self._tasks(jobs)
            jobs = {number: names for number, names in jobs.items() if number in {task.job for task in tasks}}
            self._take_note(tasks)
            ready = [] if is_over() else self._ready(tasks, retries)
            if ready:
                number, names = self._submit(ready, jobs)
                jobs[number] = names
                continue
            if not tasks and not self.gone:
                return [self._outcome(point, "") for point in self.study.points]
            if is_over():
                numbers = " ".join(jobs)
                waiting = f"in the queue; the same command waits for it again, scancel {numbers} removes it"
                return [self._outcome(point, waiting if jobs else "") for point in self.study.points]
            if tasks and all(task.reason.lower() in STUCK for task in tasks):
                return [self._outcome(point, "stuck in the queue") for point in self.study.points]
            time.sleep(ask_every)

    def _ready(self, tasks: Sequence[_Task], retries: int) -> list[Point]:
        """Return the points that are to be submitted now: missing, not in the queue, and worth another try.

        A task counts as gone when two answers in a row lack it. A point whose generation 0 another one makes waits.
        """
        queued = {task.point for task in tasks}
        missing = [p for p in self.study.points if p.name not in self.finished and p.name not in queued]
        missing = [p for p in missing if not self._is_given_up(p, retries)]
        seen_before = {p.name for p in missing if p.name in self.gone or p.name not in self.tries}
        self.gone = {p.name for p in missing} - seen_before
        at_work, ready = [p for p in self.study.points if p.name in queued], list[Point]()
        for point, fault in self.first.startable([p for p in missing if p.name in seen_before], at_work):
            if fault:
                self.tries[point.name] = retries + 1
                self.why[point.name] = fault
                self.on_change(point, f"failed: {fault}")
            else:
                ready.append(point)
        return ready

    def _is_given_up(self, point: Point, retries: int) -> bool:
        """Whether a point was tried often enough, or two tries in a row have added nothing to it."""
        before = [*self.made.get(point.name, []), point_state(point).made]
        return self.tries.get(point.name, 0) > retries or (len(before) > 2 and before[-3] == before[-1])

    def _submit(self, points: Sequence[Point], jobs: Mapping[str, Sequence[str]]) -> tuple[str, list[str]]:
        script = self.study.folder / "array.sh"
        text = script_of(self.study, points, self.job, self.threads, self.device)
        with written_whole(script) as partial:
            partial.write_text(text, encoding="utf-8")
        done = _ask("sbatch", "--parsable", str(script))
        number = done.stdout.strip().partition(";")[0]
        if done.returncode or not number.isdecimal():
            raise ValueError(f"sbatch refused {shown(script)}: {quoted((done.stderr or done.stdout).strip(), 400)}")
        names = [point.name for point in points]
        with written_whole(self.record) as partial:
            partial.write_text(json.dumps({"jobs": {**jobs, number: names}}), encoding="utf-8")
        for index, point in enumerate(points):
            self.tries[point.name] = self.tries.get(point.name, 0) + 1
            self.made.setdefault(point.name, []).append(point_state(point).made)
            self.on_change(point, f"submitted as task {number}_{index}")
        return number, names

    def _known_jobs(self) -> dict[str, list[str]]:
        """Return the jobs of an earlier call, number -> the points of its tasks; some may be in the queue still."""
        try:
            jobs = json.loads(self.record.read_text("utf-8"))["jobs"]
            return {str(int(number)): [str(name) for name in names] for number, names in jobs.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _take_note(self, tasks: Sequence[_Task]) -> None:
        """Tell what has changed: points that are finished, tasks that wait, run or are stuck."""
        points = {point.name: point for point in self.study.points}
        for point in points.values():
            if point.name not in self.finished and point_state(point).state == "finished":
                self.finished.add(point.name)
                self.on_change(point, "finished")
        for task in tasks:
            point = points.get(task.point)
            if point is None or point.name in self.finished:  # its task is about to end
                continue
            help_ = STUCK.get(task.reason.lower())
            words = task.state.lower() if help_ is None else f"stuck ({task.reason}): {help_.format(task=task.name)}"
            self.why.pop(point.name, None)
            if help_ is not None:
                self.why[point.name] = words
            if self.told.get(point.name) != words:
                self.told[point.name] = words
                self.on_change(point, words)

    def _tasks(self, jobs: Mapping[str, Sequence[str]]) -> list[_Task]:
        """Return the tasks of some jobs that are in the queue."""
        said = ""
        for _ in range(SILENT if jobs else 0):
            done = _ask("squeue", "-h", "-r", "-j", ",".join(jobs), "-o", "%F|%K|%T|%r")
            if done.returncode == 0:
                rows = [line.strip().split("|") for line in done.stdout.splitlines() if line.count("|") == 3]
                return [
                    _Task(number, int(index), jobs[number][int(index)], state, reason)
                    for number, index, state, reason in rows
                    if index.isdecimal() and int(index) < len(jobs.get(number, []))
                ]
            if "Invalid job id" in done.stderr:  # they ended long ago
                return []
            said = done.stderr.strip()
            time.sleep(1.0)
        if not jobs:
            return []
        raise ValueError(f"squeue did not answer {SILENT} times: {quoted(said, 300)}")

    def _outcome(self, point: Point, waiting: str) -> Outcome:
        return outcome_of(self.study, point, point_state(point), self.why.get(point.name) or waiting)


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm.

    Raises:
        ValueError: if it is not installed, or does not answer within two minutes.
    """
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except FileNotFoundError as error:
        raise ValueError(
            f"{words[0]}: not found. On a machine of the cluster it is there; elsewhere print the script with "
            "--executor slurm --dry-run, and submit it there"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{words[0]} did not answer within {COMMAND_SECONDS:.0f} s") from error
