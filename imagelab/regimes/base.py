"""What a regime is: a frozen recipe that says of which parts the next training set is made.

A regime states only :meth:`Regime.parts`, such as "25 % of the real set, and as many again of the last shard". From
these follow, for every regime alike, the pool itself, the real images it needs in reserve, and what theory says of it
(law.py). It reads the ledger of all that exists, never a pixel. The same archive and the same random stream always give
the same pool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..measurement import Measurement
from ..pool import REAL, RESERVE, Archive, Pool
from .law import Ingredient, kept_variance

__all__ = ["REAL_SET", "Fraction", "Part", "Regime", "fresh", "last_shard"]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


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


class Regime(BaseModel, ABC):
    """Common ground of all regimes: frozen settings, no unknown key; a pool, a reserve and a law out of the parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def parts(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return what the training set of this generation is made of.

        Args:
            generation: the one to be trained, from 1 on. line: the model of that generation.
            n: images a generation. lines: models a generation.
        """

    @abstractmethod
    def named(self, generation: int) -> tuple[str, str]:
        """Return what is in force at this generation in a few words, and the source that describes it."""

    def __call__(self, archive: Archive, line: int, n: int, rng: np.random.Generator) -> Pool:
        """Return the training set of the generation after the archive's last.

        Raises:
            ValueError: when the archive, or its reserve of new real images, holds too few.
        """
        parts = self.parts(archive.generation + 1, line, n, archive.lines)
        try:
            return Pool.concat(*(part.pool(archive, rng) for part in parts))
        except ValueError as error:
            raise ValueError(f"{self.named(archive.generation + 1)[0]}: {error}") from error

    def reserve(self, n: int, generations: int, lines: int = 1) -> int:
        """Return how many new real images the whole run will draw; 0 for a regime that never sees any."""
        parts = [part for t in range(1, generations + 1) for part in self.parts(t, 0, n, lines) if part.new]
        return max(((part.start or 0) + (part.count or 0) for part in parts), default=0)

    def predictions(self, generation: int, n: int, lines: int = 1, stream: int = 1) -> list[Measurement]:
        """Return what theory says of this regime at this generation for n images a generation.

        The variance that a Gaussian keeps when it is refitted to such pools by maximum likelihood, over that of the
        truth: exact (law.py). Of several lines it is told of the first, all being Gaussians. ``stream``: how many fresh
        images of its model each generated image of a pool stands for.
        """
        pools = [
            [[self._ingredient(part, n) for part in self.parts(t, line, n, lines)] for line in range(lines)]
            for t in range(1, generation + 1)
        ]
        words, cite = self.named(generation)
        estimator = f"closed form, Gaussian model refitted by maximum likelihood, {words}"
        value = kept_variance(pools, n, stream)
        estimator += f", {stream} fresh images drawn for each" if stream > 1 else ""
        return [Measurement("pixel_variance", value, "ratio", predicted=True, estimator=estimator, cite=cite)]

    def _ingredient(self, part: Part, n: int) -> Ingredient:
        count = n * len(part.shards) if part.count is None else part.count
        return Ingredient(frozenset(part.shards), count, part.start, part.copies, part.new)
