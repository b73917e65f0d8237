"""Laws of large runs: what is mapped, gathered and drawn in parts gives the images of a run that is held in memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab import Experiment
from imagelab.curation import NearestReal
from imagelab.data import RandomField
from imagelab.experiment import Runtime
from imagelab.generators import Gaussian, RunContext, Vae
from imagelab.io import large_arrays
from imagelab.io.large_arrays import is_mapped
from imagelab.io.manifest import Manifest
from imagelab.lab import run_generations
from imagelab.pool import REAL, Pool
from imagelab.regimes import Accumulate
from imagelab.run_folder import RunFolder
from imagelab.runs import drawing, training_set
from imagelab.runs.drawing import DRAWN_AT_ONCE, draw_shard, part_of
from imagelab.runs.shard_files import write_npy
from imagelab.runs.training_set import training_images

VAE = Vae(images_seen=32, batch=16, latent=4, width=8)
BATCH = RunContext(batch=64)


def experiment(root: Path, **settings: Any) -> Experiment:
    plain = {"data": RandomField(size=16), "generator": Gaussian(components=4), "generations": 2, "images": 150}
    plain |= {"heldout": 40, "tracked": 4, "metrics": ("spectrum", "pixel_variance"), "runtime": Runtime(runs=root)}
    return Experiment(**plain | settings)


def run(asked: Experiment) -> RunFolder:
    folder = RunFolder.create(asked.folder, asked.config())
    with folder.lock():
        for _ in run_generations(asked, folder, BATCH):
            pass
    return folder


def written(folder: RunFolder) -> dict[tuple[int, int, str], str]:
    """The SHA-256 of every file of a run that does not hold the time."""
    return {
        (*shard, name): digest
        for shard in folder.shards()
        if (manifest := folder.manifest(*shard))
        for name, (_, digest) in manifest.files.items()
        if name not in ("train.jsonl", "curation.json")
    }


def made_small(patch: pytest.MonkeyPatch) -> None:
    """Let every array count as large, and every part be as small as it can be."""
    patch.setattr(large_arrays, "IN_MEMORY", 0)
    patch.setattr(training_set, "IN_MEMORY", 0)
    patch.setattr(large_arrays, "COPIED_AT_ONCE", 5_000)
    patch.setattr(drawing, "DRAWN_AT_ONCE", 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"arms": (VAE,), "metrics": ("spectrum", "pixel_variance", "tone"), "generations": 1},
        {"regime": Accumulate(), "fresh_draws": 2},
        {"curation": NearestReal(), "heldout": 80, "metrics": ("spectrum",)},
    ],
    ids=["replace", "accumulate and fresh draws", "curated"],
)
def test_a_run_that_is_mapped_and_drawn_in_parts_writes_the_bytes_of_one_in_memory(
    settings: dict[str, Any], tmp_path: Path
):
    found = []
    for name, small in (("memory", False), ("mapped", True)):
        with pytest.MonkeyPatch.context() as patch:
            if small:
                made_small(patch)
            found.append(written(run(experiment(tmp_path / name, **settings))))
    assert found[0] == found[1] and len(found[0]) > 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run(experiment(tmp_path_factory.mktemp("runs"), generations=1))


def test_a_pool_of_one_whole_shard_is_the_map_of_its_file_and_any_other_is_gathered(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked, whole = experiment(tmp_path), Pool.of(1, 0, range(150))
    assert not is_mapped(training_images(asked, folder, whole, BATCH, tmp_path))  # a small one is held in memory
    made_small(monkeypatch)
    images = training_images(asked, folder, whole, BATCH, tmp_path)
    assert is_mapped(images) and np.array_equal(images, folder.images(1, 0))
    images[0, 0, 0, 0] ^= 255  # it can be written to, and the file never changes
    assert images[0, 0, 0, 0] != folder.images(1, 0)[0, 0, 0, 0]
    mixed = Pool.concat(Pool.of(0, REAL, [5, 3]), Pool.of(1, 0, [149, 0, 0]))
    for pool in (whole.take(np.arange(150)[::-1]), whole.take(np.arange(149)), mixed):
        gathered = training_images(asked, folder, pool, BATCH, tmp_path)
        assert is_mapped(gathered) and np.array_equal(gathered, folder.gather(pool))
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_drawn_holds_whole_batches_of_every_process():
    assert DRAWN_AT_ONCE == 32 * 1024**2
    assert part_of(3 * 64 * 64, 64 * 64, RunContext(batch=256)) == 2560  # 2,730 fit
    assert part_of(3 * 32 * 32, 32 * 32, RunContext(batch=100)) == 9600  # blocks of 64 and batches of 100
    assert part_of(3 * 1024**2, 1024**2, RunContext(batch=256)) == 256  # 16 fit; a batch is drawn at a time


def test_images_that_are_drawn_in_parts_take_the_memory_of_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made_small(monkeypatch)
    recipe = Gaussian(components=2)
    asked = experiment(tmp_path, data=RandomField(size=16, channels=1))
    model = recipe.fit(asked.data.load("train", 8, 0).images, 0, BATCH)
    model.sample(np.arange(64, dtype=np.uint64))  # what is loaded at the first time
    peaks = []
    for count in (512, 4096):
        shard = tmp_path / str(count)
        shard.mkdir()
        seeds = np.arange(count, dtype=np.uint64)
        tracemalloc.start()
        drawn = draw_shard(asked, model, recipe, shard, seeds, BATCH)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(drawn) == count and is_mapped(drawn) and [path.name for path in shard.iterdir()] == ["images.npy"]
    assert peaks[1] < 1.1 * peaks[0]


def test_an_array_that_is_mapped_from_a_file_is_not_written_into_it_again_and_copied_into_others(tmp_path: Path):
    array = large_arrays.new_npy(tmp_path / "one.npy", (6, 5), np.uint8)
    array[:] = 3
    write_npy(tmp_path / "one.npy", array)
    write_npy(tmp_path / "two.npy", array)
    bytes_of = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("one.npy", "two.npy")]
    assert bytes_of[0] == bytes_of[1] and np.array_equal(np.load(tmp_path / "two.npy"), np.full((6, 5), 3))


def test_a_commit_reads_as_many_manifests_late_in_a_run_as_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked, read, counts = experiment(tmp_path, generations=8, images=16, metrics=()), Manifest.read, [0]

    def counted(folder: Path) -> Manifest:
        counts[-1] += 1
        return read(folder)

    monkeypatch.setattr(Manifest, "read", counted)
    place = RunFolder.create(asked.folder, asked.config())
    with place.lock():
        for _ in run_generations(asked, place, BATCH):
            counts.append(0)
    assert counts[3] == counts[7] > 0
