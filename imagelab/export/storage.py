"""Finished generations of a run on object storage, through fsspec: S3, other clouds, another disk, a server.

The files on the store have the names that they have in the run folder, below the run's own name:

    s3://bucket/runs/photocopy-1a2b3c4d/config.json
    s3://bucket/runs/photocopy-1a2b3c4d/gen-001/images.npy ... gen-001/manifest.json

A file of a finished generation never changes, and its manifest is sent last. So a generation is on the store when its
manifest is, two processes that push the same run write the same bytes, and what is there is not sent again. No folder
is renamed. Features (made again when they are needed), reports and unfinished work are not sent.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from .._version import DISTRIBUTION
from ..io.addresses import is_address
from ..io.atomic import written_whole
from ..io.chain import SEALS, refusal, seals_text
from ..io.manifest import MANIFEST, Manifest, files_in, is_folder
from ..io.run_records import CONFIG, PROVENANCE, stored_config
from ..io.untrusted import quoted, regular, shown
from ..run_folder import RunFolder

__all__ = ["BESIDE", "Pushed", "Store", "is_run_name", "plain_name", "push_run"]

BESIDE = ("signatures", "audits")
"""Folders of a run that are copied as they are: signatures of generations, and answers of people."""

BLOCK_BYTES = 1 << 22
MOST_FILES = 1_000_000  # of a whole run
LONGEST_NAME = 400  # letters
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")


@dataclass(frozen=True)
class Pushed:
    """What a push has done.

    Attributes:
        address: of the run on the store.
        shards: finished generation folders that are there now.
        sent: how many of them were sent.
        bytes: how many bytes were sent.
    """

    address: str
    shards: int
    sent: int
    bytes: int


class Store:
    """One folder on a store. Every error of the store becomes an OSError or ValueError that names it."""

    def __init__(self, address: str):
        """Connect to a store.

        Args:
            address: such as ``s3://bucket/runs/photocopy-1a2b3c4d``.

        Raises:
            ValueError: if it is no address, or the package for its protocol is missing.
        """
        if not is_address(address):
            raise ValueError(f"{shown(address)}: expected an address such as s3://bucket/runs or file:///backup/runs")
        bare = address.rstrip("/")
        self.address = f"{bare}//" if bare.endswith(":") else bare
        fsspec = importlib.import_module("fsspec.core")
        protocol = address.partition(":")[0].lower()
        try:
            self._system, self._root = fsspec.url_to_fs(self.address, use_listings_cache=False)
        except ImportError as error:
            extra = f"pip install '{DISTRIBUTION}[storage]'" if protocol in ("s3", "s3a") else quoted(error, 200)
            raise ValueError(f"{protocol}:// needs another package: {extra}") from error
        except ValueError as error:
            raise ValueError(f"{shown(address)}: {quoted(error, 200)}") from error
        self._is_disk = type(self._system).__name__ == "LocalFileSystem"

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rpartition("/")[2]

    def inside(self, name: str) -> Store:
        """Return a folder in it."""
        return Store(f"{self.address.removesuffix('//')}{'//' if self.address.endswith('//') else '/'}{name}")

    def sizes(self) -> dict[str, int]:
        """Return name -> bytes of all files in it.

        Raises:
            ValueError: if there are more than a run can have.
        """
        with self._speaking(""):
            self._system.invalidate_cache()
            try:
                found = self._system.find(self._root, detail=True)
            except FileNotFoundError:
                return {}
        if len(found) > MOST_FILES:
            raise ValueError(f"{shown(self.address)}: holds {len(found):,} files; a run has at most {MOST_FILES:,}")
        root = str(self._root).strip("/") + "/"
        entries = ((str(path).lstrip("/"), entry) for path, entry in found.items())
        return {
            path.removeprefix(root): int(entry.get("size") or 0) for path, entry in entries if path.startswith(root)
        }

    def blocks(self, name: str, most: int) -> Iterator[bytes]:
        """Yield the bytes of a file.

        Raises:
            ValueError: if it has more than ``most`` bytes.
        """
        with self._speaking(name), self._system.open(self._path(name), "rb") as file:
            left = most
            while block := file.read(BLOCK_BYTES):
                left -= len(block)
                if left < 0:
                    raise ValueError(f"{self._shown(name)}: has more than the {most:,} bytes that are expected")
                yield bytes(block)

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a file; ValueError if it has more than ``most``."""
        return b"".join(self.blocks(name, most))

    def digest(self, name: str, size: int) -> str:
        """Return the SHA-256 of a file of at most ``size`` bytes, read back from the store."""
        found = hashlib.sha256()
        for block in self.blocks(name, size):
            found.update(block)
        return found.hexdigest()

    def send(self, name: str, source: IO[bytes]) -> None:
        """Write a file; on a disk under a temporary name that is renamed, elsewhere in one request of the store."""
        with self._speaking(name):
            if self._is_disk:
                target = Path(self._path(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(target) as partial, partial.open("wb") as file:
                    _copy(source, file)
                return
            self._system.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            with self._system.open(self._path(name), "wb") as file:
                _copy(source, file)

    def _path(self, name: str) -> str:
        return f"{str(self._root).rstrip('/')}/{name}"

    def _shown(self, name: str) -> str:
        return shown(f"{self.address}/{name}" if name else self.address)

    @contextmanager
    def _speaking(self, name: str) -> Iterator[None]:
        """Turn what the libraries of a store raise into an error of one sentence that names the file."""
        try:
            yield
        except (ValueError, KeyboardInterrupt, MemoryError):
            raise
        except FileNotFoundError as error:
            raise ValueError(f"{self._shown(name)}: is not on the store") from error
        except Exception as error:  # every store raises errors of its own
            raise ValueError(
                f"{self._shown(name)}: the store says: {quoted(error or type(error).__name__, 300)}"
            ) from error


def _copy(source: IO[bytes], target: Any) -> None:
    while block := source.read(BLOCK_BYTES):
        target.write(block)


def push_run(path: Path, address: str) -> Pushed:
    """Send what the store lacks of the finished generations of a run, and compare everything that was sent.

    Args:
        path: the run folder, finished or not; it is only read.
        address: a folder on the store, which holds or will hold the run under its name; or the run itself there.

    Raises:
        ValueError: if the run is damaged or has no manifests, or the store holds another run of that name, refuses, or
            gives back other bytes than were sent.
    """
    run = RunFolder(path)
    name = path.resolve().name
    stored_config(path)
    if not run.sealed:
        raise ValueError(f"{shown(path)}: was made by a version before manifests, so that a copy could not be checked")
    if not is_run_name(name):
        raise ValueError(f"{shown(name)}: expected a run folder whose name has letters, digits, - and _ only")
    if problems := run.problems():
        raise ValueError(refusal(path, problems))
    store = Store(address)
    store = store if store.name == name else store.inside(name)
    there, total = store.sizes(), 0
    _require_same(store, run, there)
    records = {record: run.path / record for record in (CONFIG, PROVENANCE)}
    total += _send_records(store, there, {at: _content(file) for at, file in records.items() if file.exists()})
    shards, sent = run.shards(), 0
    for generation, line in shards:
        added = _send_shard(store, run, generation, line, there)
        sent, total = sent + (added is not None), total + (added or 0)
    digests = {run.shard_path(*shard).name: manifest.digest for shard in shards if (manifest := run.manifest(*shard))}
    beside = {at: _content(path / at) for at in _beside(path)}
    total += _send_records(store, there, {SEALS: seals_text(digests).encode(), **beside})
    return Pushed(store.address, len(shards), sent, total)


def _require_same(store: Store, run: RunFolder, there: Mapping[str, int]) -> None:
    """Refuse to mix two runs: the store holds nothing of that name yet, or the same settings."""
    ours = (run.path / CONFIG).read_bytes()
    if CONFIG in there and (there[CONFIG] != len(ours) or store.read(CONFIG, len(ours)) != ours):
        raise ValueError(f"{shown(store.address)}: holds another run of this name. Choose another folder on the store.")


def _beside(path: Path) -> list[str]:
    return [f"{folder}/{name}" for folder in BESIDE if is_folder(path / folder) for name in files_in(path / folder)]


def _content(path: Path) -> bytes:
    if path.is_symlink():
        raise ValueError(f"{shown(path)}: is a link; expected the file itself. A run folder holds no links.")
    regular(path)
    return path.read_bytes()


def _send_records(store: Store, there: Mapping[str, int], records: Mapping[str, bytes]) -> int:
    """Send small files that may change between two pushes, where they differ; return the bytes."""
    total = 0
    for name, content in records.items():
        if there.get(name) != len(content) or store.read(name, len(content)) != content:
            _send(store, name, io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())
            total += len(content)
    return total


def _send_shard(store: Store, run: RunFolder, generation: int, line: int, there: Mapping[str, int]) -> int | None:
    """Send what the store lacks of a shard, its manifest last; return the bytes, None if all of it was there."""
    folder, manifest = run.shard_path(generation, line), run.manifest(generation, line)
    if manifest is None:
        raise ValueError(f"{shown(folder)}: has no {MANIFEST}")
    whole, kept = (folder / MANIFEST).read_bytes(), f"{folder.name}/{MANIFEST}"
    is_sealed = kept in there
    if is_sealed and (sealed := store.read(kept, there[kept])) != whole:
        if _is_same(sealed, manifest):  # the run has removed its model since
            return None
        raise ValueError(
            f"{shown(store.address)}: its {folder.name} is not the one of {shown(run.path)}: the two were made apart. "
            "Choose another folder on the store."
        )
    total, complete = 0, is_sealed
    for name, (size, digest) in manifest.files.items():
        at = f"{folder.name}/{name}"
        if there.get(at) == size and (is_sealed or store.digest(at, size) == digest):
            continue
        complete = False
        with run.file(generation, line, name).open("rb") as file:
            _send(store, at, file, size, digest)
        total += size
    if complete:
        return None
    _send(store, kept, io.BytesIO(whole), len(whole), hashlib.sha256(whole).hexdigest())
    return total + len(whole)


def _is_same(sealed: bytes, manifest: Manifest) -> bool:
    """Whether the manifest on a store is of the same shard, with or without its model (runs/kept_models.py)."""
    with TemporaryDirectory() as place:
        (Path(place) / MANIFEST).write_bytes(sealed)
        try:
            return Manifest.read(Path(place)).whole == manifest.whole
        except ValueError:
            return False


def _send(store: Store, name: str, source: IO[bytes], size: int, digest: str) -> None:
    """Send a file and read it back."""
    store.send(name, source)
    if store.digest(name, size) != digest:
        raise ValueError(f"{shown(store.address)}/{name}: the store gives back other bytes than were sent. Push again.")


def is_run_name(name: str) -> bool:
    """Return whether a run folder can have this name."""
    return _RUN_NAME.fullmatch(name) is not None and not name.endswith((".partial", ".study"))


def plain_name(name: str) -> bool:
    """Return whether a name from a store or a manifest can only be a file below the folder that it is put into.

    Example:
        >>> [plain_name(name) for name in ("gen-001/images.npy", "../a", "/etc/passwd", "a//b", "model/c d.bin")]
        [True, False, False, False, True]
    """
    parts = name.split("/")
    return (
        0 < len(name) <= LONGEST_NAME
        and name.isprintable()
        and "\\" not in name
        and ":" not in name
        and all(
            part not in ("", ".", "..") and not part.startswith("~") and len(part.encode()) <= 200 for part in parts
        )
        and str(PurePosixPath(name)) == name
    )
