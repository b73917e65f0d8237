"""A mirror in trackio: its SQLite file and its folder of pictures, without its server and without an account.

The rows are written through trackio's own storage, each under an id that follows from run, shard and step. A row whose
id is there already is left as it is, so that a mirror can be killed and started again. A picture is a file whose name
follows from its place, and holds the marks of imagelab.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..io.atomic import written_whole
from ..io.manifest import file_digest
from ..io.untrusted import shown
from .mirrored import MirroredRun, MirroredShard, MirrorState, how_to_install

__all__ = ["mirror_to_trackio"]

PLACE = "TRACKIO_DIR"


def mirror_to_trackio(folder: Path, run: MirroredRun, shards: Sequence[MirroredShard], state: MirrorState) -> int:
    """Write what is not there yet; return how many shards were written.

    Args:
        folder: what trackio calls TRACKIO_DIR.
        run: the run.
        shards: its finished shards.
        state: of the run; the report page is added to a finished one.

    Raises:
        ValueError: if the package trackio is missing, or has been imported with another folder.
    """
    storage, media = _trackio(folder)
    project = (run.group or run.tags["imagelab.name"]).replace("/", "-")
    known = _ids(Path(storage.get_project_db_path(project)))
    new = 0
    for shard in shards:
        rows = _rows(shard, media(project, run.name, shard.generation), folder / "media", known)
        if rows:
            new += 1
            _log(storage, project, run, shard.time, rows)
    page = run.report if state == "finished" else None
    if page and shards and (named := f"{run.name}/report/{file_digest(page)}") not in known:
        place = media(project, run.name, shards[-1].generation) / "report.html"
        _store(place, page.read_bytes())
        row = {"report": _reference("trackio.html", place, folder / "media")}
        _log(storage, project, run, shards[-1].time, {named: (shards[-1].generation, row)})
    return new


def _trackio(folder: Path) -> tuple[Any, Any]:
    """Return trackio's storage and its function for the folder of pictures, both with this folder."""
    os.environ[PLACE] = str(folder.resolve())
    try:
        storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
        media = importlib.import_module("trackio.media.utils").get_project_media_path
        used = Path(importlib.import_module("trackio.utils").TRACKIO_DIR)
    except ImportError as error:
        raise ValueError(how_to_install("trackio")) from error
    if used.resolve() != folder.resolve():
        raise ValueError(f"trackio of this process keeps its files in {shown(used)}; start another process for another")
    return storage, lambda project, run, step: Path(media(project=project, run=run, step=step))


def _ids(database: Path) -> set[str]:
    """Return the ids of the rows that are there."""
    if not database.exists():
        return set()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {str(row[0]) for row in connection.execute("SELECT log_id FROM metrics")}


def _rows(shard: MirroredShard, place: Path, root: Path, known: set[str]) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return id -> (step, row) of a shard; nothing where its last row is there already."""
    own = f"{shard.run.name}/{shard.name}/{shard.generation}"
    if own in known:
        return {}
    rows: dict[str, tuple[int, dict[str, Any]]] = {own: (shard.generation, {})}
    for value in shard.values():
        step_id = f"{shard.run.name}/{shard.name}/{value.step}"
        rows.setdefault(step_id, (value.step, {}))[1][value.key] = value.value
    for strip in shard.strips():
        path = place / f"{strip.name}-{strip.series}.png"
        _store(path, strip.png)
        rows[own][1][strip.key] = _reference("trackio.image", path, root)
    return rows


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        partial.write_bytes(content)


def _reference(kind: str, path: Path, root: Path) -> dict[str, Any]:
    """Return how a row of trackio names a file."""
    return {"_type": kind, "file_path": str(path.resolve().relative_to(root.resolve())), "caption": None}


def _log(
    storage: Any, project: str, run: MirroredRun, time: float, rows: dict[str, tuple[int, dict[str, Any]]]
) -> None:
    """Write rows in one transaction."""
    when = datetime.fromtimestamp(time, UTC).isoformat()
    storage.bulk_log(
        project,
        run.name,
        [row for _, row in rows.values()],
        steps=[step for step, _ in rows.values()],
        timestamps=[when] * len(rows),
        config={**run.settings, **run.tags, "_Group": run.group or None, "_Created": when},
        log_ids=list(rows),
        run_id=run.name,
    )
