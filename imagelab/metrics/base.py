"""What a metric is: a pure function of two image sets that answers with Measurements.

An :class:`ImageSet` carries the images and remembers what was computed from them, so that one pass of a feature
extractor serves every metric that reads it. A metric never knows generation or line; the loop puts its answer in
its place (:meth:`Measurement.at`) beside the floor, which is the same metric of real images against held-out ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..images import check_images
from ..measurement import Direction, Measurement

__all__ = ["Evidence", "ImageSet", "Metric", "NotMeasurable"]


class NotMeasurable(ValueError):
    """Raised inside a metric where these images allow no value; its text is the reason, fit for a report."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images under measurement and the features already taken from them.

    Attributes:
        images: uint8 [N,C,H,W].
        cache: folder where features are kept between processes, None for memory only.
        memory: features by space key, filled as metrics ask (see metrics/features.py).
    """

    images: np.ndarray
    cache: Path | None = None
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the form once, at the door."""
        check_images(self.images)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Evidence:
    """All that a metric may look at.

    Attributes:
        real: held-out real images, the reference.
        fake: the images under test (at generation 0: the real training images; that measurement is the floor).
        blank: real images known to hold none of what is counted (freckle-free faces), copied through the model under
            test where the model can copy; what a counter finds there, it invented. None where there is no such control.
        seed: seed of any random choice inside an estimator.
        device: torch device for feature extraction.
        train: the real training images; only memorisation looks at them. In later generations they still tell whether
            single pictures live on as copies of copies. None where unknown (and for the floor, where fake is train).
    """

    real: ImageSet
    fake: ImageSet
    blank: ImageSet | None = None
    seed: int = 0
    device: str = "cpu"
    train: ImageSet | None = None


@dataclass(frozen=True)
class Metric:
    """One row of ``METRICS``.

    Attributes:
        measure: Evidence -> the Measurements, several where a metric has bands.
        title: its name in a report. unit: of its main value.
        what: one sentence for a newspaper reader: what it counts.
        blind: one sentence: what it does not see.
        better: its direction. least: the smallest n we would trust.
        cite: the source. needs: names of weights that must be present locally, empty for none.
        gives: what its measurements are called in front of the slash; empty where that is the row's own name.
    """

    measure: Callable[[Evidence], list[Measurement]]
    title: str
    unit: str
    what: str
    blind: str
    better: Direction
    least: int
    cite: str = ""
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
