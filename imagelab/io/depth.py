"""Values of any depth to bytes: rounded to the nearest, by a white that the file states, or that the user states.

Unsigned integers of up to 16 bits have an agreed white, their largest value. Other values (signed, float, 32 bits) have
none and are refused until the user says which value is white. Black is 0, and values beyond black or white are refused,
unless the user states both: then they are cut to them, and counted. Nothing is clipped in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

__all__ = ["Levels", "Stated", "ValueForm", "ValueWindow", "levels_of", "white_of"]

NARROW = 4095  # largest value of a 12-bit camera; a 16-bit picture below it has most likely another white
SLACK = 1e-6  # of white: what float arithmetic may put beyond black and white
OR_SAVE = "or save it with 8 or 16 unsigned bits"


@dataclass
class ValueWindow:
    """Black and white as the user states them; made new for each picture, because it counts.

    Attributes:
        black: the value that becomes 0.
        white: the value that becomes 255; above black.
        cut: values beyond black or white so far, which became 0 or 255.
    """

    black: float
    white: float
    cut: int = 0


Stated = float | ValueWindow | None
"""What the user has stated: white alone (black is 0), black and white, or nothing."""


def white_of(stated: Stated) -> float | None:
    """Return the value that the user calls white."""
    return stated.white if isinstance(stated, ValueWindow) else stated


@dataclass(frozen=True)
class ValueForm:
    """How a value is stored: "u" unsigned, "i" signed or "f" float, and its bits."""

    kind: Literal["u", "i", "f"]
    bits: int

    def __str__(self) -> str:
        return f"{self.bits}-bit {dict(u='unsigned', i='signed', f='float')[self.kind]}"


@dataclass
class Levels:
    """Turns the values of one channel, or of some channels together, into bytes, block by block.

    Attributes:
        white: the value that becomes 255.
        doubted: whether a small largest value means that the white is probably another one.
        window: the user's black and white, where both were stated.
        unknown: the form of values that have no agreed white, in words; :meth:`check` refuses them with their range.
        least: the smallest value so far.
        most: the largest value so far.
        repeated: whether all values so far are bytes written twice, as programs turn 8 bits into 16.
    """

    white: float
    doubted: bool = False
    window: ValueWindow | None = None
    unknown: str = ""
    least: float = 0.0
    most: float = 0.0
    repeated: bool = True
    _table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare the bytes of all integers up to white; this is faster than arithmetic and takes less memory."""
        whole = self.window is None and self.white.is_integer() and self.white <= 65535
        values = np.arange(int(self.white) + 1 if whole else 0)
        self._table = np.rint(values * 255.0 / self.white).astype(np.uint8)

    def bytes_of(self, values: np.ndarray) -> np.ndarray:
        """Return uint8 values of the same shape.

        Raises:
            ValueError: if a value is NaN or infinite; without a window, if one is below 0 or above white.
        """
        if not values.size:
            return values.astype(np.uint8)
        least, most = float(values.min()), float(values.max())  # NaN if there is one
        if self.unknown:
            self.least, self.most = min(self.least, least), max(self.most, most)
            return np.zeros(values.shape, np.uint8)
        if self.window is not None:
            return _windowed(values, self.window, least, most)
        slack = SLACK * self.white if values.dtype.kind == "f" else 0.0
        if not (-slack <= least and most <= self.white + slack):
            raise ValueError(
                f"values from {least:g} to {most:g}, but black is 0 and white is {self.white:g}; to cut what is beyond "
                f"them, state both: --data.black 0 --data.white {self.white:g} (in Python black=0, white=...)"
            )
        self.most = max(self.most, most)
        if self.doubted and self.repeated and self.most <= NARROW:
            self.repeated = not (values % 257).any()
        if values.dtype.kind in "iu" and len(self._table):
            return self._table[values]
        return np.rint(values.astype(np.float64) * 255.0 / self.white).clip(0, 255).astype(np.uint8)

    def check(self) -> None:
        """Refuse a picture of which no value comes near white, or whose white is not known.

        Raises:
            ValueError: if the white is the agreed one of 16 bits, and all values lie in the range of 12 bits or less
                and are not those of a dark picture of 8 bits; or if no white is agreed and none was stated.
        """
        if self.unknown:
            low, example = self.least < 0, "1" if self.most <= 1 else f"{self.most:g}"
            flags = f"--data.black {self.least:g} --data.white {example}" if low else f"--white {example}"
            python = (
                f"black={self.least:g}, white={example}" if low else f"white={example}; of a run --data.white {example}"
            )
            which = "which values are black and white" if low else "which value is white"
            raise ValueError(
                f"{self.unknown} without an agreed white, from {self.least:g} to {self.most:g} in this picture; say "
                f"{which} for all pictures: {flags} (in Python {python}), {OR_SAVE}"
            )
        if self.doubted and 0 < self.most <= NARROW and not self.repeated:
            bits = int(self.most).bit_length()
            raise ValueError(
                f"16 bits a value, but none above {self.most:g} of 65535: most likely {bits}-bit values; say which "
                f"value is white: --white {2**bits - 1}, or --white 65535 if it is that dark (in Python white=...; "
                "of a run --data.white)"
            )


def _windowed(values: np.ndarray, window: ValueWindow, least: float, most: float) -> np.ndarray:
    if not np.isfinite(least + most):
        raise ValueError("values that are NaN or infinite")
    if least < window.black or most > window.white:
        window.cut += int(np.count_nonzero((values < window.black) | (values > window.white)))
    span = window.white - window.black
    return np.rint((values.astype(np.float64) - window.black) * 255.0 / span).clip(0, 255).astype(np.uint8)


def levels_of(form: ValueForm, stated: Stated) -> Levels:
    """Return how values of a form become bytes.

    Args:
        form: how a value is stored.
        stated: what the user has stated; not used for unsigned values of 8 bits or less. Where nothing was stated and
            no value is agreed to be white, the values are only looked at, and ``check`` refuses them.
    """
    largest = float(2**form.bits - 1)
    if form.kind == "u" and form.bits <= 8:
        return Levels(largest)
    if isinstance(stated, ValueWindow):
        return Levels(stated.white, window=stated)
    if stated is not None:
        return Levels(float(stated))
    if form.kind == "u" and form.bits <= 16:
        return Levels(largest, doubted=form.bits == 16)
    return Levels(1.0, unknown=f"{form} values")
