"""The calibration file of the freckle counter: its trees, its stated limits, and which files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from imagelab.metrics.freckle_calibration import (
    CardValue,
    Trees,
    blur_ruler,
    calibration_card,
    match,
    read_calibration,
    shipped_calibration,
)
from imagelab.metrics.freckle_candidates import FEATURES


def test_exported_trees_answer_as_scikit_learn_does(rng):
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = rng.normal(size=(600, 5))
    answers = (rows[:, 0] * rows[:, 1] + 0.3 * rng.normal(size=600)) > 0
    model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, random_state=0).fit(rows, answers)
    asked = rng.normal(size=(400, 5))
    np.testing.assert_allclose(
        Trees.from_boosting(model).probability(asked), model.predict_proba(asked)[:, 1], atol=1e-12
    )


def test_trees_return_an_empty_array_for_no_candidate():
    assert shipped_calibration().trees.probability(np.zeros((0, len(FEATURES)))).shape == (0,)


@pytest.mark.parametrize(("size", "style"), [(64, "countable"), (128, "countable"), (128, "fine")])
def test_the_shipped_calibration_meets_its_stated_limits(size, style):
    figures = shipped_calibration(size, style).figures
    assert figures["precision"].value >= 0.95
    assert figures["recall"].value >= 0.80
    assert figures["count correlation"].value >= 0.90
    assert figures["false freckles"].value < 0.4
    noise = {(row["kind"], row["sd"]): row["value"] for row in calibration_card()["tables"]["false freckles by noise"]}
    assert noise["white", 0.02] < 1.0


def test_the_blur_ruler_begins_at_one_and_falls_to_a_quarter_or_less():
    ruler = blur_ruler()
    assert ruler[0]["sigma"] == 0 and ruler[0]["value"] == 1
    assert [row["sigma"] for row in ruler] == sorted(row["sigma"] for row in ruler)
    assert ruler[-1]["value"] < 0.25
    for before, after in pairwise(ruler):
        assert after["value"] <= before["value"] + 2 * (before["stderr"] + after["stderr"])


def test_the_card_is_plain_json_and_every_number_has_an_error_and_an_n():
    card = json.loads(json.dumps(calibration_card(), allow_nan=False))
    assert card["digest"] == shipped_calibration().digest
    rows = [row for table in card["tables"].values() for row in table]
    for row in [*card["figures"].values(), *rows]:
        assert row["stderr"] >= 0 and row["n"] > 0


def test_a_calibration_is_equal_after_writing_and_reading(tmp_path: Path, rng):
    calibration = replace(shipped_calibration(), threshold=0.125)
    calibration.write(tmp_path / "c.npz")
    again = read_calibration(tmp_path / "c.npz")
    assert again.digest == calibration.digest != shipped_calibration().digest
    asked = rng.normal(size=(500, len(FEATURES)))
    np.testing.assert_array_equal(again.trees.probability(asked), calibration.trees.probability(asked))
    np.testing.assert_array_equal(again.skin, calibration.skin)
    assert calibration_card(again) == calibration_card(calibration)


def test_a_file_of_format_1_is_read_as_one_stratum_for_all_skins(tmp_path: Path):
    tables = {name: rows for name, rows in shipped_calibration().tables.items() if "saturation" not in name}
    old = replace(shipped_calibration(), strata=(), tables=tables)
    assert '"format": 1' in str(old.arrays()["card"])
    old.write(tmp_path / "old.npz")
    again = read_calibration(tmp_path / "old.npz")
    assert again.digest == old.digest and again.strata == () and again.limits() == {}
    [all_skins] = again.by_skin
    assert (all_skins.low, all_skins.high) == (0, 256)
    assert all_skins.response == old.figures["response"] and all_skins.false_spots == old.figures["false freckles"]


@pytest.mark.parametrize("size", [64, 128])
def test_the_shipped_strata_cover_all_skins_and_light_skin_responds_more(size):
    strata = shipped_calibration(size).strata
    assert strata[0].low == 0 and strata[-1].high == 256
    for dark, light in pairwise(strata):
        assert dark.high == light.low and light.response.value > dark.response.value + 4 * dark.response.stderr
    assert all(one.response_error >= one.spread > 0 for one in strata)


@pytest.mark.parametrize("size", [64, 128])
def test_the_range_of_the_calibration_is_that_of_its_tables(size):
    limits = shipped_calibration(size).limits()
    assert set(limits) == {"blur", "noise", "contrast", "saturation"}
    assert limits["blur"] == (0, 1.5 * size / 64) and limits["contrast"] == limits["saturation"] == (0.5, 1.25)
    assert 10 < limits["noise"][1] < 11


def test_a_damaged_calibration_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "c.npz"
    shipped_calibration().write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"c\.npz: not a whole freckle calibration"):
        read_calibration(path)
    arrays = shipped_calibration().arrays()
    arrays["trees_value"] = arrays["trees_value"] + 0.01
    np.savez(path, allow_pickle=False, digest=np.array(shipped_calibration().digest), **arrays)
    with pytest.raises(ValueError, match="SHA-256"):
        read_calibration(path)


def test_a_calibration_of_other_features_or_another_window_is_refused(tmp_path: Path, monkeypatch):
    path = tmp_path / "c.npz"
    replace(shipped_calibration(), skin=np.ones((32, 32), bool)).write(path)
    with pytest.raises(ValueError, match="64 x 64"):
        read_calibration(path)
    shipped_calibration().write(path)
    monkeypatch.setattr("imagelab.metrics.freckle_calibration.FEATURES", FEATURES[::-1])
    with pytest.raises(ValueError, match="another version"):
        read_calibration(path)


def test_fine_freckles_have_a_counter_of_their_own():
    fine, countable = shipped_calibration(128, "fine"), shipped_calibration(128)
    assert (fine.style, countable.style) == ("fine", "countable")
    assert fine.name == f"fine-freckles-128@{fine.digest[:8]}" and countable.name.startswith("freckles-128@")
    assert fine.optics.fine < countable.optics.fine  # its dots are smaller
    assert fine.limits()["blur"] == (0, 1.5)
    with pytest.raises(ValueError, match="calibrated for 128 px RGB faces with fine freckles; got 64 px"):
        shipped_calibration(64, "fine")


def test_a_size_without_calibration_is_refused():
    with pytest.raises(ValueError, match="calibrated for 64 or 128 px RGB faces"):
        shipped_calibration(48)


def test_a_ratio_is_of_sums_and_its_error_is_that_between_faces(rng):
    """Against the spread of the ratio over 2000 sets of 80 faces."""
    ratios, errors, gap = [], [], []
    for _ in range(2000):
        bottom = rng.poisson(6, 80).astype(float)
        top = rng.binomial(bottom.astype(int), rng.beta(8, 2, 80)).astype(float)
        figure = CardValue.ratio(top, bottom)
        ratios.append(figure.value)
        errors.append(figure.stderr)
        gap.append(figure.n - bottom.sum())
    assert not any(gap)
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.08)


def test_a_share_of_zero_has_an_error():
    none = CardValue.share(np.zeros(20, bool))
    assert none.value == 0 and 0 < none.stderr < 0.1


def test_matching_makes_as_many_pairs_as_it_can_and_none_beyond_the_radius():
    """A greedy pairing, nearest first, would pair the middle two only and leave the outer ones unpaired."""
    found, truth = np.array([[0.0, 0.0], [1.8, 0.0]]), np.array([[1.0, 0.0], [3.0, 0.0]])
    assert [mask.all() for mask in match(found, truth, 1.5)] == [True, True]
    assert [mask.sum() for mask in match(found, truth, 0.9)] == [1, 1]
    assert [mask.any() for mask in match(found, truth, 0.5)] == [False, False]
    assert [len(mask) for mask in match(found[:0], truth, 1.5)] == [0, 2]
