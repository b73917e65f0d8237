from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from imagelab.evaluation.chains import (
    fitted_ratios,
    is_closed_form,
    loop_error,
    means_of_run,
    over_chains,
    pooled_spread,
    repetition,
    retraining_ratio,
    retraining_table,
)
from imagelab.measurement import Measurement, t95
from imagelab.pool import REAL


def row(name: str, generation: int, line: int, value: float | None, **more: object) -> Measurement:
    given = {"stderr": 0.1, "missing": "" if value is not None else "no value", **more}
    return Measurement(name, value, generation=generation, line=line, **given)  # pyright: ignore[reportArgumentType]


def one(found: list[Measurement], name: str, generation: int, line: int) -> Measurement:
    (m,) = [m for m in found if (m.name, m.generation, m.line) == (name, generation, line)]
    return m


def test_the_chains_of_a_role_become_their_mean_and_the_rest_stays():
    floor, law = row("a", 0, REAL, 9.0), row("a", 1, 0, 8.0, predicted=True)
    laws = [law, row("a", 1, 2, 8.0, predicted=True)]
    values = {0: 1.0, 1: 5.0, 2: 2.0, 3: 5.5, 4: 6.0, 5: 7.0}  # roles 0, 1 of chains 0, 1, 2
    twin = row("a", 1, 6, 0.2)
    found = over_chains([floor, *laws, *(row("a", 1, line, v) for line, v in values.items()), twin], 2, 3)
    assert floor in found and law in found and twin in found and len(found) == 5
    main = next(m for m in found if m.line == 0 and not m.predicted)
    assert (main.value, main.chains, main.stderr) == (3.0, 3, pytest.approx(0.1))
    assert one(found, "a", 1, 1).value == pytest.approx((5 + 5.5 + 7) / 3)


def test_the_spread_of_one_generation_is_that_of_its_chains():
    found = over_chains([row("a", 1, line, value) for line, value in enumerate((1.0, 2.0, 6.0))], 1, 3)
    assert one(found, "a", 1, 0).between == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert one(found, "a", 1, 0).between_df == pytest.approx(2.0)


def test_a_value_that_was_measured_twice_counts_as_the_later_one():
    found = over_chains([row("a", 1, 0, 1.0), row("a", 1, 0, 4.0), row("a", 1, 1, 6.0)], 1, 2)
    assert [m.value for m in found] == [5.0]


def test_chains_without_a_value_are_left_out_and_a_value_that_none_has_stays_missing():
    found = over_chains([row("a", 1, 0, None), row("a", 1, 1, 2.0), row("a", 1, 2, 4.0)], 1, 3)
    assert (found[0].value, found[0].chains) == (3.0, 2)
    (lost,) = over_chains([row("a", 1, 0, None), row("a", 1, 1, None)], 1, 2)
    assert lost.value is None and lost.missing == "no value"


def test_an_unfinished_generation_has_the_mean_of_what_is_there():
    rows = [row("a", t, line, float(t + line)) for t in (1, 2) for line in range(3 if t == 1 else 1)]
    found = over_chains(rows, 1, 3)
    assert [(m.generation, m.value, m.chains) for m in found] == [(1, 2.0, 3), (2, 2.0, 1)]
    assert found[1].between == pytest.approx(0.1 * retraining_ratio("a", 2))


def test_one_chain_takes_its_spread_from_the_table_and_a_closed_form_from_its_own():
    trained, closed = (over_chains([row("a", 5, 0, 1.0)], 1, 1, [form])[0] for form in (False, True))
    assert trained.between == pytest.approx(0.1 * retraining_ratio("a", 5)) and trained.chains == 1
    assert closed.between == pytest.approx(0.1 * retraining_ratio("a", 5, closed_form=True))
    assert trained.between_df is None


def test_the_table_gives_its_last_generation_beyond_its_end():
    ratios = retraining_table()["trained"]["other"]
    assert retraining_ratio("nothing", 1) == ratios[0]
    assert retraining_ratio("nothing", len(ratios)) == retraining_ratio("nothing", 999) == ratios[-1]


def test_the_error_of_a_loop_is_that_of_its_trainings_and_of_the_images():
    m = Measurement("a", 5.0, generation=3, stderr=0.3, df=19, between=0.6, between_df=2, chains=3)
    training, images = 0.36 / 3, 0.09
    df = (training + images) ** 2 / (training**2 / 2 + images**2 / 19)
    assert loop_error(m) == (pytest.approx(math.sqrt(training + images)), pytest.approx(df))
    half = t95(df) * math.sqrt(2 * (training + images))
    assert repetition(m) == (pytest.approx(5 - half), pytest.approx(5 + half))


def test_real_images_keep_the_interval_of_the_images():
    assert repetition(Measurement("a", 1.0, stderr=0.5, df=19)) == pytest.approx((1 - t95(19) / 2, 1 + t95(19) / 2))
    assert repetition(Measurement("a", 0.0, stderr=0.5, low=0.0, high=0.1)) == (0.0, 0.1)
    assert repetition(Measurement("a", 1.0)) is None and loop_error(Measurement("a", 1.0)) is None


def test_without_slopes_generations_are_pooled_and_with_slopes_alone_they_are_not():
    rng, t = np.random.default_rng(0), np.arange(1, 11)
    noise = [pooled_spread(rng.normal(size=(3, 10)), np.ones(10), t)[1].mean() for _ in range(40)]
    slopes = [pooled_spread(rng.normal(size=(3, 1)) * (t - 1.0), np.full(10, 1e-3), t)[1][1:].mean() for _ in range(40)]
    assert np.median(noise) > 8 and max(slopes) < 2.01


def test_where_no_error_of_the_images_is_known_nothing_is_pooled():
    spread, df = pooled_spread(np.array([[1.0, 2.0], [3.0, 8.0]]), np.array([0.0, 1.0]), np.array([1, 2]))
    np.testing.assert_allclose(spread, [2**0.5, 18**0.5])
    np.testing.assert_allclose(df, 1.0)


KINDS = {
    "independent": lambda rng, n, t: rng.normal(size=(n, 6, len(t))),
    "slopes": lambda rng, n, t: rng.normal(size=(n, 6, len(t))) + 0.4 * (t - 1) * rng.normal(size=(n, 6, 1)),
    "walk": lambda rng, n, t: 0.5 * rng.normal(size=(n, 6, len(t))) + rng.normal(size=(n, 6, len(t))).cumsum(2),
    "growing": lambda rng, n, t: rng.normal(size=(n, 6, len(t))) * (1 + 0.2 * (t - 1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_lies_in_the_interval_of_the_first_in_95_of_100_cases(kind: str):
    t, repeats, inside = np.arange(1, 9), 300, 0
    drawn = KINDS[kind](np.random.default_rng(1), repeats, t)
    for values in drawn:
        rows = [row("a", int(g), chain, values[chain, k], stderr=1.0) for chain in range(3) for k, g in enumerate(t)]
        last = one(over_chains(rows, 1, 3), "a", 8, 0)
        low, high = cast(
            "tuple[float, float]",
            repetition(
                Measurement("a", last.value, stderr=1e-9, between=last.between, between_df=last.between_df, chains=3)
            ),
        )
        inside += low <= values[3:, -1].mean() <= high
    assert 0.90 <= inside / repeats <= 0.99


def test_fitted_ratios_follow_what_grows_with_the_generation_and_are_never_negative():
    t = np.arange(1, 7)
    np.testing.assert_allclose(fitted_ratios(1.2 + 0.3 * (t - 1.0) ** 2, t), np.sqrt(1.2 + 0.3 * (t - 1.0) ** 2))
    assert (fitted_ratios(np.array([2.0, 1.0, 0.1, 0.05]), np.arange(1, 5)) >= 0).all()


def test_what_is_a_closed_form_is_read_from_the_settings_alone():
    assert is_closed_form({"kind": "gaussian"}) and not is_closed_form({"kind": "vae"})
    assert not is_closed_form({"kind": "somebody's"}) and not is_closed_form(None)


def test_what_is_counted_in_the_one_blank_twin_of_three_chains_is_one_training():
    settings = {"generator": {"kind": "vae"}, "arms": [], "replicates": 3, "blank_twins": 1}
    rows = [row(name, 1, line, 0.25) for name in ("freckles/twin", "a") for line in range(3)]
    found = {m.name: m for m in means_of_run(settings, rows)}
    assert (found["freckles/twin"].value, found["freckles/twin"].chains, found["a"].chains) == (0.25, 1, 3)
    assert found["freckles/twin"].between == pytest.approx(0.1 * retraining_ratio("freckles/twin", 1))


def test_a_value_without_an_error_of_its_own_has_the_error_of_its_trainings():
    found = over_chains([row("a", 1, line, value, stderr=None) for line, value in enumerate((1.0, 2.0, 6.0))], 1, 3)
    spread = float(np.std([1, 2, 6], ddof=1))
    assert loop_error(found[0]) == (pytest.approx(spread / 3**0.5), pytest.approx(2.0))
    assert repetition(found[0]) == pytest.approx(
        (3 - t95(2) * spread * (2 / 3) ** 0.5, 3 + t95(2) * spread * (2 / 3) ** 0.5)
    )


def test_trainings_differ_at_least_by_a_part_of_the_error_of_their_images():
    spread, _ = pooled_spread(np.array([[1.0, 1.0], [1.0, 1.001], [1.0, 1.0]]), np.array([0.2, 0.2]), np.array([1, 2]))
    np.testing.assert_allclose(spread, 0.1, rtol=1e-3)


def test_exact_limits_stay_inside_the_interval_of_a_repetition():
    m = Measurement("a", 0.0, generation=1, stderr=0.001, low=0.0, high=0.05, between=0.001, chains=1)
    low, high = cast("tuple[float, float]", repetition(m))
    assert low < 0 and high == 0.05


def test_an_interval_goes_no_further_than_what_can_be_unless_the_value_is_corrected():
    recall = Measurement("prdc/recall", 0.03, "share", generation=3, stderr=0.05, between=0.01)
    low, high = repetition(recall) or (9.0, 9.0)
    assert low == 0.0 and 0.1 < high < 0.3
    auc = replace(recall, name="detector/x", value=0.999, unit="AUC")
    assert (repetition(auc) or (0.0, 0.0))[1] == 1.0
    beard = replace(recall, name="tails/beard")
    assert (repetition(beard) or (0.0, 0.0))[0] < -0.05
    ratio = replace(recall, name="pixel_variance", unit="ratio", value=0.01)
    assert (repetition(ratio) or (9.0, 9.0))[0] == 0.0
    decibels = replace(recall, name="band_power/1-2", unit="dB", value=0.0)
    assert (repetition(decibels) or (0.0, 0.0))[0] < -0.05
