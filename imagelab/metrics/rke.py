"""Order-2 variety (RKE): the effective number of kinds of images, as a ratio to that of real images.

With unit vectors u_i of the features relative to the set's own mean, and the kernel k(i, j) = u_i . u_j,

    kinds = 1 / mean_{i != j} k(i, j)^2,        value = kinds(generated) / kinds(real).            (1)

This is the exponential of the Rényi entropy of order 2, which is the Vendi score of order 2, with one difference: pairs
of an image with itself are left out. So the mean is unbiased and converges as n grows, where the Vendi score grows with
n. Order 2 counts the common kinds; a rare kind hardly changes it.

Because each set is relative to its own mean, a set that has moved as a whole (a tint) has the same variety. 1 is as
varied as real images. Two-sided: noise in every image raises it. It does not see whether the images look real, nor how
far an image is from the mean, only in which direction. Trust it from 200 images.

References:
    An information-theoretic evaluation of generative models in learning multi-modal distributions (Jalali, Li, Farnia
    2023), NeurIPS 36: RKE. Differs from it: a cosine kernel, centred, without the pairs of an image with itself.
    Cousins of the Vendi score (Pasarkar, Dieng 2023), arXiv:2310.12952: the order.
"""

from __future__ import annotations

import numpy as np

from ..measurement import Measurement
from .base import Evidence, Metric, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair, restandardised
from .jackknife import jackknife, leave_out

__all__ = ["ROW", "kinds", "rke"]

CITE = "arXiv:2310.12952"


def kinds(features: np.ndarray) -> float:
    """Return the effective number of kinds of a set by equation (1).

    Args:
        features: float [N,D], N >= 2.

    Returns:
        Above 1 for large N; infinite if the mean of the squares is not positive (few images in many directions).

    Raises:
        ValueError: if an image is exactly the mean of all, and so has no direction.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((4000, 6))
        >>> round(kinds(x), 1)
        6.0
    """
    centred = features - features.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    if not (length > 0).all():
        raise ValueError("rke: a feature vector is equal to the mean of its set and so has no direction")
    unit, n = centred / length, len(features)
    squares = (np.sum((unit.T @ unit) ** 2) - n) / (n * (n - 1))
    return float(1.0 / squares) if squares > 0 else np.inf


def rke(evidence: Evidence) -> list[Measurement]:
    """Return ``rke/SPACE`` in the primary space: the order-2 variety as a ratio to that of the reference.

    Raises:
        NotMeasurable: for sets without features to compare, or without a spread.
    """
    real, fake = feature_pair(evidence, PRIMARY)

    def ratio(rows: np.ndarray, others: np.ndarray) -> float:
        ours, theirs = restandardised(real[rows], fake[others])
        return kinds(theirs) / kinds(ours)

    try:
        result = jackknife(ratio, len(real), len(fake), evidence.seed)
    except ValueError as error:
        raise NotMeasurable(str(error)) from error
    if not 0.0 < result.value < np.inf:
        raise NotMeasurable("too few images for so many directions: the mean of the squares is not positive")
    stderr = result.stderr if result.stderr is not None and np.isfinite(result.stderr) else None
    groups = len(leave_out(len(real), len(fake), evidence.seed))
    return [
        Measurement(
            f"rke/{PRIMARY}",
            result.value,
            n_real=len(real),
            n_fake=len(fake),
            stderr=stderr or None,
            df=groups - 1 if stderr else None,
            estimator="order 2, centred cosine kernel, all pairs of different images, ratio to the reference",
            feature_space=SPACES[PRIMARY].label,
            seed=evidence.seed,
        )
    ]


ROW = Metric(
    rke,
    title="Order-2 variety (RKE)",
    unit="ratio",
    what="How many kinds of images there are, against how many there are among real ones; 1 is as varied as real.",
    blind="Rare kinds, and whether the images look real; noise raises it as variety does.",
    better="two-sided",
    least=200,
    cite=CITE,
)
