"""What a TIFF says of itself, and its values, whatever their depth, format, planes and alpha.

Pillow decodes what is plain: 8 unsigned bits a value, interleaved, no extra channels. Some of the rest it takes for
what it is not (planes of 16 bits, signed values, white that is zero), and some it refuses. All of the rest is decoded
by tiff_values.py, or is refused by its reason.

References:
    TIFF revision 6.0 (Aldus 1992); Adobe Photoshop TIFF technical notes (Adobe 2002).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .depth import ValueForm
from .formats import PIXEL_LIMIT

__all__ = ["MAGIC", "Directory", "directories"]

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MOST_PAGES = 10_000
MOST_VALUES = 1 << 20  # of one tag

_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q"}
_SIZES = {**{kind: struct.calcsize(f"<{code}") for kind, code in _TYPES.items()}, 5: 8, 10: 8, 18: 8}

_MEANINGS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "LAB"}
_CHANNELS = {"grey": 1, "RGB": 3, "palette": 1, "CMYK": 4, "YCbCr": 3, "LAB": 3}
_LOSSLESS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate", 34925: "LZMA", 50000: "Zstandard"}
_BILEVEL = (2, 3, 4, 32771)  # coders of faxes
_UNITS = {1: "u", 2: "i", 3: "f", 4: "u"}


@dataclass(frozen=True)
class Directory:
    """One picture of a TIFF: its tags by number, and the order of its bytes, "<" or ">"."""

    order: str
    tags: dict[int, tuple[int | float, ...] | bytes]

    def values(self, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; none where it is missing or of another type."""
        found = self.tags.get(tag, ())
        return () if isinstance(found, bytes) else tuple(int(value) for value in found)

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a tag, or the default."""
        return next(iter(self.values(tag)), default)

    @property
    def width(self) -> int:
        """Pixels."""
        return self.number(256, 0)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.number(257, 0)

    @property
    def samples(self) -> int:
        """Values a pixel."""
        return self.number(277, 1)

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of each value of a pixel."""
        return self.values(258) or (1,)

    @property
    def compression(self) -> int:
        """The number of the compression; 1 is none."""
        return self.number(259, 1)

    @property
    def meaning(self) -> str:
        """What the colours are: grey, RGB, palette, CMYK, YCbCr or LAB; "" for anything else."""
        return _MEANINGS.get(self.number(262, 1), "")

    @property
    def channels(self) -> int:
        """Values of a pixel that are its colour."""
        return _CHANNELS.get(self.meaning, 1)

    @property
    def white_is_zero(self) -> bool:
        """Whether the largest value is black."""
        return self.number(262, 1) == 0

    @property
    def planes(self) -> bool:
        """Whether each channel is stored by itself."""
        return self.number(284, 1) == 2 and self.samples > 1

    @property
    def form(self) -> ValueForm:
        """How a value is stored.

        Raises:
            ValueError: if the values of a pixel are not all stored alike, or in a form that is not known.
        """
        formats = set(self.values(339) or (1,))
        if len(set(self.bits)) > 1 or len(formats) > 1:
            raise ValueError(f"channels of different forms (bits {self.bits[:8]}); save it with 8 or 16 bits a value")
        kind, bits = _UNITS.get(formats.pop(), ""), self.bits[0]
        wide = (8, 16, 32, 64)
        if not ((kind in ("u", "i") and (1 <= bits <= 16 or bits in wide)) or (kind == "f" and bits in (16, 32, 64))):
            raise ValueError(f"{bits}-bit values of a form that is not read; save it with 8 or 16 bits a value")
        if kind == "i" and bits not in wide:
            raise ValueError(f"signed values of {bits} bits; save it with 8 or 16 unsigned bits a value")
        return ValueForm("f" if kind == "f" else "i" if kind == "i" else "u", bits)

    @property
    def alpha(self) -> str:
        """What the first extra channel is: "" (none), "premultiplied", "alpha", or "unknown"."""
        if self.samples <= self.channels:
            return ""
        return {1: "premultiplied", 2: "alpha"}.get(self.number(338, 0), "unknown")

    @property
    def lossless(self) -> bool:
        """Whether the values are those that were stored."""
        return self.compression in _LOSSLESS

    @property
    def plain(self) -> bool:
        """Whether Pillow decodes it as it is meant."""
        if self.compression in _BILEVEL or (self.bits == (1,) and self.samples == 1 and self.lossless):
            return self.number(339, 1) == 1 and self.meaning == "grey" and self.samples == 1
        small = self.meaning == "palette" and self.bits[0] <= 8
        if not (small or set(self.bits) == {8}) or set(self.values(339)) - {1, 4} or (self.alpha and self.lossless):
            return False
        if self.number(332, 1) != 1 or self.white_is_zero or self.planes:
            return False
        return self.number(317, 1) == 1 or (self.number(317, 1) == 2 and self.compression in (5, 8, 32946, 50000))

    def check(self) -> None:
        """Refuse what cannot be read as it is meant.

        Raises:
            ValueError: with the reason and a way out.
        """
        if self.width < 1 or self.height < 1:
            raise ValueError(f"{self.width} x {self.height} pixels")
        if self.width * self.height > PIXEL_LIMIT:
            raise ValueError(f"{self.width} x {self.height} pixels, more than the limit of {PIXEL_LIMIT:,}")
        if not self.meaning:
            raise ValueError(f"colours of a kind that is not read (photometric {self.number(262, 1)}); save it as RGB")
        if self.plain:
            return
        form = self.form
        if self.meaning in ("palette", "YCbCr", "LAB") or self.number(332, 1) != 1:
            raise ValueError(f"{self.meaning} of {form} values in a layout that is not read; save it as RGB of 8 bits")
        if not self.lossless:
            raise ValueError(
                f"{form} values, {self.samples} a pixel, in compression {self.compression}, which is not read; "
                "save it with LZW or without compression"
            )
        if self.samples < self.channels or self.samples > 64:
            raise ValueError(f"{self.samples} values a pixel for {self.meaning}")
        if self.meaning == "grey" and self.alpha == "unknown":
            raise ValueError(f"{self.samples} channels without a stated meaning; save it as grey or RGB")
        if self.meaning == "CMYK" and self.alpha in ("alpha", "premultiplied"):
            raise ValueError("CMYK with transparency; save it as RGB with transparency")
        self._check_predictor()

    def _check_predictor(self) -> None:
        predictor, form = self.number(317, 1), self.form
        if predictor == 1:
            return
        if self.compression == 1:
            raise ValueError(
                f"it states a predictor ({predictor}) but no compression, and programs do not agree what its values "
                "are; save it without predictor"
            )
        if self.compression not in (5, 8, 32946, 34925, 50000):
            raise ValueError(f"predictor {predictor} with {_LOSSLESS.get(self.compression)}; save it without predictor")
        if not (predictor == 2 and form.bits in (8, 16, 32, 64) and form.kind != "f") and not (
            predictor == 3 and form.kind == "f"
        ):
            raise ValueError(f"predictor {predictor} for {form} values is not read; save it without predictor")


def directories(file: BinaryIO, count_only: bool = False) -> Iterator[Directory]:
    """Yield the pictures of a TIFF (or BigTIFF) in order.

    Args:
        file: the open file.
        count_only: leave out what the tags say, which may be long.

    Raises:
        ValueError: if the file ends too early or goes round in a circle; after the pictures that were yielded.
    """
    file.seek(0)
    head = file.read(16)
    order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
    if head[:4] not in MAGIC or len(head) < (16 if big else 8):
        raise ValueError("not a whole TIFF header")
    place = struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]
    seen: set[int] = set()
    while place:
        if place in seen or len(seen) >= MOST_PAGES:
            raise ValueError("its list of pictures goes round in a circle, or has no end")
        seen.add(place)
        directory, place = _directory(file, place, order, big, count_only)
        yield directory


def _directory(file: BinaryIO, place: int, order: str, big: bool, count_only: bool) -> tuple[Directory, int]:
    """Return a picture and the place of the next one, 0 for none."""
    entry, count_form, next_form = (20, "Q", "Q") if big else (12, "H", "I")
    count = struct.unpack(f"{order}{count_form}", _exactly(file, place, 8 if big else 2))[0]
    if count > 4096:
        raise ValueError(f"a picture with {count} tags")
    start = place + (8 if big else 2)
    block = _exactly(file, start, count * entry)
    tags: dict[int, tuple[int | float, ...] | bytes] = {}
    for at in range(0, 0 if count_only else len(block), entry):
        tag, kind = struct.unpack(f"{order}HH", block[at : at + 4])
        inside = block[at + (12 if big else 8) : at + entry]
        length = struct.unpack(f"{order}{'Q' if big else 'I'}", block[at + 4 : at + (12 if big else 8)])[0]
        if kind not in _SIZES or length > MOST_VALUES * (4 if kind == 7 else 1):
            continue
        size = _SIZES[kind] * length
        if size > len(inside):
            outside = struct.unpack(f"{order}{next_form}", inside)[0]
            inside = _exactly(file, outside, size, "a tag's values lie outside of the file")
        if kind in (2, 7):
            tags[tag] = inside[:size]
        elif kind in _TYPES:
            tags[tag] = struct.unpack(f"{order}{length}{_TYPES[kind]}", inside[:size])
    following = _exactly(file, start + len(block), 8 if big else 4)
    return Directory(order, tags), struct.unpack(f"{order}{next_form}", following)[0]


def _exactly(file: BinaryIO, place: int, size: int, otherwise: str = "image file is truncated") -> bytes:
    try:
        file.seek(place)
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(otherwise) from error
    content = file.read(size)
    if len(content) < size:
        raise ValueError(otherwise)
    return content
