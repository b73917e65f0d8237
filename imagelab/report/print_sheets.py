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

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from ..images import tile
from ..io.atomic import write_atomic, written_whole
from ..pool import REAL
from .grids import caption
from .palette import LIGHT
from .run_view import Run, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "Sheet", "SheetRow", "make_sheet", "nearest_pairs", "rare_sheet", "sheet_figure", "write_sheet"]

KINDS = ("seeds", "photocopy", "changed", "nearest", "rare")
FORMATS = ("png", "svg", "pdf")
MILLIMETRES = 25.4  # per inch
GAP = 1  # original pixels between pictures
CAPTION_SHARE = 0.16  # share of the width for the captions of the rows
NEAR = 16  # images are averaged to 16 x 16 pixels before their distances are computed


@dataclass(frozen=True)
class SheetRow:
    """One row: its caption, and uint8 [K,C,H,W] pictures."""

    caption: str
    images: np.ndarray


@dataclass(frozen=True)
class Sheet:
    """A grid of pictures with its text.

    Attributes:
        title: one line.
        rows: the rows from top to bottom.
        heads: a caption for each column; empty for none.
        note: what a reader must know to understand it.
        alt: a description of the whole sheet.
    """

    title: str
    rows: tuple[SheetRow, ...]
    heads: tuple[str, ...]
    note: str
    alt: str


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
    rows = tuple(SheetRow(caption(g), pictures[g][order[:columns]]) for g in chosen)
    model, made = run.model(line), len(rows[0].images)
    what = {
        "seeds": f"{model}: one random seed per column",
        "photocopy": f"{model}: a photocopy of a photocopy",
        "changed": f"{model}: the photocopies that changed most",
    }[kind]
    aside = "The images of the real row do not correspond to the columns below. " if kind == "seeds" else ""
    alt = (
        f"A grid of {len(rows)} rows and {made} columns. Rows from top to bottom: "
        f"{', '.join(row.caption for row in rows)}. {what}. {aside}"
    )
    return Sheet(what, rows, (), aside, alt.strip())


def _chosen(run: Run, requested: Sequence[int] | None, available: list[int]) -> list[int]:
    if requested is None:
        steps = np.linspace(0, len(available) - 1, min(8, len(available))).round().astype(int)
        return [available[step] for step in steps]
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
    last = {a: max((g for g in generations if images[g][1]), default=None) for a, images in found.items()}
    title = f"{run.model(line)}: who disappears"
    note = (
        "Each cell: the image of that generation with the highest score for the attribute; faded if the probe does not "
        "detect the attribute. "
    )
    dates = "; ".join(f"{a.replace('_', ' ')}, last seen: {_seen(g)}" for a, g in last.items())
    alt = f"{title}. {dates}. Generations: {', '.join(map(caption, generations))}."
    cells = np.stack([[_dimmed(*images[g]) for g in generations] for images in found.values()])
    if wide:
        rows = tuple(SheetRow(caption(g), cells[:, k]) for k, g in enumerate(generations))
        return Sheet(title, rows, tuple(a.replace("_", " ") for a in found), note, alt)
    gone = {a: "" if g == generations[-1] else f" (last seen: {_seen(g)})" for a, g in last.items()}
    rows = tuple(SheetRow(a.replace("_", " ") + gone[a], cells[k]) for k, a in enumerate(found))
    return Sheet(title, rows, tuple("real" if g == 0 else f"gen. {g}" for g in generations), note, alt)


def _seen(generation: int | None) -> str:
    return "never" if generation is None else "real" if generation == 0 else f"gen. {generation}"


def _dimmed(image: np.ndarray, called: bool) -> np.ndarray:
    return image if called else (255 - (255 - image.astype(np.float64)) * 0.3).round().astype(np.uint8)


def write_sheet(sheet: Sheet, out: Path, run: Run, width: float = 170.0, dpi: int = 300, captions: bool = True) -> Path:
    """Write a sheet and the text that describes it, ``NAME.txt``.

    Args:
        sheet: the sheet.
        out: the file, .png, .svg or .pdf.
        run: the run that the note names.
        width: the width of the whole sheet in millimetres.
        dpi: dots per inch of the pictures (PNG: of the whole file).
        captions: whether text is drawn into the file; without it the file contains the pictures alone.

    Returns:
        ``out``.

    Raises:
        ValueError: for another suffix, a width outside 20 to 2000 mm or dpi outside 50 to 2400.
    """
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(f"{out}: expected a name that ends in .png, .svg or .pdf, got {out.suffix!r}")
    if not 20 <= width <= 2000 or not 50 <= dpi <= 2400:
        raise ValueError(f"sheet: expected a width of 20 to 2000 mm and 50 to 2400 dpi, got {width:g} mm and {dpi} dpi")
    dots = round(width / MILLIMETRES * dpi)
    pixels, scale = _pixels(sheet, dots - round(dots * CAPTION_SHARE) * captions)
    note = _note(sheet, run, scale)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as partial:
        if captions:
            figure = _figure(sheet, pixels, dots, dpi, note)
            metadata = {"Title": sheet.title, **({} if suffix == "png" else {"Creator": "imagelab"})}
            settings = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": "imagelab"}}[suffix]
            figure.savefig(partial, format=suffix, dpi=dpi, metadata={**metadata, **settings})
        else:
            _bare(pixels, partial, suffix, width)
    write_atomic(out.with_suffix(".txt"), f"{sheet.title}\n\n{sheet.alt}\n\n{note}\n")
    return out


def sheet_figure(sheet: Sheet, run: Run, width: float, dpi: int) -> Figure:
    """Return a sheet with its text as a matplotlib figure, ``width`` in millimetres; see :func:`write_sheet`."""
    dots = round(width / MILLIMETRES * dpi)
    pixels, scale = _pixels(sheet, dots - round(dots * CAPTION_SHARE))
    return _figure(sheet, pixels, dots, dpi, _note(sheet, run, scale))


def _note(sheet: Sheet, run: Run, scale: int) -> str:
    enlarged = f"Every pixel enlarged {scale} × {scale}, nothing smoothed." if scale > 1 else "Original pixels."
    return f"{sheet.note}{enlarged} All images except real ones are synthetic. {plain(run.name, 60)}, imagelab."


def _pixels(sheet: Sheet, across: int) -> tuple[np.ndarray, int]:
    """Lay out the rows at the largest whole enlargement that fits into ``across`` dots."""
    columns = max(len(row.images) for row in sheet.rows)
    wide = columns * (sheet.rows[0].images.shape[3] + GAP) - GAP
    scale = across // wide
    if scale < 1:
        raise ValueError(
            f"sheet: {columns} pictures need {wide} dots of width, the sheet has {across}. Show fewer columns, "
            "or raise the width or the dpi; pictures are never made smaller."
        )
    bands = [tile(row.images, columns, scale, GAP * scale) for row in sheet.rows]
    gap = np.full((GAP * scale, bands[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for band in bands for part in (band, gap)][:-1]), scale


def _figure(sheet: Sheet, pixels: np.ndarray, dots: int, dpi: int, note: str) -> Figure:
    """Draw the sheet; the pictures are placed on whole dots, so that none of their pixels is interpolated."""
    from matplotlib.figure import Figure

    tall, wide = pixels.shape[:2]
    lines = textwrap.wrap(plain(note, 400), max(30, int(dots / dpi * 24)))
    head, foot = round(dpi * (0.34 + 0.18 * bool(sheet.heads))), round(dpi * (0.08 + 0.11 * len(lines)))
    height = tall + head + foot
    figure = Figure(figsize=(dots / dpi, height / dpi), dpi=dpi)
    axes = figure.add_axes((1 - wide / dots, foot / height, wide / dots, tall / height))
    axes.imshow(pixels, interpolation="none", aspect="auto")
    axes.set_axis_off()

    def write(x: float, y: float, text: str, size: float, **style: Any) -> None:
        figure.text(x / dots, 1 - y / height, text, fontsize=size, parse_math=False, **style)

    write(0, 0.15 * dpi, plain(sheet.title, 110), 10, weight="bold", va="center")
    columns, left = max(len(row.images) for row in sheet.rows), dots - wide
    for order, words in enumerate(sheet.heads):
        write(left + (order + 0.5) * wide / columns, head - 0.04 * dpi, words, 7, ha="center", va="bottom")
    for order, row in enumerate(sheet.rows):
        words = plain(row.caption, 44).replace(" (", "\n(")
        write(left - 0.07 * dpi, head + (order + 0.5) * tall / len(sheet.rows), words, 7.5, ha="right", va="center")
    write(0, height - 0.03 * dpi, "\n".join(lines), 6, color=LIGHT.muted, va="bottom")
    return figure


def _bare(pixels: np.ndarray, path: Path, suffix: str, width: float) -> None:
    """Write the pictures without captions, ``width`` millimetres wide."""
    image, inches = Image.fromarray(pixels), width / MILLIMETRES
    density = image.width / inches
    if suffix == "png":
        image.save(path, "PNG", dpi=(density, density))
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(inches, inches * image.height / image.width))
    figure.add_axes((0, 0, 1, 1)).imshow(pixels, interpolation="none", aspect="auto")
    figure.axes[0].set_axis_off()
    file = io.BytesIO()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
    figure.savefig(file, format=suffix, dpi=density, metadata=date)
    path.write_bytes(file.getvalue())
