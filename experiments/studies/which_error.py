"""What removes the detail in one generation: the sampler, finite data, the network or the decoder?

Question:   a generation is softer than the images it was trained on. How much of the lost detail does the sampler lose
            with a perfect network, how much finite data, how much the network? And what does a VAE lose because it
            publishes decoder means?
Command:    python experiments/studies/which_error.py          (--quick for small sizes, --seed 0)
Hardware:   two CPU cores, under ten minutes at 32 px; no GPU, no download.
Expected:   measured spectra of the exact network on the closed form (theory.ddim_erosion) at every number of steps;
            finite data 10 log10(1 - 1/n) dB at every scale, whatever the detail; the network loses the rest of what a
            trained loop loses, at many steps far more than the other two.
Refuted by: an exact network off its closed form by more than three standard errors; a loss from finite data that
            depends on scale; a trained network that loses nothing at many steps.

Three differences, one thing changed at a time, in dB of power at 8 to 16 cycles per image, the finest octave of 32 px:

    sampler      exact network, infinite data: DDIM at S steps against the data (closed form, and measured)
    finite data  exact network of the Gaussian fitted to n images against that of the truth, 1000 steps (closed form)
    network      trained on n images against the exact network of the same n, both at 1000 steps
    together     trained on n images, DDIM at S steps; the remainder is interaction

The exact network of faces is that of the Gaussian fitted to them. Its spectrum equals theirs, so the effect of the
sampler on the spectrum is known there as well; the part of a face that is not Gaussian is counted under "network".

Seen 2026-11-22, 2 x86-64 cores shared with a dozen other jobs, one thread, seed 0, one training each, n = 512, 64 drawn
an arm (96 for the exact networks, run separately): 143 core-seconds, and less than 60 for each of the two tables of
exact networks. Exact networks: 32 of 32 bands within three standard errors of the closed form, worst 2.0.
At 8-16 cycles per image, dB:       random field, slope 2                 faces
  sampler, DDIM 10, 50, 250, 1000   -5.12, -1.07, -.23, -.06              -2.07, -.47, -.10, -.03    (closed form)
    measured with the exact network -5.14, -1.08, -.24, -.08, all +- .05  -1.96, -.49, -.18, -.12, all +- .10
  finite data, n = 512              +.02 +- .02                           +.06 +- .06                (theory -.008)
  network, 12,000 images seen       -10.5 +- .1                           -9.5 +- .2
  together, DDIM 10, 50, 250        -8.5, -9.4, -10.1, all +- .1          -9.2, -9.5, -9.5, all +- .2
  VAE, decoder means                -1.32 +- .18                          -1.63 +- .24
  VAE, decoder with its noise       +.05 +- .14                           -1.07 +- .21
The detail lost at DDIM 50 is 9.4 +- .1 dB on the field and 9.5 +- .1 on faces. The network alone would lose 10.5 +- .1
and 9.5 +- .2, the sampler alone 1.1 and .5, finite data nothing that could be measured. The network is under-trained:
more images seen would change the balance, and were not tried. Errors do not add: the sampler cannot lose again what the
network has lost (interaction +7.1 +- .1 dB at DDIM 10 on the field, +.1 +- .2 at 250 on faces). With this network fewer
steps lose less on the field, 8.5 against 10.1 dB; the reason was not investigated.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from imagelab import theory
from imagelab.data import AnyData, Faces, RandomField
from imagelab.families import kind_of
from imagelab.generators import Ddpm, Gaussian, RunContext, Vae
from imagelab.generators.ddpm import DdpmModel
from imagelab.generators.exact_net import alpha_bar, exact_model
from imagelab.generators.gaussian import GaussianModel
from imagelab.images import LUMA, luma
from imagelab.metrics.spectrum import power_spectrum
from imagelab.seeds import image_seeds, seed_at

SIZE = 32
STEPS = (10, 50, 250, 1000)
LONG = 1000
BANDS = ((1, 2), (2, 4), (4, 8), (8, 17))  # cycles per image; the last one takes N/2 itself
FINEST = 3
DECIBEL = 10 / math.log(10)


@dataclass(frozen=True)
class Budget:
    """Sizes of the experiment: n training images, images drawn an arm, images seen in a training."""

    train: int = 512
    drawn: int = 64
    images_seen: int = 12_000
    vae_seen: int = 4_000


QUICK = Budget(train=128, drawn=32, images_seen=1_000, vae_seen=500)


@dataclass(frozen=True)
class Level:
    """Power of a set of images in each band: float64 [N,4], or [1,4] for a closed form, which has no error."""

    powers: np.ndarray

    @property
    def power(self) -> np.ndarray:
        """Mean over images, float64 [4]."""
        return self.powers.mean(0)

    def decibel(self, below: Level) -> tuple[np.ndarray, np.ndarray]:
        """Return 10 log10(this / below) and its standard error by the delta method."""
        ratio = DECIBEL * np.log(self.power / below.power)
        ours, theirs = self.powers / self.power, below.powers / below.power
        return ratio, DECIBEL * np.hypot(standard_error(ours), standard_error(theirs))


def standard_error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis; 0 for a closed form."""
    return values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.zeros(values.shape[1])


def rings() -> list[np.ndarray]:
    """Return each band as a mask of the frequency plane, numpy's order."""
    frequency = np.fft.fftfreq(SIZE) * SIZE
    radius = np.rint(np.hypot(frequency[:, None], frequency))
    return [(low <= radius) & (radius < high) for low, high in BANDS]


def band_power(grey: np.ndarray) -> np.ndarray:
    """Return the power of each image in each band: float [N,H,W] -> float64 [N,4]; window as in the metric."""
    power = power_spectrum(grey)
    return np.stack([power[:, ring].sum(1) for ring in rings()], axis=1)


def level(images: np.ndarray) -> Level:
    """Return the bands of images, uint8 [N,C,H,W]."""
    return Level(band_power(luma(images)))


def predicted(gaussian: GaussianModel, kept: np.ndarray | None = None) -> Level:
    """Return the bands of N(mu, V^T diag(L') V), exactly: power is quadratic, so E P = P(mu) + sum_k L'_k P(v_k).

    ``kept``: L'; None for the Gaussian's own L. Rounding adds its 1/12 level^2; saturation is left out.
    """
    channels, height, width = gaussian.shape
    weights = LUMA if channels == 3 else np.ones(1)

    def bands_of(tensor: torch.Tensor) -> np.ndarray:
        planes = tensor.double().numpy().reshape(-1, channels, height, width) / 2  # -1..1 spans two, luma one
        return band_power(np.einsum("c,nchw->nhw", weights, planes))

    modes = modes_of(gaussian) if kept is None else kept
    power = bands_of(gaussian.tensors["mean"])[0] + modes @ bands_of(gaussian.tensors["directions"])
    rounding = np.sum(weights**2) / 12 / 255**2 / (height * width) * np.array([ring.sum() for ring in rings()])
    return Level((power + rounding)[None])


def truth(data: AnyData, images: np.ndarray) -> GaussianModel:
    """Return the Gaussian of infinite data: exact for a random field, otherwise fitted to all available images."""
    fitted = Gaussian().fit(images, 0, RunContext())
    if not isinstance(data, RandomField):
        return fitted
    plane = np.fft.fft2(np.eye(SIZE**2).reshape(-1, SIZE, SIZE), norm="ortho").reshape(SIZE**2, -1)
    covariance = np.real((plane * data.spectrum().ravel()) @ plane.conj().T) / 127.5**2
    variances, vectors = np.linalg.eigh(covariance)
    tensors = {
        "mean": torch.full((SIZE**2,), 128 / 127.5 - 1),
        "directions": torch.from_numpy(vectors.T.copy()).float(),
        "variances": torch.from_numpy(variances.clip(0.0)).float(),
    }
    return replace(fitted, tensors=tensors, residual=0.0)


def eroded(gaussian: GaussianModel, settings: Ddpm) -> Level:
    """Return the bands that the sampler leaves of a Gaussian with its exact network, in closed form."""
    return predicted(gaussian, theory.ddim_erosion(modes_of(gaussian), alpha_bar(settings)))


def recipe(budget: Budget) -> Ddpm:
    """Return the diffusion settings of every arm; only the number of steps changes."""
    return Ddpm(
        channels=(32, 64),
        blocks=1,
        attention=False,
        patch=4,
        prediction="sample",
        weighting="velocity",
        images_seen=budget.images_seen,
        batch=64,
        learning_rate=1e-3,
        ema=0.995,
        sampler="ddim",
        steps=LONG,
    )


def draw(model: DdpmModel, steps: int, budget: Budget, seed: int) -> Level:
    """Return the bands of images that the model samples in ``steps`` steps; the same noise in every arm."""
    model = replace(model, recipe=with_steps(model.recipe, steps))
    return level(model.sample(image_seeds(seed, "which_error", 1, 0, range(budget.drawn))))


def samplers(gaussian: GaussianModel, real: Level, budget: Budget, seed: int) -> Iterator[str]:
    """Yield the sampler's table: exact network, measurement and closed form."""
    yield f"  {'exact network':24s}" + "".join(f"{f'{low}-{high - (high == 17)} c/image':>22s}" for low, high in BANDS)
    off = []
    for steps in STEPS:
        settings = with_steps(recipe(budget), steps)
        law = eroded(gaussian, settings)
        found = draw(exact_model(gaussian, settings, RunContext()), steps, budget, seed)
        seen, error = found.decibel(real)
        off.append(found.decibel(law)[0] / found.decibel(law)[1])
        cells = "".join(
            f"{s:9.2f} +-{e:.2f} ({p:6.2f})" for s, e, p in zip(seen, error, law.decibel(real)[0], strict=True)
        )
        yield f"  DDIM {steps:4d}, dB (theory)  {cells}"
    z = np.abs(np.stack(off))
    yield f"  {(z < 3).sum()} of {z.size} bands within three standard errors of the closed form, worst {z.max():.1f}"


def story(data: AnyData, budget: Budget, seed: int) -> Iterator[str]:
    """Yield the budget of one dataset: three errors, one at a time, and all of them together."""
    images = data.load("train", budget.train, seed).images
    endless = data.load("heldout", 2 * budget.train, seed).images
    gaussian, settings = truth(data, endless), recipe(budget)
    real = predicted(gaussian)
    yield f"{kind_of(data)}, {SIZE} px, n = {budget.train}, {budget.drawn} drawn an arm, seed {seed}"
    yield from samplers(gaussian, real, budget, seed)

    few = Gaussian().fit(images, 0, RunContext())
    chance = level(images).decibel(real)
    # the difference is exact for these n images; its error is that of having drawn them
    data_term = eroded(few, settings).decibel(eroded(gaussian, settings))[0], chance[1]
    trained = settings.fit(images, seed_at(seed, "train"), RunContext())
    network_term = draw(trained, LONG, budget, seed).decibel(eroded(few, settings))
    theory_of = DECIBEL * math.log1p(-1 / budget.train)
    yield "  " + row(f"finite data, n = {budget.train}", data_term) + f"   theory, mean {theory_of:.3f}"
    yield "  " + row("real n against all real", chance)
    yield "  " + row(f"network, {budget.images_seen} seen", network_term)
    for steps in STEPS[:-1]:
        together = draw(trained, steps, budget, seed).decibel(real)
        alone = eroded(gaussian, with_steps(settings, steps)).decibel(real)[0]
        yield "  " + row(f"together at DDIM {steps}", together)
        yield "  " + sentence(steps, alone, data_term, network_term, together)
    yield from decoders(images, real, budget, seed)


def modes_of(gaussian: GaussianModel) -> np.ndarray:
    """Return L, float64 [k]."""
    return gaussian.tensors["variances"].double().numpy()


def with_steps(settings: Ddpm, steps: int) -> Ddpm:
    """Return the settings with another number of steps."""
    return settings.model_copy(update={"steps": steps})


def row(name: str, term: tuple[np.ndarray, np.ndarray]) -> str:
    """Return one line of the table."""
    return f"{name:24s}" + "".join(f"{v:9.2f} +-{e:.2f}         " for v, e in zip(*term, strict=True))


def sentence(
    steps: int,
    sampler: np.ndarray,
    data_term: tuple[np.ndarray, np.ndarray],
    network: tuple[np.ndarray, np.ndarray],
    together: tuple[np.ndarray, np.ndarray],
) -> str:
    """Return the result at ``steps`` steps, in words."""
    i = FINEST
    left = together[0][i] - sampler[i] - data_term[0][i] - network[0][i]
    error = math.hypot(together[1][i], math.hypot(data_term[1][i], network[1][i]))
    return (
        f"=> at DDIM {steps}, of {together[0][i]:.1f} +- {together[1][i]:.1f} dB at 8-16 cycles per image "
        f"{sampler[i]:.1f} are the sampler's (exact), {data_term[0][i]:.2f} +- {data_term[1][i]:.2f} finite data's, "
        f"{network[0][i]:.1f} +- {network[1][i]:.1f} the network's; interaction {left:+.1f} +- {error:.1f}."
    )


def decoders(images: np.ndarray, real: Level, budget: Budget, seed: int) -> Iterator[str]:
    """Yield what a VAE loses by publishing decoder means, and what the decoder's noise restores."""
    for noisy in (False, True):
        vae = Vae(details=12, images_seen=budget.vae_seen, crop=SIZE, decoder_noise=noisy)
        model = vae.fit(images, seed_at(seed, "train"), RunContext())
        made = model.sample(image_seeds(seed, "which_error", 1, 0, range(budget.drawn)))
        yield "  " + row("VAE, decoder " + ("with its noise" if noisy else "means"), level(made).decibel(real))


def main() -> None:
    """Print the budgets of both datasets."""
    options = argparse.ArgumentParser(description="Which error removes the detail?")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--quick", action="store_true", help="small sizes, to see that it runs; no figure to quote")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--only", choices=("random_field", "faces"), help="one of the two datasets")
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    budget = QUICK if asked.quick else Budget()
    for data in (RandomField(size=SIZE, slope=2, contrast=24, channels=1), Faces(size=SIZE)):
        if asked.only not in (None, data.kind):
            continue
        began, cpu = time.monotonic(), time.process_time()
        for line in story(data, budget, asked.seed):
            print(line, flush=True)
        print(f"  {time.monotonic() - began:.0f} s, {time.process_time() - cpu:.0f} core-seconds\n", flush=True)


if __name__ == "__main__":
    main()
