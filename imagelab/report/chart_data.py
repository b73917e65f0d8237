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

from markupsafe import Markup

from ..evaluation.chains import repetition
from ..io.marks import xmp_rdf
from ..measurement import Measurement
from ..pool import REAL
from .key_figures import Fact
from .numbers import interval
from .panels import Panel, title_of
from .pictured import Pictured
from .run_view import Run, plain

__all__ = ["COLUMNS", "as_island", "csv_text", "measured_rows", "page_data"]

FEW = 3
"""Pictures at the top of the page on a narrow screen."""

CHART = "A chart of measurements. Generations from 1 on are images that a model made."
"""What the metadata of a saved curve say of it."""

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


def as_island(value: Any) -> Markup:
    r"""Return a value as JSON for a script element: no ``<``, ``>`` or ``&`` remains that could end the element.

    Example:
        >>> str(as_island("</script>"))
        '"\\u003c/script\\u003e"'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def page_data(
    run: Run,
    rows: Mapping[str, Any],
    charts: Mapping[str, Panel],
    facts: Sequence[Fact],
    hero: Pictured | None,
    shown: int,
) -> Markup:
    """Return everything that the scripts of a page need, as JSON that is safe inside a script element.

    Keys: ``run``, ``last``; ``models``: line -> label; ``rows``: measurement -> ``title``, ``unit``, ``n``, ``real``
    (numbers of images), ``trainings`` and ``lines``: line -> rows of [generation, value, low, high, text]; ``charts``:
    key -> ``title``, ``frames`` and ``series`` ([label, measurement, line, colour]); ``facts``: ``value``, ``beside``,
    ``note``; ``hero``: of the pictures at the top, by generation, ``counts`` (``few``: on a narrow screen), ``spots``;
    ``marks``: the metadata of a curve that is saved as SVG, with ``{title}`` in place of its title.

    Args:
        run: the run.
        rows: its :func:`measured_rows`.
        charts: key -> figure.
        facts: the key figures.
        hero: the freckles found in the pictures at the top, None if they were not counted.
        shown: the number of these pictures.
    """
    data: dict[str, Any] = {
        "run": run.name,
        "last": run.last,
        "models": {str(line): plain(run.label(line, 80)) for line in (REAL, *run.lines)},
        "rows": rows,
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
        "marks": xmp_rdf("chart", "{title}", CHART),
    }
    return as_island(data)


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


def measured_rows(run: Run) -> dict[str, Any]:
    """Return ``rows`` of :func:`page_data`: every measurement with its values, as they are printed."""
    return {name: row for name in run.names if (row := _rows(run, name))}


def _rows(run: Run, name: str) -> dict[str, Any]:
    """Return what is known of a measurement, real images as line -1; empty where it has no value."""
    real = run.real(name)
    found = {REAL: [real] if real else [], **{line: run.series(name, line) for line in run.lines}}
    lines = {line: rows for line, rows in found.items() if rows}
    if not lines:
        return {}
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


def csv_text(run: Run, rows: Mapping[str, Any]) -> str:
    """Return every measured value of the run as CSV with the columns :data:`COLUMNS`, lines ended by a line feed.

    Args:
        run: the run.
        rows: its :func:`measured_rows`.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_csv_rows(run, rows))
    return file.getvalue()


def _csv_rows(run: Run, rows: Mapping[str, Any]) -> Iterator[list[Any]]:
    for name, row in rows.items():
        for line, values in row["lines"].items():
            model = plain(run.label(int(line), 80))
            trainings = row["trainings"] if int(line) != REAL else 1
            for generation, value, low, high, _ in values:
                ends = ["" if end is None else end for end in (low, high)]
                known = [name, row["title"], row["unit"], model, generation, value]
                yield [*known, *ends, trainings, row["n"], row["real"]]
