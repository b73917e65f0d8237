"""``imagelab plan``: what an experiment or a sweep will cost, and what it can see, before anything starts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from ..io.untrusted import quoted
from ..runs.consent import allow_commands
from ..sweeps import Forecast, PointCost, forecast_of, refusals
from .console import UsageError, err, out
from .overrides import plugged, taken
from .plan_power import asked_power, power_plan, tell_power
from .sweep import SweepWords

__all__ = ["plan_command", "record_of", "tell_forecast"]

MOST_POINTS = 40  # lines of the table of points
HELP = """\
imagelab plan FILE [--setting VALUES ...]   what FILE, or a sweep over the values, will cost; runs nothing

  VALUES         as for `imagelab run` and `imagelab sweep`; --points FILE as for `imagelab sweep`
  --jobs N       points of a sweep, or processes of one run, at a time; as many as there are cores if not given
  --threads N    threads of each process; OMP_NUM_THREADS, else 1, if not given
  --memory GB    that may be used; nine tenths of what is free if not given
  --keep none    models that stay on the disk: models (all), last or none
  --json         the same for programs
  --pilot RUN    how many chains and images it takes to see a loss, from the spread of a finished run;
                 --loss 0.1 (a share), --metric freckles/net, --generation 10 (the last if not given)

It tries every model, metric and dataset for about a minute on this machine, in a temporary folder. What is finished
already is not counted. Exit code 1 where the disk or the memory is too small."""


def plan_command(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> int:
    """Say what an experiment or a sweep will cost, before anything starts: imagelab plan FILE [flags of run and sweep].

    Images, trainings, seconds, core-hours, disk and memory, from a calibration of about a minute on this machine.
    `imagelab plan --help` says more.
    """
    words = plugged(tokens)
    if not words or words[0] in ("--help", "-h"):
        out.print(HELP, markup=False)
        return 0 if words else 2
    if words[0].startswith("-"):
        raise UsageError(f"plan FILE: expected an experiment such as experiments/smoke.py first, got {words[0]}")
    as_json = "--json" in words
    return _cost(words[0], [word for word in words[1:] if word != "--json"], as_json)


def _cost(file: str, words: list[str], as_json: bool) -> int:
    import psutil

    from ..report import write_report

    wanted, words = asked_power(words)
    memory, _ = taken(words, "--memory")
    asked = SweepWords(words)
    study = asked.study(Path(file), "plan", alone=True)
    for point in study.points:
        allow_commands(point.experiment)

    def say(phase: str) -> None:
        if not as_json:
            err.print(f"calibrating: {phase}", markup=False)

    forecast = forecast_of(study.points, asked.limits, report=write_report, on_phase=say)
    powered = None if wanted is None else power_plan(wanted, forecast.points[0], forecast.threads)
    free = round(asked.limits.memory_gb * 1e9) if memory else int(psutil.virtual_memory().available) * 9 // 10
    reasons = refusals(forecast, free)
    if as_json:
        record = record_of(forecast, reasons) | ({} if powered is None else {"power": powered.record()})
        out.print(json.dumps(record, indent=1), markup=False, soft_wrap=True, highlight=False)
    else:
        tell_forecast(file, forecast, free)
        if powered is not None:
            tell_power(powered)
        for reason in reasons:
            err.print(f"does not fit: {reason}", markup=False, style="bold red" if err.is_terminal else None)
    return 1 if reasons else 0


def record_of(forecast: Forecast, reasons: list[str]) -> dict[str, Any]:
    """Return a forecast as JSON values; bytes and seconds."""
    points = [
        {
            "settings": dict(each.point.settings),
            "run": each.point.name,
            "shards_made": each.made,
            "shards_planned": each.planned,
            "images": each.images,
            "images_drawn": each.drawn,
            "trainings": each.trainings,
            "core_seconds": round(each.work * forecast.threads, 2),
            "parts": {name: round(seconds, 2) for name, seconds in (each.parts or {}).items()},
            "disk": round(each.disk),
            "disk_of_models": round(each.models),
            "files": each.files,
            "peak_memory": round(each.peak),
        }
        for each in forecast.points
    ]
    return {
        "seconds": round(forecast.seconds, 2),
        "core_seconds": round(forecast.core_seconds, 2),
        "factor_of_uncertainty": round(forecast.ratio, 3),
        "factor_of_load_now": round(forecast.busy, 3),
        "jobs": forecast.jobs,
        "threads": forecast.threads,
        "workers": forecast.workers,
        "disk": round(forecast.disk),
        "disk_meanwhile": round(forecast.most_disk),
        "peak_memory": round(forecast.peak),
        "processes": forecast.processes,
        "calibration_seconds": round(forecast.calibration, 1),
        "measured_with_images": forecast.tried[0],
        "unknown": list(forecast.unknown),
        "does_not_fit": reasons,
        "points": points,
    }


def tell_forecast(file: str, forecast: Forecast, free: int) -> None:
    """Print a forecast for a person."""
    left, all_points = forecast.left, forecast.points
    many = len(all_points) > 1
    if not left:
        out.print("everything is finished already; nothing is left to run", markup=False)
        return
    title = f"{len(left)} of {len(all_points)} runs are left" if many else "one run"
    done = sum(each.made for each in left)
    out.print(
        f"{quoted(file, 80)}: {title}{f', {done} generation folders of them are there' if done else ''}\n", markup=False
    )
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value, note in _rows(forecast, free):
        table.add_row(name, value, note)
    out.print(table)
    _where(left)
    if many:
        _each(left)
    for note in _notes(forecast):
        out.print(f"note: {note}", markup=False, soft_wrap=True)


def _rows(forecast: Forecast, free: int) -> list[tuple[str, str, str]]:
    from ..io.disk import free_bytes

    left, runs = forecast.left, forecast.points[0].point.experiment.runtime.runs
    low, high = forecast.seconds / forecast.ratio, forecast.seconds * forecast.ratio
    how = f"{forecast.jobs} runs at a time" if len(forecast.points) > 1 else f"{forecast.workers} processes"
    how = "one process" if max(forecast.jobs, forecast.workers) == 1 else how
    threads = f" of {forecast.threads} threads" if forecast.threads > 1 else ""
    drawn, images = sum(each.drawn for each in left), sum(each.images for each in left)
    models = sum(each.models for each in left)
    files, kept = sum(each.files for each in left), f", {_bytes(models)} of models" if models else ""
    more = f"{drawn:,} are drawn" if drawn != images else ""
    each = f"a process, {forecast.processes} at a time" if forecast.processes > 1 else "one process"
    work = forecast.core_seconds
    return [
        ("images", f"{images:,}", more),
        ("trainings", f"{sum(point.trainings for point in left):,}", ""),
        ("time", _time(forecast.seconds), f"{_time(low)} to {_time(high)}; {how}{threads}"),
        (
            "work",
            f"{work / 3600:,.3g} core-hours" if work >= 3600 else _time(work),
            "" if work >= 3600 else "of one core",
        ),
        ("disk", _bytes(forecast.disk), f"{files:,} files{kept}; {_bytes(free_bytes(runs))} free"),
        ("memory", _bytes(forecast.peak), f"{each}; {_bytes(free)} free"),
    ]


def _where(left: tuple[PointCost, ...]) -> None:
    """Print what the time is spent on."""
    parts: dict[str, float] = {}
    for each in left:
        for name, seconds in (each.parts or {}).items():
            parts[name] = parts.get(name, 0.0) + seconds
    whole = sum(parts.values())
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    words = [f"{name} {seconds / whole:.0%}" for name, seconds in ordered if seconds >= 0.01 * whole]
    out.print(f"\nthe work: {', '.join(words)}", markup=False, soft_wrap=True)


def _each(left: tuple[PointCost, ...]) -> None:
    """Print a line for each point."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("run", "to make", "work", "disk"):
        table.add_column(title, overflow="fold", justify="left" if title == "run" else "right")
    for each in left[:MOST_POINTS]:
        made = f"{each.planned - each.made} of {each.planned}"
        table.add_row(each.point.words, made, _time(each.work), _bytes(each.disk))
    out.print()
    out.print(table)
    if len(left) > MOST_POINTS:
        out.print(f"... and {len(left) - MOST_POINTS} more (--json has all)", markup=False)
    out.print()


def _notes(forecast: Forecast) -> list[str]:
    tried, real = forecast.tried
    share = (
        f"measurements were tried with {tried:,} of {real:,} images" if tried < real else "measurements with all images"
    )
    notes = [
        f"calibrated in {forecast.calibration:.0f} s, {share}; times are those of a machine that does nothing else"
    ]
    if forecast.busy > 1.2:
        slow = _time(forecast.seconds * forecast.busy)
        notes.append(f"this machine is busy: as it is now, everything takes {forecast.busy:.1f} times as long ({slow})")
    if forecast.processes > 1:
        notes.append("not known: how much processes that run at the same time slow each other down")
    return [*notes, *forecast.unknown]


def _time(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    Example:
        >>> _time(42.4), _time(600), _time(9000), _time(400_000)
        ('42 s', '10 min', '2.5 h', '4.6 days')
    """
    units = (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48), ("days", 86_400, math.inf))
    unit, size, _ = next(each for each in units if seconds < each[1] * each[2])
    count = seconds / size
    return f"{count:.2g} {unit}" if count < 9.95 else f"{count:,.0f} {unit}"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 100 * size else f"{count / size:,.0f} {unit}"
    return f"{count / 1e3:.0f} kB"
