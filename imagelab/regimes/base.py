"""What a regime is: a frozen recipe that gives the parts of the next training set.

A regime defines :meth:`Regime.composition`, such as "25 % of the real set, and the rest from the last shard". From it
follow, for every regime in the same way, the pool itself, the real images that are needed in reserve, and the exact law
(exact_variance.py). A regime reads the provenance of all images that exist, never a pixel. The same archive and the
same random stream always give the same pool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ..families import Recipe
from ..measurement import Measurement
from ..pool import Archive, Pool
from .exact_variance import kept_variance
from .part import Part

__all__ = [
    "Fraction",
    "Regime",
]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Regime(Recipe, ABC):
    """Base class of all regimes. One adds a ``kind``, its settings, a composition and a description.

    The pool, the number of new real images that are needed and the exact law follow from the composition.

    Class attribute:
        fed: what training under it is, for sentences such as "After 10 generations of training on its own output".
    """

    fed: ClassVar[str] = "training in a loop"

    @abstractmethod
    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return what the training set of this generation is made of.

        Args:
            generation: the one to be trained, from 1 on.
            line: the model of that generation.
            n: images in a generation.
            lines: models in a generation.
        """

    @abstractmethod
    def description(self, generation: int) -> str:
        """Return what is in force at this generation, in a few words, such as "fixed real share"."""

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it, such as ``arXiv:2307.01850``; "" if unpublished."""
        return ""

    def __call__(self, archive: Archive, line: int, n: int, rng: np.random.Generator) -> Pool:
        """Return the training set of the generation after the archive's last.

        Raises:
            ValueError: when the archive, or its reserve of new real images, holds too few.
        """
        parts = self.composition(archive.generation + 1, line, n, archive.lines)
        try:
            return Pool.concat(*(part.pool(archive, rng) for part in parts))
        except ValueError as error:
            raise ValueError(f"{self.description(archive.generation + 1)}: {error}") from error

    def reserve(self, n: int, generations: int, lines: int = 1) -> int:
        """Return how many new real images the whole run will draw; 0 for a regime that never sees any."""
        parts = [part for t in range(1, generations + 1) for part in self.composition(t, 0, n, lines) if part.new]
        return max(((part.start or 0) + (part.count or 0) for part in parts), default=0)

    def predictions(self, generation: int, n: int, lines: int = 1, fresh_draws: int = 1) -> list[Measurement]:
        """Return the exact law of this regime at one generation.

        It is the variance of a Gaussian that is refitted to such pools by maximum likelihood, divided by the variance
        of the truth (exact_variance.py). Where there are several lines, all are Gaussians, and the law is that of the
        first.

        Args:
            generation: from 1 on.
            n: images in a generation.
            lines: models in a generation.
            fresh_draws: how many fresh images of its model each generated image of a pool stands for.
        """
        pools = [[self.composition(t, line, n, lines) for line in range(lines)] for t in range(1, generation + 1)]
        estimator = f"closed form, Gaussian model refitted by maximum likelihood, {self.description(generation)}"
        value = kept_variance(pools, n, fresh_draws)
        estimator += f", {fresh_draws} fresh images drawn for each" if fresh_draws > 1 else ""
        return [
            Measurement(
                "pixel_variance", value, "ratio", predicted=True, estimator=estimator, cite=self.source(generation)
            )
        ]
