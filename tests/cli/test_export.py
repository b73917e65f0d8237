from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagelab.cli.entry import main
from imagelab.pool import Pool
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_images, write_measurements


@pytest.fixture
def run(tmp_path: Path) -> Path:
    experiment = {"seed": 0, "data": {"kind": "folder", "path": "/home/someone/pictures"}, "generations": 1}
    folder = RunFolder.create(tmp_path / "a-run", {"schema": 1, "signature": "0" * 8, "experiment": experiment})
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8)
    for generation in range(2):
        write_images(shard := folder.begin(generation), images, Pool.of(0, -1, range(4)))
        write_measurements(shard, [])
        folder.commit(generation)
    return folder.path


def exit_code(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)


def test_a_generation_is_exported_by_one_command_and_no_home_folder_travels_along(run: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert exit_code("export", run, "--generation", 1, "--format", "webdataset", "-o", out) == 0
    card = (out / "README.md").read_text()
    assert (out / "train-00000.tar").exists() and "pictures" in card and "someone" not in card


def test_a_generation_that_is_not_there_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("export", run, "--generation", 9, "-o", tmp_path / "out") == 1
    assert "has generations 0 to 1 of line 0, not 9" in " ".join(capsys.readouterr().err.split())
