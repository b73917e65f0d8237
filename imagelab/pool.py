"""The ledger: where every image came from.

A :class:`Pool` is a training set by reference. It holds no pixels, only three columns: the generation that made
each image, the line (model) that made it, and its row in that shard. An :class:`Archive` is all that exists so
far. A regime reads the archive and answers with a pool; so "what was this model trained on?" has an exact answer
for every model, and "where did this picture come from?" one for every picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

__all__ = ["REAL", "RESERVE", "Archive", "Pool"]

REAL = -1
"""The line of the real training images, generation 0."""

RESERVE = -2
"""The line of real images that no model has seen yet, generation 0; regimes with fresh data draw from here, once."""


@dataclass(frozen=True, eq=False)
class Pool:
    """A training set by reference: int32 [N] columns, one row an image; an image may stand in it more than once."""

    generation: np.ndarray
    line: np.ndarray
    row: np.ndarray

    def __post_init__(self) -> None:
        """Check that the columns belong together and freeze them."""
        if not (self.generation.shape == self.line.shape == self.row.shape) or self.row.ndim != 1:
            shapes = self.generation.shape, self.line.shape, self.row.shape
            raise ValueError(f"Pool: expected three columns [N] of equal length, got {shapes}")
        for name in ("generation", "line", "row"):
            column = np.ascontiguousarray(getattr(self, name), np.int32)
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    @classmethod
    def of(cls, generation: int, line: int, rows: np.ndarray | Sequence[int]) -> Pool:
        """Return the pool of these rows of one shard."""
        column = np.asarray(rows, np.int32)
        return cls(np.full_like(column, generation), np.full_like(column, line), column)

    @classmethod
    def concat(cls, *pools: Pool) -> Pool:
        """Return all rows of the pools, in order."""
        columns = ("generation", "line", "row")
        return cls(*(np.concatenate([getattr(pool, column) for pool in pools]) for column in columns))

    def __len__(self) -> int:
        return len(self.row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pool) and np.array_equal(self.names(), other.names())

    def take(self, index: np.ndarray) -> Pool:
        """Return the pool of the chosen rows, in the order of the index."""
        return Pool(self.generation[index], self.line[index], self.row[index])

    def pick(self, n: int, rng: np.random.Generator) -> Pool:
        """Return n rows drawn without replacement, in drawn order.

        Raises:
            ValueError: if the pool holds fewer than n; drawing some twice would shrink the effective sample in silence.
        """
        if n > len(self):
            raise ValueError(f"Pool.pick: asked for {n} images, the pool holds {len(self)}")
        return self.take(rng.permutation(len(self))[:n])

    def names(self) -> np.ndarray:
        """Return int32 [N,3]: (generation, line, row) of each image."""
        return np.stack([self.generation, self.line, self.row], axis=1)

    def shards(self) -> list[tuple[int, int]]:
        """Return the (generation, line) pairs that the pool draws from, in order."""
        return sorted({(int(g), int(i)) for g, i in zip(self.generation, self.line, strict=True)})

    def share(self, generation: int | None = None, line: int | None = None) -> float:
        """Return the share, 0..1, of the images that are of this generation and/or line."""
        chosen = np.ones(len(self), bool)
        if generation is not None:
            chosen &= self.generation == generation
        if line is not None:
            chosen &= self.line == line
        return float(chosen.mean()) if len(self) else 0.0

    def digest(self) -> str:
        """Return the SHA-256 of the ledger's rows, 64 hex digits."""
        return hashlib.sha256(self.names().tobytes()).hexdigest()


@dataclass(frozen=True)
class Archive:
    """Everything that exists when a generation begins. Frozen: the loop makes a new one each generation.

    Attributes:
        real: the real training set, generation 0.
        reserve: real images not yet seen by any model, in the order in which they will be used.
        made: the whole shard of each (generation, line) made so far, generations counted from 1.
    """

    real: Pool
    reserve: Pool
    made: Mapping[tuple[int, int], Pool] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def generation(self) -> int:
        """The last generation made; 0 before the first."""
        return max((generation for generation, _ in self.made), default=0)

    @property
    def lines(self) -> int:
        """How many lines (models a generation) there are; 0 before the first generation."""
        return len({line for _, line in self.made})

    def shard(self, generation: int, line: int) -> Pool:
        """Return all images at an address: (0, REAL), (0, RESERVE), or what a line made of a generation."""
        if generation == 0:
            return self.reserve if line == RESERVE else self.real
        return self.made[generation, line]

    def latest(self, line: int) -> Pool:
        """Return what this line made last; the real set before the first generation."""
        return self.made[self.generation, line] if self.made else self.real

    def history(self, line: int) -> tuple[Pool, ...]:
        """Return all that this line made, oldest first."""
        return tuple(self.made[g, line] for g in range(1, self.generation + 1))

    def add(self, generation: int, shards: Mapping[int, Pool]) -> Archive:
        """Return the archive after one more generation: a shard for each line."""
        new = {(generation, line): pool for line, pool in shards.items()}
        return Archive(self.real, self.reserve, MappingProxyType({**self.made, **new}))
