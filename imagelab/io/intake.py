"""Intake: read the pictures of a dataset once, name every bad one, and hand over pixels of one size.

A picture is turned upright, laid over one background colour, cropped to its centre square and resampled ONCE, with
Pillow's antialiased bicubic kernel (a = -0.5, support widened when shrinking, as in clean-fid), on the sRGB values as
stored. Of pictures whose final pixels are equal only the first stays: a copy that stood in train and in heldout would
make memorisation look like quality.

References:
    On aliased resizing and surprising subtleties in GAN evaluation (Parmar et al. 2022), arXiv:2104.11222.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL
from PIL import Image

from .cache import cached
from .catalogue import BadFile, Catalogue, centre, digest, shown

__all__ = ["INTAKE_VERSION", "THREADS", "Intake", "square", "take_in"]


INTAKE_VERSION = 1
"""Part of the name of every cached set; raise it when a picture would come out otherwise."""


THREADS = min(4, os.cpu_count() or 1)  # more would let several huge pictures unfold in memory together


@dataclass(frozen=True, eq=False)
class Intake:
    """What a catalogue's pictures turned out to be.

    Attributes:
        images: uint8 [N,3,size,size], read-only; distinct pictures in the order of the catalogue.
        rows: int64 [N], their rows in the catalogue. names: their N names.
        digests: N SHA-256 of the final pixels, hex.
        bad: the refused pictures with reasons.
        copies: pictures left out as equal to an earlier one.
        enlarged: pictures whose shorter side is below ``size``: their fine detail is interpolated, not real.
    """

    images: np.ndarray
    rows: np.ndarray
    names: tuple[str, ...]
    digests: tuple[str, ...]
    bad: tuple[BadFile, ...]
    copies: int
    enlarged: int

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, pixel SHA-256) pairs: equal for equal pictures under equal names."""
        pairs = sorted(zip(self.names, self.digests, strict=True))
        return hashlib.sha256(repr(pairs).encode()).hexdigest()


@dataclass(frozen=True)
class _Picture:
    pixels: np.ndarray  # uint8 [3,size,size]
    digest: str
    enlarged: bool


@lru_cache(maxsize=2)
def take_in(catalogue: Catalogue, size: int, cache: bool = False) -> Intake:
    """Read all pictures of a catalogue, in threads, and keep the distinct ones in its order.

    Within one process an unchanged catalogue is not read again; with ``cache`` the final pixels are kept on disk as
    well, in ``cache_folder("pictures")``. A picture whose shorter side is below ``size / 2`` is refused, so none is
    enlarged more than twice.
    """
    if cache:
        expected = dict.fromkeys(("rows", "digests", "refused", "reasons"), (-1,))
        form = {"images": (-1, 3, size, size), **expected, "counts": (2,)}
        name = digest(INTAKE_VERSION, PIL.__version__, catalogue.stamp, size)
        arrays = cached(name, form, lambda: _read_all(catalogue, size), shelf="pictures")
    else:
        arrays = _read_all(catalogue, size)
    images, rows = arrays["images"], arrays["rows"]
    images.setflags(write=False)
    refused = zip(arrays["refused"], arrays["reasons"], strict=True)
    bad = (BadFile(f"{catalogue.home}{catalogue.names[row]}", str(reason)) for row, reason in refused)
    return Intake(
        images=images,
        rows=rows,
        names=tuple(catalogue.names[row] for row in rows),
        digests=tuple(arrays["digests"].tolist()),
        bad=(*catalogue.bad, *bad),
        copies=int(arrays["counts"][0]),
        enlarged=int(arrays["counts"][1]),
    )


def _read_all(catalogue: Catalogue, size: int) -> dict[str, np.ndarray]:
    """Return the distinct pictures, their rows and digests; the refused rows with reasons; (copies, enlarged)."""

    def read(row: int) -> _Picture | str:
        try:
            return _prepare(catalogue.read(row), size)
        except (ValueError, OSError) as error:
            return shown(str(error))

    images = np.empty((len(catalogue), 3, size, size), np.uint8)
    rows: list[int] = []
    digests: dict[str, None] = {}
    bad: dict[int, str] = {}
    copies = enlarged = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for row, result in enumerate(pool.map(read, range(len(catalogue)))):
            if isinstance(result, str):
                bad[row] = result
            elif result.digest in digests:
                copies += 1
            else:
                images[len(rows)] = result.pixels
                rows.append(row)
                digests[result.digest] = None
                enlarged += result.enlarged
    return {
        "images": images[: len(rows)],
        "rows": np.array(rows, np.int64),
        "digests": np.array(list(digests), "U64"),
        "refused": np.array(list(bad), np.int64),
        "reasons": np.array(list(bad.values()), str),
        "counts": np.array([copies, enlarged]),
    }


def _prepare(pixels: np.ndarray, size: int) -> _Picture:
    height, width = pixels.shape[1:]
    least = -(-size // 2)
    if min(width, height) < least:
        raise ValueError(f"too small: {width} x {height} pixels, the shorter side must be at least {least}")
    final = square(pixels, size)
    return _Picture(final, hashlib.sha256(final.tobytes()).hexdigest(), min(width, height) < size)


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Crop uint8 [3,H,W] to its centre square and resample it once: uint8 [3,size,size].

    A square that already has the size is returned as it is, to the byte.
    """
    side = min(pixels.shape[1:])
    crop = np.ascontiguousarray(centre(pixels, side))
    if side == size:
        return crop
    small = Image.fromarray(crop.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))
