"""``imagelab doctor --bench`` at toy sizes: it counts, times and prints; none of its figures is tested."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagelab.cli import doctor_bench, main
from imagelab.cli.console import out
from imagelab.experiment import Runtime
from imagelab.generators import Cascade, Ddpm, Gaussian, Generator, LatentDiffusion, RunContext, Vae
from imagelab.runs import throughput
from imagelab.runs.throughput import Peak, Throughput, bench_subject, measured_peak, timed_recipes, timed_throughput

TINY: dict[str, tuple[Generator, int]] = {
    "vae": (Vae(latent=4, details=2, width=8, batch=4, crop=8), 16),
    "ddpm": (Ddpm(channels=(8, 8), blocks=1, patch=2, weighting="gaussian", batch=4, sampler="dpm++", steps=2), 16),
    "cascade": (Cascade(coarse_side=8, width=8, batch=4, steps=1, coarse_steps=1), 16),
    "latent": (
        LatentDiffusion(
            first_stage=Vae(latent=4, details=2, width=8, prior="normal"),
            width=8,
            blocks=1,
            detail_widths=(8, 8),
            batch=4,
            steps=1,
        ),
        16,
    ),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_bench, "timed_recipes", lambda device: TINY)
    monkeypatch.setattr(doctor_bench, "measured_peak", lambda context, seconds: measured_peak(context, 0.001, 64))
    monkeypatch.setattr(throughput, "IMAGES", 24)


def printed(capsys: pytest.CaptureFixture[str], as_json: bool, **asked: Any) -> str:
    assert doctor_bench.bench(Runtime(device="cpu", **asked), as_json, seconds=0.001) == 0
    return capsys.readouterr().out


def test_every_recipe_is_timed_in_training_and_in_sampling(capsys: pytest.CaptureFixture[str]):
    record = json.loads(printed(capsys, True))
    assert record["device"] == "cpu, 1 thread" and record["left_out"] == []
    assert [(row["name"], row["work"]) for row in record["rows"]] == [
        (f"{name}, 16 px", work) for name in TINY for work in ("training", "sampling")
    ]
    for row in record["rows"]:
        assert 0 < row["slowest"] <= row["rate"] <= row["fastest"] and row["image_bytes"] is row["fits"] is None
        share = row["rate"] * row["operations"] / record["peak"]["single"]
        assert row["share"] == pytest.approx(share) and row["operations"] > 0
    assert all(value > 0 for value in record["peak"].values())


def test_the_table_says_what_was_measured_and_how(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_bench, "timed_recipes", lambda device: {"vae": TINY["vae"]})
    text = printed(capsys, False)
    assert "device: cpu, 1 thread; compile off, graphs off, precision float32" in text
    assert "TFLOP/s in float32" in text and "bfloat16" not in text and "Left out" not in text
    assert text.count("vae, 16 px") == 2 and "batch that fits" not in text


def test_the_memory_of_a_gpu_is_a_table_of_its_own(capsys: pytest.CaptureFixture[str]):
    rows = [Throughput("vae, 64 px", "sampling", 256, 9e3, 9e3, 1e4, 5e7, 0.2, 2.5e6, 40_000)]
    out.print(doctor_bench.memory_table(rows))
    text = capsys.readouterr().out
    assert "vae, 64 px  sampling    256       2.5           40,000" in text
    notes = " ".join(doctor_bench._notes(rows, [], RunContext(device="cuda", batch=256)))
    assert "40,000 fit for every recipe above" in notes and "--runtime.batch, now 256" in notes


def test_what_does_not_fit_into_the_time_is_named(capsys: pytest.CaptureFixture[str]):
    assert doctor_bench.bench(Runtime(device="cpu"), False, seconds=0.001, limit=-1.0) == 0
    assert "Left out, because the time was over: vae, ddpm, cascade, latent." in capsys.readouterr().out


def test_a_recipe_may_be_left_out_after_its_training():
    answers = iter([False, True])
    found, left = doctor_bench._measured(Peak(1.0, 1.0, 1.0), RunContext(), 0.001, lambda: next(answers, True))
    assert [row.work for row in found] == ["training"]
    assert left == ["vae in sampling", "ddpm", "cascade", "latent"]


def test_operations_are_those_of_the_work_alone():
    """A linear map of 3 inputs and 5 outputs: 2 x 3 x 5 forwards; nothing is counted of what is elementwise."""
    import torch

    layer = torch.nn.Linear(3, 5)
    assert throughput.operations_of(lambda: layer(torch.ones(7, 3)).relu()) == 7 * 2 * 3 * 5


def test_what_is_done_once_a_step_is_shared_among_the_images_of_the_batch():
    recipe = Vae(latent=4, details=2, width=8, batch=8, crop=16, optimiser="muon")
    subject = throughput.bench_subject(recipe, 16, RunContext())
    expected = throughput.operations_of(lambda: throughput._train(subject, 8, 8, RunContext())) / 8
    assert throughput.training_operations(subject, RunContext()) == pytest.approx(expected)
    alone = throughput.operations_of(lambda: throughput._train(subject, 2, 2, RunContext())) / 2
    assert alone > 1.2 * expected, "the products of Muon do not grow with the batch"


def test_the_operations_of_an_image_do_not_depend_on_the_batch():
    subject = bench_subject(*TINY["ddpm"], RunContext())
    counts = [throughput.operations_of(lambda n=n: throughput._train(subject, n, n, RunContext())) / n for n in (2, 4)]
    assert counts[0] == counts[1] > 0


def test_a_recipe_that_is_no_network_is_refused():
    with pytest.raises(TypeError, match="expected a Vae, Ddpm, Cascade or LatentDiffusion, got Gaussian"):
        next(timed_throughput("gaussian", Gaussian(), 16, Peak(1.0, 1.0, 1.0), RunContext()))


def test_a_gpu_is_also_timed_with_the_recipe_that_is_meant_for_it():
    assert [*timed_recipes("cuda")] == [*timed_recipes("cpu"), "ddpm gpu-64"]


def test_options_of_the_measurement_without_it_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--json"])
    assert left.value.code == 2 and "give --bench with them" in capsys.readouterr().err
