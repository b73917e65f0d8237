"""Exact nearest neighbours among any number of points, in memory that their number does not enter.

A matrix product gives all squared distances of a block at once, |q|^2 + |r|^2 - 2 q.r, but with a rounding error of up
to c (|q|^2 + |r|^2), c = (2 D + 64) u, u = 6e-8 in float32: enough to make a copy look like a neighbour. So the product
only rules out: of the vectors (-2 q, (1 - c) |q|^2, 1) and (r, 1, (1 - c) |r|^2) it yields a lower bound of each
distance, every pair whose bound does not exceed what is found so far is measured again by direct difference in float64,
and nothing else can matter. The answer is that of looking at every pair: copies are at exactly 0, ties go to the lower
index, and neither block, device nor number of threads shows in it.

``nearest`` answers who is near; ``balls_holding`` counts the balls a point lies in, strictly; ``crossings`` counts for
the points and balls of two sets in one pass over their pairs.

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

__all__ = ["balls_holding", "crossings", "nearest", "nearest_in_blocks"]

QUERIES = 1024  # rows of a block of queries
REFERENCES = 4096  # rows of a block of references
FLOATS = 1 << 24  # numbers a block may hold: 64 MiB in float32
CROWD = 4  # pairs a query for each neighbour sought, above which the block's own nearest narrow the search first
PARTS = 64  # of a block, whose least bounds tell how near its nearest must be
SPARSE = 16  # times as many pairs as may lie within, from which on those are looked at one by one
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
    return crossings(points, centres, None, radii, device)[0][0]


def crossings(
    left: np.ndarray, right: np.ndarray, left_radii: np.ndarray | None, right_radii: np.ndarray, device: str = "cpu"
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Count which points of each of two sets lie strictly inside which balls around the points of the other.

    Args:
        left: float [N,D]. right: float [M,D].
        left_radii: float64 [N]; None where the left points have no balls. right_radii: float64 [M].
        device: torch device of the matrix product.

    Returns:
        ((right balls that hold each left point, int64 [N]; left points that each right ball holds, int64 [M]),
        (left balls that hold each right point, int64 [M]; right points that each left ball holds, int64 [N])), the
        latter two 0 where the left points have no balls.

    Raises:
        ValueError: for shapes that do not belong together, or values that are NaN or infinite.

    Example:
        >>> points, centres = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
        >>> [[each.tolist() for each in pair] for pair in crossings(points, centres, np.ones(2), np.full(2, 1.5))]
        [[[1, 2], [2, 1]], [[1, 0], [1, 0]]]
    """
    _check(left, right)
    for radii, centres in ((left_radii, left), (right_radii, right)):
        if radii is not None and radii.shape != (len(centres),):
            raise ValueError(f"balls_holding: expected a radius for each of {len(centres)} centres, got {radii.shape}")
    n, m = len(left), len(right)
    of_right, of_left = ((np.zeros(one, np.int64), np.zeros(other, np.int64)) for one, other in ((n, m), (m, n)))
    middle = right[:REFERENCES].mean(axis=0, dtype=np.float64)
    for first, rows in blocks(left, QUERIES):
        side, here = _Side(rows, middle, device), slice(first, first + len(rows))
        own = None if left_radii is None else left_radii[here]
        for start, block in blocks(right, REFERENCES):
            there = slice(start, start + len(block))
            bounds = _Bounds.for_balls(side, _Side(block, middle, device), own, right_radii[there])
            found = bounds.inside(right_radii[there], of_right=True)
            of_right[0][here] += found[0]
            of_right[1][there] += found[1]
            if own is not None:
                found = bounds.inside(own, of_right=False)
                of_left[0][there] += found[1]
                of_left[1][here] += found[0]
    return of_right, of_left


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


@dataclass(frozen=True, eq=False)
class _Bounds:
    """All squared distances of two sides by one matrix product: between ``lower``_ij and ``lower``_ij + w_i + v_j.

    Attributes:
        left, right: the sides. lower: [N,M]. widths: w [N] and v [M].
    """

    left: _Side
    right: _Side
    lower: Tensor
    widths: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, left: _Side, right: _Side, double: bool) -> _Bounds:
        """Return the bounds, in float32 or float64."""
        import torch

        (near, ours), (far, theirs) = (each.double if double else each.single for each in (left, right))
        # D + 2 products and sums, twice for 2 |q.r| <= |q|^2 + |r|^2 beside the norms; the rest for the roundings of
        # the norms, of the cast to float32 and of the limits that bounds are compared with
        c = (2 * near.shape[1] + 64) * torch.finfo(near.dtype).eps / 2
        rows = torch.cat([-2.0 * near, (1.0 - c) * ours[:, None], torch.ones_like(ours)[:, None]], 1)
        columns = torch.cat([far, torch.ones_like(theirs)[:, None], (1.0 - c) * theirs[:, None]], 1)
        lower = rows.new_empty(len(rows), len(columns))
        with full_precision():
            torch.matmul(rows, columns.T, out=lower)
        return cls(left, right, lower, (2.0 * c * ours, 2.0 * c * theirs))

    @classmethod
    def for_balls(cls, left: _Side, right: _Side, left_radii: np.ndarray | None, right_radii: np.ndarray) -> _Bounds:
        """Return the bounds, as narrow as balls of these radii need them."""
        reach = min(float(np.median(radii)) for radii in (left_radii, right_radii) if radii is not None)
        single = cls.of(left, right, double=False)
        return single if single.tell(reach) else cls.of(left, right, double=True)

    def tell(self, reach: float) -> bool:
        """Say whether rounding is small beside this distance, so that the bounds rule out most of what is farther."""
        return float(sum(each.mean() for each in self.widths)) <= 2.0 * COARSE * reach**2

    def inside(self, radii: np.ndarray, of_right: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return how many pairs of each row [N] and of each column [M] are nearer than the radius of that ball."""
        import torch

        squares = _squares(radii, self.lower)
        squares = squares if of_right else squares[:, None]
        near = self.lower <= squares
        shape, (wide, high) = near.shape, self.widths
        if SPARSE * int(near.count_nonzero()) <= near.numel():
            rows, columns = near.nonzero(as_tuple=True)
            limit = squares[columns] if of_right else squares[rows, 0]
            sure = self.lower[rows, columns] + wide[rows] + high[columns] < limit
            inside = [torch.bincount(each[sure], minlength=n) for each, n in zip((rows, columns), shape, strict=True)]
            rows, columns = rows[~sure], columns[~sure]
        else:
            sure = self.lower + wide[:, None] + high < squares
            inside = [sure.sum(1), sure.sum(0)]
            rows, columns = (near & ~sure).nonzero(as_tuple=True)
        rows, columns = rows.cpu().numpy(), columns.cpu().numpy()
        held = _apart(self.left.points, self.right.points, rows, columns) < radii[columns if of_right else rows]
        more = (np.bincount(each[held], minlength=n) for each, n in zip((rows, columns), shape, strict=True))
        of_rows, of_columns = (sure.cpu().numpy() + each for sure, each in zip(inside, more, strict=True))
        return of_rows, of_columns


def _promising(
    query: _Side, block: np.ndarray, reach: np.ndarray, k: int, own: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) of all pairs that may belong to the k nearest, all of them within ``reach`` [N]."""
    import torch

    other = _Side(block, query.centre, query.device)
    for double in (False, True):
        bounds = _Bounds.of(query, other, double)
        lower, limit = bounds.lower, _squares(reach, bounds.lower)
        diagonal = np.arange(0) if own is None else np.arange(max(0, -own), min(len(lower), len(block) - own))
        lower[diagonal, diagonal + (own or 0)] = torch.inf
        near = lower <= limit[:, None]
        if lower.shape[1] > k and int(near.count_nonzero()) > CROWD * k * len(lower):  # one spare, for the query itself
            limit = torch.minimum(limit, _kth_at_most(bounds, k))
            near = lower <= limit[:, None]
        near[diagonal, diagonal + (own or 0)] = False  # not even within an infinite reach
        if double or bounds.tell(float(limit.median().sqrt())):
            break
    rows, columns = near.nonzero(as_tuple=True)
    return rows.cpu().numpy(), columns.cpu().numpy()


def _kth_at_most(bounds: _Bounds, k: int) -> Tensor:
    """Return what each row's k-th smallest squared distance cannot exceed: [N].

    The k-th smallest of the least bounds of parts of the row, each of another pair: looked for among few.
    """
    lower, (wide, high) = bounds.lower, bounds.widths
    parts = max(PARTS, 4 * k)
    size = lower.shape[1] // parts
    least = lower[:, : parts * size].unflatten(1, (parts, size)).amin(2) if size > 1 else lower
    return least.topk(k, largest=False).values[:, -1] + wide + high.max()


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
