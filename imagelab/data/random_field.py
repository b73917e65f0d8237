"""Pictures with known properties: Gaussian random fields with a power-law spectrum, S(f) ~ f^-slope.

Every statistic of these pictures is known in closed form: each Fourier mode is an independent Gaussian of known
variance. So a spectrum metric can be checked against the truth, and a loop with the Gaussian generator against
``imagelab.theory``. White noise z is filtered on the torus: x = 128 + ifft2(sqrt(S) fft2(z)) with S(0) = 0. The mean of
S over all modes is contrast^2, which is then exactly the variance of a pixel. Natural photographs have slope about 2.

References:
    Relations between the statistics of natural images and the response properties of cortical cells (Field 1987),
    doi:10.1364/JOSAA.4.002379 (the slope of photographs).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from .synthetic import DrawnTexture

__all__ = ["RandomField"]

MIDDLE = 128.0  # grey level


def _spectrum(size: int, slope: float, contrast: float) -> np.ndarray:
    frequency = np.fft.fftfreq(size) * size  # cycles per image
    radius = np.hypot(frequency[:, None], frequency)
    radius[0, 0] = 1.0
    power = radius**-slope
    power[0, 0] = 0.0
    return power * contrast**2 / power.mean()


@lru_cache(maxsize=1)  # the same for every picture of a set
def _amplitudes(size: int, slope: float, contrast: float) -> np.ndarray:
    amplitudes = np.sqrt(_spectrum(size, slope, contrast))
    amplitudes.setflags(write=False)
    return amplitudes


class RandomField(DrawnTexture):
    """Gaussian random fields of known spectrum, computed on request.

    Attributes:
        size: side of the pictures, pixels.
        slope: the exponent a of S(f) ~ f^-a, f in cycles per image; 0 is white noise, 2 like photographs, 4 smooth.
        contrast: standard deviation of a pixel, grey levels. At 32, one pixel in 15 000 saturates.
        channels: 1, or 3 equal channels.

    Example:
        >>> sample = RandomField(size=16, channels=1).load("train", 4, seed=0)
        >>> sample.images.shape, sample.images.dtype
        ((4, 1, 16, 16), dtype('uint8'))
    """

    drawn: ClassVar[bool] = True

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

        In the order of ``numpy.fft.fft2``, before rounding (which adds 1/12 to every mode, including the mean).
        """
        return _spectrum(self.size, self.slope, self.contrast)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return one field in grey levels: float64 [channels,size,size]."""
        white = np.fft.fft2(rng.standard_normal((self.size, self.size)))
        field = np.fft.ifft2(white * _amplitudes(self.size, self.slope, self.contrast)).real + MIDDLE
        return np.repeat(field[None], self.channels, axis=0)

    def card(self) -> str:
        """Return one paragraph: what is known about these pictures, and that they show nothing."""
        saturated = math.erfc(127.5 / (self.contrast * math.sqrt(2)))
        return (
            f"Gaussian random fields of {self.size} x {self.size} pixels with spectrum S(f) ~ f^-{self.slope:g}; the "
            f"standard deviation of a pixel is {self.contrast:g} grey levels. They are computed, not photographed: "
            f"every Fourier mode is an independent Gaussian of known variance, so a loop can be compared with theory. "
            f"Rounding to 8 bit adds 1/12 level^2 to every mode; {saturated:.1e} of the pixels saturate. They have no "
            f"shapes and no rare kinds, so they cannot show a loss of tails or of structure."
        )
