from __future__ import annotations

import numpy as np
import pytest

from imagelab.seeds import image_seeds, normal, rng_at, seed_at


def test_the_same_address_gives_the_same_numbers():
    np.testing.assert_array_equal(rng_at(3, "pool", 2, 1, 5).random(4), rng_at(3, "pool", 2, 1, 5).random(4))


@pytest.mark.parametrize(
    "other", [(4, "pool", 2, 1, 5), (3, "train", 2, 1, 5), (3, "pool", 3, 1, 5), (3, "pool", 2, 0, 5)]
)
def test_every_part_of_the_address_matters(other: tuple[int, str, int, int, int]):
    assert seed_at(3, "pool", 2, 1, 5) != seed_at(*other)


def test_real_and_reserve_lines_have_streams_of_their_own():
    assert len({seed_at(0, "x", 0, line) for line in (-2, -1, 0, 1)}) == 4


def test_image_seeds_do_not_collide():
    assert len(np.unique(image_seeds(0, "sample", 1, 0, range(5000)))) == 5000


def test_noise_of_an_image_does_not_depend_on_its_batch():
    seeds = image_seeds(0, "sample", 1, 0, range(8))
    together = normal(seeds, (3, 4, 4))
    np.testing.assert_array_equal(together[5:6], normal(seeds[5:6], (3, 4, 4)))
    np.testing.assert_array_equal(together[::-1], normal(seeds[::-1], (3, 4, 4)))


def test_later_draws_of_an_image_are_new_noise():
    seeds = image_seeds(0, "sample", 1, 0, range(2))
    correlation = np.corrcoef(normal(seeds, (4096,), draw=0).ravel(), normal(seeds, (4096,), draw=1).ravel())[0, 1]
    assert abs(correlation) < 4 / 8192**0.5


def test_noise_is_standard_normal():
    noise = normal(image_seeds(1, "sample", 1, 0, range(64)), (1024,)).astype(np.float64)
    assert abs(noise.mean()) < 4 / noise.size**0.5
    assert abs(noise.var() - 1) < 4 * (2 / noise.size) ** 0.5


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        rng_at(-1, "pool")
