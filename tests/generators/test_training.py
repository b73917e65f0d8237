"""The training loop: resuming with the same bytes, records, stopping, and checkpoints that are rejected."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from imagelab.generators import Ddpm, Gaussian, Generator, Interrupted, Model, RunContext, TrainRecord, Vae
from imagelab.generators.training import Plan, batch_rows, fingerprint, train
from imagelab.seeds import image_seeds

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
    records: list[TrainRecord] = []
    resumed = recipe.fit(pictures, 4, RunContext(checkpoint=checkpoint, on_record=records.append))
    np.testing.assert_array_equal(resumed.sample(SEEDS), whole)
    assert records[0].images_seen > steps * 8
    assert not checkpoint.exists()


def test_a_training_interrupted_twice_resumes_to_the_same_bytes(tmp_path: Path, pictures: np.ndarray):
    checkpoint = tmp_path / "state.safetensors"
    for steps in (3, 5):
        with pytest.raises(Interrupted, match="after"):
            NETS[0].fit(pictures, 4, stopping_after(steps, checkpoint))
    resumed = NETS[0].fit(pictures, 4, RunContext(checkpoint=checkpoint)).sample(SEEDS)
    np.testing.assert_array_equal(resumed, NETS[0].fit(pictures, 4, RunContext()).sample(SEEDS))


@pytest.mark.parametrize(
    "fault", ["cut short", "a flipped bit", "no file of this kind", "another seed", "other images"]
)
def test_a_checkpoint_that_does_not_fit_is_named_in_the_log_and_not_used(
    fault: str, tmp_path: Path, pictures: np.ndarray, caplog: pytest.LogCaptureFixture
):
    recipe, checkpoint = NETS[0], tmp_path / "state.safetensors"
    images, seed = (pictures[::-1].copy() if fault == "other images" else pictures), 9 if fault == "another seed" else 4
    with pytest.raises(Interrupted, match="after 5 of"):
        recipe.fit(images, seed, stopping_after(5, checkpoint))
    content = bytearray(checkpoint.read_bytes())
    if fault == "cut short":
        checkpoint.write_bytes(content[: len(content) // 2])
    if fault == "a flipped bit":
        content[-100] ^= 1
        checkpoint.write_bytes(content)
    if fault == "no file of this kind":
        checkpoint.write_bytes(b"not a checkpoint")
    with caplog.at_level(logging.WARNING):
        images_after = recipe.fit(pictures, 4, RunContext(checkpoint=checkpoint)).sample(SEEDS)
    assert "starting over" in caplog.text and str(checkpoint) in caplog.text
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


def test_records_come_at_most_four_a_second_and_always_at_the_end():
    records: list[TrainRecord] = []
    trained_point(0.9, RunContext(on_record=records.append), steps=400)
    assert records[-1].images_seen == 800
    assert len(records) <= 2 + 4 * records[-1].seconds
    assert {"at", "gradient", "learning_rate"} <= set(records[-1].terms)


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
