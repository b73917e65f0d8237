"""The regime in which several models are trained on each other's images."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..pool import REAL
from .base import Fraction, Regime
from .part import REAL_SET, Part

__all__ = ["Breed"]

Weight = Annotated[float, Field(ge=0.0)]


class Breed(Regime):
    """Each model is trained on images of all models of the generation before, and on a share of real images.

    The lines are the experiment's generator and its arms: one family several times, or a VAE, a diffusion model and a
    Gaussian. Each is trained on images of the others, as a web crawl would collect them. The real images are the same
    ones every time. Every line draws its own images from the shards of all lines. The prediction assumes that all lines
    are Gaussians; if one of them is a VAE, its losses spread to all lines.

    Attributes:
        weights: share of each line among the synthetic images, in the lines' order, scaled to add up to 1; empty for
            equal shares.
        real_fraction: share of real images in every training set from generation 2 on, 0..1.

    References:
        What happens when generative AI models train recursively on each others' outputs? (Vu, Reeves and Wenger 2025),
            arXiv:2505.21677.
    """

    fed: ClassVar[str] = "training on the output of all models mixed with the same real images"

    kind: Literal["breed"] = "breed"
    weights: tuple[Weight, ...] = ()
    real_fraction: Fraction = 0.3

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return round(real_fraction * n) real images and the rest of all lines' last shards, by weight.

        Raises:
            ValueError: unless there is a weight for every line, and at least one is above 0.
        """
        if generation == 1:
            return [REAL_SET]
        if self.weights and (len(self.weights) != lines or not sum(self.weights)):
            raise ValueError(
                f"breed: expected {lines} weights, one for each line (the generator and its arms), at least one above "
                f"0; got {list(self.weights)}"
            )
        real = round(self.real_fraction * n)
        counts = shared(n - real, self.weights or (1.0,) * lines)
        bred = [Part(((generation - 1, other),), count) for other, count in enumerate(counts)]
        return [Part(((0, REAL),), real, start=0), *bred]

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        return "breed"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2505.21677"


def shared(total: int, weights: tuple[float, ...]) -> list[int]:
    """Return whole numbers that add up to ``total``, in proportion to the weights (largest-remainder method).

    Among equal remainders the first ones are rounded up.

    Example:
        >>> shared(10, (1.0, 1.0, 1.0))
        [4, 3, 3]
    """
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [int(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda index: counts[index] - exact[index])
    for index in order[: total - sum(counts)]:
        counts[index] += 1
    return counts
