from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.generators import Ddpm, Gaussian, RunContext
from imagelab.generators.exact_net import alpha_bar as asked_of_diffusers
from imagelab.generators.exact_net import exact_model
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.spectrum import spectrum
from imagelab.report.run_view import read_run
from imagelab.report.sampler_floor import alpha_bar, eroded_power, yardstick
from imagelab.seeds import image_seeds
from imagelab.theory import ddim_erosion

MakeRun = Callable[..., Path]
SIDE = 16


def field(colours: np.ndarray, n: int = 600) -> np.ndarray:
    """Return random fields, uint8 [n,C,S,S], whose power falls with frequency; ``colours`` [C,C] mixes the channels."""
    rng = np.random.default_rng(5)
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE) * SIDE] * 2))
    noise = np.fft.fft2(rng.standard_normal((n, len(colours), SIDE, SIDE))) / (1 + radius) ** 1.2
    pictures = np.einsum("cd,ndhw->nchw", colours, np.fft.ifft2(noise).real)
    return (128 + 22 * pictures / pictures.std()).round().clip(0, 255).astype(np.uint8)


def measured(images: np.ndarray) -> np.ndarray:
    """Return radial_power as measured by the metric: float64 [S/2]."""
    seen = ImageSet(images)
    found = [m for m in spectrum(Evidence(real=seen, fake=seen)) if m.name.startswith("radial_power/")]
    return np.array([m.value for m in found], float)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++", "heun"])
@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize(("steps", "length"), [(20, 1000), (7, 100), (50, 50)])
def test_the_levels_are_those_that_the_sampler_visits(sampler: Any, schedule: Any, steps: int, length: int) -> None:
    recipe = Ddpm(sampler=sampler, schedule=schedule, steps=steps, noise_steps=length)
    levels = alpha_bar(recipe.model_dump())
    assert levels is not None
    np.testing.assert_allclose(levels, asked_of_diffusers(recipe), rtol=2e-5)  # diffusers computes in float32


@pytest.mark.parametrize("colours", [np.eye(1), np.eye(3), np.ones((3, 3)) + 0.2 * np.eye(3)], ids=len)
def test_a_sampler_that_loses_nothing_leaves_the_power_that_was_measured(colours: np.ndarray) -> None:
    images = field(colours)
    kept = eroded_power(images, lambda mode: mode)[1:]
    # the prediction adds rounding once, and the images already contain it
    np.testing.assert_allclose(kept, measured(images), rtol=0.01)


def test_a_perfect_network_under_the_real_sampler_leaves_what_is_predicted() -> None:
    images, recipe = field(np.ones((3, 3)) + 0.3 * np.eye(3)), Ddpm(sampler="ddim", steps=12)
    gaussian = Gaussian(components=599).fit(images, seed=0, context=RunContext())
    drawn = exact_model(gaussian, recipe, RunContext()).sample(image_seeds(3, "sample", 1, 0, range(400)))
    levels = alpha_bar(recipe.model_dump())
    assert levels is not None
    predicted, real = eroded_power(images, lambda mode: ddim_erosion(mode, levels))[1:], measured(images)
    got = measured(drawn)
    assert (predicted[4:] < 0.6 * real[4:]).all()  # the loss is large enough for the comparison to mean something
    np.testing.assert_allclose(got, predicted, rtol=0.2)


def test_every_generation_is_eroded_again() -> None:
    images = field(np.eye(1), 64)
    once, twice = (eroded_power(images, lambda mode: mode / 2, times)[1:] for times in (1, 2))
    centred = images - images.mean(axis=0)
    assert centred.std() > 1
    np.testing.assert_allclose(twice / once, 0.5, rtol=0.15)  # the mean image is not eroded, 1/64 of the power


def test_only_diffusion_has_a_yardstick_and_more_generations_only_where_each_feeds_on_the_last(
    make_run: MakeRun,
) -> None:
    def found(name: str, **experiment: Any) -> Any:
        run = make_run(name, generations=2, experiment=experiment)
        np.save(run / "gen-000" / "images.npy", np.repeat(field(np.eye(1), 32), 3, axis=1))
        return yardstick(read_run(run))

    ddpm = Ddpm(steps=10).model_dump()
    assert found("vae") is None
    assert list(found("replace", generator=ddpm).power) == [1, 2]
    assert list(found("mix", generator=ddpm, regime={"kind": "mix"}).power) == [1]
    assert found("quiet", generator={**ddpm, "noise_scale": 0.9}) is None
    assert "10 steps" in found("words", generator=ddpm).sampler
