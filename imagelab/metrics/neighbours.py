"""Exact nearest neighbours among any number of points, in memory that their number does not enter.

A matrix product gives all squared distances of a block at once, |q|^2 + |r|^2 - 2 q.r, but with a rounding error of up
to (D + c) u (|q|^2 + |r|^2), u = 6e-8 in float32: enough to make a copy look like a neighbour. So the product only
rules out: it yields a lower bound of each distance, every pair whose bound does not exceed what is found so far is
measured again by direct difference in float64, and nothing else can matter. The answer is that of looking at every
pair: copies are at exactly 0, ties go to the lower index, and neither block, device nor number of threads shows in it.

``nearest`` answers who is near; ``balls_holding`` counts the balls a point lies in, strictly.

References:
    Accuracy and stability of numerical algorithms (Higham 2002), doi:10.1137/1.9780898718027, section 3.1: the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .features import full_precision

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["balls_holding", "nearest", "nearest_in_blocks"]

QUERIES = 1024  # rows of a block of queries
REFERENCES = 4096  # rows of a block of references
FLOATS = 1 << 24  # numbers a block may hold: 64 MiB in float32
CROWD = 4  # pairs a query for each neighbour sought, above which the block's own nearest narrow the search first
COARSE = 0.02  # rounding over squared distance above which float32 rules out too little


def nearest(
    query: np.ndarray, reference: np.ndarray, k: int = 1, exclude_self: bool = False, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's k nearest references, nearest first.

    Args:
        query: float [N,D], or a memory map of one.
        reference: float [M,D], likewise.
        k: how many; 1 <= k <= M.
        exclude_self: query i is reference i and no neighbour of itself; then k < M.
        device: torch device of the matrix product; the answer is the same on any.

    Returns:
        (index int64 [N,k], Euclidean distance float64 [N,k]); of equally near ones the lower index comes first.

    Raises:
        ValueError: for shapes that do not belong together, k out of range, or values that are NaN or infinite.

    Example:
        >>> points = np.array([[0.0], [1.0], [3.0]])
        >>> nearest(points, points, k=2, exclude_self=True)[0].tolist()
        [[1, 2], [0, 2], [1, 0]]
    """
    _check(query, reference)
    if exclude_self and len(query) != len(reference):
        raise ValueError(f"nearest: with exclude_self both sets are one, got {len(query)} and {len(reference)} points")
    if not 1 <= k <= len(reference) - exclude_self:
        raise ValueError(f"nearest: expected 1 <= k <= {len(reference) - exclude_self}, got {k}")
    index, distance = np.empty((len(query), k), np.int64), np.empty((len(query), k))
    for first, rows in blocks(query, QUERIES):
        own = first if exclude_self else None
        found = nearest_in_blocks(rows, (block for _, block in blocks(reference, REFERENCES)), k, own, device)
        index[first : first + len(rows)], distance[first : first + len(rows)] = found
    return index, distance


def nearest_in_blocks(
    query: np.ndarray, references: Iterable[np.ndarray], k: int = 1, own: int | None = None, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's k nearest among references that pass by only once, block after block.

    Args:
        query: float [N,D], all held at once.
        references: float [B,D] each; numbered through in the order they come.
        k: how many; the blocks together must hold as many.
        own: query i is reference own + i and no neighbour of itself; None where the sets are two.
        device: torch device of the matrix product.

    Returns:
        (index int64 [N,k], distance float64 [N,k]), as from :func:`nearest`.

    Raises:
        ValueError: for fewer than k references, or values that are NaN or infinite.
    """
    best = np.full((len(query), k), -1, np.int64), np.full((len(query), k), np.inf)
    first, side = 0, None
    for block in references:
        side = side or _Side(query, block.mean(axis=0, dtype=np.float64), device)
        pairs = _promising(side, block, best[1][:, -1], k, None if own is None else own - first)
        best = _merged(*best, pairs[0], pairs[1] + first, _apart(query, block, *pairs))
        first += len(block)
    if not np.isfinite(best[1]).all():
        raise ValueError(f"nearest: expected at least {k} references besides the query itself, got {first}")
    return best


def balls_holding(points: np.ndarray, centres: np.ndarray, radii: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Count the balls that hold each point: those whose centre is strictly nearer than their radius.

    Args:
        points: float [N,D]. centres: float [M,D].
        radii: float64 [M].
        device: torch device of the matrix product.

    Returns:
        int64 [N].

    Raises:
        ValueError: for shapes that do not belong together, or values that are NaN or infinite.

    Example:
        >>> balls_holding(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]]), np.array([1.0, 1.5])).tolist()
        [1, 1]
    """
    _check(points, centres)
    if radii.shape != (len(centres),):
        raise ValueError(f"balls_holding: expected a radius for each of {len(centres)} centres, got {radii.shape}")
    counts = np.zeros(len(points), np.int64)
    middle = centres[:REFERENCES].mean(axis=0, dtype=np.float64)
    for first, rows in blocks(points, QUERIES):
        side = _Side(rows, middle, device)
        for start, block in blocks(centres, REFERENCES):
            counts[first : first + len(rows)] += _held(side, block, radii[start : start + len(block)])
    return counts


def blocks(points: np.ndarray, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number of the first row, rows) of blocks that hold at most 2^24 numbers and ``most`` rows."""
    size = max(16, min(most, FLOATS // max(points.shape[1], 1)))
    for first in range(0, len(points), size):
        yield first, points[first : first + size]


def _check(left: np.ndarray, right: np.ndarray) -> None:
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"neighbours: expected [N,D] and [M,D], got {left.shape} and {right.shape}")


@dataclass(frozen=True, eq=False)
class _Side:
    """Points on one side of the product, centred: |q - r| does not change, and rounding grows with |q| and |r|."""

    points: np.ndarray
    centre: np.ndarray
    device: str

    @cached_property
    def single(self) -> tuple[Tensor, Tensor]:
        """The points [N,D] in float32, and their squared norms [N]."""
        return self._centred(np.float32 if self.points.dtype == np.float32 else np.float64, np.float32)

    @cached_property
    def double(self) -> tuple[Tensor, Tensor]:
        """The same in float64."""
        return self._centred(np.float64, np.float64)

    def _centred(self, wide: type, narrow: type) -> tuple[Tensor, Tensor]:
        import torch

        centred = (self.points.astype(wide) - self.centre.astype(wide)).astype(narrow, copy=False)
        points = torch.from_numpy(centred).to(self.device)
        norms = points.square().sum(1, dtype=torch.float64).to(points.dtype)
        if not bool(torch.isfinite(norms).all()):
            raise ValueError("neighbours: expected finite points, got some that are NaN or infinite")
        return points, norms


def _squared(left: _Side, right: _Side, double: bool) -> tuple[Tensor, Tensor]:
    """Return all squared distances [N,M] by one matrix product, and how far each may be off."""
    import torch

    (near, ours), (far, theirs) = (each.double if double else each.single for each in (left, right))
    both = ours[:, None] + theirs
    with full_precision():
        squared = torch.addmm(both, near, far.T, alpha=-2.0)
    # D products and sums, and a few roundings more for the norms, the cast to float32 and the limits compared with
    return squared, both * ((near.shape[1] + 32) * torch.finfo(near.dtype).eps / 2)


def _promising(
    query: _Side, block: np.ndarray, reach: np.ndarray, k: int, own: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) of all pairs that may belong to the k nearest, all of them within ``reach`` [N]."""
    import torch

    other = _Side(block, query.centre, query.device)
    for double in (False, True):
        squared, slack = _squared(query, other, double)
        lower = squared - slack
        if own is not None:
            rows = np.arange(max(0, -own), min(len(lower), len(block) - own))
            lower[rows, rows + own] = torch.nan  # not even within an infinite reach
        near = lower <= _squares(reach, lower)[:, None]
        crowded = np.flatnonzero((near.sum(1) > CROWD * k).cpu().numpy())
        if len(crowded) and lower.shape[1] > k:  # one spare, for the query itself
            first = lower[crowded].topk(k, largest=False).indices.cpu().numpy()
            apart = _apart(query.points, block, np.repeat(crowded, k), first.ravel()).reshape(-1, k)
            reach = reach.copy()
            reach[crowded] = np.minimum(reach[crowded], apart.max(axis=1))
            near = lower <= _squares(reach, lower)[:, None]
        if double or float(slack.mean()) <= COARSE * float(np.median(reach)) ** 2:
            break
    rows, columns = near.nonzero(as_tuple=True)
    return rows.cpu().numpy(), columns.cpu().numpy()


def _held(points: _Side, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return how many of the balls hold each point: int64 [N]."""
    other = _Side(centres, points.centre, points.device)
    squared, slack = _squared(points, other, double=False)
    if float(slack.mean()) > COARSE * float(np.median(radii)) ** 2:
        squared, slack = _squared(points, other, double=True)
    reach = _squares(radii, squared)
    sure = squared + slack < reach
    unsure = (squared - slack <= reach) & ~sure
    rows, columns = (each.cpu().numpy() for each in unsure.nonzero(as_tuple=True))
    inside = _apart(points.points, centres, rows, columns) < radii[columns]
    return sure.sum(1).cpu().numpy() + np.bincount(rows[inside], minlength=len(sure))


def _squares(distances: np.ndarray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(distances**2).to(like)


def _apart(left: np.ndarray, right: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return |left[rows] - right[columns]| by direct difference: float64, the same in either direction."""
    distance = np.empty(len(rows))
    size = max(1, FLOATS // 8 // left.shape[1])
    for first in range(0, len(rows), size):
        part = slice(first, first + size)
        difference = left[rows[part]].astype(np.float64) - right[columns[part]]
        distance[part] = np.sqrt((difference * difference).sum(axis=1))
    return distance


def _merged(
    index: np.ndarray, distance: np.ndarray, rows: np.ndarray, columns: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of those found so far, [N,k] each, and of new pairs (row, column, distance)."""
    n, k = index.shape
    rows = np.concatenate([np.repeat(np.arange(n), k), rows])
    columns, apart = np.concatenate([index.ravel(), columns]), np.concatenate([distance.ravel(), apart])
    order = np.lexsort((columns, apart, rows))
    starts = np.searchsorted(rows[order], np.arange(n))
    chosen = order[starts[:, None] + np.arange(k)]
    return columns[chosen], apart[chosen]
