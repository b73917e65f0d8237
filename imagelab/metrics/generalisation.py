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
200 images. The errors are conditional on the given training images. It does not see what the features do not, such as
a copied detail in a new image.

References:
    A closer look at model collapse: from a generalization-to-memorization perspective (Shi et al. 2025),
    arXiv:2509.16499: the generalization score. Differs from it: its ratio to held-out real images is added.
    Generalization in diffusion models arises from geometry-adaptive harmonic representations (Kadkhodaie et al. 2024),
    arXiv:2310.02557: comparison with held-out images.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from .base import Evidence
from .distances import training_features
from .features import PRIMARY, SPACES
from .neighbours import nearest

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
    mean, error = _mean_and_error(ours)
    published = replace(
        form,
        name=f"generalisation_distance/{PRIMARY}",
        value=mean,
        stderr=error,
        unit="spreads",
        estimator=f"mean distance to the nearest of {len(train)} training images, root mean square{standardised}",
    )
    of_heldout, its_error = _mean_and_error(theirs)
    if of_heldout == 0.0:
        return [replace(form, value=None, missing="every held-out image is a copy of a training image"), published]
    ratio = mean / of_heldout
    stderr = None if error is None or its_error is None else float(np.hypot(error, ratio * its_error) / of_heldout)
    return [replace(form, value=ratio, stderr=stderr), published]


def _mean_and_error(distances: np.ndarray) -> tuple[float, float | None]:
    n = len(distances)
    return float(distances.mean()), float(distances.std(ddof=1) / np.sqrt(n)) if n > 1 else None
