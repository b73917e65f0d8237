"""The control that a spectrum cannot tell apart: photographs with their phases thrown away.

A picture's Fourier transform keeps its magnitudes |F(k)| and gets random phases, the same ones in all channels:
x' = ifft2(F exp(i phi)), phi the phase of white noise, so x' is real; phi(0) = 0 keeps the mean. The power spectrum is
equal mode by mode, the colours stay correlated as they were, and every edge, blade and pebble is gone. A metric that
scores these like the photographs measures spectrum alone.

References:
    The importance of phase in signals (Oppenheim and Lim 1981), doi:10.1109/PROC.1981.12022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..io.catalogue import BadFile, Split
from ..seeds import rng_at
from .base import Data, Sample
from .textures import PHOTOGRAPHS, PhotoName, Textures

__all__ = ["PhaseRandom", "randomise_phases"]


class PhaseRandom(Data):
    """Crops of photographs, each with random phases: row i is the twin of row i of ``Textures`` (not mirrored).

    Attributes:
        size: side of a crop, pixels.
        photos: names from :data:`~imagelab.data.textures.PHOTOGRAPHS`.
        heldout_share, reserve_share: share of each photograph's rows; see :class:`~imagelab.data.textures.Textures`.
    """

    kind: Literal["phase_random"] = "phase_random"
    size: int = Field(default=64, ge=8, le=256)
    photos: tuple[PhotoName, ...] = Field(default=("grass", "gravel", "brick"), min_length=1)
    heldout_share: float = Field(default=0.25, gt=0, lt=1)
    reserve_share: float = Field(default=0.25, ge=0, lt=1)

    @model_validator(mode="after")
    def _photographs_allow_it(self) -> PhaseRandom:
        self.photographs()
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def photographs(self) -> Textures:
        """Return the dataset of the same crops with their phases."""
        return Textures(
            size=self.size,
            photos=self.photos,
            mirror=False,
            heldout_share=self.heldout_share,
            reserve_share=self.reserve_share,
        )

    def available(self, seed: int) -> Mapping[str, int | None]:
        """As many as there are crops."""
        return self.photographs().available(seed)

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n crops without their phases; a larger n begins with a smaller one's.

        Raises:
            ValueError: if n is not 1 .. ``available(seed)[split]``.
        """
        crops = self.photographs().load(split, n, seed)
        twins = np.empty_like(crops.images)
        for row, crop in enumerate(crops.images):
            new = randomise_phases(crop.astype(np.float64), rng_at(seed, f"phase_random/{split}", row=row))
            twins[row] = np.clip(np.round(new), 0, 255)
        return Sample(twins, crops.attributes, tuple(f"{source} phases random" for source in crops.sources))

    def card(self) -> str:
        """One paragraph: what it is, what it controls, and what rounding and saturation add."""
        parts = ", ".join(f"{name} ({PHOTOGRAPHS[name].licence})" for name in self.photos)
        sample = self.load("train", min(64, self.available(0)["train"] or 1), 0).images
        saturated = float(((sample == 0) | (sample == 255)).mean())
        return (
            f"{self.size} x {self.size} crops of photographs that ship with scikit-image, {parts}, each with its "
            f"Fourier magnitudes kept and its phases random: the power spectrum of the photograph, nothing of its "
            f"structure. A control: what scores these like the photographs sees spectrum alone. Values beyond 0..255 "
            f"saturate ({100 * saturated:.2g} % of the pixels in {len(sample)} crops), rounding adds 1/12 level^2 to "
            f"every mode."
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """Always empty: no file of the user's is read."""
        return ()


def randomise_phases(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture of equal power spectrum and random phases.

    Args:
        picture: float64 [C,H,W].
        rng: decides the phases, the same for all channels.

    Returns:
        float64 [C,H,W]; the mean of each channel is kept.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> picture = rng.random((3, 8, 8))
        >>> power = [np.abs(np.fft.fft2(x)) ** 2 for x in (picture, randomise_phases(picture, rng))]
        >>> bool(np.allclose(*power, rtol=1e-12))
        True
    """
    noise = np.fft.fft2(rng.standard_normal(picture.shape[1:]))
    turn = noise / np.abs(noise)
    turn[0, 0] = 1
    return np.fft.ifft2(np.fft.fft2(picture) * turn).real
