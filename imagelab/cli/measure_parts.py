"""``imagelab measure --by-class`` and ``--paired``: class by class, and picture by picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..evaluation.by_class import ByClass, measure_by_class
from ..evaluation.comparison import columns, figures
from ..evaluation.paired_sets import PairedSets, measure_pairs
from ..io.atomic import write_atomic
from ..io.untrusted import few, shown
from ..metrics.paired import PAIRED
from ..runs.device import choose_device
from .console import UsageError, err, out
from .measure_options import MeasureOptions
from .measure_tables import ERRORS_HOLD, TEXTS, plain_table

__all__ = ["say_by_class", "say_pairs"]

CLASS_HEAD = ("Class", "Key", "Value", "95 % low", "95 % high", "Real images", "n made / real")
MEAN = "mean over classes"
MEAN_HOLDS = (
    "the mean gives every class the same weight; its 95 % interval holds for other pictures of these same classes, not "
    "for other classes, and not for another training"
)
SHOWN = 20  # pictures of a table on the terminal
NAMES = 10  # unmatched names that are given one by one


def say_by_class(real: Path, fake: Path, options: MeasureOptions, names: Sequence[str] | None) -> int:
    """Measure class by class and print the result in the form that is asked for."""
    found = measure_by_class(
        real,
        fake,
        options.opening,
        names,
        seed=options.seed,
        device=options.device,
        freckle_style=options.freckle_style,
        tell=lambda name: err.print(f"class {shown(name)}"),
    )
    if options.output is not None:
        _write(options.output, _class_records(found), CLASS_HEAD, _class_rows(found, options.everything))
    title = f"{fake} against {real}, class by class ({len(found.classes)} classes)"
    if options.as_json or options.form == "json":
        out.print(json.dumps(_class_records(found), ensure_ascii=not out.is_unicode, indent=1), markup=False)
    else:
        notes = [ERRORS_HOLD, MEAN_HOLDS, *(" ".join(each.split()) for each in found.remarks)]
        _print_in(options.form, CLASS_HEAD, _class_rows(found, options.everything), title, notes, "llrrrrr")
    return 0


def say_pairs(real: Path, fake: Path, options: MeasureOptions) -> int:
    """Score picture by picture and print the result in the form that is asked for, the worst first."""
    found = measure_pairs(real, fake, options.opening, choose_device(options.device))
    scores = list(found.scores)
    head = ("Picture", *(f"{name} [{PAIRED[name][1]}]" if PAIRED[name][1] else name for name in scores))
    order = [int(row) for row in found.worst_first()]
    rows = [(shown(found.names[row]), *(figures(float(found.scores[name][row])) for name in scores)) for row in order]
    records = [_pair_record(found, row) for row in order]
    if options.output is not None:
        cells = [[record["picture"], *(record[name] for name in scores)] for record in records]
        _write(options.output, records, ("Picture", *scores), cells)
    title = f"{fake} against {real}: {len(order)} pairs, matched {found.matched}; the worst first"
    notes = _pair_notes(found)
    if options.as_json or options.form == "json":
        whole = {"matched": found.matched, "missing": dict(found.missing), "alone": found.alone, "pairs": records}
        out.print(json.dumps(whole, ensure_ascii=not out.is_unicode, indent=1), markup=False)
    elif options.form == "table":
        hidden = len(rows) - SHOWN
        more = [f"{hidden} better pairs are not shown; --output pairs.csv writes all"] if hidden > 0 else []
        _print_in("table", head, rows[:SHOWN], title, [*more, *notes], "")
    else:
        _print_in(options.form, head, rows, title, notes, "l" + "r" * len(scores))
    return 0


def _class_rows(found: ByClass, everything: bool) -> list[tuple[str, ...]]:
    rows = []
    for name, measured in found.classes.items():
        for m in measured.shown(everything):
            low, high = m.interval or (None, None)
            counts = f"{m.n_fake} / {m.n_real}"
            rows.append((shown(name), m.name, figures(m.value), figures(low), figures(high), figures(m.floor), counts))
    for mean in found.means(everything):
        cells = (MEAN, mean.name, figures(mean.value), figures(mean.low), figures(mean.high))
        rows.append((*cells, "", f"{mean.classes} classes, {figures(mean.least)} to {figures(mean.most)}"))
    return rows


def _class_records(found: ByClass) -> list[dict[str, Any]]:
    records = [{"class": name, **json.loads(m.to_json())} for name, measured in found.classes.items() for m in measured]
    return records + [
        {"class": None, "mean_over_classes": m.name, "value": m.value, "low": m.low, "high": m.high}
        | {"classes": m.classes, "least": m.least, "most": m.most}
        for m in found.means(True)
    ]


def _pair_record(found: PairedSets, row: int) -> dict[str, Any]:
    values = {name: float(scores[row]) for name, scores in found.scores.items()}
    record: dict[str, Any] = {"picture": found.names[row]}
    return record | {name: value if math.isfinite(value) else None for name, value in values.items()}


def _pair_notes(found: PairedSets) -> list[str]:
    notes = []
    for name in found.scores:
        mean, better = found.mean(name), PAIRED[name][0]
        words = "not finite: equal pictures are among the pairs" if mean is None else ""
        if mean is not None:
            words = f"{figures(mean[0])}, 95 % interval {figures(mean[1])} to {figures(mean[2])}"
        notes.append(f"mean {name} ({better} is better): {words}")
    notes.append("intervals hold for other pairs drawn like these, if each pair is independent of the others")
    notes += [f"missing: {name}: {reason}" for name, reason in found.missing.items()]
    for side, names in zip(("real", "fake"), found.alone, strict=True):
        if names:
            notes.append(f"without a counterpart on the other side, {side}: {len(names)} ({few(names, NAMES)})")
    return notes + [" ".join(note.split()) for note in found.notes]


def _print_in(
    form: str, head: Sequence[str], rows: Sequence[Sequence[str]], title: str, notes: Sequence[str], aligned: str
) -> None:
    if form != "table":
        out.print(plain_table(form, head, rows, title, notes, aligned), markup=False)
        for note in notes if form == "csv" else ():
            err.print(note, markup=False)
        return
    out.print(title, markup=False)
    for line in (*columns(head, rows), *notes):
        out.print(line, markup=False)


def _write(path: Path, records: Sequence[dict[str, Any]], head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a row a line: as JSON, or as the table that the ending names."""
    form = TEXTS.get(path.suffix.lower(), "")
    if form:
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        write_atomic(path, plain_table(form, head, cells, path.stem, [ERRORS_HOLD]) + "\n")
    elif path.suffix.lower() in (".json", ".jsonl"):
        write_atomic(path, "".join(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in records))
    else:
        raise UsageError(f"--output: expected a name that ends in .jsonl, {', '.join(TEXTS)}, got {shown(path)}")
    err.print(f"rows: {path}", markup=False)
