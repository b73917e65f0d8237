"""``imagelab grid``, ``animate``, ``slides`` and ``compare``: runs for papers, screens and talks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from ..evaluation.stages import RARE
from ..io.pictures import read_npy
from ..pool import REAL
from ..run_folder import RunFolder
from .console import UsageError, out

__all__ = ["animate", "compare", "grid", "most_alike", "slides"]


COLUMNS = 7  # generations that the sheet of rare attributes shows


def grid(
    run: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("grid.png"),
    kind: Literal["seeds", "photocopy", "changed", "nearest", "rare"] = "seeds",
    columns: int = 8,
    generations: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    line: int = 0,
    width_mm: float = 170.0,
    dpi: int = 300,
    captions: bool = True,
) -> int:
    """Write a grid of a run's pictures for print: PNG, SVG or PDF in exact millimetres, and a text that describes it.

    Parameters
    ----------
    run
        The run folder.
    output
        The file: .png, .svg or .pdf. Its description goes beside it as .txt.
    kind
        seeds: one seed a column; photocopy: given images copied again and again; changed: those that changed most
        first; nearest: made images above the real one nearest to each; rare: in each generation the face that looks
        most like having each rare attribute.
    columns
        Pictures a row, at most.
    generations
        Which to show, such as 0 1 5 10; by default up to eight, evenly spaced.
    line
        Which model: 0 is the main one, arms follow.
    width_mm
        Width of the whole sheet in millimetres.
    dpi
        Dots an inch; pixels are enlarged by whole numbers only.
    captions
        Words in the picture; --no-captions leaves the pictures alone.
    """
    from ..report.print_sheets import make_sheet, rare_sheet, write_sheet
    from ..report.run_view import read_run

    if columns < 1:
        raise UsageError(f"--columns: expected at least 1, got {columns}")
    view = read_run(RunFolder.open(run).path)
    if kind == "rare":
        sheet = rare_sheet(view, most_alike(RunFolder.open(run), line, generations), line)
    else:
        sheet = make_sheet(view, kind, columns, generations, line)
    out.print(f"grid: {write_sheet(sheet, output, view, width_mm, dpi, captions)}", markup=False)
    return 0


def animate(
    runs: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("photocopy.webp"),
    which: Literal["photocopy", "tracked"] = "photocopy",
    seconds: float = 0.7,
    labels: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
) -> int:
    """Write a run as an animation, one frame a generation; up to four runs stand side by side.

    Parameters
    ----------
    runs
        One to four run folders.
    output
        The file: .webp or .apng (no loss), .gif, .mp4 or .webm (a lossless crop is written beside video).
    which
        photocopy: given images copied again and again; probe: what each model draws from the same seeds.
    seconds
        How long a generation stands.
    labels
        A name for each run; by default the regime.
    """
    from ..report.animate import animate as write

    for run in runs:
        RunFolder.open(run)
    for path in write(runs, output, which, seconds, labels or ()):
        out.print(f"animation: {path} ({path.stat().st_size / 1e6:.1f} MB)", markup=False)
    return 0


def slides(
    runs: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("deck.pptx"),
) -> int:
    """Write a PowerPoint deck of one or several runs: editable charts, pictures, an animation, notes with the caveats.

    Parameters
    ----------
    runs
        Run folders.
    output
        The .pptx file.
    """
    from ..report.print_sheets import rare_sheet
    from ..report.run_view import read_run
    from ..report.slides import write_slides

    sheets = {}
    for run in runs:
        folder = RunFolder.open(run)
        if any(m.name.startswith("tails/") and m.value is not None for m in folder.measurements()):
            sheets[run] = rare_sheet(read_run(run), most_alike(folder), wide=True)
    out.print(f"slides: {write_slides(runs, output, sheets)}", markup=False)
    return 0


def compare(
    runs: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("comparison.html"),
) -> int:
    """Write one page that compares runs: regimes, models, settings. Runs that differ only in their seed are repeats.

    Parameters
    ----------
    runs
        Two run folders or more.
    output
        The HTML file.
    """
    from ..report import write_comparison

    out.print(f"comparison: {write_comparison(runs, output)}", markup=False)
    return 0


def most_alike(
    folder: RunFolder, line: int = 0, generations: Sequence[int] | None = None
) -> dict[str, dict[int, tuple[np.ndarray, bool]]]:
    """Return, for each rare attribute and generation, the image that looks most like having it, and if it is called.

    Args:
        folder: a run on aligned RGB faces of a size that probes exist for.
        line: which model.
        generations: which; by default seven, evenly spaced, from 0 to the last.

    Returns:
        attribute -> generation -> (uint8 [3,H,W], whether its probe calls it). Attributes that fewer than 5 % of the
        real images carry, by the truth where it is known, else as the probes call them.

    Raises:
        ValueError: for images that no probes were calibrated on, or generations that are not there.
    """
    from ..metrics.attribute_probes import scores, shipped_probes

    there = sorted({generation for generation, owner in folder.shards() if owner in (REAL, line)})
    if there[-1] == 0:
        raise ValueError(f"{folder.path}: no generation of line {line} is finished yet")
    steps = np.linspace(0, len(there) - 1, min(COLUMNS, len(there))).round().astype(int)
    chosen = [there[step] for step in steps] if generations is None else sorted({0, *generations})
    strange = [generation for generation in chosen if generation not in there]
    if strange:
        raise ValueError(f"--generations: {folder.path} has {there[0]} to {there[-1]}, got {strange[0]}")
    probes = shipped_probes(folder.images(0, REAL).shape[-1])
    found: dict[str, dict[int, tuple[np.ndarray, bool]]] = {}
    rare: list[int] = []
    for generation in chosen:
        images = read_npy(folder.shard_path(generation, line) / "images.npy")
        odds = scores(images, probes)
        calls = odds >= [probe.threshold for probe in probes.probes]
        if generation == 0:
            shares = calls.mean(axis=0)
            rare = [k for k, probe in enumerate(probes.probes) if probe.usable and 0 < shares[k] < RARE]
        for k in rare:
            best = int(odds[:, k].argmax())
            found.setdefault(probes.probes[k].attribute, {})[generation] = (
                np.asarray(images[best]),
                bool(calls[best, k]),
            )
    if not found:
        raise ValueError(f"{folder.path}: none of its real images carries a rare attribute that the probes know")
    return found
