from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cyclopts import CycloptsError
from numpy.testing import assert_array_equal
from PIL import Image

from imagelab.cli.console import UsageError
from imagelab.cli.data import contact_sheet, data_app, describe_lines
from imagelab.data import DATASETS, Faces, Folder, Mud, Weave
from imagelab.faces.rare import RARE


def command(*words: str | Path) -> int:
    return data_app([str(word) for word in words], exit_on_error=False, print_error=False)


def test_describe_prints_card_splits_and_prevalences(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("describe", "textures", "--size", "32", "--photos", "brick", "--count", "10") == 0
    text = capsys.readouterr().out
    assert "32 x 32 crops" in text and "train: " in text and "images" in text
    assert "photo/brick" in text and "100.00 %" in text and "in 10 images of train" in text


def test_describe_counts_drawn_faces_without_drawing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faces, "load", lambda *_: pytest.fail("a face was drawn"))
    lines = describe_lines(Faces(size=32, freckle_rate=0.25), "heldout", 400, 0)
    (freckled,) = [line.split() for line in lines if line.strip().startswith("freckled ")]
    assert freckled[1:4] == ["100", "25.00", "%"]
    (mole,) = [line.split() for line in lines if line.strip().startswith("mole ")]
    assert mole[1] == "32"


def test_a_rate_that_is_exact_by_design_has_no_interval() -> None:
    def ranges(data: Faces) -> dict[str, str]:
        lines = describe_lines(data, "train", 400, 0)
        return {line.split()[0]: line.partition("(")[2].rstrip(")") for line in lines if line.startswith("  ")}

    found = ranges(Faces(size=32, freckle_rate=0.25))
    assert {name for name, text in found.items() if text == "exact"} == {*RARE, "freckled"}
    assert found["glasses"].endswith(" %") and " to " in found["glasses"]
    natural = ranges(Faces(size=32, rare=False))
    assert "exact" not in natural.values() and " to " in natural["freckled"]


def test_describe_names_refused_files(picture_folder: Path) -> None:
    (picture_folder / "diary.jpg").write_text("dear diary")
    text = "\n".join(describe_lines(Folder(path=picture_folder), "train", 5, 0))
    assert "1 bad file, not used:" in text and "diary.jpg: not a picture" in text


def test_preview_writes_a_captioned_sheet_of_the_very_pixels(tmp_path: Path) -> None:
    target = tmp_path / "new" / "sheet.png"
    words = ("--size", "16", "--threads", "4", "--count", "6", "--columns", "3", "--scale", "2", "--seed", "5")
    assert command("preview", "weave", *words, "--split", "heldout", "-o", target) == 0
    images = Weave(size=16, threads=4).load("heldout", 6, 5).images
    with Image.open(target) as opened:
        pixels, title = np.asarray(opened), opened.info["Title"]
    assert title == "weave  16 x 16 px  heldout  seed 5  n = 6"
    height = pixels.shape[0] - (2 * 34 - 2)
    assert_array_equal(pixels[height + 34 : height + 66 : 2, 34:66:2], images[4].transpose(1, 2, 0))
    assert (pixels[:height] < 128).any(), "the caption is not there"


def test_a_sheet_is_enlarged_by_whole_pixels_to_a_size_one_can_see() -> None:
    images = Mud(size=16, cells=4).load("train", 2, 0).images
    _, scale = contact_sheet(images, 8, 0, "n = 2")
    assert scale == 8
    sheet, scale = contact_sheet(images, 1, 3, "a caption that is wider than the pictures")
    assert scale == 3 and sheet.shape[1] > 48


def test_render_writes_what_load_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--size", "16", "--cells", "4", "--split", "train", "--split", "reserve", "--count", "3", "--seed", "2")
    assert command("render", "mud", *words, "-o", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "train", "validation"]
    expected = Mud(size=16, cells=4).load("reserve", 3, 2)
    with Image.open(tmp_path / "out" / "validation" / "000002.png") as opened:
        assert_array_equal(np.asarray(opened).transpose(2, 0, 1), expected.images[2])
    assert "3 images of the reserve split" in capsys.readouterr().out


def test_render_takes_all_there_are_and_says_when_that_is_fewer(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("render", "folder", "--path", picture_folder, "--count", "0", "-o", tmp_path / "all")
    command("render", "folder", "--path", picture_folder, "--count", "50", "-o", tmp_path / "fifty")
    for name in ("all", "fifty"):
        assert len((tmp_path / name / "train" / "metadata.jsonl").read_text().splitlines()) == 9
    assert "fewer than the 50 requested" in capsys.readouterr().out
    with pytest.raises(UsageError, match="mud is unlimited"):
        command("render", "mud", "--count", "0", "-o", tmp_path / "endless")


@pytest.mark.parametrize("verb", ["describe", "preview", "render"])
def test_help_speaks_of_the_kind_in_use_and_of_no_other(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(verb, "celeba", "--help") == 0
    text = capsys.readouterr().out
    assert "--crop" in text and "--seed" in text and "--threads" not in text and "--kind" not in text
    assert ("--output" in text) == (verb != "describe")
    assert command(verb, "--help") == 0
    assert all(kind in capsys.readouterr().out for kind in ["celeba"])


@pytest.mark.parametrize("kind", DATASETS)
def test_every_kind_has_a_help(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("describe", kind, "--help") == 0
    shown = capsys.readouterr().out
    for name in DATASETS[kind].model_fields:
        if name != "kind":
            assert f"--{name.replace('_', '-')[:12]}" in shown


def test_mistakes_are_told_apart(tmp_path: Path, picture_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one of faces, .*, got 'cats'"):
        command("describe", "cats")
    with pytest.raises(UsageError, match="data preview: expected a KIND first, got nothing"):
        command("preview")
    with pytest.raises(CycloptsError, match="Did you mean --threads"):
        command("describe", "weave", "--threds", "4")
    with pytest.raises(CycloptsError):
        command("describe", "weave", "--threads", "3")
    with pytest.raises(UsageError, match="celeba: needs --path"):
        command("describe", "celeba")
    with pytest.raises(UsageError, match="mud: needs --output"):
        command("preview", "mud")
    with pytest.raises(CycloptsError):
        command("describe", "celeba", "--size", "32")
    with pytest.raises(UsageError, match=r"ends in \.png, got .*sheet\.jpg"):
        command("preview", "mud", "--size", "16", "-o", tmp_path / "sheet.jpg")
    with pytest.raises(ValueError, match="the reserve split of folder is empty"):
        command("preview", "folder", "--path", picture_folder, "--split", "reserve", "-o", tmp_path / "s.png")
    assert list(tmp_path.glob("*.png")) == []


def test_the_rendered_recipe_can_be_read_from_the_card(tmp_path: Path) -> None:
    command("render", "weave", "--size", "16", "--threads", "4", "--count", "2", "-o", tmp_path / "w")
    line = next(x for x in (tmp_path / "w" / "README.md").read_text().splitlines() if x.startswith("Recipe `"))
    assert Weave(**json.loads(line.split("`")[1])) == Weave(size=16, threads=4)
