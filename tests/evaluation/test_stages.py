from __future__ import annotations

import math
from dataclasses import replace

import pytest

from imagelab.evaluation.stages import FAMILIES, FEWEST, STAGES, StageHistory, stages_of
from imagelab.measurement import Measurement
from imagelab.pool import REAL


def series(name: str, real: float, values: list[float], error: float = 0.01, n: int = 1000) -> list[Measurement]:
    """One measurement of real images, then one a generation."""
    start = Measurement(name, real, line=REAL, stderr=error, n_fake=n)
    return [start, *(Measurement(name, v, generation=g, stderr=error, n_fake=n) for g, v in enumerate(values, 1))]


def quality(rows: list[Measurement], line: int = 0) -> StageHistory:
    """The stages compared with real images."""
    return stages_of(rows, line, "quality")


def test_a_run_that_keeps_everything_stays_healthy():
    found = quality(series("pixel_variance", 1.0, [1.0, 0.99, 1.01, 0.98]))
    assert set(found.stages.values()) == {"healthy"} and found.last == "healthy"


def test_the_stages_follow_the_loss_of_variance():
    found = quality(series("pixel_variance", 1.0, [0.99, 0.8, 0.65, 0.2]))
    assert [found.stages[g] for g in range(1, 5)] == list(STAGES)
    assert found.since == {"healthy": 0, "tails fading": 2, "homogenising": 3, "collapsed": 4}
    assert found.reached("homogenising") and not quality(series("pixel_variance", 1.0, [0.8])).reached("homogenising")


def test_a_loss_that_chance_explains_is_no_stage():
    value = 1.0 - 1.1 * FAMILIES["diversity"]["tails fading"]
    assert quality(series("pixel_variance", 1.0, [value], error=0.01)).last == "tails fading"
    assert quality(series("pixel_variance", 1.0, [value], error=0.1)).last == "healthy"


def test_the_stage_of_a_run_near_a_threshold_does_not_alternate():
    threshold = FAMILIES["diversity"]["homogenising"]
    values = [1 - threshold - 0.01, 1 - threshold + 0.01, 1 - threshold - 0.01, 1 - threshold + 0.01]
    assert set(list(quality(series("pixel_variance", 1.0, values)).stages.values())[1:]) == {"homogenising"}


def test_a_stage_is_left_after_two_generations_of_recovery():
    found = quality(series("pixel_variance", 1.0, [0.6, 0.99, 0.99, 0.99]))
    assert [found.stages[g] for g in range(1, 5)] == ["homogenising", "homogenising", "healthy", "healthy"]
    assert "homogenising" not in found.since


def test_each_line_is_judged_by_its_own_numbers():
    rows = series("pixel_variance", 1.0, [0.2])
    arm = Measurement("pixel_variance", 1.0, generation=1, line=1, stderr=0.01, n_fake=1000)
    assert quality([*rows, arm], 0).last == "collapsed" and quality([*rows, arm], 1).last == "healthy"


def test_predictions_are_ignored():
    rows = series("pixel_variance", 1.0, [1.0])
    predicted = Measurement("pixel_variance", 0.1, generation=1, predicted=True)
    assert quality([*rows, predicted]).last == "healthy"


def test_without_a_usable_measurement_there_are_no_signals():
    found = quality(series("brightness", 0.5, [0.1]))
    assert found.signals == () and found.stages == {0: "healthy"}


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
    before, after = (STAGES.index(quality(lost(stem, threshold + step)).last) for step in (-0.01, 0.01))
    assert before < STAGES.index(stage) == after


def test_no_signal_of_the_tails_or_of_detail_says_collapsed():
    for stem in ("tails/scar", "freckles/corrected", "prdc/recall"):
        assert quality(lost(stem, 0.999)).last == "tails fading"
    assert quality(lost("band_power/16-32", 0.999)).last == "homogenising"


def known_to(errors: float, generations: int = 1) -> list[Measurement]:
    """A fifth of the variance is lost in each generation; the loss is so many standard errors."""
    rows = series("pixel_variance", 1.0, [0.8] * generations, error=0.0)
    return [rows[0], *(replace(m, stderr=0.2 / errors) for m in rows[1:])]


@pytest.mark.parametrize(("errors", "stage"), [(2.9, "healthy"), (3.1, "tails fading")])
def test_a_loss_counts_at_once_from_three_standard_errors_on(errors: float, stage: str):
    assert quality(known_to(errors)).last == stage


@pytest.mark.parametrize(("errors", "stage"), [(1.9, "healthy"), (2.1, "tails fading")])
def test_a_loss_in_two_generations_in_a_row_counts_from_two_standard_errors_on(errors: float, stage: str):
    assert quality(known_to(errors, 2)).last == stage and quality(known_to(errors, 2)).stages[1] == "healthy"


def test_two_generations_in_a_row_are_two_of_one_signal_beyond_the_threshold():
    rows = known_to(2.1, 3)
    apart = [replace(m, value=1.0) if m.generation == 2 else m for m in rows]
    assert quality(apart).last == "healthy" and quality(rows).since["tails fading"] == 2
    small = [replace(m, value=0.9, stderr=0.1 / 2.1) if m.generation == 2 else m for m in rows]
    assert quality(small).last == "healthy"
    other = [replace(m, name="vendi") for m in rows if m.generation in (0, 3)]
    assert quality([m for m in rows if m.generation < 3] + other).since == {"healthy": 0, "tails fading": 2}
    assert quality([m for m in rows if m.generation < 2] + [*rows[:1], *other]).last == "healthy"


def test_the_more_signals_the_clearer_a_loss_must_be():
    others = [m for k in range(6) for m in series(["vendi", *SIX][k], 1.0, [1.0])]
    assert quality(known_to(3.1)).last == "tails fading" and quality([*known_to(3.1), *others]).last == "healthy"
    assert quality([*known_to(3.6), *others]).last == "tails fading"


SIX = ("perceptual_diversity", "lpips_diversity", "prdc/recall", "freckles/count", "band_power/1-2")


def test_few_degrees_of_freedom_need_a_clearer_loss():
    rows = known_to(4.0)
    spread = [rows[0], *(replace(m, stderr=0.0, between=m.stderr, between_df=2) for m in rows[1:])]
    assert quality(rows).last == "tails fading" and quality(spread).last == "healthy"


# -- the loop is compared with its first generation


def test_a_loop_whose_first_model_is_bad_is_healthy_while_its_quality_is_not():
    rows = series("pixel_variance", 1.0, [0.6, 0.6, 0.61, 0.59])
    assert stages_of(rows).last == "healthy" and quality(rows).last == "homogenising"
    assert stages_of(rows).stages == {g: "healthy" for g in range(5)}


def test_a_loop_is_judged_by_what_it_lost_since_generation_1():
    found = stages_of(series("pixel_variance", 1.0, [0.5, 0.4, 0.3, 0.1]))
    assert [found.stages[g] for g in range(1, 5)] == ["healthy", "tails fading", "homogenising", "collapsed"]
    assert found.verdict == "loop" and found.since["homogenising"] == 3


def test_the_error_of_generation_1_counts_too():
    rows = series("pixel_variance", 1.0, [1.0, 0.8], error=0.06)
    known = [replace(m, stderr=0.0) if m.generation == 1 else m for m in rows]
    assert stages_of(rows).last == "healthy" and stages_of(known).last == "tails fading"


def test_a_loop_of_one_generation_is_the_start_and_nothing_else():
    found = stages_of(series("pixel_variance", 1.0, [0.5]))
    assert found.stages == {0: "healthy", 1: "healthy"} and found.signals == ()


# -- too few images


def test_a_run_of_too_few_images_is_not_judged_and_says_so():
    for n, judged in ((FEWEST - 1, False), (FEWEST, True)):
        found = quality(series("pixel_variance", 1.0, [0.2], n=n))
        assert bool(found.signals) is judged and (found.last == "collapsed") is judged
    said = quality(series("pixel_variance", 1.0, [0.2], n=FEWEST - 1)).refused
    assert said.startswith(f"The stage is not judged, measured on {FEWEST - 1} images.")


def test_a_signal_of_too_few_images_is_left_out_of_the_verdict_and_named():
    rows = [*series("pixel_variance", 1.0, [0.2], n=50), *series("vendi", 1.0, [1.0])]
    found = quality(rows)
    assert [signal.key for signal in found.signals] == ["vendi"] and found.last == "healthy"
    assert found.refused.startswith("Not judged: variance, measured on 50 images.")
    assert stages_of(rows, 0, "quality", fewest=0).last == "collapsed"


def test_a_history_says_whether_its_errors_hold_one_training():
    rows = series("pixel_variance", 1.0, [0.9, 0.8])
    assert quality(rows).one_training
    assert not quality(
        [replace(m, between=0.01, between_df=2, chains=3 if m.generation else 1) for m in rows]
    ).one_training


@pytest.mark.parametrize(("share", "stage"), [(0.61, "homogenising"), (0.59, "tails fading")])
def test_a_stage_is_left_only_below_six_tenths_of_its_threshold(share: float, stage: str):
    threshold = FAMILIES["diversity"]["homogenising"]
    values = [1 - 1.1 * threshold, *[1 - share * threshold] * 5]
    assert quality(series("pixel_variance", 1.0, values, error=0.0)).last == stage


def test_a_loss_that_chance_explains_keeps_no_stage():
    rows = series("pixel_variance", 1.0, [0.6, 0.8, 0.8], error=0.01)
    unsure = [replace(m, stderr=0.15) if m.generation > 1 else m for m in rows]
    assert quality(rows).last == "homogenising" and quality(unsure).last == "healthy"


def test_one_calm_generation_is_not_enough_and_the_count_begins_again_after_a_relapse():
    gone, calm = 0.6, 1.0
    found = quality(series("pixel_variance", 1.0, [gone, calm, gone, calm, calm, calm], error=0.0))
    assert [STAGES.index(found.stages[g]) for g in range(1, 7)] == [2, 2, 2, 2, 0, 0]


def test_a_stage_is_reached_by_standing_at_it():
    found = quality(series("pixel_variance", 1.0, [0.65]))
    assert found.last == "homogenising" and found.reached("homogenising") and not found.reached("collapsed")
