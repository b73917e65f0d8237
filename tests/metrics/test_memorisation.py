from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from imagelab.metrics.base import ImageSet, NotMeasurable
from imagelab.metrics.memorisation import authenticity, closer_to_train, memorisation


def test_copies_are_nearer_to_train_and_never_authentic(rng):
    train, heldout = rng.standard_normal((50, 4)), rng.standard_normal((50, 4))
    assert closer_to_train(train[:30], train, heldout, seed=0) == 1.0
    assert authenticity(train[:30], train) == 0.0


def test_new_samples_are_equally_near_to_both_sets_for_any_sizes(rng):
    share = [
        closer_to_train(
            rng.standard_normal((200, 3)), rng.standard_normal((300, 3)), rng.standard_normal((60, 3)), seed=s
        )
        for s in range(20)
    ]
    assert np.mean(share) == pytest.approx(0.5, abs=0.04)


def test_ties_count_half(rng):
    train = rng.standard_normal((20, 3))
    assert closer_to_train(rng.standard_normal((50, 3)), train, train[::-1], seed=0) == pytest.approx(0.5)


def test_which_training_images_are_left_out_follows_the_seed(rng):
    fake, train, heldout = (rng.standard_normal((n, 2)) for n in (60, 200, 20))
    assert len({closer_to_train(fake, train, heldout, seed=s) for s in range(5)}) > 1


def test_authenticity_compares_with_the_nearest_other_training_image():
    train = np.array([[0.0], [1.0], [10.0], [14.0]])
    # .5 from 0, whose own neighbour is 1 away: not authentic; 5 from 10, whose neighbour is 4 away: authentic
    assert authenticity(np.array([[-0.5], [5.0 + 1e-9]]), train) == 0.0 + 0.5
    assert authenticity(np.array([[-0.5]]), train) == 0.0


def test_authenticity_equals_the_comparison_of_every_pair(rng):
    fake, train = rng.standard_normal((40, 3)), rng.standard_normal((35, 3))
    train[7] = train[3]  # a training image that occurs twice has a nearest neighbour at 0
    fake[0] = train[3]
    across, own = cdist(fake, train), cdist(train, train) + np.diag(np.full(35, np.inf))
    expected = [across[i].min() > own[across[i].argmin()].min() for i in range(40)]
    assert authenticity(fake, train) == np.mean(expected)


def test_rows_need_the_training_set(pictures, evidence):
    plain = evidence(pictures(30, 32, seed=1), pictures(20, 32, seed=2))
    with pytest.raises(NotMeasurable, match="trained on"):
        memorisation(plain)
    closer: Any
    authentic: Any
    closer, authentic = memorisation(replace(plain, train=ImageSet(pictures(50, 32, seed=2))))
    # another seed, so none of the 20 images is one of the 50
    assert (closer.n_real, authentic.n_real, closer.n_fake) == (30, 50, 20)
    copied = memorisation(replace(plain, train=plain.fake))
    assert [m.value for m in copied] == [1.0, 0.0]
    assert all(m.stderr is not None and m.stderr > 0 for m in copied)
