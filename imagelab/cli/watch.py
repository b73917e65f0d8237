"""``imagelab watch RUN``: the stage of a run, which measurements moved first, and an exit code for cluster jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.table import Table

from ..evaluation.stages import Move, StageHistory, first_moves, stages_of, warning
from ..measurement import Measurement
from ..run_folder import RunFolder
from .console import UsageError, out

__all__ = ["PAST", "watch"]

PAST = 3
"""Exit code if a run has reached the chosen stage or a later one."""

Stage = Literal["tails fading", "homogenising", "collapsed"]


def watch(
    run: Path,
    /,
    *,
    past: Stage | None = None,
    line: int = 0,
    follow: Annotated[bool, Parameter(negative="")] = False,
    every: float = 10.0,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Report the stage of collapse of a run and which measurements moved first.

    Exit codes: 0 before the chosen stage or without one, 3 at it or beyond, 1 without usable measurements, 2 for a
    wrong command.

    Parameters
    ----------
    run
        The run folder, finished or not.
    past
        The stage at which to exit with 3: "tails fading", "homogenising" or "collapsed".
    line
        Which model: 0 is the main one, control models follow.
    follow
        Wait for further generations until the run is finished or the stage is reached.
    every
        Seconds between two checks with --follow.
    json_
        Print one JSON object instead of a table.
    """
    folder = RunFolder.open(run)
    if line not in range(_lines(folder)):
        raise ValueError(f"--line: {run} has lines 0 to {_lines(folder) - 1}, got {line}")
    if every <= 0:
        raise UsageError(f"--every: expected seconds above 0, got {every:g}")
    measured = _wait(folder, line, past, every) if follow else folder.measurements()
    found, moves = stages_of(measured, line), first_moves(measured, line)
    if json_:
        out.print(_as_json(folder, found, moves), markup=False)
    else:
        _show(folder, found, moves, measured)
    if not found.signals:
        return 1
    return PAST if past and found.reached(past) else 0


def _lines(folder: RunFolder) -> int:
    return 1 + len(folder.config["experiment"].get("arms") or ())


def _planned(folder: RunFolder) -> int:
    planned = folder.config["experiment"].get("generations")
    if not planned:
        raise ValueError(f"{folder.path}: its config.json does not say how many generations are planned. Restore it.")
    return planned


def _wait(
    folder: RunFolder, line: int, past: str | None, every: float, sleep: Callable[[float], None] = time.sleep
) -> list[Measurement]:
    """Check every ``every`` seconds; return the measurements at the chosen stage or after the last generation."""
    planned, seen = _planned(folder), 0
    while True:
        measured = folder.measurements()
        found = stages_of(measured, line)
        newest = max(found.stages)
        if newest > seen:
            out.print(f"generation {newest}: {found.last}", markup=False)
            seen = newest
        if newest >= planned or (past and found.reached(past)):
            return measured
        sleep(every)


def _show(folder: RunFolder, found: StageHistory, moves: tuple[Move, ...], measured: list[Measurement]) -> None:
    made, planned = max(found.stages), _planned(folder)
    out.print(f"{folder.path.name}: {made} of {planned} generations, stage: {found.last}", markup=False)
    if not found.signals:
        out.print(_nothing(measured), markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("gen.", justify="right")
    table.add_column("stage", no_wrap=True)
    for signal in found.signals:
        table.add_column(signal.title, justify="right")
    for generation, stage in found.stages.items():
        if generation:
            lost = [signal.lost.get(generation) for signal in found.signals]
            table.add_row(str(generation), stage, *("–" if share is None else f"{share:+.0%}" for share in lost))
    out.print(table)
    out.print("(share lost relative to real images; a minus means more than in real images)", markup=False)
    for sentence in warning(found, moves):
        out.print(sentence, markup=False)


def _nothing(measurements: list[Measurement]) -> str:
    made = {m.name.partition("/")[0] for m in measurements if m.generation > 0}
    if not made:
        return "No generation is measured yet."
    return (
        "The stage cannot be determined: expected measurements such as pixel_variance, perceptual_diversity, spectrum, "
        f"freckles, tails or prdc, got {', '.join(sorted(made))}. Add some of them to the metrics of the experiment."
    )


def _as_json(folder: RunFolder, found: StageHistory, moves: tuple[Move, ...]) -> str:
    result = {
        "run": folder.path.name,
        "stage": found.last,
        "stages": {str(generation): stage for generation, stage in found.stages.items()},
        "since": dict(found.since),
        "signals": [
            {"name": s.key, "family": s.family, "lost": {str(g): v for g, v in s.lost.items()}} for s in found.signals
        ],
        "moves": [asdict(move) for move in moves],
    }
    return json.dumps(result, ensure_ascii=not out.is_unicode)
