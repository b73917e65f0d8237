"""Generated images that pass as real where a regime asks for real ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ..pool import REAL, RESERVE
from .base import Fraction, Regime
from .mix import Mix
from .part import Part, last_shard

if TYPE_CHECKING:
    from . import AnyRegime

__all__ = ["Mislabelled"]

REAL_SHARDS = ((0, REAL), (0, RESERVE))


class Mislabelled(Regime):
    """Another regime, whose real images are in part generated ones with a false label.

    Wherever the regime asks for k real images from generation 2 on, it gets k - round(rate k) of them, and as many
    random images of the line's last shard as are missing. Whoever trains believes that they are real. The ledger of the
    run does not: a pool names generation, line and row of every image as it was made, so that
    ``pool.share(generation=0)`` is the true real share, and the regime inside states the one that is believed.

    ``Mislabelled(regime=Mix(real_fraction=r), rate=e)`` is Mix with the real share r (1 - e), and
    ``Mislabelled(regime=Contaminate(share=0), rate=e)`` is Contaminate with the share e: the false label is a way to
    such a share, not another law. With Fresh, Golden and Schedule no other regime says the same. New real images that a
    false one takes the place of stay unused.

    Attributes:
        regime: which real images are asked for; none that draws a subsample of real and generated shards together.
        rate: e, share of these that are generated, 0..1.

    References:
        Nepotistically trained generative-AI models collapse (Bohacek and Farid 2023), arXiv:2311.12202.
    """

    fed: ClassVar[str] = "training on images of which some generated ones pass as real"

    kind: Literal["mislabelled"] = "mislabelled"
    regime: AnyRegime = Mix()
    rate: Fraction = 0.05

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return the regime's parts, the false ones in the place of as many real ones.

        Raises:
            ValueError: for a regime that draws a subsample of real and generated shards together.
        """
        asked = self.regime.composition(generation, line, n, lines)
        if generation == 1 or self.rate == 0:
            return asked
        last = last_shard(generation, line)
        parts = [part for each in asked for part in self._with_false(each, n, last)]
        false, true = [part for part in parts if part[1]], [part[0] for part in parts if not part[1]]
        for part, _ in false:
            true = _joined(true, part)
        return [part for part in true if part.size(n)]

    def _with_false(self, part: Part, n: int, last: tuple[int, int]) -> list[tuple[Part, bool]]:
        """Return a part as (part, whether its label is false)."""
        real = [shard for shard in part.shards if shard in REAL_SHARDS]
        if not real:
            return [(part, False)]
        others = tuple(shard for shard in part.shards if shard not in real)
        if others and part.count is not None:
            raise ValueError(
                f"mislabelled: {self.regime.description(2)} draws its images from real and generated ones together, so "
                "that it asks for no number of real ones. Use subsample = False, or mix"
            )
        k = n * len(real) if part.count is None else part.count
        false = round(self.rate * k)
        start = 0 if part.count is None else part.start
        found = [(replace(part, shards=tuple(real), count=k - false, start=start), False)]
        found += [(replace(part, shards=others), False)] if others else []
        return [*found, (Part((last,), false, copies=part.copies), True)]

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        asked = self.regime.description(generation)
        return f"{asked}, {100 * self.rate:g} % of its real images mislabelled" if generation > 1 else asked

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return self.regime.source(generation)


def _joined(parts: list[Part], false: Part) -> list[Part]:
    """Return the parts with one more, drawn together with what is drawn at random from the same shard already."""
    for index, part in enumerate(parts):
        same = (part.shards, part.start, part.copies) == (false.shards, None, false.copies)
        if same and part.count is not None and false.count is not None:
            return [*parts[:index], replace(part, count=part.count + false.count), *parts[index + 1 :]]
    return [*parts, false]
