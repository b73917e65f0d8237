"""The training loop: resuming with the same bytes, records, stopping, and checkpoints that are rejected."""

from __future__ import annotations

import copy
import itertools
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from imagelab.generators import Ddpm, Diverged, Gaussian, Generator, Interrupted, Model, RunContext, TrainRecord, Vae
from imagelab.generators import checkpoint as checkpoint_module
from imagelab.generators.base import SingleProcess
from imagelab.generators.loss_meter import check_loss
from imagelab.generators.training import (
    LossMeter,
    Passes,
    Plan,
    TrainingState,
    _accelerator,
    _optimiser,
    batch_rows,
    fingerprint,
    take_step,
    train,
)
from imagelab.seeds import image_seeds, seed_at

SEEDS = image_seeds(0, "sample", 1, 0, range(6))
NETS = [
    Vae(latent=4, details=2, width=8, images_seen=160, batch=8, crop=8),
    Ddpm(channels=(8, 16), blocks=1, images_seen=88, batch=8, noise_steps=20, steps=4),
]


def stopping_after(steps: int, checkpoint: Path) -> RunContext:
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > steps

    return RunContext(should_stop=stop, checkpoint=checkpoint)


@pytest.mark.parametrize("recipe", NETS, ids=lambda recipe: recipe.kind)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_training_interrupted_anywhere_resumes_to_the_same_bytes(
    recipe: Generator, steps: int, tmp_path: Path, pictures: np.ndarray
):
    whole = recipe.fit(pictures, 4, RunContext()).sample(SEEDS)
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match=f"after {steps} of"):
        recipe.fit(pictures, 4, stopping_after(steps, checkpoint))
    assert checkpoint.exists() and not list(tmp_path.glob("*.partial"))
    left: list[None] = []
    resumed = recipe.fit(pictures, 4, RunContext(checkpoint=checkpoint, should_stop=lambda: bool(left.append(None))))
    np.testing.assert_array_equal(resumed.sample(SEEDS), whole)
    assert len(left) == -(-recipe.training_length // 8) - steps
    assert not checkpoint.exists()


def test_a_training_interrupted_twice_resumes_to_the_same_bytes(tmp_path: Path, pictures: np.ndarray):
    checkpoint = tmp_path / "state.safetensors"
    for steps in (3, 5):
        with pytest.raises(Interrupted, match="after"):
            NETS[0].fit(pictures, 4, stopping_after(steps, checkpoint))
    resumed = NETS[0].fit(pictures, 4, RunContext(checkpoint=checkpoint)).sample(SEEDS)
    np.testing.assert_array_equal(resumed, NETS[0].fit(pictures, 4, RunContext()).sample(SEEDS))


def rewritten(content: bytes, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> bytes:
    """A checkpoint with other texts and tensors and a digest that fits, as somebody might make it by hand."""
    length = int.from_bytes(content[:8], "little")
    texts = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = load(content)
    change(texts, tensors)
    texts["digest"] = checkpoint_module._seal(texts, tensors)
    return save(tensors, texts)


def without_axes(texts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors["net.axes"]


def with_another_shape(texts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["optimiser.0.exp_avg"] = torch.zeros(3)


def with_another_type(texts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["average.mean"] = tensors["average.mean"].half()


def with_one_more(texts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["optimiser.999.step"] = torch.zeros(())


def of_another_version(texts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del texts["format"]


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 2],
    "cut in the header": lambda content: content[:100],
    "empty": lambda content: b"",
    "bytes appended": lambda content: content + b"more",
    "a flipped bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "another step": lambda content: content.replace(b'"step":"5"', b'"step":"6"'),
    "no file of this kind": lambda content: b"not a checkpoint",
    "a header without end": lambda content: (1 << 40).to_bytes(8, "little") + content[8:],
    "a header of lists": lambda content: (1 << 20).to_bytes(8, "little") + b"[" * (1 << 20),
    "a tensor missing": lambda content: rewritten(content, without_axes),
    "a tensor of another shape": lambda content: rewritten(content, with_another_shape),
    "a tensor of another type": lambda content: rewritten(content, with_another_type),
    "a tensor too many": lambda content: rewritten(content, with_one_more),
    "of another version": lambda content: rewritten(content, of_another_version),
}


@pytest.mark.parametrize("fault", [*FAULTS, "a named pipe", "another seed", "other images"])
def test_a_checkpoint_that_does_not_fit_is_named_in_the_log_and_not_used(
    fault: str, tmp_path: Path, pictures: np.ndarray, caplog: pytest.LogCaptureFixture
):
    recipe, checkpoint = NETS[0], tmp_path / "state.safetensors"
    images, seed = (pictures[::-1].copy() if fault == "other images" else pictures), 9 if fault == "another seed" else 4
    with pytest.raises(Interrupted, match="after 5 of"):
        recipe.fit(images, seed, stopping_after(5, checkpoint))
    if fault in FAULTS:
        content = checkpoint.read_bytes()
        damaged = FAULTS[fault](content)
        assert damaged != content
        checkpoint.write_bytes(damaged)
    if fault == "a named pipe":
        checkpoint.unlink()
        os.mkfifo(checkpoint)
    with caplog.at_level(logging.WARNING):
        images_after = recipe.fit(pictures, 4, RunContext(checkpoint=checkpoint)).sample(SEEDS)
    assert "starting over" in caplog.text and str(checkpoint) in caplog.text
    assert max(map(len, caplog.messages)) < 500
    np.testing.assert_array_equal(images_after, recipe.fit(pictures, 4, RunContext()).sample(SEEDS))


def test_every_image_is_read_equally_often_whatever_the_batch():
    for count, batch in ((6, 4), (3, 8), (10, 10)):
        reads = np.concatenate([batch_rows(0, count, start, batch) for start in range(0, 5 * count * batch, batch)])
        assert set(np.bincount(reads, minlength=count)) == {5 * batch}
    np.testing.assert_array_equal(batch_rows(1, 7, 0, 20)[5:], batch_rows(1, 7, 5, 15))
    assert (batch_rows(0, 50, 0, 50) != batch_rows(1, 50, 0, 50)).any()
    assert (batch_rows(0, 50, 0, 50) != batch_rows(0, 50, 50, 50)).any()


def test_the_learning_rate_rises_holds_and_falls_to_nearly_nothing():
    plan = Plan(images_seen=1000, batch=10, learning_rate=2.0, warm_up=0.1, decay=0.5)
    rates = [plan.rate(step) for step in range(plan.steps)]
    assert rates[0] == pytest.approx(0.2)
    assert np.all(np.diff(rates[:10]) > 0) and rates[10:50] == [2.0] * 40
    assert np.all(np.diff(rates[50:]) <= 0) and rates[-1] < 0.01


class Point(torch.nn.Module):
    """A net of one parameter that learns the mean of its training images."""

    def __init__(self) -> None:
        super().__init__()
        self.at = torch.nn.Parameter(torch.zeros(()))

    def loss(self, images: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return (self.at - images.mean()).square(), {"at": self.at.detach()}


def trained_point(ema: float, context: RunContext | None = None, steps: int = 200) -> tuple[float, float]:
    net, images = Point(), np.full((4, 1, 2, 2), 255, np.uint8)
    plan = Plan(images_seen=2 * steps, batch=2, learning_rate=0.05, ema=ema, decay=0.5)
    average = train(net, net.loss, images, plan, 0, context or RunContext(), "mark")
    return float(net.at.detach()), float(average.get_parameter("at"))


def test_the_loop_finds_the_minimum_and_the_average_trails_behind_it():
    assert trained_point(0.5)[0] == pytest.approx(1.0, abs=0.02)
    last, average = trained_point(0.99, steps=20)
    assert 0 < average < last
    last, average = trained_point(0.0, steps=20)
    assert average == last


def test_a_short_run_does_not_publish_its_beginning():
    # with a decay of .9999 from the first step on, the average of 20 steps would lie within .2 % of the start
    last, average = trained_point(0.9999, steps=20)
    assert average > 0.3 * last


@pytest.mark.parametrize(
    ("steps", "records"), [(1, 1), (7, 7), (200, 200), (201, 201), (800, 200 + 2), (204_800, 200 + 10)]
)
def test_records_fall_at_fixed_numbers_of_images_and_always_at_the_end(steps: int, records: int):
    plan = Plan(images_seen=3 * steps - 1, batch=3, learning_rate=0.1)
    told: list[TrainRecord] = []
    meter = LossMeter(RunContext(on_record=told.append), plan.images_seen)
    for step in range(1, steps + 1):
        meter.add(plan, step, float(step), {"part": 10.0 * step})
    assert len(told) == records and told[-1].images_seen == told[-1].images_total == plan.images_seen
    ends = [0, *(-(-record.images_seen // 3) for record in told)]
    means = [(first + 1 + last) / 2 for first, last in pairwise(ends)]  # of the steps since the record before
    assert [record.loss for record in told] == means
    assert [record.terms for record in told] == [{"part": pytest.approx(10 * mean)} for mean in means]
    assert max(np.diff(ends)) <= -(-steps // 200)
    assert set(ends) >= {2**k for k in range(18) if 2**k <= steps}, "a long training soon shows how it goes"


def timeless(records: list[TrainRecord]) -> list[TrainRecord]:
    """The records without the one column that depends on the speed of the machine."""
    return [replace(record, seconds=0.0) for record in records]


def test_a_slow_machine_records_what_a_fast_one_does(monkeypatch: pytest.MonkeyPatch):
    told: dict[float, list[TrainRecord]] = {0.001: [], 10.0: []}
    for pace, records in told.items():
        clock = itertools.count(step=pace)
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda clock=clock: next(clock))
            trained_point(0.9, RunContext(on_record=records.append), steps=450)
    fast, slow = told.values()
    assert timeless(fast) == timeless(slow) and 200 <= len(fast) < 210
    assert slow[-1].seconds > 1000 * fast[-1].seconds > 0


@pytest.mark.parametrize("stops", [(1,), (3,), (448, 449), (100, 301)])
def test_a_training_that_was_interrupted_records_what_an_undisturbed_one_does(stops: tuple[int, ...], tmp_path: Path):
    whole: list[TrainRecord] = []
    trained_point(0.9, RunContext(on_record=whole.append), steps=450)
    checkpoint, done = tmp_path / "state.safetensors", 0
    for stop in stops:
        with pytest.raises(Interrupted, match=f"after {stop} of"):
            trained_point(0.9, stopping_after(stop - done, checkpoint), steps=450)
        done = stop
    resumed: list[TrainRecord] = []
    trained_point(0.9, RunContext(on_record=resumed.append, checkpoint=checkpoint), steps=450)
    assert timeless(resumed) == timeless(whole)
    assert all(first.seconds <= then.seconds for first, then in pairwise(resumed))


def test_a_training_is_not_continued_with_other_threads_devices_or_processes(pictures: np.ndarray):
    threads, marks = torch.get_num_threads(), set()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            marks.add(fingerprint("{}", pictures, 0))
    finally:
        torch.set_num_threads(threads)
    marks.add(fingerprint("{}", pictures, 0, RunContext(group=SingleProcess(size=2))))
    marks.add(fingerprint("{}", pictures, 0, RunContext(device="cuda:0")))
    assert len(marks) == 4
    mark = fingerprint("{}", pictures, 0)
    assert fingerprint("{}", pictures, 0, RunContext(batch=5)) == mark, "the batch of sampling is no part of a training"


def test_the_fingerprint_differs_for_another_recipe_image_or_seed(pictures: np.ndarray):
    marks = {
        fingerprint("{}", pictures, 0),
        fingerprint("{ }", pictures, 0),
        fingerprint("{}", pictures, 1),
        fingerprint("{}", pictures[1:], 0),
        fingerprint("{}", pictures.reshape(60, 3, 8, 32), 0),
    }
    assert len(marks) == 5 and fingerprint("{}", pictures.copy(), 0) in marks


# -- warm starts


@pytest.mark.parametrize("recipe", NETS, ids=lambda recipe: recipe.kind)
def test_a_warm_start_begins_where_the_other_training_ended(recipe: Vae | Ddpm, pictures: np.ndarray):
    def last_loss(length: int, start: Model | None) -> float:
        records: list[TrainRecord] = []
        recipe.model_copy(update={"images_seen": length}).fit(pictures, 4, RunContext(on_record=records.append), start)
        return records[-1].loss

    long = recipe.model_copy(update={"images_seen": 1200}).fit(pictures, 4, RunContext())
    assert last_loss(8, long) < last_loss(8, None)


@pytest.mark.parametrize("recipe", NETS, ids=lambda recipe: recipe.kind)
def test_an_interrupted_warm_start_resumes_to_the_same_bytes_from_the_saved_start(
    recipe: Generator, tmp_path: Path, pictures: np.ndarray
):
    first = recipe.fit(pictures, 1, RunContext())
    first.save(tmp_path / "model")
    whole = recipe.fit(pictures, 4, RunContext(), first).sample(SEEDS)
    assert (whole != recipe.fit(pictures, 4, RunContext()).sample(SEEDS)).any()
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match="after 5 of"):
        recipe.fit(pictures, 4, stopping_after(5, checkpoint), first)
    loaded = recipe.load(tmp_path / "model", RunContext())
    resumed = recipe.fit(pictures, 4, RunContext(checkpoint=checkpoint), loaded)
    np.testing.assert_array_equal(resumed.sample(SEEDS), whole)


def test_a_checkpoint_of_another_start_is_not_used(
    tmp_path: Path, pictures: np.ndarray, caplog: pytest.LogCaptureFixture
):
    recipe, checkpoint = NETS[0], tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match="after 5 of"):
        recipe.fit(pictures, 4, stopping_after(5, checkpoint), recipe.fit(pictures, 1, RunContext()))
    with caplog.at_level(logging.WARNING):
        recipe.fit(pictures, 4, RunContext(checkpoint=checkpoint))
    assert "starting over" in caplog.text


def test_a_start_of_another_form_or_family_is_refused(pictures: np.ndarray):
    wider = NETS[0].model_copy(update={"width": 16}).fit(pictures, 1, RunContext())
    for start in (wider, Gaussian(components=3).fit(pictures, 1, RunContext())):
        with pytest.raises(ValueError, match="warm start"):
            NETS[0].fit(pictures, 4, RunContext(), start)


# -- each number of the plan, checked step by step


def step_by_step(plan: Plan, gradients: list[float]) -> tuple[list[float], list[float]]:
    """Weights and averages after each step of a plan on one number whose gradients are given."""
    net = Point()
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _optimiser(net, plan))
    weights, averages = [], []
    for gradient in gradients:

        def loss(images: torch.Tensor, noise: torch.Generator, g: float = gradient) -> Any:
            return g * net.at, {}

        take_step(state, plan, Passes(_accelerator("cpu"), net, plan.clip, loss, torch.Generator()), torch.zeros(1))
        weights.append(float(net.at.detach()))
        averages.append(float(state.average.get_parameter("at")))
    return weights, averages


def adam_by_hand(rates: list[float], gradients: list[float]) -> list[float]:
    """Kingma and Ba (2015), algorithm 1, betas .9 and .99, epsilon 1e-8, no weight decay."""
    weight, first, second, weights = 0.0, 0.0, 0.0, []
    for step, (rate, gradient) in enumerate(zip(rates, gradients, strict=True), 1):
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        weight -= rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.99**step)) ** 0.5 + 1e-8)
        weights.append(weight)
    return weights


GRADIENTS = [0.5, -0.2, 0.8, 0.1, -0.9, 0.3, 0.6, -0.4]


def test_a_step_is_adams_with_the_rates_of_the_plan():
    plan = Plan(images_seen=8, batch=1, learning_rate=0.1, warm_up=0.25, decay=0.5)
    rates = [plan.rate(step) for step in range(8)]
    assert rates[0] == pytest.approx(0.05) and rates[1] == rates[4] == 0.1 and rates[6] == pytest.approx(0.05)
    weights, _ = step_by_step(plan, GRADIENTS)
    assert weights == pytest.approx(adam_by_hand(rates, GRADIENTS), abs=1e-6)


@pytest.mark.parametrize("clip", [0.25, 1.0])
def test_a_gradient_longer_than_the_plan_allows_is_shortened_to_it(clip: float):
    plan = Plan(images_seen=8, batch=1, learning_rate=0.1, clip=clip)
    long = [40 * gradient for gradient in GRADIENTS[:4]] + GRADIENTS[4:]
    shortened = [max(-clip, min(clip, gradient)) for gradient in long]
    weights, _ = step_by_step(plan, long)
    assert weights == pytest.approx(adam_by_hand([plan.rate(step) for step in range(8)], shortened), abs=1e-5)
    assert weights != pytest.approx(adam_by_hand([plan.rate(step) for step in range(8)], long), abs=1e-2)


@pytest.mark.parametrize("ema", [0.0, 0.3, 0.995])
def test_the_average_moves_by_the_decay_that_is_warmed_up(ema: float):
    weights, averages = step_by_step(Plan(images_seen=8, batch=1, learning_rate=0.1, ema=ema), GRADIENTS)
    average = 0.0
    for step, (weight, found) in enumerate(zip(weights, averages, strict=True), 1):
        decay = min(ema, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        assert found == pytest.approx(average, abs=1e-6)


def test_the_average_of_a_long_training_keeps_the_decay_that_was_asked_for():
    net = Point()
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _optimiser(net, Plan(1, 1, 0.1)), step=10**6)
    with torch.no_grad():
        net.at.fill_(1.0)
    state.update_average(0.9)
    assert float(state.average.get_parameter("at")) == pytest.approx(0.1)


def test_buffers_are_copied_into_the_average_and_not_averaged():
    net = torch.nn.BatchNorm1d(1)
    state = TrainingState(net, copy.deepcopy(net), _optimiser(net, Plan(1, 1, 0.1)), step=1)
    assert net.running_mean is not None
    net.running_mean.fill_(7.0)
    state.update_average(0.9)
    assert state.average.get_buffer("running_mean").tolist() == [7.0]


def test_the_numbers_that_no_recipe_sets_are_those_that_were_tuned():
    plan = Plan(images_seen=1000, batch=10, learning_rate=1.0)
    assert (plan.warm_up, plan.decay, plan.ema, plan.clip) == (0.05, 0.5, 0.995, 1.0)
    assert plan.checkpoint_seconds == 30.0
    assert plan.steps == 100 and Plan(images_seen=1001, batch=10, learning_rate=1.0).steps == 101


class Recorder(torch.nn.Module):
    """Keeps the batches and the noise that the loss was given."""

    def __init__(self) -> None:
        super().__init__()
        self.at = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[torch.Tensor] = []
        self.noise: list[float] = []

    def loss(self, images: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.batches.append(images.detach().clone())
        self.noise.append(float(torch.randn((), generator=noise)))
        return self.at.square(), {}


def test_every_step_gets_its_rows_as_signed_images_and_noise_of_its_own():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1) * 25
    net = Recorder()
    train(net, net.loss, images, Plan(images_seen=23, batch=5, learning_rate=0.1), 6, RunContext(), "mark")
    assert [len(batch) for batch in net.batches] == [5, 5, 5, 5, 3]
    read = torch.cat(net.batches).flatten().numpy()
    np.testing.assert_allclose(read, images.ravel()[batch_rows(6, 10, 0, 23)] / 127.5 - 1, atol=1e-6)
    own = [
        float(torch.randn((), generator=torch.Generator().manual_seed(seed_at(6, "noise", row=k)))) for k in range(5)
    ]
    assert net.noise == own and len(set(own)) == 5


def test_numbers_that_are_no_images_reach_the_loss_as_they_are():
    values = np.linspace(-3, 3, 8, dtype=np.float32).reshape(4, 2)
    net = Recorder()
    train(net, net.loss, values, Plan(images_seen=4, batch=4, learning_rate=0.1), 0, RunContext(), "mark")
    np.testing.assert_array_equal(net.batches[0].numpy(), values[batch_rows(0, 4, 0, 4)])


@pytest.mark.parametrize(("value", "sound"), [(9_999.0, True), (10_001.0, False), (float("nan"), False), (-2e4, False)])
def test_a_loss_beyond_ten_thousand_is_divergence(value: float, sound: bool):
    plan = Plan(images_seen=10, batch=5, learning_rate=0.4)
    if sound:
        check_loss(value, 3, plan)
    else:
        with pytest.raises(
            Diverged,
            match=r"at step 3 of 2: .*Lower learning_rate to a quarter \(peak rate now 0\.4\) or raise batch \(now 5\)",
        ):
            check_loss(value, 3, plan)
        of_a_part = replace(plan, part="the upper prior", settings=("upper_learning_rate", "upper_batch"))
        with pytest.raises(
            Diverged, match=r"training of the upper prior diverged.*Lower upper_learning_rate.*upper_batch"
        ):
            check_loss(value, 3, of_a_part)


def test_a_checkpoint_is_written_as_often_as_the_plan_says(tmp_path: Path):
    checkpoint, there = tmp_path / "state.safetensors", []

    def stop() -> bool:
        there.append(checkpoint.exists())
        return False

    for seconds in (0.0, 3600.0):
        net = Point()
        plan = Plan(images_seen=6, batch=2, learning_rate=0.1, checkpoint_seconds=seconds)
        train(
            net,
            net.loss,
            np.zeros((4, 1, 2, 2), np.uint8),
            plan,
            0,
            RunContext(should_stop=stop, checkpoint=checkpoint),
            "mark",
        )
    assert there == [False, True, True, False, False, False]


def test_a_training_whose_loss_is_no_number_ends_at_that_step():
    net, steps = Point(), []

    def loss(images: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        steps.append(len(images))
        return net.at * (float("nan") if len(steps) == 3 else 1.0), {}

    with pytest.raises(Diverged, match="at step 3 of 5"):
        train(net, loss, np.zeros((4, 1, 2, 2), np.uint8), Plan(10, 2, 0.1), 0, RunContext(), "mark")
    assert len(steps) == 3
