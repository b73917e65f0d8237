"""Values of any depth to bytes: rounded to the nearest, by a white that the file states, or that the user states.

Unsigned integers of up to 16 bits have an agreed white, their largest value. Other values (signed, float, 32 bits) have
none and are refused until the user says which value is white. Black is 0. Nothing is clipped in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

__all__ = ["Levels", "ValueForm", "levels_of"]

NARROW = 4095  # largest value of a 12-bit camera; a 16-bit picture below it has most likely another white
SLACK = 1e-6  # of white: what float arithmetic may put beyond black and white
WAY_OUT = "say which value is white: --white {0} (in Python white={0}), or save it with 8 or 16 unsigned bits a value"


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
        most: the largest value so far.
        repeated: whether all values so far are bytes written twice, as programs turn 8 bits into 16.
    """

    white: float
    doubted: bool = False
    most: float = 0.0
    repeated: bool = True
    _table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare the bytes of all integers up to white; this is faster than arithmetic and takes less memory."""
        whole = self.white.is_integer() and self.white <= 65535
        values = np.arange(int(self.white) + 1 if whole else 0)
        self._table = np.rint(values * 255.0 / self.white).astype(np.uint8)

    def bytes_of(self, values: np.ndarray) -> np.ndarray:
        """Return uint8 values of the same shape.

        Raises:
            ValueError: if a value is NaN, infinite, below 0 or above white.
        """
        if not values.size:
            return values.astype(np.uint8)
        least, most = float(values.min()), float(values.max())  # NaN if there is one
        slack = SLACK * self.white if values.dtype.kind == "f" else 0.0
        if not (-slack <= least and most <= self.white + slack):
            raise ValueError(f"values from {least:g} to {most:g}, but black is 0 and white is {self.white:g}")
        self.most = max(self.most, most)
        if self.doubted and self.repeated and self.most <= NARROW:
            self.repeated = not (values % 257).any()
        if values.dtype.kind in "iu" and len(self._table):
            return self._table[values]
        return np.rint(values.astype(np.float64) * 255.0 / self.white).clip(0, 255).astype(np.uint8)

    def check(self) -> None:
        """Refuse a picture of which no value comes near white.

        Raises:
            ValueError: if the white is the agreed one of 16 bits, and all values lie in the range of 12 bits or less
                and are not those of a dark picture of 8 bits.
        """
        if self.doubted and 0 < self.most <= NARROW and not self.repeated:
            bits = int(self.most).bit_length()
            raise ValueError(
                f"16 bits a value, but none above {self.most:g} of 65535: most likely {bits}-bit values; say which "
                f"value is white: --white {2**bits - 1}, or --white 65535 if it is that dark (in Python white=...)"
            )


def levels_of(form: ValueForm, stated: float | None) -> Levels:
    """Return how values of a form become bytes.

    Args:
        form: how a value is stored.
        stated: the value that the user calls white; not used for values of 8 bits or less.

    Raises:
        ValueError: if no value is agreed to be white and none was stated.
    """
    largest = float(2**form.bits - 1)
    if form.kind == "u" and form.bits <= 8:
        return Levels(largest)
    if stated is not None:
        return Levels(float(stated))
    if form.kind == "u" and form.bits <= 16:
        return Levels(largest, doubted=form.bits == 16)
    example = "1" if form.kind == "f" else f"{2 ** (form.bits - (form.kind == 'i')) - 1}"
    kind = {"u": "unsigned", "i": "signed", "f": "float"}[form.kind]
    raise ValueError(f"{form.bits}-bit values without an agreed white ({kind}); {WAY_OUT.format(example)}")
