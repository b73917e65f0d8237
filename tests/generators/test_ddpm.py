"""The diffusion model: diffusers' own pipeline reads it, and its samplers do what their names say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagelab.generators import Bench, Ddpm
from imagelab.generators.ddpm import DdpmModel
from imagelab.seeds import image_seeds

RECIPE = Ddpm(channels=(8, 16), blocks=1, images_seen=64, batch=8, noise_steps=50, steps=10)
SEEDS = image_seeds(1, "sample", 1, 0, range(4))


def test_the_pipeline_of_diffusers_loads_the_saved_model_and_draws(tmp_path: Path, pictures: np.ndarray):
    from diffusers import DDPMPipeline

    RECIPE.fit(pictures, 0, Bench()).save(tmp_path)
    pipeline: Any = DDPMPipeline.from_pretrained(str(tmp_path), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 16, 16, 3)
    assert pipeline.scheduler.config.prediction_type == RECIPE.prediction
    assert pipeline.scheduler.config.num_train_timesteps == 50


class Knows(torch.nn.Module):
    """A perfect denoiser of a data set of one constant image: it answers what the recipe's prediction asks for."""

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
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
@pytest.mark.parametrize("patch", [1, 4])
def test_every_sampler_reaches_the_image_that_a_perfect_net_knows(prediction: Any, sampler: Any, patch: int):
    recipe = RECIPE.model_copy(
        update={"prediction": prediction, "sampler": sampler, "patch": patch, "noise_steps": 1000}
    )
    net: Any = Knows(0.2, recipe)
    images = DdpmModel(net, recipe, Bench()).sample(SEEDS)
    assert images.shape == (4, 3, 16, 16)
    assert np.abs(images.astype(int) - round(1.2 * 127.5)).max() <= 2


def test_training_lowers_the_loss(pictures: np.ndarray):
    from imagelab.generators import TrainRecord

    records: list[TrainRecord] = []
    recipe = RECIPE.model_copy(update={"images_seen": 400, "learning_rate": 3e-3})
    recipe.fit(pictures, 0, Bench(tell=records.append))
    assert records[-1].loss < 0.8 * records[0].loss


def test_only_the_ancestral_sampler_adds_noise_on_its_way(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    model = RECIPE.fit(pictures, 0, Bench())
    noise = np.zeros((4, 3, 16, 16), np.float32)
    monkeypatch.setattr("imagelab.generators.ddpm.normal", lambda seeds, shape: noise)

    def drawn(sampler: str) -> np.ndarray:
        recipe = RECIPE.model_copy(update={"sampler": sampler})
        return DdpmModel(model.net, recipe, Bench()).sample(SEEDS)

    assert (drawn("ddim") == drawn("ddim")[0]).all() and (drawn("dpm++") == drawn("dpm++")[0]).all()
    assert (drawn("ddpm")[0] != drawn("ddpm")[1]).any()
