"""What a PNG says of itself, and its 16-bit values: Pillow gives only the upper 8 of the 16 bits of colours.

References:
    Portable Network Graphics Specification, third edition (World Wide Web Consortium 2025).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from PIL import Image

from .depth import Stated, ValueForm, levels_of, white_of
from .layers import BAND

__all__ = ["SIGNATURE", "UNUSED_COLOURS", "PngHeader", "check_pixels", "deep_png", "png_header", "small_alpha"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UNUSED_COLOURS = "with colours that the file states to be others than sRGB (without a profile), not converted"

MOST_CHUNKS = 1 << 20
BLOCK_BYTES = 1 << 20  # read at once for a checksum
SRGB_GAMMA, GAMMA_SLACK = 45455, 2300  # times 100,000; libpng takes 5 per cent for the same
SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # white, red, green, blue; times 100,000
POINT_SLACK = 1000
GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6  # colour types


@dataclass
class PngHeader:
    """The header of a PNG and the small chunks that say what its values mean.

    Attributes:
        width: pixels.
        height: pixels.
        depth: bits a value.
        kind: colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        interlaced: whether the rows are interlaced.
        chunks: name -> content of gAMA, cHRM, cICP, sRGB, iCCP, tRNS.
        data: (place, length) of the compressed pixels in the file.
    """

    width: int
    height: int
    depth: int
    kind: int
    interlaced: bool
    chunks: dict[str, bytes] = field(default_factory=dict)
    data: list[tuple[int, int]] = field(default_factory=list)

    @property
    def other_colours(self) -> bool:
        """Whether it states colours other than sRGB by chunks that are not converted."""
        if "iCCP" in self.chunks:
            return False
        if "cICP" in self.chunks:
            return self.chunks["cICP"][:2] != b"\x01\x0d"  # primaries and transfer of sRGB
        if "sRGB" in self.chunks:
            return False
        gamma, points = self.chunks.get("gAMA", b""), self.chunks.get("cHRM", b"")
        if len(gamma) == 4 and abs(struct.unpack(">I", gamma)[0] - SRGB_GAMMA) > GAMMA_SLACK:
            return True
        if len(points) != 32:
            return False
        return any(
            abs(got - expected) > POINT_SLACK
            for got, expected in zip(struct.unpack(">8I", points), SRGB_POINTS, strict=True)
        )


def png_header(file: BinaryIO) -> PngHeader:
    """Return what a PNG says of itself; the file may end or be damaged after the first pixels.

    Raises:
        ValueError: if the header is not one of a PNG.
    """
    file.seek(0)
    start = file.read(33)
    if start[:8] != SIGNATURE or start[12:16] != b"IHDR" or len(start) < 33:
        raise ValueError("a damaged PNG file (its header is not whole)")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", start[16:29])
    header = PngHeader(width, height, depth, kind, bool(interlaced))
    for name, place, length in _chunks(file):
        if name == "IDAT":
            header.data.append((place, length))
        elif header.data:
            break
        elif name in ("gAMA", "cHRM", "cICP", "sRGB", "iCCP", "tRNS") and length <= 1 << 20:
            header.chunks[name] = file.read(length)
    return header


def _chunks(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Yield (name, place of the content, length) of the chunks after the header."""
    place = 33
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        yield name.decode("latin-1"), place + 8, length
        if name == b"IEND":
            return
        place += length + 12


def deep_png(file: BinaryIO, header: PngHeader, white: Stated) -> tuple[Image.Image, np.ndarray | None]:
    """Return a PNG of 16 bits a value as 8 bits, rounded, and its alpha, uint8 [H,W].

    Args:
        file: the open file.
        header: its header.
        white: the value that means white, if the user has stated one.

    Raises:
        ValueError: if the pixels are damaged, or if the white is in doubt.
    """
    packed = _packed(file, header)
    size = header.width, header.height
    try:
        if header.kind == GREY:
            halves = [Image.frombytes("I;16", size, packed, "zip", "I;16B", int(header.interlaced))]
        elif header.kind == GREY_ALPHA:  # four bytes a pixel as they are stored: high, low, alpha high, alpha low
            halves = [Image.frombytes("RGBA", size, packed, "zip", "RGBA", int(header.interlaced))]
        else:
            mode = "RGBA" if header.kind == RGB_ALPHA else "RGB"
            raws = (f"{mode};16B", f"{mode};16L")  # the upper bytes, the lower bytes
            halves = [Image.frombytes(mode, size, packed, "zip", raw, int(header.interlaced)) for raw in raws]
    except (ValueError, OSError, IndexError) as error:
        raise ValueError(f"image file is truncated or damaged ({error})") from error
    colours, alphas = levels_of(ValueForm("u", 16), white), levels_of(ValueForm("u", 16), None)
    key = _key(header)
    channels = 1 if header.kind in (GREY, GREY_ALPHA) else 3
    result = np.empty((header.height, header.width, channels), np.uint8)
    has_alpha = header.kind in (GREY_ALPHA, RGB_ALPHA) or key is not None
    alpha = np.empty((header.height, header.width), np.uint8) if has_alpha else None
    step = max(1, BAND // max(1, header.width))
    for top in range(0, header.height, step):
        bottom = min(top + step, header.height)
        values = _values([np.asarray(half.crop((0, top, header.width, bottom))) for half in halves])
        result[top:bottom] = colours.bytes_of(values[..., :channels])
        if alpha is not None:
            opaque = values[..., -1] if key is None else np.where((values == key).all(axis=-1), 0, 65535)
            alpha[top:bottom] = alphas.bytes_of(opaque.astype(np.uint16))
    colours.check()
    largest = white_of(white)
    if alpha is not None and key is None and largest not in (None, 65535) and alphas.most <= float(largest or 0):
        raise ValueError(f"transparency of at most {alphas.most:g}: it is not clear which value is opaque")
    return Image.fromarray(result[..., 0] if channels == 1 else result), alpha


def _values(halves: list[np.ndarray]) -> np.ndarray:
    """Join upper and lower bytes: uint16 [h,w,values of a pixel]."""
    if halves[0].ndim == 2:
        return halves[0][..., None]
    if len(halves) == 1:
        stored = halves[0].astype(np.uint16)
        return (stored[..., 0::2] << 8) | stored[..., 1::2]
    return (halves[0].astype(np.uint16) << 8) | halves[1]


def _key(header: PngHeader) -> np.ndarray | None:
    """Return the colour that is transparent, uint16 [1 or 3]; None if none is."""
    needed = {GREY: 2, RGB: 6}.get(header.kind)
    stored = header.chunks.get("tRNS", b"")
    return np.frombuffer(stored, ">u2") if needed and len(stored) == needed else None


def check_pixels(file: BinaryIO, header: PngHeader) -> None:
    """Compare the compressed pixels with their CRC-32, which Pillow does not do; the file may end before its end mark.

    Raises:
        ValueError: if a checksum does not fit.
    """
    for place, length in header.data:
        file.seek(place - 4)
        total, left = 0, length + 4
        while left and (part := file.read(min(left, BLOCK_BYTES))):
            total, left = zlib.crc32(part, total), left - len(part)
        stored = file.read(4)
        if left or len(stored) < 4 or total != struct.unpack(">I", stored)[0]:
            raise ValueError("image file is truncated or damaged (a wrong checksum)")


def _packed(file: BinaryIO, header: PngHeader) -> bytes:
    check_pixels(file, header)
    parts = []
    for place, length in header.data:
        file.seek(place)
        parts.append(file.read(length))
    return b"".join(parts)


def small_alpha(header: PngHeader, image: Image.Image) -> np.ndarray | None:
    """Return the alpha, uint8 [H,W], of a grey PNG of 1, 2 or 4 bits of which one value is transparent; else None.

    Pillow scales the values to 8 bits, but not the transparent value.
    """
    key = _key(header)
    if header.kind != GREY or header.depth > 4 or key is None:
        return None
    scaled = int(key[0]) * (255 // (2**header.depth - 1))
    return np.where(np.asarray(image.convert("L")) == scaled, 0, 255).astype(np.uint8)
