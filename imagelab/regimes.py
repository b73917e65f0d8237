"""Regimes: which images the next model is trained on.

A regime is a frozen recipe and a pure function: ``regime(archive, line, n, rng) -> Pool``. It reads the ledger of
all that exists, never a pixel, and names the training set of the next generation. Generation 1 is trained on the
real set in every regime; the regimes differ from generation 2 on. The same archive and the same random stream
always give the same pool.

References:
    AI models collapse when trained on recursively generated data (Shumailov et al. 2024),
        doi:10.1038/s41586-024-07566-y.
    Self-consuming generative models go MAD (Alemohammad et al. 2024), arXiv:2307.01850.
    Is model collapse inevitable? (Gerstgrasser et al. 2024), arXiv:2404.01413.
    Collapse or thrive? (Kazdan et al. 2024), arXiv:2410.16713.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from . import theory
from .measurement import Measurement
from .pool import Archive, Pool

__all__ = ["REGIMES", "Accumulate", "AnyRegime", "Fresh", "Mix", "Regime", "Replace"]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Regime(BaseModel):
    """Common ground of all regimes: frozen settings, no unknown key. Not a regime by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def reserve(self, n: int, generations: int) -> int:
        """How many fresh real images the whole run will draw; 0 for a regime that never sees new real data."""
        return 0

    def predictions(self, generation: int, n: int) -> list[Measurement]:
        """What theory says of this regime at this generation for n images a generation; empty where it is silent."""
        return []


def _variance(value: float, cite: str, regime: str) -> list[Measurement]:
    estimator = f"closed form, Gaussian model refitted by maximum likelihood, {regime}"
    return [Measurement("pixel_variance", value, "ratio", predicted=True, estimator=estimator, cite=cite)]


class Replace(Regime):
    """Each model is trained only on what the model before it made: the photocopy of a photocopy."""

    kind: Literal["replace"] = "replace"

    def __call__(self, archive: Archive, line: int, n: int, rng: np.random.Generator) -> Pool:
        """Return the line's last shard (the real set at generation 1)."""
        return _fit(archive.latest(line), n, rng)

    def predictions(self, generation: int, n: int) -> list[Measurement]:
        """The variance a Gaussian keeps: (1 - 1/n)^t."""
        return _variance(theory.replace_variance(generation, n), "doi:10.1038/s41586-024-07566-y", "replace")


class Accumulate(Regime):
    """Each model is trained on the real set and on everything its line ever made.

    Attributes:
        subsample: False lets the training set grow by n each generation; True draws n images from all of it
            without replacement, so that the budget stays fixed ("accumulate-subsample").
    """

    kind: Literal["accumulate"] = "accumulate"
    subsample: bool = False

    def __call__(self, archive: Archive, line: int, n: int, rng: np.random.Generator) -> Pool:
        """Return real + all shards of the line, or n of them."""
        everything = Pool.concat(archive.real, *archive.history(line))
        return everything.pick(n, rng) if self.subsample else everything

    def predictions(self, generation: int, n: int) -> list[Measurement]:
        """The variance a Gaussian keeps: prod (1 - 1/(n k^2)), bounded for ever; less where the budget is fixed."""
        law = theory.accumulate_subsample_variance if self.subsample else theory.accumulate_variance
        return _variance(
            law(generation, n), "arXiv:2410.16713", "accumulate-subsample" if self.subsample else "accumulate"
        )


class Mix(Regime):
    """Each model is trained on a fixed share of real images, the same ones every time, and on the last shard.

    Attributes:
        real_fraction: share of real images in every training set from generation 2 on, 0..1.
    """

    kind: Literal["mix"] = "mix"
    real_fraction: Fraction = 0.25

    def __call__(self, archive: Archive, line: int, n: int, rng: np.random.Generator) -> Pool:
        """Return round(real_fraction * n) real images and n minus that of the line's last shard."""
        if not archive.made:
            return _fit(archive.real, n, rng)
        real = round(self.real_fraction * n)
        _require(archive.real, real, "mix", "real images")
        return Pool.concat(archive.real.take(np.arange(real)), archive.latest(line).pick(n - real, rng))

    def predictions(self, generation: int, n: int) -> list[Measurement]:
        """The variance a Gaussian keeps when a share of every set is the same real images."""
        real = round(self.real_fraction * n)
        return _variance(theory.mix_variance(generation, real, n - real), "arXiv:2307.01850", "fixed real share")


class Fresh(Regime):
    """Each model is trained on real images that no model has seen before, and on the last shard.

    Fresh images come from a counted reserve, each used once. When it runs out the run stops with a message; it never
    goes back to images already seen.

    Attributes:
        real_fraction: share of fresh real images in every training set from generation 2 on, 0..1.
    """

    kind: Literal["fresh"] = "fresh"
    real_fraction: Fraction = 0.25

    def reserve(self, n: int, generations: int) -> int:
        """round(real_fraction * n) for every generation after the first."""
        return round(self.real_fraction * n) * max(generations - 1, 0)

    def __call__(self, archive: Archive, line: int, n: int, rng: np.random.Generator) -> Pool:
        """Return the reserve's next images and n minus as many of the line's last shard.

        Raises:
            ValueError: when the reserve holds too few.
        """
        if not archive.made:
            return _fit(archive.real, n, rng)
        real = round(self.real_fraction * n)
        start = real * (archive.generation - 1)
        if start + real > len(archive.reserve):
            raise ValueError(
                f"fresh: the reserve of new real images ran out at generation {archive.generation + 1}: "
                f"{real} are needed from row {start} on, {len(archive.reserve)} are all there are. "
                "Use fewer generations, a smaller real_fraction or a larger dataset."
            )
        fresh = archive.reserve.take(np.arange(start, start + real))
        return Pool.concat(fresh, archive.latest(line).pick(n - real, rng))

    def predictions(self, generation: int, n: int) -> list[Measurement]:
        """The variance a Gaussian keeps when a share of every set is fresh."""
        synthetic = n - round(self.real_fraction * n)
        value = theory.fresh_variance(generation, n - synthetic, synthetic)
        return _variance(value, "arXiv:2307.01850", "fresh")


def _fit(pool: Pool, n: int, rng: np.random.Generator) -> Pool:
    """Return the whole pool where it holds exactly n, else n of its rows."""
    _require(pool, n, "the regime", "images")
    return pool if len(pool) == n else pool.pick(n, rng)


def _require(pool: Pool, n: int, who: str, what: str) -> None:
    if len(pool) < n:
        raise ValueError(
            f"{who}: {n} {what} are needed, {len(pool)} are there. Lower `images` or use a larger dataset."
        )


REGIMES: dict[str, type[Regime]] = {"replace": Replace, "accumulate": Accumulate, "mix": Mix, "fresh": Fresh}

AnyRegime = Annotated[Replace | Accumulate | Mix | Fresh, Field(discriminator="kind")]
