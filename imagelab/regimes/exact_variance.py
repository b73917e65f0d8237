"""What a Gaussian keeps under any regime: the second moments of all images that exist, followed exactly.

The truth is N(0, 1), one value an image; model t is (m, s^2), mean and variance by maximum likelihood of its pool, and
its images are m + s z. A pool is linear in images, so all that is needed is the mean product of any two images. Images
of one block (a shard, or a stretch of the real set) are alike, so it is enough to carry, for blocks b and c,

    Q_b = E x^2 of one image        A_bc = E (mean of b)(mean of c)

A part of the pool is a vector u of block shares; a whole part has mean square u'Au, one of k images drawn at random
from K has Q/k + (1 - 1/k) P with P = (K u'Au - Q)/(K - 1), the mean product of two different images. With parts of
weight w, u = sum w u_p,

    E m^2 = u'Au + sum w_p^2 (mean square of part p - u_p'A u_p)        E s^2 = u'Q - E m^2

and the new shard of n images has Q = u'Q, A_new,b = (Au)_b, A_new,new = E m^2 + E s^2 / n. Nothing is approximated, and
nothing grows with n, so that it can be asked for before anything runs. It is the mean over the draw of the pools, where
theory.pool_moments takes pools as drawn; the tests hold it against every closed form of theory and against real refits.

Where each generated image of a pool stands for k fresh ones of its model (a stream), the law is that of units: a unit
is the mean of those k images, with mean square E m^2 + E s^2 / k, which takes the place of Q in the mean products.
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
    """Return E s_t^2 of line 0's last model, the truth's variance being 1.

    Args:
        pools: for each generation from 1 on, for each line, the parts of the pool.
        n: images a shard, the real set's included.
        fresh_draws: k, fresh images for each generated one in a pool.
    """
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
    """Blocks of images with their sizes, Q, the mean square of a unit, and A."""

    def __init__(self, real: dict[Block, int], n: int, fresh_draws: int):
        self.size: dict[Block, int] = {}
        self.n, self.fresh_draws = n, fresh_draws
        self.second, self.unit = np.zeros(0), np.zeros(0)
        self.product = np.zeros((0, 0))
        for block, size in real.items():
            self.add_real(block, size)

    def add_real(self, block: Block, size: int) -> None:
        """Add independent images of the truth; nothing where the block is there already or empty."""
        if size > 0 and block not in self.size:
            self._add(block, size, np.zeros(len(self.size)), 1.0 / size, 1.0, 1.0)

    def mixture(self, parts: Sequence[Part]) -> np.ndarray:
        """Return u: the share of each block in the pool."""
        total = sum(part.size(self.n) * part.copies for part in parts)
        weights = [part.size(self.n) * part.copies / total for part in parts]
        shares = [weight * self._shares(part) for weight, part in zip(weights, parts, strict=True)]
        return sum(shares, np.zeros(len(self.size)))

    def fit(self, parts: Sequence[Part]) -> tuple[float, float]:
        """Return (E m^2, E s^2) of the Gaussian fitted to the pool."""
        mixed, total = self.mixture(parts), sum(part.size(self.n) * part.copies for part in parts)
        mean_square = float(mixed @ self.product @ mixed)
        for part in parts:
            held, count = sum(size for _, size in self._blocks(part)), part.size(self.n)
            if part.start is None and 0 < count < held:  # a random draw: its mean varies more than the whole's
                shares, weight = self._shares(part), count * part.copies / total
                bag, unit = float(shares @ self.product @ shares), float(shares @ self.unit)
                pair = (held * bag - unit) / (held - 1)
                mean_square += weight**2 * (unit / count + (1 - 1 / count) * pair - bag)
        return mean_square, float(mixed @ self.second) - mean_square

    def add_shards(self, generation: int, means: list[np.ndarray], fitted: list[tuple[float, float]]) -> None:
        """Add what each line made: n images of its model."""
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
        found = []
        for index, ((generation, line, row), size) in enumerate(self.size.items()):
            inside = part.start is None or part.start <= row < _end(part, self.n)
            if (generation, line) in part.shards and inside:
                found.append((index, size))
        return found

    def _shares(self, part: Part) -> np.ndarray:
        shares, blocks = np.zeros(len(self.size)), self._blocks(part)
        for index, size in blocks:
            shares[index] = size
        return shares / max(1, sum(size for _, size in blocks))
