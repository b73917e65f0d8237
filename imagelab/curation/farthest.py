"""Curation for variety: farthest-point selection in feature space.

References:
    A closer look at model collapse: from a generalization-to-memorization perspective (Shi et al. 2025),
        arXiv:2509.16499: greedy selection keeps the entropy of the training set.
    Clustering to minimize the maximum intercluster distance (Gonzalez 1985), doi:10.1016/0304-3975(85)90224-5.
"""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from .base import Candidates, Kept, ShareKept, features_of

__all__ = ["Farthest", "farthest_points"]

NUMBERS = 1 << 22  # numbers of a block of differences: 32 MiB


class Farthest(ShareKept):
    """The most various: each next image kept is the one farthest from all that are kept already.

    It is the greedy k-centre selection of Gonzalez, in the features of ``imagelab-ssl-v1`` in units of the real images'
    spread; the first image is drawn at random. No candidate is farther from a kept image than twice the least distance
    that any choice of n could reach. Distances are exact, in float64.

    What it needs: ten real images or more, for the unit of each feature only; n passes over the candidates' features.
    It prefers whatever is unusual: broken images are far from everything. Differs from the paper: other features, and a
    generation of its own each time instead of all images so far.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
    """

    kind: Literal["farthest"] = "farthest"

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates of a farthest-point selection, in the order of drawing; see farthest_points."""
        began, m = time.monotonic(), len(candidates.images)
        real, made = features_of(candidates)
        rows, scores = farthest_points(made, n, int(candidates.rng.integers(m)))
        looks, width, seconds = float(m + len(real)), float(made.shape[1]), round(time.monotonic() - began, 3)
        cost = {"candidates": float(m), "looks": looks, "features": width, "seconds": seconds}
        return Kept(np.sort(rows), f"{self.fraction:g} that are farthest from each other", scores, cost)


def farthest_points(points: np.ndarray, n: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n points chosen one after the other, each the farthest from those chosen before.

    Args:
        points: float [M,D].
        n: how many, 1..M.
        first: row of the first one.

    Returns:
        (rows int64 [n] in the order of choice, distance float64 [M]). The distance of a chosen point is that to the
        nearest one chosen before it, when it was chosen; for the first, to the farthest point of all. That of another
        point is to the nearest chosen one. No other point's distance exceeds that of a chosen one. Among equal
        distances the lower row is chosen.

    Example:
        >>> farthest_points(np.array([[0.0], [1.0], [5.0], [9.0]]), 3, first=0)[0].tolist()
        [0, 3, 2]
    """
    gaps, chosen = np.full(len(points), np.inf), np.empty(n, np.int64)
    reached = np.empty(n)
    size = max(1, NUMBERS // max(points.shape[1], 1))
    for step in range(n):
        row = first if step == 0 else int(np.argmax(gaps))
        chosen[step], reached[step] = row, gaps[row]
        for start in range(0, len(points), size):
            apart = points[start : start + size].astype(np.float64) - points[row]
            part = gaps[start : start + size]
            np.minimum(part, np.sqrt((apart * apart).sum(axis=1)), out=part)
        if step == 0:
            reached[0] = gaps.max()
        gaps[chosen[: step + 1]] = -1.0  # copies of a kept image are at 0: still eligible, a kept one is not
    gaps[chosen] = reached
    return chosen, gaps
