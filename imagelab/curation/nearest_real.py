"""Curation by nearness to real images, each of which may vouch for a few candidates only.

References:
    Self-correcting self-consuming loops for generative model training (Gillman et al. 2024), arXiv:2402.07087: samples
        are corrected towards real data before the next training.
    Matching methods for causal inference: a review and a look forward (Stuart 2010), doi:10.1214/09-STS313: greedy
        nearest-neighbour matching, with and without replacement.
"""

from __future__ import annotations

import heapq
import time
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .base import Candidates, Kept, ShareKept, features_of

__all__ = ["NearestReal", "greedy_match"]

LISTED = 16  # nearest real images that are looked up at a time


class NearestReal(ShareKept):
    """The nearest to real images, while no real image attracts more than a few of those that are kept.

    Pairs of a candidate and a real image are taken in the order of their distance in the features of
    ``imagelab-ssl-v1``: the candidate is kept, unless the real image has attracted ``most`` already; then the candidate
    may still be kept for its next nearest real image. Without the limit (TopFraction by realism) a few common real
    images attract nearly all. Score: minus the distance of the pair, in units of the real images' own nearest
    distances; of a candidate that is not kept, of the pair that was next.

    What it needs: ten real images or more, and at least n / most of them. Differs from the paper: images are chosen,
    none is changed. It follows the held-out real images of the run, those that the metrics compare with as well.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
        most: kept candidates for each real image, 1 or more.
    """

    kind: Literal["nearest_real"] = "nearest_real"
    most: Annotated[int, Field(ge=1)] = 2

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates that are kept, in the order of drawing; see greedy_match."""
        from ..metrics.neighbours import nearest

        began, m = time.monotonic(), len(candidates.images)
        if n > self.most * len(candidates.real):
            raise ValueError(
                f"expected {n} images kept, at most {self.most} for each of {len(candidates.real)} real images: raise "
                f"`most` to {-(-n // len(candidates.real))}, or `heldout` to {-(-n // self.most)}"
            )
        real, made = features_of(candidates)
        _, own = nearest(real, real, exclude_self=True, device=candidates.device)
        rows, apart = greedy_match(made, real, n, self.most, candidates.device)
        scores = -apart / max(float(np.median(own[:, 0])), 1e-12)
        looks, width, seconds = float(m + len(real)), float(made.shape[1]), round(time.monotonic() - began, 3)
        cost = {"candidates": float(m), "looks": looks, "features": width, "seconds": seconds}
        reason = f"nearest {self.fraction:g} to real images, at most {self.most} for each of {len(real)}"
        return Kept(np.sort(rows), reason, scores, cost)


def greedy_match(
    points: np.ndarray, targets: np.ndarray, n: int, most: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return n points matched to targets, the nearest pairs first, at most ``most`` points to a target.

    Args:
        points: float [M,D].
        targets: float [R,D], R >= n / most.
        n: points to match, at most M.
        most: points that a target may have.
        device: torch device of the distances.

    Returns:
        (rows int64 [n] in the order of matching, distance float64 [M]): of a matched point, to its target; of another
        one, to the nearest target that was open when it was last looked at. Among equal distances the lower row goes
        first. The result is that of sorting all M R pairs.

    Example:
        >>> points, targets = np.array([[0.0], [0.1], [5.0]]), np.array([[0.0], [4.0]])
        >>> greedy_match(points, targets, 2, most=1)[0].tolist()
        [0, 2]
    """
    from ..metrics.neighbours import nearest

    index, distance = nearest(points, targets, min(LISTED, len(targets)), device=device)
    lists = list(zip(index, distance, strict=True))
    queue = [(float(apart[0]), row, 0) for row, (_, apart) in enumerate(lists)]
    heapq.heapify(queue)
    room, rows, final = np.full(len(targets), most), [], distance[:, 0].copy()
    while len(rows) < n:
        final_apart, row, place = heapq.heappop(queue)
        final[row], target = final_apart, lists[row][0][place]
        if room[target]:
            room[target] -= 1
            rows.append(row)
            continue
        if place + 1 == len(lists[row][0]):
            lists[row] = _list(points[row], targets, min(8 * (place + 1), len(targets)))
        if place + 1 < len(lists[row][0]):
            final[row] = float(lists[row][1][place + 1])
            heapq.heappush(queue, (final[row], row, place + 1))
    return np.array(rows, np.int64), final


def _list(point: np.ndarray, targets: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (index, distance) of a point's nearest targets, as metrics/neighbours.py has them."""
    apart = targets.astype(np.float64) - point
    distance = np.sqrt((apart * apart).sum(axis=1))
    order = np.argsort(distance, kind="stable")[:length]
    return order, distance[order]
