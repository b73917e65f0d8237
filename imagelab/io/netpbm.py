"""Netpbm files: PBM, PGM and PPM (P1 to P6), PAM (P7) and PFM (PF, Pf), of any largest value.

Pillow cuts colours of 16 bits to 8, and takes only the first picture of several in one file without a word.

References:
    https://netpbm.sourceforge.net/doc/ (the formats); https://www.pauldebevec.com/Research/HDR/PFM/ (PFM).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import numpy as np
from PIL import Image

from .depth import Levels, Stated, ValueForm, levels_of
from .formats import PIXEL_LIMIT
from .layers import BAND

__all__ = ["MAGIC", "Netpbm", "netpbm", "netpbm_pictures"]

MAGIC = re.compile(rb"P[1-7Ff]\s")

_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*)*([^\s#]+)")
_LONG = re.compile(rb"\d{10}")
_REST = re.compile(rb"[\0\s]*")
_PAM_HEADER = 64  # lines
_TUPLES = {"BLACKANDWHITE": 1, "GRAYSCALE": 1, "RGB": 3}


@dataclass(frozen=True)
class Netpbm:
    """One picture of a Netpbm file: its form, and where its values are.

    Attributes:
        kind: the letter or digit after P.
        width: pixels.
        height: pixels.
        channels: values a pixel.
        white: the largest value; for PFM the scale, negative for little-endian.
        alpha: whether the last channel is opacity.
        start: place of the first value in the file.
    """

    kind: str
    width: int
    height: int
    channels: int
    white: float
    alpha: bool
    start: int

    @property
    def bits(self) -> int:
        """Bits that are stored for a value."""
        if self.kind in "Ff":
            return 32
        return 1 if self.kind == "4" else 16 if self.white > 255 else 8

    @property
    def length(self) -> int:
        """Bytes of the values of a binary picture."""
        row = -(-self.width // 8) if self.kind == "4" else self.width * self.channels * (self.bits // 8)
        return row * self.height


def netpbm_pictures(content: bytes) -> Iterator[Netpbm]:
    """Yield the pictures of a file in order.

    Raises:
        ValueError: with the reason, if the content is not that of a Netpbm file; among pictures that were yielded.
    """
    place = 0
    while place < len(content):
        picture = _header(content, place)
        yield picture
        if picture.kind in "123":
            return  # plain text: one picture a file
        place = picture.start + picture.length
        following = _REST.match(content, place)
        place = following.end() if following else len(content)
        if place < len(content) and not MAGIC.match(content, place):
            raise ValueError(f"bytes after the picture that are no other one: {len(content) - place}")


def netpbm(file: BinaryIO, page: int, white: Stated) -> tuple[Image.Image, np.ndarray | None, bool, bool]:
    """Return a picture as 8 bits a value: mode L or RGB, alpha uint8 [H,W] or None, whether deep, whether of several.

    Args:
        file: the open file.
        page: which picture, from 1.
        white: the value that means white, if the user has stated one.

    Raises:
        ValueError: with the reason.
    """
    file.seek(0)
    content = file.read()
    found = list(islice(netpbm_pictures(content), page + 1))
    page = page if len(found) > 1 else 1
    if len(found) < page:
        raise ValueError(f"page {page}: the file holds {len(found)}")
    picture, several = found[page - 1], len(found) > 1
    if picture.kind in "Ff":
        values = _floats(content, picture)
    elif picture.kind == "4":
        values = 1 - _bits(content, picture)
    else:
        values = _integers(content, picture)
        values = 1 - values if picture.kind == "1" else values
    deep = picture.bits > 8
    if picture.kind in "Ff":
        colours = levels_of(ValueForm("f", 32), white)
    elif deep and white is not None:
        colours = levels_of(ValueForm("u", 16), white)
    else:
        colours = Levels(float(picture.white), doubted=picture.white == 65535)
    count = picture.channels - picture.alpha
    pixels = np.empty((picture.height, picture.width, count), np.uint8)
    step = max(1, BAND // max(1, picture.width))
    for top in range(0, picture.height, step):
        pixels[top : top + step] = colours.bytes_of(values[top : top + step, :, :count])
    colours.check()
    alpha = Levels(picture.white).bytes_of(values[..., -1]) if picture.alpha else None
    return Image.fromarray(pixels[..., 0] if count == 1 else pixels), alpha, deep, several


def _header(content: bytes, place: int) -> Netpbm:
    kind = content[place + 1 : place + 2].decode("latin-1")
    if not MAGIC.match(content, place):
        raise ValueError("not a Netpbm header")
    if kind == "7":
        return _checked(_pam(content, place + 2))
    words, place = [], place + 2
    for _ in range(2 if kind in "14" else 3):
        match = _TOKEN.match(content, place)
        if match is None or len(match[1]) > 20:
            raise ValueError("the header is not whole")
        words.append(match[1])
        place = match.end()
    try:
        width, height = int(words[0]), int(words[1])
        white = 1.0 if kind in "14" else float(words[2]) if kind in "Ff" else float(int(words[2]))
    except ValueError as error:
        raise ValueError("the header holds no numbers") from error
    channels = 3 if kind in "36F" else 1
    return _checked(Netpbm(kind, width, height, channels, white, False, place + 1))


def _pam(content: bytes, place: int) -> Netpbm:
    fields: dict[str, str] = {}
    for _ in range(_PAM_HEADER):
        end = content.find(b"\n", place)
        if end < 0 or end - place > 1000:
            break
        word, _, value = content[place:end].decode("latin-1").strip().partition(" ")
        place = end + 1
        if word == "ENDHDR":
            break
        if word and not word.startswith("#"):
            fields[word] = value.strip()
    try:
        width, height, depth, white = (int(fields[name]) for name in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL"))
    except (KeyError, ValueError) as error:
        raise ValueError("the PAM header is not whole") from error
    kind = fields.get("TUPLTYPE") or {1: "GRAYSCALE", 3: "RGB"}.get(depth, "")
    plain, alpha = kind.removesuffix("_ALPHA"), kind.endswith("_ALPHA")
    if _TUPLES.get(plain, -1) + alpha != depth:
        raise ValueError(f"PAM of {depth} values a pixel, TUPLTYPE {kind or 'none'!r}; save it as grey or RGB")
    return Netpbm("7", width, height, depth, float(white), alpha, place)


def _checked(picture: Netpbm) -> Netpbm:
    if picture.width < 1 or picture.height < 1:
        raise ValueError(f"{picture.width} x {picture.height} pixels")
    if picture.width * picture.height > PIXEL_LIMIT:
        raise ValueError(f"{picture.width} x {picture.height} pixels, more than the limit of {PIXEL_LIMIT:,}")
    if picture.kind not in "Ff" and not 1 <= picture.white <= 65535:
        raise ValueError(f"a largest value of {picture.white:g}; expected 1 to 65535")
    if picture.kind in "Ff" and not (picture.white and abs(picture.white) < float("inf")):
        raise ValueError(f"a scale of {picture.white:g}")
    return picture


def _block(content: bytes, picture: Netpbm) -> memoryview:
    block = memoryview(content)[picture.start : picture.start + picture.length]
    if len(block) < picture.length:
        raise ValueError(f"image file is truncated ({picture.length - len(block)} bytes are missing)")
    return block


def _shaped(values: np.ndarray, picture: Netpbm) -> np.ndarray:
    return values.reshape(picture.height, picture.width, picture.channels)


def _floats(content: bytes, picture: Netpbm) -> np.ndarray:
    """PFM: rows from the bottom to the top; the sign of the scale is the order of the bytes."""
    values = np.frombuffer(_block(content, picture), "<f4" if picture.white < 0 else ">f4")
    return _shaped(values, picture)[::-1]


def _bits(content: bytes, picture: Netpbm) -> np.ndarray:
    rows = np.frombuffer(_block(content, picture), np.uint8).reshape(picture.height, -1)
    return np.unpackbits(rows, axis=1, count=picture.width)[..., None]


def _integers(content: bytes, picture: Netpbm) -> np.ndarray:
    if picture.kind in "123":
        return _plain(content, picture)
    return _shaped(np.frombuffer(_block(content, picture), ">u2" if picture.bits == 16 else np.uint8), picture)


def _plain(content: bytes, picture: Netpbm) -> np.ndarray:
    """P1 to P3: numbers as text; in P1 the digits may stand without spaces."""
    text = re.sub(rb"#[^\r\n]*", b" ", content[picture.start - 1 :])
    count = picture.width * picture.height * picture.channels
    if text.translate(None, b"0123456789 \t\r\n\v\f") or (picture.kind != "1" and _LONG.search(text)):
        raise ValueError("a value that is no number")
    if picture.kind == "1":
        values = np.frombuffer(text.translate(None, b" \t\r\n\v\f"), np.uint8)[:count] - 48
    else:
        values = np.fromstring(text, np.int32, sep=" ")[:count] if text.strip() else np.zeros(0, np.int32)
    if len(values) < count:
        raise ValueError(f"image file is truncated ({len(values)} of {count} values)")
    return _shaped(values, picture)
