"""Pictures in arrays: NPY and NPZ files mapped from disk, any order of axes, any numbers with a stated range.

What can be read in two ways is refused, and so are values outside the range that was stated for black and white:
nothing is transposed, clipped or scaled without being stated. Pickled content is refused. Datasets and sets under
measurement are both read here.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from .annotation_lists import changed
from .cache import cache_folder, cached_stream
from .catalogue import digest, shown
from .decode import VERSION, Facts, none_usable, stored_set, stretches
from .npy import Header, mapped, read_array, read_header
from .untrusted import check_unpacked, parsing, quoted, regular
from .zip_members import zip_members

__all__ = ["Layout", "array_file", "as_bytes", "labels_beside", "planar_view"]

Layout = Literal["auto", "nchw", "nhwc", "nhw"]
"""Order of the axes; "auto" recognises it by the axis of length 1 or 3."""

STATISTICS = {"mu", "sigma"}  # what other FID programs keep of a set, instead of its pictures or beside them
MOST_ARRAYS = 1000  # in one .npz file
MOST_LABELS = 1 << 28  # bytes
SPARE_BYTES = 200_000_000  # left free on the disk beyond what is unpacked
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
    if not planar.size:  # before anything counts to N, which may be any number
        raise ValueError(f"{name}: expected at least one image, {got}")
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
        span = f"from {float(finite.min()):g} to {float(finite.max()):g}" if finite.size else "none of which is finite"
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
        ValueError: naming the file, if it is no regular file, is damaged, holds no array of pictures, or would unpack
            to more than the limit.
    """
    size = regular(path).st_size
    stamp = digest("array", changed(path, whole=True))
    expected = f"a whole {path.suffix} file of pictures"
    if path.suffix.lower() == ".npy":
        return read_array(path, expected, "c"), stamp
    with parsing(path, expected), zipfile.ZipFile(path) as archive:
        member = _pictures_in(_members(archive), key)
        return _unpacked(archive, member, size, digest(stamp, member.info.filename) if cache else ""), stamp


def labels_beside(path: Path, name: str, count: int) -> list[Any] | None:
    """Return the labels in a .npz file, one for each picture, as plain values; None where there is no such array.

    Args:
        path: the file.
        name: of the array.
        count: how many pictures there are.

    Raises:
        ValueError: naming the file, if it is damaged, or the array is not one label for each picture.
    """
    if path.suffix.lower() == ".npy":
        return None
    size = regular(path).st_size
    with parsing(path, f"a whole {path.suffix} file of labels"), zipfile.ZipFile(path) as archive:
        member = next((each for each in _members(archive) if each.key == name), None)
        if member is None:
            damage = zip_members(path).damage  # may have hidden the labels
            if damage:
                raise ValueError(damage)
            return None
        header = member.usable()
        if header.shape == (count,):
            _check_size(member, size)
            if header.nbytes > MOST_LABELS:
                raise ValueError(f"{header.nbytes} bytes of labels; expected at most {MOST_LABELS}")
            return np.frombuffer(archive.read(member.info), header.dtype, offset=header.start).tolist()
    raise ValueError(f"{shown(path)}: {name}: expected one label per picture [{count}], got {header.shape}")


@dataclass(frozen=True)
class _Member:
    """An array in a .npz file: its name, its place in the archive, and its header, or why that cannot be read."""

    key: str
    info: zipfile.ZipInfo
    header: Header | None
    fault: str = ""

    def usable(self) -> Header:
        if self.header is None:
            raise ValueError(f"{quoted(self.key, 60)}: {self.fault}")
        return self.header


def _members(archive: zipfile.ZipFile) -> list[_Member]:
    """Return the arrays of a .npz file; headers are read, values are not."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    if len(infos) > MOST_ARRAYS:
        raise ValueError(f"{len(infos)} arrays in it; expected at most {MOST_ARRAYS}")
    twice = [name for name, times in Counter(info.filename for info in infos).items() if times > 1]
    if twice:
        raise ValueError(f"it holds several arrays called {quoted(twice[0], 60)}; expected each name once")
    return [_member(archive, info) for info in infos]


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    key = info.filename.removesuffix(".npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return _Member(key, info, None, f"compression method {info.compress_type}; expected none, or deflate")
    if info.flag_bits & 1:
        return _Member(key, info, None, "is encrypted; unpack it first")
    try:
        with archive.open(info) as handle:
            return _Member(key, info, read_header(cast("BinaryIO", handle)))
    except Exception as error:  # damaged or encrypted members raise almost anything
        return _Member(key, info, None, quoted(str(error) or type(error).__name__, 150))


def _pictures_in(members: list[_Member], key: str | None) -> _Member:
    """Return the array of pictures: the given one, else ``images``, else the only one of 4 (or 3) axes."""
    by_key = {member.key: member for member in members}
    names = quoted(", ".join(sorted(by_key)), 120) or "no array"
    if key and key not in by_key:
        raise ValueError(f"expected an array {key!r}; it holds {names}")
    if key or "images" in by_key:
        return by_key[key or "images"]
    for member in members:  # one that cannot be read may be the pictures
        member.usable()
    axes = {member.key: len(member.usable().shape) for member in members}
    found = [name for name, n in axes.items() if n == 4] or [name for name, n in axes.items() if n == 3]
    if not found and axes.keys() >= STATISTICS:
        raise ValueError("it holds mu and sigma, statistics of features; expected the pictures themselves")
    if len(found) != 1:
        advice = "" if key is None else "; name it with key"
        raise ValueError(f"expected one array of pictures, or one called images; it holds {names}{advice}")
    return by_key[found[0]]


def _check_size(member: _Member, stored: int) -> None:
    """Raise ValueError unless a member has the length that its header announces and may be unpacked.

    Args:
        member: the array.
        stored: bytes of the whole file.
    """
    header = member.usable()
    announced = header.start + header.nbytes
    if member.info.file_size != announced:
        raise ValueError(
            f"{quoted(member.key, 60)}: its header announces {quoted(header, 80)} = {announced} bytes, the archive "
            f"holds {member.info.file_size}"
        )
    check_unpacked(stored, member.info.file_size)


def _unpacked(archive: zipfile.ZipFile, member: _Member, stored: int, key: str) -> np.ndarray:
    """Return a member of an archive, mapped from the file it is unpacked to; with an empty key a temporary one."""
    _check_size(member, stored)

    def unpack(file: BinaryIO) -> dict[str, Any]:
        disk = os.fstatvfs(file.fileno())
        free, needed = disk.f_bavail * disk.f_frsize, member.info.file_size
        if free < needed + SPARE_BYTES:
            raise ValueError(
                f"unpacked it takes {needed / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB free; set "
                "IMAGELAB_CACHE (without the cache: TMPDIR) to a folder on another disk"
            )
        with archive.open(member.info) as packed:
            shutil.copyfileobj(packed, file, BLOCK_BYTES)
        return {}

    return cached_stream(
        cache_folder("measured") / f"{key}.npy" if key else None, unpack, lambda file, facts: mapped(file, "c")
    )
