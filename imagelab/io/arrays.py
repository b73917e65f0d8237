"""Pictures in arrays: NPY and NPZ files mapped from disk, any order of axes, any numbers with a stated range.

What can be read in two ways is refused, and so are values outside the range that was stated for black and white:
nothing is transposed, clipped or scaled by guess.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from .annotation_lists import changed
from .atomic import written_whole
from .cache import cache_folder
from .catalogue import digest, shown
from .decode import Facts, shelved, stretches

__all__ = ["Layout", "array_file", "as_bytes", "planar_view"]

Layout = Literal["auto", "nchw", "nhwc", "nhw"]
"""Order of the axes; "auto" tells by the axis of length 1 or 3."""

STATISTICS = {"mu", "sigma"}  # what other FID programs keep of a set instead of its pictures
ROUNDING = 1e-6  # of the stated range: what float32 arithmetic may put beyond its ends


def planar_view(values: np.ndarray, layout: Layout, name: str) -> np.ndarray:
    """Return a view [N,C,H,W], C = 1 or 3, of an array of any type of number.

    Raises:
        ValueError: for a form that is none of pictures, or that can be read in two ways.
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
        stamp: what tells the array from any other, so that the bytes can be kept; "" keeps nothing.

    Returns:
        uint8 [N,C,H,W], mapped from disk, and facts with the span of the values.

    Raises:
        ValueError: where no range was stated, or values are NaN, infinite or outside of it: with their number.
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
        wild = outside = 0
        least, most = np.inf, -np.inf
        for stretch in stretches(len(planar), planar.shape[1:]):
            block = np.asarray(planar[stretch], np.float64)
            finite = np.isfinite(block)
            wild += int((~finite).sum())
            outside += int((finite & ((block < low - slack) | (block > high + slack))).sum())
            if not wild and not outside:
                least, most = min(least, block.min()), max(most, block.max())
                yield np.rint((block - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
        if wild or outside:
            raise ValueError(
                f"{name}: of {planar.size} values {wild} are NaN or infinite, {outside} outside of the stated range "
                f"{low:g} to {high:g}; nothing is clipped in silence. Mend them, or state the range that they are in"
            )
        facts.span = (float(least), float(most))

    return shelved(digest(stamp, value_range) if stamp else "", fill)


def array_file(path: Path, cache: bool) -> tuple[np.ndarray, str]:
    """Return the pictures of a .npy or .npz file, mapped from disk whatever their type and layout, and a stamp.

    Mapped copy on write: torch takes only arrays that can be written to, and no file is ever changed.

    An array inside a .npz file is unpacked once, streaming, into the cache (or a temporary file) and mapped there.

    Raises:
        ValueError: naming the file, if it is not whole or holds no array of pictures.
    """
    stamp = digest("array", changed(path))
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as handle:
                np.lib.format.read_magic(handle)  # says so plainly where it is no NPY file at all
            return np.load(path, mmap_mode="c", allow_pickle=False), stamp
        with zipfile.ZipFile(path) as archive:
            member = _array_member(archive)
            return _unpacked(archive, member, digest(stamp, member) if cache else ""), stamp
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole {path.suffix} file of pictures ({error})") from error


def _array_member(archive: zipfile.ZipFile) -> str:
    """Return the member that holds pictures: ``images``, or the only array of three or four axes."""
    arrays = {name: _axes(archive, name) for name in archive.namelist() if name.endswith(".npy")}
    keys = {name.removesuffix(".npy") for name in arrays}
    if keys >= STATISTICS:
        raise ValueError("it holds mu and sigma, statistics of features; expected the pictures themselves")
    if "images.npy" in arrays:
        return "images.npy"
    found = [name for name, axes in arrays.items() if axes == 4] or [n for n, axes in arrays.items() if axes == 3]
    if len(found) != 1:
        raise ValueError(f"expected one array of pictures, or one called images; it holds {', '.join(sorted(keys))}")
    return found[0]


def _axes(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(name) as handle:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return len(read(handle)[0])


def _unpacked(archive: zipfile.ZipFile, member: str, key: str) -> np.ndarray:
    """Return a member, mapped from where it was unpacked to; the file of an empty key is forgotten at once."""
    if not key:
        with tempfile.NamedTemporaryFile(prefix="imagelab-") as handle:
            _unpack(archive, member, Path(handle.name))
            return np.load(handle.name, mmap_mode="c", allow_pickle=False)  # the mapping outlives the name
    path = cache_folder("measured") / f"{key}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, shared=True) as partial:
            partial.touch(mode=0o600)
            _unpack(archive, member, partial)
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _unpack(archive: zipfile.ZipFile, member: str, place: Path) -> None:
    with place.open("wb") as handle, archive.open(member) as packed:
        shutil.copyfileobj(packed, handle, 1 << 20)
