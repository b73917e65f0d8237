"""What a picture file says about itself: XMP packets, and the keywords that imagelab writes. Anybody can write them.

Nothing here is evidence. A claim is told as a claim, and a file without any is not told to be a photograph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ..io.chatter import listening, said
from ..io.formats import FORMATS
from ..io.marks import SOURCE_TYPES, Origin, claimed_origin
from ..io.untrusted import quoted

__all__ = ["Claims", "claims_in", "is_svg", "svg_claims"]

MOST_SVG = 10_000_000
"""Bytes of an SVG file that are read."""

_OLD_KEYWORD = "Iptc4xmpExt:DigitalSourceType"
_PACKETS = ("XML:com.adobe.xmp", "xmp", "comment")

_WORDS: dict[Origin, str] = {
    "drawn": "drawn by a program that was not trained",
    "model": "made by a trained model",
    "camera": "taken by a camera",
    "mixture": "composed of several pictures, at least one of them synthetic",
    "chart": "a chart of data",
}


@dataclass(frozen=True)
class Claims:
    """What a file says about itself.

    Attributes:
        origin: how it says it came about; None if it does not say.
        address: the IPTC address of that.
        software: what it says wrote it; "" if it does not say.
        record: what it says about its place in a run of imagelab; empty if it says nothing.
    """

    origin: Origin | None = None
    address: str = ""
    software: str = ""
    record: Mapping[str, Any] | None = None

    @property
    def words(self) -> str:
        """The origin in words; "" if the file does not say it."""
        return _WORDS[self.origin] if self.origin else ""

    def __bool__(self) -> bool:
        return bool(self.origin or self.record or self.software)


def claims_in(path: Path) -> Claims:
    """Return what a picture file that was read before says about itself; nothing where its texts cannot be read."""
    with listening(), said():
        try:
            with path.open("rb") as file:
                return _claims(file)
        except Exception:  # Pillow's readers raise almost anything on damaged files
            return Claims()


def _claims(file: BinaryIO) -> Claims:
    with Image.open(file, formats=FORMATS) as image:
        if image.format == "PNG":
            image.load()  # texts may follow the pixels
        info = {str(key): value for key, value in image.info.items()}
    packets = [info[key] for key in _PACKETS if isinstance(info.get(key), str | bytes)]
    origin: Origin | None = next((found for packet in packets if (found := claimed_origin(packet))), None)
    if origin is None and str(info.get(_OLD_KEYWORD)) == "trainedAlgorithmicMedia":  # imagelab 0.1
        origin = "model"
    return _said(origin, info.get("Software"), info.get("imagelab"))


def _said(origin: Origin | None, software: object, record: object) -> Claims:
    facts: Any = None
    if isinstance(record, str):
        try:
            facts = json.loads(record)
        except (ValueError, RecursionError):
            facts = None
    kept = {}
    if isinstance(facts, dict):
        names = ("run", "generation", "line", "row", "sha256", "noise_seed", "trained_on")
        kept = {key: quoted(facts[key], 80) for key in names if isinstance(facts.get(key), str | int)}
    address = SOURCE_TYPES[origin] if origin else ""
    return Claims(origin, address, quoted(software, 60) if isinstance(software, str) else "", kept or None)


def is_svg(path: Path) -> bool:
    """Return whether a file begins as an SVG drawing."""
    with path.open("rb") as file:
        head = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"<") and b"<svg" in head


def svg_claims(path: Path) -> Claims:
    """Return what an SVG drawing says about itself; only its first 10 MB are read."""
    with path.open("rb") as file:
        content = file.read(MOST_SVG)
    return _said(claimed_origin(content), None, None)
