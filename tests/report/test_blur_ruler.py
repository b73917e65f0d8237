from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagelab.metrics.freckle_calibration import calibration_card, shipped_calibration
from imagelab.report.blur_ruler import Ruler, ruler
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


def card(*rows: tuple[float, float], stderr: float = 0.01) -> dict[str, Any]:
    table = [{"sigma": sigma, "value": value, "stderr": stderr, "n": 900} for sigma, value in rows]
    return {"freckle_calibration": {"tables": {"blur ruler": table}}}


def read(run: Path) -> Ruler:
    found = ruler(read_run(run))
    assert found is not None
    return found


def test_a_generation_stands_at_the_blur_that_leaves_as_much(make_run: MakeRun) -> None:
    run = make_run(generations=2, provenance=card((0, 1.0), (0.5, 3.45 / 6.7), (1.0, 0.1)))
    first, second = read(run).readings  # counts 6.7 on real faces, 3.45 and 1.825
    assert first.measured.value == 3.45 and first.sigma == pytest.approx(0.5)
    between = (3.45 - 1.825) / (3.45 - 0.67)
    assert second.sigma == pytest.approx(0.5 + 0.5 * between)
    assert first.low < first.sigma < first.high < second.high


def test_a_count_below_the_rulers_end_is_said_to_lie_beyond_it(make_run: MakeRun) -> None:
    found = read(make_run(generations=3, provenance=card((0, 1.0), (1.5, 0.4))))
    assert math.isinf(found.readings[-1].sigma)
    assert "more than 1.5 px" in found.sentence


def test_a_model_that_loses_nothing_needs_no_blur(make_run: MakeRun) -> None:
    run = make_run(generations=1, provenance=card((0, 1.0), (1.5, 0.1)))
    lines = (run / "metrics.jsonl").read_text().replace('"value": 3.45,', '"value": 6.9,')
    (run / "metrics.jsonl").write_text(lines)
    assert read(run).readings[0].sigma == 0 and "without blur" in read(run).sentence


def test_an_uncertain_ruler_gives_a_wider_reading(make_run: MakeRun) -> None:
    marks = (0, 1.0), (0.5, 0.7), (1.5, 0.1)
    sure = read(make_run("a", generations=1, provenance=card(*marks))).readings[0]
    vague = read(make_run("b", generations=1, provenance=card(*marks, stderr=0.1))).readings[0]
    assert vague.sigma == sure.sigma and vague.high - vague.low > sure.high - sure.low


def test_a_wiggle_of_the_ruler_gives_no_second_reading(make_run: MakeRun) -> None:
    flat = read(make_run("a", generations=1, provenance=card((0, 1.0), (0.5, 0.8), (0.6, 0.8), (1.5, 0.1))))
    wiggle = read(make_run("b", generations=1, provenance=card((0, 1.0), (0.5, 0.8), (0.6, 0.85), (1.5, 0.1))))
    assert wiggle.readings[0].sigma == flat.readings[0].sigma


def test_without_a_card_or_a_count_there_is_no_ruler(make_run: MakeRun) -> None:
    assert ruler(read_run(make_run("a"))) is None
    bare = make_run("b", provenance=card((0, 1.0), (1.5, 0.1)), keep=lambda m: not m.name.startswith("freckles"))
    assert ruler(read_run(bare)) is None


def test_the_shipped_card_is_a_ruler(make_run: MakeRun) -> None:
    run = make_run(generations=1, provenance={"freckle_calibration": calibration_card(shipped_calibration())})
    reading = read(run).readings[0]
    assert 1.0 < reading.low < reading.sigma < reading.high < 1.5  # half of the freckles
