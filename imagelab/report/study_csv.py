"""The numbers of a study for spreadsheets: every measured value of every point, and every effect.

study.csv has one row for each point, generation, line and measurement: the mean over the trainings of a run, and below
it each training. A point without any measurement has one row that says why. effects.csv has what the page shows of
effects. Numbers are written with seven digits, which is more than any interval of them allows.

Two intervals stand beside a value. That of the images holds other images of the same model and other real images; that
of a repetition is where another run with as many other trainings would find the value (evaluation/chains.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..evaluation.chains import repetition
from ..evaluation.significance import replicated
from ..measurement import Measurement
from ..pool import REAL
from .run_view import Run, plain
from .study_effects import Effect
from .study_view import StudyPoint, StudyView

__all__ = ["EFFECT_COLUMNS", "VALUE_COLUMNS", "effects_csv", "values_csv"]

VALUE_COLUMNS = (
    "finished",
    "generation",
    "line",
    "model",
    "chain",
    "measurement",
    "unit",
    "value",
    "stderr_images",
    "low_images",
    "high_images",
    "sd_trainings",
    "df_trainings",
    "sd_trainings_from",
    "low_repetition",
    "high_repetition",
    "trainings",
    "n_generated",
    "n_real",
    "missing",
)
"""Columns of study.csv after the run, its seed and the swept settings, each by its dotted name."""

EFFECT_COLUMNS = (
    "measurement",
    "outcome",
    "setting",
    "value",
    "against",
    "difference",
    "half_seeds",
    "half_trainings",
    "half_images",
    "half_mixed_model",
    "pairs",
    "pairs_planned",
    "seeds",
    "lowest",
    "highest",
    "sd_trainings",
    "in_sd_trainings",
    "p_holm",
)
"""Columns of effects.csv; half_X is half the width of the 95 % interval over X."""


def values_csv(study: StudyView) -> str:
    """Return study.csv."""
    names = list(study.axes)
    rows: list[Sequence[Any]] = [["run", "seed", *names, *VALUE_COLUMNS]]
    for point in study.points:
        known = [point.name, point.seed, *(plain(point.settings.get(name, ""), 200) for name in names)]
        rows += [[*known, *rest] for rest in _of_point(point)]
    return _text(rows)


def _of_point(point: StudyPoint) -> Iterator[list[Any]]:
    finished = "yes" if point.is_finished else "no"
    run = point.run
    if run is None or not run.measurements:
        yield [finished, *[""] * (len(VALUE_COLUMNS) - 2), point.why]
        return
    for m in sorted(run.measurements, key=lambda m: (m.generation, m.line, m.predicted)):
        if not m.predicted:
            yield [finished, *_row(run, m, "mean" if m.chains > 1 else "0" if m.generation else "", m.line)]
    if run.replicates > 1:
        for m in sorted(run.each, key=lambda m: (m.generation, m.line)):
            if not m.predicted and m.generation > 0 and 0 <= m.line < run.roles * run.replicates:
                yield [finished, *_row(run, m, str(m.line // run.roles), m.line % run.roles)]


def _row(run: Run, m: Measurement, chain: str, role: int) -> list[Any]:
    images, repeated = (
        m.interval or ("", ""),
        (m.generation > 0 and m.between is not None and repetition(m)) or ("", ""),
    )
    source = "" if m.between is None else "its trainings" if replicated(m) else "table of other runs"
    numbers = [m.value, m.stderr, *images, m.between, m.between_df, source, *repeated]
    model = plain(run.label(REAL if m.line == REAL else role, 80))
    known = [m.generation, m.line, model, chain, plain(m.name, 200), plain(m.unit)]
    return [*known, *map(_short, numbers), m.chains if m.generation else "", m.n_fake, m.n_real, plain(m.missing, 200)]


def effects_csv(primary: str, found: Mapping[str, Sequence[Effect]]) -> str:
    """Return effects.csv.

    Args:
        primary: the primary outcome.
        found: measurement -> its effects.
    """
    rows: list[Sequence[Any]] = [EFFECT_COLUMNS]
    for name, each in found.items():
        kind = "primary" if name == primary else "secondary"
        rows += [[plain(name, 200), kind, *_effect(effect, name == primary)] for effect in each]
    return _text(rows)


def _effect(effect: Effect, tested: bool) -> list[Any]:
    each = effect.estimated
    halves = (each.value, each.seeds, each.trainings, each.images, effect.mixed)
    p = effect.p if tested else None
    rest = (effect.lowest, effect.highest, effect.retraining, effect.ratio, p)
    known = [effect.axis, plain(effect.value, 200), plain(effect.base, 200), *map(_short, halves)]
    return [*known, effect.pairs, effect.planned, each.used, *map(_short, rest)]


def _short(value: Any) -> Any:
    if value is None:
        return ""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _text(rows: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
