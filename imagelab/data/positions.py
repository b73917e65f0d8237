"""Which crops are taken of parts of photographs: positions without repetition, in turns, and their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Box", "PhotoPart", "cells_of", "distinct_places", "turns"]

SHUFFLED = 1 << 20  # places that are shuffled as a whole; of more, distinct ones are drawn

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels."""


@dataclass(frozen=True)
class PhotoPart:
    """The part of one photograph that belongs to one split.

    Attributes:
        photo: number of the photograph.
        box: in pixels of the photograph.
        high: positions of a crop, from top to bottom, after resampling.
        wide: positions of a crop, from left to right.
        down: disjoint crops, from top to bottom.
        across: disjoint crops, from left to right.
    """

    photo: int
    box: Box
    high: int
    wide: int
    down: int
    across: int


def turns(limits: np.ndarray, n: int, rngs: Sequence[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
    """Return, for n crops, the part and the number of the crop in its part: int64 [n] each.

    The parts take turns, in each round in another random order, so that evenly spread rows are not all of one part; one
    that has no crop left is passed over. A larger n begins with a smaller one.

    Args:
        limits: int64 [P], the crops that each part can give.
        n: how many, at most the sum of the limits.
        rngs: P unused sources of the order.

    Example:
        >>> which, turn = turns(np.array([1, 3]), 4, [np.random.default_rng(part) for part in range(2)])
        >>> which.tolist(), turn.tolist()
        ([1, 0, 1, 1], [0, 0, 1, 2])
    """
    low, high = 0, int(limits.max())
    while low < high:  # the fewest rounds that give n crops
        middle = (low + high) // 2
        low, high = (low, middle) if np.minimum(limits, middle).sum() >= n else (middle + 1, high)
    counts = np.minimum(limits, low)
    which = np.repeat(np.arange(len(limits)), counts)
    turn = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    ranks = np.concatenate([rng.random(count) for rng, count in zip(rngs, counts.tolist(), strict=True)])
    order = np.lexsort((ranks, turn))[:n]
    return which[order], turn[order]


def distinct_places(places: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n different numbers of 0 .. places - 1 in random order, int64 [n]; a larger n begins with a smaller one.

    Args:
        places: how many there are.
        n: how many to take, at most ``places``.
        rng: the source; one that has not been used gives the same numbers again.
    """
    if places <= SHUFFLED:
        return rng.permutation(places)[:n]
    drawn = np.empty(0, np.int64)
    while True:
        drawn = np.concatenate([drawn, rng.integers(0, places, SHUFFLED)])
        _, first = np.unique(drawn, return_index=True)
        if len(first) >= n:
            return drawn[np.sort(first)[:n]]


def cells_of(part: PhotoPart, places: np.ndarray) -> np.ndarray:
    """Return the cell of each position; a part is divided evenly into as many cells as it has disjoint crops."""
    rows, columns = np.divmod(places, part.wide)
    return rows * part.down // part.high * part.across + columns * part.across // part.wide
