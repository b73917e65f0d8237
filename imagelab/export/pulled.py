"""A run from object storage: every byte is compared before the folder gets its name. What is on a store is not trusted.

What a store says is used only where a run could have it: names of generations, files that a manifest lists, sizes that
fit on the disk. Nothing is executed. The folder is written under a temporary name; it is renamed when the digests of
all files fit their manifests, and the manifests each other.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..io.atomic import folder_made_whole
from ..io.chain import FEATURES, SEALS, read_seals
from ..io.disk import require_space, storing
from ..io.manifest import FILES, MANIFEST, Manifest
from ..io.run_records import CONFIG, PROVENANCE
from ..io.untrusted import few, shown
from ..run_folder import SCHEMA, RunFolder
from ..runs.check import check_run
from .storage import BESIDE, Store, is_run_name, plain_name

__all__ = ["Pulled", "pull_run"]

MOST_RECORD = 64_000_000  # bytes of one JSON record
MOST_SHARDS = 200_000
MOST_BESIDE = 100_000  # files that are copied as they are
_SHARD = re.compile(r"gen-(?:\d{3}|[1-9]\d{3,5})(?:-line-[1-9]\d{0,5})?")


@dataclass(frozen=True)
class Pulled:
    """A run that came from a store.

    Attributes:
        folder: the run folder.
        shards: how many finished generation folders it has.
        bytes: how many bytes were read and compared.
    """

    folder: Path
    shards: int
    bytes: int


def pull_run(address: str, runs: Path) -> Pulled:
    """Copy a run from a store into a folder of runs; it is there whole and compared, or not at all.

    Args:
        address: of the run on the store, whose last part is the name of the run folder.
        runs: the folder in which the run folder is made.

    Raises:
        ValueError: if there is no run, something of it is not what a run wrote, or a folder of its name is here.
        NotStored: if the disk is full.
    """
    store = Store(address)
    if not is_run_name(store.name):
        raise ValueError(f"{shown(store.address)}: expected the address of one run, such as s3://bucket/runs/NAME")
    folder = runs / store.name
    if os.path.lexists(folder):
        raise ValueError(f"{shown(folder)} exists already; nothing was read. Choose another folder, or remove it.")
    seals = _optional(store, SEALS)  # before the list of files: what it names is on the store then
    there = store.sizes()
    if CONFIG not in there:
        inside = sorted({name.partition("/")[0] for name in there if name.endswith(f"/{CONFIG}")})
        advice = f"; runs in it: {few(inside)}" if inside else ""
        raise ValueError(f"{shown(store.address)}: no run is there (expected a {CONFIG}){advice}")
    shards = sorted(name.partition("/")[0] for name in there if name.endswith(f"/{MANIFEST}") and _is_shard(name))
    if len(shards) > MOST_SHARDS:
        raise ValueError(f"{shown(store.address)}: lists {len(shards):,} generation folders; expected fewer")
    with storing(folder), folder_made_whole(folder) as partial:
        read = _take_records(store, partial, there, seals)
        for name in shards:
            read += _take_shard(store, partial, name, there)
        _require_whole(store, partial, len(shards))
    return Pulled(folder, len(shards), read)


def _is_shard(name: str) -> bool:
    head, _, tail = name.partition("/")
    return tail == MANIFEST and _SHARD.fullmatch(head) is not None


def _optional(store: Store, name: str) -> bytes | None:
    return store.read(name, MOST_RECORD) if name in store.sizes() else None


def _take_records(store: Store, partial: Path, there: Mapping[str, int], seals: bytes | None) -> int:
    """Write the records of the run, and what is copied as it is; return the bytes."""
    beside = [name for name in there if name.partition("/")[0] in BESIDE and "/" in name]
    if len(beside) > MOST_BESIDE:
        raise ValueError(
            f"{shown(store.address)}: holds {len(beside):,} files of {' and '.join(BESIDE)}; expected fewer"
        )
    read = 0
    for name in (CONFIG, *((PROVENANCE,) if PROVENANCE in there else ()), *sorted(beside)):
        if not plain_name(name):
            raise ValueError(f"{shown(store.address)}: lists {shown(name)!r}, which no run has")
        content = store.read(name, MOST_RECORD)
        _write(partial, name, content)
        read += len(content)
    if seals is not None:
        _write(partial, SEALS, seals)
    schema = RunFolder(partial).config["schema"]
    if schema != SCHEMA or not RunFolder(partial).sealed:
        raise ValueError(
            f"{shown(store.address)}: schema {schema} without manifests; this imagelab pulls schema {SCHEMA}"
        )
    return read + len(seals or b"")


def _take_shard(store: Store, partial: Path, name: str, there: Mapping[str, int]) -> int:
    """Write a shard, each file compared with the manifest while it comes; return the bytes."""
    content = store.read(f"{name}/{MANIFEST}", MOST_RECORD)
    _write(partial, f"{name}/{MANIFEST}", content)
    where = f"{shown(store.address)}/{name}"
    manifest = Manifest.read(partial / name)
    sizes = {file: size for file, (size, _) in manifest.files.items()}
    if len(sizes) > FILES:
        raise ValueError(f"{where}: its manifest lists {len(sizes):,} files; expected about a dozen")
    for file, size in sizes.items():
        if not plain_name(file) or file == MANIFEST or file.partition("/")[0] == FEATURES or size < 0:
            raise ValueError(f"{where}: its manifest lists {shown(file)!r} of {size} bytes, which no run has")
        if there.get(f"{name}/{file}") != size:
            raise ValueError(f"{where}/{shown(file)}: is not whole on the store. Push the run again.")
    require_space(partial, sum(sizes.values()))
    for file, (size, digest) in manifest.files.items():
        found = hashlib.sha256()
        with _new_file(partial, f"{name}/{file}") as target:
            for block in store.blocks(f"{name}/{file}", size):
                found.update(block)
                target.write(block)
        if found.hexdigest() != digest:
            raise ValueError(f"{where}/{shown(file)}: was changed since it was written (its SHA-256 differs)")
    os.utime(partial / name / MANIFEST)  # later than its files, as where it was written: they need not be read again
    return len(content) + sum(sizes.values())


def _require_whole(store: Store, partial: Path, shards: int) -> None:
    """Compare the manifests with each other, the records, and the list of digests."""
    run = RunFolder(partial)
    if len(run.shards()) != shards:
        raise ValueError(f"{shown(store.address)}: has generation folders of other names than a run writes")
    if missing := sorted(read_seals(partial).keys() - {run.shard_path(*shard).name for shard in run.shards()}):
        raise ValueError(f"{shown(store.address)}: {few(missing)} is not on the store. Push the run again.")
    if problems := check_run(partial, read_data=False).problems:
        raise ValueError(f"{shown(store.address)}: not what a run wrote: {problems[0]}")
    run.mend()


def _write(partial: Path, name: str, content: bytes) -> None:
    with _new_file(partial, name) as file:
        file.write(content)


def _new_file(partial: Path, name: str) -> IO[bytes]:
    path = partial / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")
