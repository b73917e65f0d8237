from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report import write_report
from imagelab.report.run_view import Run, read_run
from imagelab.report.survival import survival

MakeRun = Callable[..., Path]


def with_tails(run: Path, shares: Mapping[str, Sequence[float]], n: int = 2000, error: float = 0.001) -> Run:
    """Add attribute shares, generation 0 first, to a run's measurements."""
    with (run / "metrics.jsonl").open("a") as file:
        for name, values in shares.items():
            for generation, value in enumerate(values):
                m = Measurement(f"tails/{name}", value, "share", n_fake=n, stderr=error)
                file.write(m.at(generation, 0 if generation else REAL).to_json() + "\n")
    return read_run(run)


def test_a_share_below_what_chance_leaves_is_lost(make_run: MakeRun):
    run = with_tails(make_run(generations=2), {"scarf": (0.04, 0.02, 0.005), "bald": (0.04, 0.041, 0.038)})
    found = survival(run)
    assert found is not None
    lost, kept = sorted(found.fates, key=lambda fate: fate.name, reverse=True)
    assert (lost.name, lost.beyond, lost.extinct) == ("scarf", "lost", None)
    assert (kept.beyond, kept.words) == ("", "within chance")
    assert found.rare[0] == pytest.approx(0.043 / 0.08)


def test_what_the_error_covers_is_nobodys_fault(make_run: MakeRun):
    run = with_tails(make_run(generations=1), {"scarf": (0.04, 0.02)}, error=0.01)
    found = survival(run)
    assert found is not None and found.fates[0].beyond == ""


def test_extinction_is_dated_from_the_first_generation_that_shows_none_for_good(make_run: MakeRun):
    run = with_tails(make_run(generations=4), {"patch": (0.01, 0.0, 0.01, 0.0, 0.0)})
    found = survival(run)
    assert found is not None and found.fates[0].extinct == 3
    assert "indistinguishable from zero from generation 3 on" in found.fates[0].words


def test_the_known_truth_starts_the_drift_and_not_its_estimate(make_run: MakeRun):
    path = make_run(generations=1)
    truth = Measurement("truth/patch", 0.02, "share", line=REAL, n_fake=2000)
    with (path / "metrics.jsonl").open("a") as file:
        file.write(truth.to_json() + "\n")
    found = survival(with_tails(path, {"patch": (0.04, 0.02)}))
    assert found is not None
    low, high = found.fates[0].drift
    assert low < 0.02 < high < 0.04


def test_fewer_images_drift_further(make_run: MakeRun):
    few, many = (
        survival(with_tails(make_run(f"run-{n}", generations=3), {"patch": (0.04, 0.04, 0.04, 0.04)}, n=n))
        for n in (200, 4000)
    )
    assert few is not None and many is not None
    assert np.ptp(few.fates[0].drift) > 3 * np.ptp(many.fates[0].drift)
    assert few.chance[1] - few.chance[0] > 3 * (many.chance[1] - many.chance[0])


def test_common_attributes_are_told_apart(make_run: MakeRun):
    run = with_tails(make_run(generations=1), {"patch": (0.01, 0.005), "glasses": (0.2, 0.19), "hair_bob": (0.3, 0.1)})
    found = survival(run)
    assert found is not None and found.common is not None
    assert found.common[0] == pytest.approx(0.95) and [fate.name for fate in found.fates] == ["patch"]
    assert "common attributes keep" in found.sentence


def test_the_page_has_the_section_only_where_attributes_were_measured(make_run: MakeRun):
    without = write_report(make_run("plain-00000000")).read_text("utf-8")
    path = make_run("rare-00000000", generations=2)
    with_tails(path, {"<b>patch": (0.01, 0.005, 0.0)})
    html = write_report(path).read_text("utf-8")
    assert "Who disappears" in html and "Who disappears" not in without
    assert "<b>patch" not in html and "&lt;b&gt;patch" in html
    assert json.loads((path / "config.json").read_text())["signature"] == "1a2b3c4d"
