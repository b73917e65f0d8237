"""Generalisation: the distance of generated images to the training images, compared with that of held-out real images.

    generalisation            mean distance of generated images to their nearest training image, divided by the same
                              mean of held-out real images: 1 for a model that samples from the true distribution, 0
                              for one that copies
    generalisation_distance   the mean distance itself, a feature's root mean square: the published score

The ratio of a model that memorises falls from 1 towards 0; that of a model whose images are far from all data is above
1. So the ratio is two-sided, and only a value below 1 suggests copying. Distances are Euclidean in the primary space,
in units of a feature's spread over the reference. The training images are the real ones of generation 0: in later
generations this measures how far the loop has drifted from them, not whether a model copies its own pool.

Both are >= 0. Both distances fall as the training set grows; the ratio of equal distributions does not. Trust it from
200 images. It does not see what the features do not, such as a copied detail in a new image.

Errors. The images whose nearest training image is the same one, generated and held-out, depend on it together: they are
one block (jackknife.py, equation 3) of the influences (d_i - mean d) / M and -ratio (e_i - mean e) / N. The held-out
images are the ruler, too, which is added to first order by d |x - t| / d log s_d = -(x_d - t_d)^2 / |x - t|. Measured
with n = 300 over 100 splits (faces, PPCA, a VAE after one and five generations), stated over true error .97 to 1.23 of
the ratio and 1.13 to 1.23 of the distance (on Gaussians of six dimensions 1.1 and 1.45); with the training images and
the ruler taken as known .42 to .79 of the distance.

References:
    A closer look at model collapse: from a generalization-to-memorization perspective (Shi et al. 2025),
    arXiv:2509.16499: the generalization score. Differs from it: its ratio to held-out real images is added.
    Generalization in diffusion models arises from geometry-adaptive harmonic representations (Kadkhodaie et al. 2024),
    arXiv:2310.02557: comparison with held-out images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..measurement import Measurement
from .base import Evidence
from .distances import training_features
from .features import PRIMARY, SPACES
from .jackknife import degrees, mean_and_error
from .neighbours import nearest
from .ruler import ruler_influence

__all__ = ["generalisation", "novelty"]

CITE = "arXiv:2509.16499"


def novelty(images: np.ndarray, train: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Return each image's distance to its nearest training image, a feature's root mean square.

    Args:
        images: float [N,D], features.
        train: float [T,D], features.
        device: torch device of the search.

    Returns:
        float64 [N], >= 0; 0 for a copy.

    Example:
        >>> novelty(np.array([[3.0, 4.0]]), np.zeros((1, 2))).round(3).tolist()  # 5 / sqrt 2
        [3.536]
    """
    return nearest(images, train, device=device)[1][:, 0] / np.sqrt(train.shape[1])


def generalisation(evidence: Evidence) -> list[Measurement]:
    """Return ``generalisation/SPACE`` and ``generalisation_distance/SPACE`` in the primary space.

    Raises:
        NotMeasurable: where the evidence has no training set, or sets without features to compare.
    """
    heldout, fake, train = training_features(evidence, PRIMARY)
    near = _Near.of(fake, train, evidence.device), _Near.of(heldout, train, evidence.device)
    mean, of_heldout = (float(each.distance.mean()) for each in near)
    freedom = degrees(len(fake), len(train), evidence.real.independent)
    standardised = ", standardised by the reference" if SPACES[PRIMARY].standardise else ""
    form = Measurement(
        f"generalisation/{PRIMARY}",
        0.0,
        "ratio",
        n_real=len(heldout),
        n_fake=len(fake),
        better="two-sided",
        estimator=f"mean distance to the nearest of {len(train)} training images, over held-out images'{standardised}",
        feature_space=SPACES[PRIMARY].label,
        cite=CITE,
    )
    published = replace(
        form,
        name=f"generalisation_distance/{PRIMARY}",
        value=mean,
        stderr=_error(near, (1.0, 0.0), evidence),
        df=freedom,
        unit="spreads",
        estimator=f"mean distance to the nearest of {len(train)} training images, root mean square{standardised}",
    )
    if of_heldout == 0.0:
        return [replace(form, value=None, missing="every held-out image is a copy of a training image"), published]
    ratio = mean / of_heldout
    stderr = _error(near, (1.0 / of_heldout, -ratio / of_heldout), evidence)
    return [replace(form, value=ratio, stderr=stderr, df=freedom), published]


@dataclass(frozen=True, eq=False)
class _Near:
    """Images and their nearest training images.

    Attributes:
        points: float [N,D].
        hubs: row of each one's nearest training image, int64 [N].
        distance: its distance, a feature's root mean square, float64 [N].
        by_unit: derivative of the mean distance by the log of each feature's unit, float64 [D].
    """

    points: np.ndarray
    hubs: np.ndarray
    distance: np.ndarray
    by_unit: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, train: np.ndarray, device: str) -> _Near:
        index, distance = nearest(points, train, device=device)
        hubs, d = index[:, 0], points.shape[1]
        apart = np.maximum(distance, 1e-12)  # a copy has no gap in any feature
        return cls(points, hubs, distance[:, 0] / np.sqrt(d), -np.mean((points - train[hubs]) ** 2 / apart, 0) / d**0.5)


def _error(near: tuple[_Near, _Near], weights: tuple[float, float], evidence: Evidence) -> float | None:
    """Return the standard error of the weighted sum of both mean distances; None for too few images."""
    train = evidence.train
    hubs = np.concatenate([each.hubs for each in near])
    if train is not None and train.groups is not None:
        hubs = train.groups[hubs]
    n = len(hubs)
    influence = [
        weight * (each.distance - each.distance.mean()) * n / len(each.distance)
        for weight, each in zip(weights, near, strict=True)
    ]
    of_images = mean_and_error(np.concatenate(influence), hubs)[1]
    if of_images is None or not SPACES[PRIMARY].standardise:
        return of_images or None
    by_unit = weights[0] * near[0].by_unit + weights[1] * near[1].by_unit
    reference = near[1].points
    of_ruler = mean_and_error(ruler_influence(reference, 0.0 * by_unit, by_unit), evidence.real.groups)[1]
    return float(np.hypot(of_images, of_ruler or 0.0)) or None
