from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab import Experiment, Faces, Gaussian
from imagelab.export.generation import FORMATS, Format, export_generation
from imagelab.generators import RunContext
from imagelab.lab import run_generations
from imagelab.run_folder import RunFolder
from imagelab.runs.environment import provenance
from imagelab.runs.prepare import open_run
from imagelab.seeds import image_seeds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    experiment = Experiment(
        name="tiny",
        data=Faces(size=32, cache=False),
        generator=Gaussian(components=4),
        generations=2,
        images=12,
        heldout=12,
        tracked=2,
        metrics=("pixel_variance",),
        runtime={"runs": tmp_path_factory.mktemp("runs")},  # pyright: ignore[reportArgumentType]
    )
    opened = open_run(experiment)
    opened.write_provenance(provenance(experiment, opened, RunContext()))
    for _ in run_generations(experiment, opened, RunContext()):
        continue
    return opened


def rows_of(form: Format, out: Path) -> list[tuple[bytes, dict[str, object]]]:
    """Return (PNG, metadata) of every exported image, read as the usual readers of the format do."""
    if form == "imagefolder":
        lines = [json.loads(line) for line in (out / "train" / "metadata.jsonl").read_text().splitlines()]
        return [((out / "train" / line.pop("file_name")).read_bytes(), line) for line in lines]
    if form == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(out / "train-00000-of-00001.parquet").to_pylist()
        return [(row.pop("image")["bytes"], row) for row in table]
    with tarfile.open(out / "train-00000.tar") as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}  # pyright: ignore[reportOptionalMemberAccess]
    return [(png, json.loads(found[name[:-3] + "json"])) for name, png in found.items() if name.endswith("png")]


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_every_image_comes_back_to_the_byte_with_where_it_came_from(form: Format, folder: RunFolder, tmp_path: Path):
    out = export_generation(folder.path, 2, tmp_path / "out", form)
    images, seeds = folder.images(2), image_seeds(0, "sample", 2, 0, range(12))
    rows = rows_of(form, out)
    assert len(rows) == 12 and not (tmp_path / "out.partial").exists()
    for row, (png, facts) in enumerate(rows):
        with Image.open(io.BytesIO(png)) as opened:
            pixels = np.asarray(opened)
            assert opened.info["Iptc4xmpExt:DigitalSourceType"] == "trainedAlgorithmicMedia"
            assert json.loads(opened.info["imagelab"]) == facts
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), images[row])
        assert (facts["generation"], facts["line"], facts["row"]) == (2, 0, row)
        assert facts["noise_seed"] == str(seeds[row]) and facts["synthetic"] is True
        assert facts["trained_on"] == folder.pool(2).digest()
        assert facts["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert "self-consuming loop" in (out / "README.md").read_text()


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_hugging_face_datasets_reads_it(
    form: Format, folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    out = export_generation(folder.path, 1, tmp_path / "out", form)
    files = {"imagefolder": "train/**", "parquet": "*.parquet", "webdataset": "*.tar"}[form]
    found = load_dataset(form, data_files=str(out / files), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 12
    row: Any = next(iter(found))
    image = row.get("image", row.get("png"))
    np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), folder.images(1)[0])


def test_real_images_are_not_called_synthetic(folder: RunFolder, tmp_path: Path):
    (png, facts), *_ = rows_of("imagefolder", export_generation(folder.path, 0, tmp_path / "out"))
    assert facts["synthetic"] is False and "noise_seed" not in facts
    with Image.open(io.BytesIO(png)) as opened:
        assert "Iptc4xmpExt:DigitalSourceType" not in opened.info


def test_a_model_leaves_with_its_card(folder: RunFolder, tmp_path: Path):
    out = export_generation(folder.path, 2, tmp_path / "model", "model")
    card = (out / "README.md").read_text()
    assert (out / "config.json").exists() and folder.pool(2).digest() in card
    assert "0.0% of them real" in card and "| pixel_variance |" in card


@pytest.mark.parametrize("form", ["imagefolder", "model"])
def test_no_card_tells_where_the_pictures_lay_on_the_makers_machine(form: Format, folder: RunFolder, tmp_path: Path):
    copy = Path(shutil.copytree(folder.path, tmp_path / folder.path.name))
    config, known = folder.config, folder.provenance
    config["experiment"]["data"] = {"kind": "folder", "path": "/home/ada/faces"}
    known["data"]["card"] = "Pictures of the folder /home/ada/faces."
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "provenance.json").write_text(json.dumps(known))
    card = (export_generation(copy, 1, tmp_path / "out", form) / "README.md").read_text()
    assert "ada" not in card and "Pictures of the folder faces." in card
    assert "license: other" in card or form == "model"


@pytest.mark.parametrize(
    ("generation", "form", "said"),
    [
        (7, "imagefolder", "has generations 0 to 2 of line 0, not 7"),
        (0, "model", "no model made it"),
        (1, "zip", "format"),
    ],
)
def test_what_cannot_be_written_is_refused(generation: int, form: Format, said: str, folder: RunFolder, tmp_path: Path):
    with pytest.raises(ValueError, match=said):
        export_generation(folder.path, generation, tmp_path / "out", form)
    assert not list(tmp_path.iterdir()) and len(FORMATS) == 4


def test_a_line_that_is_not_there_is_told_by_the_lines_that_are(folder: RunFolder, tmp_path: Path):
    with pytest.raises(ValueError, match=r"has lines 0.*, got 7"):
        export_generation(folder.path, 1, tmp_path / "out", line=7)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(folder: RunFolder, tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        export_generation(folder.path, 1, tmp_path / "out")


def test_a_failure_leaves_nothing_behind(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("imagelab.export.generation._dataset_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_generation(folder.path, 1, tmp_path / "out")
    assert not list(tmp_path.iterdir())
