"""Laws of where a training set lies: whichever way it is read, the batches are the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from imagelab.generators import RunContext
from imagelab.generators.training import batch_rows, fingerprint
from imagelab.generators.training_images import DEVICE_SHARE, TrainingImages, stays_on_host
from imagelab.io import large_arrays
from imagelab.seeds import rng_at


def batches(images: np.ndarray, on_host: bool, order: list[np.ndarray]) -> list[torch.Tensor]:
    data = TrainingImages(images, "cpu", on_host)
    following = [*order[1:], np.zeros(0, np.int64)]
    return [data.read(rows, lambda soon=soon: soon) for rows, soon in zip(order, following, strict=True)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_batches_from_the_host_are_those_from_the_device(dtype: type, rng: np.random.Generator):
    images = rng.integers(0, 256, (30, 3, 4, 4)).astype(dtype)
    order = [rng.permutation(30)[:8] for _ in range(4)]
    from_host, from_device = (batches(images, on_host, order) for on_host in (True, False))
    for rows, host, device in zip(order, from_host, from_device, strict=True):
        assert torch.equal(host, device) and np.array_equal(host.numpy(), images[rows])


def test_a_batch_that_was_not_foreseen_is_read_all_the_same(rng: np.random.Generator):
    images = rng.integers(0, 256, (30, 1, 4, 4), np.uint8)
    data = TrainingImages(images, "cpu", on_host=True)
    data.read(np.arange(5), lambda: np.arange(5, 10))
    assert np.array_equal(data.read(np.arange(20, 25), lambda: np.arange(0)).numpy(), images[20:25])


def test_the_batch_after_this_one_is_gathered_before_it_is_asked_for(rng: np.random.Generator):
    images = rng.integers(0, 256, (30, 1, 4, 4), np.uint8)
    data = TrainingImages(images, "cpu", on_host=True)
    data.read(np.arange(5), lambda: np.arange(5, 10))
    assert data._next is not None and np.array_equal(data._next[1].result().numpy(), images[5:10])


def test_a_set_stays_on_the_host_from_half_of_a_gpus_memory_on_and_never_beside_a_cpu():
    assert DEVICE_SHARE == 0.5
    assert not stays_on_host(500, "cuda:0", memory=1000) and stays_on_host(501, "cuda:0", memory=1000)
    assert not stays_on_host(10**15, "cpu")


def test_pages_of_a_mapped_set_are_let_go_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    np.save(tmp_path / "set.npy", np.zeros((8, 1, 64, 64), np.uint8))
    images = np.load(tmp_path / "set.npy", mmap_mode="c")
    images[:] = 1  # lost when the pages are let go
    monkeypatch.setattr(large_arrays.LetGo.__init__, "__defaults__", (2 * 64 * 64,))
    data = TrainingImages(images, "cpu")
    assert data.read(np.array([0]), lambda: np.arange(0)).all()
    data.read(np.array([1]), lambda: np.arange(0))
    assert not images.any()


def test_the_rows_of_a_batch_are_those_of_shuffled_passes_across_their_ends():
    passes = np.concatenate([rng_at(3, "order", row=turn).permutation(10) for turn in range(4)])
    for start, size in ((0, 4), (8, 4), (7, 25), (30, 10)):
        assert np.array_equal(batch_rows(3, 10, start, size), passes[start : start + size])


def test_a_fingerprint_is_that_of_all_bytes_at_once(rng: np.random.Generator):
    images = rng.integers(0, 256, (600, 1, 4, 4), np.uint8)
    head = f"recipe|7|{images.shape}|{torch.__version__}|cpu|1|{torch.get_num_threads()}|"
    assert (
        fingerprint("recipe", images, 7, RunContext()) == hashlib.sha256(head.encode() + images.tobytes()).hexdigest()
    )
