"""Marks in picture files that say how a picture came about, in the form that other programs read.

The International Press Telecommunications Council (IPTC) has a list of source types, each an address; the property
``Iptc4xmpExt:DigitalSourceType`` of an XMP packet carries it. Readers such as exiftool, and the checks of news agencies
and platforms, look for exactly this. A mark is a claim: anybody can write, change or remove it, and most programs lose
it when they save a picture again. So a missing mark says nothing, and the evidence is the ledger of the run.

References:
    IPTC NewsCodes, Digital Source Type: http://cv.iptc.org/newscodes/digitalsourcetype/.
    IPTC Photo Metadata Standard 2023.1: DigitalSourceType, AltTextAccessibility.
    Extensible Metadata Platform, part 3: XMP in PNG (keyword XML:com.adobe.xmp), JPEG, WebP and GIF files.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

from PIL.PngImagePlugin import PngInfo

from .._version import __version__

__all__ = ["SOURCE_TYPES", "Origin", "claimed_origin", "png_marks", "save_marks", "svg_marks", "xmp_packet", "xmp_rdf"]

Origin = Literal["drawn", "model", "camera", "mixture", "chart"]
"""How a picture came about."""

ADDRESS = "http://cv.iptc.org/newscodes/digitalsourcetype/"

SOURCE_TYPES: dict[Origin, str] = {
    "drawn": ADDRESS + "algorithmicMedia",
    "model": ADDRESS + "trainedAlgorithmicMedia",
    "camera": ADDRESS + "digitalCapture",
    "mixture": ADDRESS + "compositeSynthetic",
    "chart": ADDRESS + "dataDrivenMedia",
}
"""The IPTC address of each origin: drawn by a program that was not trained, made by a trained model, taken by a camera,
composed of several pictures of which at least one is synthetic, a chart of data."""

KEYWORD = "XML:com.adobe.xmp"
"""The keyword of an XMP packet in a PNG file."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xmp_packet(origin: Origin | None, title: str = "", description: str = "", alt: str = "") -> str:
    """Return an XMP packet.

    Args:
        origin: how the picture came about; None where it is not known, which is then not claimed.
        title: one line; "" for none.
        description: what it shows; "" for none.
        alt: its text for readers who cannot see it; "" for none.
    """
    begin, end = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="r"?>'
    return begin + xmp_rdf(origin, title, description, alt) + end


def xmp_rdf(origin: Origin | None, title: str = "", description: str = "", alt: str = "") -> str:
    """Return what an XMP packet holds, without the lines around it: the content of an SVG file's metadata element.

    Args:
        origin: see :func:`xmp_packet`.
        title: likewise.
        description: likewise.
        alt: likewise.
    """
    spaces = "".join(f' xmlns:{prefix}="{address}"' for prefix, address in _SPACES.items())
    kind = f" Iptc4xmpExt:DigitalSourceType={quoteattr(SOURCE_TYPES[origin])}" if origin else ""
    texts = (("dc:title", title), ("dc:description", description), ("Iptc4xmpCore:AltTextAccessibility", alt))
    language = '<rdf:li xml:lang="x-default">'
    told = "".join(
        f"<{name}><rdf:Alt>{language}{escape(_UNPRINTABLE.sub('', text))}</rdf:li></rdf:Alt></{name}>"
        for name, text in texts
        if text
    )
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""{spaces}{kind}'
        f' xmp:CreatorTool="imagelab {__version__}">{told}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )


def png_marks(origin: Origin | None, title: str = "", description: str = "", alt: str = "", **more: str) -> PngInfo:
    """Return the text chunks of a PNG file: the XMP packet, the keywords of the PNG standard, and more of one's own.

    Args:
        origin: see :func:`xmp_packet`.
        title: likewise.
        description: likewise.
        alt: likewise.
        more: keyword -> text.
    """
    info = PngInfo()
    info.add_itxt(KEYWORD, xmp_packet(origin, title, description, alt))
    for keyword, text in {
        "Title": title,
        "Description": description,
        "Software": f"imagelab {__version__}",
        **more,
    }.items():
        if text:
            info.add_itxt(keyword, text)
    return info


def save_marks(
    format: str, origin: Origin | None, title: str = "", description: str = "", alt: str = ""
) -> dict[str, Any]:
    """Return the arguments of ``Image.save`` that write the marks into a file.

    Args:
        format: "PNG", "JPEG", "WEBP" or "GIF". A GIF gets a comment, because Pillow writes no XMP into it.
        origin: see :func:`xmp_packet`.
        title: likewise.
        description: likewise.
        alt: likewise.

    Raises:
        ValueError: for another format.
    """
    if format == "PNG":
        return {"pnginfo": png_marks(origin, title, description, alt)}
    if format in ("JPEG", "WEBP"):
        return {"xmp": xmp_packet(origin, title, description, alt).encode("utf-8")}
    if format == "GIF":
        kind = f"DigitalSourceType {SOURCE_TYPES[origin]}" if origin else ""
        words = ". ".join(filter(None, [title, description, kind, f"imagelab {__version__}"]))
        return {"comment": words.encode("utf-8", "replace")[:250]}
    raise ValueError(f"marks: expected PNG, JPEG, WEBP or GIF, got {format}")


def svg_marks(svg: str, origin: Origin | None, title: str = "", description: str = "", alt: str = "") -> str:
    """Return an SVG file with the marks as its metadata element; another metadata element is replaced."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.S)
    start = re.search(r"<svg\b[^>]*>", svg)
    if start is None:
        raise ValueError("marks: expected an SVG file, found no svg element")
    return f"{svg[: start.end()]}<metadata>{xmp_rdf(origin, title, description, alt)}</metadata>{svg[start.end() :]}"


def claimed_origin(packet: str | bytes) -> Origin | None:
    """Return the origin that an XMP packet, or a comment of imagelab in a GIF, claims; None for none that we know."""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    found = re.search(r"DigitalSourceType(?:\s*=\s*[\"']|\s*>\s*| )" + re.escape(ADDRESS) + r"(\w+)", text)
    for origin, address in SOURCE_TYPES.items():
        if found and address == ADDRESS + found[1]:
            return origin
    return None
