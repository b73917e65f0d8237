from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagelab.generators import Ddpm, Gaussian, RunContext, sampler_law
from imagelab.generators.exact_net import exact_model
from imagelab.generators.sampler_law import alpha_bar, eroded_power, erosion, predicted_by_sampler
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.spectrum import spectrum
from imagelab.seeds import image_seeds
from imagelab.theory import karras_times

SIDE = 16


def field(colours: np.ndarray, n: int = 600) -> np.ndarray:
    """Random fields whose detail falls with frequency, channels mixed by ``colours`` [C,C]: uint8 [n,C,S,S]."""
    rng = np.random.default_rng(5)
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE) * SIDE] * 2))
    noise = np.fft.fft2(rng.standard_normal((n, len(colours), SIDE, SIDE))) / (1 + radius) ** 1.2
    pictures = np.einsum("cd,ndhw->nchw", colours, np.fft.ifft2(noise).real)
    return (128 + 22 * pictures / pictures.std()).round().clip(0, 255).astype(np.uint8)


def measured(images: np.ndarray) -> np.ndarray:
    """radial_power as the metric gives it: float64 [S/2]."""
    seen = ImageSet(images)
    rows = [m for m in spectrum(Evidence(real=seen, fake=seen)) if m.name.startswith("radial_power/")]
    return np.array([m.value for m in rows], float)


def levels_by_hand(karras: bool, schedule: str, steps: int, length: int) -> np.ndarray:
    """The noise levels from the published schedules, "trailing" spacing or [Karras]'s: float64 [steps + 1]."""
    time = np.arange(length + 1)
    if schedule == "linear":
        beta = np.linspace(1e-4, 0.02, length)
    else:
        cosine = np.cos((time / length + 0.008) / 1.008 * np.pi / 2) ** 2
        beta = np.minimum(1 - cosine[1:] / cosine[:-1], 0.999)
    kept = np.cumprod(1 - beta)
    evenly = np.round(np.arange(length, 0, -length / steps)).astype(int) - 1
    return np.append(kept[karras_times(kept, steps) if karras else evenly], 1.0)


@pytest.mark.parametrize(
    ("sampler", "spacing"),
    [
        *((sampler, "even") for sampler in ("ddim", "ddpm", "dpm++", "sde-dpm++", "heun")),
        *((sampler, "karras") for sampler in ("ddpm", "dpm++", "sde-dpm++")),
    ],
)
@pytest.mark.parametrize(
    ("schedule", "steps", "length"),
    [
        ("linear", 20, 1000),
        ("linear", 7, 700),
        *(("squaredcos_cap_v2", *each) for each in [(20, 1000), (7, 70), (50, 50)]),
    ],
)
def test_the_levels_are_those_that_the_sampler_visits(
    sampler: Any, spacing: Any, schedule: Any, steps: int, length: int
) -> None:
    recipe = Ddpm(sampler=sampler, spacing=spacing, schedule=schedule, steps=steps, noise_steps=length)
    expected = levels_by_hand(sampler == "heun" or spacing == "karras", schedule, steps, length)
    np.testing.assert_allclose(alpha_bar(recipe), expected, rtol=2e-5)  # diffusers counts in float32


@pytest.mark.parametrize("colours", [np.eye(1), np.eye(3), np.ones((3, 3)) + 0.2 * np.eye(3)], ids=len)
def test_a_sampler_that_loses_nothing_leaves_the_power_that_was_measured(colours: np.ndarray) -> None:
    images = field(colours)
    kept = eroded_power(images, lambda mode: mode)[1:]
    # rounding is added once more than the images hold
    np.testing.assert_allclose(kept, measured(images), rtol=0.01)


def test_a_perfect_network_under_the_real_sampler_leaves_what_is_predicted() -> None:
    images, recipe = field(np.ones((3, 3)) + 0.3 * np.eye(3)), Ddpm(sampler="ddim", steps=10)
    gaussian = Gaussian(components=599).fit(images, seed=0, context=RunContext())
    drawn = exact_model(gaussian, recipe, RunContext()).sample(image_seeds(3, "sample", 1, 0, range(400)))
    predicted, real = np.array([m.value for m in predicted_by_sampler(recipe, images)]), measured(images)
    got = measured(drawn)
    assert (predicted[4:] < 0.6 * real[4:]).all()  # so that agreement says something
    np.testing.assert_allclose(got, predicted, rtol=0.2)


def test_rounding_to_bytes_adds_a_twelfth_of_a_squared_level_to_every_mode() -> None:
    grey = np.full((4, 1, SIDE, SIDE), 128, np.uint8)  # no variance and no structure: rounding is all that is left
    power = eroded_power(grey, lambda mode: 0 * mode)
    np.testing.assert_allclose(power, 1 / (12 * 255**2 * SIDE**2), rtol=1e-12)


def test_every_generation_is_eroded_again() -> None:
    images = field(np.eye(1), 64)
    once, twice = (eroded_power(images, lambda mode: mode / 2, times)[1:] for times in (1, 2))
    centred = images - images.mean(axis=0)
    assert centred.std() > 1
    np.testing.assert_allclose(twice / once, 0.5, rtol=0.15)  # the mean image is not eroded, 1/64 of the power


def test_the_law_is_written_as_predicted_measurements_by_cycles_an_image() -> None:
    images, recipe = field(np.eye(3), 64), Ddpm(sampler="heun", steps=10)
    once, twice = (predicted_by_sampler(recipe, images, times) for times in (1, 2))
    assert [m.name for m in once] == [f"sampler_floor/{radius:02d}" for radius in range(1, SIDE // 2 + 1)]
    assert all(m.predicted and m.unit == "power" and m.n_real == 64 and m.cite == "arXiv:2206.00364" for m in once)
    assert "Heun's rule, 10 steps, exact" in once[0].estimator and "10 steps, 2 times" in twice[0].estimator
    for rows, times in ((once, 1), (twice, 2)):
        expected = eroded_power(images, lambda mode: erosion(mode, recipe), times)[1:]
        np.testing.assert_array_equal([m.value for m in rows], expected)


def test_only_the_first_images_are_used_and_large_fields_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    images, recipe = field(np.eye(1), 40), Ddpm(steps=5)
    monkeypatch.setattr(sampler_law, "MAX_IMAGES", 30)
    first = predicted_by_sampler(recipe, images)
    assert first == predicted_by_sampler(recipe, images[:30]) and first[0].n_real == 30
    monkeypatch.setattr(sampler_law, "MODES", 7)
    assert [m.value for m in predicted_by_sampler(recipe, images)] == pytest.approx([m.value for m in first], rel=1e-12)


def test_only_a_diffusion_model_with_a_law_is_predicted() -> None:
    images = field(np.eye(1), 8)
    assert predicted_by_sampler(Gaussian(), images) == []
    (missing,) = predicted_by_sampler(Ddpm(steps=10, noise_scale=0.9), images)
    assert missing.name == "sampler_floor" and missing.value is None and "noise_scale" in missing.missing
