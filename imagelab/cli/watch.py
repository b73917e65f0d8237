"""``imagelab watch RUN``: the stages of a run, which measurements moved first, and an exit code for cluster jobs.

With ``--folder DIR --real REAL`` it follows a folder of pictures instead (watch_folder.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from ..evaluation.chains import means_of_run
from ..evaluation.moves import Move, first_moves, warning
from ..evaluation.signals import Verdict
from ..evaluation.stages import StageHistory, stages_of
from ..measurement import Measurement
from ..run_folder import RunFolder
from .console import UsageError, out
from .watch_folder import FolderOptions, seconds_of, watch_folder

__all__ = ["PAST", "watch"]

PAST = 3
"""Exit code if a run has reached the chosen stage or a later one."""

Stage = Literal["tails fading", "homogenising", "collapsed"]

COMPARED = {"loop": "generation 1", "quality": "real images"}
"""Verdict -> what the generations are compared with."""


def watch(
    run: Path | None = None,
    /,
    *,
    past: Stage | None = None,
    verdict: Verdict = "loop",
    line: int = 0,
    follow: Annotated[bool, Parameter(negative="")] = False,
    every: str = "",
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    options: Annotated[FolderOptions | None, Parameter(name="*", group="With --folder")] = None,
) -> int:
    """Report the stage of collapse of a run, or follow a folder of pictures: imagelab watch --folder DIR --real REAL.

    There are two verdicts: on the loop, which compares with generation 1, and on the quality of the images, which
    compares with real images. A weak first model has a poor quality without any loop.

    Exit codes: 0 before the chosen stage or without one, 3 at it or beyond, 1 if there are no usable measurements or,
    with a chosen stage, too few images for a verdict, 2 for a wrong command. With --folder: 0 no alarm, 3 an alarm, 1
    an error, or none of the new batches could be judged.

    With --folder every complete batch is compared with REAL, and the rate of false alarms is stated.

    Parameters
    ----------
    run
        The run folder, finished or not.
    past
        The stage at which to exit with 3: "tails fading", "homogenising" or "collapsed".
    verdict
        Which verdict the table shows and --past uses: "loop" (since generation 1) or "quality" (against real images).
    line
        Which model: 0 is the main one, control models follow.
    follow
        Wait for further generations until the run is finished or the stage is reached.
    every
        Time between two checks, such as 30s, 5m or 1h; 10 seconds with --follow, 1 hour with --folder, if not given.
    json_
        Print one JSON object instead of a table; with --folder one a batch.
    """
    asked = options or FolderOptions()
    seconds = seconds_of(every, "--every") if every else 10.0 if run else 3600.0
    if run is None:
        return watch_folder(asked, seconds, json_)
    if asked.folder is not None or asked.real:
        raise UsageError("watch follows a run (imagelab watch RUN) or a folder (--folder DIR --real REAL), not both")
    folder = RunFolder.open(run)
    if line not in range(_lines(folder)):
        raise ValueError(f"--line: {run} has lines 0 to {_lines(folder) - 1}, got {line}")
    measured = _wait(folder, line, past, seconds, verdict) if follow else _measured(folder)
    both = {each: stages_of(measured, line, each) for each in get_args(Verdict)}
    found, moves = both[verdict], first_moves(measured, line)
    if json_:
        out.print(_as_json(folder, both, verdict, moves), markup=False)
    else:
        _show(folder, both, verdict, measured, line)
        for sentence in warning(both["loop"], moves) if found.signals else ():
            out.print(sentence, markup=False)
    if not found.signals and (past or not found.refused) and not _is_start(both, verdict, _newest(measured, line)):
        return 1
    return PAST if past and found.reached(past) else 0


def _measured(folder: RunFolder) -> list[Measurement]:
    """Return one measurement for each role, the mean over the chains of the run."""
    return means_of_run(folder.config["experiment"], folder.measurements())


def _newest(measured: Sequence[Measurement], line: int) -> int:
    return max((m.generation for m in measured if m.line == line and not m.predicted), default=0)


def _is_start(both: Mapping[Verdict, StageHistory], verdict: Verdict, newest: int) -> bool:
    """Whether the loop cannot be judged only because generation 1, with which it is compared, is the last one yet."""
    return verdict == "loop" and newest == 1 and bool(both["quality"].signals)


def _lines(folder: RunFolder) -> int:
    return 1 + len(folder.config["experiment"].get("arms") or ())


def _planned(folder: RunFolder) -> int:
    planned = folder.config["experiment"].get("generations")
    if not planned:
        raise ValueError(f"{folder.path}: its config.json does not say how many generations are planned. Restore it.")
    return planned


def _wait(
    folder: RunFolder,
    line: int,
    past: str | None,
    every: float,
    verdict: Verdict = "loop",
    sleep: Callable[[float], None] = time.sleep,
) -> list[Measurement]:
    """Check every ``every`` seconds; return the measurements at the chosen stage or after the last generation."""
    planned, seen = _planned(folder), 0
    while True:
        measured = _measured(folder)
        found = stages_of(measured, line, verdict)
        newest = _newest(measured, line)
        if newest > seen:
            out.print(f"generation {newest}: {found.last}", markup=False)
            seen = newest
        if newest >= planned or (past and found.reached(past)):
            return measured
        sleep(every)


def _show(
    folder: RunFolder,
    both: Mapping[Verdict, StageHistory],
    verdict: Verdict,
    measured: Sequence[Measurement],
    line: int,
) -> None:
    found, made, planned = both[verdict], _newest(measured, line), _planned(folder)
    stages = "; ".join(f"{name} (against {COMPARED[name]}): {_stage(each)}" for name, each in both.items())
    out.print(f"{folder.path.name}: {made} of {planned} generations; {stages}", markup=False)
    if found.refused:
        out.print(found.refused, markup=False)
    if not found.signals:
        if not found.refused:
            start = "Only generation 1 is measured yet, with which the later ones are compared."
            out.print(start if _is_start(both, verdict, made) else _nothing(measured), markup=False)
        return
    for text in _table(found):
        out.print(text, markup=False)
    out.print(f"(share lost relative to {COMPARED[verdict]}; a minus means more than there)", markup=False)
    if found.one_training:
        out.print("(one training: how far another one would differ is estimated from other runs)", markup=False)


def _table(found: StageHistory) -> list[str]:
    """Return the generations and their losses as lines; titles are broken between words, and no word is cut."""
    heads = [["gen."], ["stage"], *(signal.title.split() for signal in found.signals)]
    rows = []
    for generation, stage in found.stages.items():
        lost = [signal.lost.get(generation) for signal in found.signals]
        if any(share is not None for share in lost):
            rows.append([str(generation), stage, *("–" if share is None else f"{share:+.0%}" for share in lost)])
    high = max(map(len, heads))
    columns = [
        [""] * (high - len(head)) + head + [row[place] for row in rows] for place, head in enumerate(heads)
    ]  # titles stand on the line above the first generation
    widths = [max(map(len, column)) for column in columns]
    return [
        " ".join(
            cell.ljust(width) if place == 1 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in zip(*columns, strict=True)
    ]


def _stage(found: StageHistory) -> str:
    return found.last if found.signals else "not judged"


def _nothing(measurements: Sequence[Measurement]) -> str:
    made = {m.name.partition("/")[0] for m in measurements if m.generation > 0}
    if not made:
        return "No generation is measured yet."
    return (
        "The stage cannot be determined: expected measurements such as pixel_variance, perceptual_diversity, spectrum, "
        f"freckles, tails or prdc, got {', '.join(sorted(made))}. Add some of them to the metrics of the experiment."
    )


def _as_json(folder: RunFolder, both: Mapping[Verdict, StageHistory], verdict: Verdict, moves: tuple[Move, ...]) -> str:
    found = both[verdict]
    result = {
        "run": folder.path.name,
        "verdict": verdict,
        "stage": _stage(found),
        **{name: _stage(each) for name, each in both.items()},
        "stages": {str(generation): stage for generation, stage in found.stages.items()},
        "since": dict(found.since),
        "refused": found.refused,
        "one_training": found.one_training,
        "signals": [
            {
                "name": s.key,
                "family": s.family,
                "lost": {str(g): v for g, v in s.lost.items()},
                "error": {str(g): v for g, v in s.error.items()},
            }
            for s in found.signals
        ],
        "moves": [asdict(move) for move in moves],
    }
    return json.dumps(result, ensure_ascii=not out.is_unicode)
