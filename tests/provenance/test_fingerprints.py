from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.fft import idctn

from imagelab.provenance.fingerprints import BITS, hamming, perceptual_hashes, pixel_digests, pixel_name
from imagelab.provenance.ledger import Ledger, find_runs
from imagelab.provenance.near_match import ACCEPTED, calibration, measured_sizes, threshold_for
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_measurements

from .conftest import N, image_of


def test_the_digest_is_that_of_the_exported_metadata(rng: np.random.Generator):
    image = rng.integers(0, 256, (3, 5, 7), np.uint8)
    expected = hashlib.sha256(np.asarray(image_of(image)).tobytes()).hexdigest()
    assert pixel_digests(image[None])[0].tobytes().hex() == expected
    assert pixel_name(image) == f"5x7x3:{expected}"


def test_pictures_of_the_same_bytes_and_another_shape_have_other_names():
    flat = np.arange(96, dtype=np.uint8)
    one, other = (flat.reshape(4, 8, 3).transpose(2, 0, 1), flat.reshape(8, 4, 3).transpose(2, 0, 1))
    assert pixel_name(one).split(":")[1] == pixel_name(other).split(":")[1]
    assert pixel_name(one) != pixel_name(other)


@pytest.mark.parametrize("bits", BITS)
def test_the_hash_is_the_signs_of_the_low_frequencies(rng: np.random.Generator, bits: int):
    side = int(bits**0.5)
    low = rng.permutation(bits).reshape(side, side) - bits / 2
    low[0, 0] = bits  # the mean of the picture is above the median
    full = np.zeros((64, 64))
    full[:side, :side] = low
    image = np.clip(np.asarray(idctn(full, norm="ortho")) + 128, 0, 255).round().astype(np.uint8)[None]
    found = np.unpackbits(perceptual_hashes(image[None], bits)[0].view(np.uint8)).astype(bool)
    away = np.flatnonzero(found != (low > np.median(low)).ravel())
    assert len(away) <= bits // 64  # rounding to 8 bits moves what is nearest to the median


@pytest.mark.parametrize("bits", BITS)
def test_brightness_contrast_and_size_hardly_change_the_hash(faces: np.ndarray, bits: int):
    hashes = perceptual_hashes(faces[:N], bits)
    softer = (faces[:N] * 0.8 + 20).round().astype(np.uint8)
    larger = np.stack([np.asarray(image_of(face).resize((160, 160), Image.Resampling.BICUBIC)) for face in faces[:N]])
    for changed in (softer, larger.transpose(0, 3, 1, 2)):
        own = [hamming(h, hashes)[row] for row, h in enumerate(perceptual_hashes(changed, bits))]
        assert max(own) <= bits // 32
    assert min(hamming(hashes[0], hashes[1:])) > 0


def test_a_picture_is_too_small_for_a_hash(rng: np.random.Generator):
    with pytest.raises(ValueError, match="at least 16 px"):
        perceptual_hashes(rng.integers(0, 256, (1, 3, 15, 40), np.uint8), 256)


def test_the_ledger_tells_shapes_and_grey_pictures_apart(tmp_path: Path, run: RunFolder, rng: np.random.Generator):
    grey = RunFolder.create(tmp_path / "grey", {**run.config, "signature": "0" * 8})
    images = rng.integers(0, 256, (3, 1, 32, 48), np.uint8)
    np.save((shard := grey.begin(0)) / "images.npy", images)
    write_measurements(shard, [])
    grey.commit(0)
    ledger = Ledger.read([grey.path])
    assert [place.row for place in ledger.find(np.repeat(images[1], 3, axis=0))] == [1]
    assert ledger.find(images[1].reshape(1, 48, 32)) == []


def test_runs_are_found_two_folders_deep_and_not_through_links(run: RunFolder, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked").symlink_to(run.path)
    assert find_runs([run.path]) == find_runs([run.path.parent]) == find_runs([tmp_path]) == [run.path.resolve()]
    assert find_runs([tmp_path / "elsewhere"]) == []


def test_a_damaged_run_is_named_and_the_others_are_searched(run: RunFolder, tmp_path: Path):
    bad = tmp_path / "runs" / "bad"
    bad.mkdir()
    (bad / "config.json").write_text("{")
    ledger = Ledger.read(find_runs([tmp_path / "runs"]))
    assert [shown.path.name for shown in ledger.runs] == [run.path.name] and list(ledger.unread) == [str(bad)]


def table(false: int, n: int, found: int, most: tuple[int, ...] = (8, 16)) -> dict[str, Any]:
    """Return rates of one size and kind: no false matches at the first threshold, ``false`` at the second."""
    recall = {"jpeg 75": {"n": 100, "found": [50, found]}}
    rates = {"thresholds": list(most), "strangers": n, "false": [0, false], "recall": recall}
    bits = {"64": {**rates, "false": [n, n]}, "256": rates}
    return {"sizes": {"64": {"faces": {"gallery": 1000, "bits": bits}}}}


def test_the_widest_threshold_is_taken_whose_rate_of_false_matches_is_accepted():
    assert getattr(threshold_for(64, 1000, table(10, 10_000, 99)), "most", None) == 16
    assert getattr(threshold_for(64, 1000, table(200, 10_000, 99)), "most", None) == 8


def test_more_rows_mean_more_false_matches_until_nobody_is_named():
    rates = table(0, 1000, 99)
    few = threshold_for(64, 1000, rates)
    assert few is not None and few.false_at_most == pytest.approx(0.00383, abs=1e-4)  # 3.84 / (n + 3.84)
    twice = threshold_for(64, 2000, rates)
    assert twice is not None and twice.false_at_most == pytest.approx(2 * few.false_at_most)
    assert threshold_for(64, 3000, rates) is None


def test_the_shipped_rates_hold_what_the_word_near_match_promises():
    sizes = calibration()["sizes"]
    assert [size for size, _ in measured_sizes()] == [32, 64, 128]
    for size, _ in measured_sizes():
        assert {"drawn faces", "photographs"} <= sizes[str(size)].keys()
        for rows in (100, 10_000):
            limit = threshold_for(size, rows)
            assert limit is not None and limit.false_at_most <= ACCEPTED and limit.bits == 256
        assert threshold_for(size, 1_000_000) is None
        for kind in sizes[str(size)].values():
            for rates in kind["bits"].values():
                assert rates["false"] == sorted(rates["false"])
                assert all(change["found"] == sorted(change["found"]) for change in rates["recall"].values())


def test_fresh_faces_agree_with_the_shipped_rates(faces: np.ndarray):
    """48 other faces: all keep their hash through JPEG 90, and no two of them are a near match."""
    import io

    limit = threshold_for(64, 4000)
    assert limit is not None
    hashes = perceptual_hashes(faces, limit.bits)
    for row, face in enumerate(faces):
        image_of(face).save(file := io.BytesIO(), "JPEG", quality=90)
        again = np.asarray(Image.open(file)).transpose(2, 0, 1)
        away = hamming(perceptual_hashes(again[None], limit.bits)[0], hashes)
        assert away[row] <= limit.most and (np.delete(away, row) > limit.most).all()
