"""Near matches: how few bits of a perceptual hash may differ before two pictures count as versions of one picture.

A threshold is used only with its measured rate of false matches. ``near_match.json`` has it for pictures of 32, 64 and
128 px: of pictures that are none of the gallery, how many came within the threshold of any picture of it (false
matches), and of changed pictures of the gallery (JPEG, resized, cropped), how many had their own original within the
threshold as their nearest (recall). It was made by ``experiments/instruments/near_match.py`` on drawn faces, which are
aligned and so alike, on crops of photographs, and on pictures that models of a finished run have made.

More rows give more chances of a false match. For R rows the rate is at most R / G times the rate for the gallery of G
pictures (Boole's inequality), and this bound is what has to stay below :data:`ACCEPTED`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..metrics.intervals import wilson
from .fingerprints import BITS

__all__ = ["ACCEPTED", "CALIBRATION", "Threshold", "calibration", "measured_sizes", "threshold_for"]

CALIBRATION = Path(__file__).with_name("near_match.json")
"""The measured rates that the package ships."""

ACCEPTED = 0.01
"""The largest rate of false matches, a picture, at which a near match is named: upper limit of the 95 % interval."""


@dataclass(frozen=True)
class Threshold:
    """A threshold of the perceptual hash and what is known about it.

    Attributes:
        bits: length of the hash.
        most: bits that may differ.
        false_at_most: bound of the rate of false matches in a search of ``rows`` rows, 0..1.
        rows: how many rows are searched.
        worst: the kind of pictures that had the largest rate.
        false: pictures of that kind that were matched falsely.
        n: of how many.
        gallery: in how many pictures they were searched.
        size: side of the pictures with which it was measured, px.
    """

    bits: int
    most: int
    false_at_most: float
    rows: int
    worst: str
    false: int
    n: int
    gallery: int
    size: int


@cache
def calibration() -> Mapping[str, Any]:
    """Return the content of ``near_match.json``."""
    return json.loads(CALIBRATION.read_text(encoding="utf-8"))


def measured_sizes(table: Mapping[str, Any] | None = None) -> list[tuple[int, int]]:
    """Return (size, next size) in px: the sizes that were measured, and up to where the rates of each are used."""
    sizes = sorted(int(size) for size in (table or calibration())["sizes"])
    return list(zip(sizes, [*sizes[1:], 1 << 30], strict=True))


def threshold_for(measured: int, rows: int, table: Mapping[str, Any] | None = None) -> Threshold | None:
    """Return the threshold with the highest recall whose rate of false matches is accepted; None where none is.

    Args:
        measured: size of the pictures that are searched, px; one of :func:`measured_sizes`.
        rows: how many are searched.
        table: the measured rates; those of the package if not given.
    """
    sizes = (table or calibration())["sizes"]
    found: list[tuple[float, Threshold]] = []
    for bits in BITS:
        kinds = {name: kind["bits"][str(bits)] for name, kind in sizes[str(measured)].items()}
        galleries = {name: kind["gallery"] for name, kind in sizes[str(measured)].items()}
        for place, most in enumerate(next(iter(kinds.values()))["thresholds"]):
            limits = {}
            for name, kind in kinds.items():
                false, n = kind["false"][place], kind["strangers"]
                limits[name] = wilson(false / n, n)[1] * max(1.0, rows / galleries[name])
            worst = max(limits, key=lambda name: limits[name])
            if limits[worst] <= ACCEPTED:
                false, n = kinds[worst]["false"][place], kinds[worst]["strangers"]
                recall = sum(share for kind in kinds.values() for share in _recalls(kind, place))
                facts = (bits, most, limits[worst], rows, worst, false, n, galleries[worst], measured)
                found.append((recall, Threshold(*facts)))
    return max(found, key=lambda pair: (pair[0], -pair[1].most))[1] if found else None


def _recalls(kind: Mapping[str, Any], place: int) -> list[float]:
    return [change["found"][place] / change["n"] for change in kind["recall"].values()]
