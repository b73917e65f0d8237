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
from imagelab.provenance.keys import WHAT_IT_PROVES, new_key
from imagelab.provenance.signatures import SIDE, can_verify, verify
from imagelab.report import write_report
from imagelab.report.run_view import read_run
from imagelab.report.signed import signed
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


def test_the_page_names_the_key_of_each_signed_generation_and_what_that_proves(run: RunFolder):
    key, _ = new_key("Lab <b>")
    assert exit_code("sign", run.path) == 0
    view = read_run(run.path)
    found = signed(view)
    assert found is not None and found.unsigned == ""
    assert len(found.rows) == 1 and "Lab <b>" in found.rows[0][1] and key.fingerprint[:16] in found.rows[0][1]
    html = write_report(run.path).read_text("utf-8")
    assert "Lab &lt;b&gt;" in html and key.fingerprint[:16] in html and WHAT_IT_PROVES[0] in html

    (run.path / "signatures" / "gen-001.json").write_text("{}")
    (run.path / "signatures" / "gen-002.json").unlink()
    changed = signed(view)
    assert changed is not None and changed.unsigned == "gen-002"
    assert next(row for row in changed.rows if row[1].startswith("not valid"))[0] == "gen-001"


def test_a_run_without_signatures_has_no_such_section(run: RunFolder):
    assert signed(read_run(run.path)) is None
    assert "<h3>Signatures</h3>" not in write_report(run.path).read_text("utf-8")
