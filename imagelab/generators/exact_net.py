"""The optimal network of a diffusion model for Gaussian data, in closed form.

For x_0 ~ N(mu, S) and x_t = sqrt(a) x_0 + sqrt(1 - a) e the optimal prediction is linear,

    E[x_0 | x_t] = mu + sqrt(a) S (a S + (1 - a) I)^-1 (x_t - sqrt(a) mu),          (1)

and those of e and v follow from it. :class:`ExactNet` takes the place of a trained network, with the same sampler,
schedule and rounding to bytes. Then the remaining loss of a loop is caused by the sampler alone
(``imagelab.theory.ddim_erosion`` and the functions next to it).

References:
    Denoising diffusion probabilistic models (Ho et al. 2020), arXiv:2006.11239.
    The unreasonable effectiveness of Gaussian score approximation (Wang and Vastola 2024), arXiv:2412.09726.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from ..theory.samplers import ddim_erosion, ddpm_erosion, dpm_erosion, edm_erosion
from .base import RunContext
from .ddpm import DdpmModel

if TYPE_CHECKING:
    from .ddpm import Ddpm
    from .gaussian import GaussianModel

__all__ = ["ExactNet", "alpha_bar", "erosion", "exact_model"]


class ExactNet:
    """The exact network of N(mu, V^T diag(L) V + s^2 (I - V^T V)), called as diffusers' UNet2DModel is.

    Args:
        gaussian: mu, V, L and s^2, in signed units, and the shape of an image.
        recipe: the diffusion settings; a network depends on schedule, prediction and patch.
    """

    def __init__(self, gaussian: GaussianModel, recipe: Ddpm):
        self.mean = gaussian.tensors["mean"]
        self.directions, self.variances = gaussian.tensors["directions"], gaussian.tensors["variances"]
        self.residual = gaussian.residual
        self.shape, self.recipe = gaussian.shape, recipe
        self.kept: Tensor = recipe._training_scheduler().alphas_cumprod.double()
        channels, side, _ = gaussian.shape
        self.config = SimpleNamespace(in_channels=channels * recipe.patch**2, sample_size=side // recipe.patch)

    def __call__(self, state: Tensor, time: Tensor) -> SimpleNamespace:
        """Return the prediction at x_t, float [B, C p^2, S/p, S/p], in ``.sample``."""
        a = float(self.kept[int(time)])
        noisy = functional.pixel_shuffle(state, self.recipe.patch).flatten(1)
        centred = noisy - a**0.5 * self.mean
        # Eq. 1: one factor for the directions left out, and a correction of it along the kept ones
        rest = a**0.5 * self.residual / (a * self.residual + 1 - a)
        kept = a**0.5 * self.variances / (a * self.variances + 1 - a) - rest
        clean = self.mean + rest * centred + (centred @ self.directions.T * kept) @ self.directions
        noise = (noisy - a**0.5 * clean) / (1 - a) ** 0.5
        answers = {"sample": clean, "epsilon": noise, "v_prediction": a**0.5 * noise - (1 - a) ** 0.5 * clean}
        images = answers[self.recipe.prediction].reshape(-1, *self.shape)
        return SimpleNamespace(sample=functional.pixel_unshuffle(images, self.recipe.patch))


def exact_model(gaussian: GaussianModel, recipe: Ddpm, context: RunContext) -> DdpmModel:
    """Return a diffusion model with the exact network of a Gaussian. It samples as any other; it cannot be saved.

    Args:
        gaussian: the data distribution, from ``Gaussian().fit`` or made by hand.
        recipe: sampler and steps.
        context: device and batch.
    """
    net: Any = ExactNet(gaussian, recipe)
    return DdpmModel(net, recipe, context)


def alpha_bar(recipe: Ddpm) -> np.ndarray:
    """Return the noise levels that the recipe's sampler visits, in the order of sampling: float64 [steps + 1], to 1.

    They are the argument of ``imagelab.theory.ddim_erosion``, ``ddpm_erosion`` and ``dpm_erosion``; ``edm_erosion``
    takes sigma = sqrt(1 / alpha_bar - 1) instead (:func:`erosion` converts).

    Example:
        >>> from imagelab.generators import Ddpm
        >>> alpha_bar(Ddpm(sampler="ddim", steps=10)).shape
        (11,)
    """
    scheduler = recipe._sampling_scheduler()
    if recipe.sampler == "dpm++":
        return 1 / (1 + scheduler.sigmas.numpy().astype(np.float64) ** 2)
    if recipe.sampler == "heun":  # diffusers lists every level twice, except the first and the last
        return 1 / (1 + np.append(scheduler.sigmas[:-1:2], scheduler.sigmas[-1]).astype(np.float64) ** 2)
    return np.append(scheduler.alphas_cumprod.numpy().astype(np.float64)[scheduler.timesteps.numpy()], 1.0)


def erosion(variance: np.ndarray, recipe: Ddpm) -> np.ndarray:
    """Return the variance of Gaussian modes after sampling with an exact network: the sampler's error alone.

    Args:
        variance: l >= 0 of the data's modes, images in -1..1; any shape.
        recipe: its schedule, sampler and steps are used; noise_scale is taken as 1.

    Returns:
        float64, shaped like ``variance``.

    Example:
        >>> from imagelab.generators import Ddpm
        >>> modes = np.array([1e-3, 1e-1])
        >>> (erosion(modes, Ddpm(sampler="ddim", steps=50)) / modes).round(2).tolist()
        [0.34, 0.91]
    """
    levels = alpha_bar(recipe)
    if recipe.sampler == "heun":
        return edm_erosion(variance, np.sqrt(1 / levels - 1))
    laws = {"ddim": ddim_erosion, "ddpm": ddpm_erosion, "dpm++": dpm_erosion}
    return laws[recipe.sampler](variance, levels)
