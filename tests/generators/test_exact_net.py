from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from imagelab.generators import Ddpm, Gaussian, RunContext
from imagelab.generators.exact_net import ExactNet, exact_model
from imagelab.generators.gaussian import GaussianModel
from imagelab.generators.sampler_law import alpha_bar
from imagelab.seeds import image_seeds


def gaussian(components: int | None = None) -> GaussianModel:
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), np.uint8)
    return Gaussian(components=components).fit(images, 0, RunContext())


def covariance(model: GaussianModel) -> torch.Tensor:
    directions, size = model.tensors["directions"].double(), model.tensors["mean"].numel()
    kept = directions.T @ (model.tensors["variances"].double()[:, None] * directions)
    return kept + model.residual * (torch.eye(size, dtype=torch.double) - directions.T @ directions)


@pytest.mark.parametrize("components", [None, 5])
@pytest.mark.parametrize("patch", [1, 2])
def test_the_answer_is_the_conditional_mean_of_a_gaussian(components: int | None, patch: int) -> None:
    model, recipe = gaussian(components), Ddpm(prediction="sample", patch=patch)
    net, time = ExactNet(model, recipe), torch.tensor(400)
    a = float(recipe._training_scheduler().alphas_cumprod[400])
    noisy = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    sigma, mean = covariance(model), model.tensors["mean"].double()
    seen = a * sigma + (1 - a) * torch.eye(len(sigma), dtype=torch.double)
    gap = noisy.flatten(1).double() - a**0.5 * mean
    expected = mean + gap @ torch.linalg.solve(seen, a**0.5 * sigma)
    answer = net(torch.nn.functional.pixel_unshuffle(noisy, patch), time).sample
    assert answer.shape == (2, net.config.in_channels, net.config.sample_size, net.config.sample_size)
    found = torch.nn.functional.pixel_shuffle(answer, patch).flatten(1)
    assert_close(found, expected.float(), atol=1e-4, rtol=1e-4)


def test_the_three_predictions_give_the_same_images() -> None:
    model, time = gaussian(), torch.tensor(250)
    noisy = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    a = float(Ddpm()._training_scheduler().alphas_cumprod[250])
    clean, noise, velocity = (
        ExactNet(model, Ddpm.model_validate({"prediction": kind}))(noisy, time).sample
        for kind in ("sample", "epsilon", "v_prediction")
    )
    assert_close(a**0.5 * clean + (1 - a) ** 0.5 * noise, noisy, atol=1e-5, rtol=1e-5)
    assert_close(velocity, a**0.5 * noise - (1 - a) ** 0.5 * clean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "heun"])
def test_the_noise_levels_rise_to_the_clean_image_in_as_many_steps(sampler: str) -> None:
    levels = alpha_bar(Ddpm.model_validate({"sampler": sampler, "steps": 20}))
    assert levels.shape == (21,)
    assert levels[-1] == 1
    assert levels[0] < 2e-4
    assert (np.diff(levels) > 0).all()


def test_it_is_sampled_as_any_diffusion_model_an_image_a_seed() -> None:
    model = exact_model(gaussian(), Ddpm(sampler="ddim", steps=5), RunContext(batch=3))
    seeds = image_seeds(0, "sample", 1, 0, range(5))
    images = model.sample(seeds)
    assert images.shape == (5, 3, 8, 8)
    assert np.abs(images[3:].astype(int) - model.sample(seeds[3:]).astype(int)).max() <= 1
