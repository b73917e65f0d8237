"""Sealed files: named arrays stored with the SHA-256 of their contents; the file format of calibrations and probes.

The digest is computed from names, dtypes, shapes and values in little-endian order, not from the bytes of the ZIP file.
So the same arrays have the same digest on every machine and with every version of the compressor. Its first eight
digits are part of every measurement made with the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..io.atomic import written_whole

__all__ = ["contents_digest", "packed_card", "read_sealed", "shipped_sizes", "write_sealed"]


def contents_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays, 64 hexadecimal digits; their order does not matter.

    Example:
        >>> a, b = np.zeros(2), np.ones(3)
        >>> contents_digest({"a": a, "b": b}) == contents_digest({"b": b, "a": a})
        True
        >>> contents_digest({"a": a}) == contents_digest({"a": a.astype(np.float32)})
        False
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        if array.dtype.kind == "U":
            total.update(f"{name} text\n{array}\n".encode())
            continue
        little = array.astype(array.dtype.newbyteorder("<"))  # the same bytes on big-endian machines
        total.update(f"{name} {little.dtype.str} {little.shape}\n".encode() + little.tobytes())
    return total.hexdigest()


def packed_card(card: Mapping[str, Any]) -> np.ndarray:
    """Return a card of figures as the array ``card`` of a sealed file: JSON with sorted keys, no NaN or infinity."""
    return np.array(json.dumps(card, sort_keys=True, allow_nan=False))


def write_sealed(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and their digest as a compressed NPZ without pickles, atomically."""
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, digest=np.array(contents_digest(arrays)), **arrays)


def read_sealed(path: Path, what: str, remake: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a sealed file.

    Args:
        path: the file.
        what: what the file should be, in words; the message says "not a whole <what>".
        remake: what to do if it is not; the end of the message.

    Returns:
        Its arrays by name, and its card.

    Raises:
        ValueError: naming the file, if it is missing or damaged, or if its contents do not match its digest.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        digest = str(arrays.pop("digest"))
        card = json.loads(str(arrays["card"]))
        whole = contents_digest(arrays) == digest
    except Exception as error:  # a damaged ZIP file can raise almost any exception
        raise ValueError(f"{path}: not a whole {what} ({error}); {remake}") from error
    if not whole:
        raise ValueError(f"{path}: the contents do not match their SHA-256 {digest[:8]}...; {remake}")
    return arrays, card


def shipped_sizes(stem: str) -> tuple[int, ...]:
    """Return the image sizes in px for which the package contains a file ``<stem>-<size>.npz``."""
    paths = Path(__file__).parent.glob(f"{stem}-*.npz")
    return tuple(sorted(int(path.stem.removeprefix(f"{stem}-")) for path in paths))
