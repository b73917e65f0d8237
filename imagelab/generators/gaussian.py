"""The closed-form generator: a Gaussian fitted to pixels, with full covariance or as probabilistic PCA.

x = mu + V (L - s^2)^(1/2) w + s e, with the leading eigenvalues L and eigenvectors V of the sample covariance and the
mean s^2 of the eigenvalues left out. With every component kept, s^2 = 0 and x has exactly the sample covariance.
It is the reference of all generators: its collapse under self-training is known in closed form (``imagelab.theory``),
mode by mode, and a trained generator should be better than this one. Its images are rounded to 8 bit and clipped, as
all images here. So the closed form does not hold for a mode far weaker than the rounding error (1/255)^2 / 12 a pixel,
nor for one that is clipped at black or white.

References:
    Probabilistic principal component analysis (Tipping and Bishop 1999), doi:10.1111/1467-9868.00196.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ..images import check_images
from ..io.atomic import write_atomic
from ..seeds import normal
from .base import Generator, Model, RunContext, noise_label
from .principal_components import components_of_images

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Gaussian", "GaussianModel"]


class Gaussian(Generator):
    """A Gaussian over pixels, fitted in closed form.

    Attributes:
        components: principal components kept; None for all (the full sample covariance). At most N - 1 exist: a larger
            number is lowered to that, and the number used is written into the saved config.
        noise: add the isotropic residual s^2 when sampling. Without it the images are decoder means, and every mode
            loses s^2 a generation, as in a linear VAE.
        unbiased: divide the covariance by N - 1 (the mean variance is constant under replace) and not by N (maximum
            likelihood, the variance falls by the factor 1 - 1/N a generation).
        noise_scale: standard deviation of w and e in sampling. Below 1 it is a sampling bias: more typical images, less
            variety (Alemohammad et al. 2023, arXiv:2307.01850); the variance is multiplied by noise_scale^2 a
            generation.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), np.uint8)
        >>> model = Gaussian(components=4).fit(images, seed=0, context=RunContext())
        >>> model.sample(np.arange(5, dtype=np.uint64)).shape
        (5, 3, 8, 8)
    """

    kind: Literal["gaussian"] = "gaussian"
    components: int | None = Field(default=None, ge=1)
    noise: bool = True
    unbiased: bool = False
    noise_scale: float = Field(default=1.0, ge=0.0)

    @property
    def training_length(self) -> int:
        """0: a closed form."""
        return 0

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        name = "Gaussian" if self.components is None else f"PPCA, k = {self.components}"
        return name + noise_label(self.noise_scale)

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> GaussianModel:
        """Return the fitted Gaussian; the result is deterministic.

        Args:
            images: uint8 [N,C,H,W], N >= 2; many are read in blocks (principal_components.py).
            seed: ignored; a closed form needs no random numbers.
            context: device and batch.
            start: ignored; a closed form has no initial weights.

        Raises:
            ValueError: for fewer than two images.
        """
        check_images(images)
        if len(images) < 2:
            raise ValueError(f"Gaussian: expected at least 2 images, got {len(images)}; a covariance needs two or more")
        mean, variances, directions, total = components_of_images(
            images, self.components, self.unbiased, context.device
        )
        left_out = len(mean) - len(variances)
        residual = max(0.0, (total - float(variances.sum())) / left_out) if left_out else 0.0
        if self.components is None or len(variances) == len(images) - 1:
            residual = 0.0  # all variance is in the components; the difference above is only rounding
        tensors = {"mean": mean.float(), "directions": directions.float(), "variances": variances.float()}
        return GaussianModel(tensors, residual, (images.shape[1], images.shape[2], images.shape[3]), self, context)

    def load(self, folder: Path, context: RunContext) -> GaussianModel:
        """Read back what :meth:`GaussianModel.save` wrote.

        Raises:
            ValueError: naming the file and what to do, for one that is damaged or holds other tensors.
        """
        from .saved_nets import read_gaussian

        tensors, residual, shape = read_gaussian(folder)
        tensors = {name: tensor.to(context.device) for name, tensor in tensors.items()}
        return GaussianModel(tensors, residual, shape, self, context)


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A fitted Gaussian.

    Attributes:
        tensors: "mean" [D], "directions" [k,D] orthonormal rows, "variances" [k], float32, in signed units.
        residual: s^2, the variance of each direction left out.
        shape: (C, H, W).
        recipe: the settings.
        context: device and batch.
        reconstructs: True; an image has a code.
    """

    tensors: dict[str, Tensor]
    residual: float
    shape: tuple[int, int, int]
    recipe: Gaussian
    context: RunContext
    reconstructs: bool = True

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]."""
        from .sampling import publish

        return publish(self._draw, seeds, self.context, self.shape[1] * self.shape[2])

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return mu + V (L - s^2) / L V^T (x - mu), the posterior mean of each image: uint8 [N,C,H,W] -> the same form.

        Raises:
            ValueError: if the images have another shape than those it was fitted to.
        """
        from .sampling import publish

        if images.shape[1:] != self.shape:
            raise ValueError(f"Gaussian: expected images of shape {self.shape} as in the fit, got {images.shape[1:]}")
        return publish(self._copy, images, self.context, self.shape[1] * self.shape[2])

    def _scales(self) -> Tensor:
        return (self.tensors["variances"] - self.residual).clamp(min=0.0).sqrt()

    def _draw(self, seeds: np.ndarray) -> Tensor:
        import torch

        mean, directions = self.tensors["mean"], self.tensors["directions"]
        scale = self.recipe.noise_scale
        weights = scale * torch.from_numpy(normal(seeds, (len(directions),))).to(mean.device)
        values = mean + (weights * self._scales()) @ directions
        if self.recipe.noise and self.residual > 0:
            # white noise in every direction: a kept mode then has (L - s^2) + s^2 = L, one left out has s^2
            values += scale * self.residual**0.5 * torch.from_numpy(normal(seeds, (len(mean),), draw=1)).to(mean.device)
        return values.reshape(-1, *self.shape)

    def _copy(self, images: np.ndarray) -> Tensor:
        import torch

        from ..images import to_signed

        mean, directions, variances = (self.tensors[name] for name in ("mean", "directions", "variances"))
        centred = to_signed(torch.from_numpy(images).to(mean.device)).flatten(1) - mean
        kept = self._scales().square() / variances.clamp(min=1e-12)
        return (mean + (centred @ directions.T * kept) @ directions).reshape(-1, *self.shape)

    def save(self, folder: Path) -> None:
        """Write config.json (settings, the number of components used, s^2) and model.safetensors."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: value.cpu().contiguous() for key, value in self.tensors.items()}, str(folder / "model.safetensors")
        )
        settings = {
            **self.recipe.model_dump(),
            "components_in_force": len(self.tensors["variances"]),
            "residual": self.residual,
            "shape": self.shape,
        }
        write_atomic(folder / "config.json", json.dumps(settings, indent=2))
