from __future__ import annotations

import math
from dataclasses import replace

import pytest

from imagelab.evaluation.stages import FAMILIES, STAGES, first_moves, signals, stages_of, warning
from imagelab.measurement import Measurement
from imagelab.pool import REAL


def series(name: str, real: float, values: list[float], error: float = 0.01, n: int = 1000) -> list[Measurement]:
    """One measurement of real images, then one a generation."""
    start = Measurement(name, real, line=REAL, stderr=error, n_fake=n)
    return [start, *(Measurement(name, v, generation=g, stderr=error, n_fake=n) for g, v in enumerate(values, 1))]


def test_a_run_that_keeps_everything_stays_healthy():
    found = stages_of(series("pixel_variance", 1.0, [1.0, 0.99, 1.01, 0.98]))
    assert set(found.stages.values()) == {"healthy"} and found.last == "healthy"


def test_the_stages_follow_the_loss_of_variance():
    found = stages_of(series("pixel_variance", 1.0, [0.99, 0.8, 0.65, 0.2]))
    assert [found.stages[g] for g in range(1, 5)] == list(STAGES)
    assert found.since == {"healthy": 0, "tails fading": 2, "homogenising": 3, "collapsed": 4}
    assert found.reached("homogenising") and not stages_of(series("pixel_variance", 1.0, [0.8])).reached("homogenising")


def test_a_loss_that_chance_explains_is_no_stage():
    value = 1.0 - 1.1 * FAMILIES["diversity"]["tails fading"]
    assert stages_of(series("pixel_variance", 1.0, [value], error=0.01)).last == "tails fading"
    assert stages_of(series("pixel_variance", 1.0, [value], error=0.1)).last == "healthy"


def test_the_stage_of_a_run_near_a_threshold_does_not_alternate():
    threshold = FAMILIES["diversity"]["homogenising"]
    values = [1 - threshold - 0.01, 1 - threshold + 0.01, 1 - threshold - 0.01, 1 - threshold + 0.01]
    assert set(list(stages_of(series("pixel_variance", 1.0, values)).stages.values())[1:]) == {"homogenising"}


def test_a_stage_is_left_after_two_generations_of_recovery():
    found = stages_of(series("pixel_variance", 1.0, [0.6, 0.99, 0.99, 0.99]))
    assert [found.stages[g] for g in range(1, 5)] == ["homogenising", "homogenising", "healthy", "healthy"]
    assert "homogenising" not in found.since


def test_gained_energy_counts_as_lost_detail():
    lost, gained = (stages_of(series("band_power/16-32", 0.0, [sign * 4.0])) for sign in (-1, 1))
    assert lost.signals[0].lost[1] == pytest.approx(1 - 10**-0.4)
    assert gained.signals[0].lost == lost.signals[0].lost and gained.last == "tails fading"


def test_the_finest_octave_is_used_and_not_the_corners():
    rows = [
        *series("band_power/8-16", 0.0, [0.0]),
        *series("band_power/16-32", 0.0, [-6.0]),
        *series("band_power/corners", 0.0, [-20.0]),
    ]
    assert [s.key for s in signals(rows)] == ["band_power/16-32"]


def test_rare_attributes_are_summed_and_their_error_includes_drift():
    rows = [*series("tails/scar", 0.02, [0.01, 0.0], 0.004), *series("tails/bindi", 0.02, [0.02, 0.0], 0.004)]
    (rare,) = signals([*rows, *series("tails/glasses", 0.1, [0.0, 0.0], 0.004)])
    assert rare.key == "tails/rare" and rare.lost == {1: pytest.approx(0.25), 2: pytest.approx(1.0)}
    measured = math.sqrt(4 * 0.004**2) / 0.04
    assert rare.error[1] == pytest.approx(measured)
    assert rare.error[2] == pytest.approx(math.hypot(measured, math.sqrt(2 * 0.02 * 0.98 / 1000) / 0.04))


def test_each_line_is_judged_by_its_own_numbers():
    rows = series("pixel_variance", 1.0, [0.2])
    arm = Measurement("pixel_variance", 1.0, generation=1, line=1, stderr=0.01, n_fake=1000)
    assert stages_of([*rows, arm], 0).last == "collapsed" and stages_of([*rows, arm], 1).last == "healthy"


def test_predictions_are_ignored():
    rows = series("pixel_variance", 1.0, [1.0])
    predicted = Measurement("pixel_variance", 0.1, generation=1, predicted=True)
    assert stages_of([*rows, predicted]).last == "healthy"


def test_without_a_usable_measurement_there_are_no_signals():
    found = stages_of(series("brightness", 0.5, [0.1]))
    assert found.signals == () and found.stages == {0: "healthy"}


def test_what_moved_first_is_named_with_its_generation():
    rows = [
        *series("freckles/corrected", 5.0, [5.0, 4.0, 3.0, 2.0], 0.1),
        *series("pixel_variance", 1.0, [1.0, 1.0, 1.0, 0.7]),
        *series("frechet_corrected/any", 1.0, [1.0, 1.0, 9.0, 20.0], 0.2),
    ]
    moves = first_moves(rows)
    assert [(m.title, m.from_first) for m in moves] == [("freckles", 2), ("Fréchet distance", 3), ("variance", 4)]


def test_a_change_that_returns_is_not_a_move():
    (move,) = first_moves(series("pixel_variance", 1.0, [1.0, 0.5, 1.0, 1.0]))
    assert move.from_real is None and move.from_first is None


def test_the_first_models_own_error_is_distinguished_from_the_loops():
    (move,) = first_moves(series("pixel_variance", 1.0, [0.8, 0.8, 0.8, 0.5]))
    assert move.from_real == 1 and move.from_first == 4


def test_a_significant_but_tiny_change_is_not_a_move():
    (move,) = first_moves(series("pixel_variance", 1.0, [1.0, 0.97, 0.96], error=0.001))
    assert move.from_real is None


def test_signals_come_in_the_order_of_a_table_whatever_was_measured_first():
    names = ["vendi/imagelab-ssl-v1", "pixel_variance", "prdc/recall", "band_power/8-16", "freckles/count", "tails/hat"]
    rows = [m for name in names for m in series(name, 0.02 if name == "tails/hat" else 1.0, [0.5])]
    assert [signal.key for signal in signals(rows)] == ["tails/rare", *reversed(names[:-1])]


# -- each threshold and constant, from both sides


def lost(stem: str, share: float) -> list[Measurement]:
    """One generation that has lost this share of what real images have, known without error."""
    if stem == "tails/scar":
        return series(stem, 0.04, [0.04 * (1 - share)], error=0.0, n=10**9)
    if stem.startswith("band_power"):
        return series(stem, 0.0, [10 * math.log10(1 - share)], error=0.0)
    return series(stem, 1.0, [1 - share], error=0.0)


@pytest.mark.parametrize(
    ("stem", "stage", "threshold"),
    [
        ("tails/scar", "tails fading", 0.25),
        ("freckles/corrected", "tails fading", 0.25),
        ("prdc/recall", "tails fading", 0.25),
        ("band_power/16-32", "tails fading", 0.5),
        ("band_power/16-32", "homogenising", 0.9),
        *(
            (stem, stage, threshold)
            for stem in ("pixel_variance", "perceptual_diversity/a", "lpips_diversity/alex", "vendi/a")
            for stage, threshold in (("tails fading", 0.15), ("homogenising", 0.3), ("collapsed", 0.75))
        ),
    ],
)
def test_a_stage_is_entered_at_its_threshold_and_not_before(stem: str, stage: str, threshold: float):
    before, after = (STAGES.index(stages_of(lost(stem, threshold + step)).last) for step in (-0.01, 0.01))
    assert before < STAGES.index(stage) == after


def test_no_signal_of_the_tails_or_of_detail_says_collapsed():
    for stem in ("tails/scar", "freckles/corrected", "prdc/recall"):
        assert stages_of(lost(stem, 0.999)).last == "tails fading"
    assert stages_of(lost("band_power/16-32", 0.999)).last == "homogenising"


def test_an_attribute_is_rare_below_one_in_twenty():
    rows = [*series("tails/scar", 0.049, [0.0]), *series("tails/hat", 0.051, [0.051]), *series("tails/no", 0.0, [0.0])]
    (rare,) = signals(rows)
    assert rare.lost[1] == 1.0


@pytest.mark.parametrize(("errors", "stage"), [(1.9, "healthy"), (2.1, "tails fading")])
def test_a_loss_counts_from_two_standard_errors_on(errors: float, stage: str):
    rows = series("pixel_variance", 1.0, [0.8], error=0.0)
    assert stages_of([rows[0], replace(rows[1], stderr=0.2 / errors)]).last == stage


@pytest.mark.parametrize(("share", "stage"), [(0.61, "homogenising"), (0.59, "tails fading")])
def test_a_stage_is_left_only_below_six_tenths_of_its_threshold(share: float, stage: str):
    threshold = FAMILIES["diversity"]["homogenising"]
    values = [1 - 1.1 * threshold, *[1 - share * threshold] * 5]
    assert stages_of(series("pixel_variance", 1.0, values, error=0.0)).last == stage


def test_one_calm_generation_is_not_enough_and_the_count_begins_again_after_a_relapse():
    gone, calm = 0.6, 1.0
    found = stages_of(series("pixel_variance", 1.0, [gone, calm, gone, calm, calm, calm], error=0.0))
    assert [STAGES.index(found.stages[g]) for g in range(1, 7)] == [2, 2, 2, 2, 0, 0]


@pytest.mark.parametrize(("errors", "moved"), [(2.9, None), (3.1, 1)])
def test_a_move_is_more_than_three_standard_errors(errors: float, moved: int | None):
    rows = series("pixel_variance", 1.0, [0.8, 0.8], error=0.0)
    (move,) = first_moves([rows[0], *(replace(m, stderr=0.2 / errors) for m in rows[1:])])
    assert move.from_real == moved


@pytest.mark.parametrize(("change", "moved"), [(0.049, None), (0.051, 1)])
@pytest.mark.parametrize("name", ["pixel_variance", "entropy", "kernel"])
def test_a_move_is_more_than_five_percent_of_the_start(name: str, change: float, moved: int | None):
    (move,) = first_moves(series(name, 4.0, [4.0 * (1 - change)] * 2, error=0.0))
    assert move.from_real == moved


def test_a_move_of_the_loop_is_measured_from_generation_1_with_the_errors_of_both():
    rows = series("pixel_variance", 1.0, [0.8, 0.7, 0.6], error=0.03)
    (move,) = first_moves(rows)
    assert (move.from_real, move.from_first) == (1, 3)  # 0.1 is 2.4 errors of the difference, 0.2 is 4.7


def test_the_warning_says_what_moved_first_and_how_far_ahead_of_the_latest_stage():
    rows = [*series("pixel_variance", 1.0, [0.99, 0.9, 0.8, 0.2]), *series("kernel", 1.0, [5.0, 5.0, 5.0, 5.0])]
    told = warning(stages_of(rows), first_moves(rows))
    assert told == [
        "First to move beyond generation 1: variance, in generation 2.",
        "That was 2 generations before the stage “collapsed” (generation 4).",
        "Already away from real images at generation 1, the first model’s own error: kernel distance.",
    ]


def test_a_stage_short_of_collapse_is_named_too_and_one_that_came_with_the_move_is_not():
    rows = [*series("freckles/corrected", 1.0, [1.0, 0.85, 0.8, 0.8]), *series("vendi", 1.0, [1.0, 1.0, 1.0, 0.6])]
    told = warning(stages_of(rows), first_moves(rows))
    assert told == [
        "First to move beyond generation 1: freckles, in generation 2.",
        "That was 2 generations before the stage “homogenising” (generation 4).",
    ]
    assert len(warning(stages_of(rows[5:]), first_moves(rows[5:]))) == 1


def test_a_stage_is_reached_by_standing_at_it():
    found = stages_of(series("pixel_variance", 1.0, [0.65]))
    assert found.last == "homogenising" and found.reached("homogenising") and not found.reached("collapsed")


def test_a_distance_without_a_floor_or_without_generations_does_not_move():
    real, *made = series("kernel", 1.0, [5.0, 9.0])
    assert first_moves(made) == first_moves([real]) == ()
