"""CIFAR-10: 32 x 32 colour photographs of ten classes of objects.

Layout: ``cifar-10-batches-py/data_batch_1`` to ``_5``, ``test_batch`` and ``batches.meta``. These are Python pickles,
which can contain any program. They are read by an unpickler that accepts only plain values and numpy arrays of numbers;
anything else is an error that names it.

References:
    Learning multiple layers of features from tiny images (Krizhevsky 2009), University of Toronto technical report.
"""

from __future__ import annotations

import io
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..io.annotation_lists import changed, class_columns
from ..io.catalogue import Catalogue, Split, digest, shown
from ..io.reading import Picture
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["CIFAR10"]

SOURCE = "the CIFAR page of the University of Toronto (Alex Krizhevsky), the version for Python"
BATCHES: dict[str, Split] = {**{f"data_batch_{i}": "train" for i in range(1, 6)}, "test_batch": "heldout"}
SIDE = 32
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}
"""All that a CIFAR pickle needs in addition to plain values. None of these runs code from the file."""


class CIFAR10(PictureSet):
    """CIFAR-10: the class is an attribute such as ``class/frog``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``data_batch_1`` and the other files, or its parent.
        official: whether the published test batch is held out; else a seeded permutation of all.
    """

    kind: Literal["cifar10"] = "cifar10"
    path: FilePath
    size: int = Field(default=SIDE, ge=8, le=1024)
    official: bool = True

    licence: ClassVar[str] = "Licence: none that imagelab knows of; check before publishing."

    def _catalogue(self) -> Catalogue:
        places = (self.path / "data_batch_1", self.path / "cifar-10-batches-py" / "data_batch_1")
        expected = "data_batch_1 to data_batch_5, test_batch and batches.meta"
        folder = found_at(self.kind, self.path, expected, SOURCE, *places).parent
        meta = changed(folder / "batches.meta")
        words = [word.decode("utf-8", "replace") for word in _value(_unpickle(meta), b"label_names", meta[0], list)]
        pixels, labels, names, splits, stamps = [], [], [], [], [meta]
        for title, split in BATCHES.items():
            file = changed(folder / title)
            batch, its_labels = _batch(file)
            pixels.append(batch)
            labels += [words[label] if 0 <= label < len(words) else str(label) for label in its_labels]
            names += [f"{title}:{row}" for row in range(len(batch))]
            splits += [split] * len(batch)
            stamps.append(file)
        everything = np.concatenate(pixels)
        classes, note = class_columns([shown(label) for label in labels])
        return Catalogue(
            stamp=digest(stamps),
            names=tuple(names),
            read=lambda row: Picture(everything[row]),
            attributes=classes,
            splits=tuple(splits) if self.official else None,
            note=note,
        )

    def _subject(self) -> str:
        return f"CIFAR-10 in {shown(self.path)}"


class _Careful(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in ALLOWED:
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(f"asks for {module_name}.{global_name}, which no CIFAR file needs; it was not run")


@lru_cache(maxsize=8)
def _unpickle(file: tuple[str, int, int]) -> dict[Any, Any]:
    """Read a pickle of plain values and arrays.

    Raises:
        ValueError: if the file is damaged or contains anything else; the message names the file.
    """
    try:
        content = _Careful(io.BytesIO(Path(file[0]).read_bytes()), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(f"{shown(file[0])}: refused: {error or type(error).__name__}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{shown(file[0])}: expected a dictionary, got {type(content).__name__}")
    return content


@lru_cache(maxsize=6)
def _batch(file: tuple[str, int, int]) -> tuple[np.ndarray, list[int]]:
    """Return the pictures of a batch, uint8 [N,3,32,32], and their labels."""
    content = _unpickle(file)
    data, labels = _value(content, b"data", file[0], np.ndarray), _value(content, b"labels", file[0], list)
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE * SIDE or len(labels) != len(data):
        raise ValueError(
            f"{shown(file[0])}: expected uint8 [N,{3 * SIDE * SIDE}] and N labels, got {data.dtype} {data.shape} and "
            f"{len(labels)} labels"
        )
    return data.reshape(-1, 3, SIDE, SIDE), [int(label) for label in labels]


def _value(content: dict[Any, Any], key: bytes, path: str, form: type) -> Any:
    value = content.get(key, content.get(key.decode()))
    if not isinstance(value, form):
        raise ValueError(f"{shown(path)}: expected {key.decode()!r} to be {form.__name__}, got {type(value).__name__}")
    return value
