"""The record of the detectors as tables of text: for the terminal, for Markdown and CSV, and for the report page.

Values are means over the trainings of a generator with their 95 % interval; see summary.py for what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .record import DetectionRecord
from .summary import Averaged, averaged, role_labels, rows_of
from .trials import ALL, PLAIN, POOLED, TrialRow, altered_generations
from .verdicts import Rate

__all__ = [
    "TextTable",
    "all_tables",
    "altered_table",
    "false_positives",
    "interval_words",
    "lines_table",
    "markdown",
    "matrix_values",
    "same_area",
    "share_text",
    "told_interval",
]

MATRICES = (ALL, "features")
PARTS = (ALL, PLAIN, "features", "spectrum", "reconstruction")
VARIANT_WORDS = {
    ALL: "all cues",
    PLAIN: "without the copying error",
    "features": "features alone",
    "spectrum": "spectrum alone",
    "reconstruction": "copying error alone",
    POOLED: "pooled",
}


@dataclass(frozen=True)
class TextTable:
    """One table.

    Attributes:
        title: what it shows.
        head: of the columns.
        rows: of cells.
        note: what its intervals hold and what else matters; "" for nothing.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def share_text(value: float) -> str:
    """Return a share with two digits, three near the ends, and no 1.00 for less than 1.

    Example:
        >>> share_text(0.5), share_text(0.9984), share_text(0.99996), share_text(1.0), share_text(0.004)
        ('.50', '.998', '>.999', '1.00', '.004')
    """
    if 0.9995 <= value < 1:
        return ">.999"
    if 0 < value < 0.0005:
        return "<.001"
    text = f"{value:.3f}" if 0 < value < 0.02 or 0.98 < value < 1 else f"{value:.2f}"
    return text.removeprefix("0") if value < 1 else text


def told_interval(found: Averaged | Rate | None) -> str:
    """Return a value with its interval; an asterisk where it rests on too few false positives."""
    if found is None:
        return "–"
    mark = "*" if found.few else ""
    return f"{share_text(found.value)}{mark} [{share_text(found.low)}, {share_text(found.high)}]"


def interval_words(record: DetectionRecord) -> str:
    """Return what the intervals of the tables hold."""
    chains = max(sum(each.role == role for each in record.lines) for role in role_labels(record))
    groups = f" ({record.independent:,} that do not belong together)" if record.independent < record.real[1] else ""
    tested = f"{record.real[1]:,} real{groups} and {record.made[1]:,} generated test images of each line and generation"
    if chains > 1:
        return f"Means over {chains} trainings with the 95 % interval of the mean; {tested}."
    return f"One training: the 95 % intervals hold the test images alone; {tested}."


def all_tables(record: DetectionRecord) -> Iterator[TextTable]:
    """Yield every table of a record, in the order of a reader's questions."""
    for role, label in role_labels(record).items():
        yield _generations(record, role, label)
        yield _parts(record, role, label)
        for variant in MATRICES:
            yield _matrix(record, role, label, variant)
    across = lines_table(record)
    if across.rows:
        yield across
    yield altered_table(record)
    yield _pooled(record)
    yield _mixed(record)


def _generations(record: DetectionRecord, role: int, label: str) -> TextTable:
    figures: dict[str, Callable[[TrialRow], Rate]] = {
        "AUROC": lambda row: row.verdict.area,
        "found at 5 % FPR": lambda row: row.verdict.at_5,
        "found at 1 % FPR": lambda row: row.verdict.at_1,
        "balanced accuracy": lambda row: row.verdict.balanced,
    }
    plain = {
        "EER": lambda row: row.verdict.eer,
        "AP": lambda row: row.verdict.precision,
        "Brier": lambda row: row.verdict.brier,
        "ECE": lambda row: row.verdict.ece,
    }
    rows = []
    for generation in record.generations:
        chains = rows_of(record, role, "same", ALL, tested=generation)
        cells = [
            told_interval(averaged([[figure(row) for row in own] for own in chains])) for figure in figures.values()
        ]
        found = [row for own in chains for row in own]
        means = [sum(figure(row) for row in found) / len(found) if found else 0.0 for figure in plain.values()]
        rows.append((str(generation), *cells, *(share_text(mean) for mean in means)))
    note = f"{interval_words(record)} FPR: share of real images called generated."
    if any("*" in cell for row in rows for cell in row):
        note += " * rests on fewer than ten false alarms."
    return TextTable(
        f"{label}: a detector of each generation, on other images of it",
        ("generation", *figures, *plain),
        tuple(rows),
        note,
    )


def _parts(record: DetectionRecord, role: int, label: str) -> TextTable:
    kinds = [kind for kind in PARTS if any(rows_of(record, role, "same", kind))]
    rows = tuple(
        (str(generation), *(told_interval(same_area(record, role, kind, generation)) for kind in kinds))
        for generation in record.generations
    )
    heads = tuple(VARIANT_WORDS.get(kind, kind) for kind in kinds)
    return TextTable(f"{label}: what each cue brings, AUROC", ("generation", *heads), rows, interval_words(record))


def same_area(record: DetectionRecord, role: int, variant: str, generation: int) -> Averaged | None:
    """Return the AUROC of a generator's own detector on other images of one generation."""
    chains = rows_of(record, role, "same", variant, tested=generation)
    return averaged([[row.verdict.area for row in own] for own in chains])


def matrix_values(record: DetectionRecord, role: int, variant: str) -> dict[tuple[int, int], Averaged]:
    """Return the AUROC for each (generation trained on, generation tested on)."""
    found = {}
    pairs: dict[tuple[int, int], dict[int, list[Rate]]] = {}
    for kind in ("same", "later"):
        for own in rows_of(record, role, kind, variant):
            for row in own:
                pairs.setdefault((row.trained, row.tested), {}).setdefault(row.line, []).append(row.verdict.area)
    for where, lines in pairs.items():
        mean = averaged(lines.values())
        if mean is not None:
            found[where] = mean
    return found


def _matrix(record: DetectionRecord, role: int, label: str, variant: str) -> TextTable:
    values, generations = matrix_values(record, role, variant), record.generations
    rows = tuple(
        (
            str(trained),
            *(
                share_text(values[trained, tested].value) if (trained, tested) in values else "–"
                for tested in generations
            ),
        )
        for trained in generations
    )
    widest = max((each.high - each.low for each in values.values()), default=0.0)
    words = VARIANT_WORDS.get(variant, variant)
    return TextTable(
        f"{label}: trained on one generation, tested on another, AUROC, {words}",
        ("trained on", *(str(generation) for generation in generations)),
        rows,
        f"{interval_words(record)} The widest interval of the table is {share_text(widest)} wide.",
    )


def lines_table(record: DetectionRecord) -> TextTable:
    """Return the table of detectors on other generators, other trainings, and a second run."""
    labels, rows = role_labels(record), []
    role_of = {each.line: each.role for each in record.lines}
    second = {int(line): label for line, label in record.second_lines.items()}
    for role, label in labels.items():
        for variant in (ALL, PLAIN):
            for tested, groups in _targets(record, role, variant, role_of, second):
                cells = [
                    told_interval(averaged([[r.verdict.area for r in own if r.tested == generation] for own in groups]))
                    for generation in altered_generations(record.generations)
                ]
                if any(cell != "–" for cell in cells):
                    rows.append((label, tested, VARIANT_WORDS[variant], *cells))
    heads = tuple(f"generation {generation}" for generation in altered_generations(record.generations))
    return TextTable(
        "Trained on one generator, tested on another, AUROC",
        ("trained on", "tested on", "reads", *heads),
        tuple(rows),
        f"{interval_words(record)} Other lines of the same generation.",
    )


def _targets(
    record: DetectionRecord, role: int, variant: str, role_of: dict[int, int], second: dict[int, str]
) -> Iterator[tuple[str, list[list[TrialRow]]]]:
    """Yield (in words, rows of each training) for whatever a generator's detectors were tested on."""
    labels, chains = role_labels(record), rows_of(record, role, "lines", variant)
    for other, label in labels.items():
        words = f"{label}, another training" if other == role else label
        yield words, [[row for row in own if role_of.get(row.on_line) == other] for own in chains]
    far = rows_of(record, role, "run", variant)
    for label in dict.fromkeys(words.partition(", chain ")[0] for words in second.values()):
        lines = {line for line, words in second.items() if words.partition(", chain ")[0] == label}
        yield f"{label}, second run", [[row for row in own if row.on_line in lines] for own in far]


def altered_table(record: DetectionRecord) -> TextTable:
    """Return the table of detectors on altered images."""
    rows, generations = [], altered_generations(record.generations)
    names = list(dict.fromkeys(row.alteration for row in record.rows if row.alteration))
    for role, label in role_labels(record).items():
        for variant in (ALL, PLAIN):
            for name in ("", *names):
                kind = "altered" if name else "same"
                own = rows_of(record, role, kind, variant, alteration=name)
                own = [[row for row in each if row.tested in generations] for each in own]
                if not any(own):
                    continue
                cells = [
                    averaged([[row.verdict.area for row in each if row.tested == generation] for each in own])
                    for generation in generations
                ]
                cells += [averaged([[false_positives(row) for row in each] for each in own])]
                cells += [averaged([[row.verdict.sensitivity for row in each] for each in own])]
                words = (label, VARIANT_WORDS[variant], name or "unaltered")
                rows.append((*words, *(told_interval(cell) for cell in cells)))
    heads = tuple(f"AUROC, generation {generation}" for generation in generations)
    return TextTable(
        "After JPEG compression and resizing, both kinds of image altered alike",
        ("generator", "reads", "images", *heads, "real called generated", "generated found"),
        tuple(rows),
        f"{interval_words(record)} Altered: at most 200 images of each kind. The last two columns are at the threshold "
        "of unaltered images, means over these generations.",
    )


def false_positives(row: TrialRow) -> Rate:
    """Return the share of real test images that are called generated."""
    spared = row.verdict.specificity
    return Rate(1 - spared.value, 1 - spared.high, 1 - spared.low)


def _pooled(record: DetectionRecord) -> TextTable:
    rows: list[tuple[str, ...]] = []
    found = [row for row in record.rows if row.variant == POOLED and row.kind == "same"]
    role_of = {each.line: each.role for each in record.lines}
    for role, label in role_labels(record).items():
        for generation in record.generations:
            own = [row for row in found if role_of.get(row.on_line) == role and row.tested == generation]
            if own:
                figures = ([[row.verdict.area] for row in own], [[row.verdict.sensitivity] for row in own])
                rows.append((label, str(generation), *(told_interval(averaged(each)) for each in figures)))
    called = told_interval(false_positives(found[0]) if found else None)
    return TextTable(
        "The pooled detector, trained on all lines and generations",
        ("generator", "generation", "AUROC", "generated found"),
        tuple(rows),
        f"It calls {called} of the real test images generated; that interval holds the test images. "
        f"{interval_words(record)}",
    )


def _mixed(record: DetectionRecord) -> TextTable:
    rows = [
        (share_text(each.truth), str(each.n), share_text(each.called / each.n), told_interval(each.share))
        for each in record.mixed
    ]
    return TextTable(
        "How many of a mixed set are generated, estimated by the pooled detector",
        ("true share", "images", "called generated", "estimate"),
        tuple(rows),
        "One set each, of test images of all lines and generations; sensitivity and specificity are from other test "
        "images. The 95 % intervals hold the sample and both rates (Rogan and Gladen).",
    )


def markdown(tables: Sequence[TextTable]) -> str:
    """Return tables as Markdown."""
    parts = []
    for table in tables:
        lines = [f"**{table.title}**", "", _bar(table.head), _bar(["---"] * len(table.head)), *map(_bar, table.rows)]
        parts.append("\n".join([*lines, *(["", table.note] if table.note else [])]))
    return "\n\n".join(parts)


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |"
