"""The diffusion model: diffusers' own pipeline reads it, and its samplers follow their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagelab.generators import Ddpm, RunContext
from imagelab.generators.ddpm import RECIPES, DdpmModel
from imagelab.generators.denoising_loss import DETAIL, denoising_loss, loss_weight
from imagelab.seeds import image_seeds

RECIPE = Ddpm(channels=(8, 16), blocks=1, images_seen=64, batch=8, noise_steps=50, steps=10)
SEEDS = image_seeds(1, "sample", 1, 0, range(4))


def test_the_pipeline_of_diffusers_loads_the_saved_model_and_draws(tmp_path: Path, pictures: np.ndarray):
    from diffusers import DDPMPipeline

    RECIPE.fit(pictures, 0, RunContext()).save(tmp_path)
    pipeline: Any = DDPMPipeline.from_pretrained(str(tmp_path), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 16, 16, 3)
    assert pipeline.scheduler.config.prediction_type == RECIPE.prediction
    assert pipeline.scheduler.config.num_train_timesteps == 50


class Knows(torch.nn.Module):
    """A perfect denoiser for a data set of one constant image; it returns the quantity that the recipe predicts."""

    def __init__(self, value: float, recipe: Ddpm) -> None:
        super().__init__()
        self.value, self.recipe = value, recipe
        self.scales: torch.Tensor = recipe._training_scheduler().alphas_cumprod
        self.config = type("Config", (), {"in_channels": 3 * recipe.patch**2, "sample_size": 16 // recipe.patch})

    def forward(self, state: torch.Tensor, time: torch.Tensor) -> Any:
        scale = self.scales[time.long()]
        clean = torch.full_like(state, self.value)
        noise = (state - scale.sqrt() * clean) / (1 - scale).sqrt()
        velocity = scale.sqrt() * noise - (1 - scale).sqrt() * clean
        answer = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[self.recipe.prediction]
        return type("Answer", (), {"sample": answer})


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(
    ("sampler", "spacing"),
    [
        *((sampler, "even") for sampler in ("ddpm", "ddim", "dpm++", "sde-dpm++", "heun")),
        *((sampler, "karras") for sampler in ("ddpm", "dpm++", "sde-dpm++")),
    ],
)
@pytest.mark.parametrize("patch", [1, 4])
def test_every_sampler_reaches_the_image_of_a_perfect_net(prediction: Any, sampler: Any, spacing: Any, patch: int):
    recipe = RECIPE.model_copy(
        update={"prediction": prediction, "sampler": sampler, "spacing": spacing, "patch": patch, "noise_steps": 1000}
    )
    net: Any = Knows(0.2, recipe)
    images = DdpmModel(net, recipe, RunContext()).sample(SEEDS)
    assert images.shape == (4, 3, 16, 16)
    assert np.abs(images.astype(int) - round(1.2 * 127.5)).max() <= 2


def test_training_lowers_the_loss(pictures: np.ndarray):
    from imagelab.generators import TrainRecord

    records: list[TrainRecord] = []
    recipe = RECIPE.model_copy(update={"images_seen": 400, "learning_rate": 3e-3})
    recipe.fit(pictures, 0, RunContext(on_record=records.append))
    assert records[-1].loss < 0.8 * records[0].loss


def test_only_two_samplers_add_noise_on_their_way(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    model = RECIPE.fit(pictures, 0, RunContext())
    noise = np.zeros((4, 3, 16, 16), np.float32)
    monkeypatch.setattr("imagelab.generators.ddpm.normal", lambda seeds, shape: noise)

    def drawn(sampler: str) -> np.ndarray:
        recipe = RECIPE.model_copy(update={"sampler": sampler})
        return DdpmModel(model.net, recipe, RunContext()).sample(SEEDS)

    assert (drawn("ddim") == drawn("ddim")[0]).all() and (drawn("dpm++") == drawn("dpm++")[0]).all()
    assert (drawn("heun") == drawn("heun")[0]).all()
    for sampler in ("ddpm", "sde-dpm++"):
        images = drawn(sampler)
        assert (images[0] != images[1]).any()
        assert (images == drawn(sampler)).all(), "the noise of an image depends on its seed only"


def test_heun_asks_the_net_twice_a_step_but_once_at_the_last():
    asked: list[float] = []
    recipe = RECIPE.model_copy(update={"sampler": "heun", "steps": 7})
    net: Any = Knows(0.2, recipe)
    net.register_forward_hook(lambda module, told, answer: asked.append(float(told[1])))
    DdpmModel(net, recipe, RunContext()).sample(SEEDS)
    assert len(asked) == 13 and len(set(asked)) == 7


@pytest.mark.parametrize(
    ("settings", "said", "mended"),
    [
        ({"noise_steps": 50, "steps": 51}, "at most noise_steps", {"steps": 50}),
        ({"sampler": "ddim", "steps": 60}, "divisor of noise_steps", {"steps": 50}),
        ({"schedule": "linear", "noise_steps": 455}, "still has 1 % of its energy", {"noise_steps": 460}),
        ({"weighting": "velocity", "prediction": "epsilon"}, "weight is about 1 / a_t", {"patch": 2}),
        ({"channels": (8, 4)}, "expected at least 8 as the last width, got 4", {"attention": False}),
        ({"weighting": "gaussian"}, "expected a patch of 2 or more", {"patch": 2}),
        ({"closed_form": "local"}, "expected a patch of 2 or more", {"patch": 2}),
    ],
)
def test_settings_that_cannot_work_together_are_refused(settings: dict[str, Any], said: str, mended: dict[str, Any]):
    with pytest.raises(ValueError, match=said):
        Ddpm(**settings)
    Ddpm(**{**settings, **mended})


@pytest.mark.parametrize("mirror", [False, True])
def test_the_closed_form_of_a_large_set_is_not_that_of_its_oldest_images(mirror: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("imagelab.generators.patch_net.MOST_IMAGES", 64)
    old, new = np.full((64, 1, 8, 8), 100, np.uint8), np.full((64, 1, 8, 8), 200, np.uint8)
    net: Any = Ddpm(channels=(8,), attention=False, patch=4, mirror=mirror).blank(np.concatenate([old, new]), 3)
    assert 130 < 127.5 * (1 + float(net.mean.mean())) < 170


def test_karras_levels_are_refused_where_they_have_no_effect():
    for sampler in ("ddim", "heun"):
        with pytest.raises(ValueError, match=f'spacing "karras": sampler "{sampler}"'):
            Ddpm(sampler=sampler, spacing="karras")


def test_settings_that_came_later_are_written_only_where_they_are_used():
    assert not set(Ddpm.later) & set(Ddpm().model_dump()) and "spacing" not in Ddpm().model_dump_json()
    used = Ddpm(patch=4, closed_form="local", spacing="karras")
    assert used.model_dump()["closed_form"] == "local" and used.model_dump()["spacing"] == "karras"
    assert Ddpm.model_validate(used.model_dump()) == used and Ddpm.model_validate(Ddpm().model_dump()) == Ddpm()


@pytest.mark.parametrize("weighting", ["velocity", "min_snr"])
def test_a_weighting_charges_the_same_mistake_the_same_whatever_is_predicted(weighting: Any):
    kept = torch.tensor([0.01, 0.3, 0.7, 0.99, 0.9999], dtype=torch.float64)
    image_error = torch.tensor(2.0, dtype=torch.float64)
    charged = {
        "sample": loss_weight(kept, "sample", weighting) * image_error,
        "epsilon": loss_weight(kept, "epsilon", weighting) * image_error * kept / (1 - kept),
        "v_prediction": loss_weight(kept, "v_prediction", weighting) * image_error / (1 - kept),
    }
    torch.testing.assert_close(charged["epsilon"], charged["sample"])
    torch.testing.assert_close(charged["v_prediction"], charged["sample"])


def test_the_weights_are_those_of_the_papers():
    kept = torch.tensor([0.2, 0.5, 0.95], dtype=torch.float64)
    snr = kept / (1 - kept)
    torch.testing.assert_close(loss_weight(kept, "epsilon", "min_snr"), snr.clamp(max=5) / snr)
    torch.testing.assert_close(loss_weight(kept, "v_prediction", "min_snr"), snr.clamp(max=5) / (snr + 1))
    torch.testing.assert_close(loss_weight(kept, "v_prediction", "velocity"), torch.ones_like(kept))
    assert loss_weight(1 - torch.tensor([1e-4]), "sample", "velocity").item() == 25
    for prediction in ("epsilon", "v_prediction", "sample"):
        assert (loss_weight(kept, prediction, "none") == 1).all()


class Listens(torch.nn.Module):
    """A net that keeps what it is shown, and answers 0."""

    def forward(self, state: torch.Tensor, time: torch.Tensor) -> Any:
        self.state, self.time = state, time
        return type("Answer", (), {"sample": torch.zeros_like(state)})


def shown(recipe: Ddpm, images: torch.Tensor) -> Listens:
    net = Listens()
    denoising_loss(net, recipe._training_scheduler(), recipe)(images, torch.Generator().manual_seed(0))
    return net


@pytest.mark.parametrize("levels", ["even", "detail"])
def test_training_draws_the_noise_levels_that_it_states(levels: Any):
    times = shown(Ddpm(levels=levels), torch.zeros(8000, 1, 2, 2)).time.double()
    logit = torch.logit((times + 0.5) / 1000)
    if levels == "even":
        assert float(times.mean()) == pytest.approx(499.5, abs=15) and 0 <= times.min() < times.max() <= 999
    else:
        assert (float(logit.mean()), float(logit.std())) == pytest.approx(DETAIL, abs=0.06)


@pytest.mark.parametrize("mirror", [False, True])
def test_mirroring_shows_every_second_image_from_the_other_side(mirror: bool):
    images = torch.ones(800, 1, 8, 8)
    images[..., 4:] = -1
    net = shown(Ddpm(mirror=mirror), images)
    turned = (net.state[..., 4:].mean((1, 2, 3)) > net.state[..., :4].mean((1, 2, 3)))[net.time < 300]
    assert float(turned.double().mean()) == pytest.approx(0.5 if mirror else 0, abs=0.15)


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_fits_images_of_the_side_in_its_name(name: str):
    side = int(name.split("-")[1])
    RECIPES[name]._check(np.zeros((4, 3, side, side), np.uint8))
    with pytest.raises(ValueError, match="multiple of"):
        RECIPES[name]._check(np.zeros((4, 3, side - 2, side - 2), np.uint8))
