"""The run folder: all that is known of a run, on disk; each part is complete or not there.

A shard (one line of one generation) is written into ``gen-001.partial/``, synced and renamed; it exists from the rename
on. Each shard has its own ``metrics.jsonl``; the run's ``metrics.jsonl`` is these files one after the other. It is
repaired from them when a run goes on, so a kill at any moment loses no line and duplicates none.

    runs/photocopy-1a2b3c4d/
      config.json  provenance.json  metrics.jsonl
      gen-000/            images.npy heldout.npy [reserve.npy blank.npy] probe.npy truth.npz pool.npz features/ grid.png
      gen-001/            images.npy probe.npy [photocopy.npy] pool.npz features/ grid.png model/ train.jsonl
                          [curation.json curation.npz]
      gen-001-line-1/     the same for the second line (an arm, or another breeding model)
      report/             disposable

Consumers read a run through :class:`RunFolder` and nothing else; no torch is needed for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .images import tile
from .io.atomic import sync, write_atomic
from .io.lock import held_alone
from .io.pictures import read_npy, write_png
from .measurement import Measurement
from .pool import REAL, RESERVE, Archive, Pool

__all__ = ["CHECKPOINT", "SCHEMA", "RunFolder", "write_npy", "write_shard"]

SCHEMA = 1
"""Version of this layout. A folder of another version is refused."""

CHECKPOINT = "checkpoint.safetensors"
"""File in a partial shard that holds the state inside a generation; it survives a new start of that shard."""

_SHARD = re.compile(r"gen-(\d{3,})(?:-line-(\d+))?")


class RunFolder:
    """One run on disk. Make it with :meth:`create` or :meth:`open`."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> RunFolder:
        """Return the folder for this config, made if it is not there yet.

        Raises:
            ValueError: if a folder of that name holds another config.
        """
        folder = cls(path)
        if folder._config_path.exists():
            folder = cls.open(path)
            if folder.config["signature"] != config["signature"]:
                raise ValueError(f"{path}: holds another run (signature {folder.config['signature']}). Move it away.")
            return folder
        folder.path.mkdir(parents=True, exist_ok=True)
        write_atomic(folder._config_path, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return an existing run folder.

        Raises:
            ValueError: if it is no run folder, its config is damaged, or it was written by another schema version.
        """
        folder = cls(path)
        if not folder._config_path.is_file():
            raise ValueError(f"{path}: not a run folder (expected a config.json in it). Runs lie under runs/.")
        schema = folder.config.get("schema")
        if schema != SCHEMA:
            raise ValueError(
                f"{path}: written with run-folder schema {schema!r}, this imagelab reads schema {SCHEMA}. "
                "Use the imagelab version named in its provenance.json, or run the experiment again."
            )
        return folder

    @property
    def _config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json: schema, signature and the whole experiment."""
        return _read_json(self._config_path)

    @property
    def provenance(self) -> dict[str, Any]:
        """The content of provenance.json; empty before the run has begun."""
        path = self.path / "provenance.json"
        return _read_json(path) if path.exists() else {}

    def write_provenance(self, provenance: dict[str, Any]) -> None:
        """Write provenance.json, whole or not at all."""
        write_atomic(self.path / "provenance.json", json.dumps(provenance, indent=2, ensure_ascii=False) + "\n")

    # -- shards

    def shard_path(self, generation: int, line: int = 0) -> Path:
        """Where the shard lies, or will lie. Generation 0 has one shard whatever the line."""
        suffix = f"-line-{line}" if line > 0 and generation > 0 else ""
        return self.path / f"gen-{generation:03d}{suffix}"

    def has(self, generation: int, line: int = 0) -> bool:
        """Whether the shard is finished."""
        return self.shard_path(generation, line).is_dir()

    def shards(self) -> list[tuple[int, int]]:
        """Finished (generation, line) pairs in order; generation 0 as (0, REAL)."""
        found = []
        for child in self.path.iterdir():
            match = _SHARD.fullmatch(child.name)
            if match and child.is_dir():
                generation = int(match[1])
                found.append((generation, int(match[2] or 0) if generation else REAL))
        return sorted(found)

    def begin(self, generation: int, line: int = 0) -> Path:
        """Return an empty partial folder for a shard; only a training checkpoint in it outlives a kill."""
        partial = self._partial(generation, line)
        partial.mkdir(exist_ok=True)
        for child in partial.iterdir():
            if child.name != CHECKPOINT:
                shutil.rmtree(child) if child.is_dir() else child.unlink()
        return partial

    def commit(self, generation: int, line: int = 0) -> None:
        """Make a partial shard real: sync every file in it, rename it, add its measurements to the run's."""
        partial, final = self._partial(generation, line), self.shard_path(generation, line)
        (partial / CHECKPOINT).unlink(missing_ok=True)
        for path in [*partial.rglob("*"), partial]:
            sync(path)
        partial.rename(final)
        sync(self.path)
        self.mend()

    def adopt(self, other: RunFolder, generation: int, line: int, changed: Mapping[str, np.ndarray | None]) -> None:
        """Take over a finished shard of another run, whole or not at all.

        Arrays and pictures, which nothing ever changes, are hard links where the disk has them; text is copied.

        Args:
            other: the run that has the shard. generation, line: which one.
            changed: arrays to write instead of the other's, by file name; None to leave one out.
        """
        source, partial = other.shard_path(generation, line), self.begin(generation, line)
        for path in sorted(source.rglob("*")):
            target = partial / path.relative_to(source)
            if path.is_dir():
                target.mkdir()
            elif path.name not in changed:
                _link_or_copy(path, target)
        for name, array in changed.items():
            if array is not None:
                write_npy(partial / name, array)
        self.commit(generation, line)

    def _partial(self, generation: int, line: int) -> Path:
        final = self.shard_path(generation, line)
        return final.with_name(final.name + ".partial")

    def images(self, generation: int, line: int = 0) -> np.ndarray:
        """Return a shard's images, uint8 [N,C,H,W], read from disk as they are touched."""
        name = "reserve.npy" if line == RESERVE else "images.npy"
        return read_npy(self.shard_path(generation, line) / name, mmap=True)

    def candidates(self, generation: int, line: int = 0) -> np.ndarray:
        """Return which candidate each image of a shard was, int64 [N]; in a run without curation, its own row.

        Candidate r was drawn from the seed at (run seed, "sample", generation, line, r).
        """
        path = self.shard_path(generation, line) / "curation.npz"
        if not path.exists():
            return np.arange(len(self.images(generation, line)))
        with np.load(path, allow_pickle=False) as decision:
            return decision["rows"]

    def gather(self, pool: Pool) -> np.ndarray:
        """Return the images that a pool names, in its order: uint8 [N,C,H,W]."""
        first = self.images(*pool.shards()[0])
        images = np.empty((len(pool), *first.shape[1:]), np.uint8)
        for generation, line in pool.shards():
            here = np.flatnonzero((pool.generation == generation) & (pool.line == line))
            images[here] = self.images(generation, line)[pool.row[here]]
        return images

    def pool(self, generation: int, line: int = 0) -> Pool:
        """Return the ledger of what this shard's model was trained on."""
        with np.load(self.shard_path(generation, line) / "pool.npz", allow_pickle=False) as columns:
            return Pool(columns["generation"], columns["line"], columns["row"])

    def initial_archive(self) -> Archive:
        """Return the archive as it is before generation 1: the real set and the reserve."""
        real = Pool.of(0, REAL, range(len(self.images(0, REAL))))
        reserve = len(self.images(0, RESERVE)) if (self.shard_path(0) / "reserve.npy").exists() else 0
        return Archive(real, Pool.of(0, RESERVE, range(reserve)))

    # -- measurements

    def mend(self) -> None:
        """Make the run's metrics.jsonl equal to its shards' files, one after the other; touch nothing if it is."""
        pieces = [self.shard_path(*shard) / "metrics.jsonl" for shard in self.shards()]
        whole = "".join(piece.read_text() for piece in pieces if piece.exists())
        path = self.path / "metrics.jsonl"
        present = path.read_text() if path.exists() else ""
        if whole == present:
            return
        if whole.startswith(present):
            with path.open("a") as file:
                file.write(whole[len(present) :])
                file.flush()
                os.fsync(file.fileno())
        else:
            write_atomic(path, whole)

    def measurements(self) -> list[Measurement]:
        """Return every measurement of the run.

        Raises:
            ValueError: naming the file and line that is not a measurement.
        """
        path = self.path / "metrics.jsonl"
        found = []
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
            try:
                found.append(Measurement.from_json(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
        return found

    # -- one writer at a time

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing.

        Raises:
            ValueError: if another process holds it.
        """
        with held_alone(self.path / "run.lock", str(self.path), "is writing this run"):
            yield


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an array as NPY without pickling; meant for files inside a partial shard."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def write_shard(shard: Path, images: np.ndarray, pool: Pool, measurements: list[Measurement]) -> None:
    """Write what every shard holds into its partial folder: images, ledger, measurements and a grid for the eye."""
    write_npy(shard / "images.npy", images)
    np.savez(shard / "pool.npz", generation=pool.generation, line=pool.line, row=pool.row)
    (shard / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in measurements), encoding="utf-8")
    write_png(shard / "grid.png", tile(images[:64], columns=8, scale=max(1, 128 // images.shape[3])))


def _link_or_copy(source: Path, target: Path) -> None:
    if source.suffix not in (".json", ".jsonl"):
        with contextlib.suppress(OSError):  # another disk, or one without links
            target.hardlink_to(source)
            return
    shutil.copyfile(source, target)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not whole JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
