"""Real images that no model has seen before come in.

They come from a counted reserve, each used once. When it runs out the run stops with a message; it never goes back to
images already seen.
"""

from __future__ import annotations

import fractions
from typing import ClassVar, Literal

from pydantic import Field

from .. import theory
from .base import Fraction, Regime
from .part import REAL_SET, Part, fresh, last_shard

__all__ = ["Fresh", "Golden"]

DENOMINATOR = 8
"""Golden: no image stands in a pool more often than this; weights are met to within half of one over it."""


class Fresh(Regime):
    """Each model is trained on real images that no model has seen before, and on the last shard.

    The "fresh data loop". A Gaussian's variance has a fixed point above 0 (theory.fresh_variance).

    Attributes:
        real_fraction: share of fresh real images in the training sets that have any, 0..1.
        period: fresh images come every so many generations: 1 + period, 1 + 2 period, ... Between them the
            model sees the last shard only.

    References:
        Self-consuming generative models go MAD (Alemohammad et al. 2024), arXiv:2307.01850.
    """

    fed: ClassVar[str] = "training on its own output mixed with new real images"

    kind: Literal["fresh"] = "fresh"
    real_fraction: Fraction = 0.25
    period: int = Field(default=1, ge=1)

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return the reserve's next images and n minus as many of the line's last shard."""
        if generation == 1:
            return [REAL_SET]
        last = last_shard(generation, line)
        turn, between = divmod(generation - 1, self.period)
        if between:
            return [Part((last,))]
        real = round(self.real_fraction * n)
        return [fresh(real, start=real * (turn - 1)), Part((last,), n - real)]

    def description(self, generation: int) -> str:
        """Return what is in force at this generation, in a few words."""
        return "fresh" + (f" every {self.period} generations" if self.period > 1 else "")

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2307.01850"


class Golden(Regime):
    """Each model is trained on n new real images and the last shard's n, weighted w to 1 - w.

    For a mean and equal numbers the error that stays for ever is least at w = 0.618, one over the golden ratio
    (theory.weighted_mean_error). Weights are given by copies of images, so that every generator can obey them: the
    closest fraction with a denominator of at most 8 is in force, 5/8 = .625 for the golden ratio, whose error is
    larger by 0.03 %. The pool then holds 5 copies of each real image and 3 of each synthetic one.

    Differs from the paper: it weights the two variances; here the two sets are one pool, so that the distance of
    their means counts as variance, too. The law (exact_variance.py) is that of the pool.

    Attributes:
        weight: w, weight of the real images, 0..1.

    References:
        Golden ratio weighting prevents model collapse (He, Xu and Cheng 2025), arXiv:2502.18049.
    """

    fed: ClassVar[str] = "training on new real images and its own output, weighted"

    kind: Literal["golden"] = "golden"
    weight: Fraction = theory.GOLDEN_WEIGHT

    @property
    def weight_in_force(self) -> fractions.Fraction:
        """The weight that copies of images can give: a / (a + b), a + b at most 8; within 1/16 of what was asked for.

        Example:
            >>> Golden().weight_in_force
            Fraction(5, 8)
        """
        return fractions.Fraction(self.weight).limit_denominator(DENOMINATOR)

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return n new real images and the last shard, each image in as many copies as its weight asks for."""
        if generation == 1:
            return [REAL_SET]
        real, whole = self.weight_in_force.numerator, self.weight_in_force.denominator
        parts = [fresh(n, start=n * (generation - 2), copies=real)]
        parts.append(Part((last_shard(generation, line),), copies=whole - real))
        return [part for part in parts if part.copies]

    def description(self, generation: int) -> str:
        """Return what is in force at this generation, in a few words."""
        return f"fresh and synthetic weighted {self.weight_in_force}"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2502.18049"
