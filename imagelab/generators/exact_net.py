"""The optimal network of a diffusion model for Gaussian data, in closed form.

For x_0 ~ N(mu, S) and x_t = sqrt(a) x_0 + sqrt(1 - a) e the optimal prediction is linear,

    E[x_0 | x_t] = mu + sqrt(a) S (a S + (1 - a) I)^-1 (x_t - sqrt(a) mu),          (1)

and those of e and v follow from it. :class:`ExactNet` takes the place of a trained network, with the same sampler,
schedule and rounding to bytes. Then the remaining loss of a loop is caused by the sampler alone (sampler_law.py).

References:
    Denoising diffusion probabilistic models (Ho et al. 2020), arXiv:2006.11239.
    The unreasonable effectiveness of Gaussian score approximation (Wang and Vastola 2024), arXiv:2412.09726.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional

from .base import RunContext
from .ddpm import DdpmModel

if TYPE_CHECKING:
    from .ddpm import Ddpm
    from .gaussian import GaussianModel

__all__ = ["ExactNet", "exact_model"]


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
