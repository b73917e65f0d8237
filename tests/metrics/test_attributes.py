"""Tails: the correction, the drift interval, and what happens with invalid input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from imagelab.data.faces import Faces
from imagelab.measurement import Measurement
from imagelab.metrics.attribute_probes import Probe, shipped_probes
from imagelab.metrics.attributes import attribute_shares, corrected_share, drift_interval, smallest_share
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.degradations import blurred, toned
from imagelab.metrics.freckle_calibration import CardValue


def probe(sensitivity: float = 0.9, specificity: float = 0.99, errors: tuple[float, float] = (0.0, 0.0)) -> Probe:
    met, spared = CardValue(sensitivity, errors[0], 100), CardValue(specificity, errors[1], 1000)
    return Probe("eyepatch", 0.0, met, spared, 0.005)


def tails(images: np.ndarray) -> list[Measurement]:
    return attribute_shares(Evidence(ImageSet(images), ImageSet(images)))


@pytest.mark.parametrize("share", [0.0, 0.005, 0.1, 0.6])
def test_the_corrected_share_is_right_on_average_and_its_error_is_the_spread(share: float, rng: np.random.Generator):
    n, trials, found = 500, 4000, []
    for _ in range(trials):
        there = rng.binomial(n, share)
        calls = rng.binomial(there, 0.9) + rng.binomial(n - there, 0.02)
        met, spared = rng.binomial(400, 0.9) / 400, rng.binomial(4000, 0.98) / 4000
        errors = (np.sqrt(met * (1 - met) / 400), np.sqrt(spared * (1 - spared) / 4000))
        found.append(corrected_share(int(calls), n, probe(met, spared, errors)))
    values, errors = np.array(found).T
    assert abs(values.mean() - share) < 4 * values.std() / np.sqrt(trials) + 0.002 * share  # a ratio: nearly unbiased
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.08)


def test_a_perfect_probe_changes_nothing():
    assert corrected_share(30, 200, probe(1.0, 1.0))[0] == pytest.approx(0.15, abs=1e-12)


def test_false_positives_are_subtracted_and_the_share_may_be_negative():
    assert corrected_share(10, 1000, probe(specificity=0.99))[0] == pytest.approx(0, abs=1e-12)
    assert corrected_share(2, 1000, probe(specificity=0.99))[0] < 0


def test_each_calibration_error_increases_the_error_and_more_faces_reduce_it():
    plain = corrected_share(50, 500, probe())[1]
    assert corrected_share(50, 500, probe(errors=(0.05, 0)))[1] > plain
    assert corrected_share(50, 500, probe(errors=(0, 0.01)))[1] > plain
    assert corrected_share(500, 5000, probe())[1] < plain / 3
    assert corrected_share(0, 500, probe())[1] > 0


@pytest.mark.parametrize(("found", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(found: int, n: int):
    with pytest.raises(ValueError, match="found: expected"):
        corrected_share(found, n, probe())


def test_the_smallest_share_falls_with_faces_and_rises_with_false_positives_and_errors():
    some = smallest_share(probe(), 1000)
    assert smallest_share(probe(), 10_000) < some / 2
    assert smallest_share(probe(specificity=0.95), 1000) > some
    assert smallest_share(probe(), 1000, errors=1.5) == pytest.approx(some / 2)


@pytest.mark.parametrize(("p0", "n", "generation"), [(0.05, 200, 1), (0.02, 150, 5), (0.3, 60, 8)])
def test_drift_stays_in_its_interval_with_the_stated_probability(p0, n, generation, rng: np.random.Generator):
    count = np.full(20_000, p0 * n)
    for _ in range(generation):
        count = rng.binomial(n, count / n)
    low, high = drift_interval(p0, n, generation, 0.9)
    share = count / n
    assert ((share >= low - 1e-9) & (share <= high + 1e-9)).mean() > 0.9 - 0.01
    assert (share < low - 1e-9).mean() < 0.05 + 0.007 and (share > high + 1e-9).mean() < 0.05 + 0.007
    assert (share > high - 1.5 / n).mean() > 0.05 - 0.007  # one count less would be too few


def test_drift_widens_with_generations_and_with_the_level_and_narrows_with_images():
    def width(*asked: float) -> float:
        low, high = drift_interval(0.2, *asked)  # type: ignore[arg-type]
        return high - low

    assert width(200, 1) < width(200, 3) < width(200, 9)
    assert width(200, 3, 0.5) < width(200, 3, 0.95) < width(200, 3, 0.999)
    assert width(800, 3) < width(200, 3)


def test_drift_from_zero_stays_zero_and_generation_0_has_no_drift():
    assert drift_interval(0.0, 100, 4) == (0.0, 0.0)
    assert drift_interval(1.0, 100, 4) == (1.0, 1.0)
    assert drift_interval(0.37, 100, 0) == (0.37, 0.37)


@pytest.mark.parametrize("asked", [(0.1, 100, 1, 0.0), (0.1, 100, 1, 1.0), (1.1, 100, 1, 0.9), (0.1, 100, -1, 0.9)])
def test_drift_arguments_out_of_range_are_refused(asked):
    with pytest.raises(ValueError, match="expected"):
        drift_interval(*asked)


def test_shares_of_rendered_faces_are_the_true_ones_within_their_errors():
    sample = Faces(size=64, cache=False).load("heldout", 300, seed=91)
    found = tails(sample.images)
    assert [m.name for m in found] == [f"tails/{probe.attribute}" for probe in shipped_probes().usable]
    for m in found:
        truth = sample.attributes[m.name.removeprefix("tails/")].mean()
        assert m.value is not None and m.stderr and abs(m.value - truth) < 4 * m.stderr, m.name
        assert (m.unit, m.better, m.n_fake) == ("share", "two-sided", 300)
        assert shipped_probes().digest[:8] in m.estimator


def test_shares_depend_on_the_faces_but_not_on_their_order(pictures):
    images = np.concatenate([pictures(30), Faces(size=64, cache=False).load("heldout", 30, seed=3).images])
    shuffled = images[np.random.default_rng(0).permutation(60)]
    assert [m.value for m in tails(images)] == [m.value for m in tails(shuffled)]
    assert [m.value for m in tails(images)] != [m.value for m in tails(images[:30])]


@pytest.mark.parametrize("form", [{"size": 32}, {"size": 64, "channels": 1}])
def test_images_of_another_shape_give_missing_values_with_the_reason(form, pictures):
    found = tails(pictures(4, **form))
    assert len(found) == len(shipped_probes().usable)
    assert all(m.value is None and "RGB faces of 64 px" in m.missing for m in found)
    assert all(json.loads(m.to_json())["n_fake"] == 4 for m in found)


def test_exactly_the_scores_above_the_threshold_are_counted(pictures, monkeypatch):
    strict = shipped_probes()
    deaf = replace(strict, probes=tuple(replace(one, threshold=1e9) for one in strict.probes))
    monkeypatch.setattr("imagelab.metrics.attributes.shipped_probes", lambda size=64: deaf)
    monkeypatch.setattr("imagelab.metrics.attribute_probes.shipped_probes", lambda size=64: deaf)
    for m, one in zip(tails(blurred(pictures(50), 2.0)), deaf.usable, strict=True):
        assert m.value == corrected_share(0, 50, one)[0]


@pytest.mark.parametrize("spoil", [lambda x: blurred(x, 3.0), lambda x: toned(x, 0.4), lambda x: toned(x, 1.0, 0.4)])
def test_images_outside_the_calibration_have_no_shares_but_a_reason_and_an_estimator(spoil):
    faces = Faces(size=64, cache=False).load("heldout", 40, seed=3).images
    for m in attribute_shares(Evidence(ImageSet(faces), ImageSet(spoil(faces)))):
        assert m.value is None and "outside the probes' calibration" in m.missing and "Rogan-Gladen" in m.estimator


def test_every_share_has_exact_limits_that_contain_it():
    for m in tails(Faces(size=64, cache=False).load("heldout", 40, seed=3).images):
        assert m.value is not None and m.low is not None and m.high is not None
        assert m.low <= m.value <= m.high and m.high > 0
