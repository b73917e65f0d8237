from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imagelab.metrics import distances
from imagelab.metrics.base import ImageSet, NotMeasurable
from imagelab.metrics.features import PRIMARY
from imagelab.metrics.generalisation import generalisation, novelty


def named(measurements) -> dict[str, Any]:
    return {m.name.partition("/")[0]: m for m in measurements}


@pytest.fixture
def judged(pictures, evidence):
    """Measure these images against 60 training and 60 held-out pictures."""
    base = replace(evidence(pictures(60, 32, seed=1), pictures(2, 32)), train=ImageSet(pictures(60, 32, seed=3)))
    return lambda images: named(generalisation(replace(base, fake=ImageSet(images))))


def test_distance_is_a_root_mean_square_to_the_nearest():
    train = np.array([[0.0, 0.0], [10.0, 0.0]])
    assert novelty(np.array([[1.0, 1.0], [10.0, 4.0]]), train).tolist() == pytest.approx([1.0, np.sqrt(8)])


def test_copies_score_zero(judged, pictures):
    found = judged(pictures(60, 32, seed=3)[:40])
    assert found["generalisation"].value == pytest.approx(0.0, abs=1e-4)
    assert found["generalisation_distance"].value == pytest.approx(0.0, abs=1e-4)


def test_new_samples_score_one(judged, pictures):
    found = judged(pictures(80, 32, seed=4))["generalisation"]
    assert abs(found.value - 1.0) < 4 * found.stderr < 0.4


def test_half_copies_score_half(judged, pictures):
    half = np.concatenate([pictures(60, 32, seed=3)[:40], pictures(40, 32, seed=4)])
    found = judged(half)["generalisation"]
    assert abs(found.value - 0.5) < 4 * found.stderr


def test_noise_scores_above_one(judged, rng):
    assert judged(rng.integers(0, 256, (30, 3, 32, 32), np.uint8))["generalisation"].value > 2


def test_the_error_is_the_spread_over_repeats_of_all_three_sets(rng, monkeypatch, pictures, evidence):
    base = replace(evidence(pictures(2, 32), pictures(2, 32)), train=ImageSet(pictures(2, 32)))
    found = []
    for _ in range(100):
        sets = iter(
            [(rng.standard_normal((80, 6)), 0.8 * rng.standard_normal((60, 6))), (None, rng.standard_normal((100, 6)))]
        )
        monkeypatch.setattr(distances, "feature_pair", lambda evidence, space, sets=sets: next(sets))
        found.append([(m.value, m.stderr) for m in generalisation(base)])
    values, errors = np.moveaxis(np.array(found, float), 2, 0)
    ratio = np.sqrt(np.mean(errors**2, axis=0)) / values.std(axis=0, ddof=1)
    assert (ratio > 0.75).all() and (ratio < [1.35, 1.7]).all()  # of the distance on the safe side


def test_rows_report_what_they_were_measured_against(judged, pictures, evidence):
    found = judged(pictures(30, 32, seed=4))
    ratio = found["generalisation"]
    assert ratio.name == f"generalisation/{PRIMARY}" and "60 training images" in ratio.estimator
    assert (ratio.n_real, ratio.n_fake) == (60, 30)
    with pytest.raises(NotMeasurable, match="trained on"):
        generalisation(evidence(pictures(12, 32), pictures(12, 32)))


def test_a_heldout_set_of_copies_gives_a_missing_ratio(pictures, evidence):
    real = pictures(20, 32, seed=1)
    found = named(generalisation(replace(evidence(real, pictures(20, 32, seed=2)), train=ImageSet(real))))
    assert found["generalisation"].value is None and "copy" in found["generalisation"].missing
    assert found["generalisation_distance"].value > 0
