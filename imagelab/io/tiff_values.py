"""The values of a TIFF that is not plain: strips or tiles, interleaved or in planes, of any depth, to 8 bits a value.

Only unpacking is left to libraries: zlib for deflate, and Pillow's libtiff for LZW, PackBits, LZMA and Zstandard, which
is given each strip as grey bytes. Bits, order, predictor, planes and white are dealt with here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from .chatter import c_stderr
from .depth import Stated, ValueForm, levels_of, white_of
from .layers import BAND
from .tiff import Directory

__all__ = ["EXTRA", "tiff_values"]

EXTRA = "extra channels without a stated meaning, which were not used"

DEFLATE = (8, 32946)
MOST_PACKED = 80_000_000  # bytes that Pillow unpacks as one picture without a warning


@dataclass(frozen=True)
class _Piece:
    """A strip or tile: its plane (0 if interleaved), its place and full size in pixels, and its bytes in the file."""

    plane: int
    top: int
    left: int
    rows: int
    columns: int
    place: int
    size: int


def tiff_values(file: BinaryIO, page: Directory, white: Stated) -> tuple[Image.Image, np.ndarray | None]:
    """Return a picture of 8 bits a value and its alpha, uint8 [H,W].

    The image is L, RGB, CMYK, or La or RGBa where the colours were multiplied by alpha.

    Args:
        file: the open file.
        page: which picture; it was checked.
        white: the value that means white, if the user has stated one.

    Raises:
        ValueError: with the reason.
    """
    form, channels, kind = page.form, page.channels, page.alpha
    colours = levels_of(form, white)
    opaque = levels_of(
        form, None if form.kind == "u" and form.bits <= 16 else 1.0 if form.kind == "f" else white_of(white)
    )
    has_alpha = kind in ("alpha", "premultiplied")
    result = np.empty((page.height, page.width, channels + has_alpha), np.uint8)
    for piece in _pieces(page):
        for top, values in _bands(file, page, piece, form):
            rows, columns = values.shape[:2]
            target = result[top : top + rows, piece.left : piece.left + columns]
            if page.planes:
                if piece.plane < target.shape[2]:
                    levels = colours if piece.plane < channels else opaque
                    target[..., piece.plane] = levels.bytes_of(values[..., 0])
                continue
            target[..., :channels] = colours.bytes_of(values[..., :channels])
            if has_alpha:
                target[..., channels] = opaque.bytes_of(values[..., channels])
    colours.check()
    if has_alpha and opaque.white != colours.white and opaque.most <= colours.white:
        raise ValueError(f"transparency of at most {opaque.most:g}: it is not clear which value is opaque")
    if page.white_is_zero:
        np.subtract(255, result[..., :1], out=result[..., :1])
    return _image(result, channels, kind)


def _image(result: np.ndarray, channels: int, kind: str) -> tuple[Image.Image, np.ndarray | None]:
    if kind == "premultiplied":
        mode = "La" if channels == 1 else "RGBa"
        height, width = result.shape[:2]
        return Image.frombytes(mode, (width, height), result.tobytes()), None
    colours = result[..., :channels]
    if channels == 4:
        height, width = result.shape[:2]
        return Image.frombytes("CMYK", (width, height), colours.tobytes()), None
    image = Image.fromarray(np.ascontiguousarray(colours[..., 0] if channels == 1 else colours))
    return image, np.ascontiguousarray(result[..., channels]) if kind == "alpha" else None


def _pieces(page: Directory) -> Iterator[_Piece]:
    tiled = bool(page.values(322))
    columns = page.number(322, 0) if tiled else page.width
    rows = page.number(323, 0) if tiled else min(page.number(278, page.height) or page.height, page.height)
    places, sizes = page.values(324 if tiled else 273), page.values(325 if tiled else 279)
    if not (0 < rows <= 1 << 20 and 0 < columns <= 1 << 20):
        raise ValueError(f"pieces of {columns} x {rows} pixels")
    planes = page.samples if page.planes else 1
    corners = [(top, left) for top in range(0, page.height, rows) for left in range(0, page.width, columns)]
    if len(corners) * planes != len(places) or len(places) != len(sizes):
        raise ValueError(f"{len(places)} pieces; expected {len(corners) * planes}")
    for number, (place, size) in enumerate(zip(places, sizes, strict=True)):
        top, left = corners[number % len(corners)]
        full = rows if tiled else min(rows, page.height - top)
        yield _Piece(number // len(corners), top, left, full, columns, place, size)


def _bands(file: BinaryIO, page: Directory, piece: _Piece, form: ValueForm) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, values [rows,columns,values a pixel]) of the part of a piece that lies in the picture."""
    count = 1 if page.planes else page.samples
    line = -(-piece.columns * count * form.bits // 8)
    content = np.frombuffer(_unpacked(file, page, piece, line), np.uint8).reshape(piece.rows, line)
    height, width = min(piece.rows, page.height - piece.top), min(piece.columns, page.width - piece.left)
    step = max(1, BAND // max(1, piece.columns * count))
    for first in range(0, height, step):
        rows = content[first : min(first + step, height)]
        values = _numbers(rows, page, form, piece.columns, count)
        yield piece.top + first, values[:, :width]


def _numbers(rows: np.ndarray, page: Directory, form: ValueForm, columns: int, count: int) -> np.ndarray:
    """Return the values of rows of bytes, [rows,columns,count]."""
    predictor, bits = page.number(317, 1), form.bits
    shape = (len(rows), columns, count)
    if bits not in (8, 16, 32, 64):
        flat = np.unpackbits(rows, axis=1, count=columns * count * bits).reshape(*shape, bits)
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint32)
        return (flat * weights).sum(axis=-1, dtype=np.uint32).astype(np.uint16)
    if predictor == 3:  # differences of bytes; the bytes of a row by significance
        flat = rows.reshape(len(rows), -1, count)
        flat = np.cumsum(flat, axis=1, dtype=np.uint8).reshape(len(rows), bits // 8, columns * count)
        return np.ascontiguousarray(flat.swapaxes(1, 2)).view(f">f{bits // 8}").reshape(shape)
    values = np.ascontiguousarray(rows).view(f"{page.order}{form.kind}{bits // 8}").reshape(shape)
    if predictor == 2:
        values = np.cumsum(values, axis=1, dtype=values.dtype.newbyteorder("="))
    return values


def _unpacked(file: BinaryIO, page: Directory, piece: _Piece, line: int) -> bytes:
    """Return the bytes of a piece as they were before compression.

    Raises:
        ValueError: if they are damaged, or fewer than the picture needs.
    """
    expected = line * piece.rows
    file.seek(piece.place)
    packed = file.read(piece.size if page.compression != 1 else min(piece.size, expected))
    if page.number(266, 1) == 2:
        packed = packed.translate(_REVERSED)
    if page.compression == 1:
        content = packed
    elif page.compression in DEFLATE:
        try:
            content = zlib.decompressobj().decompress(packed, expected)
        except zlib.error as error:
            raise ValueError(f"image file is damaged ({error})") from error
    else:
        content = _by_libtiff(packed, page.compression, line, piece.rows)
    if len(content) < expected:
        raise ValueError(f"image file is truncated ({expected - len(content)} bytes of a piece are missing)")
    return content[:expected]


def _by_libtiff(packed: bytes, compression: int, line: int, rows: int) -> bytes:
    if line * rows > MOST_PACKED:
        raise ValueError(f"a compressed piece of {line * rows} bytes, more than {MOST_PACKED:,}; save it in strips")
    tags = [(256, line), (257, rows), (258, 8), (259, compression), (262, 1), (273, 0), (277, 1), (278, rows)]
    tags.append((279, len(packed)))
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags)
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + packed
    try:
        with c_stderr(), Image.open(io.BytesIO(file), formats=("TIFF",)) as opened:
            return opened.tobytes()
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise ValueError(f"image file is truncated or damaged ({error})") from error


_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
