"""Precision, recall, density, coverage: fidelity and variety told apart by nearest neighbours.

Around every real image stands a ball that reaches to its k-th nearest real neighbour, k = 5. Then, with strict <,

    precision  share of generated images inside some real ball           recall    the same with the roles exchanged
    density    mean number of real balls a generated image is in, / k    coverage  share of real balls that hold one

Collapse shows as recall and coverage falling while precision and density stay or rise. None of them reaches 1 for real
against real: coverage of n by n images is expected at 1 - prod_{i<k} (n - i) / (2n - i), about .97, and precision comes
out near .93; so read them by their floor. They do not see what the features do not.

References:
    Improved precision and recall metric (Kynkäänniemi et al. 2019), arXiv:1904.06991.
    Reliable fidelity and diversity metrics for generative models (Naeem et al. 2020), arXiv:2002.09797.
"""

from __future__ import annotations

import numpy as np

from ..measurement import Measurement
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair
from .jackknife import leave_out, spread

__all__ = ["NAMES", "coverage_of_equals", "prdc", "prdc_of_distances"]

CITE = "arXiv:2002.09797"
NAMES = ("precision", "recall", "density", "coverage")
NEAREST = 5


def coverage_of_equals(n: int, m: int, k: int = NEAREST) -> float:
    """Return the coverage to expect of n real by m generated images of one distribution (Naeem et al., Lemma 2).

    1 - prod_{i=1..k} (n - i) / (n + m - i), the product being the chance that the k nearest of all others are real.

    Example:
        >>> round(coverage_of_equals(1000, 1000), 3)
        0.969
    """
    i = np.arange(1, k + 1)
    return float(1.0 - np.prod((n - i) / (n + m - i)))


def prdc_of_distances(real: np.ndarray, fake: np.ndarray, across: np.ndarray, k: int = NEAREST) -> tuple[float, ...]:
    """Return (precision, recall, density, coverage) from distances.

    Args:
        real: float [N,N], distances among real images. fake: [M,M], among generated. across: [N,M], between them.
        k: which neighbour a ball reaches to; N and M must be larger.

    Raises:
        ValueError: where a set is not larger than k.
    """
    if min(across.shape) <= k:
        raise ValueError(f"prdc: expected more than k = {k} images in each set, got {across.shape}")
    ball_real = np.partition(real, k, axis=1)[:, k, None]  # [N,1]; place 0 is the image itself
    ball_fake = np.partition(fake, k, axis=1)[:, k]  # [M]
    inside = across < ball_real
    recall = (across < ball_fake).any(axis=1).mean()
    covered = (across.min(axis=1) < ball_real[:, 0]).mean()
    density = inside.sum(axis=0).mean() / k
    return tuple(float(each) for each in (inside.any(axis=0).mean(), recall, density, covered))


def prdc(evidence: Evidence) -> list[Measurement]:
    """Return ``prdc/precision``, ``prdc/recall``, ``prdc/density``, ``prdc/coverage``, with jackknifed errors.

    Raises:
        NotMeasurable: where a set holds no more than 5 images, or has no features to compare.
    """
    from scipy.spatial.distance import cdist

    real, fake = feature_pair(evidence, PRIMARY)
    if min(len(real), len(fake)) <= NEAREST:
        raise NotMeasurable(f"needs more than {NEAREST} images in each set")
    own_real, own_fake, across = cdist(real, real), cdist(fake, fake), cdist(real, fake)

    def take(rows: np.ndarray, columns: np.ndarray) -> tuple[float, ...]:
        parts = own_real[np.ix_(rows, rows)], own_fake[np.ix_(columns, columns)], across[np.ix_(rows, columns)]
        return prdc_of_distances(*parts)

    values = take(np.arange(len(real)), np.arange(len(fake)))
    left = leave_out(len(real), len(fake), evidence.seed)
    known = min(len(rows) for pair in left for rows in pair) > NEAREST
    errors = spread(np.array([take(*pair) for pair in left])).tolist() if known else [None] * len(NAMES)
    return [
        Measurement(
            f"prdc/{name}",
            value,
            "share" if name != "density" else "",
            n_real=len(real),
            n_fake=len(fake),
            stderr=error or None,  # a jackknife that never moved, at 0 or 1, knows nothing of its error
            better="higher",
            estimator=f"k = {NEAREST}, strict, standardised by the reference",
            feature_space=SPACES[PRIMARY].label,
            seed=evidence.seed,
            cite=CITE,
        )
        for name, value, error in zip(NAMES, values, errors, strict=True)
    ]
