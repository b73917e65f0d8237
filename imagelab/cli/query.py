"""``imagelab query``: SQL over the settings and measurements of many runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.table import Table

from ..sweeps.queries import QueryResult, ask, run_folders
from .console import UsageError, out

__all__ = ["query_command"]


def query_command(
    runs: Annotated[list[Path], Parameter(negative=())],
    query: str,
    /,
    *,
    form: Annotated[Literal["table", "csv", "json"], Parameter(name="--format")] = "table",
) -> int:
    """Ask many runs a question in SQL: imagelab query runs "SELECT run, seed FROM runs".

    There are two tables. `runs` has a row for each run: run, path, name, title, signature, seed, data, regime,
    generator, curation, images, generations, chains, made, and settings, such as settings['regime.real_fraction'].
    `measurements` has a row for each number: run, name, value, unit, generation, line, stderr, low, high, floor,
    n_real, n_fake and the other fields of metrics.jsonl. Line -1 is real data; predicted ones are of theory.

    Parameters
    ----------
    runs
        Run folders, or folders with runs in them.
    query
        One statement in the SQL of DuckDB. It sees the two tables and no files.
    form
        How to print the answer: table, csv, or json (one object a line).
    """
    if not query.strip():
        raise UsageError('query: expected SQL last, such as "SELECT run, regime, seed FROM runs"')
    answer = ask(run_folders(runs), query)
    if form == "table":
        out.print(_table(answer))
    else:
        out.print((_csv if form == "csv" else _json)(answer), markup=False, end="")
    return 0


def _table(answer: QueryResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in answer.columns:
        table.add_column(column, overflow="fold")
    for row in answer.rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _csv(answer: QueryResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
    return text.getvalue()


def _json(answer: QueryResult) -> str:
    rows = (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
