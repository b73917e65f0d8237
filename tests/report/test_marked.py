"""What leaves the laboratory as a picture says that synthetic images are in it, to a reader that is not ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.cli import main
from imagelab.io.marks import SOURCE_TYPES
from imagelab.provenance.claims import claims_in
from imagelab.report import write_report
from imagelab.report.animate import animate
from imagelab.report.print_sheets import make_sheet, write_sheet
from imagelab.report.run_view import read_run
from imagelab.report.slides import write_slides

MakeRun = Callable[..., Path]


def seen(path: Path) -> dict[str, str]:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool: not found: apt-get install libimage-exiftool-perl")
    done = subprocess.run(["exiftool", "-j", "-G1", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]


def test_slides_of_the_report_are_marked(make_run: MakeRun) -> None:
    folder = write_report(make_run()).parent
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == 3
    for path in pictures:
        found = seen(path)
        assert found["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPES["mixture"]
        assert "synthetic" in found["XMP-dc:Description"] and found["XMP-dc:Title"] == found["PNG:Title"]


@pytest.mark.parametrize("captions", [True, False])
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_sheets_are_marked_and_hold_their_words(make_run: MakeRun, tmp_path: Path, suffix: str, captions: bool) -> None:
    run = read_run(make_run())
    sheet = make_sheet(run, "photocopy")
    found = seen(write_sheet(sheet, tmp_path / f"a.{suffix}", run, captions=captions))
    if suffix == "pdf":
        assert found["PDF:Keywords"] == SOURCE_TYPES["mixture"] and found["PDF:Title"] == sheet.title
        return
    assert found["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPES["mixture"]
    assert found["XMP-dc:Title"] == sheet.title and found["XMP-iptcCore:AltTextAccessibility"] == sheet.alt


def test_every_picture_of_a_deck_is_marked(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(generations=2)
    with zipfile.ZipFile(write_slides([run], tmp_path / "deck.pptx")) as deck:
        pictures = [name for name in deck.namelist() if name.startswith("ppt/media/")]
        assert len(pictures) == 2
        for name in pictures:
            path = Path(deck.extract(name, tmp_path))
            assert claims_in(path).origin == "mixture", name


@pytest.mark.parametrize("suffix", ["webp", "apng", "gif", "mp4", "webm"])
def test_animations_are_marked(make_run: MakeRun, tmp_path: Path, suffix: str) -> None:
    path, *_ = animate([make_run(generations=2)], tmp_path / f"a.{suffix}", seconds=0.1)
    found = seen(path)
    if suffix in ("webp", "apng"):
        assert found["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPES["mixture"]
    else:
        assert any(SOURCE_TYPES["mixture"] in str(value) for value in found.values())


def test_a_preview_of_drawn_data_is_marked_as_drawn_and_photographs_claim_nothing(tmp_path: Path) -> None:
    for kind, claim in (("faces", SOURCE_TYPES["drawn"]), ("textures", None)):
        out = tmp_path / f"{kind}.png"
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["data", "preview", kind, "--count", "4", "-o", str(out)])
        assert seen(out).get("XMP-iptcExt:DigitalSourceType") == claim
