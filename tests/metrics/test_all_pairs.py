"""Laws of metrics of all pairs: exact by default, a stated part where it is asked for, a forecast before long work."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from imagelab.metrics import METRICS, Evidence, ImageSet, all_pairs
from imagelab.metrics.all_pairs import LONG, TRIED, say_forecast, seconds_for
from imagelab.metrics.features import PRIMARY, feature_pair


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    rng = np.random.default_rng(1)
    real, fake = (ImageSet(rng.integers(0, 256, (count, 1, 16, 16), np.uint8)) for count in (300, 320))
    return Evidence(real, fake)


def of(evidence: Evidence, compared: int | None) -> Evidence:
    return Evidence(evidence.real, evidence.fake, compared=compared)


def test_all_images_are_compared_by_default(evidence: Evidence):
    pairs, plain = all_pairs.all_pairs(evidence, PRIMARY), feature_pair(evidence, PRIMARY)
    assert np.array_equal(pairs.real, plain[0]) and np.array_equal(pairs.fake, plain[1]) and pairs.note == ""


def test_a_part_is_drawn_by_the_seed_and_standardised_by_its_own_reference(evidence: Evidence):
    pairs = all_pairs.all_pairs(of(evidence, 200), PRIMARY)
    assert len(pairs.real) == len(pairs.fake) == pairs.independent == 200
    np.testing.assert_allclose(pairs.real.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(pairs.real.std(axis=0, ddof=1), 1.0, rtol=1e-9)
    again = all_pairs.all_pairs(of(evidence, 200), PRIMARY)
    assert np.array_equal(pairs.fake, again.fake)
    other = Evidence(evidence.real, evidence.fake, seed=1, compared=200)
    assert not np.array_equal(all_pairs.all_pairs(other, PRIMARY).fake, pairs.fake)


def test_images_that_belong_together_keep_their_groups_in_a_part(evidence: Evidence):
    groups = np.arange(300) // 100
    grouped = Evidence(ImageSet(evidence.real.images, groups=groups), evidence.fake, compared=200)
    pairs = all_pairs.all_pairs(grouped, PRIMARY)
    assert pairs.blocks[0] is not None and len(pairs.blocks[0]) == 200 and pairs.independent == 3
    assert pairs.blocks[1] is None and pairs.degrees == 2


@pytest.mark.parametrize("metric", ["kernel", "prdc", "kernel_rbf"])
def test_a_measurement_of_a_part_states_it_and_one_of_all_does_not(evidence: Evidence, metric: str):
    part, whole, ample = (METRICS[metric].measure(of(evidence, compared)) for compared in (200, None, 400))
    for ours, all_of_it, enough in zip(part, whole, ample, strict=True):
        assert ours.estimator.endswith(", at most 200 images of each set, drawn at random")
        assert (ours.n_real, ours.n_fake) == (200, 200) and ours.value != all_of_it.value
        assert "at most" not in all_of_it.estimator and (all_of_it.n_real, all_of_it.n_fake) == (300, 320)
        assert enough.value == all_of_it.value and enough.n_fake == 320


def test_time_grows_with_the_pairs_of_both_sets():
    assert seconds_for(4000, 4000, 2000, 1.0) == 4.0 and seconds_for(2000, 0, 2000, 3.0) == 1.0


def test_a_metric_that_takes_minutes_says_so_before_it_begins_and_what_shortens_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    assert LONG == 180.0 and TRIED == 2_048
    points, tried = np.zeros((8 * 2_048, 1)), []
    monkeypatch.setattr(all_pairs, "LONG", 0.0)
    with caplog.at_level(logging.WARNING, "imagelab"):
        say_forecast("kid", points, points, lambda real, fake: tried.append((len(real), len(fake))))
    assert tried == [(2_048, 2_048)]
    assert "kid compares all pairs of 16,384 real and 16,384 generated images" in caplog.text
    assert "--compared 20000" in caplog.text


def test_little_work_is_not_tried_and_short_work_not_announced(caplog: pytest.LogCaptureFixture):
    small, large = np.zeros((4 * 2_048, 1)), np.zeros((5 * 2_048, 1))
    assert say_forecast("kid", small, small, lambda real, fake: pytest.fail("was tried")) is None
    assert say_forecast("kid", large, large, lambda real, fake: None) is not None and caplog.text == ""
