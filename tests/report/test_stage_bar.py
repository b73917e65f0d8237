from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagelab.evaluation.signals import Verdict
from imagelab.evaluation.stages import STAGES, stages_of
from imagelab.report import write_report
from imagelab.report.run_view import read_run
from imagelab.report.stage_bar import ribbons, thresholds, unjudged

MakeRun = Callable[..., Path]


@pytest.mark.parametrize("verdict", ["loop", "quality"])
def test_a_ribbon_covers_every_generation_once_and_says_what_the_verdict_says(make_run: MakeRun, verdict: Verdict):
    run = read_run(make_run(generations=5))
    assert len(ribbons(run, verdict)) == 2
    for line, ribbon in enumerate(ribbons(run, verdict)):
        spread = [s.stage for s in ribbon.segments for _ in range(s.span)]
        assert spread == list(stages_of(run.measurements, line, verdict).stages.values())[1:]
        assert all(s.order == STAGES.index(s.stage) for s in ribbon.segments)


def test_the_fading_model_stands_further_than_its_control(make_run: MakeRun):
    main, arm = ribbons(read_run(make_run(generations=5)))
    assert main.segments[-1].order > arm.segments[-1].order and "generation" in main.alt


def test_a_run_without_a_telling_measurement_has_no_ribbon(make_run: MakeRun):
    assert ribbons(read_run(make_run(keep=lambda m: m.name.startswith("kernel")))) == []
    assert ribbons(read_run(make_run("begun", generations=0))) == []


def test_the_page_shows_the_ribbon_and_what_its_stages_mean(make_run: MakeRun):
    html = write_report(make_run(generations=5)).read_text("utf-8")
    for verdict in ("The loop", "The quality"):
        assert f'class="ribbon" role="img" aria-label="{verdict}, VAE:' in html
    assert [stage for stage, _ in thresholds()] == list(STAGES[1:])
    assert all(meant in html for _, meant in thresholds())


def test_a_ribbon_of_one_training_says_so(make_run: MakeRun):
    assert any(sentence.startswith("One training:") for sentence in ribbons(read_run(make_run()))[0].told)


def test_a_run_of_too_few_images_has_no_ribbon_and_the_page_says_why(make_run: MakeRun):
    folder = make_run(generations=3)
    run = read_run(folder)
    small = [replace(m, n_fake=60) for m in run.measurements]
    (folder / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in small))
    run = read_run(folder)
    assert ribbons(run) == ribbons(run, "quality") == [] and "measured on 60 images" in unjudged(run)
    html = write_report(folder).read_text("utf-8")
    assert "The stage is not judged, measured on 60 images." in html and 'class="ribbon"' not in html
