"""Scores into numbers: closed forms, chance level, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from imagelab.detection.classifier import fit_detector
from imagelab.detection.verdicts import judge_scores, rate_at, share_of


def test_a_detector_of_two_equal_sets_is_at_chance_level(rng: np.random.Generator) -> None:
    held, areas = 0, []
    for _ in range(60):
        sets = [{"x": rng.standard_normal((80, 12))} for _ in range(4)]
        detector = fit_detector(sets[0], sets[1], ("x",))
        area = judge_scores(detector.scores(sets[2]), detector.scores(sets[3])).area
        areas.append(area.value)
        held += area.low <= 0.5 <= area.high
    assert held >= 51  # of 60; 95 % of them are 57
    assert abs(np.mean(areas) - 0.5) < 0.02


def test_a_detector_tested_on_what_it_was_trained_on_would_look_better(rng: np.random.Generator) -> None:
    sets = [{"x": rng.standard_normal((80, 60))} for _ in range(2)]
    detector = fit_detector(sets[0], sets[1], ("x",))
    assert judge_scores(detector.scores(sets[0]), detector.scores(sets[1])).area.low > 0.6


def test_a_score_of_zero_is_where_both_kinds_are_equally_frequent(rng: np.random.Generator) -> None:
    real, fake = {"x": rng.normal(5, 1, (300, 3))}, {"x": rng.normal(7, 1, (150, 3))}
    detector = fit_detector(real, fake, ("x",))
    found = judge_scores(detector.scores(real), detector.scores(fake))
    assert min(found.sensitivity.value, found.specificity.value) > 0.9


def test_the_figures_of_known_scores(rng: np.random.Generator) -> None:
    real, fake = np.array([-3.0, -2.0, -1.0, 1.0]), np.array([-0.5, 0.5, 2.0, 3.0])
    found = judge_scores(real, fake)
    truth = np.repeat([0, 1], 4)
    assert found.area.value == pytest.approx(roc_auc_score(truth, np.concatenate([real, fake])))
    assert (found.sensitivity.value, found.specificity.value, found.balanced.value) == (0.75, 0.75, 0.75)
    assert found.eer == pytest.approx(0.25)
    chance = 1 / (1 + np.exp(-np.concatenate([real, fake])))
    assert found.brier == pytest.approx(np.mean((chance - truth) ** 2))
    real, fake = rng.normal(-1, 2**0.5, 4000), rng.normal(1, 2**0.5, 4000)  # log-odds of two such sets are the score
    assert judge_scores(real, fake).ece < 0.02 < judge_scores(4 * real, 4 * fake).ece


def test_no_area_has_a_lower_limit_above_that_of_a_perfect_test(rng: np.random.Generator) -> None:
    real = rng.normal(0, 1, 100)
    nearly, wholly = np.append(rng.normal(9, 1, 99), real.max() - 0.01), rng.normal(9, 1, 100)
    limits = [judge_scores(real, fake).area.low for fake in (nearly, wholly)]
    assert limits[0] <= limits[1] < 0.97


def test_unequal_numbers_of_images_change_no_weighted_figure(rng: np.random.Generator) -> None:
    real, fake = rng.normal(-1, 1, 30), rng.normal(1, 1, 30)
    once, thrice = judge_scores(real, fake), judge_scores(np.tile(real, 3), fake)
    for name in ("eer", "precision", "brier", "ece"):
        assert getattr(thrice, name) == pytest.approx(getattr(once, name))


def test_a_rate_at_few_false_positives_holds_its_own_threshold(rng: np.random.Generator) -> None:
    truth, held = float(norm.sf(norm.isf(0.05) - 2.0)), 0
    for _ in range(300):
        rate = rate_at(rng.standard_normal(300), rng.normal(2, 1, 200), 0.05, (300, 200))
        held += rate.low <= truth <= rate.high
    assert held >= 276  # of 300; 95 % of them are 285


def test_a_rate_at_one_percent_needs_a_thousand_real_images() -> None:
    fake = np.linspace(0, 3, 100)
    few, many = (rate_at(np.linspace(-3, 0, n), fake, 0.01, (n, 100)) for n in (100, 1000))
    assert (few.few, many.few) == (True, False)
    assert few.low == 0.0 and many.low > 0.9  # below some 370 real images even the largest score is no bound


def test_images_that_belong_together_count_as_one(rng: np.random.Generator) -> None:
    real, fake = np.repeat(rng.normal(-1, 1, 20), 10), rng.normal(1, 1, 200)
    apart, together = judge_scores(real, fake), judge_scores(real, fake, (np.repeat(np.arange(20), 10), None))
    assert together.area.high - together.area.value > 1.3 * (apart.area.high - apart.area.value)
    assert together.specificity.low < apart.specificity.low
    assert share_of(np.ones(10, bool), 5).low < share_of(np.ones(10, bool)).low
