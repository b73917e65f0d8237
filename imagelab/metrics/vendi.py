"""The Vendi score: the effective number of different images in a set.

With unit feature vectors x_i in the rows of X [N,D], the kernel K = X X^T (cosine similarity) has K_ii = 1, so the
eigenvalues of K/N are shares that sum to 1, and the score is the exponential of their entropy:

    VS_q = exp( log(sum_i lambda_i^q) / (1 - q) ),    q -> 1: exp(-sum_i lambda_i log lambda_i).

N images that have nothing in common score N, N copies score 1. The non-zero eigenvalues are also those of the D x D
matrix X^T X / N (the dual form), so the cost grows with N, not with its cube. A large q counts common kinds of images
only, a small q the rare ones too. In a standardised space the vectors are relative to the mean reference image.

Two-sided: noise in every image raises it as variety does, and a set more varied than real ones is no better than
real (a Gaussian model of faces scores 21 where faces score 16, in random features). At most min(N, D). It grows with N,
so compare equal N, or compare it with its floor; trust it from 200 images. It does not see whether the images look
real. It does not see how far an image is from the mean reference image, only in which direction: a set that has moved
away as a whole scores lower, and a few pairs of copies among many images hardly change it.

References:
    The Vendi score (Friedman, Dieng 2023), arXiv:2210.02410.
    Cousins of the Vendi score (Pasarkar, Dieng 2023), arXiv:2310.12952: the order q.
"""

from __future__ import annotations

import math

import numpy as np

from ..measurement import Measurement
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair
from .jackknife import leave_out, spread

__all__ = ["score_and_error", "score_of_shares", "vendi", "vendi_score"]

CITE = "arXiv:2210.02410"


def score_of_shares(shares: np.ndarray, order: float = 1.0) -> float:
    """Return the effective number of kinds among shares that sum to 1 (the Hill number of this order).

    Args:
        shares: float [K]; values that are not positive, which rounding makes of an eigenvalue 0, are ignored.
        order: q >= 0; 1 weights kinds by their share, ``inf`` counts the largest only.

    Raises:
        ValueError: for a negative order.

    Example:
        >>> round(score_of_shares(np.full(7, 1 / 7)), 9), score_of_shares(np.array([0.5, 0.5, 0.0]), order=2)
        (7.0, 2.0)
    """
    if not order >= 0:
        raise ValueError(f"vendi: expected an order q >= 0, got {order}")
    present = shares[shares > 1e-12]  # one image of a million has 1e-6; rounding gives 1e-16
    if order == 1:
        return float(np.exp(-np.sum(present * np.log(present))))
    if math.isinf(order):
        return float(1.0 / present.max())
    return float(np.sum(present**order) ** (1.0 / (1.0 - order)))


def vendi_score(features: np.ndarray, order: float = 1.0) -> float:
    """Return the Vendi score of a set under the cosine kernel.

    Args:
        features: float [N,D], N >= 1, no row of zeros.
        order: q, see :func:`score_of_shares`.

    Returns:
        1 .. min(N, D).

    Raises:
        ValueError: for a set of no images, or a feature vector of length zero, which has no direction.

    Example:
        >>> round(vendi_score(np.eye(7)), 9), round(vendi_score(np.ones((5, 3))), 9)
        (7.0, 1.0)
    """
    unit = _directions(features)
    return score_of_shares(np.linalg.eigvalsh(unit.T @ unit / len(unit)), order)


def score_and_error(features: np.ndarray, seed: int, order: float = 1.0) -> tuple[float, float | None]:
    """Return the Vendi score and its standard error by the delete-a-group jackknife.

    The matrix without a group is the whole matrix minus that of the group, so ten leave-outs cost one pass over the
    images.

    Args:
        features: float [N,D].
        seed: seed of the division into groups.
        order: q, see :func:`score_of_shares`.

    Returns:
        (score, standard error); the error is None below three images.
    """
    unit = _directions(features)
    n, whole = len(unit), unit.T @ unit
    value = score_of_shares(np.linalg.eigvalsh(whole / n), order)
    if n < 3:
        return value, None
    values = []
    for _, kept in leave_out(n, n, seed):
        group = np.delete(unit, kept, axis=0)
        values.append(score_of_shares(np.linalg.eigvalsh((whole - group.T @ group) / len(kept)), order))
    return value, float(spread(np.array(values))) or None


def _directions(features: np.ndarray) -> np.ndarray:
    if features.ndim != 2 or len(features) < 1:
        raise ValueError(f"vendi: expected features [N,D] with N >= 1, got {features.shape}")
    features = np.asarray(features, np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    if not (length > 0).all():
        raise ValueError(f"vendi: {int((length == 0).sum())} feature vectors have length 0 and so no direction")
    return features / length


def vendi(evidence: Evidence, order: float = 1.0) -> list[Measurement]:
    """Return ``vendi/SPACE`` in the primary space: the effective number of different images.

    Raises:
        NotMeasurable: for sets without features to compare.
    """
    _, fake = feature_pair(evidence, PRIMARY)
    try:
        value, stderr = score_and_error(fake, evidence.seed, order)
    except ValueError as error:
        raise NotMeasurable(str(error)) from error
    return [
        Measurement(
            f"vendi/{PRIMARY}",
            value,
            "images",
            n_real=len(evidence.real),
            n_fake=len(fake),
            stderr=stderr,
            better="two-sided",
            estimator=f"order {order:g}, cosine kernel, dual form"
            + (", standardised by the reference" if SPACES[PRIMARY].standardise else ""),
            feature_space=SPACES[PRIMARY].label,
            seed=evidence.seed,
            cite=CITE,
        )
    ]
