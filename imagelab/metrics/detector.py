"""Can a machine tell? A classifier learns to separate generated from real images; its score on unseen ones answers.

    detector/SPACE            logistic regression on the features, five-fold cross-validation
    detector/spectrum+SPACE   the same with each image's log power at every radius beside them: grain, blur, chequers
    detector_starved/SPACE    the same learning from ten images of each kind only, the mean of up to twenty lessons

The measurement is the area under the ROC curve (AUC), the chance that it ranks a generated image above a real one: 0.5
for sets it cannot tell apart, 1 for sets it always tells apart. Only images it has not trained on are scored. A
detector that is always right ranks no models any more; the starved one still does: what ten examples betray is coarse.

The error of an area is DeLong's, from how each image's rank among the other kind scatters, times sqrt(1 + 4 A (1 - A)):
folds that share their training images err together, most of all where there is nothing to learn. (Measured: claimed
over true .89 to 1.13 for A from .5 to .98, n from 60 to 200, 8 and 60 dimensions; without the factor .72 at the null.)

Lower is better; trust it from 200 images. At most 10,000 images a set are used. What it does not see: a set that lost
variety but looks right image by image; and it says that images differ, not how.

References:
    Revisiting classifier two-sample tests (Lopez-Paz, Oquab 2017), arXiv:1610.06545.
    Comparing the areas under correlated ROC curves (DeLong et al. 1988), doi:10.2307/2531595.
    Inference for the generalization error (Nadeau, Bengio 2003), doi:10.1023/A:1024068626366: why folds err together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import rng_at
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair
from .spectrum import log_radial_powers

__all__ = ["delong_variance", "detector", "placements", "separability", "starved_separability"]

CITE = "arXiv:1610.06545"
FOLDS = 5
MIN_IMAGES = 4 * FOLDS  # images a set: four of each kind in every fold
MAX_IMAGES = 10_000  # images a set; more are drawn from at random
STARVED = 10  # images of each kind that the starved classifier learns from
FITS = 20
SOFT = 0.01  # inverse strength of the ridge on the classifier's weights, sklearn's C


def placements(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, of each real score, the share of generated ones above it, and of each generated one, of real ones below.

    Args:
        real: float [N], scores. fake: float [M]. Ties count half.

    Returns:
        (float64 [N], float64 [M]); the mean of either is the AUC.

    Example:
        >>> [each.tolist() for each in placements(np.array([0.0, 1.0]), np.array([0.5, 2.0]))]
        [[1.0, 0.5], [0.5, 1.0]]
    """
    from scipy.stats import rankdata

    n, m = len(real), len(fake)
    rank = rankdata(np.concatenate([real, fake]))
    return 1.0 - (rank[:n] - rankdata(real)) / m, (rank[n:] - rankdata(fake)) / n


def delong_variance(real: np.ndarray, fake: np.ndarray) -> float:
    """Return DeLong's variance of an AUC for a given classifier, from the placements [N] and [M]; N, M >= 2."""
    return float(real.var(ddof=1) / len(real) + fake.var(ddof=1) / len(fake))


def separability(real: np.ndarray, fake: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the cross-validated AUC of a linear classifier between two sets of features, and its standard error.

    Args:
        real: float [N,D], standardised. fake: float [M,D]; N, M >= 10.
        seed: seed of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    features = np.concatenate([real, fake])
    made = np.repeat([0, 1], [len(real), len(fake)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    found = []
    for train, test in folds.split(features, made):
        classifier = LogisticRegression(C=SOFT, class_weight="balanced", max_iter=300)
        score = classifier.fit(features[train], made[train]).decision_function(features[test])
        pair = placements(score[made[test] == 0], score[made[test] == 1])
        found.append((pair[1].mean(), delong_variance(*pair)))
    area, variance = np.mean(found, axis=0)
    return float(area), float(np.sqrt(variance / FOLDS * (1.0 + 4.0 * area * (1.0 - area))))


def starved_separability(real: np.ndarray, fake: np.ndarray, seed: int, images: int = STARVED) -> tuple[float, float]:
    """Return the mean AUC of linear classifiers that learnt from few images, and its standard error.

    Half of each set teaches, each image once; the other half is scored. So lessons and scores are independent, and
    their variances add.

    Args:
        real: float [N,D], standardised. fake: float [M,D]; N, M >= 4 images.
        seed: seed of the halves and of the lessons.
        images: how many of each kind a classifier learns from.
    """
    from sklearn.linear_model import LogisticRegression

    rng = rng_at(seed, "detector starved")
    real, fake = (each[rng.permutation(len(each))] for each in (real, fake))
    fits = min(FITS, len(real) // (2 * images), len(fake) // (2 * images))
    unseen = real[fits * images :], fake[fits * images :]
    placed = []
    for first in range(0, fits * images, images):
        learnt = np.concatenate([real[first : first + images], fake[first : first + images]])
        classifier = LogisticRegression(C=SOFT, max_iter=300).fit(learnt, np.repeat([0, 1], images))
        placed.append(placements(*(classifier.decision_function(each) for each in unseen)))
    areas = np.array([of_fake.mean() for _, of_fake in placed])
    scored = delong_variance(*(np.mean(each, axis=0) for each in zip(*placed, strict=True)))
    own_noise = (
        np.mean([delong_variance(*pair) for pair in placed]) - scored
    )  # of each lesson's score, in areas.var too
    taught = max(areas.var(ddof=1) - max(own_noise, 0.0), 0.0)
    return float(areas.mean()), float(np.sqrt(taught / fits + scored))


def detector(evidence: Evidence) -> list[Measurement]:
    """Return ``detector/SPACE``, ``detector/spectrum+SPACE`` and ``detector_starved/SPACE``: areas, 0.5 is guessing.

    Raises:
        NotMeasurable: for fewer than 20 images a set, or sets without features to compare.
        ValueError: for sets of images that differ in form.
    """
    real, fake = feature_pair(evidence, PRIMARY)
    if min(len(real), len(fake)) < MIN_IMAGES:
        raise NotMeasurable(f"needs at least {MIN_IMAGES} images in each set, to learn and to be tested")
    rng = rng_at(evidence.seed, "detector")
    rows = [np.sort(rng.permutation(len(each))[:MAX_IMAGES]) for each in (real, fake)]
    plain = real[rows[0]], fake[rows[1]]
    detail = _detail(evidence)
    both = np.hstack([plain[0], detail[0][rows[0]]]), np.hstack([plain[1], detail[1][rows[1]]])
    form = Measurement(
        f"detector/{PRIMARY}",
        0.0,
        "AUC",
        n_real=len(rows[0]),
        n_fake=len(rows[1]),
        better="lower",
        estimator=f"logistic regression, {FOLDS}-fold AUC, standardised by the reference",
        feature_space=SPACES[PRIMARY].label,
        seed=evidence.seed,
        cite=CITE,
    )
    beside = replace(form, name=f"detector/spectrum+{PRIMARY}", estimator=f"{form.estimator}, log radial powers beside")
    how = f"logistic regression on {STARVED} images of each kind, mean of up to {FITS} lessons"
    starved = replace(form, name=f"detector_starved/{PRIMARY}", estimator=f"{how}, standardised by the reference")
    found = [_told(form, *separability(*plain, evidence.seed)), _told(beside, *separability(*both, evidence.seed))]
    if min(len(each) for each in plain) < 4 * STARVED:
        return [*found, replace(starved, value=None, missing=f"needs at least {4 * STARVED} images in each set")]
    return [*found, _told(starved, *starved_separability(*plain, evidence.seed))]


def _told(form: Measurement, area: float, stderr: float) -> Measurement:
    return replace(form, value=area, stderr=stderr or None)  # at 1 the formula says 0, which nobody can know


def _detail(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return the log powers of both sets in units of the reference's spread: float64 [N,R] and [M,R]."""
    real, fake = log_radial_powers(evidence.real), log_radial_powers(evidence.fake)
    if evidence.real.images.shape[1:] != evidence.fake.images.shape[1:]:
        shapes = evidence.real.images.shape[1:], evidence.fake.images.shape[1:]
        raise ValueError(f"detector: expected both sets of one form [C,H,W], got {shapes[0]} and {shapes[1]}")
    mean, spread = real.mean(axis=0), real.std(axis=0, ddof=1)
    alive = spread > 0
    return (real[:, alive] - mean[alive]) / spread[alive], (fake[:, alive] - mean[alive]) / spread[alive]
