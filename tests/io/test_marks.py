from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from imagelab.io.marks import SOURCE_TYPES, Origin, claimed_origin, png_marks, save_marks, svg_marks, xmp_packet

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8))


def exiftool(path: Path) -> dict[str, str]:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool: not found: apt-get install libimage-exiftool-perl")
    done = subprocess.run(["exiftool", "-j", "-G1", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("origin", SOURCE_TYPES)
def test_an_independent_reader_finds_origin_title_description_and_alt_text(
    tmp_path: Path, format: str, origin: Origin
) -> None:
    path = tmp_path / f"a.{FORMATS[format]}"
    words = {"title": "Gesichter & <Sommersprossen>", "description": "“zwei” Zeilen\nText", "alt": "A face's cheek."}
    picture().save(path, format, **save_marks(format, origin, **words))
    seen = exiftool(path)
    assert seen["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPES[origin]
    assert seen["XMP-dc:Title"] == words["title"] and seen["XMP-iptcCore:AltTextAccessibility"] == words["alt"]
    assert seen["XMP-dc:Description"].split() == words["description"].split()
    assert seen["XMP-xmp:CreatorTool"].startswith("imagelab ")


@pytest.mark.parametrize("format", FORMATS)
def test_pillow_reads_back_what_was_claimed_and_the_pixels_are_untouched(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{FORMATS[format]}"
    lossless = {"WEBP": {"lossless": True}}.get(format, {})
    picture().save(path, format, **lossless, **save_marks(format, "model"))
    with Image.open(path) as opened:
        packet = opened.info.get("xmp") or opened.info["XML:com.adobe.xmp"]
        if format != "JPEG":
            assert np.array_equal(np.asarray(opened.convert("RGB")), np.asarray(picture()))
    assert claimed_origin(packet) == "model"


def test_a_gif_says_it_in_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    picture().save(path, "GIF", **save_marks("GIF", "mixture", "A title"))
    assert SOURCE_TYPES["mixture"] in Image.open(path).info["comment"].decode()
    assert SOURCE_TYPES["mixture"] in exiftool(path)["File:Comment"]


def test_an_svg_says_it_in_its_metadata_once() -> None:
    svg = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><metadata>old</metadata><path d="M0 0"/></svg>'
    marked = svg_marks(svg_marks(svg, "drawn"), "chart", "T & U")
    assert claimed_origin(marked) == "chart" and "old" not in marked and marked.count("<metadata>") == 1
    assert ElementTree.fromstring(marked) is not None
    with pytest.raises(ValueError, match="expected an SVG file"):
        svg_marks("<html></html>", "chart")


def test_what_is_not_known_is_not_claimed() -> None:
    assert "DigitalSourceType" not in xmp_packet(None, "A title") and claimed_origin(xmp_packet(None)) is None
    assert claimed_origin("<a>DigitalSourceType somewhere</a>") is None
    assert claimed_origin(xmp_packet("camera").replace("digitalCapture", "somethingNew")) is None


def test_a_claim_is_read_as_attribute_and_as_element() -> None:
    address = SOURCE_TYPES["model"]
    assert claimed_origin(f"<a Iptc4xmpExt:DigitalSourceType='{address}'/>") == "model"
    assert claimed_origin(f"<Iptc4xmpExt:DigitalSourceType>{address}</Iptc4xmpExt:DigitalSourceType>") == "model"


def test_hostile_words_stay_words() -> None:
    words = 'a\x00b\ud800"/><script>alert(1)</script>'
    root = ElementTree.fromstring(xmp_packet("model", words, words, words).split("?>", 1)[1].rsplit("<?", 1)[0])
    assert all(not element.tag.endswith("}script") and element.tag != "script" for element in root.iter())
    assert png_marks("model", words.replace("\ud800", "")).chunks


def test_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="expected PNG, JPEG, WEBP or GIF, got TIFF"):
        save_marks("TIFF", "model")
