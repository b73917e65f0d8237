"""Curation by a score of single images, and its control: as many candidates, and chance decides.

References:
    Self-consuming generative models with curated data provably optimize human preferences (Ferbach et al. 2024),
        arXiv:2407.09499: a loop that keeps the preferred samples raises their score and loses variety.
    Beyond model collapse: scaling up with synthesized data requires verification (Feng et al. 2024), arXiv:2406.07515.
    Rarity score: a new metric to evaluate the uncommonness of synthesized images (Han et al. 2023), arXiv:2206.08549.
"""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from .base import Candidates, Kept, ShareKept

__all__ = ["RandomFraction", "TopFraction"]


class TopFraction(ShareKept):
    """The best by a score: n / fraction candidates are drawn, and the n with the highest score are kept.

    Equal scores are decided by the order of drawing. ``best="low"`` is bottom-k: it keeps the n with the lowest score.
    What it needs: for realism and rarity ten real images or more; for freckles faces of a size that the counter is
    calibrated for; for detail images of 8 px or more.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
        score: an image score by name (``imagelab.metrics.image_scores.IMAGE_SCORES``): "realism", "detail",
            "freckles" or "rarity"; each says what it measures and what it rewards wrongly.
        best: "high" keeps the highest scores, "low" the lowest.

    Example:
        >>> TopFraction(fraction=0.25).candidates(100)
        400
    """

    kind: Literal["top_fraction"] = "top_fraction"
    score: Literal["realism", "detail", "freckles", "rarity"] = "realism"
    best: Literal["high", "low"] = "high"

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates with the best score."""
        from ..metrics.image_scores import IMAGE_SCORES

        began = time.monotonic()
        score = IMAGE_SCORES[self.score]
        scores = score.of(candidates.evidence)
        order = np.argsort(-scores if self.best == "high" else scores, kind="stable")
        looks = len(scores) + (len(candidates.real) if score.reads_real else 0)
        cost = {"candidates": float(len(scores)), "looks": float(looks), "seconds": round(time.monotonic() - began, 3)}
        return Kept(
            np.sort(order[:n]), f"{self.best}est {self.fraction:g} by {self.score} ({score.what})", scores, cost
        )


class RandomFraction(ShareKept):
    """The control of every other curation: n / fraction candidates are drawn, and chance decides which n are kept.

    It draws as many images as the others do and looks at none. A loop under it is, in law, the loop without curation.
    It needs nothing.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
    """

    kind: Literal["random_fraction"] = "random_fraction"

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return n candidates at random, without replacement, in the order of drawing."""
        m = len(candidates.images)
        rows = np.sort(candidates.rng.permutation(m)[:n])
        return Kept(rows, f"a random {self.fraction:g}", cost={"candidates": float(m), "looks": 0.0})
