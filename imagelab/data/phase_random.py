"""A control for metrics: photographs with random phases, which have the same power spectrum as the photographs.

The Fourier transform of a picture keeps its magnitudes |F(k)| and gets random phases, the same in all channels:
x' = ifft2(F exp(i phi)), where phi is the phase of white noise, so x' is real; phi(0) = 0 keeps the mean. The power
spectrum is equal mode by mode and the correlations of the colours are kept, but all edges and shapes are lost. A metric
that gives these pictures the same score as the photographs measures only the spectrum.

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
        heldout_share: share of the rows of each photograph; see :class:`~imagelab.data.textures.Textures`.
        reserve_share: as ``heldout_share``, for the reserve.
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
        """Return the dataset of the same crops with their original phases."""
        return Textures(
            size=self.size,
            photos=self.photos,
            mirror=False,
            heldout_share=self.heldout_share,
            reserve_share=self.reserve_share,
        )

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return the number of crops of each split."""
        return self.photographs().available(seed)

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n crops with random phases; the first crops of a larger set are those of a smaller one.

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
        """Return one paragraph: what the pictures are, what they control, and what rounding and saturation add."""
        parts = ", ".join(f"{name} ({PHOTOGRAPHS[name].licence})" for name in self.photos)
        sample = self.load("train", min(64, self.available(0)["train"] or 1), 0).images
        saturated = float(((sample == 0) | (sample == 255)).mean())
        return (
            f"{self.size} x {self.size} crops of photographs that are part of scikit-image, {parts}. Each crop keeps "
            f"its Fourier magnitudes and gets random phases: it has the power spectrum of the photograph, but not its "
            f"structure. A control: a metric that gives these the same score as the photographs measures only the "
            f"spectrum. Values beyond 0..255 saturate ({100 * saturated:.2g} % of the pixels in {len(sample)} crops); "
            f"rounding adds 1/12 level^2 to every mode."
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return none: this dataset reads no files of the user."""
        return ()


def randomise_phases(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture of equal power spectrum and random phases.

    Args:
        picture: float64 [C,H,W].
        rng: the source of the phases, which are the same for all channels.

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
