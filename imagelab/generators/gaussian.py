"""The closed-form generator: a Gaussian fitted to pixels, whole or by probabilistic principal components.

x = mu + V (L - s^2)^(1/2) w + s e, with the leading eigenvalues L and eigenvectors V of the sample covariance and the
mean s^2 of the eigenvalues left out. With every component kept, s^2 = 0 and x has exactly the sample covariance.
It is the yardstick of this room: its collapse under self-training is known in closed form (``imagelab.theory``), mode
by mode, and a learned generator earns its name when it beats this one. What it publishes is rounded to 8 bit and
saturates like all images here: a mode far weaker than the rounding error (1/255)^2 / 12 a pixel, or one that runs
into black or white, leaves the law.

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

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Gaussian", "GaussianModel"]


class Gaussian(Generator):
    """A Gaussian over pixels, fitted in closed form.

    Attributes:
        components: principal components kept; None for all (the full sample covariance). Never more than N - 1 exist:
            a larger number is lowered to that, and the number in force is written into the saved config.
        noise: add the isotropic residual s^2 when sampling. Without it the images are decoder means, and every mode
            loses s^2 a generation: the erosion law of a linear VAE.
        unbiased: divide the covariance by N - 1 (variance keeps its mean under replace) and not by N (maximum
            likelihood, variance falls by 1 - 1/N a generation).
        noise_scale: standard deviation of w and e in sampling. Below 1 it is a sampling bias, which buys likely
            pictures with variety (Alemohammad et al. 2023, arXiv:2307.01850): variance times noise_scale^2 a
            generation.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), np.uint8)
        >>> model = Gaussian(components=4).fit(images, seed=0, bench=Bench())
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
        """Return the fitted Gaussian; the seed is not used, there is no chance in a closed form.

        Args:
            images: uint8 [N,C,H,W], N >= 2.
            seed: ignored. bench: device and batch.
            start: ignored; a closed form is the same wherever it begins.

        Raises:
            ValueError: for fewer than two images.
        """
        import torch

        check_images(images)
        if len(images) < 2:
            raise ValueError(f"Gaussian: a covariance needs at least 2 images, got {len(images)}")
        pixels = torch.from_numpy(images.reshape(len(images), -1)).to(context.device)
        mean, variances, directions, total = principal_components(
            pixels.double() / 127.5 - 1.0, self.components, self.unbiased
        )
        left_out = pixels.shape[1] - len(variances)
        residual = max(0.0, (total - float(variances.sum())) / left_out) if left_out else 0.0
        if self.components is None or len(variances) == len(images) - 1:
            residual = 0.0  # nothing but rounding is left
        tensors = {"mean": mean.float(), "directions": directions.float(), "variances": variances.float()}
        return GaussianModel(tensors, residual, (images.shape[1], images.shape[2], images.shape[3]), self, context)

    def load(self, folder: Path, context: RunContext) -> GaussianModel:
        """Read back what :meth:`GaussianModel.save` wrote."""
        from safetensors.torch import load_file

        settings = json.loads((folder / "config.json").read_text())
        channels, height, width = settings["shape"]
        tensors = load_file(str(folder / "model.safetensors"), device=context.device)
        return GaussianModel(tensors, settings["residual"], (channels, height, width), self, context)


def principal_components(values: Tensor, count: int | None, unbiased: bool) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return mean [D], variances [k] falling, directions [k,D] and the total variance, in the units of the values.

    Works in the smaller of the two spaces: the covariance D x D, or the Gram matrix N x N when there are fewer images
    than values. float64 throughout.

    Args:
        values: [N,D]. count: components wanted, None for all; at most min(N - 1, D) are returned.
        unbiased: divide by N - 1 instead of N.
    """
    import torch

    values = values.double()
    mean = values.mean(0)
    centred = values - mean
    images, dimensions = centred.shape
    divisor = images - 1 if unbiased else images
    rank = min(images - 1, dimensions)
    kept = rank if count is None else min(count, rank)
    total = float(centred.square().sum()) / divisor
    if dimensions <= images:
        variances, vectors = torch.linalg.eigh(centred.T @ centred / divisor)
        directions = vectors.flip(1)[:, :kept].T
    else:
        variances, vectors = torch.linalg.eigh(centred @ centred.T / divisor)
        directions = vectors.flip(1)[:, :kept].T @ centred
        directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return mean, variances.flip(0)[:kept].clamp(min=0.0), directions, total


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A fitted Gaussian.

    Attributes:
        tensors: "mean" [D], "directions" [k,D] orthonormal rows, "variances" [k], float32, in signed units.
        residual: s^2, the variance of each direction left out.
        shape: (C, H, W). recipe: the settings. bench: device and batch.
    """

    tensors: dict[str, Tensor]
    residual: float
    shape: tuple[int, int, int]
    recipe: Gaussian
    context: RunContext
    reconstructs: bool = True

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]."""
        from .sampling import publish_in_batches

        return publish_in_batches(self._draw, seeds, self.context.batch)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return mu + V (L - s^2) / L V^T (x - mu), the posterior mean of each image: uint8 [N,C,H,W] -> the same."""
        from .sampling import publish_in_batches

        if images.shape[1:] != self.shape:
            raise ValueError(f"Gaussian: fitted to images {self.shape}, got {images.shape[1:]}")
        return publish_in_batches(self._copy, images, self.context.batch)

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
        """Write config.json (settings, the number of components in force, s^2) and model.safetensors."""
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
