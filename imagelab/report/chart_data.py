"""The numbers of a page as data: for its scripts (JSON inside the page) and for spreadsheets (CSV).

Every value stands with the ends of its 95 % interval and with the text that the page prints for it, so that nothing is
rounded twice. A value is the mean over the trainings of the run, see numbers.py for what its interval holds.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..evaluation.chains import repetition
from ..measurement import Measurement
from ..pool import REAL
from .key_figures import Fact
from .numbers import interval
from .panels import Panel, title_of
from .pictured import Pictured
from .run_view import Run, plain

__all__ = ["COLUMNS", "csv_text", "page_data"]

FEW = 3
"""Pictures at the top of the page on a narrow screen."""

COLUMNS = (
    "measurement",
    "title",
    "unit",
    "model",
    "generation",
    "value",
    "low",
    "high",
    "trainings",
    "n_generated",
    "n_real",
)
"""Columns of the CSV: ``low`` and ``high`` are the ends of the 95 % interval, empty where it is unknown."""


def page_data(run: Run, charts: Mapping[str, Panel], facts: Sequence[Fact], hero: Pictured | None, shown: int) -> str:
    """Return everything that the scripts of a page need, as JSON that is safe inside a script element.

    Keys: ``run``, ``last``; ``models``: line -> label; ``rows``: measurement -> ``title``, ``unit``, ``n``, ``real``
    (numbers of images), ``trainings`` and ``lines``: line -> rows of [generation, value, low, high, text]; ``charts``:
    key -> ``title``, ``frames`` and ``series`` ([label, measurement, line, colour]); ``facts``: ``value``, ``beside``,
    ``note``; ``hero``: of the pictures at the top, by generation, ``counts`` (``few``: on a narrow screen), ``spots``.

    Args:
        run: the run.
        charts: key -> figure.
        facts: the key figures.
        hero: the freckles found in the pictures at the top, None if they were not counted.
        shown: the number of these pictures.
    """
    data: dict[str, Any] = {
        "run": run.name,
        "last": run.last,
        "models": {str(line): plain(run.label(line, 80)) for line in (REAL, *run.lines)},
        "rows": {name: _rows(run, name) for name in run.names if _lines(run, name)},
        "charts": {
            key: {
                "title": panel.title,
                "frames": [frame.numbers() for frame in panel.frames],
                "series": [[each.label, each.name, each.line, each.colour] for each in panel.plotted],
            }
            for key, panel in charts.items()
        },
        "facts": [
            {"value": fact.value, "beside": [by_generation for _, by_generation in fact.beside], "note": fact.note}
            for fact in facts
        ],
        "hero": _hero(hero, shown),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hero(hero: Pictured | None, shown: int) -> dict[str, Any] | None:
    if hero is None:
        return None
    return {
        "counts": {generation: hero.words(generation, shown) for generation in hero.spots},
        "few": {generation: hero.words(generation, min(shown, FEW)) for generation in hero.spots},
        "spots": {
            generation: [[[round(float(v), 1) for v in spot[:2]] for spot in each] for each in pictures]
            for generation, pictures in hero.spots.items()
        },
    }


def _lines(run: Run, name: str) -> dict[int, list[Measurement]]:
    """Return the measured values of each line, real images as line -1."""
    real = run.real(name)
    found = {REAL: [real] if real else [], **{line: run.series(name, line) for line in run.lines}}
    return {line: rows for line, rows in found.items() if rows}


def _rows(run: Run, name: str) -> dict[str, Any]:
    lines = _lines(run, name)
    some = next(reversed(lines.values()))[-1]
    return {
        "title": title_of(run, name),
        "unit": plain(some.unit),
        "n": some.n_fake,
        "real": some.n_real,
        "trainings": max(m.chains for rows in lines.values() for m in rows),
        "lines": {str(line): [_row(m) for m in rows] for line, rows in lines.items()},
    }


def _row(m: Measurement) -> list[Any]:
    ends = repetition(m)
    return [m.generation, *map(_short, (m.value, *(ends or (None, None)))), interval(m)]


def _short(value: float | None) -> float | None:
    """Round to seven digits, which is more than any interval of these data allows."""
    return None if value is None else float(f"{value:.7g}")


def csv_text(run: Run) -> str:
    """Return every measured value of the run as CSV with the columns :data:`COLUMNS`, lines ended by a line feed."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_csv_rows(run))
    return file.getvalue()


def _csv_rows(run: Run) -> Iterator[list[Any]]:
    for name in run.names:
        lines = _lines(run, name)
        if not lines:
            continue
        row = _rows(run, name)
        for line, measured in lines.items():
            for generation, value, low, high, _ in map(_row, measured):
                ends = ["" if end is None else end for end in (low, high)]
                model = plain(run.label(line, 80))
                yield [
                    name, row["title"], row["unit"], model, generation, value, *ends,
                    row["trainings"] if line != REAL else 1, row["n"], row["real"],
                ]  # fmt: skip
