from __future__ import annotations

from dataclasses import replace

import pytest

from imagelab.evaluation.moves import first_moves, warning
from imagelab.evaluation.stages import stages_of
from imagelab.measurement import Measurement
from imagelab.pool import REAL


def one_training(name: str, real: float, values: list[float], error: float = 0.01) -> list[Measurement]:
    """One measurement of real images, then one a generation, of a single training."""
    start = Measurement(name, real, line=REAL, stderr=error, n_fake=1000)
    return [start, *(Measurement(name, v, generation=g, stderr=error, n_fake=1000) for g, v in enumerate(values, 1))]


def series(name: str, real: float, values: list[float], error: float = 0.01) -> list[Measurement]:
    """The same as the mean over four trainings, whose spread is known very well and is small."""
    rows = one_training(name, real, values, error)
    return [replace(m, between=1e-9, between_df=1e6, chains=4) if m.generation else m for m in rows]


def test_what_moved_first_is_named_with_its_generation():
    rows = [
        *series("freckles/corrected", 5.0, [5.0, 4.0, 3.0, 2.0, 2.0], 0.1),
        *series("pixel_variance", 1.0, [1.0, 1.0, 1.0, 0.7, 0.7]),
        *series("frechet_corrected/any", 1.0, [1.0, 1.0, 9.0, 20.0, 20.0], 0.2),
    ]
    moves = first_moves(rows)
    assert [(m.title, m.from_first) for m in moves] == [("freckles", 2), ("Fréchet distance", 3), ("variance", 4)]


def test_a_change_that_returns_is_not_a_move():
    (move,) = first_moves(series("pixel_variance", 1.0, [1.0, 0.5, 1.0, 1.0]))
    assert move.from_real is None and move.from_first is None


def test_the_first_models_own_error_is_distinguished_from_the_loops():
    (move,) = first_moves(series("pixel_variance", 1.0, [0.8, 0.8, 0.8, 0.5, 0.5]))
    assert move.from_real == 1 and move.from_first == 4


def test_a_significant_but_tiny_change_is_not_a_move():
    (move,) = first_moves(series("pixel_variance", 1.0, [1.0, 0.97, 0.96], error=0.001))
    assert move.from_real is None


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
    rows = series("pixel_variance", 1.0, [0.8, 0.7, 0.6, 0.6], error=0.03)
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
    rows = [
        *series("freckles/corrected", 1.0, [1.0, 0.85, 0.8, 0.8, 0.8]),
        *series("vendi", 1.0, [1.0, 1.0, 1.0, 0.9, 0.6]),
    ]
    told = warning(stages_of(rows), first_moves(rows))
    assert told == [
        "First to move beyond generation 1: freckles, in generation 2.",
        "That was 3 generations before the stage “homogenising” (generation 5).",
    ]
    early = series("vendi", 1.0, [1.0, 0.6, 0.6])
    assert len(warning(stages_of(early), first_moves(early))) == 1


def test_a_distance_without_a_floor_or_without_generations_does_not_move():
    real, *made = series("kernel", 1.0, [5.0, 9.0])
    assert first_moves(made) == first_moves([real]) == ()


def test_a_change_in_the_last_generation_alone_is_not_yet_a_move_of_the_loop():
    (move,) = first_moves(series("pixel_variance", 1.0, [1.0, 1.0, 0.5]))
    assert (move.from_real, move.from_first) == (3, None)


def test_moves_one_generation_apart_are_a_tie():
    rows = [*series("vendi", 1.0, [1.0, 0.7, 0.6, 0.6]), *series("pixel_variance", 1.0, [1.0, 1.0, 0.7, 0.7])]
    told = warning(stages_of(rows), first_moves(rows))
    assert told == [
        "First to move beyond generation 1: Vendi (generation 2), variance (generation 3). One generation apart is a "
        "tie: their order is not known."
    ]
    later = [*rows[:5], *series("pixel_variance", 1.0, [1.0, 1.0, 1.0, 0.7, 0.7])]
    assert warning(stages_of(later), first_moves(later))[0].endswith(": Vendi, in generation 2.")


def test_one_training_has_no_first_to_move_and_says_why():
    rows = one_training("pixel_variance", 1.0, [1.0, 0.5, 0.4, 0.3])
    (move,) = first_moves(rows)
    assert (move.from_real, move.from_first, move.replicated) == (2, None, False)
    assert warning(stages_of(rows), first_moves(rows)) == [
        "Which measurement moved first cannot be said from one training: it needs replicates, several trainings of the "
        "same loop."
    ]
    tabled = [replace(m, between=0.01) if m.generation else m for m in rows]  # a ratio from a table, of other loops
    assert first_moves(tabled)[0].from_first is None


def test_few_trainings_need_a_clearer_change():
    rows = series("pixel_variance", 1.0, [1.0, 0.6, 0.6, 0.6], error=0.0)
    several, few = (
        [replace(m, between=0.1, between_df=df, chains=3) if m.generation else m for m in rows] for df in (60, 2)
    )
    assert first_moves(several)[0].from_first == 2 and first_moves(few)[0].from_first is None


def test_one_generation_ahead_of_a_stage_is_no_lead():
    ahead, far = (series("pixel_variance", 1.0, [1.0, 0.9, *slow, 0.65, 0.65]) for slow in ([], [0.9]))
    assert len(warning(stages_of(ahead), first_moves(ahead))) == 1
    assert "That was 2 generations before" in warning(stages_of(far), first_moves(far))[1]
