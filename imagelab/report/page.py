"""The report page: one self-contained HTML file that explains a run to a reader and documents it for a referee.

The page loads nothing from the network or from other files: pictures are data URIs and curves are inline SVG. It can
be read without its scripts, which move the chosen generation through pictures, figures and curves, and hand out each
curve as CSV, SVG or a page of its own. The templates escape all values, so HTML in a name is shown as text. The same
run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..io.atomic import made_through_links, write_atomic
from ..io.disk import storing
from ..io.untrusted import shown
from ..metrics.planted_counter import too_poor
from ..pool import REAL
from ..runs.check import made_otherwise
from .chart_data import csv_text, measured_rows, page_data
from .curves import Curve
from .detection import detection
from .grids import Row, caption, draw_slides, page_rows
from .headline import headline
from .key_figures import facts
from .methods import curation, data_of, numbers, protocol
from .numbers import interval, too_few, trainings
from .palette import themes
from .panels import Panel, panels
from .people import people_tests
from .pictured import Pictured, pictured
from .planted import counted_thing, planted_card
from .quotes import quotes
from .run_view import Run, plain, read_run
from .sampler_floor import sampler_law
from .share_card import card_picture, data_stamp, icon
from .spectra import spectra_curve
from .stage_bar import ribbons, thresholds, unjudged
from .survival import Survival, survival

__all__ = ["ROOM", "environment", "write_report"]

ROOM = 1056  # CSS pixels: the largest width of a strip on a wide screen
LENS = 192  # CSS pixels: the side of the magnifier
FLIPPED = 5  # pictures shown large above the strip: enough to compare, few enough for the screen of a phone


@dataclass(frozen=True)
class Strip:
    """A strip of pictures: each row is a generation, each column shows one picture in all generations.

    Attributes:
        line: whose pictures.
        key: its id on the page.
        title: its title.
        text: what it shows.
        rows: its rows.
        columns: pictures per row.
        width: of a row in original px.
        height: of a row in original px.
        alt: what its pictures are, for readers who cannot see them.
        found: the freckles found in these pictures; None if they were not counted.
    """

    line: int
    key: str
    title: str
    text: str
    rows: list[Row]
    columns: int
    width: int
    height: int
    alt: str
    found: Pictured | None


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run, finished or not: index.html and, in the same folder, slides (PNG) and numbers.csv.

    Args:
        run: the run folder.
        out: folder for the report; by default ``report/`` in the run folder.

    Returns:
        The path of index.html.

    Raises:
        ValueError: if the run folder is damaged; the message names the file, what was expected and what to do.
        NotStored: if the disk is full or refuses to write.
    """
    view = read_run(Path(run))
    folder = Path(out) if out is not None else Path(run) / "report"
    link = made_through_links(Path(run), folder) if out is None else None
    if link is not None:
        raise ValueError(f"{shown(link)}: is a link, and the report would be written to where it leads. Remove it.")
    with storing(folder, view.folder):
        folder.mkdir(parents=True, exist_ok=True)
        rows = measured_rows(view)
        html = environment().get_template("page.html").render(**_context(view, rows))
        draw_slides(view, folder)
        write_atomic(folder / "numbers.csv", csv_text(view, rows).encode("utf-8", "replace").decode("utf-8"))
        write_atomic(folder / "index.html", html.encode("utf-8", "replace").decode("utf-8"))
    return folder / "index.html"


def environment() -> jinja2.Environment:
    """Return the jinja2 environment of the templates; it escapes all values that they print."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["icon"] = icon()
    return made


def _context(run: Run, rows: Mapping[str, Any]) -> dict[str, Any]:
    strips = _strips(run)
    drawn = panels(run)
    sampler = sampler_law(run)
    spectra = spectra_curve(run, "spectra", sampler.power if sampler else None)
    fates = survival(run)
    of_fates = _survival_panel(run, fates) if fates else None
    # the figures that follow the chosen generation, by their key
    following = [*(panel for _, panel in drawn), *([of_fates] if of_fates else [])]
    charts = {panel.key: panel for panel in following if panel.frames}
    figures, told = facts(run), headline(run)
    detectors, not_shown = detection(run)
    hero = strips[0] if strips and len(strips[0].rows) > 1 else None
    shown = min(FLIPPED, hero.columns) if hero else 0
    return {
        "run": run,
        "headline": told,
        "facts": figures,
        "notes": [*_notes(run), *([not_shown] if not_shown else [])],
        "detection": detectors,
        "strips": strips,
        "hero": hero,
        "shown": shown,
        "ribbons": ribbons(run),
        "qualities": ribbons(run, "quality"),
        "unjudged": unjudged(run, "quality"),
        "thresholds": thresholds(),
        "survival": fates,
        "survival_panel": of_fates,
        "quotes": quotes(run),
        "people": people_tests(run),
        "loupe": _loupe(run),
        "front": [panel for front, panel in drawn if front],
        "folded": [panel for front, panel in drawn if not front],
        "spectra": spectra and _spectra_panel(spectra),
        "sampler": sampler,
        "themes": themes(max(run.last, 1)),
        "table": numbers(run),
        "lines": [(line, run.label(line, 80)) for line in run.lines],
        **protocol(run),
        "sample": _sample(run),
        "trainings": trainings(run),
        "caption": caption,
        "fit": lambda width: max(1, int(ROOM // width)),
        "card_picture": card_picture(run),
        "stamp": data_stamp(run),
        "readout": lambda panel: _readout(run, panel),
        "data": page_data(run, rows, charts, figures, hero.found if hero else None, shown),
    }


def _survival_panel(run: Run, fates: Survival) -> Panel:
    curve = fates.curve
    what = f"Share of the images with each attribute, {run.model(0)}."
    return Panel(
        "Who disappears", what, "", Markup(curve.svg), curve.alt, "who-disappears", curve.frames, curve.plotted
    )


def _spectra_panel(curve: Curve) -> Panel:
    return Panel("Detail by size", "", "", Markup(curve.svg), curve.alt, "spectra")


def _readout(run: Run, panel: Panel) -> list[tuple[str, str, str]]:
    """Return (colour variable, label, value as text) of each curve of a figure in the last generation."""
    rows = []
    for each in panel.plotted:
        m = run.real(each.name) if each.line == REAL else run.at(each.name, run.last, each.line)
        rows.append((each.colour, each.label, interval(m) if m is not None else "–"))
    return rows


def _notes(run: Run) -> list[str]:
    """Return what a reader needs before the results: curation, unfinished run, too few images, missing images."""
    notes = [sentence] if (sentence := curation(run)) else []
    made_with = {run.store.shard_path(*shard).name: run.store.origin(*shard)[1] for shard in run.shards}
    notes += [f"{poor[:1].upper()}{poor[1:]}."] if (card := planted_card(run)) and (poor := too_poor(card)) else []
    notes += [plain(f"Not all generations were made alike. {text}", 400) for text in made_otherwise(made_with)]
    if run.last < run.planned:
        done = f"{run.last} of {run.planned} generations" if run.last else f"none of {run.planned} generations"
        notes.append(f"This run is unfinished: {done} made so far. “imagelab resume” continues it.")
    few = [run.row(name) for name in run.names if any(too_few(run, m) for m in run.series(name))]
    if few:
        titles = ", ".join(row.title for row in run.rows.values() if row in few)
        notes.append(f"Measured on too few images to be reliable: {titles}. The glossary gives the smallest number.")
    requested, given = (data_of(run).get(key) for key in ("asked", "counts"))
    if isinstance(requested, Mapping) and isinstance(given, Mapping):
        for split, count in requested.items():
            if given.get(split, count) != count:
                notes.append(plain(f"{count} {split} images were requested, the dataset has {given[split]}.", 120))
    return notes


def _strips(run: Run) -> list[Strip]:
    first, chosen, thing = "", "", counted_thing(run)
    if thing.stem == "planted":
        first, chosen = f"Images with {thing.word} were chosen for it. ", f", chosen for their {thing.word}"
    elif run.real("truth/freckled"):
        first, chosen = "Faces with freckles were chosen for it. ", ", chosen for their freckles"
    strips = []
    for line in run.lines or (0,):
        label = run.model(line)
        copies, tracked = run.pictures("photocopy", line), run.pictures("tracked", line)
        if copies:
            text = (
                f"{first}The {label} of each generation made its row from the row above, so no new information enters. "
                "The pictures were not selected by how they change."
            )
            title = f"A photocopy of a photocopy: {label}"
            strips.append(_strip(run, line, "copies", title, text, copies, "copied again and again"))
        if max(tracked, default=0) == 0 and not copies:
            if tracked and line == 0:
                text = "The run begins with these images. Each finished generation will be shown below them."
                strips.append(_strip(run, line, "tracked", "The real images", text, tracked, ""))
        elif tracked and (line == 0 or not copies):
            text = (
                f"Images that the {label} of each generation draws from the same random seeds, one seed per column. "
                if run.same_seeds
                else f"Images in the same places of the sets of {label}, imported: their random seeds are not known. "
            ) + f"The real row shows {_real_row(run, chosen)}; they do not correspond to the images below them."
            title = f"Drawn from scratch: {label}"
            alt = "drawn from the same seeds" if run.same_seeds else "in the same places of their sets"
            strips.append(_strip(run, line, "tracked", title, text, tracked, alt))
    first_kind = "tracked" if run.leading == "tracked" else "copies"
    return sorted(strips, key=lambda strip: (strip.line, not strip.key.startswith(first_kind)))


def _real_row(run: Run, chosen: str) -> str:
    return "held-out real images, spread evenly over all of them" if run.real_spread else f"real images{chosen}"


def _strip(
    run: Run, line: int, kind: str, title: str, text: str, pictures: Mapping[int, np.ndarray], alt: str
) -> Strip:
    height, width = next(iter(pictures.values())).shape[2:]
    rows, columns = page_rows(pictures, min(8, max(1, ROOM // (width + 2))))
    whole = columns * (width + 2) - 2
    return Strip(line, f"{kind}-{line}", title, text, rows, columns, whole, height, alt, pictured(run, pictures))


def _loupe(run: Run) -> dict[str, Any]:
    """Return the magnifier's first place (shares of a picture), its field in pixels and its enlargement."""
    shapes = [images.shape[2:] for images in run.pictures("tracked").values()]
    side = min(shapes[0]) if shapes else 64
    field = max(4, min(24, 3 * side // 8)) // 2 * 2
    kind = data_of(run).get("kind") or (run.experiment.get("data") or {}).get("kind")
    x, y, words = (0.4, 0.66, "The cheek, magnified.") if kind == "faces" else (0.5, 0.5, "A detail, magnified.")
    return {"x": x, "y": y, "field": field, "times": max(1, LENS // field), "words": words}


def _sample(run: Run) -> str:
    n = run.provenance.get("n") or run.experiment.get("images")
    pieces = [
        f"{n:,} images per generation" if isinstance(n, int) else "",
        f"seed {plain(run.experiment.get('seed', '?'))}",
    ]
    return ", ".join(filter(None, pieces))
