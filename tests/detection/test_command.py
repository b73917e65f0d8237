"""``imagelab detect``, and what check, inspect and the page make of its record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.data import RandomField
from imagelab.detection.record import FOLDER, RECORD
from imagelab.report.detection import detection
from imagelab.report.run_view import read_run
from imagelab.run_folder import RunFolder

Command = Callable[..., tuple[int, str, str]]


def pictures(folder: Path, images: np.ndarray, name: str = "picture") -> Path:
    folder.mkdir(exist_ok=True)
    for row, image in enumerate(images):
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(folder / f"{name}-{row:03d}.png")
    return folder


def test_detect_writes_a_record_that_check_accepts_and_prints_tables(detected: RunFolder, command: Command) -> None:
    (detected.path / FOLDER / RECORD).unlink()
    code, text, _ = command("detect", detected.path, "--images", "80", "--against", detected.path)
    assert code == 0 and "PPCA, k = 40, second run" in text and "half size and back" in text
    assert len(list((detected.path / FOLDER).glob("detectors-*.npz"))) == 1
    code, text, _ = command("check", detected.path)
    assert code == 0 and "detectors" not in text


def test_check_says_that_a_damaged_record_is_not_used(detected: RunFolder, command: Command) -> None:
    path = detected.path / FOLDER / RECORD
    path.write_text(path.read_text().replace('"area"', '"arena"', 1))
    code, text, _ = command("check", detected.path)
    assert code == 0 and "the record of detectors is not used" in text and "imagelab detect" in text


def test_the_share_of_a_mixed_folder_is_estimated(detected: RunFolder, command: Command, tmp_path: Path) -> None:
    real = RandomField(size=16, slope=2.0).load("train", 30, seed=99).images
    folder = pictures(tmp_path / "mixed", real)
    pictures(folder, np.array(detected.images(2, 0)[-20:]), "made")
    pictures(folder, np.zeros((1, 3, 20, 20), np.uint8), "large")
    code, text, _ = command("detect", detected.path, "--files", folder, "--format", "json")
    found = json.loads(text)
    assert code == 0 and found["n"] + found["unlike"] == 50 and found["left_out"] == ["large-000.png"]
    assert found["generated"]["low"] <= 0.4 <= found["generated"]["high"]
    code, text, _ = command("detect", detected.path, "--files", folder)
    assert code == 0 and "it assumes:" in text and "95 % interval" in text and "large-000.png" in text


def test_wrong_words_are_refused_before_any_work(detected: RunFolder, command: Command, tmp_path: Path) -> None:
    code, _, said = command("detect", detected.path, "--images", "10")
    assert code == 2 and "expected 40 or more" in said
    code, _, said = command("detect", detected.path, "--files", tmp_path, "--against", detected.path)
    assert code == 2 and "leave out --against" in said
    empty = pictures(tmp_path / "large", np.zeros((1, 3, 20, 20), np.uint8))
    code, _, said = command("detect", detected.path, "--files", empty)
    assert code == 1 and "holds no picture of 16 x 16 px" in said


def test_tables_come_as_csv_and_markdown(detected: RunFolder, command: Command) -> None:
    code, text, _ = command("detect", detected.path, "--images", "40", "--format", "csv")
    lines = list(csv.reader(io.StringIO(text)))
    assert code == 0 and lines[0][:2] == ["table", "generation"] and {len(line) > 2 for line in lines} == {True}


@pytest.fixture
def asked(detected: RunFolder, command: Command) -> Callable[[Path], dict]:
    def ask(path: Path) -> dict:
        code, text, _ = command("inspect", path, "--runs", detected.path.parent, "--json")
        assert code == 0
        return json.loads(text)

    return ask


def estimate(answer: dict) -> dict:
    return next(each for each in answer["findings"] if each["kind"] == "estimate")


def test_inspect_gives_a_score_with_the_rates_of_known_images(
    detected: RunFolder, asked: Callable[[Path], dict], tmp_path: Path
) -> None:
    made = np.array(detected.images(2, 0)[:1])
    made[0, 0, 0, 0] ^= 1  # no row of the run any more
    answer = asked(pictures(tmp_path / "one", made) / "picture-000.png")
    found = estimate(answer)
    assert answer["answer"] == "estimate" and found["facts"]["score"] > 0
    assert found["facts"]["real_as_high"]["high"] < 0.3 and found["facts"]["tested"]["generations"] == [1, 2]
    words = " ".join([found["says"], *found["details"]])
    assert "held-out images" in words and "generations (1 to 2)" in words and " is real" not in words


def test_a_low_score_is_no_answer(asked: Callable[[Path], dict], tmp_path: Path) -> None:
    real = RandomField(size=16, slope=2.0).load("train", 1, seed=98).images
    answer = asked(pictures(tmp_path / "one", real) / "picture-000.png")
    assert estimate(answer)["facts"]["score"] < 0 and answer["answer"] == "unknown"
    assert "no evidence that it is real" in answer["says"]


def test_pictures_that_the_detector_does_not_know_are_not_judged(asked: Callable[[Path], dict], tmp_path: Path) -> None:
    large = asked(pictures(tmp_path / "large", np.zeros((1, 3, 20, 20), np.uint8)) / "picture-000.png")
    assert any("knows images of 16 x 16 px only" in remark for remark in large["remarks"])
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 16, 16)).astype(np.uint8)
    strange = asked(pictures(tmp_path / "noise", noise) / "picture-000.png")
    assert "does not judge it" in estimate(strange)["says"] and strange["answer"] == "unknown"
    assert "real_as_high" not in estimate(strange)["facts"]


def test_inspect_goes_on_where_a_detector_is_damaged(
    detected: RunFolder, asked: Callable[[Path], dict], tmp_path: Path
) -> None:
    file = next((detected.path / FOLDER).glob("detectors-*.npz"))
    file.write_bytes(file.read_bytes()[:-10])
    answer = asked(pictures(tmp_path / "one", np.zeros((1, 3, 16, 16), np.uint8)) / "picture-000.png")
    assert any("was not used" in remark and "was changed" in remark for remark in answer["remarks"])


def test_the_page_shows_the_record_and_says_when_it_does_not(detected: RunFolder) -> None:
    found, reason = detection(read_run(detected.path))
    assert found is not None and not reason
    assert [heat.generations for heat in found.maps] == [(1, 2), (1, 2)] and "AUROC of detectors" in found.curve.alt
    path = detected.path / FOLDER / RECORD
    path.write_text("{")
    found, reason = detection(read_run(detected.path))
    assert found is None and "is not shown" in reason
