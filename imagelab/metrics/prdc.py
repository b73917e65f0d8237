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
from .jackknife import group_labels, spread
from .neighbours import balls_holding, nearest

__all__ = ["NAMES", "coverage_of_equals", "prdc", "prdc_of"]

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


def prdc_of(
    real: np.ndarray, fake: np.ndarray, k: int = NEAREST, seed: int | None = None, device: str = "cpu"
) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
    """Return (precision, recall, density, coverage) of two sets of features, and their jackknifed standard errors.

    Exact, in memory that grows with N and M and not with their product.

    Args:
        real: float [N,D]. fake: float [M,D].
        k: which neighbour a ball reaches to; N and M must be larger.
        seed: of the jackknife's groups, 10 of them left out of both sets in turn; None to save the errors' time.
        device: torch device of the matrix products.

    Returns:
        (values, standard errors); the errors are None without a seed, and where a set less one group is not larger
        than k.

    Raises:
        ValueError: where a set is not larger than k.

    Example:
        >>> points = np.arange(12.0)[:, None]
        >>> prdc_of(points, points, k=2)
        ((1.0, 1.0, 0.5833333333333334, 1.0), None)
    """
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"prdc: expected more than k = {k} images in each set, got {len(real)} and {len(fake)}")
    of_real, of_fake = (np.zeros(len(each), np.int64) for each in (real, fake))
    if seed is not None:
        labels = group_labels(len(real), len(fake), seed)
        if min(len(each) - np.bincount(each).max() for each in labels) > k:
            of_real, of_fake = labels
    ball_real = _without_groups(real, real, of_real, k, True, device)  # [1+g,N]: of all, and without each group
    ball_fake = _without_groups(fake, fake, of_fake, k, True, device)
    nearest_fake = _without_groups(real, fake, of_fake, 1, False, device)
    in_real = balls_holding(fake, real, _alive(ball_real, of_real), device)  # [1+g,M]
    in_fake = balls_holding(real, fake, _alive(ball_fake, of_fake), device)
    rows = []
    for group in range(-1, len(ball_real) - 1):
        reals, fakes, at = of_real != group, of_fake != group, group + 1
        held, holds, covered = in_real[at, fakes], in_fake[at, reals], (nearest_fake < ball_real)[at, reals]
        rows.append([(held > 0).mean(), (holds > 0).mean(), held.mean() / k, covered.mean()])
    errors = tuple(spread(np.array(rows[1:])).tolist()) if len(rows) > 1 else None
    return tuple(float(each) for each in rows[0]), errors


def _alive(radii: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the radii [1+g,N] with the balls of group j gone from row 1 + j."""
    return np.where(labels == np.arange(-1, len(radii) - 1)[:, None], 0.0, radii)


def _without_groups(
    query: np.ndarray, reference: np.ndarray, labels: np.ndarray, k: int, exclude_self: bool, device: str
) -> np.ndarray:
    """Return the distance to the k-th nearest reference: of all in row 0, of all but group j in row 1 + j.

    A list of neighbours somewhat longer than k answers for every group at once; where one group holds too many of a
    query's, a list twice as long does.
    """
    groups, most = int(labels.max()) + 1, len(reference) - exclude_self
    depth = k if groups == 1 else 2 * k + 6
    while True:
        index, distance = nearest(query, reference, min(depth, most), exclude_self, device)
        if groups == 1:
            return distance[None, :, k - 1]
        counted = [(labels[index] != group).cumsum(axis=1) for group in range(-1, groups)]  # neighbours left so far
        if depth >= most or all((each[:, -1] >= k).all() for each in counted):
            places = [(each >= k).argmax(axis=1) for each in counted]
            return np.stack([distance[np.arange(len(query)), place] for place in places])
        depth *= 2


def prdc(evidence: Evidence) -> list[Measurement]:
    """Return ``prdc/precision``, ``prdc/recall``, ``prdc/density``, ``prdc/coverage``, with jackknifed errors.

    Raises:
        NotMeasurable: where a set holds no more than 5 images, or has no features to compare.
    """
    real, fake = feature_pair(evidence, PRIMARY)
    if min(len(real), len(fake)) <= NEAREST:
        raise NotMeasurable(f"needs more than {NEAREST} images in each set")
    values, errors = prdc_of(real, fake, NEAREST, evidence.seed, evidence.device)
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
        for name, value, error in zip(NAMES, values, errors or [None] * len(NAMES), strict=True)
    ]
