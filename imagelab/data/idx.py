"""MNIST and FashionMNIST: the idx format, 28 x 28 grey pictures of digits or clothes.

An idx file is big-endian: a magic number (2051 for pictures, 2049 for labels), the counts, then the bytes. It may be
plain or gzipped. A file is refused if its length differs from that in its header.

References:
    Gradient-based learning applied to document recognition (LeCun et al. 1998), doi:10.1109/5.726791.
    Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms (Xiao et al. 2017),
    arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..io.annotation_lists import changed, class_columns
from ..io.catalogue import Catalogue, Split, digest, shown
from ..io.reading import Picture
from ..io.untrusted import check_unpacked, parsing, quoted, regular
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["MNIST", "FashionMNIST"]

PICTURES, LABELS = 2051, 2049
MOST_PACKED = 1100  # bytes that gzip can store in one
PARTS: dict[str, Split] = {"train": "train", "t10k": "heldout"}
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DIGITS = tuple("0123456789")


class _Idx(PictureSet):
    """Base of both datasets: layout, reading, splits."""

    path: FilePath
    size: int = Field(default=32, ge=8, le=1024)
    frame: int = Field(default=2, ge=0, le=100)
    official: bool = True

    title: ClassVar[str]
    source: ClassVar[str]
    words: ClassVar[tuple[str, ...]]

    def _catalogue(self) -> Catalogue:
        stem = "train-images-idx3-ubyte"
        roots = [self.path, self.path / "raw", self.path / self.title / "raw"]
        places = [root / f"{stem}{end}" for root in roots for end in ("", ".gz")]
        folder = found_at(self._word, self.path, f"{stem} (or .gz) and its siblings", self.source, *places).parent
        pictures, labels, names, splits, stamps = [], [], [], [], []
        for part, split in PARTS.items():
            grey, its_labels, stamp = _part(folder, part)
            pictures.append(grey)
            labels += [_word(self.words, label) for label in its_labels]
            names += [f"{part}:{row}" for row in range(len(grey))]
            splits += [split] * len(grey)
            stamps.append(stamp)
        forms = {grey.shape[1:] for grey in pictures}
        if len(forms) > 1:
            raise ValueError(f"{shown(folder)}: pictures of {' and '.join(f'{w} x {h}' for h, w in sorted(forms))}")
        everything, frame = np.concatenate(pictures), self.frame
        classes, note = class_columns(labels)
        return Catalogue(
            stamp=digest(stamps, frame),
            names=tuple(names),
            read=lambda row: Picture(np.repeat(np.pad(everything[row], frame)[None], 3, axis=0)),
            attributes=classes,
            splits=tuple(splits) if self.official else None,
            note=f"A black frame of {frame} pixels was added around each picture first. {note}",
        )

    def _subject(self) -> str:
        return f"{self.title} in {shown(self.path)}"


class MNIST(_Idx):
    """Handwritten digits: the digit is an attribute such as ``class/7``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: as in :class:`FashionMNIST`.
        size: as in :class:`FashionMNIST`.
        frame: as in :class:`FashionMNIST`.
        official: as in :class:`FashionMNIST`.
    """

    kind: Literal["mnist"] = "mnist"

    title: ClassVar[str] = "MNIST"
    source: ClassVar[str] = "the MNIST database of LeCun, Cortes and Burges, or a mirror you trust"
    words: ClassVar[tuple[str, ...]] = DIGITS
    licence: ClassVar[str] = "Licence: not stated in its files; check before publishing."


class FashionMNIST(_Idx):
    """Articles of clothing: the article is an attribute such as ``class/dress``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``train-images-idx3-ubyte`` (or ``.gz``) and the three other files, or a parent
            of it.
        size: side of the images, pixels.
        frame: black pixels added around each picture as the first step. The default enlarges 28 to 32 pixels, a side
            that every generator accepts, without resampling.
        official: whether the published test pictures are held out; else a seeded permutation of all.
    """

    kind: Literal["fashion_mnist"] = "fashion_mnist"

    title: ClassVar[str] = "FashionMNIST"
    source: ClassVar[str] = "the fashion-mnist repository of Zalando Research"
    words: ClassVar[tuple[str, ...]] = CLOTHES
    licence: ClassVar[str] = "Licence: not stated in its files; see its repository, and check before publishing."


def _word(words: tuple[str, ...], label: int) -> str:
    return words[label] if label < len(words) else str(label)


def _part(folder: Path, part: str) -> tuple[np.ndarray, list[int], tuple[object, ...]]:
    """Return the pictures, uint8 [N,H,W], the labels and the stamp of a train or test part."""
    files = [_whole(folder, f"{part}-images-idx3-ubyte"), _whole(folder, f"{part}-labels-idx1-ubyte")]
    pictures, labels = _read(changed(files[0]), PICTURES, 3), _read(changed(files[1]), LABELS, 1)
    if len(pictures) != len(labels):
        raise ValueError(
            f"{shown(files[1])}: {len(labels)} labels for {len(pictures)} pictures; are both files of one set?"
        )
    return pictures, labels.tolist(), tuple(changed(file) for file in files)


def _whole(folder: Path, name: str) -> Path:
    plain, packed = folder / name, folder / f"{name}.gz"
    return packed if packed.is_file() and not plain.is_file() else plain


@lru_cache(maxsize=4)
def _read(file: tuple[str, int, int], magic: int, axes: int) -> np.ndarray:
    """Read an idx file: uint8 array with ``axes`` axes, read-only.

    Raises:
        ValueError: for a file that is not gzip, has another magic number, or another length than its header says; the
            message names the file.
    """
    path = Path(file[0])
    name, stored = shown(path), regular(path).st_size
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            header = handle.read(4 * (axes + 1))
            if len(header) < 4 * (axes + 1):
                raise ValueError(f"{name}: expected an idx file, got {len(header)} bytes")
            number, *sides = struct.unpack(f">{axes + 1}I", header)
            if number != magic:
                raise ValueError(f"{name}: expected the magic number {magic}, got {number}; another kind of file?")
            expected = math.prod(sides)
            if expected > MOST_PACKED * stored:  # no file of this length holds as much, so nothing is read
                raise ValueError(f"{name}: its header announces {expected} bytes; the file is damaged")
            with parsing(path, "within the limits"):
                check_unpacked(stored, expected)
            content = handle.read(expected + 1)  # one more than expected, to notice a longer file
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise ValueError(f"{name}: cannot be read ({quoted(str(error) or 'too large for the memory')})") from error
    if len(content) != expected:
        form = " x ".join(map(str, sides))
        follow = f"{len(content)} follow" if len(content) < expected else "more follow"
        raise ValueError(f"{name}: its header announces {expected} bytes ({form}), {follow}; the file is damaged")
    return np.frombuffer(content, np.uint8).reshape(sides)
