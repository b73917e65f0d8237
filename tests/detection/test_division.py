"""No image trains and tests."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.detection.division import halves, pixel_keys, unseen
from imagelab.detection.workbench import Bench, experiment_of
from imagelab.experiment import signature_of
from imagelab.generators import Gaussian, RunContext
from imagelab.io.pictures import read_npy
from imagelab.pool import REAL, Pool
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_images, write_measurements, write_npy

TWICE = 10  # images of each of three sets that are in another one, too


@pytest.fixture(scope="module")
def repeating(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose held-out images contain training images and themselves, and whose model repeats its own images."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (300, 3, 16, 16)).astype(np.uint8)
    real, heldout, made = images[:100], images[100:200].copy(), images[200:].copy()
    heldout[-TWICE:], heldout[-2 * TWICE : -TWICE], made[-TWICE:] = real[:TWICE], heldout[:TWICE], made[:TWICE]
    experiment = {"data": {"kind": "random_field", "size": 16}, "generator": {"kind": "gaussian"}, "generations": 1}
    config = {"schema": 1, "signature": signature_of(experiment), "experiment": experiment}
    run = RunFolder.create(tmp_path_factory.mktemp("repeating") / "run", config)
    for generation, line, shown in ((0, REAL, real), (1, 0, made)):
        shard = run.begin(generation, line)
        write_images(shard, shown, Pool.of(0, REAL, range(100)))
        write_measurements(shard, [])
        if generation:
            Gaussian(components=2).fit(shown, 0, RunContext()).save(shard / "model")
        else:
            write_npy(shard / "heldout.npy", heldout)
        run.commit(generation, line)
    return run


def test_groups_are_on_one_side_and_the_sides_are_halves(rng: np.random.Generator) -> None:
    groups = rng.integers(0, 40, 300)
    train, test = halves(300, groups, rng)
    assert not set(groups[train]) & set(groups[test])
    assert sorted([*train, *test]) == list(range(300)) and 110 < len(train) < 190
    train, test = halves(300, None, rng)
    assert len(train) == len(test) == 150


def test_one_group_cannot_be_divided(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="needs 2 or more images that do not belong together"):
        halves(10, np.zeros(10, np.int64), rng)


def test_no_test_image_has_the_pixels_of_an_image_that_anything_was_trained_on(repeating: RunFolder) -> None:
    bench = Bench(repeating, experiment_of(repeating))
    heldout, made = read_npy(repeating.file(0, REAL, "heldout.npy")), repeating.images(1, 0)
    of_models, trains = set(pixel_keys(repeating.images(0, REAL))), set(pixel_keys(heldout[bench.real.train]))
    tests = pixel_keys(heldout[bench.real.test])
    assert not (of_models | trains) & set(tests)
    assert len(tests) < 50 - 2  # without the repeated ones
    train, test = bench.rows(1, 0)
    assert not set(train) & set(test) and set(pixel_keys(made[train])) <= bench.seen
    kept = len(bench.made(1, 0).test)
    assert kept == len(unseen(made, test, bench.seen)) < len(test) == 50


def test_a_second_run_is_tested_on_images_that_no_detector_was_trained_on(repeating: RunFolder) -> None:
    host = Bench(repeating, experiment_of(repeating))
    same = Bench(repeating, experiment_of(repeating), host=host)  # the worst case: the same run once more
    heldout = read_npy(repeating.file(0, REAL, "heldout.npy"))
    assert not set(pixel_keys(heldout[same.real.test])) & host.seen
    assert len(same.real.test) and not len(same.made(1, 0).train)
