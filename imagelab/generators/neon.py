"""Negative extrapolation from self-training: a fitted generator, moved away from what its own samples would make of it.

A model that is trained on its own samples gets worse in a direction that shows which way its sampling is biased. With
the weights r of the fitted model and s of the same model after a brief training on its own samples, the weights are

    (1 + w) r - w s.                                                                                          (1)

For a sampler that prefers typical images, w > 0 improves a model in the paper; for one that is more various than the
data, w < 0 does.

The closed form (a Gaussian) has no weights that are trained. Its parameters are extrapolated instead: its mean by (1),
and in each of its own directions the variance on a log scale, r (r / s)^w. To first order that is (1) as well, and it
stays positive. The directions are kept. s is what the base's own estimator finds in its samples, rounded to bytes as
they are. Its statistical error is extrapolated too: the standard deviation of a log variance is w (2 / samples)^(1/2).

References:
    Neon: Negative extrapolation from self-training improves image generation (Alemohammad, Wang and Baraniuk 2025),
        arXiv:2510.03597.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import field_validator

from ..families import kind_of
from .base import Generator, Model, RunContext
from .gaussian import Gaussian, GaussianModel
from .self_training import AnyBase, Continuable, SelfTraining, drawn_of_itself
from .vae import Vae

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Neon", "extrapolated", "extrapolated_gaussian"]

LIMIT = 10.0
"""Largest ratio of a variance of the base and of its samples that is extrapolated; beyond it this ratio is used."""


class Neon(SelfTraining):
    """Neon: a base, extrapolated away from itself as trained on its own samples.

    The model is one of the base's kind, saved and read as the base's are. Of a network, the parameters (averaged, as
    they are published) are extrapolated, and the buffers are the base's; the codes that a VAE stores are computed anew
    with the new weights. A loop pays for the samples and for the second training, in each generation.

    Differs from the paper: much smaller networks, and a training on own samples that is a larger share of the whole
    (the paper: often below 1 %); the second training begins with new moments of Adam and its own warm-up.

    Attributes:
        base: the generator that is fitted: gaussian, vae or ddpm; or one of your own that has the methods of
            ``generators.self_training.Continuable``.

    Example:
        >>> from imagelab.generators import Gaussian
        >>> Neon(base=Gaussian(components=8), weight=0.5).label
        'PPCA, k = 8, Neon x 0.5'
    """

    kind: Literal["neon"] = "neon"
    base: AnyBase = Vae()

    @field_validator("base", mode="after")
    @classmethod
    def _has_parameters(cls, base: Generator) -> Generator:
        if isinstance(base, Gaussian) or (isinstance(base, Continuable) and base.training_length):
            return base
        raise ValueError(
            "expected a generator with parameters to extrapolate: gaussian, or a trained vae or ddpm, got "
            f"{kind_of(base)}{'' if base.training_length else ' without training (images_seen = 0)'}"
        )

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        return f"{self.base.label}, Neon x {self.weight:g}"

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> Model:
        """Fit the base to uint8 [N,C,H,W], train it on its own samples, and extrapolate.

        Raises:
            ValueError: see the base.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        if isinstance(self.base, Gaussian):
            model = self.base.fit(images, seed, context)
            return extrapolated_gaussian(model, drawn_of_itself(model, self.samples, seed, context), self.weight)
        recipe: Any = self.base
        found = self.self_train(images, seed, context, start)
        return recipe.finished(extrapolated(found.base.net, found.tuned, self.weight), images, seed, context)

    def load(self, folder: Path, context: RunContext) -> Model:
        """Read back a saved model; it is one of the base's kind."""
        return self.base.load(folder, context)


def extrapolated(net: Any, tuned: nn.Module, weight: float) -> Any:
    """Return a copy of a net with the parameters (1 + w) r - w s; its buffers are those of the net.

    Args:
        net: with the parameters r.
        tuned: with the parameters s, of the same form.
        weight: w.
    """
    import torch

    made = copy.deepcopy(net)
    if weight == 0:  # to the byte: -0 - 0 x s may be 0
        return made
    away = dict(tuned.named_parameters())
    with torch.no_grad():
        for name, value in made.named_parameters():
            value.mul_(1 + weight).sub_(weight * away[name])
    return made


def extrapolated_gaussian(model: GaussianModel, samples: np.ndarray, weight: float) -> GaussianModel:
    """Return a Gaussian whose mean and variances are extrapolated away from those of its samples.

    The residual variance is extrapolated only where the model adds it as noise; otherwise no sample shows it.

    Args:
        model: the fitted Gaussian.
        samples: its own samples, uint8 [N,C,H,W].
        weight: w.
    """
    import torch

    if weight == 0:
        return model
    mean, directions, variances = (model.tensors[name].double() for name in ("mean", "directions", "variances"))
    own = torch.from_numpy(samples.reshape(len(samples), -1)).to(mean.device).double() / 127.5 - 1.0
    centred, divisor = own - own.mean(0), len(own) - 1 if model.recipe.unbiased else len(own)
    seen = (centred @ directions.T).square().sum(0) / divisor
    left_out = own.shape[1] - len(variances)
    rest = (centred.square().sum() / divisor - seen.sum()).clamp(min=0.0) / max(left_out, 1)
    tensors = {
        "mean": (mean + weight * (mean - own.mean(0))).float(),
        "directions": model.tensors["directions"],
        "variances": (variances * _ratio(variances, seen) ** weight).float(),
    }
    residual = torch.tensor(model.residual, dtype=torch.float64, device=mean.device)
    if model.recipe.noise and model.residual > 0:
        residual = residual * _ratio(residual, rest) ** weight
    return replace(model, tensors=tensors, residual=float(residual))


def _ratio(fitted: Any, seen: Any) -> Any:
    """Return fitted / seen, within LIMIT and its inverse; 1 where both are 0."""
    least = 1e-12
    return ((fitted + least) / (seen + least)).clamp(1 / LIMIT, LIMIT)
