"""The linear loss of variance of the linear VAE, in the image loop: decoder means are published and fitted repeatedly.

A linear VAE with known decoder noise, at its optimum in closed form (probabilistic PCA shrunk by beta s^2). With n
images of bytes the prediction is that of replace with q = 1/12 - beta s^2 levels^2 added to every published mode, as
long as no fitted mode has vanished. n images have n - 1 modes; the others lose nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imagelab import theory
from imagelab.data import RandomField
from imagelab.generators import Gaussian, RunContext
from imagelab.generators.gaussian import GaussianModel
from imagelab.seeds import image_seeds

FIELD = RandomField(size=4, slope=0, contrast=16, channels=1)
N, T, RUNS = 400, 3, 16
NOISE, BETA = 20.0, 1.0  # s^2, grey levels^2
MODES = 16.0**2 * 16 / 15  # variance of each of the 15 modes, grey levels^2


def shrunk(model: GaussianModel, noise: bool) -> GaussianModel:
    """The optimal linear VAE of the fitted Gaussian: decoder variances max(L - beta s^2, 0), noise s^2 or none."""
    taken = BETA * NOISE / 127.5**2
    variances = (model.tensors["variances"] - taken).clamp(min=0.0) + (NOISE / 127.5**2 if noise else 0.0)
    return replace(model, tensors={**model.tensors, "variances": variances})


def kept(noise: bool, n: int = N, runs: int = RUNS) -> np.ndarray:
    """Mean variance of the published modes over the truth's, [T, runs]."""
    found = np.empty((T, runs))
    for run in range(runs):
        images = FIELD.load("train", n, 500 + run).images
        for t in range(T):
            model = shrunk(Gaussian(components=15).fit(images, 0, RunContext()), noise)
            images = model.sample(image_seeds(500 + run, "sample", t + 1, 0, range(n)))
            found[t, run] = images.astype(np.float64).var(axis=0, ddof=1).sum() / 15 / MODES
    return found


def law(noise: bool, n: int = N) -> np.ndarray:
    """No mode is near 0, so the variance falls linearly, except for the factor 1 - 1/N a generation."""
    added = (1 / 12 * 16 / 15 - (0 if noise else BETA * NOISE)) / MODES
    first = 1 + 1 / 12 * 16 / 15 / MODES  # what the first model is fitted to: real images are bytes, too
    values, sampled = [], first
    for _ in range(T):
        sampled = (1 - 1 / n) * sampled + added
        values.append(sampled)
    return np.array(values)


def test_published_decoder_means_lose_the_same_variance_every_generation() -> None:
    found = kept(noise=False)
    z = (found.mean(1) - law(False)) / (found.std(1, ddof=1) / np.sqrt(RUNS))
    assert np.abs(z).max() < 3.5, z
    straight = theory.linear_vae_variance(np.array(MODES), T, NOISE, BETA) / MODES
    assert abs(found[-1].mean() - straight) < 0.02  # finite data and rounding add little


def test_decoder_noise_restores_the_variance() -> None:
    found = kept(noise=True)
    z = (found.mean(1) - law(True)) / (found.std(1, ddof=1) / np.sqrt(RUNS))
    assert np.abs(z).max() < 3.5, z
    assert found[-1].mean() > 0.97


def test_modes_that_few_images_cannot_hold_have_nothing_to_pay_and_the_total_falls_less() -> None:
    found = kept(noise=False, n=10, runs=300)
    z = (found.mean(1) - law(False, n=10)) / (found.std(1, ddof=1) / np.sqrt(300))
    assert z[-1] > 4
