from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t, ttest_ind, ttest_rel

from imagelab.evaluation.chains import retraining_ratio
from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report.groups import Group, group_runs, shared_names
from imagelab.report.statistics import Difference, differences, estimate, outcomes, possible

MakeRun = Callable[..., Path]

NUMBERS = count()
"""Of the runs of this file: a test makes several of one name."""


def run_with(
    make_run: MakeRun,
    name: str,
    value: float,
    seed: int = 0,
    regime: str = "replace",
    space: str = "a",
    measured: str = "own",
) -> Path:
    """Return a run of one generation with a single measurement."""
    number = next(NUMBERS)
    run = make_run(f"{name}-{number:08d}", generations=1, experiment={"seed": seed, "regime": {"kind": regime}})
    rows = [
        Measurement(measured, 1.0, line=REAL, stderr=0.5, feature_space=space),
        Measurement(measured, value, generation=1, stderr=0.5, feature_space=space),
    ]
    (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in rows))
    return run


def test_runs_that_differ_in_their_seed_alone_are_repeats(make_run: MakeRun):
    runs = [run_with(make_run, f"r{seed}", 2.0, seed) for seed in range(3)]
    groups, shared = group_runs([*runs, run_with(make_run, "m", 1.0, 0, "mix")])
    assert [(group.label, group.seeds) for group in groups] == [("replace", (0, 1, 2)), ("mix", (0,))]
    assert shared["data.kind"] == "faces" and "regime.kind" not in shared


def test_what_sets_groups_apart_names_them(make_run: MakeRun):
    quarter, half = (
        make_run(f"mix{f}-00000000", experiment={"regime": {"kind": "mix", "real_fraction": f}}) for f in (0.25, 0.5)
    )
    groups, _ = group_runs([quarter, half])
    assert [group.label for group in groups] == ["real fraction 0.25", "real fraction 0.5"]


def test_repeats_have_students_interval_and_a_single_run_its_own_error(make_run: MakeRun):
    values = [1.0, 2.0, 4.0]
    (group,), _ = group_runs([run_with(make_run, f"r{k}", value, k) for k, value in enumerate(values)])
    found = estimate(group, "own", 1)
    assert found is not None and found.holds == "runs" and found.runs == 3
    assert found.value == pytest.approx(np.mean(values))
    assert found.half == pytest.approx(4.302652729911275 * np.std(values, ddof=1) / 3**0.5)
    groups, _ = group_runs([run_with(make_run, "s", 2.0), run_with(make_run, "t", 2.0, 0, "mix")])
    alone = estimate(groups[0], "own", 1)
    assert alone is not None and alone.holds == "table"
    assert alone.half == pytest.approx(1.959964 * 0.5 * (1 + retraining_ratio("own", 1) ** 2) ** 0.5)
    real = estimate(groups[0], "own", 0)
    assert real is not None and real.holds == "images" and real.half == pytest.approx(1.959964 * 0.5)


def pair(make_run: MakeRun, left: list[float], right: list[float], seeds: range, name: str = "vendi/a") -> list[Group]:
    """Two groups of runs, "replace" with seeds 0, 1, ... and "mix" with these seeds."""
    runs = [run_with(make_run, f"l{k}", v, k, measured=name) for k, v in enumerate(left)]
    runs += [run_with(make_run, f"m{k}", v, k, "mix", measured=name) for k, v in zip(seeds, right, strict=True)]
    return group_runs(runs)[0]


def test_runs_that_share_their_seeds_are_compared_within_each_seed(make_run: MakeRun):
    left, right = [1.0, 2.0, 4.0], [1.4, 2.5, 4.6]
    (found,) = differences(pair(make_run, left, right, range(3)), ["vendi/a"], 1)
    tested: Any = ttest_rel(right, left)
    assert found.value == pytest.approx(0.5) and found.p == pytest.approx(float(tested.pvalue))
    assert found.half == pytest.approx(float(tested.confidence_interval().high) - 0.5)
    assert found.words == f"differ, p = {found.p:.3f} (paired by seed, 3 pairs)"


def test_a_seed_that_one_group_lacks_is_left_out_of_the_pairs(make_run: MakeRun):
    groups = pair(make_run, [1.0, 2.0, 9.0], [1.4, 2.6], range(2))
    (found,) = differences(groups, ["vendi/a"], 1)
    assert found.value == pytest.approx(0.5) and found.how == "paired by seed, 2 pairs"


def test_runs_of_other_seeds_are_compared_unpaired(make_run: MakeRun):
    left, right = [1.0, 1.2, 0.9], [3.0, 3.3, 2.9]
    (found,) = differences(pair(make_run, left, right, range(5, 8)), ["vendi/a"], 1)
    tested: Any = ttest_ind(right, left, equal_var=False)
    low, high = tested.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(right) - np.mean(left)) and found.how == "unpaired, 3 and 3 runs"
    assert found.p == pytest.approx(float(tested.pvalue)) and found.half == pytest.approx((high - low) / 2)


def test_tests_of_declared_outcomes_are_corrected_for_their_number(make_run: MakeRun):
    groups = pair(make_run, [1.0, 1.2, 0.9], [1.5, 1.4, 1.7], range(3))
    third = [run_with(make_run, f"a{k}", v, k, "accumulate", measured="vendi/a") for k, v in enumerate([1.5, 1.4, 1.7])]
    runs = [run.folder for group in groups for run in group.runs]
    alone, together = differences(groups, ["vendi/a"], 1), differences(group_runs([*runs, *third])[0], ["vendi/a"], 1)
    assert alone[0].p is not None and together[0].p == pytest.approx(2 * alone[0].p)


def test_what_was_not_declared_is_described_and_not_tested(make_run: MakeRun):
    (found,) = differences(pair(make_run, [1.0, 2.0], [5.0, 6.1], range(2), "own"), ["own"], 1)
    assert found.p is None and found.half is not None and not found.outcome
    assert found.words == "descriptive, not tested (paired by seed, 2 pairs)"


def test_the_declared_outcomes_come_first_and_are_one_of_each_kind():
    names = ["own", "vendi/a", "vendi/b", "band_power/1-2", "band_power/16-32", "band_power/8-16", "band_power/corners"]
    assert outcomes([*names, "freckles/count", "frechet/a", "frechet_corrected/a"]) == [
        "band_power/16-32",
        "frechet_corrected/a",
        "vendi/a",
    ]
    assert outcomes(["freckles/corrected"]) == ["freckles/corrected"] and outcomes(["band_power/corners"]) == []


def test_single_runs_are_neither_tested_nor_given_an_interval_of_their_difference(make_run: MakeRun):
    groups = pair(make_run, [1.0], [2.0], range(1))
    (found,) = differences(groups, ["vendi/a"], 1)
    assert found.p is None and found.half is None and found.value == 1.0
    assert found.words == "one run, not tested: repeat it with other seeds"


def test_single_runs_of_several_trainings_are_compared_by_the_spread_of_their_trainings(make_run: MakeRun):
    folders = []
    for kind, values in (("replace", (1.0, 1.2, 1.4)), ("mix", (2.0, 2.1, 2.5))):
        run = make_run(f"{kind}-00000000", generations=1, experiment={"regime": {"kind": kind}, "replicates": 3})
        rows = [Measurement("vendi/a", v, generation=1, line=2 * k, stderr=0.3) for k, v in enumerate(values)]
        (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in rows))
        folders.append(run)
    groups, _ = group_runs(folders)
    (found,), alone = differences(groups, ["vendi/a"], 1), estimate(groups[0], "vendi/a", 1)
    spreads = [np.std(values, ddof=1) for values in ((1.0, 1.2, 1.4), (2.0, 2.1, 2.5))]
    error = (2 * 0.3**2 + sum(spread**2 for spread in spreads) / 3) ** 0.5
    df = error**4 / sum((spread**2 / 3) ** 2 / 2 for spread in spreads)
    assert found.value == pytest.approx(1.0) and found.how == "3 and 3 trainings of one run each"
    assert found.p == pytest.approx(2 * t.sf(1 / error, df)) and found.half == pytest.approx(t.ppf(0.975, df) * error)
    assert alone is not None and alone.holds == "trainings" and alone.value == pytest.approx(1.2)


def test_runs_of_one_value_have_no_spread(make_run: MakeRun):
    equal, apart = (differences(pair(make_run, [1.0, 1.0], [v, v], range(2)), ["vendi/a"], 1) for v in (1.0, 2.0))
    assert (equal[0].p, equal[0].half, apart[0].p, apart[0].half) == (1.0, 0.0, 0.0, 0.0)


def test_other_instruments_are_not_compared(make_run: MakeRun):
    groups, _ = group_runs([run_with(make_run, "l", 1.0), run_with(make_run, "m", 2.0, 0, "mix", space="b")])
    assert shared_names(groups) == []
    groups, _ = group_runs([run_with(make_run, "l2", 1.0), run_with(make_run, "m2", 2.0, 0, "mix")])
    assert shared_names(groups) == ["own"]


def test_one_run_or_the_same_run_twice_is_refused(make_run: MakeRun):
    run = make_run()
    with pytest.raises(ValueError, match="two runs or more, got 1"):
        group_runs([run])
    with pytest.raises(ValueError, match="given twice"):
        group_runs([run, run])


def test_kinds_alone_name_groups_that_would_else_need_every_setting(make_run: MakeRun):
    data = {"kind": "textures", "photos": ["grass", "gravel"], "heldout_share": 0.25, "mirror": True}
    runs = [make_run("one-00000000"), make_run("two-00000000", experiment={"data": data, "metrics": ["fid"]})]
    assert [group.label for group in group_runs(runs)[0]] == ["faces", "textures"]


def test_a_long_label_names_only_the_settings_that_tell_the_groups_apart(make_run: MakeRun):
    long = {"kind": "mix", "a_setting_with_a_name": 1, "another_setting_with_a_name": 2}
    runs = [make_run(f"r{k}-00000000", experiment={"regime": {**long, "share": k}}) for k in (1, 2)]
    runs.append(make_run("r3-00000000"))
    labels = [group.label for group in group_runs(runs)[0]]
    assert labels == ["mix, share 1", "mix, share 2", "replace"]


def test_the_kinds_in_a_label_are_words(make_run: MakeRun) -> None:
    kinds = ("keep_all", "random_fraction")
    runs = [make_run(f"{kind}-00000000", experiment={"curation": {"kind": kind}}) for kind in kinds]
    assert [group.label for group in group_runs(runs)[0]] == ["keep all", "random fraction"]


def test_a_measurement_that_a_repeat_lacks_has_no_estimate(make_run: MakeRun):
    groups, _ = group_runs([run_with(make_run, "l", 1.0), run_with(make_run, "m", 2.0, 0, "mix")])
    assert estimate(groups[0], "absent", 1) is None and estimate(groups[0], "own", 1) is not None
    assert differences(groups, ["absent"], 1) == []


def test_the_interval_of_a_share_ends_where_shares_end(make_run: MakeRun):
    runs = [share_run(make_run, f"s{k}", "prdc/recall", "share", v, k) for k, v in enumerate((0.2, 0.9))]
    (group,), _ = group_runs(runs)
    found = estimate(group, "prdc/recall", 1)
    assert found is not None and found.half is not None and found.half > 4
    assert found.ends == (0.0, 1.0) and found.said == "1 (0 to 1)"


def test_a_share_below_nought_is_said_as_nought(make_run: MakeRun):
    (group, _), _ = group_runs(
        [share_run(make_run, "a", "own", "share", -0.02), share_run(make_run, "b", "own", "share", 0.5, regime="mix")]
    )
    found = estimate(group, "own", 1)
    assert found is not None and found.value == -0.02 and found.ends is not None and found.ends[0] == 0.0
    assert found.said.startswith("0.00 (0.00 to 0.")


@pytest.mark.parametrize(
    ("unit", "limits"),
    [
        ("share", (0, 1)),
        ("share of faces", (0, 1)),
        ("AUC", (0, 1)),
        ("ratio", (0, np.inf)),
        ("freckles/face", (0, np.inf)),
        ("dB", (-np.inf, np.inf)),
        ("", (-np.inf, np.inf)),
    ],
)
def test_what_a_measurement_can_be_follows_from_its_unit(unit: str, limits: tuple[float, float]):
    assert possible(Measurement("own", 0.5, unit)) == limits


def test_the_interval_of_net_freckles_holds_what_blur_may_hide(make_run: MakeRun):
    runs = [
        share_run(make_run, f"n{k}", "freckles/net", "freckles/face", v, k, low=v - 0.2, high=v + 2.0)
        for k, v in enumerate((1.0, 1.01, 1.02))
    ]
    (group,), _ = group_runs(runs)
    found = estimate(group, "freckles/net", 1)
    assert found is not None and found.ends == pytest.approx((0.81, 3.01))
    assert found.said == "1.01 (0.81 to 3.01)"


def share_run(
    make_run: MakeRun,
    name: str,
    measured: str,
    unit: str,
    value: float,
    seed: int = 0,
    regime: str = "replace",
    low: float | None = None,
    high: float | None = None,
) -> Path:
    """Return a run of one generation with one measurement of a unit, and perhaps a recorded interval."""
    run = run_with(make_run, name, value, seed, regime)
    m = Measurement(measured, value, unit, generation=1, stderr=0.05, low=low, high=high)
    (run / "metrics.jsonl").write_text(m.to_json() + "\n")
    return run


def test_an_interval_beside_a_corrected_p_value_does_not_contradict_it_without_a_word():
    near = Difference("vendi/a", "mix", 0.15, 0.12, "paired by seed, 3 pairs", True, 0.127, 4)
    assert near.words == (
        "no significant difference, p = 0.127 (paired by seed, 3 pairs); its interval excludes 0, but it is one of "
        "4 tests"
    )
    wide = Difference("vendi/a", "mix", 0.15, 0.2, "paired by seed, 3 pairs", True, 0.127, 4)
    assert "excludes" not in wide.words


def test_a_difference_knows_for_how_many_tests_its_p_value_was_corrected(make_run: MakeRun):
    groups = pair(make_run, [1.0, 1.2, 0.9], [1.5, 1.4, 1.7], range(3))
    third = [run_with(make_run, f"a{k}", v, k, "accumulate", measured="vendi/a") for k, v in enumerate([1.5, 1.4, 1.7])]
    runs = [run.folder for group in groups for run in group.runs]
    assert [each.tests for each in differences(group_runs([*runs, *third])[0], ["vendi/a"], 1)] == [2, 2]


def test_a_group_says_how_many_runs_and_trainings_it_is_made_of(make_run: MakeRun):
    runs = [run_with(make_run, f"r{seed}", 2.0, seed) for seed in range(3)]
    several = make_run("several-00000000", generations=1, experiment={"replicates": 3, "regime": {"kind": "mix"}})
    groups, _ = group_runs([*runs, several])
    assert [group.made_of for group in groups] == [
        "3 runs of one training each, seeds 0, 1, 2",
        "one run of 3 trainings, seed 0",
    ]


def test_a_group_without_the_settings_of_the_others_is_called_so(make_run: MakeRun):
    groups, _ = group_runs([make_run("one-00000000"), make_run("two-00000000", experiment={"replicates": 3})])
    assert [group.label for group in groups] == ["without replicates", "replicates 3"]
