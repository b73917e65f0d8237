"""The run folder: all that is known of a run, on disk; each part is complete or not there.

A shard (one line of one generation) is written into ``gen-001.partial/``, synced and renamed; it exists from the rename
on. Its ``manifest.json`` lists every file with size and SHA-256, and the shards it was made from with their digests;
``seals.json`` lists the digest of every shard. Opening a run compares places, sizes and digests; reading a file
compares its bytes. Each shard has its own ``metrics.jsonl``; the run's is a copy of these files one after the other.
Opening a run also repairs what a kill has left, so a kill at any moment loses no line and duplicates none.

    runs/photocopy-1a2b3c4d/
      config.json  provenance.json  seals.json  metrics.jsonl
      gen-000/            manifest.json images.npy heldout.npy [reserve.npy twins.npy blank.npy] probe.npy truth.npz
                          pool.npz [groups.npz] features/ grid.png
      gen-001/            manifest.json images.npy probe.npy [photocopy.npy] pool.npz features/ grid.png model/
                          train.jsonl [train.log prompts.jsonl] [curation.json curation.npz]
      gen-001-line-1/     the same for the second line (an arm, or another breeding model)
      report/ detection/  disposable

Consumers read a run through :class:`RunFolder` and nothing else; no torch is needed for it. A run of a version before
manifests has none: it is read as it is, and ``imagelab check`` says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .io.atomic import sweep, sync, sync_all
from .io.chain import NO_FOLDER, UNSEALED, Problem, chain_problems, mend_seals, read_seals, refusal
from .io.folder_names import folder_name, folders_of_generations
from .io.lock import held_alone
from .io.manifest import MANIFEST, REMOVED, CheckedFiles, Manifest, file_digest, files_in, is_folder
from .io.measurements import mend_copy, present_text, read_measurements
from .io.npy import npz_columns
from .io.pictures import read_npy
from .io.run_records import CONFIG, PROVENANCE, is_sealed, stored_config, stored_provenance, write_record
from .io.untrusted import quoted, regular, shown
from .measurement import Measurement
from .pool import REAL, RESERVE, TWINS, Archive, Pool

__all__ = ["CHECKPOINT", "SCHEMA", "RunFolder"]

_LOG = logging.getLogger(__name__)

SCHEMA = 1  # version of this layout; another one is refused

CHECKPOINT = "checkpoint.safetensors"
"""File in a partial shard that holds the state inside a generation; it survives a new start of that shard."""


class RunFolder:
    """One run on disk. Make it with :meth:`create` or :meth:`open`."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._checked = CheckedFiles()
        self._made: set[tuple[int, int]] = set()
        self._still_locked = lambda: None

    @classmethod
    def create(cls, path: Path, config: dict[str, Any], provenance: dict[str, Any] | None = None) -> RunFolder:
        """Return the folder for this config, made if it is not there yet.

        Args:
            path: the run folder.
            config: the content of config.json.
            provenance: the first content of provenance.json, which a branch has from its beginning.

        Raises:
            ValueError: if a folder of that name holds another config, or another process is making it.
        """
        folder = cls(path)
        if not (folder.path / CONFIG).exists():
            folder.path.mkdir(parents=True, exist_ok=True)
            sync(folder.path.absolute().parent)
            with folder.lock():
                if not (folder.path / CONFIG).exists():
                    if provenance is not None:
                        folder.write_provenance(provenance)
                    write_record(folder.path / CONFIG, config)
        folder = cls.open(path, remake=True)
        if folder.config["signature"] != config["signature"]:
            raise ValueError(
                f"{shown(path)}: holds another run (signature {quoted(folder.config['signature'], 20)}). Move it away."
            )
        return folder

    @classmethod
    def open(cls, path: Path, *, remake: bool = False) -> RunFolder:
        """Return an existing run folder, after repairing what a kill has left and comparing it with its manifests.

        Args:
            path: the run folder.
            remake: whether missing and empty shards are accepted, because the caller makes them again.

        Raises:
            ValueError: if it is no run folder, its config is damaged, it was written by another schema version, or
                something in it is not what the run wrote.
        """
        folder = cls(path)
        schema = folder.config["schema"]
        if schema != SCHEMA:
            raise ValueError(
                f"{shown(path)}: written with run-folder schema {quoted(schema, 20)}, this imagelab reads schema "
                f"{SCHEMA}. Use the imagelab version named in its provenance.json, or run the experiment again."
            )
        problems = [problem for problem in folder.problems() if not (remake and problem.absent)]
        if problems:
            raise ValueError(refusal(folder.path, problems))
        folder.heal()
        return folder

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json: schema, signature and the whole experiment.

        Raises:
            ValueError: if it is missing, damaged, or was changed.
        """
        return stored_config(self.path)

    @cached_property
    def sealed(self) -> bool:
        """Whether the run has manifests; runs of versions before them have none."""
        return is_sealed(self.path)

    @property
    def provenance(self) -> dict[str, Any]:
        """The content of provenance.json; empty before the run has begun.

        Raises:
            ValueError: if it is damaged or was changed.
        """
        return stored_provenance(self.path)

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Write provenance.json, whole or not at all."""
        write_record(self.path / PROVENANCE, provenance)

    # -- shards

    def shard_path(self, generation: int, line: int = 0) -> Path:
        """Where the shard lies, or will lie. Generation 0 has one shard whatever the line."""
        return self.path / folder_name(generation, line)

    def has(self, generation: int, line: int = 0) -> bool:
        """Whether the shard is finished."""
        path = self.shard_path(generation, line)
        return is_folder(path) and (not self.sealed or (path / MANIFEST).exists())

    def shards(self) -> list[tuple[int, int]]:
        """Finished (generation, line) pairs in order; generation 0 as (0, REAL)."""
        return [shard for shard in self._folders().values() if self.has(*shard)]

    def _folders(self) -> dict[str, tuple[int, int]]:
        return folders_of_generations(self.path)

    def begin(self, generation: int, line: int = 0) -> Path:
        """Return an empty partial folder for a shard; only a training checkpoint in it outlives a kill.

        Raises:
            ValueError: if something else has its name, such as a link.
        """
        partial = self.partial(generation, line)
        if os.path.lexists(partial) and not is_folder(partial):
            raise ValueError(f"{shown(partial)}: is a link or a file; expected a folder or nothing. Remove it.")
        partial.mkdir(exist_ok=True)
        for child in partial.iterdir():
            if is_folder(child):
                shutil.rmtree(child)
            elif child.name != CHECKPOINT or child.is_symlink():
                child.unlink()
        return partial

    def commit(
        self,
        generation: int,
        line: int = 0,
        made_from: Iterable[tuple[int, int]] = (),
        made_with: Mapping[str, Any] | None = None,
        removed: Mapping[str, tuple[int, str]] = MappingProxyType({}),
    ) -> None:
        """Make a partial shard real: list and sync every file in it, rename it, and add its measurements to the run's.

        Args:
            generation: of the shard.
            line: of the shard.
            made_from: the shards whose images or model it was made from.
            made_with: see :class:`~imagelab.io.manifest.Manifest`.
            removed: as ``made_with``; of a shard that is copied from another run.
        """
        partial, final = self.partial(generation, line), self.shard_path(generation, line)
        (partial / CHECKPOINT).unlink(missing_ok=True)
        sweep(partial)
        sources = {self.shard_path(*shard) for shard in made_from} - {final}
        digests = {path.name: Manifest.read(path).digest for path in sources if (path / MANIFEST).exists()}
        files = {name: (regular(partial / name).st_size, file_digest(partial / name)) for name in _sealed(partial)}
        place = generation, line if generation else REAL, self.config["signature"]
        Manifest(*place, dict(sorted(digests.items())), dict(made_with or {}), files, dict(removed)).write(partial)
        sync_all(partial)
        self._still_locked()
        if is_folder(final) and not any(final.iterdir()):
            _LOG.warning("%s was empty; it was made again", shown(final))
            final.rmdir()
        partial.rename(final)
        self._made.discard((generation, line))
        sync(self.path)
        for name in files:
            self._checked.add(final / name)
        self.mend(final)

    def partial(self, generation: int, line: int) -> Path:
        """Where a shard lies until it is committed."""
        return self.path / f"{self.shard_path(generation, line).name}.partial"

    def mark_made(self, generation: int, line: int) -> None:
        """Let the files of a partial shard, which lacks only its measurements, be read in this process."""
        self._made.add((generation, line))

    def is_made(self, generation: int, line: int) -> bool:
        """Whether a shard is partial and may be read."""
        return (generation, line) in self._made

    # -- reading

    def files(self, generation: int, line: int = 0) -> list[str]:
        """Return the files of a shard, as relative paths: those that its manifest lists, or all where it has none."""
        manifest = self.manifest(generation, line)
        return _sealed(self.shard_path(generation, line)) if manifest is None else list(manifest.files)

    def manifest(self, generation: int, line: int = 0) -> Manifest | None:
        """Return the manifest of a finished shard; None for a shard of a version before manifests."""
        path = self.shard_path(generation, line)
        return Manifest.read(path) if self.sealed or (path / MANIFEST).exists() else None

    def origin(self, generation: int, line: int = 0) -> tuple[list[tuple[int, int]], dict[str, Any]]:
        """Return what a shard was made from, as (generation, line) pairs, and with which settings."""
        manifest, places = self.manifest(generation, line), self._folders()
        if manifest is None:
            return [], {}
        return [places[name] for name in manifest.made_from if name in places], dict(manifest.made_with)

    def file(self, generation: int, line: int, name: str) -> Path:
        """Return the path of one file of a shard, after comparing its bytes with the manifest; once for each version.

        Raises:
            ValueError: naming the file, if it is missing, was changed, or is no regular file.
        """
        if self.is_made(generation, line):
            return self.partial(generation, line) / name
        folder = self.shard_path(generation, line)
        known = self._checked.knows(folder / name)
        return self._checked.path(folder, name, None if known else self.manifest(generation, line))

    def has_file(self, generation: int, line: int, name: str) -> bool:
        """Whether the shard was written with a file of this name."""
        if self.is_made(generation, line):
            return (self.partial(generation, line) / name).exists()
        manifest = self.manifest(generation, line)
        return (self.shard_path(generation, line) / name).exists() if manifest is None else name in manifest.files

    def checked(self, generation: int, line: int = 0) -> Path:
        """Return a shard's folder after comparing every file in it, its model's among them, with the manifest.

        Raises:
            ValueError: naming the file, if one was changed or is missing, or the run did not write it.
        """
        folder, manifest = self.shard_path(generation, line), self.manifest(generation, line)
        names = {*self.files(generation, line), *_sealed(folder)}
        for name in names - (manifest.removed if manifest else {}).keys():
            self.file(generation, line, name)
        return folder

    def model(self, generation: int, line: int = 0) -> Path:
        """Return the folder of a shard's model as :meth:`checked`; ValueError too if the run has removed the model."""
        manifest, path = self.manifest(generation, line), self.shard_path(generation, line) / "model"
        if manifest is not None and manifest.removed:
            again = f"imagelab run {shown(self.path)}/{CONFIG} --keep models --runtime.runs OTHER"
            raise ValueError(f"{shown(path)}: {REMOVED}. To have it, make the run again: {again}")
        return self.checked(generation, line) / "model"

    def images(self, generation: int, line: int = 0) -> np.ndarray:
        """Return a shard's images, uint8 [N,C,H,W], read from disk as they are touched."""
        return read_npy(self.images_file(generation, line), mmap=True)

    def images_file(self, generation: int, line: int = 0) -> Path:
        """Return the NPY file of a shard's images, after comparing its bytes with the manifest."""
        return self.file(generation, line, {RESERVE: "reserve.npy", TWINS: "twins.npy"}.get(line, "images.npy"))

    def candidates(self, generation: int, line: int = 0) -> np.ndarray:
        """Return which candidate each image of a shard was, int64 [N]; in a run without curation, its own row."""
        if not self.has_file(generation, line, "curation.npz"):
            return np.arange(len(self.images(generation, line)))
        return npz_columns(self.file(generation, line, "curation.npz"), ("rows",), "a whole decision of a curation")[0]

    def gather(self, pool: Pool) -> np.ndarray:
        """Return the images that a pool names, in its order: uint8 [N,C,H,W]."""
        images = np.empty((len(pool), *self.images(*pool.shards()[0]).shape[1:]), np.uint8)
        for generation, line in pool.shards():
            here = np.flatnonzero((pool.generation == generation) & (pool.line == line))
            images[here] = self.images(generation, line)[pool.row[here]]
        return images

    def pool(self, generation: int, line: int = 0) -> Pool:
        """Return the ledger of what this shard's model was trained on."""
        columns = "generation", "line", "row"
        return Pool(*npz_columns(self.file(generation, line, "pool.npz"), columns, "a whole ledger of training images"))

    def initial_archive(self) -> Archive:
        """Return the archive as it is before generation 1: the real set and the reserve."""
        real = Pool.of(0, REAL, range(len(self.images(0, REAL))))
        reserve = len(self.images(0, RESERVE)) if self.has_file(0, REAL, "reserve.npy") else 0
        return Archive(real, Pool.of(0, RESERVE, range(reserve)))

    # -- what is whole

    def problems(self, read_data: bool = False) -> list[Problem]:
        """Return everything in the run that is not what the run wrote.

        Args:
            read_data: whether every byte is compared; else places, sizes and digests of manifests are.
        """
        if self.sealed:
            return chain_problems(self.path, self.config["signature"], self._folders(), read_data)
        folders = [name for name in self._folders() if not is_folder(self.path / name)]
        empty = [name for name in self._folders() if name not in folders and not any((self.path / name).iterdir())]
        return [Problem(name, NO_FOLDER) for name in folders] + [Problem(name, "is empty") for name in empty]

    def heal(self) -> None:
        """Repair what a kill has left, where nobody is writing the run and the disk can be written to.

        Reading does not depend on it: measurements are read from the shards.
        """
        if not self._torn():
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.lock())
            except (OSError, ValueError):
                return  # a disk that is read-only; or another process is writing the run, and repairs it
            with contextlib.suppress(OSError):
                self.mend()

    def _torn(self) -> bool:
        """Whether :meth:`mend` has something to do."""
        unsealed = set(self._folders()) - set(read_seals(self.path)) if self.sealed else ()
        return bool(unsealed) or self._whole_metrics() not in (None, present_text(self.path / "metrics.jsonl"))

    def mend(self, added: Path | None = None) -> None:
        """Make seals.json (of the added shard, or of all) and metrics.jsonl say what the shards say. Needs the lock."""
        sweep(self.path)
        if self.sealed:
            places = [added] if added else [self.shard_path(*shard) for shard in self.shards()]
            mend_seals(self.path, [place.name for place in places])
        whole = self._whole_metrics()
        if whole is not None:
            mend_copy(self.path / "metrics.jsonl", whole)

    def _whole_metrics(self) -> str | None:
        """Return what metrics.jsonl should be; None where a run of an older version has it alone."""
        pieces = []
        for shard in self.shards():
            if not self.sealed and not (self.shard_path(*shard) / "metrics.jsonl").is_file():
                return None
            pieces.append(self.file(*shard, "metrics.jsonl").read_text(encoding="utf-8"))
        return "".join(pieces)

    # -- measurements

    def measurements(self) -> list[Measurement]:
        """Return every measurement of the run, in the order of its shards; ValueError for what is none."""
        if self._whole_metrics() is None:
            path = self.path / "metrics.jsonl"
            return read_measurements(path) if os.path.lexists(path) else []
        return [m for shard in self.shards() for m in read_measurements(self.file(*shard, "metrics.jsonl"))]

    # -- one writer at a time

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; ValueError if another process holds it."""
        with held_alone(self.path / "run.lock", shown(self.path), "is writing this run") as check:
            self._still_locked = check
            try:
                yield
            finally:
                self._still_locked = lambda: None


def _sealed(folder: Path) -> list[str]:
    """Return the files of a shard that its manifest lists, as relative paths."""
    return list(files_in(folder, UNSEALED))
