"""What a curation is: it says how many candidates are drawn for n images, and which n of them are published.

A curation works between sampling and the archive: everything after it (metrics, the next training set) sees the kept
images only; the others are not stored. Which candidates were kept, why, at what cost and whom the choice threw away is
part of the shard (``curation.json`` and ``curation.npz``).

A curation sees the candidates and real images of the run. A selection by a score that real images define is information
from outside of the loop, which a loop without curation does not have; so the exact laws of regimes are not those of a
curated loop, and a curated run carries no predictions. These real images are the held-out ones that the metrics compare
with as well: a curation that chooses by them looks better to those metrics than to images that nobody has seen.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ..faces.freckles import Style
from ..families import Recipe

if TYPE_CHECKING:
    from ..metrics.base import Evidence

__all__ = ["Candidates", "Curation", "KeepAll", "Kept", "ShareKept", "features_of"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a curation may look at.

    Attributes:
        images: the candidates, uint8 [M,C,H,W].
        real: held-out real images, uint8 [R,C,H,W]: a reference of what is wanted.
        device: torch device for features.
        rng: for random choices; it depends on run seed, generation and line alone.
        judged: float64 [M], the share of the people who keep a candidate, NaN where nobody looked at it; None where
            people were not asked.
        freckle_style: how the freckles of the real images look, which chooses their counter.
    """

    images: np.ndarray
    real: np.ndarray
    device: str
    rng: np.random.Generator
    judged: np.ndarray | None = None
    freckle_style: Style = "countable"

    @property
    def evidence(self) -> Evidence:
        """The candidates as images under test, beside the real images."""
        from ..metrics.base import Evidence, ImageSet

        real, drawn = ImageSet(self.real), ImageSet(self.images)
        return Evidence(real, drawn, device=self.device, freckle_style=self.freckle_style)


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

    def to_look_at(self, m: int, rng: np.random.Generator) -> np.ndarray:
        """Return the rows of m candidates that people decide about before the choice, int64 [L]; by default none."""
        return np.empty(0, np.int64)

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


class ShareKept(Curation):
    """Base class of curations that keep a fixed share of what is drawn.

    The kept images are published in the order in which they were drawn, so that row r stays comparable over
    generations.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
    """

    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5

    def candidates(self, n: int) -> int:
        """Return n / fraction, rounded up."""
        return math.ceil(n / self.fraction - 1e-9)


def features_of(candidates: Candidates, spectrum: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of real images and candidates as distances use them: float64 [R,D] and [M,D].

    Args:
        candidates: whose images.
        spectrum: with the log radial powers beside, as a detector reads them.

    Raises:
        ValueError: if they cannot be compared: the reason, and what to change.
    """
    from ..metrics.base import NotMeasurable
    from ..metrics.detector import detector_features
    from ..metrics.features import PRIMARY, feature_pair

    given = candidates.evidence
    try:
        return detector_features(given) if spectrum else feature_pair(given, PRIMARY)
    except NotMeasurable as error:
        raise ValueError(
            f"features of {len(candidates.images)} candidates and {len(candidates.real)} real images: {error}. Raise "
            "`images` or `heldout`, or choose without features: random_fraction"
        ) from error
