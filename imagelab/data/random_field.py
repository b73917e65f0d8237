"""Known-answer pictures: Gaussian random fields with a power-law spectrum, S(f) ~ f^-slope.

Every statistic of these pictures is known in closed form: each Fourier mode is an independent Gaussian of known
variance. So a spectrum metric can be checked against the truth, and a whole loop with the Gaussian generator against
``imagelab.theory``. White noise z is filtered on the torus: x = 128 + ifft2(sqrt(S) fft2(z)), S(0) = 0, the mean of S
over all modes being contrast^2, which is then exactly the variance of a pixel. Natural photographs have slope about 2.

References:
    Relations between the statistics of natural images and the response properties of cortical cells (Field 1987),
    doi:10.1364/JOSAA.4.002379 (the slope of photographs).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..seeds import stream
from .base import BadFile, DataRecipe, Sample, Split

__all__ = ["RandomField"]

MIDDLE = 128.0  # grey level


class RandomField(DataRecipe):
    """Gaussian random fields of known spectrum, made as they are asked for.

    Attributes:
        size: side, pixels.
        slope: the exponent a of S(f) ~ f^-a, f in cycles per image; 0 is white noise, 2 like photographs, 4 smooth.
        contrast: standard deviation of a pixel, grey levels. At 32, one pixel in 15 000 saturates.
        channels: 1, or 3 equal ones.

    Example:
        >>> sample = RandomField(size=16, channels=1).load("train", 4, seed=0)
        >>> sample.images.shape, sample.images.dtype
        ((4, 1, 16, 16), dtype('uint8'))
    """

    kind: Literal["random_field"] = "random_field"
    size: int = Field(default=64, ge=4, le=256)
    slope: float = Field(default=2.0, ge=0, le=6)
    contrast: float = Field(default=32.0, ge=1, le=40)
    channels: Literal[1, 3] = 3

    panel: ClassVar[tuple[str, ...]] = ("spectrum", "hf_ratio", "pixel_variance", "frechet", "kernel")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return self.channels, self.size, self.size

    def spectrum(self) -> np.ndarray:
        """Return the variance of every orthonormal Fourier mode of one channel, grey levels^2: float64 [size,size].

        In the order of ``numpy.fft.fft2``, before rounding (which adds 1/12 to every mode, the zeroth one included).
        """
        frequency = np.fft.fftfreq(self.size) * self.size  # cycles per image
        radius = np.hypot(frequency[:, None], frequency)
        radius[0, 0] = 1.0
        power = radius**-self.slope
        power[0, 0] = 0.0
        return power * self.contrast**2 / power.mean()

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Without end in every split."""
        return {"train": None, "heldout": None, "reserve": None}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n fields; field i depends on (seed, split, i) alone.

        Raises:
            ValueError: for n < 1.
        """
        if n < 1:
            raise ValueError(f"random_field: expected n >= 1, got {n}")
        purpose, shape = f"random_field/{split}", (self.size, self.size)
        white = np.stack([stream(seed, purpose, row=row).standard_normal(shape) for row in range(n)])
        fields = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(self.spectrum())).real  # [n,size,size]
        levels = np.clip(np.round(fields + MIDDLE), 0, 255).astype(np.uint8)
        sources = tuple(f"random_field:{split}:{row}" for row in range(n))
        return Sample(np.repeat(levels[:, None], self.channels, axis=1), sources=sources)

    def card(self) -> str:
        """One paragraph: what is known of these pictures, and that they show nothing."""
        saturated = math.erfc(127.5 / (self.contrast * math.sqrt(2)))
        return (
            f"Gaussian random fields of {self.size} x {self.size} pixels with spectrum S(f) ~ f^-{self.slope:g}; the "
            f"standard deviation of a pixel is {self.contrast:g} grey levels. They are computed, not photographed: "
            f"every Fourier mode is an independent Gaussian of known variance, so a loop can be compared with theory. "
            f"Rounding to 8 bit adds 1/12 level^2 to every mode; {saturated:.1e} of the pixels saturate. They show "
            f"nothing: no shapes, no rare kinds, so they say nothing of lost tails or lost structure."
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """Always empty: no file is read."""
        return ()
