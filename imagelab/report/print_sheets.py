"""Sheets: grids of a run's pictures for print and for papers, with a width in millimetres, as PNG, SVG or PDF.

    seeds      one seed per column, one generation per row: what each model draws from the same noise
    photocopy  one given image per column, copied again and again
    changed    the photocopies, in the order of how much they changed, largest change first
    nearest    generated images, each above the real training image that is nearest to it
    rare       one rare attribute per row: in each generation the image with the highest score for it

Pictures are enlarged by whole pixels (nearest neighbour) and never smoothed; the sheet says so. A text file of the same
name, ``.txt``, describes each picture, for captions and for readers who cannot see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from ..pool import REAL
from .attribute_names import attribute_words
from .grids import caption, counted_words, evenly_spaced
from .pictured import pictured
from .run_view import Run
from .sheet_layout import Sheet, SheetRow, sheet_figure, write_sheet
from .survival import presence

__all__ = ["KINDS", "Sheet", "SheetRow", "make_sheet", "nearest_pairs", "rare_sheet", "sheet_figure", "write_sheet"]

KINDS = ("seeds", "photocopy", "changed", "nearest", "rare")
ROWS = 8  # generations shown at most, where none are asked for
NEAR = 16  # images are averaged to 16 x 16 pixels before their distances are computed


def make_sheet(
    run: Run,
    kind: Literal["seeds", "photocopy", "changed", "nearest"],
    columns: int = 8,
    generations: Sequence[int] | None = None,
    line: int = 0,
) -> Sheet:
    """Return a sheet of a run's pictures, real ones on top.

    Args:
        run: the run.
        kind: what to show; see the module.
        columns: the largest number of pictures per row.
        generations: which to show, 0 for real; by default up to eight, evenly spaced. "nearest" shows the last one.
        line: which model.

    Raises:
        ValueError: for a line or generation that does not exist, or a kind for which this run has no pictures.
    """
    if line not in run.lines:
        raise ValueError(f"--line: {run.name} has lines {', '.join(map(str, run.lines))}, got {line}")
    if kind == "nearest":
        return _nearest_sheet(run, columns, (generations or [run.last])[-1], line)
    pictures = run.pictures("tracked" if kind == "seeds" else "photocopy", line)
    if max(pictures, default=0) == 0:
        raise ValueError(f"{run.name}: the {run.model(line)} has made no {kind} pictures (can this model copy images?)")
    chosen = _chosen(run, generations, sorted(pictures))
    order = _most_changed(pictures) if kind == "changed" else np.arange(len(pictures[chosen[0]]))
    shown = {generation: pictures[generation][order[:columns]] for generation in chosen}
    counted = pictured(run, shown)
    asides = {g: counted_words(counted, g) if counted else "" for g in chosen}
    rows = tuple(SheetRow(caption(g), shown[g], asides[g]) for g in chosen)
    model, made = run.model(line), len(rows[0].images)
    column = "one random seed per column" if run.same_seeds else "images in the same places of its sets"
    what = {
        "seeds": f"{model}: {column}",
        "photocopy": f"{model}: a photocopy of a photocopy",
        "changed": f"{model}: the photocopies that changed most",
    }[kind]
    note = "The images of the real row do not correspond to the columns below. " if kind == "seeds" else ""
    if counted:
        note += f"{counted.word.capitalize()} a picture: what the counter of the run finds in the pictures of the row. "
    told = [f"{row.caption}, {row.aside}" if row.aside else row.caption for row in rows]
    alt = f"A grid of {len(rows)} rows and {made} columns. Rows from top to bottom: {'; '.join(told)}. {what}. {note}"
    return Sheet(what, rows, (), note, alt.strip())


def _chosen(run: Run, requested: Sequence[int] | None, available: list[int]) -> list[int]:
    if requested is None:
        return evenly_spaced(available, ROWS)
    absent = [generation for generation in requested if generation not in available]
    if absent:
        raise ValueError(
            f"{run.name}: no pictures of generation {absent[0]}; there are {available[0]} to {available[-1]}"
        )
    return list(requested)


def _most_changed(pictures: Mapping[int, np.ndarray]) -> np.ndarray:
    first, last = (pictures[end(pictures)].astype(np.float64) for end in (min, max))
    return np.argsort(-((first - last) ** 2).mean(axis=(1, 2, 3)), kind="stable")


def nearest_pairs(made: np.ndarray, real: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the generated images that are nearest to a real one, with those real images and the distances.

    The distance is the root mean square difference of the images averaged down to 16 x 16 (0..255). It finds copies and
    near-copies, not similar content.

    Args:
        made: uint8 [N,C,H,W], generated images.
        real: uint8 [M,C,H,W], real images.
        count: the number of pairs.

    Returns:
        Row numbers of ``made`` [count], row numbers of ``real`` [count], distances float64 [count], nearest first.
    """
    small_made, small_real = _small(made), _small(real)
    best, distance = np.empty(len(made), int), np.empty(len(made))
    for first in range(0, len(made), 256):
        block = small_made[first : first + 256]
        squares = (block**2).sum(1)[:, None] + (small_real**2).sum(1)[None] - 2 * block @ small_real.T
        best[first : first + 256] = squares.argmin(1)
        chosen = small_real[best[first : first + 256]]
        distance[first : first + 256] = np.sqrt(((block - chosen) ** 2).mean(1))
    rows = np.argsort(distance, kind="stable")[:count]
    return rows, best[rows], distance[rows]


def _small(images: np.ndarray) -> np.ndarray:
    height, width = images.shape[2:]
    step_y, step_x = max(1, height // NEAR), max(1, width // NEAR)
    cut = images[:, :, : height // step_y * step_y, : width // step_x * step_x]
    blocks = cut.reshape(*cut.shape[:2], cut.shape[2] // step_y, step_y, cut.shape[3] // step_x, step_x)
    return blocks.mean(axis=(3, 5)).reshape(len(images), -1)


def _nearest_sheet(run: Run, columns: int, generation: int, line: int) -> Sheet:
    if (generation, line) not in run.shards:
        raise ValueError(f"{run.name}: no generation {generation} of line {line}; the last one is {run.last}")
    made = run.store.images(generation, line)
    real = run.store.images(0, REAL)
    rows, matches, distances = nearest_pairs(np.asarray(made), np.asarray(real), columns)
    title = f"{run.model(line)}, generation {generation}: the generated images nearest to a real one"
    return Sheet(
        title,
        (SheetRow("made", np.asarray(made)[rows]), SheetRow("nearest real", np.asarray(real)[matches])),
        tuple(f"{distance:.1f}" for distance in distances),
        "Numbers: root mean square difference in grey levels, images averaged to 16 x 16. ",
        f"{title}. Each generated image is above the real training image nearest to it; distances "
        f"{', '.join(f'{distance:.1f}' for distance in distances)} grey levels.",
    )


def rare_sheet(
    run: Run, found: Mapping[str, Mapping[int, tuple[np.ndarray, bool]]], line: int = 0, wide: bool = False
) -> Sheet:
    """Return the sheet of rare attributes: one row per attribute and one column per generation, or the transpose.

    Args:
        run: the run.
        found: attribute -> generation -> (the image with the highest score of the probe, uint8 [C,H,W]; whether the
            probe detects the attribute in it). Computed by the caller, because probes need torch and a report does not.
        line: which model.
        wide: True for one column per attribute and one row per generation, which suits a slide.
    """
    generations = sorted(next(iter(found.values())))
    title = f"{run.model(line)}: who disappears"
    dates = {attribute: presence(run, f"tails/{attribute}", line) for attribute in found}
    note = (
        "Each cell: the image of that generation with the highest score for the attribute; faded if the probe does not "
        f"detect the attribute in it. {_dated(run, line) if any(dates.values()) else ''}"
    )
    said = "; ".join(f"{attribute_words(a)}: {date}" if date else attribute_words(a) for a, date in dates.items())
    alt = f"{title}. {said}. Generations: {', '.join(map(caption, generations))}."
    cells = np.stack([[_dimmed(*images[g]) for g in generations] for images in found.values()])
    if wide:
        rows = tuple(SheetRow(caption(g), cells[:, k]) for k, g in enumerate(generations))
        heads = tuple(f"{attribute_words(a)}: {date}" if date else attribute_words(a) for a, date in dates.items())
        return Sheet(title, rows, heads, note, alt)
    rows = tuple(SheetRow(attribute_words(a), cells[k], date) for k, (a, date) in enumerate(dates.items()))
    return Sheet(title, rows, tuple("real" if g == 0 else f"gen. {g}" for g in generations), note, alt)


def _dated(run: Run, line: int) -> str:
    """Return what the dates of a sheet of rare attributes mean, and whose images it shows."""
    n, several = run.provenance.get("n"), run.replicates > 1
    images = f"all {n:,} images" if isinstance(n, int) else "all images"
    text = (
        "Measurable: the share of the attribute among "
        f"{images} of a generation, corrected for the errors of the probe, "
        f"{f'mean of {run.replicates} trainings, ' if several else ''}can be told from zero (95 %). "
        "Single detections after that can be errors of the probe. "
    )
    return text + (f"The images are those of the first of {run.replicates} trainings. " if several else "")


def _dimmed(image: np.ndarray, called: bool) -> np.ndarray:
    return image if called else (255 - (255 - image.astype(np.float64)) * 0.3).round().astype(np.uint8)
