"""Can a machine tell? A classifier learns to separate generated from real images; its score on unseen ones answers.

Logistic regression on standardised features, five-fold cross-validation; the measurement is the area under the ROC
curve (AUC), the chance that it ranks a generated image above a real one: 0.5 for sets it cannot tell apart, 1 for sets
it always tells apart. Only images it has not trained on are scored; the areas of the five folds are averaged. The
standard error is that of Hanley and McNeil, for these two sets.

What it does not see: a set that lost variety but looks right image by image; and it says that images differ, not how.

References:
    Revisiting classifier two-sample tests (Lopez-Paz, Oquab 2017), arXiv:1610.06545.
    The meaning and use of the area under a ROC curve (Hanley, McNeil 1982), doi:10.1148/radiology.143.1.7063747.
"""

from __future__ import annotations

import numpy as np

from ..measurement import Measurement
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair

__all__ = ["area_error", "detector", "separability"]

CITE = "arXiv:1610.06545"
FOLDS = 5
LEAST = 4 * FOLDS  # images a set: four of each kind in every fold


def separability(real: np.ndarray, fake: np.ndarray, seed: int) -> float:
    """Return the cross-validated AUC of a linear classifier between two sets of features.

    Args:
        real: float [N,D], standardised. fake: float [M,D]; N, M >= 5.
        seed: seed of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    features = np.concatenate([real, fake])
    made = np.repeat([0, 1], [len(real), len(fake)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    areas = []
    for train, test in folds.split(features, made):
        classifier = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300)
        score = classifier.fit(features[train], made[train]).decision_function(features[test])
        areas.append(roc_auc_score(made[test], score))
    return float(np.mean(areas))


def area_error(area: float, n_real: int, n_fake: int) -> float:
    """Return the standard error of an AUC for given numbers of images.

    Example:
        >>> round(area_error(0.5, 100, 100), 4)  # sqrt(201 / 120000), that of Wilcoxon's test
        0.0409
    """
    both_fake, both_real = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = area * (1 - area) + (n_fake - 1) * (both_fake - area**2) + (n_real - 1) * (both_real - area**2)
    return float(np.sqrt(max(variance, 0.0) / (n_real * n_fake)))


def detector(evidence: Evidence) -> list[Measurement]:
    """Return ``detector/randconv-s0``: the AUC between generated and real images.

    Raises:
        NotMeasurable: for fewer than 20 images a set, or sets without features to compare.
    """
    real, fake = feature_pair(evidence, PRIMARY)
    if min(len(real), len(fake)) < LEAST:
        raise NotMeasurable(f"needs at least {LEAST} images in each set, to learn and to be tested")
    area = separability(real, fake, evidence.seed)
    return [
        Measurement(
            f"detector/{PRIMARY}",
            area,
            "AUC",
            n_real=len(real),
            n_fake=len(fake),
            stderr=area_error(area, len(real), len(fake)) or None,  # at 1 the formula says 0, which nobody can know
            better="lower",
            estimator=f"logistic regression, {FOLDS}-fold AUC, standardised by the reference",
            feature_space=SPACES[PRIMARY].label,
            seed=evidence.seed,
            cite=CITE,
        )
    ]
