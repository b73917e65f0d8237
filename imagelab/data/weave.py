"""Pictures with known properties: plain-woven cloth, a lattice of threads with spectral lines at known frequencies.

Warp and weft cross over and under, with one thread every ``pitch = size / threads`` pixels. The pattern repeats after
two threads and does not change if it is shifted by one thread along both axes. So, if all threads are equal, all its
power is on the lattice k = (a, b) threads / 2 cycles per image with a + b even: the first lines are at
(threads / 2, threads / 2) on the diagonals and at (threads, 0) on the axes. Unequal threads (``jitter``) add power
between the lines in proportion to jitter^2. The pattern is periodic on the torus and is sampled through an ideal lens
with a Gaussian transfer function, so no line is aliased to another frequency.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from .synthetic import DrawnTexture

__all__ = ["Weave"]

_FINE = 6
"""The least number of fine pixels per pixel, in each direction, before the lens."""


class Weave(DrawnTexture):
    """Plain-woven cloth in random colours at a random offset.

    Attributes:
        size: side of the pictures, pixels.
        threads: threads per picture in each direction, even, at most ``size / 2``; the pitch is size / threads pixels.
        jitter: relative standard deviation of the brightness of threads; 0 for cloth with a pure line spectrum.

    Example:
        >>> recipe = Weave(size=32, threads=8)
        >>> recipe.pitch, recipe.load("train", 2, seed=0).images.shape
        (4.0, (2, 3, 32, 32))
    """

    drawn: ClassVar[bool] = True

    kind: Literal["weave"] = "weave"
    size: int = Field(default=64, ge=16, le=256)
    threads: int = Field(default=10, ge=2, multiple_of=2)
    jitter: float = Field(default=0.05, ge=0, le=0.2)

    panel: ClassVar[tuple[str, ...]] = ("spectrum", "hf_ratio", "pixel_variance", "frechet", "kernel")

    @model_validator(mode="after")
    def _threads_can_be_seen(self) -> Weave:
        if self.threads > self.size // 2:
            raise ValueError(f"threads: expected at most size / 2 = {self.size // 2}, got {self.threads}")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    @property
    def pitch(self) -> float:
        """The distance between threads, pixels."""
        return self.size / self.threads

    def lines(self) -> np.ndarray:
        """Return the possible spectral lines and the mean: bool [size,size] in the order of ``numpy.fft.fft2``."""
        k = np.round(np.fft.fftfreq(self.size) * self.size).astype(int)
        half = self.threads // 2
        on = k % half == 0
        return on[:, None] & on & ((k[:, None] // half + k // half) % 2 == 0)

    def card(self) -> str:
        """Return one paragraph: what is known about these pictures, and that they show no real cloth."""
        return (
            f"Plain-woven cloth of {self.size} x {self.size} pixels, {self.threads} threads in each direction, one "
            f"every {self.pitch:g} pixels. Computed, not photographed; the licence is that of imagelab. Its spectral "
            f"lines are at multiples of {self.threads // 2} cycles per image (both even or both odd), the first "
            f"at {self.threads / 2**0.5:.3g} on the diagonals and {self.threads} on the axes; threads differ by "
            f"{100 * self.jitter:g} % (standard deviation), which adds power between the lines. Colours and offsets "
            f"are uniform: there are no rare kinds, so these pictures cannot show a loss of tails."
        )

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return one piece of cloth in grey levels: float64 [3,size,size]."""
        offset = rng.uniform(0, 2, 2)
        warp_colour, weft_colour = rng.uniform(0.25, 0.85, (2, 3))
        warp_bright, weft_bright = 1 + self.jitter * rng.standard_normal((2, self.threads))
        fine = self.threads * -(
            -self.size * _FINE // self.threads
        )  # a whole number of fine pixels per thread keeps lines in place
        along = (np.arange(fine) + 0.5) * self.threads / fine
        x, y = (along + offset[0])[None], (along + offset[1])[:, None]  # in threads
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        over = (row + column) % 2 == 0
        warp = _thread(x - column - 0.5, y - row - 0.5, over) * warp_bright[column % self.threads]
        weft = _thread(y - row - 0.5, x - column - 0.5, ~over) * weft_bright[row % self.threads]
        warp_seen = np.where(over, warp > 0, weft <= 0)
        shades = np.stack([np.where(warp_seen, warp, 0), np.where(warp_seen, 0, weft)])  # [2,fine,fine]
        warp_shade, weft_shade = _lens(shades, self.size)
        return 255 * (warp_colour[:, None, None] * warp_shade + weft_colour[:, None, None] * weft_shade)


def _thread(across: np.ndarray, along: np.ndarray, over: np.ndarray) -> np.ndarray:
    """Return the shade of a round thread: 0 outside it, bright where it is on top, dark where it is below the other.

    Args:
        across: position across the thread within the crossing, -0.5..0.5 of a thread.
        along: position along the thread within the crossing, -0.5..0.5 of a thread.
        over: whether the thread is on top in this crossing.
    """
    round_ = np.sqrt(np.clip(1 - (across / 0.47) ** 2, 0, 1))
    bend = np.where(over, 0.78 + 0.22 * np.cos(2 * np.pi * along), 0.45)
    return round_ * bend


def _lens(fine: np.ndarray, size: int) -> np.ndarray:
    """Sample [K,fine,fine] as [K,size,size] on the torus: frequencies from the limit on are removed, others damped."""
    spectrum = np.fft.fft2(fine)
    index = np.round(np.fft.fftfreq(size) * size).astype(int)
    nyquist = size // 2
    transfer = np.exp(-0.5 * (index / (0.6 * nyquist)) ** 2) * (np.abs(index) < nyquist)
    cropped = spectrum[:, index[:, None], index[None]] * transfer[:, None] * transfer
    return np.fft.ifft2(cropped).real * (size / fine.shape[-1]) ** 2
