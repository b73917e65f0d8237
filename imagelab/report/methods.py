"""The protocol at the end of a page: what a referee needs to check a run, and a reader to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..export.citations import bibtex, cited_by
from ..measurement import Measurement
from ..metrics.ladder import seen_by
from .headline import data_kind, sigmas_from_real
from .numbers import Z95, at_floor, interval, number
from .panels import title_of
from .planted import planted_card
from .run_view import Run, plain
from .signed import signed

__all__ = ["Table", "curation", "data_of", "flat", "numbers", "protocol", "tables"]

OWN_PLACE = ("data", "labels", "freckle_calibration")
"""Parts of provenance.json that the page shows in other places."""

COUNTED = ("train.", "heldout.", "reserve.", "n.")
"""Settings that are numbers of images, written with a comma between thousands."""

CARD_LISTS = ("figures", "tables", "strata")
"""Parts of a calibration card that are shown as tables, or (strata) in the estimator of the corrected count."""


@dataclass(frozen=True)
class Table:
    """A small table: its title, the names of its columns, and its rows of printable text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def protocol(run: Run) -> dict[str, Any]:
    """Return the variables of the protocol section of the template."""
    data, planted = data_of(run), planted_card(run)
    calibration = planted or run.provenance.get("freckle_calibration") or {}
    return {
        "config": _json(run.experiment),
        "command": run.repeated_by,
        "version": plain(run.provenance.get("imagelab", "")),
        "card": plain(data.get("card") or "No dataset card was written.", 4000),
        "counts": flat(data.get("counts") or {}),
        "bad_files": _bad_files(data),
        "provenance": flat({key: value for key, value in run.provenance.items() if key not in OWN_PLACE}),
        "calibration": flat(
            {key: value for key, value in calibration.items() if key not in ("figures", "tables", "strata")}
        ),
        "calibration_tables": tables(calibration),
        "calibrated": f"How the counter of {planted['word']} was calibrated"
        if planted
        else "How the freckle counter was calibrated",
        "training": _training(run),
        "truth": [(n.partition("/")[2], m) for n in run.names if n.startswith("truth/") and (m := run.real(n))],
        "interval": interval,
        "missing": run.missing(),
        "glossary": _glossary(run),
        "signed": signed(run),
        "bibtex": bibtex(cited_by(run.experiment, run.measurements, run.own)),
    }


def curation(run: Run) -> str:
    """Return one sentence on which of the drawn images were published; "" for a run that publishes all it draws.

    Raises:
        ValueError: if a record of the curation is damaged.
    """
    main = [shard for shard in run.shards if shard[1] == 0 and run.store.has_file(*shard, "curation.json")]
    if not main:
        return ""
    path = run.store.file(*main[-1], "curation.json")
    try:
        record = json.loads(path.read_text("utf-8"))
        drawn, kept, reason = int(record["candidates"]), int(record["kept"]), plain(record["reason"], 200)
        rare = {name: 100.0 * float(value) for name, value in (record.get("rare") or {}).items()}
        thrown_away = _thrown_away(rare) if rare else ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected a record of the curation, got {error!r}") from error
    said = f"This run is curated: of {drawn:,} images drawn in a generation, {kept:,} were published ({reason})."
    return f"{said} {thrown_away}".strip()


def _thrown_away(rare: Mapping[str, float]) -> str:
    """Return whom the choice threw away, from the rare attributes in 100 images before and after it."""
    return (
        f"In the last generation, probes find {rare['candidates']:.1f} rare attributes in 100 drawn images and "
        f"{rare['kept']:.1f} in 100 published ones; about 95 % of random choices would publish "
        f"{max(rare['candidates'] - 1.96 * rare['chance'], 0.0):.1f} to "
        f"{rare['candidates'] + 1.96 * rare['chance']:.1f}."
    )


def data_of(run: Run) -> Mapping[str, Any]:
    """Return what provenance.json says about the dataset; empty if it says nothing."""
    data = run.provenance.get("data")
    return data if isinstance(data, Mapping) else {}


def _bad_files(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    files = data.get("bad_files") or []
    return [(plain(f.get("path"), 200), plain(f.get("reason"), 200)) for f in files if isinstance(f, Mapping)]


def numbers(run: Run) -> list[dict[str, Any]]:
    """Return one row per measurement: real images, first and last generation, last generation of every control."""
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
                "title": title_of(run, name),
                "far": _far(run, name),
                "unit": plain(some.unit),
                "real": _cell(run, real),
                "first": _cell(run, run.at(name, 1)),
                "last": _cell(run, run.at(name, run.last)),
                "arms": [_cell(run, run.at(name, run.last, line)) for line in run.lines[1:]],
                "n": f"{some.n_fake:,}" + (f" / {some.n_real:,}" if some.n_real else ""),
            }
        )
    return rows


def _far(run: Run, name: str) -> str:
    """Return how many standard errors the last generation is from real images, as text; "" if it is unknown."""
    z = sigmas_from_real(run, name)
    return "" if z is None else f"{min(z, 1e6):.3g}"


def _cell(run: Run, m: Measurement | None) -> str:
    return "" if m is None else interval(m) + (" *" if at_floor(run, m) else "")


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
                "first": number(mine[0].loss),
                "last": number(mine[-1].loss),
            }
        )
    return rows


def _glossary(run: Run) -> list[dict[str, Any]]:
    """Return each metric of the run with what it saw of the degradations tried, on images most like these."""
    taken = [run.row(name) for name in run.names]
    like = "faces" if data_kind(run) == "faces" else "textures"
    return [
        {"name": name, "metric": row, "seen": None if name in run.own_rows else seen_by(name, like)}
        for name, row in run.rows.items()
        if row in taken
    ]


def _json(value: object) -> str:
    """Return indented JSON; characters that are not printable or that reverse the direction of text are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)


def flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, value) pairs; long values are cut."""
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in flat(item, f"{prefix}{plain(key)}.")]
    if isinstance(value, list) and not all(isinstance(item, str | int | float | bool) for item in value):
        return [pair for place, item in enumerate(value) for pair in flat(item, f"{prefix}{place}.")]
    if isinstance(value, int) and not isinstance(value, bool) and prefix in COUNTED:
        return [(prefix.rstrip("."), f"{value:,}")]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return [(prefix.rstrip("."), plain(text, 400) or "–")]


def tables(calibration: Mapping[str, Any]) -> list[Table]:
    """Return the figures and tables of a calibration card, each value with its 95 % interval."""
    figures, lists = calibration.get("figures"), calibration.get("tables")
    found: dict[str, list[Mapping[str, Any]]] = {}
    if isinstance(figures, Mapping):
        found["figures"] = [{"figure": name, **row} for name, row in figures.items() if isinstance(row, Mapping)]
    if isinstance(lists, Mapping):
        found |= {name: [row for row in rows or () if isinstance(row, Mapping)] for name, rows in lists.items()}
    return [_calibrated(plain(name), rows) for name, rows in found.items() if rows]


def _calibrated(title: str, rows: list[Mapping[str, Any]]) -> Table:
    keys = [key for key in rows[0] if key not in ("value", "stderr", "n")]
    body = []
    for row in rows:
        value, stderr = row.get("value"), row.get("stderr")
        error = Z95 * stderr if isinstance(stderr, int | float) and stderr >= 0 else None
        shown = number(value, error) if isinstance(value, int | float) else ""
        known = (row.get(key, "") for key in keys)
        body.append(
            [*(f"{key:g}" if isinstance(key, float) else plain(key) for key in known), shown, plain(row.get("n", ""))]
        )
    return Table(title, [*map(plain, keys), "value", "n"], body)
