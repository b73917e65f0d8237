from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from imagelab import Faces
from imagelab.metrics import memorisation as module
from imagelab.metrics.base import ImageSet, NotMeasurable
from imagelab.metrics.memorisation import authenticity, closer_to_train, coarse, copies, memorisation


def test_copies_are_nearer_to_train_and_never_authentic(rng):
    train, heldout = rng.standard_normal((50, 4)), rng.standard_normal((50, 4))
    assert closer_to_train(train[:30], train, heldout, seed=0).value == 1.0
    assert authenticity(train[:30], train).value == 0.0


def test_new_samples_are_equally_near_to_both_sets_for_any_sizes(rng):
    share = [
        closer_to_train(
            rng.standard_normal((200, 3)), rng.standard_normal((300, 3)), rng.standard_normal((60, 3)), seed=s
        ).value
        for s in range(20)
    ]
    assert np.mean(share) == pytest.approx(0.5, abs=0.04)


def test_ties_count_half(rng):
    train = rng.standard_normal((20, 3))
    assert closer_to_train(rng.standard_normal((50, 3)), train, train[::-1], seed=0).value == pytest.approx(0.5)


def test_which_training_images_are_left_out_follows_the_seed(rng):
    fake, train, heldout = (rng.standard_normal((n, 2)) for n in (60, 200, 20))
    assert len({closer_to_train(fake, train, heldout, seed=s).value for s in range(5)}) > 1


def test_authenticity_compares_with_the_nearest_other_training_image():
    train = np.array([[0.0], [1.0], [10.0], [14.0]])
    # .5 from 0, whose own neighbour is 1 away: not authentic; 5 from 10, whose neighbour is 4 away: authentic
    assert authenticity(np.array([[-0.5], [5.0 + 1e-9]]), train).value == 0.0 + 0.5
    assert authenticity(np.array([[-0.5]]), train).value == 0.0


def test_authenticity_equals_the_comparison_of_every_pair(rng):
    fake, train = rng.standard_normal((40, 3)), rng.standard_normal((35, 3))
    train[7] = train[3]  # a training image that occurs twice has a nearest neighbour at 0
    fake[0] = train[3]
    across, own = cdist(fake, train), cdist(train, train) + np.diag(np.full(35, np.inf))
    expected = [across[i].min() > own[across[i].argmin()].min() for i in range(40)]
    assert authenticity(fake, train).value == np.mean(expected)


def test_rows_need_the_training_set(pictures, evidence):
    plain = evidence(pictures(30, 32, seed=1), pictures(20, 32, seed=2))
    with pytest.raises(NotMeasurable, match="trained on"):
        memorisation(plain)
    closer: Any
    authentic: Any
    copied: Any
    closer, authentic, copied = memorisation(replace(plain, train=ImageSet(pictures(50, 32, seed=2))))
    # another seed, so none of the 20 images is one of the 50
    assert (closer.n_real, authentic.n_real, closer.n_fake) == (30, 50, 20)
    assert (copied.n_real, copied.feature_space) == (50, "")
    of_copies = memorisation(replace(plain, train=plain.fake))
    assert [m.value for m in of_copies] == [1.0, 0.0, pytest.approx(1.0, abs=0.1)]
    assert of_copies[0].low < 0.9 and of_copies[1].high > 0.1  # one or none of 20 says little


def test_images_that_crowd_around_one_training_image_are_one_vote(rng):
    train, heldout = rng.standard_normal((2, 100, 4))
    crowd = train[5] + 0.01 * rng.standard_normal((200, 4))
    for found in (closer_to_train(crowd, train, heldout, seed=0), authenticity(crowd, train)):
        assert found.independent <= 2
    assert (closer_to_train(crowd, train, heldout, seed=0).stderr or 0) > 0.4  # of .5: the hub may be on either side
    spread_out = closer_to_train(rng.standard_normal((200, 4)), train, heldout, seed=0)
    assert (spread_out.stderr or 1) < 0.08


def test_the_error_of_closer_to_train_is_the_spread_over_swaps_of_halves(rng):
    fake, points = rng.standard_normal((80, 3)) * 0.5, rng.standard_normal((120, 3))
    stated = closer_to_train(fake, points[:60], points[60:], seed=0).stderr
    values = []
    for _ in range(600):
        order = rng.permutation(120)
        values.append(closer_to_train(fake, points[order[:60]], points[order[60:]], seed=0).value)
    # a swap keeps the pooled points, but the nearest one of either side changes with it only for the other side
    assert np.std(values) == pytest.approx(stated, rel=0.1) and np.mean(values) == pytest.approx(0.5, abs=0.02)


# -- the copy test


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return Faces(size=32, cache=False).load("train", 900, 5).images


def soft(images: np.ndarray) -> np.ndarray:
    return np.rint(gaussian_filter(images.astype(np.float32), (0, 0, 0.5, 0.5))).astype(np.uint8)


@pytest.mark.parametrize(
    ("share", "change"),
    [(0.05, lambda x: x), (0.5, soft), (0.1, soft), (0.1, lambda x: x // 8 * 8 + 4)],
)
def test_planted_copies_are_found(share, change, faces):
    fake, train, heldout = faces[:300].copy(), faces[300:600], faces[600:]
    none = copies(fake, train, heldout)
    planted = int(share * 300)
    fake[:planted] = change(train[:planted])
    found = copies(fake, train, heldout)
    assert found.value > 2.5 * (found.stderr or 1) and abs(found.value - share) < 0.3 * share + 0.02
    assert abs(none.value) < 2 * (none.stderr or 0)


def test_faces_that_nobody_copied_raise_no_alarm(faces, rng):
    alarms, values, errors = 0, [], []
    for _ in range(40):
        order = rng.permutation(900)
        found = copies(*(faces[order[k : k + 300]] for k in (0, 300, 600)))
        alarms += abs(found.value) > 1.96 * (found.stderr or 0)
        values.append(found.value)
        errors.append(found.stderr)
    assert alarms <= 5  # of 40 at 5 %: 2 expected, 6 or more by chance in 1 of 70
    assert 0.7 < np.sqrt(np.mean(np.square(errors))) / np.std(values) < 1.7


def test_coarse_images_are_means_of_cells_for_any_side(rng):
    images = rng.integers(0, 256, (2, 3, 40, 8), np.uint8)
    cells = images.reshape(2, 3, 10, 4, 8).mean(axis=3)  # ten cells of four rows; eight columns are kept whole
    expected = cells - images.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(coarse(images), expected.reshape(2, -1), atol=1e-3)
    brighter = np.minimum(images, 245) + np.uint8(10)
    np.testing.assert_allclose(coarse(brighter), coarse(np.minimum(images, 245)), atol=1e-3)


def test_blocks_of_images_change_nothing(rng, monkeypatch):
    images = rng.integers(0, 256, (9, 3, 20, 20), np.uint8)
    whole = coarse(images)
    monkeypatch.setattr(module, "BLOCK", 4)
    np.testing.assert_array_equal(coarse(images), whole)
