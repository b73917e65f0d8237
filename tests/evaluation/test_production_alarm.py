from __future__ import annotations

import numpy as np
import pytest

from imagelab.evaluation.picture_readings import picture_readings
from imagelab.evaluation.production_alarm import AlarmReference, BatchSums, look_at, pool_of
from imagelab.metrics import ImageSet


def patterns(n: int, seed: int, brighter: float = 0.0) -> np.ndarray:
    """Smooth random grey pictures of random brightness and contrast: uint8 [N,1,16,16]."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    fine = rng.normal(size=(n, 1, 16, 16)) * rng.uniform(2, 8, (n, 1, 1, 1))
    pixels = 128 + brighter + rng.normal(scale=12, size=(n, 1, 1, 1)) + 20 * coarse + fine
    return pixels.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reference() -> AlarmReference:
    return AlarmReference(ImageSet(patterns(400, 0)), rate=0.9)


def sums(reference: AlarmReference, images: np.ndarray) -> BatchSums:
    return reference.sums(ImageSet(images))


def test_batches_like_the_reference_ring_about_as_rarely_as_stated(reference: AlarmReference):
    batches = [sums(reference, patterns(60, seed)) for seed in range(1, 81)]
    rings = sum(look_at(reference, [batch]).rings for batch in batches)
    assert reference.rate_of_look == pytest.approx(0.0045)
    assert rings <= 4  # .4 expected; more than 4 in one of 20,000 tries
    largest = [abs(look_at(reference, [batch]).largest[1]) for batch in batches]
    assert 1.5 < float(np.median(largest)) < 3.2  # of about sixteen standard normal variables: the units are right


def test_brighter_pictures_ring_and_are_called_brighter(reference: AlarmReference):
    look = look_at(reference, [sums(reference, patterns(60, 1, brighter=20))])
    assert look.rings and look.sigmas["brightness"] > 6


def test_lost_variety_rings_though_every_picture_is_real(reference: AlarmReference):
    look = look_at(reference, [sums(reference, patterns(4, 1).repeat(20, axis=0))])
    assert look.rings and look.sigmas["the whole"] > look.threshold


def test_a_change_too_small_for_one_batch_rings_in_the_pool(reference: AlarmReference):
    batches = [sums(reference, patterns(60, seed, brighter=5)) for seed in range(1, 9)]
    alone = [look_at(reference, [batch]).rings for batch in batches]
    assert sum(alone) <= 4 and look_at(reference, batches).rings


def test_pictures_of_one_group_count_as_one():
    images, groups = patterns(220, 0).repeat(4, axis=0), np.arange(220).repeat(4)
    within = AlarmReference(ImageSet(images, groups=groups), rate=0.9)
    without = AlarmReference(ImageSet(images), rate=0.9)
    units = [dict(zip(each.names, each.calibration(100).above, strict=True)) for each in (within, without)]
    ratio = [units[0][name] / units[1][name] for name in units[0] if name in units[1] and name != "the whole"]
    assert 1.7 < np.median(ratio) < 2.3  # an error from a quarter of the number is twice as large


def test_draws_are_whole_groups_and_as_large_as_the_batch():
    groups = np.arange(220).repeat(np.arange(220) % 3 + 1)
    reference = AlarmReference(ImageSet(patterns(len(groups), 0), groups=groups), rate=0.9)
    chosen = next(reference._drawn(np.random.default_rng(0), 100))
    assert chosen.sum(axis=1).min() >= 100 and chosen.sum(axis=1).max() <= 102
    for group in range(10):
        members = chosen[:, reference._group_of == group]
        assert (members.all(axis=1) | ~members.any(axis=1)).all() and members.any()


def test_both_sets_count_in_the_error_of_a_difference(reference: AlarmReference):
    batch = sums(reference, patterns(60, 1))
    found = reference.against_real(batch)
    gap = batch.sums / 60 - reference._total / 300
    ranks = len(reference.names) - 1
    np.testing.assert_allclose(found[:ranks], gap[:ranks] / np.sqrt(1 / 60 + 1 / 300))
    assert found[-1] == pytest.approx(np.log((gap[ranks:] ** 2).sum() / (1 / 60 + 1 / 300)))


def test_a_pool_never_outnumbers_the_reference(reference: AlarmReference):
    one = BatchSums(100, 100, np.zeros(reference.width))
    assert reference.count == 300  # three quarters of 400
    assert len(pool_of(reference, [one] * 8)) == 3 and len(pool_of(reference, [one])) == 1
    small = BatchSums(10, 10, np.zeros(reference.width))
    assert len(pool_of(reference, [small] * 20)) == 8
    large = BatchSums(301, 301, np.zeros(reference.width))
    assert pool_of(reference, [small, large]) == [large]


def test_a_pool_is_the_sum_of_its_batches(reference: AlarmReference):
    images = patterns(90, 3)
    together, parts = sums(reference, images), [sums(reference, images[:40]), sums(reference, images[40:])]
    pooled = BatchSums.pooled(parts)
    assert pooled.count == 90 and np.allclose(pooled.sums, together.sums)


def test_a_reference_of_few_or_equal_pictures_is_refused():
    with pytest.raises(ValueError, match="expected 200 pictures or more, got 199"):
        AlarmReference(ImageSet(patterns(199, 0)))
    with pytest.raises(ValueError, match="expected 200 groups of pictures or more, got 100"):
        AlarmReference(ImageSet(patterns(200, 0), groups=np.arange(200) // 2))
    with pytest.raises(ValueError, match="all alike"):
        AlarmReference(ImageSet(patterns(1, 0).repeat(200, axis=0)))
    with pytest.raises(ValueError, match="chance of"):
        AlarmReference(ImageSet(patterns(200, 0)), rate=0.0)


def test_readings_say_what_they_are_called():
    flat = np.full((2, 3, 16, 16), 100, np.uint8)
    flat[1, 0] = 200
    flat[1, :, ::2] = 0
    read = picture_readings(flat)
    assert read["brightness"][0] == pytest.approx(100, abs=0.1) and read["contrast"][0] == pytest.approx(0, abs=0.1)
    assert read["colour"][0] == pytest.approx(0, abs=0.1) and read["colour"][1] > 10
    assert read["black or burnt out"].tolist() == [0.0, 0.5]
    assert read["fine detail"][1] > 1000 > read["medium detail"][1] >= 0  # lines two pixels apart
