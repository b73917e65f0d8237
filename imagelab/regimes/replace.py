"""Nothing is kept: each model sees only what the model before it made."""

from __future__ import annotations

from typing import ClassVar, Literal

from .base import Regime
from .part import Part, last_shard

__all__ = ["Replace"]


class Replace(Regime):
    """Each model is trained only on what the model before it made: the photocopy of a photocopy.

    A Gaussian keeps (1 - 1/n)^t of its variance (theory.replace_variance).

    References:
        AI models collapse when trained on recursively generated data (Shumailov et al. 2024),
            doi:10.1038/s41586-024-07566-y.
    """

    fed: ClassVar[str] = "training on its own output"

    kind: Literal["replace"] = "replace"

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return the line's last shard (the real set at generation 1)."""
        return [Part((last_shard(generation, line),))]

    def description(self, generation: int) -> str:
        """Return what is in force at this generation, in a few words."""
        return "replace"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "doi:10.1038/s41586-024-07566-y"
