from __future__ import annotations

import dataclasses
import hashlib
import logging
import tracemalloc

import numpy as np
import pytest
import torch

from imagelab.metrics import features as module
from imagelab.metrics.base import Evidence, ImageSet, NotMeasurable
from imagelab.metrics.features import SPACES, Space, batches, feature_pair, features, full_precision


@pytest.fixture
def counting(monkeypatch):
    """A space that counts how many images it has read: mean and maximum of each channel."""
    read: list[int] = []

    def extractor(device):
        def measure(batch):
            read.append(len(batch))
            flat = batch.flatten(2).float()
            return torch.cat([flat.mean(2), flat.amax(2)], 1)

        return measure

    space = Space("counting", extractor, lambda: "0" * 64, standardise=False)
    monkeypatch.setitem(SPACES, "counting", space)
    return read


def constant(values: np.ndarray):
    """Return the extractor of a space in which image i has features values[first pixel of i]."""
    return lambda device: lambda batch: torch.from_numpy(values)[batch[:, 0, 0, 0].long()]


def numbered(n: int) -> np.ndarray:
    images = np.zeros((n, 1, 8, 8), np.uint8)
    images[:, 0, 0, 0] = np.arange(n)
    return images


def test_one_pass_serves_every_metric(counting, pictures):
    image_set = ImageSet(pictures(600, 8))
    first = features(image_set, "counting")
    assert features(image_set, "counting") is first
    assert counting == [256, 256, 88]
    np.testing.assert_allclose(first[:, :3], image_set.images.mean(axis=(2, 3)), rtol=1e-5)


def test_the_cache_is_used_for_the_same_images_only(counting, pictures, tmp_path):
    images = pictures(9, 8)
    first = features(ImageSet(images, tmp_path), "counting")
    np.testing.assert_array_equal(features(ImageSet(images.copy(), tmp_path), "counting"), first)
    assert counting == [9]
    images[4, 0, 0, 0] ^= 1
    features(ImageSet(images, tmp_path), "counting")
    features(ImageSet(images.reshape(9, 3, 4, 16), tmp_path), "counting")
    assert counting == [9, 9, 9]
    assert len(list(tmp_path.glob("counting-*.npz"))) == len(list(tmp_path.iterdir())) == 3


def test_strides_do_not_change_the_cache_and_the_set_is_never_copied_as_a_whole(counting, pictures, tmp_path):
    images = pictures(600, 8)
    backwards = images[::-1].copy()[::-1]
    for each in (images, backwards):
        features(ImageSet(each, tmp_path), "counting")
    assert sum(counting) == 600 and len(list(tmp_path.iterdir())) == 1

    large = np.arange(10_000 * 192, dtype=np.uint32).astype(np.uint8).reshape(10_000, 3, 8, 8)[::-1]  # 1.9 MB
    tracemalloc.start()
    digest = ImageSet(large).digest
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert digest == hashlib.sha256(large.tobytes()).hexdigest()
    assert peak < 300_000  # two blocks of 256 images


@pytest.mark.parametrize("change", [{"digest": lambda: "1" * 64}, {"resize": "bicubic"}, {"name": "other"}])
def test_everything_that_changes_the_numbers_changes_the_cache_name(change, counting, pictures, tmp_path, monkeypatch):
    images = pictures(4, 8)
    features(ImageSet(images, tmp_path), "counting")
    monkeypatch.setitem(SPACES, "counting", dataclasses.replace(SPACES["counting"], **change))
    features(ImageSet(images, tmp_path), "counting")
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    features(ImageSet(images, tmp_path), "counting")
    assert counting == [4, 4, 4]


@pytest.mark.parametrize("damage", [b"", b"not an array", None, "short"])
def test_a_damaged_cache_is_computed_and_written_again(damage, counting, pictures, tmp_path, caplog):
    images = pictures(6, 8)
    first = features(ImageSet(images, tmp_path), "counting")
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "short":
        np.savez(path, features=first[:-1])
    else:
        path.write_bytes(whole[:-5] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(features(ImageSet(images, tmp_path), "counting"), first)
    assert counting == [6, 6] and str(path) in caplog.text
    assert path.read_bytes() == whole


def test_an_unknown_space_is_named():
    with pytest.raises(ValueError, match="unknown space 'inceptoin'"):
        features(ImageSet(numbered(2)), "inceptoin")


def test_random_features_do_not_depend_on_the_batch(pictures, monkeypatch):
    images = pictures(20, 32)
    whole = features(ImageSet(images), "randconv-s0")
    monkeypatch.setattr(module, "batches", lambda images, device: batches(images, device, 3))
    np.testing.assert_allclose(features(ImageSet(images), "randconv-s0"), whole, rtol=1e-5, atol=1e-6)


def test_channels_with_tiny_spread_are_dropped_by_the_reference_alone(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 5)).astype(np.float32)
    values[:40, 1] *= 1e-4  # almost no spread in the reference, a large one in the generated set
    values[:, 3] = 7.0
    monkeypatch.setitem(SPACES, "made", Space("made", constant(values), lambda: "0" * 64))
    images = numbered(60)
    real, fake = feature_pair(Evidence(ImageSet(images[:40]), ImageSet(images[40:])), "made")
    assert real.shape == (40, 3) and fake.shape == (20, 3)
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(real.std(axis=0, ddof=1), 1, rtol=1e-6)
    kept = values[:, [0, 2, 4]].astype(np.float64)
    np.testing.assert_allclose(fake, (kept[40:] - kept[:40].mean(0)) / kept[:40].std(0, ddof=1), rtol=1e-6)


def test_a_space_that_is_not_standardised_is_returned_unchanged(monkeypatch):
    values = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    monkeypatch.setitem(SPACES, "made", Space("made", constant(values), lambda: "0" * 64, standardise=False))
    images = numbered(6)
    real, fake = feature_pair(Evidence(ImageSet(images[:4]), ImageSet(images[4:])), "made")
    np.testing.assert_array_equal(np.concatenate([real, fake]), values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_give_a_missing_value(bad, monkeypatch):
    values = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32)
    values[20, 1] = bad
    monkeypatch.setitem(SPACES, "made", Space("made", constant(values), lambda: "0" * 64))
    with pytest.raises(NotMeasurable, match="1 generated images are NaN or infinite"):
        feature_pair(Evidence(ImageSet(numbered(24)[:12]), ImageSet(numbered(24)[12:])), "made")


def test_a_reference_of_copies_cannot_standardise(pictures):
    copies = np.repeat(pictures(1, 32), 12, axis=0)
    with pytest.raises(NotMeasurable, match="all the same"):
        feature_pair(Evidence(ImageSet(copies), ImageSet(pictures(12, 32))), "randconv-s0")


def test_the_precision_setting_is_restored_afterwards():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest" and torch.is_inference_mode_enabled()
        assert torch.get_float32_matmul_precision() == "medium" and not torch.is_inference_mode_enabled()
    finally:
        torch.set_float32_matmul_precision(before)


# -- the constants, and the device


def test_features_of_one_kind_of_device_are_not_taken_for_those_of_another(counting, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "batches", lambda images, device: batches(images, "cpu"))  # there is no other here
    images = pictures(4, 8)
    here = ImageSet(images, tmp_path)
    for device in ("cpu", "cuda:0", "cuda:1", "cpu"):
        features(here, "counting", device)
    assert counting == [4, 4] and len(here.memory) == len(list(tmp_path.iterdir())) == 2
    for device in ("cpu", "cuda"):  # from the disk, in another process
        features(ImageSet(images, tmp_path), "counting", device)
    assert counting == [4, 4]


@pytest.mark.parametrize(("share", "kept"), [(0.9e-3, 4), (1.1e-3, 5)])
def test_a_channel_is_dead_below_a_thousandth_of_the_median_spread(share, kept, monkeypatch):
    values = np.random.default_rng(0).standard_normal((60, 5))
    values[:40] = (values[:40] - values[:40].mean(0)) / values[:40].std(0, ddof=1)
    values[:, 2] *= share
    monkeypatch.setitem(SPACES, "made", Space("made", constant(values.astype(np.float32)), lambda: "0" * 64))
    images = numbered(60)
    assert feature_pair(Evidence(ImageSet(images[:40]), ImageSet(images[40:])), "made")[0].shape == (40, kept)


def test_ten_reference_images_are_the_fewest_to_standardise_by(monkeypatch):
    values = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    monkeypatch.setitem(SPACES, "made", Space("made", constant(values), lambda: "0" * 64))
    images = numbered(20)
    assert feature_pair(Evidence(ImageSet(images[:10]), ImageSet(images[10:])), "made")[0].shape == (10, 3)
    with pytest.raises(NotMeasurable, match="at least 10 reference images"):
        feature_pair(Evidence(ImageSet(images[:9]), ImageSet(images[9:])), "made")
