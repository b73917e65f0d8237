"""Pictures for a program of somebody else, and what it gives back: files that are checked like any user's.

Handed over: ``00000.png``, ``00001.png``, ... in one flat folder, which the library ``datasets`` reads as
"imagefolder", or one NPY file, uint8 [N,H,W,C]. Every training gets files of its own: a program may change, move or
delete them.

Taken back: picture files in a folder (subfolders too), or one NPY or NPZ file. The order of the images is the natural
order of the file names: numbers in them count as numbers, so ``2.png`` stands before ``10.png``. An array has its own
order. The number, size and channels must be those that were asked for; nothing is resized, converted or left out.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..io.arrays import array_file, planar_view
from ..io.catalogue import file_catalogue, list_pictures
from ..io.decode import decoded
from ..io.listed import named
from ..io.untrusted import few, parsing, regular, shown

__all__ = ["FileForm", "hand_over", "natural_key", "refuse_links", "taken_back"]

FileForm = Literal["png", "npy"]
"""How training images are handed over."""

MOST_FILES = 200_000  # that are looked at in one folder
GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"}
"""Pillow's modes of one channel."""


def hand_over(images: np.ndarray, place: Path, form: FileForm) -> Path:
    """Write training images for a program and return their folder, or file.

    Args:
        images: uint8 [N,C,H,W].
        place: an existing folder.
        form: png, a folder of PNG files; npy, one file uint8 [N,H,W,C].
    """
    if form == "npy":
        path = place / "images.npy"
        np.save(path, np.ascontiguousarray(images.transpose(0, 2, 3, 1)), allow_pickle=False)
        return path
    folder = place / "images"
    folder.mkdir()
    digits = max(5, len(str(len(images) - 1)))
    for row, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        Image.fromarray(pixels).save(folder / f"{row:0{digits}d}.png", compress_level=1)
    return folder


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return the key by which file names are sorted: digits as numbers, before letters; the rest as text.

    Example:
        >>> sorted(["10.png", "2.png", "b1/1.png", "a.png"], key=natural_key)
        ['2.png', '10.png', 'a.png', 'b1/1.png']
    """
    parts = re.split(r"([0-9]+)", name)
    pieces = [(0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts) if part]
    return pieces, name


def taken_back(place: Path, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the images that a program has written: uint8 [count, *shape].

    Args:
        place: the folder, or the file, that it was told to write.
        count: how many images it was asked for.
        shape: (C, H, W) of the training images.

    Raises:
        ValueError: where they are not exactly what was asked for, with what was expected and what came.
    """
    wanted = f"{count:,} images of {shape[2]} x {shape[1]} px, {shape[0]} channel{'s' if shape[0] > 1 else ''}"
    if not os.path.lexists(place):
        raise ValueError(f"expected {wanted} in {shown(place)}, got no such file or folder")
    refuse_links(place, "what it has drawn")
    if place.is_dir():
        listing = list_pictures(place)
        arrays = sorted(path for path in place.iterdir() if path.suffix.lower() in (".npy", ".npz"))
        if listing.entries and arrays:
            raise ValueError(f"expected picture files or one array, got both ({few([arrays[0].name])}, and pictures)")
        if listing.unread:
            raise ValueError(f"expected {wanted}, got files that cannot be read:{named(listing.unread)}")
        if len(arrays) != 1:
            return _from_pictures(place, count, shape, wanted)
        place = arrays[0]
    return _from_array(place, count, shape, wanted)


def _from_pictures(folder: Path, count: int, shape: tuple[int, int, int], wanted: str) -> np.ndarray:
    listing = list_pictures(folder)
    entries = sorted(listing.entries, key=lambda entry: natural_key(entry.name))
    if not entries:
        others = f" ({listing.ignored} files of other kinds are in it)" if listing.ignored else ""
        raise ValueError(f"expected {wanted} in {shown(folder)}, got no picture{others}")
    if len(entries) != count:
        raise ValueError(
            f"expected {wanted}, got {len(entries):,} picture files. Draw {{count}} images, no more or less"
        )
    images, facts = decoded(file_catalogue(listing, entries=entries), 0, keep_copies=True, cache=False)
    if facts.bad:
        raise ValueError(f"expected {wanted}, got {len(facts.bad)} that cannot be read:{named(facts.bad_files())}")
    if facts.transparent:
        raise ValueError(f"expected {wanted}, got {facts.transparent:,} with transparency. Write them without alpha")
    if facts.deep:
        raise ValueError(f"expected {wanted} of 8 bits, got {facts.deep:,} with more. Round them to 0..255")
    _check_size(images.shape[2:], shape, wanted)
    odd = [entry.name for entry in entries if _channels(folder / entry.name) != shape[0]]
    if odd:
        other = "grey" if shape[0] == 3 else "colour"
        raise ValueError(f"expected {wanted}, got {len(odd):,} {other} pictures ({few(odd, 3)})")
    return np.ascontiguousarray(images[:, : shape[0]])


def _channels(path: Path) -> int:
    with parsing(path, "a picture"), Image.open(path) as picture:
        return 1 if picture.mode in GREY else 3


def _from_array(path: Path, count: int, shape: tuple[int, int, int], wanted: str) -> np.ndarray:
    regular(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"expected {wanted}: a folder of pictures, or a .npy or .npz file; got {shown(path.name)}")
    values, _ = array_file(path, cache=False)
    if values.dtype != np.uint8:
        lost = int((~np.isfinite(values)).sum()) if values.dtype.kind == "f" else 0
        nan = f" ({lost:,} values are NaN or infinite)" if lost else ""
        raise ValueError(f"expected {wanted} as uint8, 0 to 255, got {values.dtype}{nan}. Round them to bytes")
    layout = "auto"
    if values.ndim == 4 and values.shape[1] in (1, 3) and values.shape[3] in (1, 3):
        layout = "nhwc" if values.shape[1:] == (shape[1], shape[2], shape[0]) else "nchw"
    images = planar_view(values, layout, shown(path.name))
    if len(images) != count:
        raise ValueError(f"expected {wanted}, got {len(images):,} in {shown(path.name)}")
    _check_size(images.shape[2:], shape, wanted)
    if images.shape[1] != shape[0]:
        raise ValueError(f"expected {wanted}, got {images.shape[1]} in {shown(path.name)}")
    return np.array(images)


def _check_size(size: tuple[int, ...], shape: tuple[int, int, int], wanted: str) -> None:
    if tuple(size) != shape[1:]:
        raise ValueError(f"expected {wanted}, got {size[1]} x {size[0]} px. Nothing is resized: draw them in that size")


def refuse_links(place: Path, what: str) -> None:
    """Refuse a folder or file that is or holds a link, a pipe, a device or a socket.

    Args:
        place: it is looked at with everything below.
        what: what it should be, for the message.

    Raises:
        ValueError: naming the first one; also for more than 200,000 files.
    """
    for number, path in enumerate(_below(place)):
        if number > MOST_FILES:
            raise ValueError(f"{shown(place)}: holds more than {MOST_FILES:,} files; expected {what}")
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise ValueError(f"{shown(path)}: is a link; expected {what}, as files of its own")
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ValueError(f"{shown(path)}: is no regular file; expected {what}")


def _below(place: Path) -> Iterator[Path]:
    yield place
    if place.is_symlink() or not place.is_dir():
        return
    for parent, folders, files in os.walk(place):
        for name in (*folders, *files):
            yield Path(parent) / name
