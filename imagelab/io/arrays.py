"""Pictures in arrays: NPY and NPZ files mapped from disk, any order of axes, any numbers with a stated range.

What can be read in two ways is refused, and so are values outside the range that was stated for black and white:
nothing is transposed, clipped or scaled without being stated. Pickled content is refused. Datasets and sets under
measurement are both read here.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from .annotation_lists import changed
from .cache import cache_folder, cached_stream
from .catalogue import digest, shown
from .decode import VERSION, Facts, none_usable, stored_set, stretches

__all__ = ["Layout", "array_beside", "array_file", "as_bytes", "planar_view"]

Layout = Literal["auto", "nchw", "nhwc", "nhw"]
"""Order of the axes; "auto" recognises it by the axis of length 1 or 3."""

STATISTICS = {"mu", "sigma"}  # what other FID programs keep of a set instead of its pictures
BLOCK_BYTES = 1 << 20  # unpacked at once
ROUNDING = 1e-6  # of the stated range: what float32 arithmetic may put beyond its ends


def planar_view(values: np.ndarray, layout: Layout, name: str) -> np.ndarray:
    """Return a view [N,C,H,W], C = 1 or 3, of an array of any type of number.

    Args:
        values: the array.
        layout: order of its axes.
        name: what to call the array in messages.

    Raises:
        ValueError: for a shape that pictures cannot have, or that can be read in two ways.
    """
    shape, got = values.shape, f"got {values.dtype} {list(values.shape)}"
    expected = "expected [N,C,H,W] or [N,H,W,C] with C = 1 or 3, or [N,H,W]"
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name}: {expected} of numbers, {got}")
    if layout == "auto" and values.ndim == 4:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first and last:
            raise ValueError(f"{name}: {got} can be [N,C,H,W] or [N,H,W,C]; say which with layout nchw or nhwc")
        if not first and not last and 4 in (shape[1], shape[3]):
            raise ValueError(f"{name}: {got} has four channels; lay transparency over a background colour first")
        layout = "nhwc" if last else "nchw"
    elif layout == "auto" and values.ndim == 3:
        if shape[0] in (1, 3) or shape[2] in (1, 3):
            raise ValueError(
                f"{name}: {got} can be one picture or several grey ones; add an axis for the pictures (array[None]), "
                "or say layout nhw for grey ones"
            )
        layout = "nhw"
    if layout == "auto" or values.ndim != len(layout):
        raise ValueError(f"{name}: {expected if layout == 'auto' else 'expected ' + ','.join(layout.upper())}, {got}")
    planar = values[:, None] if layout == "nhw" else values if layout == "nchw" else values.transpose(0, 3, 1, 2)
    if planar.shape[1] not in (1, 3):
        raise ValueError(f"{name}: {expected}, {got}")
    return planar


def as_bytes(
    planar: np.ndarray, value_range: tuple[float, float] | None, name: str, stamp: str
) -> tuple[np.ndarray, Facts]:
    """Turn other numbers into bytes by the stated range, rounded to the nearest, block by block.

    Args:
        planar: [N,C,H,W] of any type of number.
        value_range: the values of black and white.
        name: what to call the set in messages.
        stamp: identifies the array and its content, so that the bytes can be kept; "" keeps nothing.

    Returns:
        uint8 [N,C,H,W], mapped from disk, and facts with the span of the values.

    Raises:
        ValueError: where no range was stated, where values are NaN, infinite or outside of it (with their number), or
            where there are no pictures.
    """
    if value_range is None:
        sample = planar[next(stretches(len(planar), planar.shape[1:]), slice(0))]
        finite = sample[np.isfinite(sample)]
        span = f"from {finite.min():g} to {finite.max():g}" if finite.size else "none of which is finite"
        raise ValueError(
            f"{name}: expected uint8, got {planar.dtype}, values {span} (in the first {len(sample)} pictures). Say "
            "which values are black and white: --value-range 0,1 or -1,1 or 0,255 (in Python value_range=(0, 1))"
        )
    low, high = value_range
    slack = ROUNDING * (high - low)

    def fill(facts: Facts) -> Iterator[np.ndarray]:
        not_finite = outside = 0
        least, most = np.inf, -np.inf
        for stretch in stretches(len(planar), planar.shape[1:]):
            block = np.asarray(planar[stretch], np.float64)
            finite = np.isfinite(block)
            not_finite += int((~finite).sum())
            outside += int((finite & ((block < low - slack) | (block > high + slack))).sum())
            if not not_finite and not outside:
                least, most = min(least, block.min()), max(most, block.max())
                yield np.rint((block - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
        if not_finite or outside:
            raise ValueError(
                f"{name}: of {planar.size} values {not_finite} are NaN or infinite, {outside} outside of the stated "
                f"range {low:g} to {high:g}; nothing is clipped in silence. Mend them, or state the range that they "
                f"are in"
            )
        if not len(planar):
            raise none_usable(facts)
        facts.span = (float(least), float(most))

    key = digest(VERSION, stamp, value_range)
    return stored_set(cache_folder("measured") / f"{key}.bytes" if stamp else None, fill)


def array_file(path: Path, cache: bool, key: str | None = None) -> tuple[np.ndarray, str]:
    """Return the pictures of a .npy or .npz file, mapped from disk whatever their type and layout, and a stamp.

    The map is copy on write: torch takes only arrays that can be written to, and no file is ever changed. An array
    inside a .npz file is first unpacked, piece by piece, into the cache or into a temporary file.

    Args:
        path: the file; any name that does not end in .npy is read as .npz.
        cache: whether an unpacked array is kept for the next time.
        key: name of the pictures in a .npz file; "" where none was given, None where none can be given.

    Returns:
        The array and a digest of the path, the state and the content of the file.

    Raises:
        ValueError: naming the file, if it is damaged or holds no array of pictures.
    """
    stamp = digest("array", changed(path, whole=True))
    with _named(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as handle:
                np.lib.format.read_magic(handle)  # a clear message where it is not an NPY file
            return np.load(path, mmap_mode="c", allow_pickle=False), stamp
        with zipfile.ZipFile(path) as archive:
            member = _array_member(archive, key)
            return _unpacked(archive, member, digest(stamp, member) if cache else ""), stamp


def array_beside(path: Path, name: str) -> np.ndarray | None:
    """Return another array of a .npz file, such as labels, in memory; None where there is none of this name.

    Raises:
        ValueError: naming the file, if it is damaged or the array is pickled.
    """
    if path.suffix.lower() == ".npy":
        return None
    with _named(path), np.load(path, allow_pickle=False) as stored:
        return stored[name] if name in stored.files else None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into a ValueError that names the file."""
    try:
        yield
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole {path.suffix} file of pictures ({error})") from error


def _array_member(archive: zipfile.ZipFile, key: str | None) -> str:
    """Return the member that holds pictures: the given one, else ``images``, else the only one of 4 (or 3) axes."""
    arrays = {name: _axes(archive, name) for name in archive.namelist() if name.endswith(".npy")}
    keys = {name.removesuffix(".npy") for name in arrays}
    if key and key in keys:
        return f"{key}.npy"
    if key:
        raise ValueError(f"expected an array {key!r}; it holds {', '.join(sorted(keys))}")
    if keys >= STATISTICS:
        raise ValueError("it holds mu and sigma, statistics of features; expected the pictures themselves")
    if "images.npy" in arrays:
        return "images.npy"
    found = [name for name, axes in arrays.items() if axes == 4] or [n for n, axes in arrays.items() if axes == 3]
    if len(found) != 1:
        advice = "" if key is None else "; name it with key"
        raise ValueError(
            f"expected one array of pictures, or one called images; it holds {', '.join(sorted(keys))}{advice}"
        )
    return found[0]


def _axes(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(name) as handle:
        return len(_header(handle)[0])


def _header(handle: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, Fortran order and dtype of an NPY file; the handle is then at the first value."""
    version = np.lib.format.read_magic(handle)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(handle)


def _unpacked(archive: zipfile.ZipFile, member: str, key: str) -> np.ndarray:
    """Return a member of an archive, mapped from the file it is unpacked to; with an empty key a temporary one."""

    def unpack(file: BinaryIO) -> dict[str, Any]:
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, file, BLOCK_BYTES)
        return {}

    def view(file: BinaryIO, facts: dict[str, Any]) -> np.ndarray:
        file.seek(0)
        shape, fortran, dtype = _header(file)
        if dtype.hasobject:
            raise ValueError("Array can't be memory-mapped: Python objects in dtype.")
        return np.memmap(file, dtype, "c", file.tell(), shape, "F" if fortran else "C")

    return cached_stream(cache_folder("measured") / f"{key}.npy" if key else None, unpack, view)
