"""The record of where every image came from.

A :class:`Pool` is a training set by reference. It holds no pixels, only three columns: the generation that made
each image, the line (model) that made it, and its row in that shard. An :class:`Archive` is all that exists so
far. A regime reads the archive and returns a pool. So the training set of every model, and the origin of every
image, are known exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

__all__ = ["REAL", "RESERVE", "TWINS", "Archive", "ModelLine", "Pool", "WholeShards"]

REAL = -1
"""The line of the real training images, generation 0."""

RESERVE = -2
"""The line of real images that no model has seen yet, generation 0; regimes with new data use each of them once."""

TWINS = -3
"""The line of the twins of the real training images, generation 0: the same without what is counted (freckles)."""


@dataclass(frozen=True)
class ModelLine:
    """What a line of a run is for.

    Attributes:
        index: its number.
        chain: which replicate it belongs to, from 0 on.
        role: its place in the chain: 0 for the main model, 1... for the arms.
        together: the lines of its chain, whose images a regime may mix: a tuple of numbers, one for each role.
        twin: the blank twin with which its counts are compared, None where there is none.
        blank: whether it is a blank twin itself.
    """

    index: int
    chain: int
    role: int
    together: tuple[int, ...]
    twin: int | None
    blank: bool = False


@dataclass(frozen=True, eq=False)
class Pool:
    """A training set by reference: one row per image; an image may occur more than once.

    Attributes:
        generation: int32 [N], the generation that made the image; 0 for real images.
        line: int32 [N], the model of that generation; REAL or RESERVE for real images.
        row: int32 [N], the row of the image in its shard.
    """

    generation: np.ndarray
    line: np.ndarray
    row: np.ndarray

    def __post_init__(self) -> None:
        """Check that the columns have the same length, and make them read-only."""
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
        """Return n rows drawn without replacement, in the order of the draw.

        Raises:
            ValueError: if the pool holds fewer than n; drawing with replacement would reduce the effective sample size.
        """
        if n > len(self):
            raise ValueError(f"Pool.pick: expected at most {len(self)} images, the size of the pool, got {n}")
        return self.take(rng.permutation(len(self))[:n])

    def names(self) -> np.ndarray:
        """Return int32 [N,3]: (generation, line, row) of each image."""
        return np.stack([self.generation, self.line, self.row], axis=1)

    def shards(self) -> list[tuple[int, int]]:
        """Return the (generation, line) pairs that occur in the pool, sorted."""
        places = np.unique((self.generation.astype(np.int64) << 32) + self.line - np.iinfo(np.int32).min)
        return [(int(place) >> 32, (int(place) & 0xFFFFFFFF) + np.iinfo(np.int32).min) for place in places]

    def share(self, generation: int | None = None, line: int | None = None) -> float:
        """Return the share, 0..1, of the images of this generation and line; None matches all."""
        chosen = np.ones(len(self), bool)
        if generation is not None:
            chosen &= self.generation == generation
        if line is not None:
            chosen &= self.line == line
        return float(chosen.mean()) if len(self) else 0.0

    def digest(self) -> str:
        """Return the SHA-256 of the pool's rows, 64 hex digits."""
        return hashlib.sha256(self.names().tobytes()).hexdigest()


@dataclass(frozen=True)
class Archive:
    """All images that exist when a generation begins. Frozen: the loop creates a new one each generation.

    Attributes:
        real: the real training set, generation 0.
        reserve: real images not yet seen by any model, in the order in which they will be used.
        made: the complete shard of each (generation, line) made so far, generations counted from 1.
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
        """Return all images at an address: (0, RESERVE), another line of generation 0, or a generation's shard."""
        if generation == 0:
            return self.reserve if line == RESERVE else self.real
        return self.made[generation, line]

    def latest(self, line: int) -> Pool:
        """Return the last shard of this line; the real set before the first generation."""
        return self.made[self.generation, line] if self.made else self.real

    def history(self, line: int) -> tuple[Pool, ...]:
        """Return all shards of this line, oldest first."""
        return tuple(self.made[g, line] for g in range(1, self.generation + 1))

    def add(self, generation: int, shards: Mapping[int, Pool]) -> Archive:
        """Return the archive with one more generation.

        Args:
            generation: the number of the new generation.
            shards: line -> its new shard.
        """
        new = {(generation, line): pool for line, pool in shards.items()}
        return Archive(self.real, self.reserve, MappingProxyType({**self.made, **new}))


@dataclass(frozen=True, eq=False)
class WholeShards(Mapping[tuple[int, int], Pool]):
    """The shards of ``Archive.made``, all of n images; each is named only when a regime asks for it.

    The names of 100 generations of a million images would take 1.2 GB.

    Attributes:
        places: (generation, line) as the regime knows it -> (generation, line) in the run folder.
        n: images in every shard.
    """

    places: Mapping[tuple[int, int], tuple[int, int]]
    n: int

    def __getitem__(self, key: tuple[int, int]) -> Pool:
        return Pool.of(*self.places[key], np.arange(self.n, dtype=np.int32))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
