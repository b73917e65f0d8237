"""``imagelab grid``, ``animate``, ``slides`` and ``compare``: figures of runs for papers, screens and talks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from cyclopts import Parameter

from ..evaluation.signals import RARE
from ..io.cache import cache_folder
from ..io.disk import storing
from ..pool import REAL
from ..run_folder import RunFolder
from ..sweeps.study import with_runs_of_studies
from .console import UsageError, out

if TYPE_CHECKING:
    from ..metrics.attribute_probes import Probes

__all__ = ["animate", "compare", "grid", "most_alike", "slides"]


COLUMNS = 7  # generations shown on the sheet of rare attributes


def grid(
    run: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("grid.png"),
    kind: Literal["seeds", "photocopy", "changed", "nearest", "rare"] = "seeds",
    columns: int = 8,
    generations: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    line: int = 0,
    width_mm: float = 170.0,
    dpi: int = 300,
    captions: bool = True,
) -> int:
    """Write a grid of a run's pictures for print, as PNG, SVG or PDF, and a text file that describes it.

    Parameters
    ----------
    run
        The run folder.
    output
        The file: .png, .svg or .pdf. Its description has the same name with .txt.
    kind
        seeds: one seed per column; photocopy: given images copied again and again; changed: the same, largest change
        first; nearest: generated images, each above the real one nearest to it; rare: in each generation the face
        with the highest score for each rare attribute.
    columns
        The largest number of pictures per row.
    generations
        Which to show, such as 0 1 5 10, or all; by default up to eight with equal steps.
    line
        Which model: 0 is the main one, control models follow.
    width_mm
        Width of the whole sheet in millimetres.
    dpi
        Dots per inch; pixels are enlarged by whole numbers only.
    captions
        Draw text into the picture; --no-captions writes the pictures without text.
    """
    from ..report.print_sheets import make_sheet, rare_sheet, write_sheet
    from ..report.run_view import read_run

    if columns < 1:
        raise UsageError(f"--columns: expected at least 1, got {columns}")
    folder = RunFolder.open(run)
    view, shown = read_run(folder.path), _generations(generations, folder, line)
    if kind == "rare":
        sheet = rare_sheet(view, most_alike(folder, line, shown), line)
    else:
        sheet = make_sheet(view, kind, columns, shown, line)
    with storing(output):
        written = write_sheet(sheet, output, view, width_mm, dpi, captions)
    out.print(f"grid: {written}", markup=False)
    return 0


def _generations(words: Sequence[str] | None, folder: RunFolder, line: int) -> list[int] | None:
    """Return the generations that were asked for: numbers, or "all" of a line; None for the default."""
    if words is None:
        return None
    if list(words) == ["all"]:
        return sorted({generation for generation, owner in folder.shards() if owner in (REAL, line)})
    wrong = [word for word in words if not word.isdecimal()]
    if wrong:
        raise UsageError(f"--generations: expected whole numbers such as 0 1 5 10, or the word all, got {wrong[0]!r}")
    return [int(word) for word in words]


def animate(
    runs: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    which: Literal["photocopy", "tracked"] | None = None,
    seconds: float = 0.7,
    labels: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    still: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write a run as an animation, one frame per generation; up to four runs side by side.

    Parameters
    ----------
    runs
        One to four run folders.
    output
        The file: .webp or .apng (lossless), .gif, .mp4 or .webm (for video, a lossless crop is written as well); by
        default loop.webp, for a still loop.png.
    which
        photocopy: given images copied again and again; tracked: images that each model draws from the same seeds. By
        default tracked, because the figures are of drawn images; photocopy where none were drawn.
    seconds
        How long a generation is shown.
    labels
        A name for each run; by default the regime or the model.
    still
        Write one picture without motion instead: the first, the middle and the last generation of one run, as .png.
    """
    from ..report.animate import animate as write

    for run in runs:
        RunFolder.open(run)
    output = output or Path("loop.png" if still else "loop.webp")
    with storing(output):
        written = write(runs, output, which, seconds, labels or (), still)
    for path in written:
        out.print(f"{'still' if still else 'animation'}: {path} ({path.stat().st_size / 1e6:.1f} MB)", markup=False)
    return 0


def slides(
    runs: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("deck.pptx"),
) -> int:
    """Write a PowerPoint deck of one run, in ten slides, or of several runs side by side, in twelve.

    Charts can be edited and have error bars; pictures, an animation, a table of all numbers, notes with caveats.

    Parameters
    ----------
    runs
        Run folders. Runs that differ only in their seed are repeats of one group; up to six groups.
    output
        The .pptx file.
    """
    from ..report.print_sheets import rare_sheet
    from ..report.run_view import read_run
    from ..report.slides import write_slides

    sheets = {}
    runs = with_runs_of_studies(runs)
    for run in runs:
        folder = RunFolder.open(run)
        if len(runs) == 1 and any(m.name.startswith("tails/") and m.value is not None for m in folder.measurements()):
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
        Two or more run folders; a study stands for its runs.
    output
        The HTML file.
    """
    from ..report import write_comparison

    with storing(output):
        written = write_comparison(with_runs_of_studies(runs), output)
    out.print(f"comparison: {written}", markup=False)
    return 0


def most_alike(
    folder: RunFolder, line: int = 0, generations: Sequence[int] | None = None
) -> dict[str, dict[int, tuple[np.ndarray, bool]]]:
    """Return, for each rare attribute and generation, the image with the highest score of the attribute's probe.

    The scores are kept in the cache of features, not in the run.

    Args:
        folder: a run on aligned RGB faces of a size for which there are probes.
        line: which model.
        generations: which; by default at most seven, with equal steps, from 0 to the last.

    Returns:
        attribute -> generation -> (image, uint8 [3,H,W]; whether the probe detects the attribute in it), most frequent
        first. Attributes that some, but fewer than 5 %, of the real images have: by the shares that the run measured,
        or by the probes' detections where it measured none.

    Raises:
        ValueError: for images for which no probes were calibrated, or generations that do not exist.
    """
    from ..metrics.attribute_probes import odds_of, shipped_probes
    from ..metrics.base import ImageSet
    from ..report.grids import evenly_spaced

    available = sorted({generation for generation, owner in folder.shards() if owner in (REAL, line)})
    if available[-1] == 0:
        raise ValueError(f"{folder.path}: no generation of line {line} is finished yet")
    chosen = evenly_spaced(available, COLUMNS) if generations is None else sorted({0, *generations})
    absent = [generation for generation in chosen if generation not in available]
    if absent:
        raise ValueError(f"--generations: {folder.path} has {available[0]} to {available[-1]}, got {absent[0]}")
    probes = shipped_probes(folder.images(0, REAL).shape[-1])
    thresholds = np.array([probe.threshold for probe in probes.probes])
    found: dict[str, dict[int, tuple[np.ndarray, bool]]] = {}
    rare: list[int] = []
    for generation in chosen:
        images = np.array(folder.images(generation, line if generation else REAL))
        odds = odds_of(ImageSet(images, cache_folder("features")))
        if generation == 0:
            rare = _rare(folder, probes, (odds >= thresholds).mean(axis=0))
        for k in rare:
            best = int(odds[:, k].argmax())
            called = bool(odds[best, k] >= thresholds[k])
            found.setdefault(probes.probes[k].attribute, {})[generation] = images[best], called
    if not found:
        raise ValueError(f"{folder.path}: the probes detect no rare attribute in its real images")
    return found


def _rare(folder: RunFolder, probes: Probes, detected: np.ndarray) -> list[int]:
    """Return which probes find rare attributes, most frequent first; ``detected``: share of the real images, [A]."""
    measured = {m.name: m.value for m in folder.measurements() if m.generation == 0 and m.line == REAL}
    known = [measured.get(f"tails/{probe.attribute}") for probe in probes.probes]
    shares = [float(detected[k]) if share is None else share for k, share in enumerate(known)]
    rare = [k for k, probe in enumerate(probes.probes) if probe.usable and 0 < shares[k] < RARE]
    return sorted(rare, key=lambda k: -shares[k])
