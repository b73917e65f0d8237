"""Pictures with known properties: cracked mud, the cells of random points with cracks of one width between them.

``cells`` points are uniformly distributed on the torus. A pixel belongs to the nearest point, and is part of a crack if
its distance to the boundary of its cell is below ``width / 2``. That distance is exact: the smallest
(d_j^2 - d_1^2) / (2 |p_j - p_1|) over all other points j. Known are the number of cells, the width of every crack, and
the mean length of all cracks, 2 sqrt(cells) size (a planar Poisson-Voronoi tessellation has edge length
2 sqrt(density) per unit area). So the share of cracks in the picture is about 2 sqrt(cells) width / size, a little less
because cracks overlap where they meet. Thin cracks hardly change a spectrum, but are obvious to the eye.

References:
    Stochastic geometry and its applications (Chiu, Stoyan, Kendall and Mecke 2013), doi:10.1002/9781118658222
    (the mean edge length).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from .synthetic import DrawnTexture

__all__ = ["CRACK_LEVEL", "Mud"]

CRACK_LEVEL = 0.16
"""Brightness of a crack, 0..1; cells are at least twice as bright."""

_FINE = 3
_CLAY = np.array([1.0, 0.82, 0.64])


class Mud(DrawnTexture):
    """Cracked mud with a known number of cells and a known width of cracks.

    Attributes:
        size: side of the pictures, pixels.
        cells: number of cells in a picture, on the torus (a cell cut by the border continues on the opposite side).
        width: width of the cracks, pixels.

    Example:
        >>> recipe = Mud(size=32, cells=9, width=2.0)
        >>> round(recipe.crack_share(), 4), recipe.load("train", 2, seed=0).images.shape
        (0.375, (2, 3, 32, 32))
    """

    drawn: ClassVar[bool] = True

    kind: Literal["mud"] = "mud"
    size: int = Field(default=64, ge=16, le=256)
    cells: int = Field(default=22, ge=3, le=200)
    width: float = Field(default=1.2, gt=0, le=16)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def crack_share(self) -> float:
        """Return the expected share of cracks in a picture, without subtracting overlaps where cracks meet."""
        return 2 * math.sqrt(self.cells) * self.width / self.size

    def card(self) -> str:
        """Return one paragraph: what is known about these pictures, and that they show no real ground."""
        return (
            f"Cracked mud of {self.size} x {self.size} pixels: {self.cells} cells per picture, cracks {self.width:g} "
            f"pixels wide, about {100 * self.crack_share():.3g} % of the area. Computed, not photographed; the licence "
            f"is that of imagelab. Lost structure can be counted: where blur removes a crack, two cells become one. "
            f"All pictures are of one kind, so they cannot show a loss of tails."
        )

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return one picture in grey levels: float64 [3,size,size]."""
        points = rng.uniform(0, self.size, (self.cells, 2))
        bright = rng.uniform(0.5, 0.8, self.cells)
        cell, depth = _cells(points, self.size, self.size * _FINE)
        domed = bright[cell] * (0.82 + 0.18 * np.clip(depth / 5, 0, 1))
        fine = np.where(depth < self.width / 2, CRACK_LEVEL, domed)
        grey = fine.reshape(self.size, _FINE, self.size, _FINE).mean((1, 3))
        return 255 * (grey * _CLAY[:, None, None])


def _cells(points: np.ndarray, size: float, fine: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each position of a fine grid and its distance to the cell's boundary, on the torus.

    Args:
        points: float64 [M,2], (y, x) in 0..size.
        size: side of the torus.
        fine: positions in each direction.

    Returns:
        int64 [fine,fine] cell numbers and float64 [fine,fine] distances, in the unit of ``size``.
    """
    grid = (np.arange(fine) + 0.5) * size / fine
    near = [_around(grid[:, None] - points[:, axis], size) for axis in (0, 1)]  # [fine,M] each
    squared = near[0][:, None] ** 2 + near[1][None] ** 2  # [fine,fine,M]
    cell = squared.argmin(-1)
    first = np.take_along_axis(squared, cell[..., None], -1)
    # |p_j - p_1|, with the copy of point j that is nearest to this position: from the signed offsets of both points
    y1, x1 = np.take_along_axis(near[0], cell, 1), np.take_along_axis(near[1], cell.T, 1).T
    apart = np.hypot(near[0][:, None] - y1[..., None], near[1][None] - x1[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        to_boundary = (squared - first) / (2 * apart)
    np.put_along_axis(to_boundary, cell[..., None], np.inf, -1)
    return cell, to_boundary.min(-1)


def _around(difference: np.ndarray, size: float) -> np.ndarray:
    """Return differences on a circle of length ``size``, in -size/2 .. size/2."""
    return (difference + size / 2) % size - size / 2
