"""Parts of a training set: a :class:`Part` is a number of images of some shards, in order or drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..pool import REAL, RESERVE, Archive, Pool

__all__ = ["REAL_SET", "Part", "fresh", "last_shard"]


@dataclass(frozen=True)
class Part:
    """One part of a training set: images of some shards.

    Attributes:
        shards: the (generation, line) pairs of the shards.
        count: how many images; None for all images of the shards.
        start: the first row, for images taken in order; None for images drawn at random without replacement.
        copies: how often each image occurs in the pool.
    """

    shards: tuple[tuple[int, int], ...]
    count: int | None = None
    start: int | None = None
    copies: int = 1

    def size(self, n: int) -> int:
        """Return how many images are taken from the shards, copies not counted, where every shard holds n."""
        return n * len(self.shards) if self.count is None else self.count

    @property
    def new(self) -> bool:
        """Whether the part consists of real images that no model has seen."""
        return self.shards == ((0, RESERVE),)

    def pool(self, archive: Archive, rng: np.random.Generator) -> Pool:
        """Return the pool of this part's images.

        Args:
            archive: everything that exists so far.
            rng: for a random draw.

        Raises:
            ValueError: if the archive holds too few.
        """
        available = Pool.concat(*(archive.shard(*shard) for shard in self.shards))
        if self.count is None:
            chosen = available
        elif (self.start or 0) + self.count > len(available):
            raise ValueError(self._too_few(archive.generation + 1, len(available)))
        elif self.start is None:
            chosen = available.pick(self.count, rng)
        else:
            chosen = available.take(np.arange(self.start, self.start + self.count))
        return Pool.concat(*[chosen] * self.copies)

    def _too_few(self, generation: int, available: int) -> str:
        if self.new:
            return (
                f"the reserve of new real images ran out at generation {generation}: expected {self.count} images from "
                f"row {self.start} on, got a reserve of {available}. Use fewer generations, a smaller real share or a "
                "larger dataset."
            )
        return (
            f"generation {generation}: expected {self.count} images in shards {list(self.shards)}, got {available}. "
            "Lower `images` or use a larger dataset."
        )


REAL_SET = Part(((0, REAL),))
"""The whole real set, generation 0."""


def last_shard(generation: int, line: int) -> tuple[int, int]:
    """Return the address of the line's shard of the generation before this one; at generation 1, of the real set."""
    return (generation - 1, line) if generation > 1 else (0, REAL)


def fresh(count: int, start: int, copies: int = 1) -> Part:
    """Return the part of ``count`` real images that no model has seen, from row ``start`` of the reserve on."""
    return Part(((0, RESERVE),), count, start, copies)
