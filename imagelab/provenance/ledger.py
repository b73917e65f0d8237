"""The ledger of runs: which pictures they hold, found by their pixels.

Every row of every image array of a run is entered with its :func:`~imagelab.provenance.fingerprints.pixel_digests` and
perceptual hashes. The entries of an array are kept in the cache under the SHA-256 of the file, which the manifest of
the run lists; so an array is read once, and later searches read 72 bytes a picture. A row that was found is compared
with the picture pixel by pixel, in the file as it is now.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..io.cache import cache_folder, cached
from ..io.catalogue import digest
from ..io.manifest import file_digest, is_folder
from ..io.npy import read_header
from ..io.pictures import read_npy
from ..io.run_records import CONFIG
from ..io.untrusted import shown
from ..run_folder import SCHEMA, RunFolder
from .fingerprints import BITS, SMALLEST_SIDE, hamming, perceptual_hashes, pixel_digests

__all__ = ["ARRAYS", "Ledger", "Near", "Place", "find_runs"]

_LOG = logging.getLogger(__name__)

ARRAYS = (
    "images.npy",
    "heldout.npy",
    "reserve.npy",
    "twins.npy",
    "blank.npy",
    "probe.npy",
    "photocopy.npy",
    "copied_blanks.npy",
)
"""The image arrays of a shard, in the order in which a place is named when the same pixels lie in several."""

VERSION = 1
"""Part of the name of cached entries; raise it when a fingerprint changes."""

DEPTH = 2
"""How many folders deep runs are looked for."""

Told = Callable[[str, int, int], None]
"""Called with (what is read, how many arrays are done, of how many)."""


@dataclass(frozen=True)
class Place:
    """Where a picture lies in a run: a row of an image array of a shard."""

    run: RunFolder
    generation: int
    line: int
    array: str
    row: int

    def pixels(self) -> np.ndarray:
        """Return the picture, uint8 [C,H,W], from a file whose bytes were compared with the manifest.

        Raises:
            ValueError: if the file is not there any more, or was changed.
        """
        return np.array(read_npy(self.run.file(self.generation, self.line, self.array), mmap=True)[self.row])


@dataclass(frozen=True)
class Near:
    """The rows nearest to a picture by a perceptual hash.

    Attributes:
        distance: bits that differ.
        places: the rows at this distance or within the threshold, nearest first; rows of equal pixels count once.
        searched: how many rows were searched.
    """

    distance: int
    places: tuple[Place, ...]
    searched: int


@dataclass(frozen=True)
class _Array:
    """One image array: where it is, the shape of its pictures, and where its entries begin."""

    run: RunFolder
    generation: int
    line: int
    name: str
    shape: tuple[int, ...]
    start: int


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return the run folders among and below these folders, two levels deep; links are not followed below them.

    Raises:
        ValueError: for a folder that does not exist.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"--runs: {shown(folder)} is no folder. Expected a run folder, or a folder of runs.")
        level = [folder]
        for _ in range(DEPTH + 1):
            runs = [path for path in level if (path / CONFIG).is_file()]
            found |= dict.fromkeys(path.resolve() for path in runs)
            inner = (child for path in level if path not in runs for child in sorted(path.iterdir()))
            level = [child for child in inner if is_folder(child) and not child.name.startswith(".")]
    return list(found)


class Ledger:
    """The pictures of some runs. Make it with :meth:`read`.

    Attributes:
        runs: the runs whose pictures are entered.
        unread: runs and arrays that cannot be read: name -> reason.
    """

    def __init__(self, runs: Sequence[RunFolder], unread: Mapping[str, str]):
        self.runs, self.unread = tuple(runs), dict(unread)
        self._arrays: list[_Array] = []
        self._digests = np.empty((0, 32), np.uint8)
        self._hashes = {bits: np.empty((0, bits // 64), np.uint64) for bits in BITS}
        self._keys = self._order = np.empty(0, np.uint64)
        self._sides = np.empty(0, np.int64)

    @classmethod
    def read(cls, paths: Iterable[Path], told: Told = lambda what, done, total: None) -> Ledger:
        """Enter all pictures of these runs. Nothing is written into a run.

        Args:
            paths: run folders.
            told: see :data:`Told`.
        """
        runs, unread, wanted = [], {}, []
        for path in paths:
            try:
                run = RunFolder(path)
                if run.config["schema"] != SCHEMA:
                    raise ValueError(f"written with another run-folder schema; this imagelab reads {SCHEMA}")
                shards = [(run, *shard, name) for shard in run.shards() for name in _arrays_of(run, *shard)]
            except (ValueError, OSError) as error:
                unread[shown(path)] = str(error).removeprefix(f"{shown(path)}: ")
                continue
            runs.append(run)
            wanted += shards
        ledger = cls(runs, unread)
        ledger._enter(wanted, told)
        return ledger

    def __len__(self) -> int:
        return len(self._digests)

    def _enter(self, wanted: list[tuple[RunFolder, int, int, str]], told: Told) -> None:
        digests, hashes, start = [self._digests], {bits: [empty] for bits, empty in self._hashes.items()}, 0
        sides = [self._sides]
        for done, (run, generation, line, name) in enumerate(wanted):
            told(f"{shown(run.path.name)}, generation {generation}", done, len(wanted))
            try:
                shape, entries = _entries(run, generation, line, name)
            except (ValueError, OSError) as error:
                self.unread[shown(run.shard_path(generation, line) / name)] = str(error)
                continue
            self._arrays.append(_Array(run, generation, line, name, shape, start))
            digests.append(entries["digests"])
            for bits, kept in hashes.items():
                kept.append(entries[f"hashes{bits}"])
            sides.append(np.full(len(entries["digests"]), min(shape[1:])))
            start += len(entries["digests"])
        told("", len(wanted), len(wanted))
        self._digests, self._sides = np.concatenate(digests), np.concatenate(sides)
        self._hashes = {bits: np.concatenate(kept) for bits, kept in hashes.items()}
        keys = np.ascontiguousarray(self._digests[:, :8]).view(np.uint64)[:, 0]
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def _place(self, entry: int) -> Place:
        starts = [array.start for array in self._arrays]
        array = self._arrays[int(np.searchsorted(starts, entry, "right")) - 1]
        return Place(array.run, array.generation, array.line, array.name, entry - array.start)

    def _shape(self, entry: int) -> tuple[int, ...]:
        starts = [array.start for array in self._arrays]
        return self._arrays[int(np.searchsorted(starts, entry, "right")) - 1].shape

    @property
    def shapes(self) -> set[tuple[int, ...]]:
        """The shapes (channels, height, width) of the pictures that are entered."""
        return {array.shape for array in self._arrays}

    def find(self, image: np.ndarray) -> list[Place]:
        """Return all places of exactly these pixels, the one that says most first.

        Args:
            image: uint8 [C,H,W]. Three equal channels are also looked for as one, as a grey picture is kept.
        """
        forms = [image]
        if len(image) == 3 and (image[0] == image[1]).all() and (image[0] == image[2]).all():
            forms.append(image[:1])
        found = [self._place(entry) for form in forms for entry in self._equal(form)]
        return sorted(found, key=lambda place: (ARRAYS.index(place.array), place.generation, place.line, place.row))

    def _equal(self, image: np.ndarray) -> Iterator[int]:
        name = pixel_digests(image[None])[0]
        key = name[:8].view(np.uint64)[0]
        first, last = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        for entry in self._order[first:last]:
            if (self._digests[entry] == name).all() and self._shape(int(entry)) == image.shape:
                yield int(entry)

    def nearest(self, image: np.ndarray, bits: int, within: int, sides: tuple[int, int]) -> Near | None:
        """Return the rows nearest to a picture; None where there are none, or it is too small for this hash.

        Args:
            image: uint8 [C,H,W].
            bits: of the perceptual hash.
            within: bits; all rows at most this far are returned, and the nearest one in any case.
            sides: the rows that are searched: their shorter side is at least the first, below the second, px.
        """
        entries = np.flatnonzero((self._sides >= max(SMALLEST_SIDE, sides[0])) & (self._sides < sides[1]))
        if not len(entries) or min(image.shape[1:]) < SMALLEST_SIDE:
            return None
        away = hamming(perceptual_hashes(image[None], bits)[0], self._hashes[bits][entries])
        order = np.argsort(away, kind="stable")
        order = order[: max(1, int((away <= within).sum()))]
        distinct: dict[bytes, int] = {}
        for entry in entries[order[:1000]]:
            distinct.setdefault(self._digests[entry].tobytes(), int(entry))
        places = tuple(self._place(entry) for entry in distinct.values())
        return Near(int(away[order[0]]), places, len(entries))


def _arrays_of(run: RunFolder, generation: int, line: int) -> list[str]:
    return [name for name in ARRAYS if run.has_file(generation, line, name)]


def _entries(run: RunFolder, generation: int, line: int, name: str) -> tuple[tuple[int, ...], Mapping[str, np.ndarray]]:
    """Return the shape of the pictures of an array, and its entries from the cache or from the file."""
    manifest = run.manifest(generation, line)
    path = run.shard_path(generation, line) / name
    if manifest is None:
        content = file_digest(run.file(generation, line, name))
    else:
        manifest.check_size(path.parent, name)
        content = manifest.files[name][1]
    with path.open("rb") as file:
        header = read_header(file)
    n, *shape = header.shape

    def make() -> dict[str, np.ndarray]:
        images = read_npy(run.file(generation, line, name), mmap=True)
        small = min(images.shape[2:]) < SMALLEST_SIDE
        hashes = {f"hashes{bits}": perceptual_hashes(images, bits) for bits in BITS if not small}
        none = {f"hashes{bits}": np.zeros((len(images), bits // 64), np.uint64) for bits in BITS if small}
        return {"digests": pixel_digests(images), **hashes, **none}

    form = {"digests": (n, 32), **{f"hashes{bits}": (n, bits // 64) for bits in BITS}}
    return tuple(shape), cached(cache_folder("ledgers"), digest(VERSION, content), form, make)
