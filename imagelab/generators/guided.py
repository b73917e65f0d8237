"""Negative guidance: a diffusion model, steered away from a model of its own samples.

An auxiliary model is trained on the base's own samples, starting from the base's weights. While an image is drawn, the
score of the two at each noise level is combined to

    (1 + w) s_base - w s_aux.                                                                                 (1)

A net predicts the noise, v or the image. Each of them is an affine function of the score at a given noisy image, and
the weights in (1) add up to 1, so that the same combination of predictions is taken.

References:
    Self-improving diffusion models with synthetic data (Alemohammad, Humayun, Agarwal, Collomosse and Baraniuk 2024),
        arXiv:2408.16333.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from ..families import kind_of
from .base import Generator, Model, RunContext
from .ddpm import Ddpm, DdpmModel
from .self_training import AnyBase, SelfTraining

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GuidedModel", "SelfGuided"]

BASE, AUXILIARY = "base", "auxiliary"
"""Folders of the two models in a saved one, each as the base's kind saves it."""


class SelfGuided(SelfTraining):
    """A diffusion model with negative guidance by a model of its own samples (SIMS).

    Drawing an image takes twice as many evaluations of the net; a loop also pays for the own samples and the auxiliary
    training in each generation. A warm start begins from the base of the model before. diffusers' own pipeline can
    read the two saved models, but does not combine them.

    Differs from the paper: much smaller networks and sets of samples, and noise levels of discrete time.

    Attributes:
        base: the generator that is fitted: ddpm, the one kind here that draws by a score. (The flow of a cascade
            refits the closed forms of its stages to each training set, so that its two models would not share
            coordinates.)
    """

    kind: Literal["self_guided"] = "self_guided"
    base: AnyBase = Ddpm()
    weight: float = Field(default=0.5, ge=-1.0, le=10.0)
    share: float = Field(default=0.2, gt=0.0, le=1.0)

    @field_validator("base", mode="after")
    @classmethod
    def _draws_by_a_score(cls, base: Generator) -> Generator:
        if isinstance(base, Ddpm) and base.training_length:
            return base
        raise ValueError(
            "expected a trained generator that draws by a score, ddpm, got "
            f"{kind_of(base)}{'' if base.training_length else ' without training (images_seen = 0)'}"
        )

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        return f"{self.base.label}, self-guided x {self.weight:g}"

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> GuidedModel:
        """Fit the base to uint8 [N,C,H,W], and the auxiliary model to the base's own samples.

        Raises:
            ValueError: see the base.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        begin = start.base if isinstance(start, GuidedModel) else start
        found = self.self_train(images, seed, context, begin)
        return GuidedModel(found.base, replace(found.base, net=found.tuned), self.weight)

    def load(self, folder: Path, context: RunContext) -> GuidedModel:
        """Read back what :meth:`GuidedModel.save` wrote."""
        base, auxiliary = (self.base.load(folder / name, context) for name in (BASE, AUXILIARY))
        assert isinstance(base, DdpmModel) and isinstance(auxiliary, DdpmModel)
        return GuidedModel(base, auxiliary, self.weight)


@dataclass(frozen=True, eq=False)
class GuidedModel:
    """A diffusion model and the auxiliary model that it is steered away from.

    Attributes:
        base: fitted to the images.
        auxiliary: trained on the base's samples.
        weight: w.
        reconstructs: False; a diffusion model has no code.
    """

    base: DdpmModel
    auxiliary: DdpmModel
    weight: float
    reconstructs: bool = False

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]; all noise of an image depends on its seed only."""
        return self._combined().sample(seeds)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Raise ValueError: a diffusion model has no code to copy an image through (``reconstructs`` is False)."""
        return self.base.reconstruct(images)

    def save(self, folder: Path) -> None:
        """Write the two models, ``base/`` and ``auxiliary/``, each as a ``DdpmModel`` is saved."""
        self.base.save(folder / BASE)
        self.auxiliary.save(folder / AUXILIARY)

    def _combined(self) -> DdpmModel:
        if self.weight == 0:
            return self.base
        net: Any = _CombinedNet(self.base.net, self.auxiliary.net, self.weight)
        return replace(self.base, net=net)

    def _draw(self, seeds: np.ndarray) -> Tensor:
        return self._combined()._draw(seeds)


class _CombinedNet:
    """Two nets that are called as one: (1 + w) of the first minus w of the second."""

    def __init__(self, first: Any, second: Any, weight: float) -> None:
        self.first, self.second, self.weight, self.config = first, second, weight, first.config

    def __call__(self, noisy: Tensor, time: Tensor) -> SimpleNamespace:
        ahead, away = self.first(noisy, time).sample, self.second(noisy, time).sample
        return SimpleNamespace(sample=ahead + self.weight * (ahead - away))
