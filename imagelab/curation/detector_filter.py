"""Curation by a detector of generated images.

References:
    Machine-generated text detection prevents language model collapse (Drayson, Yilmaz and Lampos 2025),
        arXiv:2502.15654.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .base import Candidates, Kept, ShareKept, features_of

__all__ = ["DetectorFilter"]


class DetectorFilter(ShareKept):
    """The most real by a detector: n / fraction candidates are drawn, and the n that look least generated are kept.

    The detector is that of the metric ``detector/spectrum+SPACE``: logistic regression on features and log radial
    powers. It is fitted anew in every generation, on held-out real images and on candidates. It is cross-fitted: the
    candidates are divided into five parts, and each is scored by a detector that has seen the other four only. The
    score is the log-odds of being real.

    What it needs: real images of the run, ten or more, as a person who trains a detector does; two candidates or more.
    Below some hundred of each it learns little. Differs from the paper: images instead of text, a linear detector, and
    the n best are kept, where the paper resamples by weights.

    It rewards what separates a candidate from the other candidates, so that a rare kind of real image that the detector
    has not seen may be thrown away: see ``attributes`` in curation.json.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
        error: share of the candidates about which chance decides, 0..1: their scores are exchanged at random among
            them. 0 is the detector as good as it is, 1 keeps a random choice.
    """

    kind: Literal["detector_filter"] = "detector_filter"
    error: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates with the highest log-odds of being real."""
        from ..metrics.detector import cross_fitted_odds, placements

        began, m = time.monotonic(), len(candidates.images)
        if m < 2:
            raise ValueError("a detector learns from other candidates than it judges: expected 2 or more, got 1")
        real, made = features_of(candidates, spectrum=True)
        of_real, of_made = cross_fitted_odds(real, made, candidates.rng)
        scores = -of_made
        blind = candidates.rng.permutation(m)[: round(self.error * m)]
        scores[blind] = scores[candidates.rng.permutation(blind)]
        rows = np.sort(np.argsort(-scores, kind="stable")[:n])
        area = float(placements(of_real, of_made)[0].mean())
        reason = f"most real {self.fraction:g} by a detector (AUC {area:.2f} on images it was not fitted on)"
        reason += f", chance in {self.error:g} of the decisions" if self.error else ""
        looks, width = float(m + len(candidates.real)), float(made.shape[1])
        seconds = round(time.monotonic() - began, 3)
        cost = {"candidates": float(m), "looks": looks, "features": width, "seconds": seconds}
        return Kept(rows, reason, scores, cost)
