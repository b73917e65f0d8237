from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report.statistics import differences, estimate, group_runs, shared_names

MakeRun = Callable[..., Path]


def run_with(
    make_run: MakeRun, name: str, value: float, seed: int = 0, regime: str = "replace", space: str = "a"
) -> Path:
    """Return a run of one generation with a single measurement, "own"."""
    run = make_run(f"{name}-00000000", generations=1, experiment={"seed": seed, "regime": {"kind": regime}})
    rows = [
        Measurement("own", 1.0, line=REAL, stderr=0.5, feature_space=space),
        Measurement("own", value, generation=1, stderr=0.5, feature_space=space),
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
    assert found is not None and found.between and found.repeats == 3
    assert found.value == pytest.approx(np.mean(values))
    assert found.half == pytest.approx(4.302652729911275 * np.std(values, ddof=1) / 3**0.5)
    groups, _ = group_runs([run_with(make_run, "s", 2.0), run_with(make_run, "t", 2.0, 0, "mix")])
    alone = estimate(groups[0], "own", 1)
    assert alone is not None and alone.half == pytest.approx(1.96 * 0.5) and not alone.between


def test_a_difference_is_tested_between_repeats(make_run: MakeRun):
    left, right = [1.0, 1.2, 0.9], [3.0, 3.3, 2.9]
    runs = [run_with(make_run, f"l{k}", v, k) for k, v in enumerate(left)]
    runs += [run_with(make_run, f"m{k}", v, k, "mix") for k, v in enumerate(right)]
    groups, _ = group_runs(runs)
    (found,) = differences(groups, ["own"], 1)
    tested: Any = ttest_ind(right, left, equal_var=False)
    assert found.value == pytest.approx(np.mean(right) - np.mean(left))
    assert found.p == pytest.approx(float(tested.pvalue)) and found.words.startswith("differ")


def test_many_comparisons_are_corrected_for_their_number(make_run: MakeRun):
    runs = [run_with(make_run, f"l{k}", v, k) for k, v in enumerate([1.0, 1.2, 0.9])]
    runs += [run_with(make_run, f"m{k}", v, k, "mix") for k, v in enumerate([1.5, 1.4, 1.7])]
    runs += [run_with(make_run, f"a{k}", v, k, "accumulate") for k, v in enumerate([1.5, 1.4, 1.7])]
    groups, _ = group_runs(runs)
    alone, together = differences(groups[:2], ["own"], 1), differences(groups, ["own"], 1)
    assert alone[0].p is not None and together[0].p == pytest.approx(2 * alone[0].p)


def test_single_runs_are_not_tested(make_run: MakeRun):
    groups, _ = group_runs([run_with(make_run, "l", 1.0), run_with(make_run, "m", 2.0, 0, "mix")])
    (found,) = differences(groups, ["own"], 1)
    assert found.p is None and "repeat it with other seeds" in found.words
    assert found.half == pytest.approx(1.96 * 0.5 * 2**0.5)


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


def test_settings_stay_in_the_label_where_kinds_alone_tell_too_little(make_run: MakeRun):
    long = {"kind": "mix", "a_setting_with_a_name": 1, "another_setting_with_a_name": 2}
    runs = [make_run(f"r{k}-00000000", experiment={"regime": {**long, "share": k}}) for k in (1, 2)]
    runs.append(make_run("r3-00000000"))
    labels = [group.label for group in group_runs(runs)[0]]
    assert len(set(labels)) == 3 and all(label.startswith("mix, a setting") for label in labels[:2])


def test_a_measurement_that_a_repeat_lacks_has_no_estimate(make_run: MakeRun):
    groups, _ = group_runs([run_with(make_run, "l", 1.0), run_with(make_run, "m", 2.0, 0, "mix")])
    assert estimate(groups[0], "absent", 1) is None and estimate(groups[0], "own", 1) is not None
    assert differences(groups, ["absent"], 1) == []
