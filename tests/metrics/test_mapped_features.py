"""Laws of features of many images: the values of features in memory, mapped, kept, and read block by block."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from imagelab.io import large_arrays
from imagelab.io.large_arrays import is_mapped
from imagelab.metrics import Evidence, ImageSet, mapped_features
from imagelab.metrics.features import feature_pair, features
from imagelab.metrics.frechet import frechet_rows
from imagelab.metrics.mapped_features import MANY, mean_and_spread

SPACE = "randconv-s0"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 1, 16, 16), np.uint8)


def many_from(count: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mapped_features, "MANY", count)
    patch.setattr("imagelab.metrics.features.MANY", count)
    patch.setattr(large_arrays, "IN_MEMORY", 0)


def test_features_are_mapped_from_16384_images_on():
    assert MANY == 16_384


def test_features_of_many_images_are_those_of_few_mapped_and_kept_in_the_cache_folder(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = features(ImageSet(images), SPACE)
    many_from(59, monkeypatch)
    for cache in (None, tmp_path):
        found = features(ImageSet(images, cache), SPACE)
        assert is_mapped(found) and found.dtype == np.float32 and np.array_equal(found, plain)
    (kept,) = tmp_path.glob("*.npy")
    assert np.array_equal(np.load(kept), plain)
    changed = np.load(kept)
    changed[0] += 1
    before = kept.stat().st_mtime_ns
    assert np.array_equal(features(ImageSet(images, tmp_path), SPACE), plain) and kept.stat().st_mtime_ns == before
    np.save(kept, changed)  # a changed file is made again
    assert np.array_equal(features(ImageSet(images, tmp_path), SPACE), plain)


def test_features_of_other_images_under_the_name_are_made_again(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    many_from(10, monkeypatch)
    features(ImageSet(images[:30], tmp_path / "a"), SPACE)
    features(ImageSet(images[30:], tmp_path / "b"), SPACE)
    for end in ("npy", "json"):
        (ours,), (theirs,) = (tmp_path / "a").glob(f"*.{end}"), (tmp_path / "b").glob(f"*.{end}")
        theirs.replace(ours)
    found = features(ImageSet(images[:30], tmp_path / "a"), SPACE)
    assert np.array_equal(found, features(ImageSet(images[:30]), SPACE))


def test_standardised_features_of_many_images_by_few_are_the_same_bytes(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    plain = feature_pair(Evidence(ImageSet(images[:20]), ImageSet(images)), SPACE)
    many_from(20, monkeypatch)
    evidence = Evidence(ImageSet(images[:20]), ImageSet(images))
    found = feature_pair(evidence, SPACE)
    assert [is_mapped(each) for each in found] == [False, True]
    assert all(np.array_equal(one, other) for one, other in zip(found, plain, strict=True))
    assert feature_pair(evidence, SPACE)[1] is found[1]  # made once for all metrics
    other = Evidence(ImageSet(images[5:25]), evidence.fake)  # another reference has another ruler
    assert not np.array_equal(feature_pair(other, SPACE)[1], found[1])


def test_moments_of_many_are_those_of_few_to_rounding(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    values = (rng.standard_normal((50, 6)) * 3 + 100).astype(np.float32)
    plain = mean_and_spread(values)
    monkeypatch.setattr(mapped_features, "MANY", 10)
    monkeypatch.setattr(mapped_features, "ROWS", 7)
    for one, other in zip(mean_and_spread(values), plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)


def test_a_frechet_distance_of_many_images_is_that_of_few(images: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    def measured() -> list[float | None]:
        evidence = Evidence(ImageSet(images[:30]), ImageSet(images[30:]))
        return [each for row in frechet_rows(evidence, SPACE, "frechet") for each in (row.value, row.stderr)]

    plain = measured()
    many_from(20, monkeypatch)
    np.testing.assert_allclose(np.array(measured(), float), np.array(plain, float), rtol=1e-6)


def test_the_memory_of_standardising_does_not_grow_with_the_number_of_images(monkeypatch: pytest.MonkeyPatch):
    many_from(100, monkeypatch)
    monkeypatch.setattr(mapped_features, "ROWS", 64)
    peaks, ruler = [], (np.zeros(32), np.ones(32))
    for count in (500, 4000):
        image_set = ImageSet(np.zeros((count, 1, 1, 1), np.uint8))
        values = large_arrays.empty_array((count, 32), np.float32)
        tracemalloc.start()
        mapped_features.standardised(image_set, values, np.ones(32, bool), ruler, "slot")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 1 << 17
