"""The expected variance of a Gaussian under any regime, computed exactly from second moments of all images.

The truth is N(0, 1), one value an image. Model t is (m, s^2), mean and variance by maximum likelihood of its pool, and
its images are m + s z. The mean of a pool is linear in its images, so the mean products of any two images are
sufficient. Images of one block (a shard, or a range of rows of the real set) have the same moments. So it is enough to
store, for blocks b and c,

    Q_b = E x^2 of one image        A_bc = E (mean of b)(mean of c).                                        (1)

A part p of the pool is described by its block shares, a vector u_p. If it takes all images of its blocks, its mean has
mean square u_p'A u_p. If it takes k of K images at random, with Q = u_p'Q, the mean square is

    Q/k + (1 - 1/k) P,        P = (K u_p'A u_p - Q)/(K - 1) the mean product of two different images.       (2)

With parts of weight w_p, and u = sum w_p u_p,

    E m^2 = u'Au + sum w_p^2 (mean square of part p - u_p'A u_p)        E s^2 = u'Q - E m^2,                (3)

and the new shard of n images has

    Q_new = u'Q        A_new,b = (Au)_b        A_new,new = E m^2 + E s^2 / n.                               (4)

Nothing is approximated, and the cost does not grow with n, so the prediction is available before a run starts. It is
the expectation over the random draws of the pools; theory.pool_moments is for pools that have been drawn. The tests
compare it with every closed form of theory and with real refits.

If each generated image of a pool stands for k fresh images of its model (``fresh_draws``), the same equations hold for
units: a unit is the mean of those k images. Its mean square E m^2 + E s^2 / k replaces Q in Eq. 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..pool import REAL, RESERVE
from .part import Part

__all__ = ["kept_variance"]

Block = tuple[int, int, int]  # generation, line, first row


def kept_variance(pools: Sequence[Sequence[Sequence[Part]]], n: int, fresh_draws: int = 1) -> float:
    """Return E s_t^2 of the last model of line 0; the variance of the truth is 1.

    Args:
        pools: for each generation from 1 on, for each line, the parts of the pool.
        n: images in a shard, and in the real set.
        fresh_draws: k, fresh images for each generated one in a pool.
    """
    # cut the real set at the ends of all fixed parts, so that every such part is a whole number of blocks
    cuts = sorted({0, n} | {_end(part, n) for pool in pools for line in pool for part in line if _fixed(part)})
    world = _World({(0, REAL, low): high - low for low, high in pairwise(cuts)}, n, fresh_draws)
    variance = 1.0
    for generation, lines in enumerate(pools, 1):
        for part in (part for line in lines for part in line if part.new):
            world.add_real((0, RESERVE, part.start or 0), part.size(n))
        means = [world.mixture(parts) for parts in lines]
        fitted = [world.fit(parts) for parts in lines]
        variance = fitted[0][1]
        world.add_shards(generation, means, fitted)
    return variance


def _fixed(part: Part) -> bool:
    return part.start is not None and not part.new


def _end(part: Part, n: int) -> int:
    return (part.start or 0) + part.size(n)


class _World:
    """The blocks of images that exist: their sizes, Q and A of Eq. 1, and the mean square of a unit."""

    def __init__(self, real: dict[Block, int], n: int, fresh_draws: int):
        self.size: dict[Block, int] = {}
        self.n, self.fresh_draws = n, fresh_draws
        self.second, self.unit = np.zeros(0), np.zeros(0)
        self.product = np.zeros((0, 0))
        for block, size in real.items():
            self.add_real(block, size)

    def add_real(self, block: Block, size: int) -> None:
        """Add a block of independent images of the truth, unless it is empty or already present."""
        if size > 0 and block not in self.size:
            self._add(block, size, np.zeros(len(self.size)), 1.0 / size, 1.0, 1.0)

    def mixture(self, parts: Sequence[Part]) -> np.ndarray:
        """Return u, the share of each block in the pool: [blocks]."""
        total = sum(part.size(self.n) * part.copies for part in parts)
        weights = [part.size(self.n) * part.copies / total for part in parts]
        shares = [weight * self._shares(part) for weight, part in zip(weights, parts, strict=True)]
        return sum(shares, np.zeros(len(self.size)))

    def fit(self, parts: Sequence[Part]) -> tuple[float, float]:
        """Return (E m^2, E s^2) of the Gaussian fitted to the pool, Eq. 3."""
        mixed, total = self.mixture(parts), sum(part.size(self.n) * part.copies for part in parts)
        mean_square = float(mixed @ self.product @ mixed)
        for part in parts:
            available, count = sum(size for _, size in self._blocks(part)), part.size(self.n)
            if part.start is None and 0 < count < available:  # the mean of a random draw varies more: Eq. 2
                shares, weight = self._shares(part), count * part.copies / total
                whole, unit = float(shares @ self.product @ shares), float(shares @ self.unit)
                pair = (available * whole - unit) / (available - 1)
                mean_square += weight**2 * (unit / count + (1 - 1 / count) * pair - whole)
        return mean_square, float(mixed @ self.second) - mean_square

    def add_shards(self, generation: int, means: list[np.ndarray], fitted: list[tuple[float, float]]) -> None:
        """Add the new shard of each line, n images of its model, Eq. 4.

        Args:
            generation: the generation of the shards.
            means: u of each line's pool.
            fitted: (E m^2, E s^2) of each line's model.
        """
        between = np.array([[first @ self.product @ second for second in means] for first in means])
        rows = [self.product @ mean for mean in means]
        seconds = [float(mean @ self.second) for mean in means]
        for line, (mean_square, variance) in enumerate(fitted):
            row = np.concatenate([rows[line], between[line, :line]])
            unit = mean_square + variance / self.fresh_draws
            own = mean_square + variance / (self.n * self.fresh_draws)
            self._add((generation, line, 0), self.n, row, own, seconds[line], unit)

    def _add(self, block: Block, size: int, row: np.ndarray, own: float, second: float, unit: float) -> None:
        self.size[block] = size
        self.second, self.unit = np.append(self.second, second), np.append(self.unit, unit)
        self.product = np.block([[self.product, row[:, None]], [row[None, :], np.array([[own]])]])

    def _blocks(self, part: Part) -> list[tuple[int, int]]:
        """Return (index, size) of the blocks that the part is taken from."""
        blocks = []
        for index, ((generation, line, row), size) in enumerate(self.size.items()):
            inside = part.start is None or part.start <= row < _end(part, self.n)
            if (generation, line) in part.shards and inside:
                blocks.append((index, size))
        return blocks

    def _shares(self, part: Part) -> np.ndarray:
        shares, blocks = np.zeros(len(self.size)), self._blocks(part)
        for index, size in blocks:
            shares[index] = size
        return shares / max(1, sum(size for _, size in blocks))
