from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report import write_report
from imagelab.report.numbers import interval
from imagelab.report.quotes import quotes
from imagelab.report.run_view import Run, read_run

from .conftest import with_values

MakeRun = Callable[..., Path]


def replicated(run: Run, moved: dict[str, int]) -> Run:
    """The run as one of three trainings whose named measurements leave generation 1 in the given generation."""

    def changed(m: Measurement) -> Measurement:
        if m.generation < 1 or m.line != 0 or m.value is None or m.predicted:
            return m
        start = run.at(m.name, 1)
        assert start is not None and start.value is not None
        away = 0.4 * m.generation if m.generation >= moved.get(m.name, 10**6) else 0.0
        return replace(
            m, value=start.value * (1 - away), stderr=1e-4, between=1e-4, between_df=2.0, chains=3, better=m.better
        )

    experiment = {**run.experiment, "replicates": 3}
    return replace(run, experiment=experiment, measurements=tuple(map(changed, run.measurements)))


def test_cleared_sentences_name_the_first_training_the_loop_real_images_and_the_trainings(make_run: MakeRun):
    run = read_run(make_run(generations=3))
    found = quotes(run)
    assert found is not None and len(found.cleared) == 2
    first, last, real = run.at("freckles/count", 1), run.at("freckles/count", 3), run.real("freckles/count")
    assert first and last and real
    for m in (first, last, real):
        assert interval(m) in found.cleared[0]
    assert all("one loop of a small VAE" in sentence for sentence in found.cleared)
    assert "fine detail" in found.cleared[1] and "after the first training" in found.cleared[1]


@pytest.mark.parametrize(
    ("regime", "fed", "others"),
    [
        ({"kind": "replace"}, "training on its own output;", "models that are given fresh real images"),
        ({"kind": "mix", "real_fraction": 0.2}, "real images;", "models that are trained on other images"),
    ],
)
def test_quotes_say_what_the_regime_of_the_run_trains_on(
    regime: dict[str, Any], fed: str, others: str, make_run: MakeRun
):
    run = read_run(make_run(generations=3))
    found = quotes(replace(run, experiment={**run.experiment, "regime": regime}))
    assert found is not None and fed in found.cleared[0]
    (reason,) = [reason for claim, reason in found.unsupported if "forget what they were shown" in claim]
    assert reason.endswith(f"or {others}.")


def test_a_number_without_an_error_or_of_too_few_images_is_not_quoted(make_run: MakeRun):
    run = read_run(make_run(generations=3))

    def cleared(**changes: Any) -> tuple[str, ...]:
        changed = tuple(replace(m, **changes) if m.generation == 3 else m for m in run.measurements)
        found = quotes(replace(run, measurements=changed))
        assert found is not None
        return found.cleared

    assert len(cleared()) == 2
    assert cleared(stderr=None, between=None) == () and cleared(n_fake=8) == ()


def with_counts(run: Run, first: float, last: float, spread: float) -> Run:
    """The run whose main line has these counts, and this standard deviation of the last (real: 4.6)."""
    counted = with_values(run, "freckles/count", {1: first, run.last: last})
    wide = Measurement("freckles/spread", spread, stderr=0.1)
    spreads = replace(wide, value=4.6).at(0, REAL), wide.at(run.last, 0)
    return replace(counted, measurements=(*counted.measurements, *spreads))


def test_a_count_that_hides_a_loss_is_no_cleared_quote_and_its_return_is_refused(make_run: MakeRun):
    run = read_run(make_run(generations=3))
    hidden, kept = quotes(with_counts(run, 5.0, 9.0, 3.0)), quotes(with_counts(run, 5.0, 9.0, 4.6))
    assert hidden is not None and kept is not None
    assert not any("the counter found" in sentence for sentence in hidden.cleared) and len(hidden.cleared) == 2
    assert "the counter found" in kept.cleared[0]
    claim, reason = hidden.unsupported[0]
    assert claim == "“Freckles come back.”" and "does not show that freckles are kept" in reason
    assert not any("come back" in claim for claim, _ in kept.unsupported)
    steady = quotes(with_counts(run, 9.0, 9.0, 3.0))  # hidden, but nothing has come back
    assert steady is not None and not any("come back" in claim for claim, _ in steady.unsupported)


def test_detail_that_has_risen_in_the_loop_is_no_cleared_quote_and_the_distance_is(make_run: MakeRun):
    run = read_run(make_run(generations=3, keep=lambda m: m.name.split("/")[0] in ("band_power", "frechet")))
    found = quotes(run)
    assert found is not None and "fine detail" in found.cleared[0]
    risen = quotes(with_values(run, "band_power/8-16", {1: -2.0, 3: -0.5}))
    assert risen is not None and len(risen.cleared) == 1
    ends = run.real("frechet/randconv-s0"), run.at("frechet/randconv-s0", 1), run.at("frechet/randconv-s0", 3)
    assert all(end and interval(end) in risen.cleared[0] for end in ends)


def test_no_loop_no_quote(make_run: MakeRun):
    assert quotes(read_run(make_run(generations=1))) is None
    assert 'id="say"' not in write_report(make_run("b-00000000", generations=1)).read_text("utf-8")


def test_what_one_training_does_not_show_is_said(make_run: MakeRun):
    found = quotes(read_run(make_run(generations=3)))
    assert found is not None
    assert any("The loop was run once" in reason for _, reason in found.unsupported)
    three = quotes(replicated(read_run(make_run("b-00000000", generations=3)), {}))
    assert three is not None and not any("run once" in reason for _, reason in three.unsupported)
    assert "3 loops of a small VAE" in three.cleared[0]


def test_rare_first_is_refused_only_where_something_else_was_first(make_run: MakeRun):
    folder = make_run(generations=6)
    with (folder / "metrics.jsonl").open("a") as file:
        for generation in range(7):
            m = Measurement("tails/vitiligo", 0.04, "share", stderr=0.001, n_fake=2048)
            file.write(m.at(generation, 0 if generation else -1).to_json() + "\n")
    run = read_run(folder)
    detail = quotes(replicated(run, {"band_power/8-16": 2, "hf_ratio": 2, "pixel_variance": 2}))
    assert detail is not None
    refused = [reason for sentence, reason in detail.unsupported if sentence == "“Rare things disappear first.”"]
    assert refused and "in generation 2" in refused[0]
    rare = quotes(replicated(run, {"tails/vitiligo": 2}))
    assert rare is not None and "“Rare things disappear first.”" not in [sentence for sentence, _ in rare.unsupported]
