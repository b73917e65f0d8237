"""The Vendi score: the effective number of different images in a set.

With unit feature vectors x_i in the rows of X [N,D], the kernel K = X X^T (cosine similarity) has K_ii = 1, so the
eigenvalues of K/N are shares that sum to 1, and the score is the exponential of their entropy:

    VS_q = exp( log(sum_i lambda_i^q) / (1 - q) ),    q -> 1: exp(-sum_i lambda_i log lambda_i).

    vendi            x_i relative to the mean reference image (in a standardised space)
    vendi_centred    x_i relative to the mean of the set itself

N images that have nothing in common score N, N copies score 1. The non-zero eigenvalues are also those of the D x D
matrix X^T X / N (the dual form), so the cost grows with N, not with its cube. A large q counts common kinds of images
only, a small q the rare ones too.

Two-sided: noise in every image raises it as variety does, and a set more varied than real ones is no better than
real (a Gaussian model of faces scores 21 where faces score 16, in random features). At most min(N, D). It grows with N,
so compare equal N, or compare it with its floor; trust it from 200 images. It does not see whether the images look
real. It does not see how far an image is from the zero point, only in which direction: a set that has moved away from
the reference as a whole scores lower by ``vendi`` (a tint does it) and as before by ``vendi_centred``, which measures
variety alone. A few pairs of copies among many images hardly change either.

References:
    The Vendi score (Friedman, Dieng 2023), arXiv:2210.02410.
    Cousins of the Vendi score (Pasarkar, Dieng 2023), arXiv:2310.12952: the order q.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair
from .jackknife import Blocks, Jackknifed, group_labels, spread
from .ruler import rulers_without

__all__ = ["score_and_error", "score_of_shares", "vendi", "vendi_score"]

CITE = "arXiv:2210.02410"
TINY = 1e-12  # smaller shares are rounding: one image of a million has 1e-6, an eigenvalue 0 becomes 1e-16


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
    present = shares[shares > TINY]
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


def score_and_error(
    features: np.ndarray,
    seed: int,
    order: float = 1.0,
    centred: bool = False,
    real: np.ndarray | None = None,
    blocks: Blocks = (None, None),
) -> Jackknifed:
    """Return the Vendi score and its standard error by the delete-a-group jackknife.

    The matrix without a group is the whole matrix minus that of the group, so all leave-outs cost one pass over the
    images. What a group changes of the zero point and of the unit is added to first order, equation (2) of ruler.py.

    Args:
        features: float [N,D].
        seed: seed of the division into groups.
        order: q, see :func:`score_of_shares`.
        centred: whether the vectors are relative to the mean of the set itself.
        real: the reference [R,D], if both sets are standardised by it; then the ruler's error is part of the error.
        blocks: see jackknife.py.

    Returns:
        Score and standard error; the error is None below three images.

    Raises:
        ValueError: as in :func:`vendi_score`.
    """
    centre = features.mean(axis=0, dtype=np.float64) if centred and features.ndim == 2 and len(features) else 0.0
    features = np.asarray(features, np.float64) - centre
    unit = _directions(features)
    n, whole = len(unit), unit.T @ unit
    shares, directions = np.linalg.eigh(whole / n)
    value = score_of_shares(shares, order)
    of_real, labels = group_labels(n if real is None else len(real), n, seed, blocks=blocks)
    g = int(labels.max()) + 1
    if n < 3 or g < 2:
        return Jackknifed(value, None, None)
    of_zero, of_unit = _by_ruler(features, unit, shares, directions, order)
    left = np.empty(g)
    for j in range(g):
        gone = labels == j
        group = unit[gone]
        left[j] = score_of_shares(np.linalg.eigvalsh((whole - group.T @ group) / (n - len(group))), order)
        if centred:
            left[j] -= features[gone].sum(axis=0) / (n - len(group)) @ of_zero
    if real is not None:
        rulers = rulers_without(real, of_real)
        left += np.log(rulers.spread) @ of_unit
        left += 0.0 if centred else rulers.mean @ of_zero
    return Jackknifed(value, float(spread(left)) or None, None, g - 1)


def _by_ruler(
    features: np.ndarray, unit: np.ndarray, shares: np.ndarray, directions: np.ndarray, order: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of the score by the zero point and by the log of the unit of each feature: float64 [D].

    With K = X^T X / N and S = d VS / d K, a symmetric matrix with the eigenvectors of K,
    d VS = (2 / N) sum_i (S x_i - (x_i.S x_i) x_i) . dz_i / |z_i|. A moved zero point is dz = -1, a larger unit dz = -z.
    """
    present = shares > TINY
    shares, directions = shares[present], directions[:, present]
    if math.isinf(order):
        slopes = np.zeros(len(shares))
        slopes[-1] = -1.0 / shares[-1] ** 2
    elif order == 1:
        slopes = -score_of_shares(shares) * (np.log(shares) + 1.0)
    else:
        power = np.sum(shares**order)
        slopes = order * shares ** (order - 1.0) / (1.0 - order) * power ** (order / (1.0 - order))
    pulled = (unit @ directions * slopes) @ directions.T
    pulled -= np.einsum("nd,nd->n", unit, pulled)[:, None] * unit
    pulled *= 2.0 / len(unit) / np.linalg.norm(features, axis=1, keepdims=True)
    return -pulled.sum(axis=0), -np.einsum("nd,nd->d", pulled, features)


def _directions(features: np.ndarray) -> np.ndarray:
    if features.ndim != 2 or len(features) < 1:
        raise ValueError(f"vendi: expected features [N,D] with N >= 1, got {features.shape}")
    features = np.asarray(features, np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    if not (length > 0).all():
        raise ValueError(f"vendi: {int((length == 0).sum())} feature vectors have length 0 and so no direction")
    return features / length


def vendi(evidence: Evidence, order: float = 1.0) -> list[Measurement]:
    """Return ``vendi/SPACE`` and ``vendi_centred/SPACE`` in the primary space: the effective number of kinds of images.

    Raises:
        NotMeasurable: for sets without features to compare.
    """
    real, fake = feature_pair(evidence, PRIMARY)
    standardised = ", standardised by the reference" if SPACES[PRIMARY].standardise else ""
    form = Measurement(
        f"vendi/{PRIMARY}",
        0.0,
        "images",
        n_real=len(evidence.real),
        n_fake=len(fake),
        better="two-sided",
        estimator=f"order {order:g}, cosine kernel, dual form{standardised}",
        feature_space=SPACES[PRIMARY].label,
        seed=evidence.seed,
        cite=CITE,
    )
    own_mean = f"order {order:g}, cosine kernel about the set's own mean, dual form{standardised}"
    forms = form, replace(form, name=f"vendi_centred/{PRIMARY}", estimator=own_mean)
    ruler = real if SPACES[PRIMARY].standardise else None
    found = []
    for each, centred in zip(forms, (False, True), strict=True):
        try:
            score = score_and_error(fake, evidence.seed, order, centred, ruler, evidence.blocks)
        except ValueError as error:
            if not centred:
                raise NotMeasurable(str(error)) from error
            found.append(replace(each, value=None, missing=str(error)))
            continue
        found.append(replace(each, value=score.value, stderr=score.stderr, df=score.df))
    return found
