"""Detector: a classifier is trained to separate generated from real images; its score on held-out images is reported.

    detector/SPACE            logistic regression on the features, five-fold cross-validation
    detector/spectrum+SPACE   the same with each image's log power at every radius as additional features: noise, blur,
                              checkerboard patterns
    detector_starved/SPACE    the same trained on ten images of each kind only, the mean of up to twenty fits

The measurement is the area under the ROC curve (AUC), the probability that the classifier gives a generated image a
higher score than a real one: 0.5 for sets it cannot separate, 1 for sets it always separates. Only images that it was
not trained on are scored. If the detector is always right, it no longer ranks models; the starved one still does,
because differences that ten examples reveal are coarse ones.

The error of the AUC is DeLong's, from the variance of each image's rank among the images of the other kind, times
sqrt(1 + 4 A (1 - A)): folds share training images, so their errors are correlated, most of all where the sets do not
differ. (Measured: claimed over true .89 to 1.13 for A from .5 to .98, n from 60 to 200, 8 and 60 dimensions; without
the factor .72 at the null.) The limits are those of log(A / (1 - A)); at A = 1 they are exact for a group of images
that are always out of order (intervals.py). The ruler is taken as known: another unit changes only the penalty on the
weights, and the interval holds without it.

Lower is better; trust it from 200 images. At most 10,000 images a set are used. What it does not see: a set that lost
variety although each image looks right; and it reports that images differ, not how.

References:
    Revisiting classifier two-sample tests (Lopez-Paz, Oquab 2017), arXiv:1610.06545.
    Comparing the areas under correlated ROC curves (DeLong et al. 1988), doi:10.2307/2531595.
    Inference for the generalization error (Nadeau, Bengio 2003), doi:10.1023/A:1024068626366: correlated folds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import rng_at
from .base import Evidence, NotMeasurable
from .features import PRIMARY, SPACES, feature_pair
from .intervals import area_interval
from .jackknife import Blocks, mean_and_error
from .spectrum import log_radial_powers

__all__ = [
    "cross_fitted_odds",
    "delong_variance",
    "detector",
    "detector_features",
    "placements",
    "separability",
    "starved_separability",
]

CITE = "arXiv:1610.06545"
FOLDS = 5
MIN_IMAGES = 4 * FOLDS  # images a set: four of each kind in every fold
MAX_IMAGES = 10_000  # images a set; from a larger set this many are drawn at random
STARVED = 10  # images of each kind that the starved classifier is trained on
FITS = 20  # largest number of starved classifiers
SOFT = 0.01  # sklearn's C, the inverse strength of the L2 penalty on the weights


def placements(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each real score's share of generated scores above it, and each generated score's share of real ones below.

    Args:
        real: float [N], scores.
        fake: float [M], scores. Ties count half.

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


def delong_variance(real: np.ndarray, fake: np.ndarray, blocks: Blocks = (None, None)) -> float:
    """Return DeLong's variance of an AUC for a given classifier, from the placements [N] and [M]; N, M >= 2.

    Args:
        real: float [N].
        fake: float [M].
        blocks: see jackknife.py; a single block has no variance of its own.
    """
    errors = [mean_and_error(each, own)[1] for each, own in zip((real, fake), blocks, strict=True)]
    return float(sum((error or 0.0) ** 2 for error in errors))


def separability(real: np.ndarray, fake: np.ndarray, seed: int, blocks: Blocks = (None, None)) -> tuple[float, float]:
    """Return the cross-validated AUC of a linear classifier between two sets of features, and its standard error.

    Args:
        real: float [N,D], standardised; N >= 10.
        fake: float [M,D], standardised; M >= 10.
        seed: seed of the folds.
        blocks: see jackknife.py. They count in the error only: images of one block may stand in two folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    features = np.concatenate([real, fake])
    made = np.repeat([0, 1], [len(real), len(fake)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    results = []
    for train, test in folds.split(features, made):
        classifier = LogisticRegression(C=SOFT, class_weight="balanced", max_iter=300)
        score = classifier.fit(features[train], made[train]).decision_function(features[test])
        pair = placements(score[made[test] == 0], score[made[test] == 1])
        rows = test[made[test] == 0], test[made[test] == 1] - len(real)
        results.append((pair[1].mean(), delong_variance(*pair, _some(blocks, rows))))
    area, variance = np.mean(results, axis=0)
    return float(area), float(np.sqrt(variance / FOLDS * (1.0 + 4.0 * area * (1.0 - area))))


def starved_separability(
    real: np.ndarray, fake: np.ndarray, seed: int, images: int = STARVED, blocks: Blocks = (None, None)
) -> tuple[float, float]:
    """Return the mean AUC of linear classifiers that were trained on few images, and its standard error.

    At most half of each set is used for training, each image in one classifier; the other images are scored. Training
    and scored images are therefore independent, and their variances add.

    Args:
        real: float [N,D], standardised; N >= 4 images.
        fake: float [M,D], standardised; M >= 4 images.
        seed: seed of the halves and of the training sets.
        images: images of each kind that a classifier is trained on.
        blocks: as in :func:`separability`.
    """
    from sklearn.linear_model import LogisticRegression

    rng = rng_at(seed, "detector starved")
    orders = rng.permutation(len(real)), rng.permutation(len(fake))
    real, fake = real[orders[0]], fake[orders[1]]
    fits = min(FITS, len(real) // (2 * images), len(fake) // (2 * images))
    unseen = real[fits * images :], fake[fits * images :]
    placed = []
    for first in range(0, fits * images, images):
        training = np.concatenate([real[first : first + images], fake[first : first + images]])
        classifier = LogisticRegression(C=SOFT, max_iter=300).fit(training, np.repeat([0, 1], images))
        placed.append(placements(*(classifier.decision_function(each) for each in unseen)))
    areas = np.array([of_fake.mean() for _, of_fake in placed])
    left = _some(blocks, (orders[0][fits * images :], orders[1][fits * images :]))
    averages = [np.mean(each, axis=0) for each in zip(*placed, strict=True)]
    scored = delong_variance(averages[0], averages[1], left)
    # areas.var also contains the noise of scoring each classifier on finitely many images: subtract it
    own_noise = np.mean([delong_variance(ours, theirs, left) for ours, theirs in placed]) - scored
    from_training = max(areas.var(ddof=1) - max(own_noise, 0.0), 0.0)
    return float(areas.mean()), float(np.sqrt(from_training / fits + scored))


def detector_features(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return what ``detector/spectrum+SPACE`` reads: float64 [N,D] and [M,D], standardised by the reference.

    Raises:
        NotMeasurable: for sets without features to compare.
        ValueError: for sets of images that differ in shape.
    """
    plain, detail = feature_pair(evidence, PRIMARY), _detail(evidence)
    return np.hstack([plain[0], detail[0]]), np.hstack([plain[1], detail[1]])


def cross_fitted_odds(real: np.ndarray, fake: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-odds of being generated for every image, by a linear classifier that was not fitted on it.

    Each set is divided at random into five parts, or into as many as the smaller one has images. Each part is scored by
    the classifier that is fitted on all other parts of both sets; the two sets have equal weight.

    Args:
        real: float [N,D], standardised; N >= 2.
        fake: float [M,D], standardised; M >= 2.
        rng: for the division.

    Returns:
        (float64 [N], float64 [M]); 0 where both are equally probable.
    """
    from sklearn.linear_model import LogisticRegression

    parts = min(FOLDS, len(real), len(fake))
    labels = [rng.permutation(np.arange(len(each)) % parts) for each in (real, fake)]
    odds = np.empty(len(real)), np.empty(len(fake))
    for part in range(parts):
        training = [each[of != part] for each, of in zip((real, fake), labels, strict=True)]
        made = np.repeat([0, 1], [len(each) for each in training])
        classifier = LogisticRegression(C=SOFT, class_weight="balanced", max_iter=300)
        classifier.fit(np.concatenate(training), made)
        for each, of, found in zip((real, fake), labels, odds, strict=True):
            found[of == part] = classifier.decision_function(each[of == part])
    return odds


def _some(blocks: Blocks, rows: tuple[np.ndarray, np.ndarray]) -> Blocks:
    """Return the blocks of some rows of each set."""
    ours, theirs = (None if own is None else own[chosen] for own, chosen in zip(blocks, rows, strict=True))
    return ours, theirs


def detector(evidence: Evidence) -> list[Measurement]:
    """Return ``detector/SPACE``, ``detector/spectrum+SPACE`` and ``detector_starved/SPACE``: AUC, 0.5 at chance level.

    Raises:
        NotMeasurable: for fewer than 20 images a set, or sets without features to compare.
        ValueError: for sets of images that differ in shape.
    """
    real, fake = feature_pair(evidence, PRIMARY)
    if min(len(real), len(fake)) < MIN_IMAGES:
        raise NotMeasurable(f"needs at least {MIN_IMAGES} images in each set, to learn and to be tested")
    rng = rng_at(evidence.seed, "detector")
    rows = [np.sort(rng.permutation(len(each))[:MAX_IMAGES]) for each in (real, fake)]
    plain, blocks = (real[rows[0]], fake[rows[1]]), _some(evidence.blocks, (rows[0], rows[1]))
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
    with_spectrum = replace(
        form, name=f"detector/spectrum+{PRIMARY}", estimator=f"{form.estimator}, log radial powers beside"
    )
    how = f"logistic regression on {STARVED} images of each kind, mean of up to {FITS} lessons"
    starved = replace(form, name=f"detector_starved/{PRIMARY}", estimator=f"{how}, standardised by the reference")
    full = [
        _filled(form, *separability(*plain, evidence.seed, blocks)),
        _filled(with_spectrum, *separability(*both, evidence.seed, blocks)),
    ]
    if min(len(each) for each in plain) < 4 * STARVED:
        return [*full, replace(starved, value=None, missing=f"needs at least {4 * STARVED} images in each set")]
    return [*full, _filled(starved, *starved_separability(*plain, evidence.seed, blocks=blocks))]


def _filled(form: Measurement, area: float, stderr: float) -> Measurement:
    low, high = area_interval(area, stderr, min(form.n_real, form.n_fake))
    # at an AUC of 1 the formula gives 0: the error is unknown, the limits are not
    return replace(form, value=area, stderr=stderr or None, low=low, high=high)


def _detail(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return the log powers of both sets, standardised by the reference: float64 [N,R] and [M,R]."""
    real, fake = log_radial_powers(evidence.real), log_radial_powers(evidence.fake)
    if evidence.real.images.shape[1:] != evidence.fake.images.shape[1:]:
        shapes = evidence.real.images.shape[1:], evidence.fake.images.shape[1:]
        raise ValueError(f"detector: expected both sets of one form [C,H,W], got {shapes[0]} and {shapes[1]}")
    mean, spread = real.mean(axis=0), real.std(axis=0, ddof=1)
    alive = spread > 0
    return (real[:, alive] - mean[alive]) / spread[alive], (fake[:, alive] - mean[alive]) / spread[alive]
