"""The page: one self-contained HTML file that tells a run to a reader and documents it to a referee.

No network, no script that the page cannot do without, no reference to any other file: pictures are data URIs and
curves inline SVG. The template escapes everything, so a hostile name stays text. The same run gives the same bytes.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..metrics import METRICS, row_of
from ..store import write_atomic
from . import curves
from .grids import Row, caption, draw_slides, page_rows
from .headline import Headline, facts, headline, interval, too_few
from .read import Run, plain, read_run

__all__ = ["write_report"]

FRONT = (
    "freckles/corrected",
    "freckles/count",
    "freckles/prevalence",
    "band_power",
    "hf_ratio",
    "pixel_variance",
    "frechet",
    "kernel",
    "perceptual_diversity",
    "fid",
    "kid",
    "lpips_diversity",
)
"""Measurements whose curves stand open on the page, in this order; all others follow in a fold."""

TITLES = {
    "freckles/count": "Freckles counted, before correction",
    "freckles/corrected": "Freckles a face",
    "freckles/prevalence": "Faces with freckles",
    "freckles/contrast": "How dark the freckles are",
    "freckles/blank": "Freckles counted where there are none",
    "freckles/noise": "Noise in the images",
    "band_power": "Energy by size of detail",
    "band_headroom": "Energy above 8-bit rounding",
    "spectral_slope": "Slope of the spectrum",
    "log_spectral_distance": "Distance between spectra",
    "frechet_corrected": "Fréchet distance, corrected for the number of images",
}
"""Titles of measurements that deserve words of their own; the others take those of their row of METRICS."""

BANDED = {"band_power": "energy against real images, dB", "band_headroom": "energy above rounding noise, dB"}
"""Measurements of which all parts are drawn into one figure, with its axis title."""

ROOM = 1056  # CSS pixels that a strip may take on a wide screen
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


@dataclass(frozen=True)
class Panel:
    """One figure of the curves section with its words."""

    title: str
    what: str
    small: str
    svg: Markup
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
    html = _environment().get_template("page.html").render(**_context(view))
    draw_slides(view, folder)
    write_atomic(folder / "index.html", html.encode("utf-8", "replace").decode("utf-8"))
    return folder / "index.html"


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _context(run: Run) -> dict[str, Any]:
    strips = _strips(run)
    panels = _panels(run)
    spectra = curves.spectra(run, "spectra")
    told: Headline = headline(run)
    return {
        "run": run,
        "headline": told,
        "facts": facts(run),
        "notes": _notes(run),
        "strips": strips,
        "flipped": FLIPPED,
        "front": [panel for front, panel in panels if front],
        "folded": [panel for front, panel in panels if not front],
        "spectra": spectra and Panel("", "", "", Markup(spectra.svg), spectra.alt),
        "palette": _palette(run),
        "table": _table(run),
        "lines": [(line, run.label(line, 80)) for line in run.lines],
        "config": _json(run.experiment),
        "command": shlex.quote(run.name),
        "version": plain(run.provenance.get("imagelab", "")),
        "card": plain(_data(run).get("card") or "No dataset card was written.", 4000),
        "counts": _flat(_data(run).get("counts") or {}),
        "bad_files": _bad_files(run),
        "provenance": _flat(
            {k: v for k, v in run.provenance.items() if k not in ("data", "labels", "freckle_calibration")}
        ),
        "calibration": _flat(run.provenance.get("freckle_calibration") or {}),
        "training": _training(run),
        "truth": [(n.partition("/")[2], m) for n in run.names if n.startswith("truth/") and (m := run.real(n))],
        "interval": interval,
        "missing": run.missing(),
        "glossary": _glossary(run),
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
    few = {row for name in run.names if (row := row_of(name)) and any(too_few(m) for m in run.series(name))}
    if few:
        titles = ", ".join(METRICS[row].title for row in METRICS if row in few)
        notes.append(f"Measured on fewer images than we would trust: {titles}. The glossary names the smallest n.")
    asked, got = (_data(run).get(key) for key in ("asked", "counts"))
    if isinstance(asked, Mapping) and isinstance(got, Mapping):
        for split, wanted in asked.items():
            if got.get(split, wanted) != wanted:
                notes.append(plain(f"{wanted} {split} images were asked for, the dataset gave {got[split]}.", 120))
    return notes


def _data(run: Run) -> Mapping[str, Any]:
    data = run.provenance.get("data")
    return data if isinstance(data, Mapping) else {}


def _bad_files(run: Run) -> list[tuple[str, str]]:
    files = _data(run).get("bad_files") or []
    return [(plain(f.get("path"), 200), plain(f.get("reason"), 200)) for f in files if isinstance(f, Mapping)]


def _strips(run: Run) -> list[Strip]:
    first = "; faces known to have freckles come first" if run.real("truth/freckled") else ""
    strips = []
    for line in run.lines or (0,):
        label = run.model(line)
        copies, probe = run.pictures("photocopy", line), run.pictures("probe", line)
        if copies:
            text = (
                f"Each row was made by the {label} of that generation from the row above: no new information enters. "
                f"The pictures were not chosen for how they decay{first}."
            )
            title = f"A photocopy of a photocopy: {label}"
            strips.append(_strip(line, "copies", title, text, copies, "copied again and again"))
        if max(probe, default=0) == 0 and not copies:
            if probe and line == 0:
                text = "What the run begins with. Generations will stand below them as they are finished."
                strips.append(_strip(line, "probe", "The real images", text, probe, ""))
        elif probe and (line == 0 or not copies):
            text = (
                f"What the {label} of each generation draws from the same random seeds, one seed a column. The real "
                "row shows real images, not counterparts of the columns below."
            )
            title = f"Drawn from scratch: {label}"
            strips.append(_strip(line, "probe", title, text, probe, "drawn from the same seeds"))
    return strips


def _strip(line: int, kind: str, title: str, text: str, pictures: Mapping[int, np.ndarray], alt: str) -> Strip:
    height, width = next(iter(pictures.values())).shape[2:]
    rows, columns = page_rows(pictures, min(8, max(1, ROOM // (width + 2))))
    return Strip(line, f"{kind}-{line}", title, text, rows, columns, columns * (width + 2) - 2, height, alt)


def _panels(run: Run) -> list[tuple[bool, Panel]]:
    """Return (stands open, panel) for every metric with values, in reading order."""
    groups: dict[str, list[str]] = {}
    for name in run.names:
        stem = name.split("/")[0]
        if stem not in ("radial_power", "spectrum", "truth") and run.series(name):
            groups.setdefault(stem if stem in BANDED else re.sub(r"-s\d+$", "", name), []).append(name)
    places = {key: FRONT.index(found) for key in groups for found in (key, _family(key)) if found in FRONT}
    panels = []
    for key in sorted(groups, key=lambda key: places.get(key, len(FRONT))):
        panel = _panel(run, key, groups[key])
        if panel is not None:
            panels.append((key in places, panel))
    return panels


def _family(key: str) -> str:
    stem, _, part = key.partition("/")
    return key if part == "raw" else stem


def _panel(run: Run, key: str, names: list[str]) -> Panel | None:
    stem, identity, title = key.split("/")[0], "curve-" + re.sub(r"\W", "-", plain(key, 60)), _title(names[0], key)
    if stem in BANDED:
        curve = curves.bands(run, names, identity, BANDED[stem])
    else:
        m = run.series(names[0])[0]
        axis = m.unit or ("distance" if m.better == "lower" else stem.replace("_", " "))
        control = "freckles/blank" if key == "freckles/count" else None
        curve = curves.lines(run, names, identity, plain(axis, 44), control)
    row = row_of(names[0])
    what = METRICS[row].what if row else ""
    return curve and Panel(title, what, _small(run, names), Markup(curve.svg), curve.alt)


def _title(name: str, key: str) -> str:
    """Return a measurement's title, with its part in words where it has one."""
    stem, _, part = key.partition("/")
    row = row_of(name)
    known = TITLES.get(key) or TITLES.get(stem)
    if known or row is None or (METRICS[row].gives and stem not in (row, *METRICS[row].gives[:1])):
        return plain(known or stem.replace("_", " ").capitalize() + (f": {part}" if part else ""), 70)
    title = METRICS[row].title
    return plain(title if not part or part == "randconv" or METRICS[row].needs else f"{title}: {part}", 70)


def _small(run: Run, names: list[str]) -> str:
    """Return the fine print of a curve: instrument, n, repeats."""
    m = run.series(names[0])[0]
    pieces = [
        f"n = {m.n_fake:,} made" + (f" against {m.n_real:,} real" if m.n_real else ""),
        plain(m.feature_space, 60),
    ]
    if len(names) > 1 and names[0].split("/")[0] not in BANDED:
        pieces.append(f"thin lines: {len(names) - 1} repeats with other random features")
    theory = run.series(names[0], predicted=True)
    if theory:
        pieces.append(plain(f"grey dashes: theory, {theory[0].estimator}, {theory[0].cite}".rstrip(", "), 200))
    return "; ".join(filter(None, pieces))


def _palette(run: Run) -> dict[str, list[str]]:
    steps = max(run.last, 1)
    return {
        "light": curves.cividis(steps, 0.05, 0.72),
        "dark": curves.cividis(steps, 0.45, 1.0),
        "band_light": curves.cividis(6, 0.72, 0.05),
        "band_dark": curves.cividis(6, 0.45, 1.0),
    }


def _table(run: Run) -> list[dict[str, Any]]:
    """Return one row a measurement name: real, first and last generation of the main line, last of every arm."""
    rows = []
    for name in run.names:
        series = run.series(name)
        if name.startswith(("radial_power/", "truth/")) or not (series or run.real(name)):
            continue
        real = run.real(name)
        some = (series or [real])[-1]
        assert some is not None
        rows.append(
            {
                "name": plain(name),
                "unit": plain(some.unit),
                "real": interval(real) if real else "",
                "first": interval(series[0]) if series else "",
                "last": interval(run.at(name, run.last) or series[-1]) if series else "",
                "arms": [interval(m) if (m := run.at(name, run.last, line)) else "" for line in run.lines[1:]],
                "n": f"{some.n_fake:,}" + (f" / {some.n_real:,}" if some.n_real else ""),
            }
        )
    return rows


def _training(run: Run) -> list[dict[str, Any]]:
    records = run.training()
    rows = []
    for line in sorted({record.line for record in records}):
        mine = [record for record in records if record.line == line]
        rows.append(
            {
                "label": run.label(line, 80),
                "models": len(mine),
                "seen": f"{mine[-1].images_seen:,}",
                "first": f"{mine[0].loss:.4g}",
                "last": f"{mine[-1].loss:.4g}",
                "minutes": f"{sum(record.seconds for record in mine) / 60:,.1f}",
            }
        )
    return rows


def _glossary(run: Run) -> list[dict[str, Any]]:
    taken = {row_of(name) for name in run.names}
    return [{"name": row, "metric": metric} for row, metric in METRICS.items() if row in taken]


def _sample(run: Run) -> str:
    n = run.provenance.get("n") or run.experiment.get("images")
    pieces = [
        f"{n:,} images a generation" if isinstance(n, int) else "",
        f"seed {plain(run.experiment.get('seed', '?'))}",
    ]
    return ", ".join(filter(None, pieces))


def _json(value: object) -> str:
    """Return indented JSON in which every character that would not print, or would turn the text round, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, value) pairs, short enough to print."""
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(item, f"{prefix}{plain(key)}.")]
    if isinstance(value, list) and not all(isinstance(item, str | int | float | bool) for item in value):
        return [pair for place, item in enumerate(value) for pair in _flat(item, f"{prefix}{place}.")]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return [(prefix.rstrip("."), plain(text, 400))]
