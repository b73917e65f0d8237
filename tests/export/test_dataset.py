from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from imagelab.data import Faces, Folder, HuggingFace, Sample, Weave
from imagelab.export.dataset import FOLDERS, export_samples, prevalences
from imagelab.io.disk import NotStored


@pytest.fixture
def faces(tmp_path: Path) -> tuple[Path, Faces, dict[str, Sample]]:
    data = Faces(size=32, cache=False, freckle_rate=0.5)
    samples = {"train": data.load("train", 12, 3), "heldout": data.load("heldout", 5, 3)}
    return export_samples(data, samples, 3, tmp_path / "drawn"), data, samples  # pyright: ignore[reportArgumentType]


def test_every_image_comes_back_to_the_byte_with_its_facts(faces) -> None:
    folder, _, samples = faces
    for split, sample in samples.items():
        home = folder / FOLDERS[split]
        lines = [json.loads(line) for line in (home / "metadata.jsonl").read_text().splitlines()]
        assert [line["file_name"] for line in lines] == [f"{i:06d}.png" for i in range(len(sample))]
        for row, line in enumerate(lines):
            with Image.open(home / line["file_name"]) as opened:
                pixels = np.asarray(opened)
                assert opened.info["Source"] == line["source"] == sample.sources[row]
            assert_array_equal(pixels.transpose(2, 0, 1), sample.images[row])
            assert line["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
            assert line["attributes"] == {name: bool(column[row]) for name, column in sample.attributes.items()}
            np.testing.assert_allclose(np.reshape(line["freckles"], (-1, 5)), sample.freckles[row], atol=1e-4)


def test_our_own_reader_reads_it_back(faces) -> None:
    folder, _, samples = faces
    recipe = HuggingFace(path=folder, size=32)
    assert recipe.available(0) == {"train": 12, "reserve": 0, "heldout": 5}
    again = recipe.load("train", 12, 0)
    order = [int(name[-10:-4]) for name in again.sources]
    assert_array_equal(again.images, samples["train"].images[order])
    for name, column in samples["train"].attributes.items():
        assert_array_equal(again.attributes[name], column[order])


def test_the_datasets_library_reads_it_back_offline(faces, tmp_path: Path) -> None:
    folder, _, samples = faces
    code = """
import sys, json, numpy
from datasets import load_dataset
for arguments in (dict(path="imagefolder", data_dir=sys.argv[1]), dict(path=sys.argv[1])):
    loaded = load_dataset(**arguments)
    print(json.dumps({split: [[row["sha256"], int(numpy.asarray(row["image"]).sum()), len(row["freckles"]),
        row["attributes"]["freckled"]] for row in rows] for split, rows in loaded.items()}))
"""
    words = [sys.executable, "-c", code, str(folder)]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env={"PATH": "/usr/bin", **quiet})
    assert done.returncode == 0, done.stderr
    expected = {
        FOLDERS[split]: [
            [
                hashlib.sha256(np.ascontiguousarray(image.transpose(1, 2, 0)).tobytes()).hexdigest(),
                int(image.sum()),
                len(sample.freckles[row]),
                bool(sample.attributes["freckled"][row]),
            ]
            for row, image in enumerate(sample.images)
        ]
        for split, sample in samples.items()
    }
    assert [json.loads(line) for line in done.stdout.splitlines()] == [expected, expected]


def test_the_card_says_what_it_is_how_often_what_occurs_and_under_which_terms(faces) -> None:
    import yaml

    folder, data, samples = faces
    text = (folder / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "apache-2.0" and matter["size_categories"] == ["n<1K"]
    parts = [(part["split"], part["path"]) for part in matter["configs"][0]["data_files"]]
    assert parts == [("train", "train/**"), ("test", "test/**")]
    assert data.card() in body and "depict nobody" in body and "seed 3" in body
    assert 'load_dataset("imagefolder", data_dir="drawn")' in body
    count = int(samples["train"].attributes["freckled"].sum())
    assert f"| freckled | train | {count} | {count / 12:.4f} | exact |" in body
    assert "| glasses | train |" in body and "| glasses | train | exact" not in body
    assert all(line.endswith(" exact |") is (line.split(" | ")[0][2:] in data.exact_rates) for line in table_of(body))


def table_of(body: str) -> list[str]:
    rows = [line.replace("\\_", "_") for line in body.splitlines() if line.startswith("| ") and " 0." in line]
    assert len(rows) > 20
    return rows


def test_a_card_of_the_users_pictures_keeps_their_folder_to_itself(picture_folder: Path, tmp_path: Path) -> None:
    data = Folder(path=picture_folder, size=32)
    text = (export_samples(data, {"train": data.load("train", 4, 0)}, 0, tmp_path / "o") / "README.md").read_text()
    assert str(picture_folder.parent) not in text and picture_folder.name in text
    assert "license: other" in text and "How often each attribute" not in text


def test_nothing_is_overwritten_and_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Weave(size=16, threads=4)
    samples = {"train": data.load("train", 3, 0)}
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="exists already; nothing was written"):
        export_samples(data, samples, 0, tmp_path / "there")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="expected at least one split"):
        export_samples(data, {}, 0, tmp_path / "none")

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imagelab.export.dataset.readme", full)
    with pytest.raises(
        NotStored, match=r"new: cannot be written: No space left on device: the disk is full \([\d,]+ b"
    ):
        export_samples(data, samples, 0, tmp_path / "new")  # pyright: ignore[reportArgumentType]
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_grey_images_are_written_as_grey(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8), np.uint8)
    folder = export_samples(Weave(), {"train": Sample(images)}, 0, tmp_path / "grey")
    with Image.open(folder / "train" / "000001.png") as opened:
        assert opened.mode == "L"
        assert_array_equal(np.asarray(opened), images[1, 0])


def test_prevalence_intervals_hold_the_share_and_narrow_with_n() -> None:
    for n in (10, 1000):
        column = np.arange(n) < n // 10
        ((_, k, total, low, high),) = prevalences({"a": column})
        assert (k, total) == (n // 10, n) and 0 <= low < 0.1 < high <= 1
    ((*_, low, high),) = prevalences({"none": np.zeros(50, bool)})
    assert low == 0 and 0.06 < high < 0.08
