"""`imagelab detect`: all detectors of a run, trained, tested, and recorded in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._version import __version__
from ..io.untrusted import shown
from ..metrics.features import PRIMARY, SPACES
from ..run_folder import RunFolder
from .record import VERSION, DetectionRecord, LineFacts, origins
from .trials import Trials, run_trials
from .verdicts import ALARMS
from .workbench import EACH, Bench, Told, experiment_of

__all__ = ["detect_run"]


def detect_run(
    run: RunFolder,
    second: RunFolder | None = None,
    each: int = EACH,
    device: str = "cpu",
    told: Told = lambda what, done, total: None,
) -> tuple[DetectionRecord, Trials]:
    """Return all tests of the detectors of a run; nothing is written yet (:meth:`DetectionRecord.write`).

    Args:
        run: the run. Generators of one's own must have been loaded.
        second: a second run, whose images are tested, too.
        each: how many generated images of every line and generation are used, half to train and half to test.
        device: torch device for features and copies.
        told: for progress.

    Raises:
        ValueError: if the images do not suffice, or those of the two runs differ in form.
    """
    bench = Bench(run, experiment_of(run), device, each, told)
    other = None
    if second is not None:
        shapes = [tuple(each.images(*shard).shape[1:]) for each in (run, second) for shard in each.shards()[:1]]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"--against {shown(second.path)}: its images are {_form(shapes[1])}, those of {shown(run.path)} are "
                f"{_form(shapes[0])}; a detector reads images of one form"
            )
        other = Bench(second, experiment_of(second), device, each, told, host=bench)
    trials = run_trials(bench, other)
    some = bench.made(*bench.shards[0])
    experiment, shape = bench.experiment, run.images(*bench.shards[0]).shape
    record = DetectionRecord(
        version=VERSION,
        imagelab=__version__,
        signature=run.config["signature"],
        made_from=origins(run),
        shape=(int(shape[1]), int(shape[2]), int(shape[3])),
        space=SPACES[PRIMARY].label,
        lines=[
            LineFacts(
                line,
                experiment.label(line),
                experiment.line(line).role,
                experiment.line(line).chain,
                [*bench.parts(line)],
            )
            for line in bench.lines
        ],
        generations=sorted({generation for generation, _ in bench.shards}),
        real=(len(bench.real.train), len(bench.real.test)),
        made=(len(some.train), len(some.test)),
        independent=_independent(bench),
        second=[] if second is None else [second.path.resolve().name, second.config["signature"]],
        second_lines={} if other is None else {str(line): other.experiment.label(line) for line in other.lines},
        notes=[*_notes(bench)],
        mixed=trials.mixed,
        rows=trials.rows,
    )
    return record, trials


def _form(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)


def _independent(bench: Bench) -> int:
    """Return how many independent images the real test images are."""
    groups = bench.real.tested_groups
    return len(bench.real.test) if groups is None else len(np.unique(groups))


def _notes(bench: Bench) -> Iterator[str]:
    tested = _independent(bench)
    if tested * 0.01 < ALARMS:
        yield (
            f"Rates at 1 % false positives rest on {tested * 0.01:.0f} false alarms among {tested} independent real "
            "test images; 1,000 are needed for them to mean something."
        )
    if tested * 0.05 < ALARMS:
        yield (
            f"Rates at 5 % false positives rest on {tested * 0.05:.0f} false alarms among {tested} independent real "
            "test images; 200 are needed."
        )
    if bench.experiment.curated:
        yield (
            "The curation of this run has compared candidates with the held-out images, so the generated images are "
            "not independent of the real test images."
        )
    if bench.groups is not None:
        yield "Real images that belong together are on one side of the division, and count as one in the intervals."
