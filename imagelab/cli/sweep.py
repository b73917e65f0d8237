"""``imagelab sweep``: one run for each combination of settings, and ``sweep status``: how far they are."""

from __future__ import annotations

import csv
import json
import shlex
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from ..experiment import Experiment
from ..io.untrusted import quoted, regular, shown
from ..metrics import METRICS, row_of
from ..runs.prepare import disk_need, split_sizes
from ..sweeps import (
    Limits,
    Outcome,
    Point,
    PointState,
    Primary,
    RayJob,
    SlurmJob,
    Study,
    point_state,
    run_local,
    run_ray,
    run_slurm,
    script_of,
)
from ..sweeps.axes import is_swept, values_of
from ..sweeps.settings import dotted
from .console import UsageError, err, out
from .overrides import load_experiment, parse, plugged, taken

__all__ = ["sweep_command"]

STOPPED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
MOST_ROWS = 100_000  # of a table of points
HELP = """\
imagelab sweep FILE [--setting VALUES ...]   run FILE once for every combination of the values
imagelab sweep status FOLDER                 how far the points of a study are
imagelab report FOLDER                       the page of a study, whatever of it is finished

  VALUES                 as for `imagelab run`, with lists and ranges: --regime.kind replace,accumulate --seed 0..4
                         0..8..2 has steps of two; range(0,5) is 0 to 4; a comma within a value is written \\,
  --set a.b=VALUES       the same as --a.b VALUES
  --points FILE          points that are no grid: a CSV with one setting a column, or a JSONL with one object a line
  --dry-run              list the points, what is there already, and the disk they need; run nothing
  --jobs N               points at a time; as many as there are cores, or GPUs, if not given
  --threads N            threads of each point; OMP_NUM_THREADS, else 1, if not given
  --memory GB            for all points together; nine tenths of what is free if not given
  --retries N            how often a killed point is started again: 2
  --fail-fast            start no other point after one has failed
  --primary KEY@GEN      the one outcome that the study is about, such as freckles/net@last: declare it before there are
                         results; all other measurements are then secondary. It can be changed later, which is recorded
  --executor slurm       as one array job of a cluster; with --dry-run its script is printed, to be submitted by hand.
                         --slurm.partition, .account, .time, .memory, .gpus, .constraint, .parallel; and --slurm.lines
                         "OPTION" for any other option of sbatch, as often as needed
  --executor ray         as tasks of Ray: of the cluster at --ray.address or RAY_ADDRESS, else of this machine;
                         --ray.gpus N for each point

A setting that only some kinds have belongs to those: with --regime.kind replace,mix, --regime.real-fraction 0.1,0.3
makes three points. The same command goes on with what was interrupted. Exit code 1 while a point is missing.
At the end the study has a page of all its points (index.html) and its numbers (study.csv, effects.csv).
`imagelab run FILE --help` lists the settings."""


def sweep_command(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> int:
    """Run an experiment once for every combination of settings: imagelab sweep FILE --seed 0..4 --regime.kind a,b.

    Every point is an ordinary run. The same command goes on with what was interrupted. `imagelab sweep --help` says
    more.
    """
    words = plugged(tokens)
    if not words or words[0] in ("--help", "-h"):
        out.print(HELP, markup=False)
        return 0 if words else 2
    if words[0] == "status":
        if len(words) != 2:
            raise UsageError("sweep status: expected the folder of one study, such as runs/photocopy-1a2b3c4d.study")
        study = Study.read(Path(words[1]))
        code = _tell([(point, point_state(point), "") for point in study.points])
        out.print(f"its page: imagelab report {shlex.quote(words[1])}", markup=False)
        return code
    if words[0].startswith("-"):
        raise UsageError(f"sweep FILE: expected an experiment such as experiments/smoke.py first, got {words[0]}")
    asked = _Asked(words[1:])
    study = replace(asked.study(Path(words[0])), command=tuple(words))
    if asked.dry_run and asked.executor == "slurm":
        study.write()
        script = script_of(study, study.points, asked.job, asked.limits.threads, _device(study))
        out.print(script, markup=False)
        return 0
    if asked.dry_run:
        return _plan(study)
    return _carry_out(study, asked)


class _Asked:
    """What the words of the command line ask for."""

    def __init__(self, words: Sequence[str]):
        self.dry_run, self.fail_fast = "--dry-run" in words, "--fail-fast" in words
        words = [word for word in words if word not in ("--dry-run", "--fail-fast")]
        found = {}
        for flag in ("--jobs", "--threads", "--memory", "--retries", "--points", "--executor", "--primary"):
            found[flag], words = taken(words, flag)
        self.executor = found["--executor"] or "local"
        if self.executor not in ("local", "ray", "slurm"):
            raise UsageError(f"--executor: expected local, ray or slurm, got {self.executor!r}")
        self.job, words = _slurm_job(words)
        address, words = taken(words, "--ray.address")
        gpus, words = taken(words, "--ray.gpus")
        self.ray = RayJob(address, _number("--ray.gpus", gpus))
        jobs, threads = (_number(flag, found[flag]) for flag in ("--jobs", "--threads"))
        memory, retries = _number("--memory", found["--memory"]), _number("--retries", found["--retries"] or "2")
        self.limits = Limits(int(jobs), int(threads), memory, int(retries))
        self.primary = Primary.parse(found["--primary"]) if found["--primary"] else None
        self.rows = _rows(Path(found["--points"])) if found["--points"] else []
        self.flags = _flags(words)
        for name, _ in self.flags:
            if name in ("runtime.workers", "runtime.batch", "runtime.processes"):
                raise UsageError(f"--{name}: a sweep chooses it for its points. --jobs and --threads say how many")

    def study(self, file: Path) -> Study:
        """Return the study of an experiment file with the swept settings."""
        kinds = {name.rpartition(".")[0] for name, values in self.flags if name.endswith(".kind") and _swept(values)}
        kinds |= {dotted(name).rpartition(".")[0] for row in self.rows for name in row if name.endswith(".kind")}
        fixed: list[str] = []
        axes: dict[str, Sequence[str]] = {}
        for name, values in self.flags:
            belongs = any(name.startswith(f"{kind}.") for kind in kinds)
            if _swept(values) or (belongs and len(values) == 1):
                axes[name] = values_of(values[0])
            else:
                fixed += [*([f"--{name.replace('_', '-')}"] if name else []), *values]
        base = parse(load_experiment(file), fixed, f"imagelab sweep {file}")
        if not self.limits.threads:
            self.limits = replace(self.limits, threads=base.runtime.threads)
        if not axes and not self.rows:
            raise UsageError("sweep: expected a list or a range, such as --seed 0..4, or --points FILE; got neither")
        study = Study.of(base, axes, self.rows, self.primary)
        if self.primary is not None:
            _check_primary(study, self.primary)
        return study


def _check_primary(study: Study, primary: Primary) -> None:
    """Raise UsageError if no point measures the primary outcome, or none reaches its generation."""
    panels = dict.fromkeys(name for point in study.points for name in point.experiment.panel)
    rows = {**METRICS, **{name: METRICS.find(name) for name in panels}}
    if row_of(primary.measurement, rows) not in panels:
        raise UsageError(
            f"--primary: no point of this study measures {quoted(primary.measurement, 80)}; its metrics are "
            f"{', '.join(panels)}. imagelab measure --list names what each of them gives"
        )
    most = max(point.experiment.generations for point in study.points)
    if primary.generation is not None and primary.generation > most:
        raise UsageError(f"--primary: expected a generation from 1 to {most}, or last, got {primary.generation}")


def _slurm_job(words: Sequence[str]) -> tuple[SlurmJob, list[str]]:
    """Return what ``--slurm.NAME VALUE`` asks for, and the other words."""
    asked: dict[str, Any] = {}
    known = SlurmJob.__dataclass_fields__
    for name in known:
        flag, values = f"--slurm.{name}", []
        while any(word.partition("=")[0] == flag for word in words):
            value, words = taken(words, flag, first=True)
            values.append(value)
        if name == "lines":
            asked[name] = tuple(values)
        elif values:
            asked[name] = int(_number(flag, values[-1])) if name in ("gpus", "parallel") else values[-1]
    other = [word for word in words if word.startswith("--slurm.")]
    if other:
        raise UsageError(f"{other[0]}: expected one of {', '.join(f'--slurm.{name}' for name in known)}")
    return SlurmJob(**asked), list(words)


def _swept(values: Sequence[str]) -> bool:
    return len(values) == 1 and is_swept(values[0])


def _flags(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return every flag as (dotted name, its values); words before the first flag have the name ""."""
    flags: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            flags.append((dotted(name), [value] if equals else []))
        elif flags:
            flags[-1][1].append(word)
        else:
            flags.append(("", [word]))
    told = []
    for name, values in flags:
        if name != "set":
            told.append((name, values))
            continue
        if len(values) != 1 or "=" not in values[0]:
            raise UsageError(f"--set: expected one setting such as regime.real_fraction=0.1, got {' '.join(values)!r}")
        setting, _, value = values[0].partition("=")
        told.append((dotted(setting), [value]))
    return told


def _number(flag: str, text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    whole = flag in ("--memory", "--ray.gpus") or value.is_integer()
    if not 0 <= value < 1e6 or not whole:
        raise UsageError(f"{flag}: expected a number, 0 or more, got {text!r}")
    return value


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the points of a table: settings by dotted name. Empty cells are settings that a point does not change."""
    regular(path)
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        rows = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                row = _json(line)
                if not isinstance(row, dict):
                    raise ValueError(f"{shown(path)}:{number}: expected one JSON object of settings a line")
                rows.append(row)
    elif path.suffix == ".csv":
        reader = csv.DictReader(text.splitlines(), strict=True)
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{shown(path)}:{reader.line_num}: expected a value for each column of the first line")
            rows.append({name.strip(): value.strip() for name, value in row.items() if value.strip()})
    else:
        raise ValueError(f"{shown(path)}: expected a .csv or .jsonl file")
    if not 0 < len(rows) <= MOST_ROWS:
        raise ValueError(f"{shown(path)}: {len(rows)} points; expected 1 to {MOST_ROWS:,}")
    return rows


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _plan(study: Study) -> int:
    """List the points, what of them is there, and the disk that the others need."""
    rows, total = [], 0
    for point in study.points:
        state = point_state(point)
        need = round((1 - state.share) * _disk(point.experiment))
        total += need
        rows.append((point, state, f"{need / 1e9:.2f} GB"))
    _tell(rows, "disk")
    out.print(f"study: {study.folder}; about {total / 1e9:.1f} GB of disk at the most; nothing was run", markup=False)
    return 0


def _disk(experiment: Experiment) -> int:
    return disk_need(experiment, split_sizes(experiment))


def _carry_out(study: Study, asked: _Asked) -> int:
    stopping: list[int] = []
    stop_words = "stopping: every point finishes its step; once more to stop at once"
    if asked.executor == "slurm":
        stop_words = "no longer waiting; the tasks stay in the queue"

    def stop(number: int, frame: FrameType | None) -> None:
        if not stopping:
            err.print(stop_words, markup=False)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.append(number)

    former = {number: signal.signal(number, stop) for number in SIGNALS}
    out.print(f"study: {study.folder}, {len(study.points)} points", markup=False)
    numbers = {point.name: number for number, point in enumerate(study.points, 1)}

    def say(point: Point, words: str) -> None:
        out.print(f"[{numbers[point.name]}/{len(numbers)}] {point.words}: {words}", markup=False)

    def is_stopping() -> bool:
        return bool(stopping)

    limits, device = asked.limits, _device(study)
    try:
        if asked.executor == "slurm":
            outcomes = run_slurm(
                study,
                asked.job,
                threads=limits.threads,
                device=device,
                retries=limits.retries,
                on_change=say,
                should_stop=is_stopping,
            )
        elif asked.executor == "ray":
            outcomes = run_ray(
                study,
                asked.ray,
                jobs=limits.jobs,
                threads=limits.threads,
                device=device,
                retries=limits.retries,
                on_change=say,
                should_stop=is_stopping,
            )
        else:
            fast = asked.fail_fast
            outcomes = run_local(study, limits, device=device, on_change=say, should_stop=is_stopping, fail_fast=fast)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    code = _tell([(each.point, each.state, each.why) for each in outcomes])
    _show(study, outcomes)
    return STOPPED if stopping and code else code


def _device(study: Study) -> str:
    return study.points[0].experiment.runtime.device


def _tell(rows: Sequence[tuple[Point, PointState, str]], last: str = "note") -> int:
    """Print a table of points; return 0 if all are finished, else 1."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    notes = any(note for *_, note in rows)
    for title in ("point", "state", "made", "run", *([last] if notes else [])):
        table.add_column(title, overflow="fold")
    for point, state, note in rows:
        cells = [point.words, state.state, f"{state.made} of {state.planned}", point.name]
        table.add_row(*cells, *([note or state.fault] if notes else []))
    out.print(table)
    finished = sum(state.state == "finished" for _, state, _ in rows)
    out.print(f"{finished} of {len(rows)} points are finished", markup=False)
    return 0 if finished == len(rows) else 1


def _show(study: Study, outcomes: Sequence[Outcome]) -> None:
    """Write the page of the study, and say where the logs of unfinished points are."""
    from ..report import write_study

    unfinished = [each for each in outcomes if not each.is_finished]
    for each in unfinished:
        if each.log is not None:
            err.print(f"{each.point.words}: {each.why}; its output: {each.log}", markup=False)
    try:
        page = write_study(study.folder, why={each.point.name: each.why for each in unfinished})
    except (ValueError, OSError) as error:
        err.print(f"the page of the study could not be written: {error}", markup=False)
    else:
        out.print(f"page: {page}", markup=False)
