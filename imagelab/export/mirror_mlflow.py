"""A mirror in MLflow: the SQLite file ``mlflow.db`` and the folder ``artifacts``, without a server.

A number is stored under its name, step, time and value, so that writing it again changes nothing; its time is that of
its shard. Pictures are files whose names follow from the run and the shard. They get the names that MLflow's page of
images looks for, and are the files of imagelab, with their marks: ``log_image`` would write them again without.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from ..io.atomic import write_atomic
from ..io.manifest import file_digest
from ..io.marks import claimed_origin, save_marks
from ..io.untrusted import quoted
from .mirrored import MirroredRun, MirroredShard, MirrorState, PictureStrip, how_to_install

__all__ = ["mirror_to_mlflow"]

STATUS: dict[MirrorState, str] = {"running": "RUNNING", "finished": "FINISHED", "stopped": "KILLED"}
METRICS_AT_ONCE, SETTINGS_AT_ONCE = 1000, 100  # the most that MLflow takes in one call
SMALL = 256  # px: width of the picture that MLflow shows in its tables


def mirror_to_mlflow(folder: Path, run: MirroredRun, shards: Sequence[MirroredShard], state: MirrorState) -> int:
    """Write what is not there yet; return how many shards were written.

    Args:
        folder: holds ``mlflow.db`` and ``artifacts``.
        run: the run.
        shards: its finished shards.
        state: of the run, which becomes its status; the report page is added to a finished one.

    Raises:
        ValueError: if the package mlflow is missing or refuses to write.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        mlflow = importlib.import_module("mlflow")
        refused = importlib.import_module("mlflow.exceptions").MlflowException
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder.resolve()}/mlflow.db")
    except ImportError as error:
        raise ValueError(how_to_install("mlflow")) from error
    try:
        return _Writer(mlflow.entities, client, folder, run).write(shards, state)
    except refused as error:
        raise ValueError(f"mlflow: {quoted(error, 400)}") from error


class _Writer:
    """One run of MLflow, found by its tags or begun, and a record of what it holds."""

    def __init__(self, entities: Any, client: Any, folder: Path, run: MirroredRun):
        self.entities, self.client, self.run, self.folder = entities, client, run, folder
        self._record_path = folder / "locks" / f"{run.name}.json"

    def write(self, shards: Sequence[MirroredShard], state: MirrorState) -> int:
        if not shards:
            return 0
        found = self._found(shards[0])
        number = found.info.run_id
        done = self._done(number)
        if "settings" not in done:
            self._write_settings(number)
            self._note(number, done, "settings")
        new = [shard for shard in shards if shard.name not in done]
        for shard in new:
            self._write_shard(number, shard)
            self._note(number, done, shard.name)
        page = self.run.report if state == "finished" else None
        if page and (named := f"report {file_digest(page)}") not in done:
            self.client.log_artifact(number, str(page), "report")
            self._note(number, done, named)
        if found.info.status != STATUS[state]:
            self._set_status(number, state, max(shard.time for shard in shards))
        return len(new)

    def _found(self, first: MirroredShard) -> Any:
        name = self.run.group or self.run.tags["imagelab.name"]
        known = self.client.get_experiment_by_name(name)
        place = (self.folder / "artifacts").resolve().as_uri()
        number = known.experiment_id if known else self.client.create_experiment(name, artifact_location=place)
        asked = [f"tags.`{tag}` = '{self.run.tags[tag]}'" for tag in ("imagelab.run", "imagelab.signature")]
        found = self.client.search_runs([number], filter_string=" and ".join(asked))
        if found:
            return found[0]
        tags = {**self.run.tags, "mlflow.note.content": self.run.title, "mlflow.loggedImages": "True"}
        begun = round(1000 * first.time)
        return self.client.create_run(number, start_time=begun, run_name=self.run.name, tags=tags)

    def _done(self, number: str) -> list[str]:
        """Return what this run of MLflow holds; nothing where the record is of another one."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(self._record_path.read_text(encoding="utf-8"))
            if record["run_id"] == number:
                return [str(name) for name in record["done"]]
        return []

    def _note(self, number: str, done: list[str], name: str) -> None:
        done.append(name)
        write_atomic(self._record_path, json.dumps({"run_id": number, "done": done}) + "\n")

    def _write_settings(self, number: str) -> None:
        settings = [self.entities.Param(name, str(value)) for name, value in self.run.settings.items()]
        for start in range(0, len(settings), SETTINGS_AT_ONCE):
            self.client.log_batch(number, params=settings[start : start + SETTINGS_AT_ONCE])

    def _write_shard(self, number: str, shard: MirroredShard) -> None:
        when = round(1000 * shard.time)
        metrics = [self.entities.Metric(value.key, value.value, when, value.step) for value in shard.values()]
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            self.client.log_batch(number, metrics=metrics[start : start + METRICS_AT_ONCE])
        with tempfile.TemporaryDirectory() as folder:
            for strip in shard.strips():
                for path in self._pictures(Path(folder), shard, strip, when):
                    self.client.log_artifact(number, str(path), "images")

    def _pictures(self, folder: Path, shard: MirroredShard, strip: PictureStrip, when: int) -> tuple[Path, Path]:
        """Write a strip and a small one under the names of MLflow's time-stepped images."""
        which = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.run.name}/{self.run.signature}/{shard.name}/{strip.key}")
        stem = f"{strip.key.replace('/', '~')}+step+{strip.step}+timestamp+{when}+{which}"
        whole, small = folder / f"{stem}.png", folder / f"{stem}+compressed.webp"
        whole.write_bytes(strip.png)
        with Image.open(io.BytesIO(strip.png)) as image:
            origin = claimed_origin(str(image.info.get("XML:com.adobe.xmp", "")))
            image.thumbnail((SMALL, SMALL))
            image.save(small, **save_marks("WEBP", origin))
        return whole, small

    def _set_status(self, number: str, state: MirrorState, ended: float) -> None:
        if state == "running":
            self.client.update_run(number, status=STATUS[state])
        else:
            self.client.set_terminated(number, STATUS[state], end_time=round(1000 * ended))
