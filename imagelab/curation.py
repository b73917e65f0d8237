"""Curation: which of the images that a model has drawn are published, and so can be trained on by the next one.

A generation has n images. A curation says how many candidates are drawn for them and which n are kept; the others are
not stored. It works between sampling and the archive: everything after it (metrics, the next training set) sees the
kept images only. Which candidates were kept, why and at what cost is part of the shard (``curation.json`` and
``curation.npz``).

A curation sees the candidates and real images of the run. A selection by a score that real images define is information
from outside of the loop, which a loop without curation does not have; so the exact laws of regimes are not those of a
curated loop, and a curated run carries no predictions.

References:
    Self-consuming generative models with curated data provably optimize human preferences (Ferbach et al. 2024),
        arXiv:2407.09499: a loop that keeps the preferred samples raises their score and loses variety.
    Beyond model collapse: scaling up with synthesized data requires verification (Feng et al. 2024), arXiv:2406.07515.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny

from .families import Family, Recipe

__all__ = ["CURATIONS", "AnyCuration", "Candidates", "Curation", "KeepAll", "Kept", "TopFraction"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a curation may look at.

    Attributes:
        images: the candidates, uint8 [M,C,H,W].
        real: held-out real images, uint8 [R,C,H,W]: a reference of what is wanted.
        device: torch device for features.
        rng: for random choices; it depends on run seed, generation and line alone.
    """

    images: np.ndarray
    real: np.ndarray
    device: str
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class Kept:
    """What a curation has decided.

    Attributes:
        rows: int64 [n], the kept candidates, each at most once, in the order in which they are published.
        reason: a few words: by what they were chosen.
        scores: float64 [M], the score of every candidate; empty where there is none.
        cost: what the choice took, by name and unit, such as ``{"seconds": 1.2, "looks": 4000}``.
    """

    rows: np.ndarray
    reason: str
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    cost: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def check(self, n: int, candidates: int) -> Kept:
        """Return this, or raise ValueError where it does not keep n different candidates."""
        rows = np.asarray(self.rows)
        if rows.shape != (n,) or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"expected the rows of {n} candidates, int64 [{n}], got {rows.dtype} {rows.shape}")
        if len(np.unique(rows)) != n or rows.min() < 0 or rows.max() >= candidates:
            raise ValueError(f"expected {n} different rows from 0 to {candidates - 1}")
        if len(self.scores) not in (0, candidates):
            raise ValueError(f"expected a score for each of {candidates} candidates or none, got {len(self.scores)}")
        return replace(self, rows=rows)


class Curation(Recipe, ABC):
    """Base class of curations. One adds a ``kind``, its settings, and the two abstract methods."""

    @abstractmethod
    def candidates(self, n: int) -> int:
        """Return how many images are drawn so that n can be kept, n or more."""

    @abstractmethod
    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return which n of the candidates are kept.

        Args:
            candidates: the images drawn, and what to judge them by.
            n: how many to keep.

        Raises:
            ValueError: if these images cannot be judged, saying why.
        """


class KeepAll(Curation):
    """No curation: as many candidates as are needed, and all are kept in order."""

    kind: Literal["keep_all"] = "keep_all"

    def candidates(self, n: int) -> int:
        """Return n."""
        return n

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return all rows in order."""
        return Kept(np.arange(n), "all kept")


class TopFraction(Curation):
    """The best by a score: n / fraction candidates are drawn, and the n with the highest score are kept.

    Kept images are published in the order in which they were drawn, so that row r stays comparable over generations.
    Equal scores are decided by the order of drawing.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
        score: an image score by name (``imagelab.metrics.image_scores.IMAGE_SCORES``): "realism", "detail" or
            "freckles"; each says what it measures and what it rewards wrongly.
        best: "high" keeps the highest scores, "low" the lowest.

    Example:
        >>> TopFraction(fraction=0.25).candidates(100)
        400
    """

    kind: Literal["top_fraction"] = "top_fraction"
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    score: Literal["realism", "detail", "freckles"] = "realism"
    best: Literal["high", "low"] = "high"

    def candidates(self, n: int) -> int:
        """Return n / fraction, rounded up."""
        return math.ceil(n / self.fraction - 1e-9)

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates with the best score."""
        from .metrics.image_scores import IMAGE_SCORES

        began = time.monotonic()
        score = IMAGE_SCORES[self.score]
        scores = score.of(candidates.images, candidates.real, candidates.device)
        order = np.argsort(-scores if self.best == "high" else scores, kind="stable")
        cost = {"candidates": float(len(scores)), "seconds": round(time.monotonic() - began, 3)}
        return Kept(
            np.sort(order[:n]), f"{self.best}est {self.fraction:g} by {self.score} ({score.what})", scores, cost
        )


CURATIONS: Family[type[Curation]] = Family.of("curations", Curation, {"keep_all": KeepAll, "top_fraction": TopFraction})
"""Every curation by its ``kind``."""

AnyCuration = Annotated[SerializeAsAny[Curation], BeforeValidator(CURATIONS.decode)]
"""Any curation: a recipe, or a mapping with its ``kind``."""
