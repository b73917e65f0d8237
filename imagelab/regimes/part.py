"""What a training set is made of: a :class:`Part` is images of some shards, counted, in order or drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..pool import REAL, RESERVE, Archive, Pool

__all__ = ["REAL_SET", "Part", "fresh", "last_shard"]


@dataclass(frozen=True)
class Part:
    """One ingredient of a training set: images of some shards.

    Attributes:
        shards: the (generation, line) pairs it is taken from.
        count: how many images; None for all there are.
        start: the first row, for images taken in order; None for images drawn at random without replacement.
        copies: how often each image stands in the pool.
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
        """Whether it is made of real images that no model has seen."""
        return self.shards == ((0, RESERVE),)

    def pool(self, archive: Archive, rng: np.random.Generator) -> Pool:
        """Return the images this part stands for.

        Raises:
            ValueError: if the archive holds too few.
        """
        held = Pool.concat(*(archive.shard(*shard) for shard in self.shards))
        if self.count is None:
            chosen = held
        elif (self.start or 0) + self.count > len(held):
            raise ValueError(self._too_few(archive.generation + 1, len(held)))
        elif self.start is None:
            chosen = held.pick(self.count, rng)
        else:
            chosen = held.take(np.arange(self.start, self.start + self.count))
        return Pool.concat(*[chosen] * self.copies)

    def _too_few(self, generation: int, held: int) -> str:
        if self.new:
            return (
                f"the reserve of new real images ran out at generation {generation}: {self.count} are needed from row "
                f"{self.start} on, {held} are all there are. Use fewer generations, a smaller real share or a larger "
                "dataset."
            )
        return (
            f"generation {generation}: {self.count} images are needed of shards {list(self.shards)}, {held} are there. "
            "Lower `images` or use a larger dataset."
        )


REAL_SET = Part(((0, REAL),))
"""The whole real set, generation 0."""


def last_shard(generation: int, line: int) -> tuple[int, int]:
    """Return the address of what the line made last before this generation: the real set at generation 1."""
    return (generation - 1, line) if generation > 1 else (0, REAL)


def fresh(count: int, start: int, copies: int = 1) -> Part:
    """Return so many real images that no model has seen, from this row of the reserve on."""
    return Part(((0, RESERVE),), count, start, copies)
