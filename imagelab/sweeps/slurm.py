"""The Slurm executor: the points of a study as one array job, submitted by ``sbatch`` and followed by ``squeue``.

The script that is submitted needs nothing but Slurm: ``script_of`` prints it for those who submit it themselves. Run
folders and the study lie on a disk that all nodes share.

What Slurm says of a task that ended (its state, its exit code) differs between versions and with how it ended, so it is
not asked. A point is finished when its run folder says so. Points that are missing when no task is left are submitted
again: one that was killed goes on from its last finished step.

Slurm sends USR1 two minutes before the time limit; ``imagelab run`` then finishes its step and ends.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io.atomic import written_whole
from ..io.untrusted import quoted, shown
from ..runs.threads import default_threads
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


class _Follower:
    """Submits the missing points of one study, and follows their tasks in the queue."""

    def __init__(self, study: Study, job: SlurmJob, threads: int, device: str, on_change: Callable[[Point, str], None]):
        self.study, self.job, self.threads, self.device, self.on_change = study, job, threads, device, on_change
        self.record = study.folder / "slurm.json"
        self.finished: set[str] = {p.name for p in study.points if point_state(p).state == "finished"}
        self.told: dict[str, str] = {}
        self.stuck: dict[str, str] = {}

    def carry_out(self, retries: int, ask_every: float, is_over: Callable[[], bool]) -> list[Outcome]:
        """Submit and wait until every point is finished, has been tried often enough, or waits for ever."""
        tries: dict[str, int] = {}
        number, names = self._in_the_queue()
        while not is_over():
            missing = [point for point in self.study.points if point.name not in self.finished]
            if number is None:
                again = [p for p in missing if tries.get(p.name, 0) <= retries and not self._made_nothing(p, tries)]
                if not again:
                    break
                number, names = self._submit(again)
                for point in again:
                    tries[point.name] = tries.get(point.name, 0) + 1
            waiting = self._wait(number, names, ask_every, is_over)
            if waiting:  # told to stop, or what is left is stuck
                return [self._outcome(point, waiting) for point in self.study.points]
            number = None
        return [self._outcome(point, "") for point in self.study.points]

    def _made_nothing(self, point: Point, tries: dict[str, int]) -> bool:
        """Whether two tries in a row have added nothing to a point."""
        made, before = point_state(point).made, self._before().get(point.name, -1)
        return tries.get(point.name, 0) >= 2 and made <= before

    def _before(self) -> dict[str, int]:
        try:
            return {str(name): int(made) for name, made in json.loads(self.record.read_text("utf-8"))["made"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _submit(self, points: Sequence[Point]) -> tuple[str, list[str]]:
        script = self.study.folder / "array.sh"
        text = script_of(self.study, points, self.job, self.threads, self.device)
        with written_whole(script) as partial:
            partial.write_text(text, encoding="utf-8")
        done = _ask("sbatch", "--parsable", str(script))
        number = done.stdout.strip().partition(";")[0]
        if done.returncode or not number.isdecimal():
            raise ValueError(f"sbatch refused {shown(script)}: {quoted((done.stderr or done.stdout).strip(), 400)}")
        names = [point.name for point in points]
        made = {point.name: point_state(point).made for point in points}
        with written_whole(self.record) as partial:
            partial.write_text(json.dumps({"job": number, "points": names, "made": made}), encoding="utf-8")
        for index, point in enumerate(points):
            self.on_change(point, f"submitted as task {number}_{index}")
        return number, names

    def _in_the_queue(self) -> tuple[str | None, list[str]]:
        """Return the job of an earlier call that is in the queue still, and the points of its tasks."""
        try:
            known = json.loads(self.record.read_text("utf-8"))
            number, names = str(known["job"]), [str(name) for name in known["points"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None, []
        return (number, names) if number.isdecimal() and self._tasks(number) else (None, [])

    def _wait(self, number: str, names: Sequence[str], ask_every: float, is_over: Callable[[], bool]) -> str:
        """Wait until no task is in the queue and return ""; else why the waiting ended before that."""
        points = {point.name: point for point in self.study.points}
        while True:
            tasks = self._tasks(number)
            for point in points.values():
                if point.name not in self.finished and point_state(point).state == "finished":
                    self.finished.add(point.name)
                    self.on_change(point, "finished")
            for index, (state, reason) in tasks.items():
                point = points.get(names[index]) if index < len(names) else None
                if point is not None and point.name not in self.finished:  # else its task is about to end
                    self._tell(point, f"{number}_{index}", state, reason)
            if not tasks:
                return ""
            if all(reason.lower() in STUCK for _, reason in tasks.values()):
                return "stuck in the queue"
            if is_over():
                return f"in the queue; the same command waits for it again, scancel {number} removes it"
            time.sleep(ask_every)

    def _tell(self, point: Point, task: str, state: str, reason: str) -> None:
        help_ = STUCK.get(reason.lower())
        words = f"{state.lower()}" if help_ is None else f"stuck ({reason}): {help_.format(task=task)}"
        if help_ is not None:
            self.stuck[point.name] = words
        if self.told.get(point.name) != words:
            self.told[point.name] = words
            self.on_change(point, words)

    def _tasks(self, number: str) -> dict[int, tuple[str, str]]:
        """Return the tasks of a job that are in the queue: index -> (state, reason)."""
        said = ""
        for _ in range(SILENT):
            done = _ask("squeue", "-h", "-r", "-j", number, "-o", "%K|%T|%r")
            if done.returncode == 0:
                rows = [line.strip().split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
                return {int(index): (state, reason) for index, state, reason in rows if index.isdecimal()}
            if "Invalid job id" in done.stderr:  # it ended long ago
                return {}
            said = done.stderr.strip()
            time.sleep(1.0)
        raise ValueError(f"squeue did not answer {SILENT} times: {quoted(said, 300)}")

    def _outcome(self, point: Point, waiting: str) -> Outcome:
        return outcome_of(self.study, point, point_state(point), self.stuck.get(point.name) or waiting)


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
