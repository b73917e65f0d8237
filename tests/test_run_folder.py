from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imagelab.measurement import Measurement
from imagelab.pool import REAL, Pool
from imagelab.run_folder import CHECKPOINT, SCHEMA, RunFolder, write_npy, write_shard

CONFIG = {"schema": SCHEMA, "signature": "12345678", "experiment": {"name": "x"}}


def finish(folder: RunFolder, generation: int, line: int = 0, n: int = 4) -> np.ndarray:
    images = np.full((n, 3, 8, 8), 10 * generation + max(line, 0), np.uint8)
    shard = folder.begin(generation, line)
    measured = [Measurement("m", float(generation)).at(generation, line)]
    write_shard(shard, images, Pool.of(max(generation - 1, 0), REAL, range(n)), measured)
    folder.commit(generation, line)
    return images


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "x-12345678", CONFIG)


def test_a_shard_exists_only_once_it_is_committed(folder: RunFolder):
    shard = folder.begin(1)
    write_npy(shard / "images.npy", np.zeros((1, 3, 8, 8), np.uint8))
    assert not folder.has(1) and folder.shards() == []
    finish(folder, 1)
    assert folder.has(1) and folder.shards() == [(1, 0)]


def test_shards_come_in_order_with_their_lines(folder: RunFolder):
    for generation, line in ((1, 1), (0, REAL), (2, 0), (1, 0)):
        finish(folder, generation, line)
    assert folder.shards() == [(0, REAL), (1, 0), (1, 1), (2, 0)]
    assert [m.value for m in folder.measurements()] == [0.0, 1.0, 1.0, 2.0]


def test_beginning_again_sweeps_everything_but_the_checkpoint(folder: RunFolder):
    shard = folder.begin(1)
    (shard / "images.npy").write_bytes(b"half")
    (shard / "model").mkdir()
    (shard / CHECKPOINT).write_bytes(b"state")
    assert [child.name for child in folder.begin(1).iterdir()] == [CHECKPOINT]


def test_gathering_follows_the_pool_row_by_row(folder: RunFolder):
    finish(folder, 0, REAL)
    finish(folder, 1, 1)
    pool = Pool.concat(Pool.of(1, 1, [3]), Pool.of(0, REAL, [0]), Pool.of(1, 1, [0]))
    assert folder.gather(pool)[:, 0, 0, 0].tolist() == [11, 0, 11]


def test_the_ledger_reads_back(folder: RunFolder):
    finish(folder, 1)
    assert folder.pool(1) == Pool.of(0, REAL, range(4))


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-9], lambda text: "", lambda text: text + text, lambda t: t[::-1]]
)
def test_the_runs_metrics_are_mended_from_the_shards(folder: RunFolder, damage):
    finish(folder, 0, REAL)
    finish(folder, 1)
    path = folder.path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(damage(whole))
    folder.mend()
    assert path.read_text() == whole


def test_a_broken_metrics_line_is_named(folder: RunFolder):
    finish(folder, 0, REAL)
    (folder.path / "metrics.jsonl").write_text('{"name": "a", "value": 1}\n{"name": \n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        folder.measurements()


def test_another_schema_version_is_refused_with_advice(folder: RunFolder):
    (folder.path / "config.json").write_text(json.dumps({**CONFIG, "schema": SCHEMA + 1}))
    with pytest.raises(ValueError, match=f"schema {SCHEMA + 1}.*reads schema {SCHEMA}"):
        RunFolder.open(folder.path)


def test_a_damaged_config_is_refused(folder: RunFolder):
    (folder.path / "config.json").write_text('{"schema": 1, ')
    with pytest.raises(ValueError, match="not whole JSON"):
        RunFolder.open(folder.path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_a_folder_of_another_question_is_not_taken_over(folder: RunFolder):
    with pytest.raises(ValueError, match="another run"):
        RunFolder.create(folder.path, {**CONFIG, "signature": "ffffffff"})


def test_a_second_writer_is_turned_away(folder: RunFolder):
    code = f"""
from pathlib import Path
from imagelab.run_folder import RunFolder
with RunFolder(Path({str(folder.path)!r})).lock():
    pass
"""
    with folder.lock():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and "another process" in done.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
