"""CIFAR-10: 32 x 32 colour photographs of ten classes of objects.

Layout: ``cifar-10-batches-py/data_batch_1`` to ``_5``, ``test_batch`` and ``batches.meta``. These are Python pickles,
which can contain any program. They are read by an unpickler that accepts only plain values and numpy arrays, and calls
nothing but the stand-ins below; anything else is an error that names it.

References:
    Learning multiple layers of features from tiny images (Krizhevsky 2009), University of Toronto technical report.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..io.annotation_lists import changed, class_columns
from ..io.catalogue import Catalogue, Split, digest, shown
from ..io.reading import Picture
from ..io.untrusted import parsing, quoted, regular
from .picture_set import FilePath, PictureSet, found_at

__all__ = ["CIFAR10"]

SOURCE = "the CIFAR page of the University of Toronto (Alex Krizhevsky), the version for Python"
BATCHES: dict[str, Split] = {**{f"data_batch_{i}": "train" for i in range(1, 6)}, "test_batch": "heldout"}
SIDE = 32
MOST_BYTES = 1 << 28  # of a file; each of the published ones has 31 MB
MOST_STEPS = 1_000_000  # of a pickle; a batch of 10,000 pictures takes about 90,000
BYTE = ("u1", "|u1", b"u1", b"|u1")  # how a pickle spells uint8


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
        words = _words(meta)
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


class _Type:
    """Stands for ``numpy.dtype`` in a pickle: keeps the name of the type and ignores the rest."""

    def __init__(self, name: object, align: object = None, copy: object = None) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands for ``numpy.ndarray`` in a pickle: keeps the state; only :meth:`values` makes an array of it."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        """Return the bytes of a uint8 array without copying them; anything else raises an exception."""
        _, shape, kind, fortran, content = self.state
        if not isinstance(kind, _Type) or kind.name not in BYTE:
            raise ValueError(f"expected an array of uint8, got {quoted(getattr(kind, 'name', kind), 40)}")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


class _Careful(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.left = 2 * len(content)  # bytes that may be made of text; each text once, and room for a second time

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        where = (module_name, global_name)
        if where in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return lambda kind, shape, letter: _Array()
        if where == ("_codecs", "encode"):
            return self._encode
        if module_name == "numpy" and global_name in ("ndarray", "dtype"):
            return _Array if global_name == "ndarray" else _Type
        asked = quoted(f"{module_name}.{global_name}", 100)
        raise pickle.UnpicklingError(f"asks for {asked}, which no CIFAR file needs; it was not run")

    def _encode(self, text: str, encoding: str) -> bytes:
        self.left -= len(text)
        if encoding != "latin1" or self.left < 0:
            raise pickle.UnpicklingError("its text cannot be turned into bytes")
        return text.encode("latin1")


def _check_steps(content: bytes) -> None:
    """Raise ValueError for a pickle of too many steps, or one that asks for a memory of too many places."""
    for step, (code, place, _) in enumerate(pickletools.genops(content)):
        if step >= MOST_STEPS or (code.name in ("PUT", "LONG_BINPUT") and (place or 0) >= MOST_STEPS):
            raise ValueError(f"more than {MOST_STEPS} steps or places, which no CIFAR file needs")


@lru_cache(maxsize=8)
def _unpickle(file: tuple[str, int, int]) -> dict[Any, Any]:
    """Read a pickle of plain values and arrays.

    Raises:
        ValueError: if the file is damaged or contains anything else; the message names the file.
    """
    path = Path(file[0])
    if regular(path).st_size > MOST_BYTES:
        raise ValueError(f"{shown(path)}: refused: {file[1]} bytes; expected at most {MOST_BYTES}")
    try:
        stored = path.read_bytes()
        _check_steps(stored)
        content = _Careful(stored).load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(f"{shown(path)}: refused: {quoted(str(error) or type(error).__name__)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: expected a dictionary, got {type(content).__name__}")
    return content


def _words(file: tuple[str, int, int]) -> list[str]:
    """Return the names of the classes."""
    found = _value(_unpickle(file), b"label_names", file[0], list)
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else word for word in found]
    wrong = [word for word in words if not isinstance(word, str) or len(word) > 100]
    if wrong:
        got = quoted(wrong[0], 80)
        raise ValueError(f"{shown(file[0])}: expected names of classes in 'label_names', got {got}")
    return words


@lru_cache(maxsize=6)
def _batch(file: tuple[str, int, int]) -> tuple[np.ndarray, list[int]]:
    """Return the pictures of a batch, uint8 [N,3,32,32], and their labels."""
    content = _unpickle(file)
    stored, labels = _value(content, b"data", file[0], _Array), _value(content, b"labels", file[0], list)
    with parsing(file[0], "a batch of CIFAR-10"):
        data = stored.values()
    if data.ndim != 2 or data.shape[1] != 3 * SIDE * SIDE or len(labels) != len(data):
        raise ValueError(
            f"{shown(file[0])}: expected uint8 [N,{3 * SIDE * SIDE}] and N labels, got {list(data.shape)} and "
            f"{len(labels)} labels"
        )
    wrong = [label for label in labels if type(label) is not int]
    if wrong:
        raise ValueError(f"{shown(file[0])}: expected whole numbers in 'labels', got {type(wrong[0]).__name__}")
    return data.reshape(-1, 3, SIDE, SIDE), labels


def _value(content: dict[Any, Any], key: bytes, path: str, form: type) -> Any:
    value, name = content.get(key, content.get(key.decode())), {_Array: "an array"}.get(form, f"a {form.__name__}")
    if not isinstance(value, form):
        raise ValueError(f"{shown(path)}: expected {key.decode()!r} to be {name}, got {type(value).__name__}")
    return value
