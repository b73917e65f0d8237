"""The table of ``imagelab measure``: for a terminal of any width, and as Markdown, LaTeX and CSV.

In the terminal, measurements stand in groups under the title and the unit of their metric, each with its key. Where
the width does not suffice, keys are broken after a slash and verdicts between words.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from ..evaluation.comparison import ARROWS, SIGMAS, figures
from ..evaluation.evaluate import Measured
from ..measurement import Measurement
from ..metrics import METRICS, row_of

__all__ = ["ERRORS_HOLD", "FORMS", "TEXTS", "Form", "Judged", "beyond_by_chance", "judged", "plain_table", "text_table"]

Form = Literal["table", "json", "markdown", "latex", "csv"]

HEAD = ("Metric", "Key", "Value", "Standard error", "Unit", "Real images", "n made / real", "Verdict", "Feature space")
GAP = "  "
NARROWEST = 12  # letters of a verdict's column
READABLE = 24  # letters from which on a verdict's column is wide enough to leave the keys whole
MEANT = {"lower": "lower is better", "higher": "higher is better", "two-sided": "as real images is better"}
CHANCE = 0.0455  # of a normal variable beyond two standard errors


@dataclass(frozen=True)
class Judged:
    """One measurement with the title of its metric and its verdict against real images."""

    measured: Measurement
    title: str
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of a whole table, as text; the columns are those of ``HEAD``."""
        m = self.measured
        error = "" if m.stderr is None else figures(m.stderr, 2)
        counts = f"{m.n_fake} / {m.n_real}"
        return (
            self.title,
            m.name,
            figures(m.value),
            error,
            m.unit,
            figures(m.floor),
            counts,
            self.verdict,
            m.feature_space,
        )


def judged(result: Measured, everything: bool = False) -> list[Judged]:
    """Return the measurements to show, in the order of the panel.

    Args:
        result: what was measured.
        everything: whether numbers without a direction are shown.
    """
    found = []
    for m, cells in zip(result.shown(everything), result.rows(everything), strict=True):
        row = row_of(m.name)
        found.append(Judged(m, METRICS[row].title if row else "", cells[6]))
    return found


def beyond_by_chance(rows: Sequence[Judged]) -> str:
    """Return one sentence on how many of the verdicts exceed two sigma by chance; "" where there is no verdict."""
    tested = [
        row for row in rows if row.verdict.endswith(" sigma") or (row.verdict.startswith("within") and _has_errors(row))
    ]
    if not tested:
        return ""
    n, expected = len(tested), CHANCE * len(tested)
    many = f"about {expected:.0f}" if expected >= 1.5 else "about one" if expected >= 0.5 else f"{expected:.1f}"
    return (
        f"of {n} verdicts, {many} can be expected beyond {SIGMAS:g} sigma by chance where nothing differs from real "
        "images; single verdicts near that limit mean little"
    )


def _has_errors(row: Judged) -> bool:
    return row.measured.stderr is not None and row.measured.floor_stderr is not None


def text_table(rows: Sequence[Judged], width: int) -> list[str]:
    """Return the table as lines of at most ``width`` letters where that is possible; an empty list without rows."""
    if not rows:
        return []
    head = ("key", "", "value ± stderr", "floor", "verdict")
    cells = [_narrow(row) for row in rows]
    fixed = [max(len(each[column]) for each in (head, *cells)) for column in (1, 2, 3)]
    left = width - len(GAP) * 5 - sum(fixed)
    keys, verdicts = (max(len(each[column]) for each in (head, *cells)) for column in (0, 4))
    broken = keys + min(verdicts, READABLE) > left
    if broken:
        keys = max(len(part) for each in (head, *cells) for part in _parts(each[0]))
    verdicts = min(verdicts, max(NARROWEST, left - keys))
    widths = (keys, *fixed, verdicts)
    lines = [_line(head, widths, broken)]
    group = ("", "")
    for row, each in zip(rows, cells, strict=True):
        unit = row.measured.unit or (
            group[1] if row.title == group[0] else ""
        )  # a pure number needs no line of its own
        if (row.title, unit) != group:
            lines.append([f"{row.title} [{unit}]" if unit else row.title])
        lines.append(_line(each, widths, broken))
        group = row.title, unit
    return [*(line for block in lines for line in block), *_beside(rows, width)]


def _narrow(row: Judged) -> tuple[str, ...]:
    m = row.measured
    error = "" if m.stderr is None else f" ± {figures(m.stderr, 2)}"
    return m.name, ARROWS[m.better], figures(m.value) + error, figures(m.floor), row.verdict


def _parts(key: str) -> list[str]:
    stem, slash, tail = key.partition("/")
    return [stem + slash, f" {tail}"] if tail else [key]


def _line(row: Sequence[str], widths: Sequence[int], broken: bool) -> list[str]:
    """Return one row as one line, or as several where its key or its verdict is broken."""
    keys = _parts(row[0]) if broken and len(row[0]) > widths[0] else [row[0]]
    verdicts = textwrap.wrap(row[4], widths[4]) or [""]
    lines = []
    for number, (key, verdict) in enumerate(zip_longest(keys, verdicts, fillvalue="")):
        cells = (key, *(row[1:4] if number == 0 else ("", "", "")), verdict)
        lines.append((GAP + GAP.join(c.ljust(w) for c, w in zip(cells, widths, strict=True))).rstrip())
    return lines


def _beside(rows: Sequence[Judged], width: int) -> list[str]:
    """Return what is the same for many rows: numbers of images, feature spaces."""
    counts = Counter((row.measured.n_fake, row.measured.n_real) for row in rows)
    (common, _), *_ = counts.most_common(1)
    others: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        pair = row.measured.n_fake, row.measured.n_real
        if pair != common:
            others.setdefault(pair, []).append(row.measured.name)
    said = [f"n made/real: {common[0]}/{common[1]}"]
    said += [f"{n}/{real} in {', '.join(names)}" for (n, real), names in others.items()]
    spaces = list(dict.fromkeys(row.measured.feature_space for row in rows if row.measured.feature_space))
    lines = textwrap.wrap("; ".join(said), width, subsequent_indent=GAP, break_on_hyphens=False)
    if spaces:
        words = f"feature spaces: {', '.join(spaces)}"
        lines += textwrap.wrap(words, width, subsequent_indent=GAP, break_on_hyphens=False)
    better = {row.measured.better for row in rows}
    arrows = [f"{ARROWS[each]} {words}" for each, words in MEANT.items() if each in better]
    return [*lines, ", ".join(arrows)] if arrows else lines


def _markdown(rows: Sequence[Judged], title: str, notes: Sequence[str]) -> str:
    return plain_table("markdown", HEAD, [row.cells for row in rows], title, notes)


LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}


def _tex(text: str) -> str:
    return "".join(LATEX.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _latex(rows: Sequence[Judged], title: str, notes: Sequence[str]) -> str:
    return plain_table("latex", HEAD, [row.cells for row in rows], title, notes, "llrrlrrll")


def plain_table(
    form: str, head: Sequence[str], rows: Sequence[Sequence[str]], title: str, notes: Sequence[str], aligned: str = ""
) -> str:
    """Return a table of text cells.

    Args:
        form: "markdown", "latex" (booktabs) or "csv".
        head: titles of the columns.
        rows: cells.
        title: what was measured; a comment in LaTeX, not in CSV.
        notes: sentences below a table in Markdown, comments in LaTeX, not in CSV.
        aligned: l or r for each column of LaTeX; all l if not given.
    """
    if form == "csv":
        return _separated(head, rows)
    if form == "markdown":
        lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        lines += [f"| {' | '.join(_escaped(cell, '|`*_[]<', chr(92)) for cell in row)} |" for row in rows]
        return "\n".join([f"{_escaped(title, '`*_[]<', chr(92))}:", "", *lines, "", *(f"- {note}" for note in notes)])
    lines = [f"% {title}", *(f"% {note}" for note in notes), r"% needs \usepackage{booktabs}"]
    lines += [f"\\begin{{tabular}}{{{aligned or 'l' * len(head)}}}", r"\toprule", f"{' & '.join(map(_tex, head))} \\\\"]
    lines += [r"\midrule", *(f"{' & '.join(map(_tex, row))} \\\\" for row in rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _separated(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([head, *rows])
    return file.getvalue().removesuffix("\n")


TEXTS = {".md": "markdown", ".tex": "latex", ".csv": "csv"}
"""Ending of a file -> the form of a table in it."""


COLUMNS = (
    "title",
    "name",
    "value",
    "stderr",
    "unit",
    "floor",
    "floor_stderr",
    "n_made",
    "n_real",
    "better",
    "verdict",
    "feature_space",
)


def _csv(rows: Sequence[Judged], title: str, notes: Sequence[str]) -> str:
    """Return all digits, one line a measurement; title and notes have no place in CSV."""
    cells = []
    for row in rows:
        m = row.measured
        own = (m.value, m.stderr, m.unit, m.floor, m.floor_stderr, m.n_fake, m.n_real, m.better)
        cells.append([row.title, m.name, *own, row.verdict, m.feature_space])
    return _separated(COLUMNS, cells)


def _escaped(text: str, marks: str, with_: str) -> str:
    return "".join(with_ + c if c in marks else c for c in text)


ERRORS_HOLD = (
    "standard errors, and 95 % intervals made of them, are those of the images: what other images of the same model "
    "and other real ones would give; another training of the model differs by more"
)
"""What a reader of a table has to know of its errors."""

FORMS: dict[str, Callable[[Sequence[Judged], str, Sequence[str]], str]] = {
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
}
"""Format -> (measurements, what was measured against what, notes) -> the whole text."""
