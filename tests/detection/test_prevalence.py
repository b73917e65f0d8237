"""How many images of a mixture are generated: the interval covers the truth, and silence where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.detection.prevalence import generated_share, mixed_trials
from imagelab.detection.verdicts import Rate, share_of

REPEATS = 400


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_interval_of_a_mixture_covers_its_share(share: float, rng: np.random.Generator) -> None:
    """A detector that finds .84 and spares .93, known from 150 and 200 images; 100 pictures of unknown mixture."""
    held = 0
    for _ in range(REPEATS):
        found, spared = share_of(rng.normal(1.0, 1, 150) > 0), share_of(rng.normal(-1.5, 1, 200) <= 0)
        made = int(rng.binomial(100, share))
        called = int((rng.normal(1.0, 1, made) > 0).sum() + (rng.normal(-1.5, 1, 100 - made) > 0).sum())
        low_high = generated_share(called, 100, found, spared, (150, 200)).share
        held += low_high.low <= share <= low_high.high
    assert held / REPEATS >= 0.925


def test_the_raw_count_of_a_detector_that_errs_is_biased_and_the_estimate_is_not() -> None:
    called = round(1000 * (0.1 * 0.8 + 0.9 * 0.2))
    found = generated_share(called, 1000, Rate(0.8, 0.78, 0.82), Rate(0.8, 0.78, 0.82), (2000, 2000))
    assert called / 1000 == 0.26 and found.share.value == pytest.approx(0.1)


def test_a_detector_that_only_guesses_says_nothing() -> None:
    found = generated_share(50, 100, Rate(0.55, 0.45, 0.65), Rate(0.5, 0.4, 0.6), (100, 100))
    assert not found.informative and (found.share.low, found.share.high) == (0.0, 1.0)


def test_trial_sets_are_of_other_images_than_the_rates_and_hold_the_truth(rng: np.random.Generator) -> None:
    real, made = rng.normal(-1.5, 1, 400), rng.normal(1.5, 1, 300)
    trials = mixed_trials(real, made, None, rng)
    assert [each.truth for each in trials] == [0.1, 0.5, 0.9] and {each.n for each in trials} == {100}
    assert all(each.share.low <= each.truth <= each.share.high for each in trials)
    groups = np.repeat(np.arange(20), 20)
    wider = mixed_trials(real, made, groups, rng)
    assert wider[0].share.high - wider[0].share.low > trials[0].share.high - trials[0].share.low
