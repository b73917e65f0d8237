"""The freckle counter: properties on painted skin and on a few dozen renders, the correction, and the metric."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from imagelab.data.base import Sample
from imagelab.data.faces import Faces
from imagelab.metrics import freckles
from imagelab.metrics.freckle_calibration import Calibration, CardValue, Stratum, shipped_calibration
from imagelab.metrics.freckle_candidates import Optics, find_candidates, log_light, noise_levels

SKIN = np.array([225, 180, 150], float)
MELANIN = np.array([0.48, 0.88, 1.28])
SPOTS = np.array([[20.0, 35.0], [27.0, 37.0], [42.0, 34.0], [45.0, 38.0]])  # x, y on both cheeks


def painted(spots: np.ndarray, absorption: np.ndarray, size: int = 64, radius: float = 0.8) -> np.ndarray:
    """Return evenly lit skin with round spots that absorb light by channel: uint8 [1,3,size,size]."""
    y, x = np.mgrid[:size, :size]
    light = ((SKIN / 255 + 0.055) / 1.055)[:, None, None] ** 2.4 * np.ones((3, size, size))
    for cx, cy in spots:
        depth = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))
        light = light * np.exp(-absorption[:, None, None] * depth)
    return published(255 * (1.055 * light ** (1 / 2.4) - 0.055))[None]


def published(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def striped(levels: np.ndarray, row: int, drop: np.ndarray) -> np.ndarray:
    """Return the images with one dark horizontal line."""
    marked = levels.astype(float).copy()
    marked[:, :, row] -= drop[None, :, None]
    return published(marked)


def countable(sample: Sample, calibration: Calibration) -> np.ndarray:
    """Return the true number of each face: inside the window, at least 6 levels darker than its twin; int [N]."""
    assert sample.twins is not None and sample.freckles is not None
    drop = np.tensordot([0.299, 0.587, 0.114], sample.twins.astype(float) - sample.images, axes=([0], [1]))
    drop = ndimage.maximum_filter(drop, (0, 3, 3))
    truth = []
    for face, marks in enumerate(sample.freckles):
        x, y = np.clip(np.rint(marks[:, :2]), 0, 63).astype(int).T
        truth.append(int((calibration.skin[y, x] & (drop[face, y, x] >= 6)).sum()))
    return np.array(truth)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory):
    """Thirty freckled faces and their freckle-free versions."""
    return Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 30, 7)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


# properties on painted skin


def test_a_dark_brown_dot_on_skin_is_found_at_its_place():
    [found] = freckles.count_freckles(painted(SPOTS, 0.9 * MELANIN))
    assert len(found) == len(SPOTS)
    order = found[np.argsort(found[:, 0])]
    np.testing.assert_allclose(order[:, :2], SPOTS, atol=0.3)


def test_a_position_between_pixels_is_found_to_a_third_of_a_pixel():
    moved = SPOTS + np.array([0.4, -0.3])
    [found] = freckles.count_freckles(painted(moved, 0.9 * MELANIN))
    np.testing.assert_allclose(found[np.argsort(found[:, 0])][:, :2], moved, atol=0.33)


def test_bare_skin_and_a_bright_dot_hold_no_freckle():
    assert freckles.counts(painted(SPOTS[:0], MELANIN)).sum() == 0
    assert freckles.counts(painted(SPOTS, -0.3 * MELANIN)).sum() == 0


@pytest.mark.parametrize("drop", [[40, 40, 40], [20, 35, 45]])
def test_a_line_is_not_a_row_of_freckles(drop):
    lined = striped(painted(SPOTS[:0], MELANIN), 36, np.array(drop, float))
    assert freckles.counts(lined).sum() == 0


def test_an_edge_is_not_a_freckle():
    edged = painted(SPOTS[:0], MELANIN)
    edged[:, :, 36:] = edged[:, :, 36:] // 2
    assert freckles.counts(edged).sum() == 0


def test_a_grey_dot_scores_lower_than_a_brown_one_of_the_same_depth():
    skin, optics, trees = shipped_calibration().skin, shipped_calibration().optics, shipped_calibration().trees
    brown = find_candidates(painted(SPOTS, 0.9 * MELANIN), skin, optics)
    grey = find_candidates(painted(SPOTS, 0.9 * MELANIN[[1, 1, 1]]), skin, optics)
    blue = find_candidates(painted(SPOTS, 0.9 * MELANIN[::-1]), skin, optics)
    assert len(brown) == len(SPOTS)
    assert trees.probability(brown.features).min() > trees.probability(grey.features).max()
    assert len(blue) == 0 or trees.probability(blue.features).max() < shipped_calibration().threshold


def test_contrast_is_the_logarithm_of_the_absorbed_light():
    """The middle pixel keeps exp(-a) of the light; only e = 0.03 and half a grey level of rounding differ."""
    [found] = freckles.count_freckles(painted(SPOTS, 0.9 * MELANIN))
    green = ((SKIN[1] / 255 + 0.055) / 1.055) ** 2.4
    expected = math.log((green + 0.03) / (green * math.exp(-0.9 * 0.88) + 0.03))
    np.testing.assert_allclose(found[:, 3], expected, atol=0.03)


# properties on renders


def test_freckled_faces_count_more_than_their_freckle_free_versions(faces):
    with_freckles, without = freckles.counts(faces.images), freckles.counts(faces.twins)
    assert with_freckles.sum() > 3 * len(faces)
    assert without.mean() < 1.0


def test_the_corrected_count_agrees_with_the_truth_within_four_standard_errors(faces):
    """The true count follows the definition on the card: inside the window, at least 6 levels darker than without."""
    calibration = shipped_calibration()
    truth, tone = countable(faces, calibration), freckles.skin_tone(faces.images, calibration)
    index = np.searchsorted([each.high for each in calibration.strata], tone, side="right")
    response = np.array([each.response.value for each in calibration.strata])[index]
    false = np.array([each.false_spots.value for each in calibration.strata])[index]
    gap = (freckles.counts(faces.images) - false) / response - truth
    value, _ = freckles.corrected_count(freckles.counts(faces.images), tone)
    assert value == pytest.approx(gap.mean() + truth.mean())
    assert abs(gap.mean()) < 4 * gap.std(ddof=1) / math.sqrt(len(gap)) + 0.5


def test_blur_loses_freckles_and_never_raises_the_count(faces):
    total = []
    for sigma in (0.0, 0.5, 0.75, 1.0, 1.5):
        soft = ndimage.gaussian_filter(faces.images.astype(float), (0, 0, sigma, sigma), mode="nearest")
        total.append(freckles.counts(published(soft)).sum())
    assert total[-1] < 0.2 * total[0]
    assert all(later <= earlier + math.sqrt(earlier) for earlier, later in pairwise(total))


def test_white_noise_of_two_percent_adds_less_than_one_false_freckle_a_face(faces, rng):
    noisy = published(faces.twins + rng.normal(0, 0.02 * 255, faces.twins.shape))
    assert freckles.counts(noisy).mean() < 1.0


def test_permuting_images_permutes_counts(faces, rng):
    order = rng.permutation(len(faces))
    np.testing.assert_array_equal(freckles.counts(faces.images[order]), freckles.counts(faces.images)[order])


def test_counts_do_not_depend_on_the_batch(faces, monkeypatch):
    whole = freckles.count_freckles(faces.images)
    monkeypatch.setattr(freckles, "_CHUNK", 7)
    for together, apart in zip(whole, freckles.count_freckles(faces.images), strict=True):
        np.testing.assert_array_equal(together, apart)
    [alone] = freckles.count_freckles(faces.images[11:12])
    np.testing.assert_array_equal(alone, whole[11])


def test_only_the_skin_window_is_counted(faces):
    calibration = shipped_calibration()
    half = replace(calibration, skin=calibration.skin & (np.arange(64) < 32))
    for all_spots, left in zip(
        freckles.count_freckles(faces.images), freckles.count_freckles(faces.images, half), strict=True
    ):
        assert (left[:, 0] <= 32).all()
        assert len(left) <= len(all_spots) + 1


def test_a_higher_threshold_counts_fewer_freckles(faces):
    calibration = shipped_calibration()
    strict = replace(calibration, threshold=0.99)
    assert freckles.counts(faces.images, strict).sum() < freckles.counts(faces.images).sum()


@pytest.mark.parametrize("field", ["fine", "coarse", "slope", "near", "far", "epsilon", "least"])
def test_every_length_of_the_optics_changes_the_candidates(faces, field):
    skin, optics = shipped_calibration().skin, shipped_calibration().optics
    other = replace(optics, **{field: getattr(optics, field) * 2})
    before, after = find_candidates(faces.images, skin, optics), find_candidates(faces.images, skin, other)
    assert before.features.shape != after.features.shape or not np.array_equal(before.features, after.features)


def test_optics_of_twice_the_size_are_twice_as_long():
    small, large = Optics.at(64), Optics.at(128)
    assert small == Optics()
    assert (large.size, large.fine, large.near, large.far) == (128, 2 * small.fine, 2 * small.near, 2 * small.far)


# noise


@pytest.mark.parametrize("sd", [2.0, 5.0, 10.0])
def test_noise_is_estimated_as_its_standard_deviation(rng, sd):
    """Sampling error of a median of 1e4 values is below 1 %; whole-number masks add up to 1/12 of a level."""
    flat = published(128 + rng.normal(0, sd, (4, 3, 64, 64)))
    np.testing.assert_allclose(noise_levels(flat, shipped_calibration().skin), sd, rtol=0.06, atol=0.1)


def test_freckles_do_not_raise_the_noise_estimate(faces):
    skin = shipped_calibration().skin
    np.testing.assert_allclose(noise_levels(faces.images, skin), noise_levels(faces.twins, skin), atol=0.3)


def test_log_light_is_the_srgb_curve():
    table = log_light(0.03)
    assert table.shape == (256,)
    np.testing.assert_allclose(np.exp(table[[0, 255]]) - 0.03, [0.0, 1.0], atol=1e-6)
    assert (np.diff(table) > 0).all()


# correction


def made_up(invented: CardValue, response: CardValue, sensitivity: CardValue, specificity: CardValue) -> Calibration:
    figures = {"sensitivity": sensitivity, "specificity": specificity}
    return replace(shipped_calibration(), figures=figures, strata=(Stratum(0, 256, invented, response),))


TONE = np.full(1000, 120.0)
EXACT = made_up(CardValue(0.5, 0, 9), CardValue(0.8, 0, 9), CardValue(0.9, 0, 9), CardValue(0.95, 0, 9))


def test_the_correction_inverts_the_errors_of_the_counter():
    count = np.array([0.5 + 0.8 * 7, 0.5 + 0.8 * 3])
    value, error = freckles.corrected_count(count, TONE[:2], EXACT)
    assert value == pytest.approx(5.0)
    assert error == pytest.approx(2.0)  # half the spread of two faces, 4 freckles apart


def test_a_count_below_the_false_ones_stays_negative():
    assert freckles.corrected_count(np.zeros(10), TONE[:10], EXACT)[0] == pytest.approx(-0.5 / 0.8)


def test_each_calibration_error_increases_the_error_of_the_correction():
    count = np.array([4, 6, 5, 7])
    _, exact = freckles.corrected_count(count, TONE[:4], EXACT)
    errors: list[dict[str, Any]] = [
        {"false_spots": CardValue(0.5, 0.3, 9)},
        {"response": CardValue(0.8, 0.05, 9)},
        {"spread": 0.05},
    ]
    for error in errors:
        card = replace(EXACT, strata=(replace(EXACT.strata[0], **error),))
        _, wider = freckles.corrected_count(count, TONE[:4], card)
        assert exact is not None and wider is not None and wider > exact


def test_the_error_of_the_corrected_count_is_the_spread_over_repeated_calibrations(rng):
    """Counts, lambda and R are drawn 1000 times: the spread is known to 2 %, the delta method is first order."""
    invented, response, faces = CardValue(0.5, 0.05, 9), CardValue(0.8, 0.03, 9), 100
    values, errors = [], []
    for _ in range(1000):
        count = rng.poisson(0.5 + 0.8 * 4, faces)
        false, met = replace(invented, value=rng.normal(0.5, 0.05)), replace(response, value=rng.normal(0.8, 0.03))
        value, error = freckles.corrected_count(
            count, TONE[:faces], replace(EXACT, strata=(Stratum(0, 256, false, met),))
        )
        values.append(value)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_each_face_is_corrected_by_the_response_of_its_own_skin():
    """Half of the faces are dark and show half of their freckles; a card of one response would be wrong by 20 %."""
    sure = CardValue(0.0, 0.0, 9)
    strata = (Stratum(0, 90, sure, CardValue(0.5, 0.0, 9)), Stratum(90, 256, sure, CardValue(1.0, 0.0, 9)))
    card = replace(EXACT, strata=strata)
    tone = np.array([40.0, 89.9, 90.0, 200.0])
    assert freckles.corrected_count(np.array([4, 4, 8, 8]), tone, card)[0] == pytest.approx(8)
    parts = freckles.Corrected.of(np.array([4, 4, 8, 8]), tone, card).parts
    np.testing.assert_allclose(parts, [4, 4])


def test_a_card_without_strata_corrects_all_skins_alike():
    card = replace(shipped_calibration(), strata=())
    false, met = card.figures["false freckles"].value, card.figures["response"].value
    value, _ = freckles.corrected_count(np.array([3, 5]), np.array([20.0, 220.0]), card)
    assert value == pytest.approx((4 - false) / met)


def test_the_corrected_count_follows_the_truth_on_dark_and_on_light_skin():
    """Sixty faces a tone: the errors are large; the response of the shipped card differs by a factor of 1.6."""
    card, sample = shipped_calibration(), Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 200, 11)
    truth, tone = countable(sample, card), freckles.skin_tone(sample.images, card)
    for stratum in (card.strata[0], card.strata[-1]):
        rows = np.flatnonzero((tone >= stratum.low) & (tone < stratum.high))
        found = freckles.counts(sample.images[rows], card)
        value, _ = freckles.corrected_count(found, tone[rows], card)
        gap = (found - stratum.false_spots.value) / stratum.response.value - truth[rows]
        assert abs(value - truth[rows].mean()) < 3 * gap.std(ddof=1) / math.sqrt(len(rows)) + 0.05 * value
        one = replace(card, strata=())
        wrong, _ = freckles.corrected_count(found, tone[rows], one)
        assert stratum.low > 0 or wrong < 0.8 * truth[rows].mean()


def test_prevalence_limits_contain_the_value_and_do_not_end_at_it_without_detections():
    count = np.where(np.arange(200) < 30, 5, 0)
    low, high = freckles.prevalence_limits(count, EXACT)
    assert low < freckles.prevalence(count, EXACT)[0] < high
    none = np.zeros(200, int)
    assert freckles.prevalence_limits(none, EXACT)[1] > freckles.prevalence(none, EXACT)[0]


def test_prevalence_corrects_false_negatives_and_false_positives():
    share = 0.4 * 0.9 + 0.6 * 0.05  # of 40 % freckled faces, by sensitivity .9 and specificity .95
    count = np.where(np.arange(1000) < round(1000 * share), 5, 2)
    value, error = freckles.prevalence(count, EXACT)
    assert value == pytest.approx(0.4)
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 1000) / 0.85, rel=0.01)


def test_prevalence_of_no_detection_is_below_zero_and_has_an_error():
    value, error = freckles.prevalence(np.zeros(50, int), EXACT)
    assert value == pytest.approx(-0.05 / 0.85)
    assert error > 0


def test_a_face_is_freckled_from_three_detections_on():
    figures = EXACT.figures
    youden = figures["sensitivity"].value + figures["specificity"].value - 1
    none, two, three, nine = (freckles.prevalence(np.full(10, count), EXACT)[0] for count in (0, 2, 3, 9))
    assert none == two and three == nine == pytest.approx(two + 1 / youden)
