"""A mirror in Weights & Biases: an offline run folder that ``wandb sync`` sends when its user asks for it.

W&B takes the steps of a run in their order and each once. So the whole offline folder is written anew when the run has
grown, under a temporary name, and takes the place of the one before. Its run id is the name of the run folder: to sync
again brings the same run up to date. Nothing is sent, and nothing is written outside of the mirror's folder.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..io.atomic import folder_made_whole, sweep
from ..io.manifest import file_digest
from .mirrored import MirroredRun, MirroredShard, MirrorState, how_to_install

__all__ = ["mirror_to_wandb"]

RECORD = "imagelab-mirror.json"
PROJECT = "imagelab"
PLACES = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR")
TEMPORARY_FOLDERS = ("wandb", "logs", "tmp", "pictures", "staging")


def mirror_to_wandb(folder: Path, run: MirroredRun, shards: Sequence[MirroredShard], state: MirrorState) -> int:
    """Write the offline folder of a run if it is not there with all of its shards; return how many are new.

    Args:
        folder: the offline folder is written to ``folder/wandb``.
        run: the run.
        shards: its finished shards.
        state: of the run; the report page is added to a finished one.

    Raises:
        ValueError: if the package wandb is missing.
    """
    home = folder / "wandb"
    home.mkdir(exist_ok=True)
    sweep(home)  # what a mirror that was killed has left: each try has another name
    page = run.report if state == "finished" else None
    wanted = {"shards": [shard.name for shard in shards], "report": file_digest(page) if page else ""}
    there = {path: record for path in home.glob(f"offline-run-*-{run.name}") if (record := _record(path))}
    current = [path for path, record in there.items() if record == wanted]
    if not current and shards:
        _write(_new_name(home, run), run, shards, wanted, page)
    for path in [path for path in there if path not in current[:1]]:
        shutil.rmtree(path)
    known = {name for record in there.values() for name in record["shards"]}
    return len(set(wanted["shards"]) - known)


def _record(path: Path) -> dict[str, Any]:
    """Return what an offline folder of ours holds; nothing for one that is not ours."""
    with suppress(OSError, ValueError):
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        if isinstance(record, dict) and isinstance(record.get("shards"), list) and not path.is_symlink():
            return record
    return {}


def _new_name(home: Path, run: MirroredRun) -> Path:
    """Return a name in the form that ``wandb sync`` looks for, not yet taken."""
    seconds = int(time.time())
    while True:
        path = home / f"offline-run-{time.strftime('%Y%m%d_%H%M%S', time.localtime(seconds))}-{run.name}"
        if not path.exists():
            return path
        seconds += 1


def _write(
    path: Path, run: MirroredRun, shards: Sequence[MirroredShard], record: dict[str, Any], page: Path | None
) -> None:
    rows: dict[int, dict[str, float]] = {}
    for shard in shards:
        for value in shard.values():
            rows.setdefault(value.step, {})[value.key] = value.value
        rows.setdefault(shard.generation, {})
    with folder_made_whole(path) as partial, _offline(partial) as wandb:
        (partial / "pictures").mkdir()
        begun = _begin(wandb, partial, run)
        try:
            for step in sorted(rows):
                pictures = {
                    strip.key: wandb.Image(str(_stored(partial / "pictures", strip.png, f"{step}-{shard.line}")))
                    for shard in shards
                    if shard.generation == step
                    for strip in shard.strips()
                }
                last = {"report": wandb.Html(str(page), inject=False)} if page and step == max(rows) else {}
                begun.log({**rows[step], **pictures, **last}, step=step)
        finally:
            begun.finish()
            wandb.teardown()
        (made,) = (partial / "wandb").glob("offline-run-*")
        for child in (*made.glob("*.wandb"), made / "files"):
            child.rename(partial / child.name)
        for name in TEMPORARY_FOLDERS:
            shutil.rmtree(partial / name, ignore_errors=True)
        (partial / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


def _stored(folder: Path, png: bytes, name: str) -> Path:
    path = folder / f"{name}-{len(list(folder.iterdir()))}.png"
    path.write_bytes(png)
    return path


@contextmanager
def _offline(folder: Path) -> Iterator[Any]:
    """Yield the package, which writes into this folder only; the environment is as before afterwards."""
    ours = {**dict.fromkeys(PLACES, str(folder)), "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield importlib.import_module("wandb")
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "wandb":
            raise
        raise ValueError(how_to_install("wandb")) from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(wandb: Any, folder: Path, run: MirroredRun) -> Any:
    settings = wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    return wandb.init(
        mode="offline",
        dir=str(folder),
        project=PROJECT,
        id=run.name,
        name=run.name,
        group=run.group or None,
        notes=run.title,
        tags=[tag[:60] for tag in ("imagelab", *run.tags.values())],
        config=dict(run.settings),
        settings=settings,
        reinit="create_new",
    )
