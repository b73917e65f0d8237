"""Content-addressed shelves for rendered or decoded sets: one may be lost, spoiled or locked, and nothing but time is.

One uncompressed NPZ a set (for faces: a recipe, split, n, seed), named by the SHA-256 of all that changes its pixels,
readable by its owner alone. It is written beside its name and renamed when whole; a file that cannot be read is made
anew; a folder that cannot be written is worked without.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..atomic import written_whole

__all__ = ["cache_folder", "cached"]

_LOG = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]


def cache_folder(shelf: str = "faces") -> Path:
    """Return where a shelf is kept: ``$IMAGELAB_CACHE/<shelf>``, else ``~/.cache/imagelab/<shelf>``."""
    root = os.environ.get("IMAGELAB_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "imagelab") / shelf


def cached(
    name: str, expected: Mapping[str, tuple[int, ...]], make: Callable[[], Arrays], shelf: str = "faces"
) -> Arrays:
    """Return the arrays stored under a name, or make and store them.

    Args:
        name: the content address (a hash), without an ending.
        expected: array name -> shape that a whole file holds, -1 for any length.
        make: makes the arrays.
        shelf: the folder of this kind of set.
    """
    path = cache_folder(shelf) / f"{name}.npz"
    found = _read(path, expected)
    if found is not None:
        return found
    arrays = make()
    _write(path, arrays)
    return arrays


def _read(path: Path, expected: Mapping[str, tuple[int, ...]]) -> Arrays | None:
    try:
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # a spoiled ZIP raises almost anything
        _LOG.warning("cached %s %s cannot be read (%s); making them again", path.parent.name, path.name, error)
        return None
    if arrays.keys() == expected.keys() and all(_fits(arrays[key].shape, shape) for key, shape in expected.items()):
        return arrays
    _LOG.warning("cached %s %s do not have the expected form; making them again", path.parent.name, path.name)
    return None


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (-1, s) for s, e in zip(shape, expected, strict=True))


def _write(path: Path, arrays: Arrays) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, shared=True) as partial:
            partial.touch(mode=0o600)
            with partial.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        _LOG.warning("%s are not cached (%s); the run goes on without", path.parent.name, error)
