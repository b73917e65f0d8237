"""Collages: a picture that is composed of rows of runs, without a change of size, on a regular grid.

Tiles of every size that the runs hold are looked for, with equal margins and gaps of 0 to 16 px. One tile of the first
row of tiles has to be known; then all tiles of that grid are looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ledger import Ledger, Place

__all__ = ["Tiles", "tiles_in"]

WIDEST_GAP = 16
PROBED = 4  # tiles of the first row of tiles that are looked up to find the grid
MOST_TILES = 10_000


@dataclass(frozen=True)
class Tiles:
    """What is known of a collage.

    Attributes:
        count: how many tiles its grid has.
        places: where the known ones lie in the runs, in reading order.
    """

    count: int
    places: tuple[Place, ...]


def tiles_in(image: np.ndarray, ledger: Ledger) -> Tiles | None:
    """Return the tiles of a collage; None where no tile is known, or the picture is no larger than a row.

    Args:
        image: uint8 [C,H,W].
        ledger: the runs that are searched.
    """
    height, width = image.shape[1:]
    for _, tall, wide in sorted(ledger.shapes, reverse=True):
        if height < tall or width < wide or (height, width) == (tall, wide):
            continue
        for margin in range(min(WIDEST_GAP, height - tall, width - wide) + 1):
            for gap in range(WIDEST_GAP + 1):
                corners = _corners((height, width), (tall, wide), margin, gap)
                first = [corner for corner in corners if corner[0] == margin][:PROBED]
                if any(ledger.find(image[:, y : y + tall, x : x + wide]) for y, x in first):
                    found = [ledger.find(image[:, y : y + tall, x : x + wide]) for y, x in corners]
                    return Tiles(len(corners), tuple(places[0] for places in found if places))
    return None


def _corners(size: tuple[int, int], tile: tuple[int, int], margin: int, gap: int) -> list[tuple[int, int]]:
    """Return the upper left corners of the tiles of a grid, in reading order."""
    tops = range(margin, size[0] - tile[0] + 1, tile[0] + gap)
    lefts = range(margin, size[1] - tile[1] + 1, tile[1] + gap)
    return [(y, x) for y in tops for x in lefts][:MOST_TILES]
