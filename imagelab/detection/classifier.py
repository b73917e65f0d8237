"""A detector: logistic regression on standardised cues. Its score is the log-odds of being generated.

The two kinds of training images have equal weight, so a score of 0 says: as often seen in one kind as in the other, if
both were equally frequent. How frequent they are where the detector is used, it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..metrics.detector import SOFT
from .cues import Cues, joined_cues

__all__ = ["Detector", "fit_detector", "packed", "unpacked"]


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted detector.

    Attributes:
        parts: the cues that it reads, in this order.
        mean: float64 [D], of the real training images.
        scale: float64 [D], their standard deviations; above 0.
        weights: float64 [D], on standardised cues.
        bias: log-odds where all standardised cues are 0.
    """

    parts: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    def scores(self, cues: Cues) -> np.ndarray:
        """Return the log-odds of being generated: float64 [N].

        Raises:
            ValueError: for cues of another form than it was fitted on.
        """
        return self._standardised(cues) @ self.weights + self.bias

    def distances(self, cues: Cues) -> np.ndarray:
        """Return how far images are from the mean of the real training images: float64 [N].

        The unit is the standard deviation of real images; the distance is the root mean square over all cues, about 1
        for a real image.
        """
        return np.sqrt((self._standardised(cues) ** 2).mean(axis=1))

    def _standardised(self, cues: Cues) -> np.ndarray:
        values = joined_cues(cues, self.parts)
        if values.shape[1] != len(self.mean):
            raise ValueError(f"the detector reads {len(self.mean)} cues, and these images have {values.shape[1]}")
        return (values - self.mean) / self.scale


def fit_detector(real: Cues, fake: Cues, parts: tuple[str, ...]) -> Detector:
    """Return a detector fitted to two sets of images.

    Args:
        real: cues of real images, N >= 2.
        fake: cues of generated images, M >= 2.
        parts: which cues it reads.
    """
    from sklearn.linear_model import LogisticRegression

    ours, theirs = joined_cues(real, parts), joined_cues(fake, parts)
    mean, scale = ours.mean(axis=0), ours.std(axis=0, ddof=1)
    scale = np.where(scale > 1e-9, scale, 1.0)  # a cue that does not vary over real images keeps its unit
    values = (np.concatenate([ours, theirs]) - mean) / scale
    fitted = LogisticRegression(C=SOFT, class_weight="balanced", max_iter=300)
    fitted.fit(values, np.repeat([0, 1], [len(ours), len(theirs)]))
    weights, bias = np.ravel(fitted.coef_).astype(np.float64), float(np.ravel(fitted.intercept_)[0])
    return Detector(parts, mean, scale, weights, bias)


def packed(detectors: Mapping[str, Detector]) -> dict[str, np.ndarray]:
    """Return detectors as plain arrays, by names that :func:`unpacked` reads."""
    found = {}
    for name, each in detectors.items():
        found[f"{name}.mean"], found[f"{name}.scale"], found[f"{name}.weights"] = each.mean, each.scale, each.weights
        found[f"{name}.bias"] = np.array([each.bias])
        found[f"{name}.parts"] = np.array(each.parts)
    return found


def unpacked(arrays: Mapping[str, np.ndarray], name: str) -> Detector:
    """Return one detector from plain arrays of unknown origin.

    Raises:
        ValueError: for arrays that are no detector.
        KeyError: if there is none of this name.
    """
    mean, scale, weights, bias = columns = [arrays[f"{name}.{part}"] for part in ("mean", "scale", "weights", "bias")]
    parts = arrays[f"{name}.parts"]
    if parts.dtype.kind != "U" or parts.ndim != 1 or not len(parts):
        raise ValueError(f"{name}.parts: expected a list of names, got {parts.dtype} {list(parts.shape)}")
    if mean.ndim != 1 or bias.shape != (1,) or scale.shape != mean.shape or weights.shape != mean.shape:
        raise ValueError(f"{name}: expected mean, scale and weights of one length and one bias")
    if any(each.dtype != np.float64 or not np.isfinite(each).all() for each in columns):
        raise ValueError(f"{name}: expected finite values, float64")
    if not (scale > 0).all():
        raise ValueError(f"{name}.scale: expected values above 0")
    return Detector(tuple(str(part) for part in parts), mean, scale, weights, float(bias[0]))
