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
from ..seeds import normal, rng_at
from .base import Generator, Model, RunContext, noise_label

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Gaussian", "GaussianModel"]

SMALL = 1024  # matrices up to this side are decomposed whole, as in every experiment that comes with imagelab
SHARE = 24  # so many times more rows than components are needed for the leading ones alone to be cheaper
EXTRA = 8  # columns of a block beyond the number of components
CONVERGED = 1e-13  # largest residual, as a share of the largest eigenvalue


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
            images: uint8 [N,C,H,W], N >= 2.
            seed: ignored; a closed form needs no random numbers.
            context: device and batch.
            start: ignored; a closed form has no initial weights.

        Raises:
            ValueError: for fewer than two images.
        """
        import torch

        check_images(images)
        if len(images) < 2:
            raise ValueError(f"Gaussian: expected at least 2 images, got {len(images)}; a covariance needs two or more")
        pixels = torch.from_numpy(images.reshape(len(images), -1)).to(context.device)
        mean, variances, directions, total = principal_components(
            pixels.double() / 127.5 - 1.0, self.components, self.unbiased
        )
        left_out = pixels.shape[1] - len(variances)
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


def principal_components(values: Tensor, count: int | None, unbiased: bool) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return the principal components of values, computed in float64.

    A decomposition of a whole matrix costs min(N, D)^3, so a pool that grows by as many images each generation would
    cost more and more. Where N and D are both above 1,024 and 24 times the components, only the leading ones are
    computed, at a cost of N D; they agree with the others to rounding (see the test), and the sign of each direction is
    chosen so that its largest value is positive.

    Args:
        values: [N,D].
        count: components to return, None for all; at most min(N - 1, D) are returned.
        unbiased: divide by N - 1 instead of N.

    Returns:
        Mean [D], variances [k] falling, directions [k,D] as orthonormal rows, and the total variance, in the units of
        the values.
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
    if (leading := _leading(centred, kept)) is not None:
        return mean, leading[0] / divisor, leading[1], total
    # the covariance X^T X (D x D) and the Gram matrix X X^T (N x N) have the same eigenvalues: solve the smaller one
    if dimensions <= images:
        variances, vectors = torch.linalg.eigh(centred.T @ centred / divisor)
        directions = vectors.flip(1)[:, :kept].T
    else:
        variances, vectors = torch.linalg.eigh(centred @ centred.T / divisor)
        directions = vectors.flip(1)[:, :kept].T @ centred
        directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return mean, variances.flip(0)[:kept].clamp(min=0.0), directions, total


def _leading(centred: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
    """Return the leading squared singular values [count] and the right singular vectors [count,D].

    A block Lanczos method. The block is larger than the number of components, so that equal variances are all found.
    All blocks are kept and made orthogonal twice. The method ends when no residual exceeds 1e-13 of the largest value.

    Args:
        centred: float64 [N,D].
        count: how many.

    Returns:
        None where the whole decomposition is cheaper, or where half of its size was reached.

    References:
        The block Lanczos method for computing eigenvalues (Golub, Underwood 1977),
        doi:10.1016/B978-0-12-587260-7.50018-2.
        Randomized block Krylov methods (Musco, Musco 2015), arXiv:1504.05477.
    """
    import torch

    rows = centred if len(centred) <= centred.shape[1] else centred.T
    side, block = len(rows), count + EXTRA
    if side <= SMALL or SHARE * count > side:
        return None
    start = torch.from_numpy(rng_at(0, "gaussian/leading").standard_normal((side, block))).to(rows.device)
    new = torch.linalg.qr(rows @ (rows.T @ start))[0]
    basis, projected = new[:, :0], new.new_zeros((0, 0))
    while basis.shape[1] + block <= side // 2:
        basis = torch.cat([basis, new], 1)
        image = rows @ (rows.T @ new)
        column = basis.T @ image
        projected = torch.cat([torch.cat([projected, column[:-block]], 1), column.T])
        for _ in range(2):
            image = image - basis @ (basis.T @ image)
        values, vectors = torch.linalg.eigh((projected + projected.T) / 2)
        new, rest = torch.linalg.qr(image)
        new = torch.linalg.qr(new - basis @ (basis.T @ new))[0]  # where nothing was left, QR returns any directions
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
        if float((rest @ vectors[-block:]).norm(dim=0).max()) <= CONVERGED * float(values[0]):
            found = basis @ vectors
            directions = found.T if rows is not centred else found.T @ rows
            directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
            largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
            return values.clamp(min=0.0), directions * largest.sign()
    return None


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
