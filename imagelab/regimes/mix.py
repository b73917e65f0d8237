"""Regimes with a fixed set of real images in addition to the synthetic ones."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..pool import REAL
from .base import Fraction, Regime
from .part import REAL_SET, Part, last_shard

__all__ = ["Contaminate", "Mix", "real_and_last"]


class Mix(Regime):
    """Each model is trained on a fixed share of real images, the same ones every time, and on the last shard.

    The "synthetic augmentation loop". A Gaussian's variance is bounded for any share above 0 (theory.mix_variance).

    Attributes:
        real_fraction: share of real images in every training set from generation 2 on, 0..1.

    References:
        Self-consuming generative models go MAD (Alemohammad et al. 2024), arXiv:2307.01850.
    """

    fed: ClassVar[str] = "training on its own output mixed with the same real images"

    kind: Literal["mix"] = "mix"
    real_fraction: Fraction = 0.25

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return round(real_fraction * n) real images and n minus that of the line's last shard."""
        return [REAL_SET] if generation == 1 else real_and_last(generation, line, n, round(self.real_fraction * n))

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        return "fixed real share"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2307.01850"


class Contaminate(Regime):
    """A small share of the training images are samples of the last model, in one retraining after another.

    Generation 1 is the model before any retraining. In each of the first ``rounds`` retrainings a share c of the n
    images are samples of the last model, the rest are real. After that only real images are used, as in the paper's
    attempts at healing. Bohacek and Farid retrained Stable Diffusion on 0 to 100 % of its own faces (3.3 % is their
    smallest share). It degraded strongly within five rounds; retraining on real images alone healed it in part.

    Differs from the paper: there a large model trained on other data is retrained, so that forgetting counts as
    damage, too; to retrain the same weights here, instead of fitting new ones, set the experiment's ``warm_start``. The
    real images are the same ones in every round. A Gaussian fitted from scratch follows the law of Mix during the
    contaminated rounds, and does not depend on them afterwards.

    Attributes:
        share: c, share of the model's own images, 0..1.
        rounds: retrainings that are contaminated, from generation 2 on; None for all of them.

    References:
        Nepotistically trained generative-AI models collapse (Bohacek and Farid 2023), arXiv:2311.12202.
    """

    fed: ClassVar[str] = "training on real images contaminated with some of its own output"

    kind: Literal["contaminate"] = "contaminate"
    share: Fraction = 0.033
    rounds: int | None = Field(default=None, ge=0)

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return n - round(share n) real images and the rest of the line's last shard, or real images only."""
        clean = generation == 1 or (self.rounds is not None and generation - 1 > self.rounds)
        return [REAL_SET] if clean else real_and_last(generation, line, n, n - round(self.share * n))

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        return "contaminated real set"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return "arXiv:2311.12202"


def real_and_last(generation: int, line: int, n: int, real: int) -> list[Part]:
    """Return the first ``real`` real images, and n - ``real`` random images of the line's last shard."""
    return [Part(((0, REAL),), real, start=0), Part((last_shard(generation, line),), n - real)]
