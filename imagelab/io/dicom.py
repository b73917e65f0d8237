"""DICOM files, read with pydicom (the extra ``dicom``): radiographs, slices of CT and MR, one frame at a time.

Only the elements that pixels need are parsed, and none of their texts is ever quoted: no name, no number and no date of
a patient can reach an output, a message or a provenance record. (The names of the files are kept as for any picture.)

Values are rescaled as the file says (RescaleSlope and RescaleIntercept; Hounsfield units in CT) and MONOCHROME1 is
inverted. The window of the file is only named, never used, because it may differ from file to file.

References:
    DICOM PS3.3, C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (window), https://dicom.nema.org/medical/dicom.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from .budget import claim
from .chatter import listening, said
from .depth import Stated, ValueForm, levels_of
from .formats import PIXEL_LIMIT
from .layers import Layers
from .reading import Source

__all__ = ["dicom_layers", "dicom_pages", "dicom_value", "is_dicom", "keyword_of"]

PLACE, MARK = 128, b"DICM"
MOST_BYTES = 1 << 29
DEFLATED = b"1.2.840.10008.1.2.1.99"
IN_HEAD = 1 << 14  # bytes in which the transfer syntax stands
BYTES = 24  # of a pixel while it is decoded and rescaled
PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData", "ExtendedOffsetTable"),
    *("ExtendedOffsetTableLengths", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter"),
    "WindowWidth",
)
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def is_dicom(head: bytes) -> bool:
    """Return whether a file that begins with these bytes, at least 132, is one of DICOM."""
    return head[PLACE : PLACE + len(MARK)] == MARK


def dicom_layers(file: BinaryIO, page: int, white: Stated) -> Layers:
    """Decode one frame.

    Args:
        file: the open file.
        page: which frame, from 1.
        white: what the user has stated of black and white, in rescaled values.

    Raises:
        ValueError: with the reason, without any text of the file.
    """
    found = _elements(file, PIXELS)
    rows, columns, samples = (_number(found, name, 0) for name in ("Rows", "Columns", "SamplesPerPixel"))
    frames, kind = _number(found, "NumberOfFrames", 1), str(found.get("PhotometricInterpretation", ""))
    if min(rows, columns) < 1 or "PixelData" not in found:
        raise ValueError("a DICOM file without a picture")
    if rows * columns > PIXEL_LIMIT:
        raise ValueError(f"{columns} x {rows} pixels, more than the limit of {PIXEL_LIMIT:,}")
    if kind not in (GREY if samples == 1 else COLOURS) or "ModalityLUTSequence" in found:
        raise ValueError(
            "a DICOM file whose colours or values go through a table, which is not read; expected MONOCHROME1, "
            "MONOCHROME2, RGB or YBR. Save it as PNG"
        )
    if page > max(frames, 1):
        raise ValueError(f"page {page}: the file holds {frames}")
    claim(rows * columns * samples * BYTES)
    values = _decoded(found, page - 1, (rows, columns) if samples == 1 else (rows, columns, samples))
    bits, signed = _number(found, "BitsStored", 16), _number(found, "PixelRepresentation", 0) == 1
    slope, intercept = _scale(found)
    plain = (slope, intercept) == (1.0, 0.0)
    levels = levels_of(ValueForm("i" if signed else "u", bits) if plain else ValueForm("f", 64), white)
    levels.unknown = "rescaled DICOM values" if levels.unknown and not plain else levels.unknown
    pixels = levels.bytes_of(values if plain else values * slope + intercept)
    try:
        levels.check()
    except ValueError as error:
        raise ValueError(f"{error}{_window_named(found)}") from error
    pixels = 255 - pixels if kind == "MONOCHROME1" else pixels
    return Layers(Image.fromarray(np.ascontiguousarray(pixels)), deep=bits > 8, several=frames > 1)


def dicom_pages(file: BinaryIO) -> int:
    """Return the number of frames."""
    return max(1, _number(_elements(file, ("NumberOfFrames",)), "NumberOfFrames", 1))


def keyword_of(rule: str) -> str | None:
    """Return the element that ``dicom:KEYWORD`` names; None for another rule.

    Raises:
        ValueError: if it is no keyword of DICOM, or pydicom is missing.
    """
    head, colon, keyword = rule.partition(":")
    if head != "dicom" or not colon:
        return None
    _require()
    from pydicom.datadict import tag_for_keyword

    if tag_for_keyword(keyword) is None:
        raise ValueError(f"group {rule!r}: expected a keyword of DICOM after the colon, such as dicom:PatientID")
    return keyword


def dicom_value(source: Source, keyword: str) -> str:
    """Return one element as text, to compare it with that of other files; "" where it is missing. Never show it."""
    try:
        with source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as file:
            file.seek(0)
            if not is_dicom(file.read(PLACE + len(MARK))):
                return ""
            return str(_elements(file, (keyword,)).get(keyword, "")).strip()
    except (OSError, ValueError):
        return ""


def _require() -> None:
    if importlib.util.find_spec("pydicom") is None:
        raise ValueError('DICOM needs pydicom: pip install "imagelab-collapse[dicom]"')


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let nothing that pydicom says of the content of a file be heard."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    with listening(), said():
        yield


def _elements(file: BinaryIO, keywords: tuple[str, ...]) -> Any:
    """Return the elements of a file, only those asked for.

    Raises:
        ValueError: if the file is too large, damaged or packed as a whole.
    """
    _require()
    import pydicom

    size = file.seek(0, 2)
    if size > MOST_BYTES:
        raise ValueError(
            f"{size:,} bytes, more than the limit of {MOST_BYTES:,} for a DICOM file; save its frames apart"
        )
    file.seek(0)
    if DEFLATED in file.read(IN_HEAD):
        raise ValueError("a DICOM file that is deflated as a whole, which is not read; save it uncompressed")
    file.seek(0)
    with _silence():
        try:
            found = pydicom.dcmread(file, specific_tags=list(keywords), stop_before_pixels="PixelData" not in keywords)
            for element in found:  # a value is parsed when it is asked for
                _ = element.value
        except Exception:  # damaged files raise almost anything, and it may quote them
            raise ValueError("a damaged DICOM file, or one of a kind that is not read") from None
    return found


def _decoded(found: Any, frame: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return the values of one frame; colours as RGB.

    Raises:
        ValueError: if they cannot be decoded, or are not as many as the file says.
    """
    from pydicom.pixels import pixel_array
    from pydicom.uid import UID_dictionary

    with _silence():
        try:
            values = pixel_array(found, index=frame)
        except Exception:  # as above; the reason may be a codec that is not installed
            syntax = UID_dictionary.get(str(getattr(found.file_meta, "TransferSyntaxUID", "")), ("of unknown form",))[0]
            raise ValueError(
                f"the pixels of this DICOM file ({syntax}) are damaged, or pydicom cannot decode them here; save it "
                f"uncompressed"
            ) from None
    if values.shape != shape or values.dtype.kind not in "iuf":
        raise ValueError(f"the pixels of this DICOM file have the shape {list(values.shape)}; expected {list(shape)}")
    return values


def _scale(found: Any) -> tuple[float, float]:
    """Return slope and intercept of the rescaled values."""
    try:
        slope, intercept = (
            float(found.get(name, value)) for name, value in (("RescaleSlope", 1), ("RescaleIntercept", 0))
        )
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError("a DICOM file whose RescaleSlope or RescaleIntercept is no number") from error
    if not (np.isfinite(slope) and np.isfinite(intercept) and slope):
        raise ValueError("a DICOM file whose RescaleSlope or RescaleIntercept is no number that can be used")
    return slope, intercept


def _window_named(found: Any) -> str:
    """Return the window of the file as a hint: the flags that would take it for all pictures."""
    centre, width = (found.get(name) for name in ("WindowCenter", "WindowWidth"))
    try:
        middle, wide = (
            float(each[0] if hasattr(each, "__len__") and not isinstance(each, str) else each)
            for each in (centre, width)
        )
    except (TypeError, ValueError, IndexError, ArithmeticError):
        return ""
    if not (np.isfinite(middle) and np.isfinite(wide) and wide > 0):
        return ""
    return f". The window in this file: black {middle - wide / 2:g}, white {middle + wide / 2:g}"


def _number(found: Any, name: str, default: int) -> int:
    try:
        return int(found.get(name, default) or default)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"a DICOM file whose {name} is no number") from error
