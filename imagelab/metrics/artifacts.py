"""Sealed files: named arrays under the SHA-256 of their own contents, as fitted instruments are kept.

The digest runs over names, types, shapes and values in little-endian order, not over the bytes of the ZIP, so the same
instrument has the same digest whoever packed it. Its first eight digits stand in every measurement made with it.
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
        little = array.astype(array.dtype.newbyteorder("<"))
        total.update(f"{name} {little.dtype.str} {little.shape}\n".encode() + little.tobytes())
    return total.hexdigest()


def packed_card(card: Mapping[str, Any]) -> np.ndarray:
    """Return figures as the array ``card`` of a sealed file: JSON with sorted keys; NaN and infinity are refused."""
    return np.array(json.dumps(card, sort_keys=True, allow_nan=False))


def write_sealed(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and their digest as a compressed NPZ without pickles, whole or not at all."""
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, digest=np.array(contents_digest(arrays)), **arrays)


def read_sealed(path: Path, what: str, remake: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a sealed file.

    Args:
        path: the file.
        what: it should be, to follow "not a whole".
        remake: what to do about one that is not, to end the message.

    Returns:
        Its arrays by name, and its card.

    Raises:
        ValueError: naming the file, if it is missing, damaged, or its contents are not what its digest says.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        digest = str(arrays.pop("digest"))
        card = json.loads(str(arrays["card"]))
        whole = contents_digest(arrays) == digest
    except Exception as error:  # a spoiled ZIP raises almost anything
        raise ValueError(f"{path}: not a whole {what} ({error}); {remake}") from error
    if not whole:
        raise ValueError(f"{path}: the contents do not match their SHA-256 {digest[:8]}...; {remake}")
    return arrays, card


def shipped_sizes(stem: str) -> tuple[int, ...]:
    """Return the image sizes in px for which the package carries a file ``<stem>-<size>.npz``."""
    found = Path(__file__).parent.glob(f"{stem}-*.npz")
    return tuple(sorted(int(path.stem.removeprefix(f"{stem}-")) for path in found))
