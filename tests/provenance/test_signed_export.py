from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab.export.generation import export_generation
from imagelab.provenance.keys import new_key
from imagelab.provenance.signatures import SIDE, can_verify, verify
from imagelab.run_folder import RunFolder

from .conftest import exit_code

pytestmark = pytest.mark.skipif(not can_verify(), reason="c2pa-python is not installed: the extra sign")


def states(folder: Path, root: str) -> dict[str, str]:
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != SIDE):
        signature = verify(path, [root])
        found[path.relative_to(folder).as_posix()] = "none" if signature is None else signature.state
    return found


def test_every_file_of_a_signed_export_is_signed_and_keeps_its_pixels(run: RunFolder, tmp_path: Path):
    key, _ = new_key("Lab")
    out = tmp_path / "out"
    assert exit_code("export", run.path, "--generation", 2, "-o", out, "--sign") == 0
    found = states(out, key.root)
    assert len(found) == 12 + 2 and set(found.values()) == {"trusted"}
    lines = [json.loads(line) for line in (out / "train" / "metadata.jsonl").read_text().splitlines()]
    for row, facts in enumerate(lines):
        picture = out / "train" / facts["file_name"]
        assert (np.asarray(Image.open(picture)).transpose(2, 0, 1) == run.images(2)[row]).all()
        signature = verify(picture, [key.root])
        assert signature is not None and signature.record["pixel_sha256"] == facts["sha256"]
        assert signature.record["noise_seed"] == facts["noise_seed"] and signature.record["row"] == str(row)
        assert signature.record["trained_on"] == run.pool(2).digest()


def test_an_export_without_the_flag_is_not_signed_and_needs_no_key(run: RunFolder, tmp_path: Path):
    out = export_generation(run.path, 2, tmp_path / "out")
    assert set(states(out, "").values()) == {"none"}
    assert not list(out.rglob(f"*{SIDE}"))


def test_without_a_key_nothing_is_written(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("export", run.path, "--generation", 2, "-o", tmp_path / "out", "--sign") == 1
    assert "imagelab key new" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_pictures_inside_an_archive_are_signed_one_by_one_and_the_archive_by_a_file_beside_it(
    run: RunFolder, tmp_path: Path
):
    key, _ = new_key("Lab")
    out = export_generation(run.path, 2, tmp_path / "out", "webdataset", sign=True)
    assert states(out, key.root) == {"README.md": "trusted", "train-00000.tar": "trusted"}
    with tarfile.open(out / "train-00000.tar") as tar:
        content = next(tar.extractfile(each) for each in tar if each.name.endswith(".png"))
        assert content is not None
        (picture := tmp_path / "one.png").write_bytes(content.read())
    signature = verify(picture, [key.root])
    assert signature is not None and signature.state == "trusted"


@pytest.mark.parametrize("form", ["imagefolder", "webdataset"])
def test_hugging_face_reads_a_signed_export(run: RunFolder, tmp_path: Path, form: Any):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: the extra data")
    new_key("Lab")
    out = export_generation(run.path, 2, tmp_path / "out", form, sign=True)
    files = {"imagefolder": "train/**", "webdataset": "*.tar"}[form]
    found = datasets.load_dataset(form, data_files=str(out / files), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 12
    row = next(iter(found))
    image = row.get("image", row.get("png"))
    assert (np.asarray(image).transpose(2, 0, 1) == run.images(2)[0]).all()


def test_a_signed_picture_that_is_read_by_pillow_alone_shows_its_marks(run: RunFolder, tmp_path: Path):
    new_key("Lab")
    out = export_generation(run.path, 1, tmp_path / "out", sign=True)
    content = next((out / "train").glob("*.png")).read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        assert json.loads(image.info["imagelab"])["generation"] == 1
        assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
