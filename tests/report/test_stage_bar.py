from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imagelab.evaluation.stages import STAGES, stages_of
from imagelab.report import write_report
from imagelab.report.run_view import read_run
from imagelab.report.stage_bar import ribbons, thresholds

MakeRun = Callable[..., Path]


def test_a_ribbon_covers_every_generation_once_and_says_what_the_verdict_says(make_run: MakeRun):
    run = read_run(make_run(generations=5))
    for line, ribbon in enumerate(ribbons(run)):
        spread = [s.stage for s in ribbon.segments for _ in range(s.span)]
        assert spread == list(stages_of(run.measurements, line).stages.values())[1:]
        assert all(s.order == STAGES.index(s.stage) for s in ribbon.segments)


def test_the_fading_model_stands_further_than_its_control(make_run: MakeRun):
    main, arm = ribbons(read_run(make_run(generations=5)))
    assert main.segments[-1].order > arm.segments[-1].order and "generation" in main.alt


def test_a_run_without_a_telling_measurement_has_no_ribbon(make_run: MakeRun):
    assert ribbons(read_run(make_run(keep=lambda m: m.name.startswith("kernel")))) == []
    assert ribbons(read_run(make_run("begun", generations=0))) == []


def test_the_page_shows_the_ribbon_and_what_its_stages_mean(make_run: MakeRun):
    html = write_report(make_run(generations=5)).read_text("utf-8")
    assert 'class="ribbon" role="img" aria-label="VAE:' in html
    assert [stage for stage, _ in thresholds()] == list(STAGES[1:])
    assert all(meant in html for _, meant in thresholds())
