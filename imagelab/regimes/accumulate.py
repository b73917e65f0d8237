"""Regimes that keep earlier generations: all of them, or the last few."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..pool import REAL
from .base import Regime
from .part import Part

__all__ = ["Accumulate", "Window"]


class Accumulate(Regime):
    """Each model is trained on the real set and on all shards of its line.

    A Gaussian keeps prod (1 - 1/(n k^2)) of its variance, which has a limit above 0 (theory.accumulate_variance), and
    less if the size of the training set is fixed (theory.accumulate_subsample_variance).

    Attributes:
        subsample: False lets the training set grow by n each generation; True draws n images from all of it
            without replacement, so that the budget stays fixed ("accumulate-subsample").

    References:
        Is model collapse inevitable? (Gerstgrasser et al. 2024), arXiv:2404.01413.
        Collapse or thrive? (Kazdan et al. 2024), arXiv:2410.16713.
    """

    fed: ClassVar[str] = "training on the real images and the images of all its generations"

    kind: Literal["accumulate"] = "accumulate"
    subsample: bool = False

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return the real set and all shards of the line, or n images of them."""
        return [Part(since(0, generation, line), n if self.subsample else None)]

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        return "accumulate-subsample" if self.subsample else "accumulate"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2410.16713"


class Window(Regime):
    """Each model is trained on the shards that its line made in the last K generations.

    The real set counts as generation 0: it is in the window up to generation K and not after. ``last`` = 1 is Replace;
    a window longer than the run is Accumulate. Regimes between these two show whether old data help, or only real data.
    A Gaussian's variance is computed exactly and has no short formula (exact_variance.py).

    Attributes:
        last: K, generations in the window.
        subsample: False trains on the whole window, up to K n images; True draws n of it without replacement.

    References:
        Is model collapse inevitable? (Gerstgrasser et al. 2024), arXiv:2404.01413: replacing and accumulating, the two
            ends of this scale.
    """

    fed: ClassVar[str] = "training on its own output of the last few generations"

    kind: Literal["window"] = "window"
    last: int = Field(default=3, ge=1)
    subsample: bool = False

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return the shards of the window, or n of their images."""
        return [Part(since(max(0, generation - self.last), generation, line), n if self.subsample else None)]

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        return f"window of {self.last}" + (", subsampled" if self.subsample else "")

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2404.01413"


def since(first: int, generation: int, line: int) -> tuple[tuple[int, int], ...]:
    """Return the addresses of the line's shards of generations first to generation - 1, the real set being 0."""
    return tuple((t, line if t else REAL) for t in range(first, generation))
