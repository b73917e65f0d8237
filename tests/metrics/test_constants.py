"""The documented constants of the metrics, checked against independent computations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from imagelab.metrics import METRICS, Evidence, ImageSet, NotMeasurable
from imagelab.metrics.detector import detector, separability, starved_separability
from imagelab.metrics.entropy import entropy, entropy_gap, knn_entropy, principal_plane
from imagelab.metrics.features import PRIMARY, feature_pair
from imagelab.metrics.jackknife import group_labels, jackknife, leave_out
from imagelab.metrics.prdc import prdc, prdc_errors, prdc_of
from imagelab.metrics.sliced import sliced_w2
from imagelab.seeds import seed_at

Pictures = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def evidence_of() -> Callable[[Pictures, int], Evidence]:
    return lambda pictures, n: Evidence(ImageSet(pictures(n, 32, seed=1)), ImageSet(pictures(n, 32, seed=2)), seed=3)


def test_the_jackknife_leaves_out_twentieths():
    asked: list[int] = []

    def statistic(real: np.ndarray, fake: np.ndarray) -> float:
        asked.append(len(real))
        return float(len(fake))

    jackknife(statistic, 40, 60, seed=0)
    assert asked == [40] + [38] * 20


def test_balls_reach_to_the_fifth_neighbour_and_errors_come_from_four_cuts_into_fifths(rng, pictures, evidence_of):
    evidence = evidence_of(pictures, 40)
    assert tuple(m.value for m in prdc(evidence)) == prdc_of(*feature_pair(evidence, PRIMARY), k=5)
    real, fake = rng.standard_normal((2, 200, 8))
    assert prdc_errors(real[:199], fake, 7) is None
    variances = []
    for cut in range(4):
        ours, theirs = group_labels(200, 200, seed_at(7, "prdc", row=cut), 5)
        parts = np.array([prdc_of(real[ours == part], fake[theirs == part], 5) for part in range(5)])
        variances.append(parts.var(axis=0, ddof=1) / 5)
    assert prdc_errors(real, fake, 7) == pytest.approx(np.sqrt(np.mean(variances, axis=0)))


def test_entropy_is_taken_in_ten_directions_with_twenty_groups_from_twenty_images(rng, pictures, evidence_of):
    evidence = evidence_of(pictures, 20)
    real, fake = feature_pair(evidence, PRIMARY)
    plane = np.linalg.svd(real - real.mean(0), full_matrices=False)[2][:10].T
    wanted = knn_entropy(fake @ plane) - knn_entropy(real @ plane)
    assert entropy(evidence)[0].value == pytest.approx(wanted) and principal_plane(real).shape[1] == 10
    with pytest.raises(NotMeasurable, match="at least 20 images"):
        entropy(evidence_of(pictures, 19))
    ours, theirs = rng.standard_normal((2, 60, 3))
    left = [knn_entropy(theirs[b]) - knn_entropy(ours[a]) for a, b in leave_out(60, 60, 5, 20)]
    gap = entropy_gap(ours, theirs, 5)
    assert gap.value == pytest.approx(knn_entropy(theirs) - knn_entropy(ours))
    assert gap.stderr == pytest.approx(np.sqrt(19 / 20 * np.sum((np.array(left) - np.mean(left)) ** 2)))


def test_the_detector_is_a_soft_regression_in_five_folds(rng):
    real, fake = rng.standard_normal((2, 30, 6)) + np.array([0.0, 0.4]).reshape(2, 1, 1)
    classifier = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300)
    folds = StratifiedKFold(5, shuffle=True, random_state=4)
    made = np.repeat([0, 1], 30)
    scores = cross_val_score(classifier, np.concatenate([real, fake]), made, cv=folds, scoring="roc_auc")
    assert separability(real, fake, 4)[0] == pytest.approx(scores.mean())


def test_the_starved_detector_learns_from_ten_of_each_in_twenty_lessons_at_most(
    rng, pictures, evidence_of, monkeypatch: pytest.MonkeyPatch
):
    taught: list[int] = []
    fit = LogisticRegression.fit

    def record(self, features, made, *rest):
        taught.append(len(features))
        return fit(self, features, made, *rest)

    monkeypatch.setattr(LogisticRegression, "fit", record)
    for n, fits in ((40, 2), (100, 5), (900, 20)):
        taught.clear()
        starved_separability(*rng.standard_normal((2, n, 3)), seed=0)
        assert taught == [20] * fits
    with pytest.raises(NotMeasurable, match="at least 20 images"):
        detector(evidence_of(pictures, 19))


def test_sliced_distances_are_taken_along_256_lines_and_mind_along_1000(pictures, evidence_of):
    evidence = evidence_of(pictures, 30)
    real, fake = feature_pair(evidence, PRIMARY)
    plain = METRICS["sliced_w2"].measure(evidence)[0]
    assert plain.value == pytest.approx(sliced_w2(real, fake, evidence.seed, 256)) and "256 lines" in plain.estimator
    mind = METRICS["mind"].measure(evidence)[0]
    assert mind.missing and "1000 lines" in mind.estimator and mind.estimator.startswith("3 D")
