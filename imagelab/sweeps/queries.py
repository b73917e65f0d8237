"""Questions to many runs in SQL: their settings and measurements as two tables of an in-memory DuckDB.

    runs            run, path, name, title, signature, seed, data, regime, generator, curation, images, generations,
                    chains, made, and ``settings``, a map from the dotted name of every setting to its value as text
    measurements    run, and the fields of :class:`~imagelab.measurement.Measurement`

The query sees these tables and nothing else: it cannot read or write files, or load extensions. Runs are read through
their records; none of their code is executed.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiment import flatten
from ..io.run_records import CONFIG
from ..io.untrusted import quoted, shown
from ..measurement import Measurement
from ..run_folder import RunFolder
from .study import with_runs_of_studies

__all__ = ["QueryResult", "ask", "run_folders"]

FIELDS = tuple(field.name for field in dataclasses.fields(Measurement))
KINDS = {"value": "DOUBLE", "predicted": "BOOLEAN"} | {
    name: "DOUBLE" for name in ("stderr", "floor", "floor_stderr", "df", "low", "high", "between", "between_df")
}
WHOLE = ("generation", "line", "n_real", "n_fake", "chains", "seed")
RUNS = {
    "run": "VARCHAR",
    "path": "VARCHAR",
    "name": "VARCHAR",
    "title": "VARCHAR",
    "signature": "VARCHAR",
    "seed": "BIGINT",
    "data": "VARCHAR",
    "regime": "VARCHAR",
    "generator": "VARCHAR",
    "curation": "VARCHAR",
    "images": "BIGINT",
    "generations": "BIGINT",
    "chains": "BIGINT",
    "made": "BIGINT",
    "settings": "MAP(VARCHAR, VARCHAR)",
}


@dataclass(frozen=True)
class QueryResult:
    """The answer to a query.

    Attributes:
        columns: their names.
        rows: the values, one tuple a row.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def run_folders(places: Sequence[Path]) -> list[Path]:
    """Return the runs that are named, and those that lie directly in a folder that is named; each once, in order.

    Raises:
        ValueError: for a place that is no run and holds none.
    """
    found: dict[Path, None] = {}
    for place in with_runs_of_studies(places):
        if (place / CONFIG).is_file():
            found.setdefault(place.resolve())
            continue
        inside = sorted(child for child in place.iterdir() if (child / CONFIG).is_file()) if place.is_dir() else []
        if not inside:
            raise ValueError(f"{shown(place)}: expected a run, or a folder with runs in it")
        for child in inside:
            found.setdefault(child.resolve())
    return list(found)


def ask(runs: Sequence[Path], query: str) -> QueryResult:
    """Return the answer of one SQL statement about some runs.

    Args:
        runs: their folders.
        query: SQL, in the dialect of DuckDB.

    Raises:
        ValueError: if DuckDB is not installed, a run cannot be read, or the statement is wrong or asks for more than
            the two tables.
    """
    try:
        duckdb = importlib.import_module("duckdb")
    except ImportError as error:
        raise ValueError("query needs the package duckdb: pip install 'imagelab-collapse[query]'") from error
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as tables:
        _fill(tables, runs)
        tables.execute("SET enable_external_access = false; SET lock_configuration = true")
        try:
            cursor = tables.execute(query)
            columns = tuple(str(column[0]) for column in cursor.description or ())
            return QueryResult(columns, tuple(cursor.fetchall() if columns else ()))
        except duckdb.Error as error:
            raise ValueError(f"query: {quoted(str(error).splitlines()[0], 400)}") from error


def _fill(tables: Any, runs: Sequence[Path]) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in RUNS.items())
    tables.execute(f"CREATE TABLE runs ({columns})")
    measured = ", ".join(f'"{name}" {_kind(name)}' for name in FIELDS)
    tables.execute(f"CREATE TABLE measurements (run VARCHAR, {measured})")
    for path in runs:
        folder = RunFolder(path)
        tables.execute(f"INSERT INTO runs VALUES ({_holes(RUNS)})", list(_row(folder)))
        found = folder.measurements()
        columns = [[getattr(m, name) for m in found] for name in FIELDS]  # whole columns: rows one by one take minutes
        lists = ", ".join(f"unnest(?::{_kind(name)}[])" for name in FIELDS)
        tables.execute(f"INSERT INTO measurements SELECT ?, {lists}", [path.name, *columns])


def _kind(field: str) -> str:
    return "BIGINT" if field in WHOLE else KINDS.get(field, "VARCHAR")


def _holes(columns: Any) -> str:
    return ", ".join("?" * len(columns))


def _row(folder: RunFolder) -> Iterator[Any]:
    config = folder.config
    asked = config["experiment"]
    yield from (folder.path.name, str(folder.path))
    yield from (asked.get("name"), asked.get("title"), config["signature"], asked.get("seed"))
    for family in ("data", "regime", "generator", "curation"):
        yield (asked.get(family) or {}).get("kind")
    yield from (asked.get("images"), asked.get("generations"), asked.get("replicates") or 1)
    yield max((generation for generation, _ in folder.shards()), default=None)
    yield {name: _text(value) for name, value in flatten(asked).items()}


def _text(value: Any) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
