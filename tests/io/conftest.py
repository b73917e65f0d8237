"""Writers of tar files, and of pictures that no library writes: TIFF and PNG of any depth and layout, byte by byte."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

TIFF_FORMS = {1: "B", 2: "c", 3: "H", 4: "I", 7: "B"}


def _tiff(pieces: list[bytes], order: str, following: int = 0, **tags: Any) -> bytes:
    """One picture of a TIFF; ``tags`` are t256=(kind, values) and so on, those of the pieces are added."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + sum(map(len, pieces)))
    places = np.cumsum([8, *map(len, pieces)])[:-1].tolist()
    numbered = {int(name[1:]): value for name, value in tags.items()}
    tiled = 322 in numbered
    numbered |= {324 if tiled else 273: (4, places), 325 if tiled else 279: (4, [len(piece) for piece in pieces])}
    start, entries, outside = 8 + sum(map(len, pieces)), b"", b""
    after = start + 2 + 12 * len(numbered) + 4
    for tag, (kind, values) in sorted(numbered.items()):
        raw = bytes(values) if kind == 7 else struct.pack(f"{order}{len(values)}{TIFF_FORMS[kind]}", *values)
        entries += struct.pack(f"{order}HHI", tag, kind, len(values))
        if len(raw) <= 4:
            entries += raw.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}I", after + len(outside))
            outside += raw + b"\0" * (len(raw) % 2)
    count = struct.pack(f"{order}H", len(numbered))
    return head + b"".join(pieces) + count + entries + struct.pack(f"{order}I", following) + outside


@pytest.fixture
def tiff_of() -> Callable[..., bytes]:
    """Return (values [H,W,C], bits, ...) -> the bytes of a TIFF with these values."""

    def write(
        values: np.ndarray, bits: int, order: Literal["<", ">"] = "<", planes: bool = False, **tags: Any
    ) -> bytes:
        values = values if values.ndim == 3 else values[..., None]
        height, width, count = values.shape

        def packed(part: np.ndarray) -> bytes:
            if bits % 8 == 0:
                return part.astype(part.dtype.newbyteorder(order)).tobytes()
            rows = part.reshape(height, -1).astype(np.uint32)
            loose = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
            return np.packbits(loose.reshape(height, -1).astype(np.uint8), axis=1).tobytes()

        pieces = [packed(values[..., k]) for k in range(count)] if planes else [packed(values)]
        plain: dict[str, Any] = {
            "t256": (4, [width]),
            "t257": (4, [height]),
            "t258": (3, [bits] * count),
            "t259": (3, [1]),
            "t262": (3, [2 if count == 3 else 1]),
            "t277": (3, [count]),
            "t278": (4, [height]),
            "t284": (3, [2 if planes else 1]),
        }
        return _tiff(tags.pop("pieces", pieces), order, **plain | tags)

    return write


@pytest.fixture
def png_of() -> Callable[..., bytes]:
    """Return (values [H,W] or [H,W,C], bits, colour type, chunks, interlaced) -> the bytes of a PNG."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def rows(values: np.ndarray, bits: int) -> bytes:
        height = len(values)
        if bits == 16:
            raw = values.astype(">u2").view(np.uint8).reshape(height, -1)
        else:
            loose = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
            raw = np.packbits(loose.reshape(height, -1), axis=1)
        return b"".join(b"\0" + row.tobytes() for row in raw)

    def write(
        values: np.ndarray,
        bits: int,
        kind: int,
        chunks: tuple[tuple[bytes, bytes], ...] = (),
        interlaced: bool = False,
    ) -> bytes:
        values = values if values.ndim == 3 else values[..., None]
        height, width, _ = values.shape
        seven = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
        parts = [values[a::b, c::d] for a, b, c, d in seven] if interlaced else [values]
        content = zlib.compress(b"".join(rows(part, bits) for part in parts if part.size))
        header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
        more = b"".join(chunk(*each) for each in chunks)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", content) + chunk(b"IEND", b"")

    return write


Members = Sequence[tuple[str, bytes]]


def picture_bytes(seed: int, form: str = "PNG") -> bytes:
    """A picture of random colours, 8 x 8."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(file, form)
    return file.getvalue()


@pytest.fixture
def twelve() -> list[tuple[str, bytes]]:
    """Twelve pictures by their names."""
    return [(f"{i:03d}.png", picture_bytes(i)) for i in range(12)]


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a tar file: (name, members, mode, format, links as (name, target, type))."""

    def write(
        name: str,
        members: Members,
        mode: str = "w",
        form: int = tarfile.PAX_FORMAT,
        links: Sequence[tuple[str, str, bytes]] = (),
    ) -> Path:
        with tarfile.open(str(tmp_path / name), mode, format=form) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType]
            for member, content in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for member, target, kind in links:
                info = tarfile.TarInfo(member)
                info.type, info.linkname = kind, target
                archive.addfile(info)
        return tmp_path / name

    return write
