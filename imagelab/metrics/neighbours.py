"""Exact nearest neighbours among any number of points, in memory that does not depend on their number.

A matrix product gives all squared distances of a block at once,

    |q - r|^2 = |q|^2 + |r|^2 - 2 q.r,                                                          (1)

but with a rounding error of up to c (|q|^2 + |r|^2), c = (2 D + 64) u, u = 6e-8 in float32. That is large enough to
make a copy look like an ordinary neighbour. So the product is only used to exclude pairs. The scalar product

    (-2 q, (1 - c) |q|^2, 1) . (r, 1, (1 - c) |r|^2)                                            (2)

is a lower bound of the squared distance, and with 2 c (|q|^2 + |r|^2) added it is an upper bound. A pair is excluded
if its lower bound exceeds the k-th smallest distance known so far. The distance of every other pair is computed again
by direct difference in float64. The result is therefore the same as that of computing every pair directly: copies are
at exactly 0, ties go to the lower index, and the result does not depend on block size, device or number of threads.

``nearest`` returns the nearest points; ``balls_holding`` counts the balls that a point lies in (strictly inside);
``crossings`` counts for the points and balls of two sets in one pass over their pairs.

References:
    Accuracy and stability of numerical algorithms (Higham 2002), doi:10.1137/1.9780898718027, section 3.1: the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..io.large_arrays import blocks_of
from .features import full_precision

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["balls_holding", "crossings", "nearest", "nearest_in_blocks"]

QUERIES = 1024  # rows of a block of queries
REFERENCES = 4096  # rows of a block of references
FLOATS = 1 << 24  # numbers a block may hold: 64 MiB in float32
CROWD = 4  # with more candidate pairs than this times k N, the limit is first lowered by _kth_at_most
PARTS = 64  # parts that a row of bounds is divided into by _kth_at_most
SPARSE = 16  # if at most 1 in 16 pairs may lie inside a ball, only those pairs are processed, as a list of indices
COARSE = 0.02  # rounding error / squared distance above which float32 bounds exclude too few pairs


def nearest(
    query: np.ndarray, reference: np.ndarray, k: int = 1, exclude_self: bool = False, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's k nearest references, nearest first.

    Args:
        query: float [N,D], or a memory map of one.
        reference: float [M,D], or a memory map of one.
        k: number of neighbours; 1 <= k <= M.
        exclude_self: query i is reference i, and is not counted as its own neighbour; then k < M.
        device: torch device of the matrix product; the result is the same on any device.

    Returns:
        (index int64 [N,k], Euclidean distance float64 [N,k]); among equal distances the lower index comes first.

    Raises:
        ValueError: for shapes that do not match, k out of range, or values that are NaN or infinite.

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
        neighbours = nearest_in_blocks(rows, (block for _, block in blocks(reference, REFERENCES)), k, own, device)
        index[first : first + len(rows)], distance[first : first + len(rows)] = neighbours
    return index, distance


def nearest_in_blocks(
    query: np.ndarray, references: Iterable[np.ndarray], k: int = 1, own: int | None = None, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's k nearest among references that are read only once, block by block.

    Args:
        query: float [N,D], all in memory at once.
        references: blocks, float [B,D] each; rows are numbered consecutively over all blocks.
        k: number of neighbours; the blocks together must hold at least as many rows.
        own: query i is reference own + i, and is not counted as its own neighbour; None if the two sets are different.
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
        pairs = _candidates(side, block, best[1][:, -1], k, None if own is None else own - first)
        best = _merged(*best, pairs[0], pairs[1] + first, _apart(query, block, *pairs))
        first += len(block)
    if not np.isfinite(best[1]).all():
        raise ValueError(f"nearest: expected at least {k} references besides the query itself, got {first}")
    return best


def balls_holding(points: np.ndarray, centres: np.ndarray, radii: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Count the balls that contain each point: those whose centre is strictly nearer than their radius.

    Args:
        points: float [N,D].
        centres: float [M,D].
        radii: float64 [M].
        device: torch device of the matrix product.

    Returns:
        int64 [N].

    Raises:
        ValueError: for shapes that do not match, or values that are NaN or infinite.

    Example:
        >>> balls_holding(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]]), np.array([1.0, 1.5])).tolist()
        [1, 1]
    """
    return crossings(points, centres, None, radii, device)[0][0]


def crossings(
    left: np.ndarray, right: np.ndarray, left_radii: np.ndarray | None, right_radii: np.ndarray, device: str = "cpu"
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Count which points of each of two sets lie strictly inside which balls around the points of the other set.

    Args:
        left: float [N,D].
        right: float [M,D].
        left_radii: float64 [N]; None if the left points have no balls.
        right_radii: float64 [M].
        device: torch device of the matrix product.

    Returns:
        ((number of right balls that contain each left point, int64 [N]; number of left points in each right ball,
        int64 [M]), (number of left balls that contain each right point, int64 [M]; number of right points in each left
        ball, int64 [N])). The second pair is 0 if the left points have no balls.

    Raises:
        ValueError: for shapes that do not match, or values that are NaN or infinite.

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
        side, left_rows = _Side(rows, middle, device), slice(first, first + len(rows))
        own = None if left_radii is None else left_radii[left_rows]
        for start, block in blocks(right, REFERENCES):
            right_rows = slice(start, start + len(block))
            bounds = _Bounds.for_balls(side, _Side(block, middle, device), own, right_radii[right_rows])
            per_row, per_column = bounds.inside(right_radii[right_rows], of_right=True)
            of_right[0][left_rows] += per_row
            of_right[1][right_rows] += per_column
            if own is not None:
                per_row, per_column = bounds.inside(own, of_right=False)
                of_left[0][right_rows] += per_column
                of_left[1][left_rows] += per_row
    return of_right, of_left


def blocks(points: np.ndarray, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number of the first row, rows) of blocks that hold at most 2^24 numbers and ``most`` rows."""
    size = max(16, min(most, FLOATS // max(points.shape[1], 1)))
    for rows, block in blocks_of(points, size):
        yield rows.start, block


def _check(left: np.ndarray, right: np.ndarray) -> None:
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"neighbours: expected [N,D] and [M,D], got {left.shape} and {right.shape}")


@dataclass(frozen=True, eq=False)
class _Side:
    """The points of one side of the matrix product, centred.

    Centring does not change |q - r|, and it reduces the rounding error, which grows with |q| and |r|.
    """

    points: np.ndarray
    centre: np.ndarray
    device: str

    @cached_property
    def single(self) -> tuple[Tensor, Tensor]:
        """The points [N,D] in float32, and their squared norms [N]."""
        return self._centred(np.float32 if self.points.dtype == np.float32 else np.float64, np.float32)

    @cached_property
    def double(self) -> tuple[Tensor, Tensor]:
        """The points and their squared norms in float64."""
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
        left: the points of the rows.
        right: the points of the columns.
        lower: the lower bounds of equation (2), [N,M].
        widths: w [N] and v [M].
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
        # The rounding error of equation (2) is at most c (|q|^2 + |r|^2). The product sums D + 2 terms; the factor 2
        # holds because 2 |q.r| <= |q|^2 + |r|^2 is added to the norms. The 64 covers the rounding of the norms, of the
        # cast to float32, and of the limits that the bounds are compared with.
        c = (2 * near.shape[1] + 64) * torch.finfo(near.dtype).eps / 2
        rows = torch.cat([-2.0 * near, (1.0 - c) * ours[:, None], torch.ones_like(ours)[:, None]], 1)
        columns = torch.cat([far, torch.ones_like(theirs)[:, None], (1.0 - c) * theirs[:, None]], 1)
        lower = rows.new_empty(len(rows), len(columns))
        with full_precision():  # TF32 would break the error bound
            torch.matmul(rows, columns.T, out=lower)
        return cls(left, right, lower, (2.0 * c * ours, 2.0 * c * theirs))

    @classmethod
    def for_balls(cls, left: _Side, right: _Side, left_radii: np.ndarray | None, right_radii: np.ndarray) -> _Bounds:
        """Return bounds that are narrow enough for balls of these radii: float32 where that suffices, else float64."""
        reach = min(float(np.median(radii)) for radii in (left_radii, right_radii) if radii is not None)
        single = cls.of(left, right, double=False)
        return single if single.narrow_for(reach) else cls.of(left, right, double=True)

    def narrow_for(self, reach: float) -> bool:
        """Return whether rounding is small compared with this distance: the bounds then exclude most farther pairs."""
        return float(sum(each.mean() for each in self.widths)) <= 2.0 * COARSE * reach**2

    def inside(self, radii: np.ndarray, of_right: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return how many pairs of each row [N] and of each column [M] are nearer than the radius of that ball.

        Args:
            radii: radius of the ball of each column [M], or of each row [N].
            of_right: whether the balls belong to the columns.
        """
        import torch

        squares = _squares(radii, self.lower)
        squares = squares if of_right else squares[:, None]
        near = self.lower <= squares  # only these pairs can lie inside
        shape, (wide, high) = near.shape, self.widths
        if SPARSE * int(near.count_nonzero()) <= near.numel():
            rows, columns = near.nonzero(as_tuple=True)
            limit = squares[columns] if of_right else squares[rows, 0]
            sure = self.lower[rows, columns] + wide[rows] + high[columns] < limit  # upper bound below the radius
            inside = [torch.bincount(each[sure], minlength=n) for each, n in zip((rows, columns), shape, strict=True)]
            rows, columns = rows[~sure], columns[~sure]
        else:
            sure = self.lower + wide[:, None] + high < squares
            inside = [sure.sum(1), sure.sum(0)]
            rows, columns = (near & ~sure).nonzero(as_tuple=True)
        # The bounds decide neither way for the remaining pairs: compute their distance directly in float64.
        rows, columns = rows.cpu().numpy(), columns.cpu().numpy()
        held = _apart(self.left.points, self.right.points, rows, columns) < radii[columns if of_right else rows]
        more = (np.bincount(each[held], minlength=n) for each, n in zip((rows, columns), shape, strict=True))
        of_rows, of_columns = (sure.cpu().numpy() + each for sure, each in zip(inside, more, strict=True))
        return of_rows, of_columns


def _candidates(
    query: _Side, block: np.ndarray, reach: np.ndarray, k: int, own: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) of all pairs that may belong to the k nearest.

    Args:
        query: the queries, N points.
        block: the references of this block, float [B,D].
        reach: distance of each query's k-th neighbour so far, float64 [N]; infinite if it has fewer.
        k: number of neighbours.
        own: query i is row own + i of the block, and is excluded; None if the two sets are different.
    """
    import torch

    other = _Side(block, query.centre, query.device)
    for double in (False, True):  # float64 only where the float32 bounds exclude too few pairs
        bounds = _Bounds.of(query, other, double)
        lower, limit = bounds.lower, _squares(reach, bounds.lower)
        diagonal = np.arange(0) if own is None else np.arange(max(0, -own), min(len(lower), len(block) - own))
        lower[diagonal, diagonal + (own or 0)] = torch.inf
        near = lower <= limit[:, None]
        if lower.shape[1] > k and int(near.count_nonzero()) > CROWD * k * len(lower):  # one spare, for the query itself
            limit = torch.minimum(limit, _kth_at_most(bounds, k))
            near = lower <= limit[:, None]
        near[diagonal, diagonal + (own or 0)] = False  # inf <= inf is true: exclude the query itself explicitly
        if double or bounds.narrow_for(float(limit.median().sqrt())):
            break
    rows, columns = near.nonzero(as_tuple=True)
    return rows.cpu().numpy(), columns.cpu().numpy()


def _kth_at_most(bounds: _Bounds, k: int) -> Tensor:
    """Return an upper bound of each row's k-th smallest squared distance: [N].

    Each row of lower bounds is divided into parts, and each part has one smallest bound. At least k different pairs
    have a lower bound of at most the k-th smallest of these, b, so at least k squared distances are at most b plus the
    widths. Searching the few minima is much faster than searching the whole row.
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
    """Return |left[rows] - right[columns]| by direct difference: float64, equal if left and right are exchanged."""
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
    """Return the k best of the current neighbours, index and distance [N,k], and of new pairs (row, column, distance).

    The k current pairs of each row take part, so that every row has at least k pairs after sorting.
    """
    n, k = index.shape
    rows = np.concatenate([np.repeat(np.arange(n), k), rows])
    columns, apart = np.concatenate([index.ravel(), columns]), np.concatenate([distance.ravel(), apart])
    order = np.lexsort((columns, apart, rows))
    starts = np.searchsorted(rows[order], np.arange(n))
    chosen = order[starts[:, None] + np.arange(k)]
    return columns[chosen], apart[chosen]
