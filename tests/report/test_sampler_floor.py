from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagelab.generators import Ddpm
from imagelab.measurement import Measurement
from imagelab.report.page import write_report
from imagelab.report.run_view import Run, read_run
from imagelab.report.sampler_floor import sampler_law

MakeRun = Callable[..., Path]
DIFFUSION = {"generator": Ddpm(steps=10).model_dump()}


def with_law(folder: Path, *rows: tuple[int, int, int, float]) -> Run:
    """Add predicted power at (generation, line, radius) to a run's measurements."""
    with (folder / "metrics.jsonl").open("a") as file:
        for generation, line, radius, value in rows:
            name, words = f"sampler_floor/{radius:02d}", f"DDIM, 10 steps, {generation} times"
            m = Measurement(name, value, "power", generation, line, predicted=True, estimator=words)
            file.write(m.to_json() + "\n")
    return read_run(folder)


def test_the_prediction_of_the_main_line_is_read_for_its_first_and_last_generation(make_run: MakeRun) -> None:
    rows = [
        (g, line, radius, 10.0 * g + radius + 100 * line) for g in (1, 2, 3) for line in (0, 1) for radius in (1, 2)
    ]
    law = sampler_law(with_law(make_run("law", generations=3, experiment=DIFFUSION), *rows))
    assert law is not None and law.sampler == "DDIM, 10 steps, 1 times" and law.missing == ""
    assert {generation: power[1:].tolist() for generation, power in law.power.items()} == {1: [11, 12], 3: [31, 32]}
    once = sampler_law(with_law(make_run("once", generations=3, experiment=DIFFUSION), (1, 0, 1, 5.0)))
    assert once is not None and list(once.power) == [1]


def test_a_run_of_an_earlier_version_says_that_nothing_was_recorded(make_run: MakeRun) -> None:
    law = sampler_law(read_run(make_run("old", generations=2, experiment=DIFFUSION)))
    assert law is not None and not law.power and "did not record" in law.missing
    assert sampler_law(read_run(make_run("vae", generations=2))) is None
    curated = {**DIFFUSION, "curation": {"kind": "top_fraction"}}
    assert sampler_law(read_run(make_run("curated", generations=2, experiment=curated))) is None
    kept = {**DIFFUSION, "curation": {"kind": "keep_all"}}
    assert sampler_law(read_run(make_run("kept", generations=2, experiment=kept))) is not None


def test_the_reason_of_a_missing_law_is_kept(make_run: MakeRun) -> None:
    folder = make_run("quiet", generations=2, experiment=DIFFUSION)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(
            Measurement("sampler_floor", None, generation=1, predicted=True, missing="a reason").to_json() + "\n"
        )
    law = sampler_law(read_run(folder))
    assert law is not None and not law.power and law.missing == "a reason"


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (True, "Dashed: the prediction for the sampler alone (DDIM, 10 steps"),
        (False, "not drawn for this run: it was made by a version"),
    ],
)
def test_the_page_draws_the_law_or_says_why_not(make_run: MakeRun, recorded: bool, expected: str) -> None:
    folder = make_run("page", generations=2, experiment=DIFFUSION)
    rows: list[Any] = [(1, 0, radius, 1e-5) for radius in (1, 2, 3)]
    with_law(folder, *rows if recorded else ())
    page = write_report(folder).read_text()
    assert expected in page
    assert ("perfect net, gen. 1" in page) == recorded
