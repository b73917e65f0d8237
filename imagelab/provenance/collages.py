"""Collages: a picture that is composed of rows of runs, without a change of size, on a regular grid.

Tiles of every size that the runs hold are looked for, with margins and gaps of 0 to 16 px. Of these grids the one with
the most known tiles at its upper and left edge is taken; then all its tiles are looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ledger import Ledger, Place

__all__ = ["Tiles", "tiles_in"]

WIDEST_GAP = 16
PROBED = 4  # tiles of the first row and column that are looked up to find the grid
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

        def known(corners: list[tuple[int, int]], tall: int = tall, wide: int = wide) -> list[list[Place]]:
            tiles = (image[:, y : y + tall, x : x + wide] for y, x in corners)
            return [[] if tile.min() == tile.max() else ledger.find(tile) for tile in tiles]  # an empty one is nobody's

        best: tuple[int, list[tuple[int, int]]] = 0, []
        for margin in range(min(WIDEST_GAP, height - tall, width - wide) + 1):
            for gap in range(WIDEST_GAP + 1):
                corners = _corners((height, width), (tall, wide), margin, gap)
                edges = [corner for corner in corners if corner[0] == margin][:PROBED]
                edges += [corner for corner in corners if corner[1] == margin][1:PROBED]
                count = sum(map(bool, known(edges)))
                best = max(best, (count, corners), key=lambda each: each[0])
        if best[0]:
            return Tiles(len(best[1]), tuple(places[0] for places in known(best[1]) if places))
    return None


def _corners(size: tuple[int, int], tile: tuple[int, int], margin: int, gap: int) -> list[tuple[int, int]]:
    """Return the upper left corners of the tiles of a grid, in reading order."""
    tops = range(margin, size[0] - tile[0] + 1, tile[0] + gap)
    lefts = range(margin, size[1] - tile[1] + 1, tile[1] + gap)
    return [(y, x) for y in tops for x in lefts][:MOST_TILES]
