"""The RBF kernel distance: squared maximum mean discrepancy under k(x, y) = exp(-|x - y|^2 / (2 sigma^2)).

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j)

This is the form of CMMD, which has the features of CLIP and sigma = 10. Here the features are the package's own and
sigma is the median distance between two reference images, which fits any space. The kernel is bounded, so a few
far-away images count no more than others, and it sees any difference of distribution, where the cubic kernel of
``kernel`` sees moments up to the third. Unbiased at any n, so it can be negative. Lower is better. It does not see what
the features do not. Trust it from 100 images.

The standard error is the delete-one jackknife of both sets from row sums of the kernel. The reference sets the unit of
each feature, so each real image also changes the distance by way of the spread of each feature; this influence is added
to first order (a shift of the zero point moves both sets alike and changes nothing, nor does a common scale, which
sigma follows).

References:
    Rethinking FID: towards a better evaluation metric for image generation (Jayasumana et al. 2024), arXiv:2401.09603.
    A kernel two-sample test (Gretton et al. 2012), JMLR 13:723-773: the median heuristic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..io.large_arrays import blocks_of
from ..measurement import Measurement
from .all_pairs import all_pairs, say_forecast
from .base import Evidence, Metric
from .distances import distance_form
from .features import PRIMARY
from .jackknife import Blocks, mean_and_error

__all__ = ["ROW", "biased_rbf_distance", "kernel_rbf", "median_distance", "rbf_distance"]

CITE = "arXiv:2401.09603"
FACTOR = 1000.0  # of CMMD: the values are small
BLOCK = 1024  # rows of pairs at a time
COLUMNS = 16_384  # columns of pairs at a time: a block of pairs is 128 MiB


def median_distance(points: np.ndarray) -> float:
    """Return the median distance between two different points: float [N,D], N >= 2; of at most 2,000 of them.

    Example:
        >>> median_distance(np.array([[0.0], [1.0], [3.0]]))
        2.0
    """
    some = points[:: -(-len(points) // 2000)]
    rows, columns = np.triu_indices(len(some), 1)
    return float(np.median(np.sqrt(_squares(some, some)[rows, columns])))


def rbf_distance(
    real: np.ndarray, fake: np.ndarray, sigma: float | None = None, blocks: Blocks = (None, None)
) -> tuple[float, float | None]:
    """Return the unbiased MMD^2 of two sets of features and its standard error.

    Args:
        real: float [N,D], N >= 2.
        fake: float [M,D], M >= 2.
        sigma: width of the kernel, known exactly, in units that are known exactly, too; None for features that are
            standardised by ``real``: then it is :func:`median_distance` of ``real``, and the error includes the units.
        blocks: see jackknife.py; the influences of the images of a block are added up.

    Returns:
        (MMD^2, standard error); the error is None below three images a set, or with a single block.

    Raises:
        ValueError: for a sigma that is not positive, or real images that all coincide.
    """
    width = median_distance(real) if sigma is None else sigma
    if not width > 0:
        raise ValueError(f"rbf: expected a width above 0, got {width:g}")
    n, m = len(real), len(fake)
    within_real, within_fake = _Sums.of(real, real, width, own=True), _Sums.of(fake, fake, width, own=True)
    across = _Sums.of(real, fake, width, own=False)
    total = within_real.rows.sum(), within_fake.rows.sum(), across.rows.sum()
    value = _mmd(*total, n, m)
    if min(n, m) < 3:
        return float(value), None
    # pseudo-values: what the distance would change without image i, for every i at once
    without_real = _mmd(total[0] - 2 * within_real.rows, total[1], total[2] - across.rows, n - 1, m)
    without_fake = _mmd(total[0], total[1] - 2 * within_fake.rows, total[2] - across.columns, n, m - 1)
    of_real = (n - 1) * (value - without_real)
    if sigma is None:
        by_scale = _mmd(within_real.by_scale, within_fake.by_scale, across.by_scale, n, m)  # [D], by the log of z_d
        by_scale = by_scale - by_scale.mean()  # sigma follows a common scale
        of_real = of_real - (real**2 - 1.0) @ by_scale / 2.0
    of_fake = (m - 1) * (value - without_fake)
    errors = [mean_and_error(each, own)[1] for each, own in zip((of_real, of_fake), blocks, strict=True)]
    known = [error for error in errors if error is not None]
    return float(value), math.hypot(*known) if len(known) == 2 else None


def biased_rbf_distance(real: np.ndarray, fake: np.ndarray, sigma: float) -> float:
    """Return MMD^2 with pairs of an image with itself: never negative, and above the unbiased value.

    Args:
        real: float [N,D].
        fake: float [M,D].
        sigma: width of the kernel, above 0.
    """
    n, m = len(real), len(fake)
    within = [_Sums.of(each, each, sigma, own=True).rows.sum() + len(each) for each in (real, fake)]
    across = _Sums.of(real, fake, sigma, own=False).rows.sum()
    return float(within[0] / n**2 + within[1] / m**2 - 2.0 * across / (n * m))


def _mmd(within_real, within_fake, across, n: int, m: int):
    """Return MMD^2 from sums of kernel values over ordered pairs; the sums may be arrays."""
    return within_real / (n * (n - 1)) + within_fake / (m * (m - 1)) - 2.0 * across / (n * m)


def _squares(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    squares = np.einsum("nd,nd->n", left, left)[:, None] + np.einsum("nd,nd->n", right, right) - 2.0 * left @ right.T
    return np.maximum(squares, 0.0)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of the kernel over all pairs of two sets, without pairs of an image with itself.

    Attributes:
        rows: float64 [N], over the right set.
        columns: float64 [M], over the left set.
        by_scale: float64 [D], derivative of the whole sum by the log of a common unit of each feature.
    """

    rows: np.ndarray
    columns: np.ndarray
    by_scale: np.ndarray

    @classmethod
    def of(cls, left: np.ndarray, right: np.ndarray, width: float, own: bool) -> _Sums:
        rows, columns, product = np.zeros(len(left)), np.zeros(len(right)), np.zeros(left.shape[1])
        for at, part in blocks_of(left, BLOCK):
            for across, others in blocks_of(right, COLUMNS):
                kernel = np.exp(_squares(part, others) / (-2.0 * width**2))
                if own:
                    same = np.arange(max(at.start, across.start), min(at.stop, across.stop))
                    kernel[same - at.start, same - across.start] = 0.0
                rows[at] += kernel.sum(axis=1)
                columns[across] += kernel.sum(axis=0)
                product += np.einsum("nd,nd->d", part, kernel @ others)
        # d k / d log s_d = -k (x_d - y_d)^2 / sigma^2
        by_scale = -(rows @ left**2 + columns @ right**2 - 2.0 * product) / width**2
        return cls(rows, columns, by_scale)


def kernel_rbf(evidence: Evidence) -> list[Measurement]:
    """Return ``kernel_rbf/SPACE`` in the primary space: 1,000 times MMD^2.

    Raises:
        NotMeasurable: for sets without features to compare.
    """
    sets = all_pairs(evidence, PRIMARY)
    estimator = "1000 x unbiased MMD^2, RBF, sigma = median distance of the reference, all pairs"
    form = distance_form(evidence, PRIMARY, f"kernel_rbf/{PRIMARY}", estimator, CITE)
    form = replace(form, estimator=form.estimator + sets.note, n_real=len(sets.real), n_fake=len(sets.fake))
    say_forecast("kernel_rbf", sets.real, sets.fake, rbf_distance)
    try:
        value, stderr = rbf_distance(sets.real, sets.fake, blocks=sets.blocks)
    except ValueError as error:
        return [replace(form, value=None, missing=str(error))]
    if stderr is None:
        return [replace(form, value=FACTOR * value)]
    return [replace(form, value=FACTOR * value, stderr=FACTOR * stderr, df=sets.degrees)]


ROW = Metric(
    kernel_rbf,
    title="RBF kernel distance (the form of CMMD, not CMMD)",
    unit="",
    what="How far the set of generated images is from the real set; a few odd images count no more than others.",
    blind="A lost group: a fifth of all faces may be missing and it hardly moves; what its network does not notice.",
    better="lower",
    least=100,
    cite=CITE,
)
