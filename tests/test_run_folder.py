from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imagelab.images import tile
from imagelab.io.pictures import read_rgb
from imagelab.measurement import Measurement
from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.run_folder import CHECKPOINT, SCHEMA, RunFolder
from imagelab.runs.shard_files import write_images, write_measurements, write_npy

CONFIG = {"schema": SCHEMA, "signature": "12345678", "experiment": {"name": "x"}}


def finish(folder: RunFolder, generation: int, line: int = 0, n: int = 4) -> np.ndarray:
    images = np.full((n, 3, 8, 8), 10 * generation + max(line, 0), np.uint8)
    shard = folder.begin(generation, line)
    measured = [Measurement("m", float(generation)).at(generation, line)]
    write_images(shard, images, Pool.of(max(generation - 1, 0), REAL, range(n)))
    write_measurements(shard, measured)
    folder.commit(generation, line)
    return images


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "x-12345678", CONFIG)


@pytest.fixture
def old_folder(tmp_path: Path) -> RunFolder:
    """A run of a version without checksums and manifests."""
    path = tmp_path / "old-12345678"
    (path / "gen-000").mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(CONFIG))
    write_npy(path / "gen-000" / "images.npy", np.zeros((4, 3, 8, 8), np.uint8))
    return RunFolder.open(path)


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


def test_a_broken_metrics_line_is_named(old_folder: RunFolder):
    (old_folder.path / "metrics.jsonl").write_text('{"name": "a", "value": 1}\n{"name": \n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        old_folder.measurements()


def test_a_line_that_is_being_written_is_no_damage(old_folder: RunFolder):
    path = old_folder.path / "metrics.jsonl"
    path.write_text('{"name": "a", "value": 1}\n{"name": ')
    assert [m.name for m in old_folder.measurements()] == ["a"]


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
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ValueError, match="not a run folder but a study, whose runs lie beside it"):
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


# -- what a run folder returns before and after its parts exist


def test_a_folder_that_has_only_begun_is_empty_and_not_broken(folder: RunFolder):
    assert folder.provenance == {} and folder.measurements() == [] and folder.shards() == []
    assert folder.config == CONFIG


def test_provenance_reads_back_with_its_letters_as_they_are(folder: RunFolder):
    folder.write_provenance({"data": {"card": "Fréchet – 日本"}})
    assert folder.provenance == {"data": {"card": "Fréchet – 日本"}}
    text = (folder.path / "provenance.json").read_text("utf-8")
    assert "日本" in text and text.endswith("}\n")


def test_the_main_line_is_meant_where_none_is_named(folder: RunFolder):
    assert folder.begin(1).name == "gen-001.partial" and folder.begin(1, 2).name == "gen-001-line-2.partial"
    finish(folder, 2)
    assert folder.shards() == [(2, 0)] and folder.images(2)[0, 0, 0, 0] == 20 and len(folder.pool(2)) == 4


@pytest.mark.parametrize("reserve", [0, 7])
def test_the_archive_begins_with_the_real_set_and_the_reserve(folder: RunFolder, reserve: int):
    shard = folder.begin(0)
    if reserve:
        write_npy(shard / "reserve.npy", np.zeros((reserve, 3, 8, 8), np.uint8))
    write_images(shard, np.zeros((5, 3, 8, 8), np.uint8), Pool.of(0, REAL, range(5)))
    write_measurements(shard, [])
    folder.commit(0)
    assert folder.initial_archive() == Archive(Pool.of(0, REAL, range(5)), Pool.of(0, RESERVE, range(reserve)))
    assert folder.initial_archive().generation == 0


def test_images_are_read_from_disk_as_they_are_touched(folder: RunFolder):
    finish(folder, 1)
    assert isinstance(folder.images(1), np.memmap)


@pytest.mark.parametrize(("side", "count", "size"), [(8, 4, 16 * 8), (64, 70, 2 * 64), (256, 3, 256)])
def test_the_grid_shows_64_images_eight_in_a_row_enlarged_to_128_pixels(
    tmp_path: Path, side: int, count: int, size: int
):
    images = np.random.default_rng(0).integers(0, 256, (count, 3, side, side), np.uint8)
    write_images(tmp_path, images, Pool.of(0, REAL, range(count)))
    written = read_rgb(tmp_path / "grid.png").transpose(1, 2, 0)
    np.testing.assert_array_equal(written, tile(images[:64], columns=8, scale=size // side))


def test_several_processes_that_create_one_run_at_once_make_one_whole_folder(tmp_path: Path):
    """Each has the folder, or is told that another process is making it; none fails in another way."""
    path, children = tmp_path / "x-12345678", []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if RunFolder.create(path, CONFIG).config == CONFIG else 2
            except ValueError as error:
                code = 0 if "another process" in str(error) else 3
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert RunFolder.open(path).config == CONFIG
    assert not list(tmp_path.rglob("*.partial"))
