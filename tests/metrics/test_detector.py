from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.detector import delong_variance, detector, placements, separability, starved_separability
from imagelab.metrics.features import PRIMARY


def test_the_mean_of_placements_is_scikit_learns_auc(rng):
    real, fake = np.round(rng.standard_normal(40), 1), np.round(rng.standard_normal(30) + 0.5, 1)  # with ties
    known = roc_auc_score(np.repeat([0, 1], [40, 30]), np.concatenate([real, fake]))
    assert [each.mean() for each in placements(real, fake)] == pytest.approx([known, known], rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_variance_of_an_area_is_its_spread_over_repeats(shift, rng):
    found = [placements(rng.standard_normal(40), shift + rng.standard_normal(70)) for _ in range(600)]
    claimed = np.sqrt(np.mean([delong_variance(*pair) for pair in found]))
    assert claimed / np.std([pair[1].mean() for pair in found], ddof=1) == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize(("shift", "area"), [(0.0, 0.5), (0.6, None)])
def test_the_error_of_the_detector_is_its_spread_over_repeats(shift, area, rng):
    draws = [
        separability(rng.standard_normal((60, 8)), shift + rng.standard_normal((80, 8)), seed) for seed in range(60)
    ]
    found = np.array(draws)
    assert 0.75 < np.sqrt(np.mean(found[:, 1] ** 2)) / found[:, 0].std(ddof=1) < 1.35
    assert area is None or abs(found[:, 0].mean() - area) < 4 * found[:, 0].std() / np.sqrt(60)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_error_of_the_starved_detector_is_its_spread_over_repeats(shift, rng):
    draws = [
        starved_separability(rng.standard_normal((70, 8)), shift + rng.standard_normal((90, 8)), s) for s in range(40)
    ]
    found = np.array(draws)
    assert 0.75 < np.sqrt(np.mean(found[:, 1] ** 2)) / found[:, 0].std(ddof=1) < 1.35


def test_distant_sets_are_always_separated(rng):
    assert separability(rng.standard_normal((40, 5)), 9 + rng.standard_normal((50, 5)), seed=0) == (1.0, 0.0)


def test_a_known_shift_gives_the_known_area(rng):
    x, y = rng.standard_normal((1500, 2)), rng.standard_normal((1500, 2)) + np.array([1.0, 0.0])
    area, error = separability(x, y, seed=0)
    assert area == pytest.approx(0.7602, abs=3 * error)  # P(N(1,1) > N(0,1)) = Phi(1 / sqrt 2) = .7602


def test_the_folds_follow_the_seed(rng):
    x, y = rng.standard_normal((30, 5)), 0.5 + rng.standard_normal((30, 5))
    assert separability(x, y, seed=2**40) == separability(x, y, seed=2**40)
    assert len({separability(x, y, seed=s) for s in range(4)}) > 1


def test_the_starved_detector_is_weaker_and_improves_with_more_images(rng):
    x, y = rng.standard_normal((400, 40)), 0.2 + rng.standard_normal((400, 40))
    ten, fifty, full = (
        starved_separability(x, y, 0)[0],
        starved_separability(x, y, 0, images=50)[0],
        separability(x, y, 0)[0],
    )
    assert 0.5 < ten < fifty < full
    assert starved_separability(x, y, 1)[0] != ten


def test_rows_name_their_space(pictures, evidence):
    found: list[Any] = detector(evidence(pictures(40, 32, seed=1), np.minimum(pictures(30, 32, seed=2), 225) + 30))
    assert [m.name for m in found] == [
        f"detector/{PRIMARY}",
        f"detector/spectrum+{PRIMARY}",
        f"detector_starved/{PRIMARY}",
    ]
    assert found[0].value > 0.8 and found[0].unit == "AUC"
    certain: Any = detector(evidence(pictures(40, 32), 255 - pictures(40, 32, seed=2) // 3))[0]
    assert (certain.value, certain.stderr) == (1.0, None)
    with pytest.raises(NotMeasurable, match="at least 20"):
        detector(evidence(pictures(40, 32), pictures(19, 32)))


def test_the_spectrum_as_additional_features_detects_checkerboard_noise(pictures, evidence):
    real, fake = pictures(120, 32, seed=1), pictures(120, 32, seed=2).astype(int)
    y, x = np.mgrid[:32, :32]
    grain = np.clip(fake + 2 * (-1) ** (x + y), 0, 255).astype(np.uint8)  # 2 of 255 levels cannot be seen
    plain: Any
    beside: Any
    plain, beside, _ = detector(evidence(real, grain))
    assert beside.value > 0.95 and beside.value > plain.value


def test_a_set_too_small_for_the_starved_detector_gives_the_reason(pictures, evidence):
    found = detector(evidence(pictures(39, 32), pictures(60, 32, seed=2)))
    assert found[2].value is None and "at least 40" in found[2].missing and found[0].value is not None


def test_large_sets_are_subsampled_and_the_number_is_reported(pictures, evidence, monkeypatch):
    monkeypatch.setattr("imagelab.metrics.detector.MAX_IMAGES", 25)
    found = detector(evidence(pictures(40, 32, seed=1), pictures(30, 32, seed=2)))
    assert all((m.n_real, m.n_fake) == (25, 25) for m in found)


def test_sets_of_other_form_are_refused(pictures, evidence):
    with pytest.raises(ValueError, match="one form"):
        detector(evidence(pictures(30, 64), pictures(30, 32)))
