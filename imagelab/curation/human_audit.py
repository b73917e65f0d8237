"""Curation by people, who look at candidates and keep or reject each of them.

References:
    Self-consuming generative models with curated data provably optimize human preferences (Ferbach et al. 2024),
        arXiv:2407.09499.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .base import Candidates, Kept, ShareKept, features_of

__all__ = ["HumanAudit"]

SOFT = 0.01  # inverse strength of the penalty: there are more features than decisions


class HumanAudit(ShareKept):
    """People decide: n / fraction candidates are drawn, the run stops, and goes on with what people keep.

    ``imagelab run`` stops with exit code 4 when the candidates of a generation are drawn. ``imagelab audit RUN`` shows
    them, and ``imagelab resume RUN`` goes on with the decisions. Several people may decide, each under a name of their
    own; the run goes on with those who have finished.

    Exactly n images are published, however many people keep. The score of a candidate is the share of the people who
    keep it, and the n highest scores are published. Equal scores are decided by chance. So if more than n are kept, a
    random choice of them is published; if fewer, some rejected ones are published as well, and ``reason`` in
    curation.json says how many.

    Of more candidates than ``looks`` people see a random part. The others are judged by a linear classifier (ridge
    logistic regression on the features that distances use), which learns from these decisions in this generation; its
    score is the probability of being kept. If everything was kept, or everything rejected, there is nothing to learn,
    and chance decides among the others. With fewer than some ten looks of each kind it learns little.

    What people decide is data of the run, not one of its settings: two people give one experiment two results.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
        looks: how many candidates of a generation people look at, some minutes for 100; None, or more than there are,
            for all of them.

    Example:
        >>> HumanAudit(fraction=0.5, looks=40).candidates(100)
        200
    """

    kind: Literal["human_audit"] = "human_audit"
    looks: Annotated[int, Field(ge=2)] | None = 100

    def to_look_at(self, m: int, rng: np.random.Generator) -> np.ndarray:
        """Return the rows that people decide about, a random part of the candidates: int64 [L], sorted."""
        return np.sort(rng.permutation(m)[: min(self.looks or m, m)]).astype(np.int64)

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates with the highest scores.

        Raises:
            ValueError: if nobody has decided about them.
        """
        began, m, judged = time.monotonic(), len(candidates.images), candidates.judged
        if judged is None:
            raise ValueError("nobody has decided about these candidates: imagelab audit RUN")
        seen = np.isfinite(judged)
        scores, told = np.where(seen, judged, 0.0), ""
        if not seen.all():
            scores[~seen], told = _predicted(candidates, judged, seen)
        chance = candidates.rng.permutation(m)
        order = chance[np.argsort(-scores[chance], kind="stable")]
        rows = np.sort(order[:n])
        kept = int((judged[seen] > 0.5).sum())
        refused = int((judged[rows] <= 0.5).sum())  # NaN compares as False
        reason = f"people looked at {int(seen.sum())} of {m} candidates and kept {kept}{told}"
        reason += f"; {refused} that they rejected are among the {n} published" if refused else ""
        cost = {"candidates": float(m), "looked_at": float(seen.sum()), "seconds": round(time.monotonic() - began, 3)}
        return Kept(rows, reason, scores, cost)


def _predicted(candidates: Candidates, judged: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the score of each candidate that nobody looked at, 0..1, and how it was found, in words."""
    from sklearn.linear_model import LogisticRegression

    votes = judged[seen]
    if votes.min() == votes.max():
        return np.full(int((~seen).sum()), 0.5), "; all alike, so that chance decided about the others"
    features = features_of(candidates)[1]
    # each vote counts: a candidate that two of three people keep is 2/3 of a kept one and 1/3 of a rejected one
    training = np.concatenate([features[seen], features[seen]])
    labels = np.repeat([1, 0], len(votes))
    classifier = LogisticRegression(C=SOFT, max_iter=300)
    classifier.fit(training, labels, sample_weight=np.concatenate([votes, 1.0 - votes]))
    return classifier.predict_proba(features[~seen])[
        :, 1
    ], "; a linear classifier that learned from this judged the others"
