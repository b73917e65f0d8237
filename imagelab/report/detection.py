"""The detectors of a run on its page: can generated images be told from real ones, and does it get easier?

It shows what `imagelab detect` has written into the run. Nothing is computed here but means over trainings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from ..detection.record import DetectionRecord
from ..detection.summary import Averaged, averaged, role_labels, rows_of
from ..detection.tables import (
    TextTable,
    altered_table,
    false_positives,
    interval_words,
    lines_table,
    matrix_values,
    same_area,
    share_text,
    told_interval,
)
from ..detection.trials import ALL, PLAIN
from .curves import Curve, end_labels, line_colour, new_axes
from .run_view import Run, plain
from .svg import INK, MUTED, themed_svg

__all__ = ["Detection", "HeatMap", "detection"]

HALF = "half size and back"
PALEST, DEEPEST = 0.0, 55.0  # percent of the colour behind the numbers of a heat map, at an AUROC of .5 and of 1
MARKERS = "osD^"


@dataclass(frozen=True)
class HeatMap:
    """A table whose cells are coloured by their value.

    Attributes:
        title: what it shows.
        generations: of rows (trained on) and columns (tested on).
        cells: rows of (text, percent of the colour).
    """

    title: str
    generations: tuple[int, ...]
    cells: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Detection:
    """The section of a page.

    Attributes:
        sentences: what was found, in words.
        curve: AUROC over the generations; None for a single generation.
        words: what the intervals hold.
        maps: trained on one generation, tested on another.
        altered: the table of altered images.
        across: the table of other generators; None where there are none.
        notes: limits of the record.
    """

    sentences: tuple[str, ...]
    curve: Curve
    words: str
    maps: tuple[HeatMap, ...]
    altered: TextTable
    across: TextTable | None
    notes: tuple[str, ...]


def detection(run: Run) -> tuple[Detection | None, str]:
    """Return the section, None where the run has no record; and why a record is not shown, "" otherwise."""
    try:
        record = DetectionRecord.read(run.store)
    except (ValueError, OSError) as error:
        return None, plain(f"The record of its detectors is not shown. {error}", 400)
    if record is None or not record.lines or not record.generations:
        return None, ""
    roles = role_labels(record)
    if 0 not in roles:
        return None, ""
    across, curve = lines_table(record), _curve(run, record)
    maps = tuple(
        heat for variant, title in ((ALL, "all cues"), ("features", "features alone"))
        if (heat := _heat_map(record, variant, f"{plain(roles[0], 40)}, {title}")) is not None
    )  # fmt: skip
    return Detection(
        tuple(_sentences(record)),
        replace(curve, svg=Markup(curve.svg)),
        interval_words(record),
        maps,
        altered_table(record),
        across if across.rows else None,
        tuple(plain(note, 300) for note in record.notes),
    ), ""


def _sentences(record: DetectionRecord) -> Iterator[str]:
    """Yield what the curve says: easier, harder, or no change that the intervals show."""
    first, last = record.generations[0], record.generations[-1]
    whole = [same_area(record, 0, ALL, generation) for generation in (first, last)]
    alone = [same_area(record, 0, "features", generation) for generation in (first, last)]
    if whole[0] is not None and whole[1] is not None:
        yield (
            "A detector is trained on one half of the images and tested on the other half. With all cues its AUROC is "
            f"{told_interval(whole[0])} in generation {first}"
            + (f" and {told_interval(whole[1])} in generation {last}." if last != first else ".")
        )
    resized = [[false_positives(row) for row in own] for own in rows_of(record, 0, "altered", ALL, alteration=HALF)]
    called = averaged(resized)
    if called is not None and called.low > 0.05:
        yield (
            f"Resized to half the side and back, {told_interval(called)} of the real images are called generated: the "
            "detector knows unaltered images only."
        )
    if alone[0] is None or alone[1] is None or first == last:
        return
    change = f"from {told_interval(alone[0])} in generation {first} to {told_interval(alone[1])} in generation {last}"
    if alone[1].low > alone[0].high:
        yield f"Generated images became easier to tell from real ones: with features alone the AUROC rose {change}."
    elif alone[1].high < alone[0].low:
        yield f"Generated images became harder to tell from real ones: with features alone the AUROC fell {change}."
    else:
        yield f"Neither easier nor harder beyond the intervals: with features alone the AUROC went {change}."


def _heat_map(record: DetectionRecord, variant: str, title: str) -> HeatMap | None:
    values, generations = matrix_values(record, 0, variant), tuple(record.generations)
    if len(generations) < 2 or not values:
        return None
    cells = tuple(
        tuple(_cell(values.get((trained, tested))) for tested in generations) for trained in generations
    )  # fmt: skip
    return HeatMap(title, generations, cells)


def _cell(found: Averaged | None) -> tuple[str, float]:
    if found is None:
        return "–", 0.0
    share = float(np.clip((found.value - 0.5) / 0.5, 0.0, 1.0))
    return share_text(found.value), round(PALEST + share * (DEEPEST - PALEST), 1)


def _curve(run: Run, record: DetectionRecord) -> Curve:
    """Draw the AUROC of the main generator's own detectors over the generations."""
    figure, axes = new_axes("AUROC (.5: cannot be told apart)", run.last, size=(7.2, 4.2))
    axes.axhline(0.5, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    ends, told = [(0.5, "chance", INK)], []
    for order, (label, points, dotted) in enumerate(_series(record)):
        colour, x = line_colour(order), [generation for generation, _ in points]
        y, low, high = (np.array([getattr(each, end) for _, each in points]) for end in ("value", "low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        marker, style, width = MARKERS[order % len(MARKERS)], ":" if dotted else "-", 1.6 if dotted else 2.0
        axes.plot(x, y, color=colour, marker=marker, markersize=5, linestyle=style, linewidth=width)
        ends.append((float(y[-1]), label, colour))
        told.append(f"{label}: {share_text(float(y[0]))} in generation {x[0]}, {share_text(float(y[-1]))} in {x[-1]}")
    lowest = min(axes.get_ylim()[0], 0.48)
    axes.set_ylim(lowest, 1.02)
    axes.tick_params(colors=MUTED)
    end_labels(axes, ends)
    label = plain(role_labels(record)[0], 40)
    return Curve(themed_svg(figure, "detectors"), f"AUROC of detectors of {label} over generations. {'; '.join(told)}.")


def _series(record: DetectionRecord) -> Iterator[tuple[str, list[tuple[int, Averaged]], bool]]:
    """Yield (label, points, whether dotted) of the curves."""
    for variant, label in ((ALL, "all cues"), ("features", "features")):
        points = [(generation, same_area(record, 0, variant, generation)) for generation in record.generations]
        kept = [(generation, found) for generation, found in points if found is not None]
        if kept:
            yield label, kept, False
    for variant, label in ((ALL, "resized, all cues"), (PLAIN, "resized, no copying")):
        points = []
        for generation in record.generations:
            own = rows_of(record, 0, "altered", variant, tested=generation, alteration=HALF)
            found = averaged([[row.verdict.area for row in each] for each in own])
            if found is not None:
                points.append((generation, found))
        if points:
            yield label, points, True
