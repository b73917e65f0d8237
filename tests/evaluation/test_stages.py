from __future__ import annotations

import math

import pytest

from imagelab.evaluation.stages import FAMILIES, STAGES, first_moves, signals, stages_of
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
