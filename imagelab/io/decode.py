"""The shelf of decoded pictures: read once, kept on disk as plain bytes, mapped instead of loaded.

A hundred thousand pictures do not belong into memory. They are decoded in blocks, in threads, and written one after
the other into one file of raw uint8 [N,C,H,W]; what is measured maps that file. With a cache the file lies in
``$IMAGELAB_CACHE/measured`` under a name that hashes all that changes the pixels, beside a small JSON file that says
how many there are and what was refused. The JSON is written last, so pixels without it are not a set; two processes
that fill the same name write the same bytes. Without a cache the file is a nameless temporary one (``$TMPDIR``).

Unlike a dataset to train on (intake.py), a set under measurement keeps its copies: a model that makes the same
picture a thousand times must be seen to do so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

import numpy as np
import PIL
from PIL import Image

from .atomic import written_whole
from .cache import cache_folder
from .catalogue import BadFile, Catalogue, centre, digest, shown
from .intake import THREADS
from .pictures import FORMATS

__all__ = [
    "Facts",
    "Kernel",
    "Look",
    "Progress",
    "copies",
    "decoded",
    "mode_of",
    "pick",
    "shelved",
    "squared",
    "stretches",
]

VERSION = 1
"""Part of the name of every shelved set; raise it when a picture would come out otherwise."""

PICTURES_IN_MEMORY = 32  # pictures that unfold in memory together
BLOCK = 250_000  # values that are read from an array together
LISTED = 5  # bad pictures named one by one in a message
SMALL = 16_000_000  # bytes below which a choice of rows is simply held in memory

_LOG = logging.getLogger(__name__)

Kernel = Literal["bicubic", "lanczos", "bilinear", "box", "nearest"]
"""Pillow's kernels; all but the last are antialiased, their support widened when shrinking."""

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many are done, of how many)."""


Look = Callable[[int], str]
"""Row of a catalogue -> what its original has that the pixels will not show: see :func:`mode_of`."""


@dataclass
class Facts:
    """What reading a set has shown.

    Attributes:
        bad: refused pictures, as (name, reason).
        resampled: pictures whose size was changed. enlarged: those of them that were smaller than asked for.
        cropped: pictures that lost their edges to become square.
        endings: how many pictures of each file ending.
        transparent: pictures with transparency, laid over white. deep: pictures of more than 8 bits a channel.
        span: smallest and largest value before it became a byte; None for pictures and bytes.
    """

    bad: list[tuple[str, str]]
    resampled: int = 0
    enlarged: int = 0
    cropped: int = 0
    endings: dict[str, int] | None = None
    transparent: int = 0
    deep: int = 0
    span: tuple[float, float] | None = None

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return the refused pictures as the datasets name them."""
        return tuple(BadFile(name, reason) for name, reason in self.bad)


@dataclass(frozen=True)
class _Picture:
    pixels: np.ndarray
    width: int
    height: int
    mode: str


def decoded(
    catalogue: Catalogue,
    look: Look | None,
    size: int,
    kernel: Kernel,
    cache: bool,
    progress: Callable[[int, int], None],
) -> tuple[np.ndarray, Facts]:
    """Return all pictures of a catalogue, in its order, copies included.

    Args:
        catalogue: which pictures there are and how one is read; an empty stamp cannot be cached.
        look: row -> "transparent", "deep" or "" (see :func:`mode_of`); None where nothing is known of the originals.
        size: side in pixels to which the centre square is resampled; 0 takes pictures as they are, all of one size.
        kernel: how to resample.
        cache: whether to keep the pixels for the next time.
        progress: called with (pictures done, of how many).

    Returns:
        uint8 [N,C,H,W], mapped from disk, and what was found.

    Raises:
        ValueError: where no picture can be used, or sizes differ and none was asked for.
    """

    def read(row: int) -> _Picture | str:
        try:
            pixels = catalogue.read(row)
            height, width = pixels.shape[1:]
            mode = look(row) if look else ""
            return _Picture(squared(pixels, size, kernel) if size else pixels, width, height, mode)
        except (ValueError, OSError) as error:
            return shown(str(error))

    def fill(facts: Facts) -> Iterator[np.ndarray]:
        first: tuple[str, _Picture] | None = None
        endings: Counter[str] = Counter()
        with ThreadPoolExecutor(THREADS) as pool:
            for begin in range(0, len(catalogue), PICTURES_IN_MEMORY):
                rows = range(begin, min(begin + PICTURES_IN_MEMORY, len(catalogue)))
                for row, found in zip(rows, pool.map(read, rows), strict=True):
                    name = f"{catalogue.home}{catalogue.names[row]}"
                    if isinstance(found, str):
                        facts.bad.append((name, found))
                        continue
                    first = first or (name, found)
                    _same_size(first, (name, found))
                    side = min(found.width, found.height)
                    facts.resampled += bool(size) and side != size
                    facts.enlarged += bool(size) and side < size
                    facts.cropped += bool(size) and found.width != found.height
                    facts.transparent += found.mode == "transparent"
                    facts.deep += found.mode == "deep"
                    endings[PurePosixPath(name).suffix.lower()] += 1
                    yield found.pixels[None]
                progress(rows[-1] + 1, len(catalogue))
        facts.endings = dict(endings)

    key = digest(VERSION, PIL.__version__, catalogue.stamp, size, kernel if size else "")
    return shelved(key if cache and catalogue.stamp else "", fill)


def _same_size(first: tuple[str, _Picture], other: tuple[str, _Picture]) -> None:
    """Raise ValueError where two pictures of a set differ in size and nobody said what to do about it."""
    (name, one), (other_name, two) = first, other
    if one.pixels.shape != two.pixels.shape:
        raise ValueError(
            f"pictures of different sizes: {name} is {one.width} x {one.height}, {other_name} is {two.width} x "
            f"{two.height} pixels. Nothing is resized unless you say so: --size {min(one.width, one.height)} crops "
            f"each to its centre square and resamples it (in Python size={min(one.width, one.height)})"
        )


def mode_of(picture: Path | Image.Image) -> str:
    """Return "transparent", "deep" (more than 8 bits a channel) or "" for any other picture; reads no pixels."""
    if isinstance(picture, Path):
        try:
            with Image.open(picture, formats=FORMATS) as opened:
                return mode_of(opened)
        except OSError:
            return ""  # whoever reads the pixels says why they cannot be read
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        return "transparent"
    raw = str(getattr(picture, "tile", ""))  # how its bytes are read; Pillow gives a PNG of 16 bits as "RGB;16B"
    return "deep" if picture.mode.startswith("I") or ";16" in raw else ""


def squared(pixels: np.ndarray, size: int, kernel: Kernel) -> np.ndarray:
    """Crop uint8 [C,H,W] to its centre square and resample it once: uint8 [C,size,size].

    A square that already has the size is returned as it is, to the byte.

    Raises:
        ValueError: if the shorter side is below half the size: more than half of such a picture would be invented.
    """
    height, width = pixels.shape[1:]
    side = min(height, width)
    if side < -(-size // 2):
        raise ValueError(f"too small: {width} x {height} pixels, the shorter side must be at least {-(-size // 2)}")
    crop = np.ascontiguousarray(centre(pixels, side))
    if side == size:
        return crop
    method = Image.Resampling[kernel.upper()]
    return np.stack([np.asarray(Image.fromarray(channel).resize((size, size), method)) for channel in crop])


def shelved(key: str, fill: Callable[[Facts], Iterator[np.ndarray]]) -> tuple[np.ndarray, Facts]:
    """Return the set that ``fill`` yields block by block, from the shelf where it stands there already.

    Args:
        key: the content address; "" keeps nothing.
        fill: yields uint8 blocks [B,C,H,W] of one [C,H,W], writing what it finds into the facts it is given.

    Returns:
        uint8 [N,C,H,W], mapped from disk (writing to it changes no file), and the facts.

    Raises:
        ValueError: where no block comes, naming the reasons in the facts.
    """
    path = cache_folder("measured") / f"{key}.bytes" if key else None
    found = _read(path) if path else None
    if found is not None:
        return found
    facts = Facts([])
    with _destination(path) as (file, kept):
        shape = _pour(file, fill(facts))
        if not shape[0]:
            listed = "".join(f"\n  {name}: {reason}" for name, reason in facts.bad[:LISTED])
            more = f"\n  and {len(facts.bad) - LISTED} more" if len(facts.bad) > LISTED else ""
            raise ValueError(f"none of {len(facts.bad)} pictures can be used:{listed}{more}")
        images = np.memmap(file, np.uint8, "c", shape=shape)
    if kept:
        _write_facts(kept, shape, facts)
    return images, facts


def _pour(file: BinaryIO, blocks: Iterator[np.ndarray]) -> tuple[int, ...]:
    count, form = 0, (0, 0, 0)
    for block in blocks:
        file.write(np.ascontiguousarray(block).data)
        count, form = count + len(block), block.shape[1:]
    file.flush()
    return (count, *form)


@contextmanager
def _destination(path: Path | None) -> Iterator[tuple[BinaryIO, Path | None]]:
    """Open a file to fill; under its name only when whole, or nameless where nothing is kept or nothing can be."""
    with ExitStack() as stack:
        try:
            kept = None if path is None else stack.enter_context(_private(path))
        except OSError as error:
            _LOG.warning("decoded pictures are not kept (%s); going on with a temporary file", error)
            kept = None
        if kept is None:
            yield stack.enter_context(tempfile.TemporaryFile()), None
        else:
            yield stack.enter_context(kept.open("w+b")), path


@contextmanager
def _private(path: Path) -> Iterator[Path]:
    """Yield a file that nobody else may read, to be ``path`` when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path, shared=True) as partial:
        partial.touch(mode=0o600)
        yield partial


def _write_facts(path: Path, shape: tuple[int, ...], facts: Facts) -> None:
    said = json.dumps({"shape": shape, **vars(facts)})
    try:
        with written_whole(path.with_suffix(".json"), shared=True) as partial:
            partial.write_text(said, encoding="utf-8")
    except OSError as error:
        _LOG.warning("decoded pictures will be read again next time (%s)", error)


def _read(path: Path) -> tuple[np.ndarray, Facts] | None:
    """Return a whole set from the shelf, or None."""
    told = path.with_suffix(".json")
    if not (told.is_file() and path.is_file()):
        return None
    try:
        said = json.loads(told.read_text(encoding="utf-8"))
        shape = tuple(said.pop("shape"))
        if path.stat().st_size != int(np.prod(shape)):
            raise ValueError(f"expected {int(np.prod(shape))} bytes, got {path.stat().st_size}")
        said["bad"] = [(name, reason) for name, reason in said["bad"]]
        said["span"] = said["span"] and tuple(said["span"])
        return np.memmap(path, np.uint8, "c", shape=shape), Facts(**said)
    except (OSError, ValueError, TypeError, KeyError) as error:
        _LOG.warning("decoded pictures %s cannot be read (%s); decoding them again", path.name, error)
        return None


def pick(images: np.ndarray, rows: np.ndarray, most: int = SMALL) -> np.ndarray:
    """Return some rows of a set, uint8 [n,C,H,W]: in memory up to ``most`` bytes, else in a temporary file."""
    if len(rows) * int(np.prod(images.shape[1:])) <= most:
        return np.ascontiguousarray(images[rows])

    def fill(facts: Facts) -> Iterator[np.ndarray]:
        for block in stretches(len(rows), images.shape[1:]):
            yield images[rows[block]]

    return shelved("", fill)[0]


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
