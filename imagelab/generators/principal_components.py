"""Principal components of images, in closed form: of a whole matrix, or block by block of any number of images.

Up to ``WHOLE_ROWS`` images of ``WHOLE`` values together, the matrix is held in memory and decomposed as it is. More are
read in blocks, several times, and only sums over all images are held: the mean [D], and products of the covariance with
a few directions [D,m], or the covariance [D,D] where all components are asked for. The two ways differ by rounding
alone (1e-12 of the largest variance; see the test): both are in float64, but sums are taken in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..io.large_arrays import blocks_of
from ..seeds import rng_at

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["components_of_images", "principal_components"]

SMALL = 1024  # matrices up to this side are decomposed whole, as in every experiment that comes with imagelab
SHARE = 24  # so many times more rows than components are needed for the leading ones alone to be cheaper
EXTRA = 8  # columns of a block beyond the number of components
CONVERGED = 1e-13  # largest residual, as a share of the largest eigenvalue

WHOLE = 1 << 27
"""Values of a training set, N D, up to which it is decomposed in memory: 1 GiB in float64."""

WHOLE_ROWS = 16_384
"""Images up to which a training set is decomposed in memory."""

BLOCK = 1 << 20
"""Values that are float64 at a time where a set is read in blocks: 8 MiB."""

Components = tuple["Tensor", "Tensor", "Tensor", float]


def components_of_images(images: np.ndarray, count: int | None, unbiased: bool, device: str) -> Components:
    """Return the principal components of images, in float64 and in signed units (-1..1).

    Args:
        images: uint8 [N,C,H,W], N >= 2, in memory or mapped from a file.
        count: see :func:`principal_components`.
        unbiased: likewise.
        device: torch device to compute on.

    Returns:
        See :func:`principal_components`.
    """
    import torch

    if len(images) > WHOLE_ROWS or images.size > WHOLE:
        mean, variances, directions, total = _in_blocks(_Blocks(images, device), count, unbiased)
        return mean / 127.5 - 1.0, variances / 127.5**2, directions, total / 127.5**2
    values = torch.from_numpy(np.array(images).reshape(len(images), -1)).to(device).double().div_(127.5).sub_(1.0)
    mean = values.mean(0)
    return _of_centred(values.sub_(mean), mean, count, unbiased)


def principal_components(values: Tensor, count: int | None, unbiased: bool) -> Components:
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
    values = values.double()
    mean = values.mean(0)
    return _of_centred(values - mean, mean, count, unbiased)


def _of_centred(centred: Tensor, mean: Tensor, count: int | None, unbiased: bool) -> Components:
    """Return :func:`principal_components` of values whose mean was subtracted."""
    import torch

    images, dimensions = centred.shape
    divisor = images - 1 if unbiased else images
    rank = min(images - 1, dimensions)
    kept = rank if count is None else min(count, rank)
    total = float(centred.square().sum()) / divisor
    rows = centred if images <= dimensions else centred.T
    found = _leading(lambda new: rows @ (rows.T @ new), len(rows), kept, centred)
    if found is not None:
        values, vectors = found
        directions = vectors.T if rows is not centred else vectors.T @ rows
        return mean, values / divisor, _signed(directions), total
    # the covariance X^T X (D x D) and the Gram matrix X X^T (N x N) have the same eigenvalues: solve the smaller one
    if dimensions <= images:
        variances, vectors = torch.linalg.eigh(centred.T @ centred / divisor)
        directions = vectors.flip(1)[:, :kept].T
    else:
        variances, vectors = torch.linalg.eigh(centred @ centred.T / divisor)
        directions = vectors.flip(1)[:, :kept].T @ centred
        directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return mean, variances.flip(0)[:kept].clamp(min=0.0), directions, total


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Images that are read block by block as float64 [B,D] in grey levels 0..255, which takes no scaling each time."""

    images: np.ndarray
    device: str

    @property
    def dimensions(self) -> int:
        return self.images[0].size

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        for _, block in blocks_of(self.images, max(1, BLOCK // self.dimensions)):
            pixels = torch.from_numpy(np.array(block).reshape(len(block), -1)).to(self.device)
            yield pixels.double()

    def centred(self, mean: Tensor) -> Iterator[Tensor]:
        for block in self:
            yield block.sub_(mean)


def _in_blocks(blocks: _Blocks, count: int | None, unbiased: bool) -> Components:
    """Return the components of images that are read several times, block by block; in grey levels."""
    import torch

    images, dimensions = len(blocks.images), blocks.dimensions
    mean = torch.zeros(dimensions, dtype=torch.float64, device=blocks.device)
    for block in blocks:
        mean += block.sum(0)
    mean /= images
    divisor = images - 1 if unbiased else images
    rank = min(images - 1, dimensions)
    kept = rank if count is None else min(count, rank)
    total = sum(float(block.square().sum()) for block in blocks.centred(mean)) / divisor

    def product(new: Tensor) -> Tensor:
        found = torch.zeros_like(new)
        for block in blocks.centred(mean):
            found.addmm_(block.T, block @ new)
        return found

    found = _leading(product, dimensions, kept, mean)
    if found is not None:
        return mean, found[0] / divisor, _signed(found[1].T), total
    if dimensions <= images:
        covariance = mean.new_zeros(dimensions, dimensions)
        for block in blocks.centred(mean):
            covariance.addmm_(block.T, block)
        variances, vectors = torch.linalg.eigh(covariance.div_(divisor))
        return mean, variances.flip(0)[:kept].clamp(min=0.0), vectors.flip(1)[:, :kept].T, total
    gram = torch.cat([torch.cat([one @ other.T for other in blocks.centred(mean)], 1) for one in blocks.centred(mean)])
    variances, vectors = torch.linalg.eigh(gram.div_(divisor))
    weights, directions, first = vectors.flip(1)[:, :kept].T, mean.new_zeros(kept, dimensions), 0
    for block in blocks.centred(mean):
        directions.addmm_(weights[:, first : first + len(block)], block)
        first += len(block)
    directions /= directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return mean, variances.flip(0)[:kept].clamp(min=0.0), directions, total


def _signed(directions: Tensor) -> Tensor:
    """Return the directions [k,D] with length 1, and with such a sign that the largest value of each is positive."""
    directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign()


def _leading(product: Callable[[Tensor], Tensor], side: int, count: int, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the leading eigenvalues [count], and eigenvectors [side,count], of a matrix S that is known by products.

    A block Lanczos method. The block is larger than the number of components, so that equal variances are all found.
    All blocks are kept and made orthogonal twice. The method ends when no residual exceeds 1e-13 of the largest value.

    Args:
        product: [side,m] -> S times it, [side,m]; S is symmetric without negative eigenvalues.
        side: of S.
        count: how many.
        like: a float64 tensor on the device to compute on.

    Returns:
        None where the whole decomposition is cheaper, or where half of its size was reached.

    References:
        The block Lanczos method for computing eigenvalues (Golub, Underwood 1977),
        doi:10.1016/B978-0-12-587260-7.50018-2.
        Randomized block Krylov methods (Musco, Musco 2015), arXiv:1504.05477.
    """
    import torch

    block = count + EXTRA
    if side <= SMALL or SHARE * count > side:
        return None
    start = torch.from_numpy(rng_at(0, "gaussian/leading").standard_normal((side, block))).to(like.device)
    new = torch.linalg.qr(product(start))[0]
    basis, projected = new[:, :0], new.new_zeros((0, 0))
    while basis.shape[1] + block <= side // 2:
        basis = torch.cat([basis, new], 1)
        image = product(new)
        column = basis.T @ image
        projected = torch.cat([torch.cat([projected, column[:-block]], 1), column.T])
        for _ in range(2):
            image = image - basis @ (basis.T @ image)
        values, vectors = torch.linalg.eigh((projected + projected.T) / 2)
        new, rest = torch.linalg.qr(image)
        new = torch.linalg.qr(new - basis @ (basis.T @ new))[0]  # where nothing was left, QR returns any directions
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
        if float((rest @ vectors[-block:]).norm(dim=0).max()) <= CONVERGED * float(values[0]):
            return values.clamp(min=0.0), basis @ vectors
    return None
