"""Formats of picture files: which are read, which suffixes they have, and which are pictures that cannot be read here.

A format is recognised by the content of a file. A suffix only says which files of a folder are pictures. HEIC and JPEG
XL are read where their plug-in of Pillow is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from PIL import features

__all__ = ["FORMATS", "PIXEL_LIMIT", "SUFFIXES", "UNREADABLE", "content_reason", "formats", "unreadable"]

PIXEL_LIMIT = 64_000_000
"""The most pixels a file may decode to. A larger one is refused with its name instead of filling the memory."""

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Allowed formats of picture files. None of them starts another program (as EPS does) or holds other than pixels."""


@dataclass(frozen=True)
class _Plugin:
    """A plug-in of Pillow: the module, the function that makes its format known, the format and the package."""

    module: str
    register: str
    format: str
    package: str


_HEIF = _Plugin("pillow_heif", "register_heif_opener", "HEIF", "pillow-heif")
_JXL = _Plugin("pillow_jxl", "", "JXL", "pillow-jxl-plugin")

_READ = frozenset(
    {".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pam", ".pbm", ".pfm"}
    | {".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
_BY_PLUGIN = {".heic": _HEIF, ".heif": _HEIF, ".hif": _HEIF, ".jxl": _JXL}
_BY_PYDICOM = (".dcm", ".dicom")
_OTHER = {
    ".arw": "a camera's raw format",
    ".cr2": "a camera's raw format",
    ".cr3": "a camera's raw format",
    ".dds": "DDS",
    ".dng": "a camera's raw format",
    ".exr": "OpenEXR",
    ".hdr": "Radiance HDR",
    ".ico": "ICO",
    ".j2k": "JPEG 2000",
    ".jp2": "JPEG 2000",
    ".jpf": "JPEG 2000",
    ".jpx": "JPEG 2000",
    ".nef": "a camera's raw format",
    ".orf": "a camera's raw format",
    ".pcx": "PCX",
    ".psd": "Photoshop",
    ".qoi": "QOI",
    ".raf": "a camera's raw format",
    ".rw2": "a camera's raw format",
    ".sgi": "SGI",
    ".tga": "TGA",
}

_READABLE = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    *([(4, b"ftypavif", "AVIF"), (4, b"ftypavis", "AVIF")] if features.check("avif") else []),
)
"""(place, bytes there, format) of formats that are read; a file that begins so and cannot be opened is damaged."""

_CONTENT = (
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\x01\xda", "SGI"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftyphevc", "HEIC"),
    (4, b"ftypheim", "HEIC"),
    (4, b"ftypheis", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
)
"""(place, bytes there, format) of formats that are named where they cannot be read."""


def _there(plugin: _Plugin) -> bool:
    return importlib.util.find_spec(plugin.module) is not None


def _suffixes() -> tuple[frozenset[str], Mapping[str, str]]:
    """Return the suffixes of pictures that can be read here, and suffix -> why for those that cannot."""
    read = set(_READ)
    refused = {suffix: f"{name}; save it as PNG" for suffix, name in _OTHER.items()}
    for suffix, plugin in _BY_PLUGIN.items():
        if _there(plugin):
            read.add(suffix)
        else:
            refused[suffix] = f"{_title(plugin)}; {_way_out(plugin)}"
    if importlib.util.find_spec("pydicom") is not None:
        read.update(_BY_PYDICOM)
    else:
        refused |= dict.fromkeys(_BY_PYDICOM, 'DICOM; pip install "imagelab-collapse[dicom]", or save it as PNG')
    if not features.check("avif"):
        read.discard(".avif")
        refused[".avif"] = "AVIF; install a Pillow that reads it, or save it as PNG"
    return frozenset(read), MappingProxyType(refused)


def _title(plugin: _Plugin) -> str:
    return "HEIC" if plugin is _HEIF else "JPEG XL"


def _way_out(plugin: _Plugin) -> str:
    return f"pip install {plugin.package}, or save it as PNG"


SUFFIXES, UNREADABLE = _suffixes()
"""Suffixes of files that are pictures; and suffix -> format and way out, of pictures that cannot be read here."""


def unreadable(suffix: str) -> str:
    """Return the reason why files with this suffix cannot be read although they are pictures; "" for all others."""
    known = UNREADABLE.get(suffix.lower())
    return f"a picture in a format that this installation cannot read: {known}" if known else ""


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that Pillow may open here: :data:`FORMATS`, and those of installed plug-ins."""
    more = []
    for plugin in (_HEIF, _JXL):
        if _there(plugin):
            try:
                module = importlib.import_module(plugin.module)
                if plugin.register:
                    getattr(module, plugin.register)()
                more.append(plugin.format)
            except Exception:  # a plug-in that does not fit this Pillow reads nothing
                continue
    return (*FORMATS, *more)


def content_reason(head: bytes) -> str:
    """Return the reason why a file that begins with these bytes is no picture that can be read."""
    for place, mark, name in _READABLE:
        if head[place : place + len(mark)] == mark:
            return f"a damaged {name} file, or one of a kind that is not read"
    for place, mark, name in _CONTENT:
        if head[place : place + len(mark)] == mark:
            plugin = {"HEIC": _HEIF, "JPEG XL": _JXL}.get(name)
            way_out = _way_out(plugin) if plugin and not _there(plugin) else "save it as PNG"
            return f"a picture in a format that this installation cannot read: {name}; {way_out}"
    return f"not a picture: the content is none of {', '.join(sorted(FORMATS, key=lambda name: name == 'AVIF'))}"
