"""The decoder: read the pictures of a catalogue once, in threads, and return them as one memory-mapped array.

A hundred thousand pictures do not fit into memory. They are decoded in blocks and written one after the other into one
file of raw uint8 [N,C,H,W], which is then mapped. With a cache that file is kept, see
:func:`~imagelab.io.cache.cached_stream`; otherwise it is a temporary file without a name in ``$TMPDIR``.

There are two uses. A dataset to train on drops copies (:func:`distinct_pictures`): of pictures whose final pixels are
equal only the first is kept, because a copy that is both in train and in heldout would make memorisation look like
quality. A set under measurement keeps its copies: a model that makes the same picture a thousand times must be measured
as such.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import PIL

from .budget import Budget
from .cache import cache_folder, cached_stream
from .catalogue import BadFile, Catalogue, digest, shown
from .chatter import listening
from .facts import LISTED, Facts
from .growth import Growth
from .reading import Picture
from .resample import Kernel, squared

__all__ = [
    "THREADS",
    "VERSION",
    "DistinctPictures",
    "Facts",
    "Progress",
    "copies",
    "decoded",
    "distinct_pictures",
    "none_usable",
    "pick",
    "stored_set",
    "stretches",
]

VERSION = 3
"""Part of the name of every cached set; raise it when a picture would be decoded to other pixels."""

THREADS = min(4, os.cpu_count() or 1)  # with more, several very large pictures would be in memory together

MEMORY = 900_000_000  # bytes that pictures may use together while they are decoded; a larger one is decoded alone
PICTURES_IN_MEMORY = 32  # decoded pictures that are in memory together
BLOCK = 250_000  # values that are read from an array together
SMALL = 16_000_000  # bytes below which a choice of rows is held in memory

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many are done, of how many)."""


@dataclass(frozen=True, eq=False)
class _Decoded:
    """A decoded picture with its final pixels, the size of the original, and a digest of the pixels."""

    picture: Picture
    width: int
    height: int
    digest: str


def decoded(
    catalogue: Catalogue,
    size: int,
    kernel: Kernel = "bicubic",
    *,
    keep_copies: bool,
    cache: bool,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, Facts]:
    """Return the pictures of a catalogue, in its order.

    Args:
        catalogue: which pictures there are and how one is read; with an empty stamp nothing can be cached.
        size: side in pixels to which the centre square is resampled; 0 takes pictures as they are, all of one size.
        kernel: how to resample.
        keep_copies: whether all pictures are returned, or of equal ones (final pixels) only the first.
        cache: whether to keep the pixels for the next time: in the cache folder ``measured``, or ``pictures`` where
            copies are dropped.
        progress: called with (pictures done, of how many).

    Returns:
        uint8 [N,C,H,W], mapped from disk, and facts about the reading. Where copies are dropped N may be 0.

    Raises:
        ValueError: if sizes differ and ``size`` is 0; and, where copies are kept, if no picture can be used.
    """
    budget = Budget(MEMORY)

    def read(row: int) -> _Decoded | str:
        with budget.turn(row):
            one = _one(catalogue, row, size, kernel, with_digest=not keep_copies)
            budget.keep(row, 0 if isinstance(one, str) else one.picture.pixels.nbytes)
            return one

    def fill(facts: Facts) -> Iterator[np.ndarray]:
        first: tuple[str, int, int] | None = None
        growth = Growth(len(catalogue))
        endings: Counter[str] = Counter()
        seen: set[str] = set()
        for row, one in _in_threads(read, len(catalogue), budget, progress):
            name = f"{catalogue.home}{catalogue.names[row]}"
            if isinstance(one, str):
                facts.bad.append((name, one))
                continue
            first = first or (name, one.width, one.height)
            if not size:
                _check_same_size(first, (name, one.width, one.height))
            if not keep_copies:
                if one.digest in seen:
                    facts.copies += 1
                    continue
                seen.add(one.digest)
                facts.rows.append(row)
                facts.digests.append(one.digest)
            _count(facts, one, size, name)
            endings[PurePosixPath(name).suffix.lower()] += 1
            growth.add(one.picture, row)
            yield one.picture.pixels[None]
            del one  # the next one may be as large
        facts.endings = dict(endings)
        if keep_copies and not endings:
            raise none_usable(facts)

    key = digest(VERSION, PIL.__version__, catalogue.stamp, size, kernel if size else "", keep_copies)
    folder = cache_folder("measured" if keep_copies else "pictures")
    return stored_set(folder / f"{key}.bytes" if cache and catalogue.stamp else None, fill)


def _one(catalogue: Catalogue, row: int, size: int, kernel: Kernel, with_digest: bool) -> _Decoded | str:
    """Read one picture and resample it; return the reason where it cannot be used."""
    try:
        picture = catalogue.read(row)
        height, width = picture.pixels.shape[1:]
        final = squared(picture.pixels, size, kernel) if size else picture.pixels
        content = np.ascontiguousarray(final).data if with_digest else b""
        return _Decoded(replace(picture, pixels=final), width, height, hashlib.sha256(content).hexdigest())
    except (ValueError, OSError) as error:
        return shown(str(error))


def _in_threads(
    read: Callable[[int], _Decoded | str],
    count: int,
    budget: Budget,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, _Decoded | str]]:
    """Yield (row, result) of all rows in order, read in threads; a limited number of results is in memory."""
    pool, waiting = ThreadPoolExecutor(THREADS), deque[Future[_Decoded | str]]()
    with contextlib.ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)
        stack.callback(budget.close)  # first, so that no thread waits
        stack.enter_context(listening())
        for row in range(count):
            while len(waiting) < PICTURES_IN_MEMORY and row + len(waiting) < count:
                waiting.append(pool.submit(read, row + len(waiting)))
            yield row, waiting.popleft().result()
            budget.done(row)
            if progress is not None and ((row + 1) % PICTURES_IN_MEMORY == 0 or row + 1 == count):
                progress(row + 1, count)


def _count(facts: Facts, one: _Decoded, size: int, name: str) -> None:
    side = min(one.width, one.height)
    facts.resampled += bool(size) and side != size
    facts.enlarged += bool(size) and side < size
    facts.cropped += bool(size) and one.width != one.height
    facts.add(one.picture, name)


def _check_same_size(first: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    """Raise ValueError where two pictures, each (name, width, height), differ in size and no size was given."""
    if first[1:] != other[1:]:
        side = min(first[1:])
        raise ValueError(
            f"pictures of different sizes: {first[0]} is {first[1]} x {first[2]}, {other[0]} is {other[1]} x "
            f"{other[2]} pixels. Nothing is resized unless you say so: --size {side} crops each to its centre square "
            f"and resamples it (in Python size={side})"
        )


@dataclass(frozen=True, eq=False)
class DistinctPictures:
    """The distinct usable pictures of a catalogue.

    Attributes:
        images: uint8 [N,3,size,size], read-only, in the order of the catalogue.
        rows: int64 [N], their rows in the catalogue.
        names: their N names.
        digests: N SHA-256 of the final pixels, hex.
        bad: the refused pictures with reasons.
        copies: pictures left out because they equal an earlier one.
        enlarged: pictures whose shorter side is below ``size``: their fine detail is interpolated.
        facts: what was seen while they were read.
    """

    images: np.ndarray
    rows: np.ndarray
    names: tuple[str, ...]
    digests: tuple[str, ...]
    bad: tuple[BadFile, ...]
    copies: int
    enlarged: int
    facts: Facts

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, pixel SHA-256) pairs: equal for equal pictures under equal names."""
        pairs = sorted(zip(self.names, self.digests, strict=True))
        return hashlib.sha256(repr(pairs).encode()).hexdigest()


@lru_cache(maxsize=2)
def distinct_pictures(catalogue: Catalogue, size: int, cache: bool = False) -> DistinctPictures:
    """Return the distinct pictures of a catalogue; within one process an unchanged catalogue is read only once.

    Args:
        catalogue: which pictures there are and how one is read.
        size: side in pixels; the centre square is resampled with the bicubic kernel.
        cache: whether the final pixels are kept on disk, in ``cache_folder("pictures")``.
    """
    images, facts = decoded(catalogue, size, keep_copies=False, cache=cache)
    images = images if len(images) else np.empty((0, 3, size, size), np.uint8)
    images.setflags(write=False)
    return DistinctPictures(
        images=images,
        rows=np.array(facts.rows, np.int64),
        names=tuple(catalogue.names[row] for row in facts.rows),
        digests=tuple(facts.digests),
        bad=(*catalogue.bad, *facts.bad_files()),
        copies=facts.copies,
        enlarged=facts.enlarged,
        facts=facts,
    )


def stored_set(path: Path | None, fill: Callable[[Facts], Iterator[np.ndarray]]) -> tuple[np.ndarray, Facts]:
    """Return the set that ``fill`` yields block by block, from the cache where it is there already.

    Args:
        path: file of the cache; None keeps nothing.
        fill: yields uint8 blocks [B,C,H,W] of one [C,H,W], and enters what it sees into the given facts.

    Returns:
        uint8 [N,C,H,W], mapped from disk (writing to it changes no file), and the facts.
    """

    def write(file: BinaryIO) -> dict[str, Any]:
        facts, count, form = Facts(), 0, (0, 0, 0)
        for block in fill(facts):
            count, form = count + len(block), block.shape[1:]
            for place in np.ndindex(block.shape[:2]):
                file.write(np.ascontiguousarray(block[place]).data)  # at most one channel is copied
            del block  # the next one may be as large
        return {"shape": [count, *form], **vars(facts)}

    def view(file: BinaryIO, stored: dict[str, Any]) -> tuple[np.ndarray, Facts]:
        shape, known = tuple(stored["shape"]), {key: value for key, value in stored.items() if key != "shape"}
        known["bad"] = [(name, reason) for name, reason in known["bad"]]
        known["said"] = [(name, text) for name, text in known["said"]]
        known["span"] = known["span"] and tuple(known["span"])
        return np.memmap(file, np.uint8, "c", shape=shape) if shape[0] else np.empty(shape, np.uint8), Facts(**known)

    return cached_stream(path, write, view)


def none_usable(facts: Facts) -> ValueError:
    """Return the error for a set of which no picture can be used, with the first reasons."""
    listed = "".join(f"\n  {name}: {reason}" for name, reason in facts.bad[:LISTED])
    more = f"\n  and {len(facts.bad) - LISTED} more" if len(facts.bad) > LISTED else ""
    return ValueError(f"none of {len(facts.bad)} pictures can be used:{listed}{more}")


def pick(images: np.ndarray, rows: np.ndarray, most: int = SMALL) -> np.ndarray:
    """Return some rows of a set, uint8 [n,C,H,W]: in memory up to ``most`` bytes, else in a temporary file."""
    if len(rows) * int(np.prod(images.shape[1:])) <= most:
        return np.ascontiguousarray(images[rows])

    def fill(facts: Facts) -> Iterator[np.ndarray]:
        for block in stretches(len(rows), images.shape[1:]):
            yield images[rows[block]]

    return stored_set(None, fill)[0]


def stretches(count: int, form: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices that cover ``count`` pictures of one form, each of a quarter of a million values or of one picture.

    Example:
        >>> list(stretches(5, (3, 512, 512)))[:2], len(list(stretches(5, (3, 8, 8))))
        ([slice(0, 1, None), slice(1, 2, None)], 1)
    """
    step = max(1, BLOCK // max(1, int(np.prod(form))))
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def copies(images: np.ndarray) -> Counter[bytes]:
    """Return how often each picture occurs, by a 16-byte hash of its pixels; reads one picture at a time."""
    return Counter(hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images)
