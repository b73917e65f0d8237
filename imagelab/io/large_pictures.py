"""Large photographs, one at a time: what a folder of them holds, and a resampled part of one.

A photograph may take hundreds of megabytes once it is decoded. So it is decoded to learn its size and digest, and again
when parts of it are cut out, and never kept: what is kept (in memory, and on disk with a cache) are sizes and digests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image

from .cache import cache_folder, cached_stream
from .catalogue import BadFile, Catalogue, digest, shown
from .chatter import listening
from .decode import VERSION
from .facts import Facts

__all__ = ["Survey", "resampled", "scaled_side", "surveyed"]

BAND = 1 << 20  # bytes that are hashed together


@dataclass(frozen=True, eq=False)
class Survey:
    """The distinct photographs of a catalogue that can be read.

    Attributes:
        rows: int64 [N], their rows in the catalogue.
        names: their N names.
        forms: int64 [N,2], height and width in pixels, upright.
        bad: the refused files with reasons.
        facts: what was seen while they were read; ``digests`` holds the SHA-256 of the pixels of each.
    """

    rows: np.ndarray
    names: tuple[str, ...]
    forms: np.ndarray
    bad: tuple[BadFile, ...]
    facts: Facts

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, pixel SHA-256) pairs."""
        return hashlib.sha256(repr(sorted(zip(self.names, self.facts.digests, strict=True))).encode()).hexdigest()


@lru_cache(maxsize=4)
def surveyed(catalogue: Catalogue, cache: bool) -> Survey:
    """Return which photographs there are: each is decoded once, and of equal ones only the first is taken.

    Args:
        catalogue: which pictures there are and how one is read.
        cache: whether the sizes and digests are kept on disk, in ``cache_folder("pictures")``.
    """

    def write(_: BinaryIO) -> dict[str, Any]:
        facts, forms = Facts(endings={}), []
        with listening():
            for row, name in enumerate(catalogue.names):
                try:
                    picture = catalogue.read(row)
                except (ValueError, OSError) as error:
                    facts.bad.append((f"{catalogue.home}{name}", shown(str(error))))
                    continue
                mark = _pixel_digest(picture.pixels)
                if mark in facts.digests:
                    facts.copies += 1
                    continue
                facts.rows.append(row)
                facts.digests.append(mark)
                forms.append(picture.pixels.shape[1:])
                ending = PurePosixPath(name).suffix.lower()
                facts.endings = {**(facts.endings or {}), ending: (facts.endings or {}).get(ending, 0) + 1}
                facts.add(picture, f"{catalogue.home}{name}")
        return {"forms": forms, **vars(facts)}

    def view(_: BinaryIO, stored: dict[str, Any]) -> tuple[np.ndarray, Facts]:
        known = {key: value for key, value in stored.items() if key != "forms"}
        known["bad"] = [(name, reason) for name, reason in known["bad"]]
        known["said"] = [(name, text) for name, text in known["said"]]
        return np.array(stored["forms"], np.int64).reshape(-1, 2), Facts(**known)

    key = digest("survey", VERSION, PIL.__version__, catalogue.stamp)
    path = cache_folder("pictures") / f"{key}.bytes" if cache and catalogue.stamp else None
    forms, facts = cached_stream(path, write, view)
    return Survey(
        rows=np.array(facts.rows, np.int64),
        names=tuple(catalogue.names[row] for row in facts.rows),
        forms=forms,
        bad=(*catalogue.bad, *facts.bad_files()),
        facts=facts,
    )


def resampled(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Resample pixels once, by the same factor in both directions; Pillow's bicubic kernel, antialiased.

    Nothing outside of the given pixels has an influence on the result.

    Args:
        pixels: uint8 [C,H,W].
        scale: pixels of the result for each pixel; 0.5 halves both sides, 1 changes nothing.

    Returns:
        uint8 [C,H',W'], H' and W' as :func:`scaled_side`; a part of a pixel that is left at the right and at the bottom
        is dropped.
    """
    if scale == 1.0:
        return pixels
    height, width = (scaled_side(side, scale) for side in pixels.shape[1:])
    box = (0.0, 0.0, min(width / scale, pixels.shape[2]), min(height / scale, pixels.shape[1]))
    equal = len(pixels) > 1 and pixels.strides[0] == 0
    small = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(channel)).resize((width, height), Image.Resampling.BICUBIC, box)
        )
        for channel in pixels[: 1 if equal else None]
    ]
    return np.broadcast_to(small[0], (len(pixels), height, width)) if equal else np.stack(small)


def scaled_side(side: int, scale: float) -> int:
    """Return the whole pixels that a side has after resampling.

    Example:
        >>> scaled_side(101, 0.5), scaled_side(100, 0.29)
        (50, 29)
    """
    return int(side * scale + 1e-6)


def _pixel_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of the form and the pixels, uint8 [C,H,W]; little memory is used beside them."""
    content = hashlib.sha256(repr(pixels.shape).encode())
    step = max(1, BAND // max(1, pixels.shape[2]))
    for channel in pixels[: 1 if pixels.strides[0] == 0 else None]:
        for top in range(0, len(channel), step):
            content.update(np.ascontiguousarray(channel[top : top + step]).data)
    return content.hexdigest()
