"""The Fréchet distance between two sets of features, each taken as a Gaussian.

    d^2 = |mu_1 - mu_2|^2 + Tr S_1 + Tr S_2 - 2 Tr (S_1 S_2)^(1/2)

With S = A^T A for any factor A (the centred features over sqrt(n-1), or the R of their QR), the last trace is the sum
of the singular values of A_1 A_2^T. No square root of a matrix is taken: identical sets give 1e-15 where sqrtm gives
2e-7, a hundred times faster. All of it in float64.

The plain value is biased upwards by about c/n; so the jackknifed one stands beside it, and no two values of different n
should be compared. Lower is better. Trust it from some ten images a feature dimension; below, prefer the kernel
distance. It does not see what does not move mean and covariance of the features; single freckles hardly do.

References:
    GANs trained by a two time-scale update rule (Heusel et al. 2017), arXiv:1706.08500.
    Effectively unbiased FID and Inception Score (Chong, Forsyth 2020), arXiv:1911.07023.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import stream
from .base import Evidence, NotMeasurable
from .features import DISTANCE_SPACES, SPACES, feature_pair
from .inception import NAME as INCEPTION
from .jackknife import jackknife

__all__ = ["fid", "frechet", "frechet_distance", "frechet_infinity", "frechet_rows"]

CITE = "arXiv:1706.08500"


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the (squared) Fréchet distance between two sets of features.

    Args:
        real: float [N,D]. fake: float [M,D]; N, M >= 2; any of them may be smaller than D.

    Returns:
        d^2 in squared units of the features; >= 0 but for rounding.

    Raises:
        ValueError: for sets of fewer than two, or of different D.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((50, 3))
        >>> round(frechet_distance(x, x + [3.0, 0.0, 4.0]), 9)
        25.0
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < 2:
        raise ValueError(f"frechet: expected [N,D] and [M,D] with N, M >= 2, got {real.shape} and {fake.shape}")
    (mean_real, factor_real), (mean_fake, factor_fake) = _gaussian(real), _gaussian(fake)
    overlap = np.linalg.svd(factor_real @ factor_fake.T, compute_uv=False).sum()
    gap = np.sum((mean_real - mean_fake) ** 2)
    return float(gap + np.sum(factor_real**2) + np.sum(factor_fake**2) - 2.0 * overlap)


def _gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean [D] and a factor A [min(N,D),D] with A^T A = the sample covariance (ddof 1)."""
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    return mean, centred if len(features) <= features.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def frechet_infinity(real: np.ndarray, fake: np.ndarray, seed: int, points: int = 10) -> float:
    """Return the Fréchet distance extrapolated to infinitely many images.

    The distance of random subsets of both sets, from a fifth of the images to all, is fitted by a line in 1/fraction;
    its value at 0 is the answer.

    Args:
        real: float [N,D]. fake: float [M,D].
        seed: seed of the subsets.
        points: how many subset sizes, >= 2.

    Raises:
        ValueError: where a fifth of a set is fewer than two images.

    References:
        Effectively unbiased FID and Inception Score (Chong, Forsyth 2020), arXiv:1911.07023. Differs from it: both
        sets shrink in proportion, so that the bias of both vanishes at the intercept.
    """
    if min(len(real), len(fake)) < 10 or points < 2:
        raise ValueError(f"frechet_infinity: expected >= 10 images a set and >= 2 points, got {len(real)}, {len(fake)}")
    fractions = np.linspace(0.2, 1.0, points)
    values = []
    for index, fraction in enumerate(fractions):
        rng = stream(seed, "frechet-infinity", row=index)
        parts = [each[rng.permutation(len(each))[: round(fraction * len(each))]] for each in (real, fake)]
        values.append(frechet_distance(*parts))
    return float(np.polyfit(1.0 / fractions, values, 1)[1])


def frechet_rows(evidence: Evidence, space: str, name: str) -> list[Measurement]:
    """Return the plain distance in one space under ``name``, and the jackknifed one under its ``_corrected`` name."""
    chosen = SPACES[space]
    plain = Measurement(
        name,
        0.0,
        n_real=len(evidence.real),
        n_fake=len(evidence.fake),
        better="lower",
        estimator="nuclear norm, float64" + (", standardised by the reference" if chosen.standardise else ""),
        feature_space=chosen.label,
        resize=chosen.resize,
        seed=evidence.seed,
        cite=CITE,
    )
    stem, slash, tail = name.partition("/")
    corrected = replace(plain, name=f"{stem}_corrected{slash}{tail}", estimator=f"{plain.estimator}, jackknifed")
    try:
        real, fake = feature_pair(evidence, space)
    except NotMeasurable as error:
        return [replace(each, value=None, missing=str(error)) for each in (plain, corrected)]
    found = jackknife(lambda r, f: frechet_distance(real[r], fake[f]), len(real), len(fake), evidence.seed)
    plain = replace(plain, value=found.value, stderr=found.stderr)
    if found.corrected is None:
        return [plain, replace(corrected, value=None, missing="needs at least 3 images in each set")]
    return [plain, replace(corrected, value=found.corrected, stderr=found.stderr)]


def frechet(evidence: Evidence) -> list[Measurement]:
    """Return ``frechet/SPACE`` and ``frechet_corrected/SPACE`` in each space of ``DISTANCE_SPACES``."""
    return [row for space in DISTANCE_SPACES for row in frechet_rows(evidence, space, f"frechet/{space}")]


def fid(evidence: Evidence) -> list[Measurement]:
    """Return ``fid`` and ``fid_corrected``: the distance in Inception's features, and in no others."""
    return frechet_rows(evidence, INCEPTION, "fid")
