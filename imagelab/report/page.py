"""The page: one self-contained HTML file that tells a run to a reader and documents it to a referee.

No network, no script that the page cannot do without, no reference to any other file: pictures are data URIs and
curves inline SVG. The templates escape everything, so a hostile name stays text. The same run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..io.atomic import write_atomic
from . import curves
from .grids import Row, caption, draw_slides, page_rows
from .headline import facts, headline
from .methods import data_of, numbers, protocol
from .numbers import too_few
from .palette import themes
from .panels import panels
from .run_view import Run, plain, read_run
from .sampler_floor import sampler_law
from .stage_bar import ribbons, thresholds
from .survival import survival

__all__ = ["ROOM", "environment", "write_report"]

ROOM = 1056  # CSS pixels that a strip may take on a wide screen
LENS = 192  # CSS pixels of a loupe's side
FLIPPED = 5  # faces shown large above the strip: enough to compare, few enough to see on a phone


@dataclass(frozen=True)
class Strip:
    """A strip of pictures: rows are generations, columns are followed down."""

    line: int
    key: str
    title: str
    text: str
    rows: list[Row]
    columns: int
    width: int
    height: int
    alt: str


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run, finished or not: index.html and the slides beside it.

    Args:
        run: the run folder.
        out: folder for the report; by default ``report/`` in the run folder.

    Returns:
        The path of index.html.

    Raises:
        ValueError: if the run folder is damaged, naming the file, what was expected and what to do.
    """
    view = read_run(Path(run))
    folder = Path(out) if out is not None else Path(run) / "report"
    folder.mkdir(parents=True, exist_ok=True)
    html = environment().get_template("page.html").render(**_context(view))
    draw_slides(view, folder)
    write_atomic(folder / "index.html", html.encode("utf-8", "replace").decode("utf-8"))
    return folder / "index.html"


def environment() -> jinja2.Environment:
    """Return the templates, with everything they print escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _context(run: Run) -> dict[str, Any]:
    strips = _strips(run)
    drawn = panels(run)
    sampler = sampler_law(run)
    spectra = curves.spectra(run, "spectra", sampler.power if sampler else None)
    fates = survival(run)
    return {
        "run": run,
        "headline": headline(run),
        "facts": facts(run),
        "notes": _notes(run),
        "strips": strips,
        "ribbons": ribbons(run),
        "thresholds": thresholds(),
        "survival": fates,
        "survival_svg": fates and Markup(fates.curve.svg),
        "flipped": FLIPPED,
        "loupe": _loupe(run),
        "front": [panel for front, panel in drawn if front],
        "folded": [panel for front, panel in drawn if not front],
        "spectra": spectra and {"svg": Markup(spectra.svg), "alt": spectra.alt},
        "sampler": sampler,
        "themes": themes(max(run.last, 1)),
        "table": numbers(run),
        "lines": [(line, run.label(line, 80)) for line in run.lines],
        **protocol(run),
        "sample": _sample(run),
        "caption": caption,
        "fit": lambda width: max(1, int(ROOM // width)),
    }


def _notes(run: Run) -> list[str]:
    """Say what a reader must know before believing anything below."""
    notes = []
    if run.last < run.planned:
        done = f"{run.last} of {run.planned} generations" if run.last else f"none of {run.planned} generations"
        notes.append(f"This run is unfinished: {done} made so far. “imagelab resume” goes on with it.")
    few = [run.row(name) for name in run.names if any(too_few(run, m) for m in run.series(name))]
    if few:
        titles = ", ".join(row.title for row in run.rows.values() if row in few)
        notes.append(f"Measured on fewer images than we would trust: {titles}. The glossary names the smallest n.")
    asked, got = (data_of(run).get(key) for key in ("asked", "counts"))
    if isinstance(asked, Mapping) and isinstance(got, Mapping):
        for split, wanted in asked.items():
            if got.get(split, wanted) != wanted:
                notes.append(plain(f"{wanted} {split} images were asked for, the dataset gave {got[split]}.", 120))
    return notes


def _strips(run: Run) -> list[Strip]:
    first = "; faces known to have freckles come first" if run.real("truth/freckled") else ""
    strips = []
    for line in run.lines or (0,):
        label = run.model(line)
        copies, tracked = run.pictures("photocopy", line), run.pictures("tracked", line)
        if copies:
            text = (
                f"Each row was made by the {label} of that generation from the row above: no new information enters. "
                f"The pictures were not chosen for how they decay{first}."
            )
            title = f"A photocopy of a photocopy: {label}"
            strips.append(_strip(line, "copies", title, text, copies, "copied again and again"))
        if max(tracked, default=0) == 0 and not copies:
            if tracked and line == 0:
                text = "What the run begins with. Generations will stand below them as they are finished."
                strips.append(_strip(line, "tracked", "The real images", text, tracked, ""))
        elif tracked and (line == 0 or not copies):
            text = (
                f"What the {label} of each generation draws from the same random seeds, one seed a column. The real "
                "row shows real images, not counterparts of the columns below."
            )
            title = f"Drawn from scratch: {label}"
            strips.append(_strip(line, "tracked", title, text, tracked, "drawn from the same seeds"))
    return strips


def _strip(line: int, kind: str, title: str, text: str, pictures: Mapping[int, np.ndarray], alt: str) -> Strip:
    height, width = next(iter(pictures.values())).shape[2:]
    rows, columns = page_rows(pictures, min(8, max(1, ROOM // (width + 2))))
    return Strip(line, f"{kind}-{line}", title, text, rows, columns, columns * (width + 2) - 2, height, alt)


def _loupe(run: Run) -> dict[str, Any]:
    """Return where the loupe lies first, as shares of a picture, how many pixels it shows, and how large each."""
    shapes = [images.shape[2:] for images in run.pictures("tracked").values()]
    side = min(shapes[0]) if shapes else 64
    field = max(4, min(24, 3 * side // 8)) // 2 * 2
    kind = data_of(run).get("kind") or (run.experiment.get("data") or {}).get("kind")
    x, y, words = (0.4, 0.66, "The cheek, through a loupe.") if kind == "faces" else (0.5, 0.5, "Through a loupe.")
    return {"x": x, "y": y, "field": field, "times": max(1, LENS // field), "words": words}


def _sample(run: Run) -> str:
    n = run.provenance.get("n") or run.experiment.get("images")
    pieces = [
        f"{n:,} images a generation" if isinstance(n, int) else "",
        f"seed {plain(run.experiment.get('seed', '?'))}",
    ]
    return ", ".join(filter(None, pieces))
