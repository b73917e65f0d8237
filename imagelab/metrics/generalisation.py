"""Does the model make new pictures? How far generated images keep from the training images, against unseen real ones.

    generalisation            mean distance of generated images to their nearest training image, over the same mean of
                              held-out real images: 1 for a model that draws from the truth, 0 for one that copies
    generalisation_distance   the mean distance itself, a feature's root mean square: the published score

A model that memorises falls towards 0 on its way from 1; one that makes what lies far from all data rises above 1: so
the ratio is two-sided, and only below 1 is it a matter of copying. Distances are Euclidean in the primary space, in
units of a feature's spread over the reference. The training images are the real ones of generation 0: in later
generations this says how far the loop has drifted from them, not whether a model copies its own pool.

0 and up; both fall as the training set grows, the ratio of equals does not; trust it from 200 images. The errors are
for the given training images. It does not see what the features do not, such as a copied detail in a new picture.

References:
    A closer look at model collapse: from a generalization-to-memorization perspective (Shi et al. 2025),
    arXiv:2509.16499: the generalization score. Differs from it: beside the distance, its ratio to unseen real images.
    Generalization in diffusion models arises from geometry-adaptive harmonic representations (Kadkhodaie et al. 2024),
    arXiv:2310.02557: held-out images as the yardstick.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from .base import Evidence
from .distances import training_features
from .features import PRIMARY, SPACES
from .jackknife import mean_and_error
from .neighbours import nearest

__all__ = ["generalisation", "novelty"]

CITE = "arXiv:2509.16499"


def novelty(images: np.ndarray, train: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Return each image's distance to its nearest training image, a feature's root mean square.

    Args:
        images: float [N,D], features. train: float [T,D].
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
        NotMeasurable: where the evidence holds no training set, or sets without features to compare.
    """
    heldout, fake, train = training_features(evidence, PRIMARY)
    ours, theirs = (novelty(each, train, evidence.device) for each in (fake, heldout))
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
    mean, error = mean_and_error(ours)
    published = replace(
        form,
        name=f"generalisation_distance/{PRIMARY}",
        value=mean,
        stderr=error,
        unit="spreads",
        estimator=f"mean distance to the nearest of {len(train)} training images, root mean square{standardised}",
    )
    yardstick, its_error = mean_and_error(theirs)
    if yardstick == 0.0:
        return [replace(form, value=None, missing="every held-out image is a copy of a training image"), published]
    ratio = mean / yardstick
    stderr = None if error is None or its_error is None else float(np.hypot(error, ratio * its_error) / yardstick)
    return [replace(form, value=ratio, stderr=stderr), published]
