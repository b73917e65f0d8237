from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.detector import area_error, detector, separability


def test_one_distribution_is_a_coin_toss_with_the_stated_error(rng):
    found = [separability(rng.standard_normal((60, 8)), rng.standard_normal((80, 8)), seed=0) for _ in range(60)]
    stated = area_error(0.5, 60, 80)
    assert abs(np.mean(found) - 0.5) < 4 * stated / np.sqrt(60)
    assert 0.75 < np.std(found) / stated < 1.35


def test_sets_far_apart_are_always_told_apart(rng):
    assert separability(rng.standard_normal((40, 5)), 9 + rng.standard_normal((50, 5)), seed=0) == 1.0


def test_a_known_shift_gives_the_known_area(rng):
    x, y = rng.standard_normal((1500, 2)), rng.standard_normal((1500, 2)) + np.array([1.0, 0.0])
    # P(N(1,1) > N(0,1)) = Phi(1 / sqrt 2) = .7602
    assert separability(x, y, seed=0) == pytest.approx(0.7602, abs=3 * area_error(0.76, 1500, 1500))


def test_the_folds_follow_the_seed(rng):
    x, y = rng.standard_normal((30, 5)), 0.5 + rng.standard_normal((30, 5))
    assert separability(x, y, seed=2**40) == separability(x, y, seed=2**40)
    assert len({separability(x, y, seed=s) for s in range(4)}) > 1


def test_the_error_of_an_area_is_its_spread_over_repeats(rng):
    truth = np.repeat([0, 1], [40, 70])
    areas = [roc_auc_score(truth, rng.standard_normal(110) + truth) for _ in range(600)]
    # Hanley and McNeil's form assumes exponential scores; for normal ones it is right within some ten per cent
    assert np.std(areas) == pytest.approx(area_error(float(np.mean(areas)), 40, 70), rel=0.15)
    assert area_error(1.0, 40, 70) == 0.0


def test_rows_name_their_space(pictures, evidence):
    found: Any = detector(evidence(pictures(40, 32, seed=1), np.minimum(pictures(30, 32, seed=2), 225) + 30))[0]
    assert found.name == "detector/randconv-s0" and found.value > 0.8 and found.unit == "AUC"
    certain: Any = detector(evidence(pictures(40, 32), 255 - pictures(40, 32, seed=2) // 3))[0]
    assert (certain.value, certain.stderr) == (1.0, None)
    with pytest.raises(NotMeasurable, match="at least 20"):
        detector(evidence(pictures(40, 32), pictures(19, 32)))
