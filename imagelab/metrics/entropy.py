"""Entropy of the features, in nats, estimated from nearest-neighbour distances: how widely the images are spread.

Kozachenko and Leonenko: with r_i the distance of point i to its k-th nearest other point, d dimensions and c_d the
volume of the unit ball,

    H = psi(n) - psi(k) + log c_d + (d / n) sum_i log r_i.                                      (1)

The measurement is H(generated) - H(real), both sets of one size, in the subspace of the reference's ten principal
directions. Ten, because the estimate is accurate there (for Gaussians of 1 to 10 dimensions it is within .1 nat at
n = 2,000; at 32 dimensions 2.3 nats too high, and in 224 off by more than it measures), and because ten directions
contain most of the variance (of 1,000 faces at 64 px: 92 % in the features of imagelab-ssl-v1, 84 % in random ones).
k = 1, because pairs of near-copies appear first when a loop turns from generalising to memorising: the published early
warning. Halving all distances costs d log 2 = 6.9 nats. Replacing half of 1,000 faces by copies of the other half, one
grey level off, costs 37, and Vendi score, sliced distance and detector do not detect it.

Two-sided, any real number, 0 for equal distributions; trust it from 500 images: below, the subspace is fitted too
closely to its own reference, and real faces against real ones give -.7 nats (n = 100), -.3 (200), -.05 (500), -.01
(1,000). It does not see what lies outside those ten directions, nor whether the images look real: noise raises it.
Exact copies within a set (twins) make it minus infinity: then the value is missing, with their number as the reason,
and ``entropy_twins`` reports their share.

References:
    Sample estimate of the entropy of a random vector (Kozachenko, Leonenko 1987), Problems Inform. Transm. 23:95-101.
    A closer look at model collapse: from a generalization-to-memorization perspective (Shi et al. 2025),
    arXiv:2509.16499: it falls before copies appear. Differs from it: ten principal directions, not all features.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import rng_at
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair
from .intervals import wilson
from .jackknife import Blocks, Jackknifed, jackknifed, leave_out
from .neighbours import nearest

__all__ = ["entropy", "entropy_gap", "entropy_of_distances", "knn_entropy", "principal_plane"]

CITE = "arXiv:2509.16499"
DIMENSIONS = 10
NEIGHBOUR = 1
MIN_IMAGES = 20  # images a set: enough for twelve neighbours and a group of the jackknife
MAX_IMAGES = 10_000  # images a set; from a larger set this many are drawn at random
KNOWN = 12  # neighbours kept of each image: without a group of images, the nearest of the rest is still among them
PARTS = 20  # groups of the jackknife: with ten, the error itself is too uncertain here
TWIN = 1e-5  # of the root mean square distance: float32 features of equal images may differ by this much


def entropy_of_distances(distances: np.ndarray, k: int, dimensions: int) -> float:
    """Return the differential entropy in nats, equation (1), from each point's distance to its k-th nearest neighbour.

    Args:
        distances: float [N], all positive.
        k: number of the neighbour, >= 1.
        dimensions: d of the space.
    """
    from scipy.special import digamma, gammaln

    n, d = len(distances), dimensions
    ball = d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    return float(digamma(n) - digamma(k) + ball + d * np.log(distances).mean())


def knn_entropy(points: np.ndarray, k: int = NEIGHBOUR) -> float:
    """Return the Kozachenko-Leonenko entropy of a set of points, in nats.

    Args:
        points: float [N,D], N > k.
        k: number of the neighbour; a larger k has less variance, and does not detect groups of up to k near-copies.

    Returns:
        The entropy; ``-inf`` where a point has k exact copies.
    """
    distances = nearest(points, points, k, exclude_self=True)[1][:, -1]
    return entropy_of_distances(distances, k, points.shape[1]) if distances.min() > 0 else -np.inf


def entropy_gap(
    real: np.ndarray, fake: np.ndarray, seed: int, k: int = NEIGHBOUR, blocks: Blocks = (None, None)
) -> Jackknifed:
    """Return H(fake) - H(real) of two sets of one size, and its standard error by the delete-a-group jackknife.

    The plane and its units are taken as known: they are the same for both sets, and the interval holds with them.

    Args:
        real: float [N,D], N >= 20, no exact copies within the set.
        fake: float [N,D], likewise.
        seed: seed of the groups.
        k: number of the neighbour.
        blocks: see jackknife.py.
    """
    n, d = real.shape
    # One search serves all leave-outs: each needs only the first of these neighbours that is not left out.
    neighbours = [nearest(each, each, KNOWN + k - 1, exclude_self=True) for each in (real, fake)]
    whole = [entropy_of_distances(distances[:, k - 1], k, d) for _, distances in neighbours]
    left = []
    for pair in leave_out(n, n, seed, PARTS, blocks):
        parts = [_kth_among(rows, *each, k) for rows, each in zip(pair, neighbours, strict=True)]
        left.append(entropy_of_distances(parts[1], k, d) - entropy_of_distances(parts[0], k, d))
    return jackknifed(whole[1] - whole[0], np.array(left))


def _kth_among(rows: np.ndarray, index: np.ndarray, distances: np.ndarray, k: int) -> np.ndarray:
    """Return the distance of each of these rows to its k-th nearest among these rows only."""
    kept = np.zeros(len(index), bool)
    kept[rows] = True
    place = (kept[index[rows]].cumsum(axis=1) == k).argmax(axis=1)
    return distances[rows, place]


def principal_plane(real: np.ndarray, dimensions: int = DIMENSIONS) -> np.ndarray:
    """Return the directions of largest variance of the reference: float64 [D, min(dimensions, D)], orthonormal."""
    centred = real - real.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return directions[:, ::-1][:, :dimensions]


def entropy(evidence: Evidence) -> list[Measurement]:
    """Return ``entropy/SPACE``, nats against the reference, and ``entropy_twins/SPACE``, the share of exact copies.

    Raises:
        NotMeasurable: for fewer than 20 images a set, or sets without features to compare.
    """
    real, fake = feature_pair(evidence, PRIMARY)
    if min(len(real), len(fake)) < MIN_IMAGES:
        raise NotMeasurable(f"needs at least {MIN_IMAGES} images in each set")
    plane = principal_plane(real)
    n, rng = min(len(real), len(fake), MAX_IMAGES), rng_at(evidence.seed, "entropy")
    rows = [np.sort(rng.permutation(len(each))[:n]) for each in (real, fake)]
    blocks = [None if own is None else own[chosen] for own, chosen in zip(evidence.blocks, rows, strict=True)]
    real, fake = real[rows[0]] @ plane, fake[rows[1]] @ plane
    form = Measurement(
        f"entropy/{PRIMARY}",
        0.0,
        "nats",
        n_real=n,
        n_fake=n,
        better="two-sided",
        estimator=f"Kozachenko-Leonenko, k = {NEIGHBOUR}, in {plane.shape[1]} principal directions of the reference, "
        "sets of one size" + (", standardised by the reference" if SPACES[PRIMARY].standardise else ""),
        feature_space=SPACES[PRIMARY].label,
        seed=evidence.seed,
        cite=CITE,
    )
    ours, theirs = _twins(fake), _twins(real)
    softened = (ours + 2.0) / (n + 4.0)  # Agresti and Coull: an error above 0 also for 0 of n
    low, high = wilson(ours / n, n / 2.0)  # twins come in pairs, so that half as many decide
    twins = replace(
        form,
        name=f"entropy_twins/{PRIMARY}",
        value=ours / n,
        unit="share",
        stderr=float(np.sqrt(softened * (1.0 - softened) / (n + 4.0))),
        low=low,
        high=high,
        better="lower",
        estimator=f"share with a twin in the set, in {plane.shape[1]} principal directions of the reference",
    )
    if ours or theirs:
        whose, count = ("generated", ours) if ours else ("reference", theirs)
        reason = f"minus infinity: {count} of {n} {whose} images have an exact twin in their set"
        return [replace(form, value=None, missing=reason), twins]
    gap = entropy_gap(real, fake, evidence.seed, blocks=(blocks[0], blocks[1]))
    return [replace(form, value=gap.value, stderr=gap.stderr, df=gap.df), twins]


def _twins(points: np.ndarray) -> int:
    """Return how many points coincide with another one, up to rounding."""
    size = np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))
    return int((nearest(points, points, 1, exclude_self=True)[1][:, 0] <= TWIN * size).sum())
