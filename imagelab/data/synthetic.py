"""The base of textures with known properties: an unlimited number of pictures, each from its own random stream.

Picture i of a split is a function of (seed, split, i) alone. So a larger set begins with a smaller one, and no split
can run out of pictures or share a picture with another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from ..io.catalogue import BadFile, Split
from ..io.large_arrays import LetGo, empty_array
from ..seeds import rng_at
from .base import Data, Sample

__all__ = ["DrawnTexture"]


class DrawnTexture(Data, ABC):
    """Abstract base of recipes that draw each picture from its own random stream; a recipe adds :meth:`draw`."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return one picture in grey levels, not yet rounded or clipped to 0..255: float64 [C,H,W]."""

    def attributes(self, split: Split, n: int, seed: int) -> Mapping[str, np.ndarray]:
        """Return no attributes: nothing is known about single pictures."""
        return {}

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return None for every split: the number of pictures is unlimited."""
        return {"train": None, "heldout": None, "reserve": None}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n pictures; picture i depends on (seed, split, i) alone.

        Raises:
            ValueError: for n < 1.
        """
        kind = type(self).model_fields["kind"].default
        if n < 1:
            raise ValueError(f"{kind}: expected n >= 1, got {n}")
        levels = empty_array((n, *self.shape), np.uint8)
        pages = LetGo(levels)
        for row in range(n):
            drawn = self.draw(rng_at(seed, f"{kind}/{split}", row=row))
            levels[row] = np.clip(np.round(drawn), 0, 255)
            pages.read(drawn.size)
        return Sample(levels, sources=tuple(f"{kind}:{split}:{row}" for row in range(n)))

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return none: this dataset reads no files."""
        return ()
