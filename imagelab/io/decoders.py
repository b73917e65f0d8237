"""One picture file to :class:`~imagelab.io.layers.Layers`: what it says of itself decides who decodes it.

Pillow decodes all that it takes for what it is. Netpbm files, PNG with 16 bits a value and TIFF that is not plain are
decoded here, because Pillow cuts, mistakes or refuses them.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from PIL import Image

from . import netpbm, png, tiff
from .budget import claim
from .chatter import c_stderr, hear
from .depth import Stated
from .dicom import dicom_layers, dicom_pages, is_dicom
from .formats import PIXEL_LIMIT, formats
from .layers import Layers
from .tiff_values import EXTRA, tiff_values

__all__ = ["ORIENTATION", "check_size", "layers_of", "pages_of"]

ORIENTATION = 0x0112  # the EXIF tag
PROFILE = 34675  # the TIFF tag
HEAD = 132  # bytes by which a format is recognised
MOST_SEGMENTS = 1000  # before the pixels of a JPEG
AVIF_HEAD = 1 << 16  # bytes in which the boxes of an AVIF lie that say what its values are
BYTES = {"1": 2, "L": 2, "P": 4, "I;16": 4, "RGB;16": 11, "RGBA;16": 12}  # of a pixel; 7 for all others
WIDE = re.compile(rb"colrnclx\0(?:[\x09\x0b\x0c]\0.|.\0[\x08\x10\x12])", re.DOTALL)  # BT.2020, P3; linear, PQ, HLG


def check_size(width: int, height: int, mode: str = "RGB") -> None:
    """Refuse a picture of too many pixels, and wait until there is memory for any other.

    Args:
        width: pixels.
        height: pixels.
        mode: of the image that will be decoded. Pillow takes 1, 2 or 4 bytes a pixel for it; the result 1 or 3.

    Raises:
        ValueError: with the numbers.
    """
    if width * height > PIXEL_LIMIT:
        raise ValueError(f"{width} x {height} pixels, more than the limit of {PIXEL_LIMIT:,}")
    claim(width * height * BYTES.get(mode, 7))


def layers_of(file: BinaryIO, page: int | None, white: Stated) -> Layers:
    """Decode one picture of a file.

    Args:
        file: the open file.
        page: which of its pictures, if it holds several, from 1; None for the first.
        white: the value that means white in pictures whose values are not bytes, if the user has stated it.

    Raises:
        ValueError: with the reason; and almost anything that Pillow's decoders raise on damaged files.
    """
    file.seek(0)
    head = file.read(HEAD)
    if is_dicom(head):
        return dicom_layers(file, page or 1, white)
    if netpbm.MAGIC.match(head):
        return _netpbm(file, page or 1, white)
    if head[:4] in tiff.MAGIC:
        return _tiff(file, page or 1, white)
    if head.startswith(b"\xff\xd8"):
        _check_jpeg(file)
    header = png.png_header(file) if head.startswith(png.SIGNATURE) else None
    if header is not None and header.depth == 16:
        return _deep_png(file, header, page or 1, white)
    if header is not None:
        png.check_pixels(file, header)
        file.seek(0)
    layers = _by_pillow(file, page)
    if header is not None:
        layers.alpha = png.small_alpha(header, layers.image)
        if layers.alpha is not None:
            layers.image.info.pop("transparency", None)
        layers.remarks += [png.UNUSED_COLOURS] * header.other_colours
    return layers


def _check_jpeg(file: BinaryIO) -> None:
    """Refuse a JPEG of more than 8 bits a value, which Pillow takes for no picture.

    Raises:
        ValueError: with the number of bits.
    """
    place = 2
    for _ in range(MOST_SEGMENTS):
        file.seek(place)
        marker = file.read(5)
        if len(marker) < 5 or marker[0] != 0xFF:
            return
        if marker[1] in (0xFF, 0x01) or 0xD0 <= marker[1] <= 0xD8:  # without a length
            place += 1 if marker[1] == 0xFF else 2
            continue
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            if marker[4] > 8:
                raise ValueError(f"a JPEG of {marker[4]} bits a value, which is not read; save it as PNG or TIFF")
            return
        place += 2 + int.from_bytes(marker[2:4], "big")


def pages_of(file: BinaryIO) -> int:
    """Return how many pictures a file holds.

    Raises:
        ValueError: if it cannot be read; and almost anything that Pillow's decoders raise on damaged files.
    """
    file.seek(0)
    head = file.read(HEAD)
    if is_dicom(head):
        return dicom_pages(file)
    if netpbm.MAGIC.match(head):
        file.seek(0)
        return sum(1 for _ in netpbm.netpbm_pictures(file.read()))
    if head[:4] in tiff.MAGIC:
        return sum(1 for _ in tiff.directories(file, count_only=True))
    return int(getattr(_open(file), "n_frames", 1))


def _open(file: BinaryIO) -> Image.Image:
    file.seek(0)
    return Image.open(file, formats=formats())


def _by_pillow(file: BinaryIO, page: int | None) -> Layers:
    opened = _open(file)
    check_size(opened.width, opened.height, opened.mode)
    several = bool(getattr(opened, "is_animated", False))
    if several and page is not None and page > 1:
        try:
            opened.seek(page - 1)
        except EOFError as error:
            raise ValueError(f"page {page}: the file holds {getattr(opened, 'n_frames', 1)}") from error
        check_size(opened.width, opened.height, opened.mode)
    opened.load()
    layers = Layers(opened, profile=opened.info.get("icc_profile"), several=several)
    layers.orientation = opened.getexif().get(ORIENTATION, 1)
    if opened.format == "AVIF":
        file.seek(0)
        head = file.read(AVIF_HEAD)
        properties = head.find(b"av1C") + 4
        layers.deep = properties > 3 and len(head) > properties + 2 and bool(head[properties + 2] & 0x40)
        layers.remarks += [png.UNUSED_COLOURS] * bool(WIDE.search(head) and not layers.profile)
    return layers


def _deep_png(file: BinaryIO, header: png.PngHeader, page: int, white: Stated) -> Layers:
    check_size(header.width, header.height, "RGBA;16" if header.kind else "I;16")
    opened = _open(file)  # only for the profile, the orientation and the number of pictures
    several = bool(getattr(opened, "is_animated", False))
    if several and page > 1:
        raise ValueError("an animation of 16 bits a value, of which only the first picture can be read")
    layers = Layers(*png.deep_png(file, header, white), opened.info.get("icc_profile"), deep=True)
    layers.orientation = opened.getexif().get(ORIENTATION, 1)
    layers.several = several
    layers.remarks += [png.UNUSED_COLOURS] * header.other_colours
    return layers


def _netpbm(file: BinaryIO, page: int, white: Stated) -> Layers:
    image, alpha, deep, several = netpbm.netpbm(file, page, white)
    return Layers(image, alpha, deep=deep, several=several)


def _tiff(file: BinaryIO, page: int, white: Stated) -> Layers:
    chosen, several = _directory(file, page)
    chosen.check()
    check_size(chosen.width, chosen.height)
    if chosen.plain:
        with c_stderr():
            layers = _by_pillow(file, page)
        layers.several = several
        return layers
    profile, orientation = chosen.tags.get(PROFILE), chosen.number(ORIENTATION, 1)
    layers = Layers(*tiff_values(file, chosen, white), profile if isinstance(profile, bytes) else None, orientation)
    layers.deep, layers.several = chosen.form.bits > 8, several
    layers.remarks += [EXTRA] * (chosen.alpha == "unknown")
    return layers


def _directory(file: BinaryIO, page: int) -> tuple[tiff.Directory, bool]:
    """Return one picture of a TIFF, and whether there are several."""
    found: list[tiff.Directory] = []
    try:
        for directory in tiff.directories(file):
            found.append(directory)
            if len(found) > page:
                break
    except ValueError as error:
        if not found:
            raise
        hear(f"after picture {len(found)}: {error}")
    if len(found) == 1:
        return found[0], False
    if len(found) < page:
        raise ValueError(f"page {page}: the file holds {len(found)}")
    return found[page - 1], True
