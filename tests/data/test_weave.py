from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydantic import ValidationError

from imagelab.data.base import Data
from imagelab.data.weave import Weave


def mean_power(recipe: Weave, n: int = 30) -> np.ndarray:
    """Mean power spectrum of the grey pictures, means removed: [S,S]."""
    grey = recipe.load("train", n, 0).images.mean(1)
    return (np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2).mean(0)


def off_the_lines(recipe: Weave) -> float:
    power = mean_power(recipe)
    return float(power[~recipe.lines()].sum() / power.sum())


@pytest.mark.parametrize(("size", "threads"), [(64, 10), (64, 16), (48, 6), (32, 12)])
def test_the_first_lines_lie_where_the_pitch_says(size: int, threads: int) -> None:
    recipe = Weave(size=size, threads=threads)
    power, half = mean_power(recipe), threads // 2
    first = {(half, half), (half, size - half), (0, threads), (threads, 0)}
    strongest = np.argsort(power, axis=None)[::-1][:8]
    found = {tuple(int(k) for k in np.unravel_index(place, power.shape)) for place in strongest}
    mirrored = {((size - y) % size, (size - x) % size) for y, x in first}
    assert found == first | mirrored
    assert recipe.pitch == size / threads


@pytest.mark.parametrize("threads", [6, 10, 22])
def test_cloth_of_equal_threads_has_no_power_between_its_lines_but_that_of_rounding(threads: int) -> None:
    recipe = Weave(threads=threads, jitter=0)
    power = mean_power(recipe) / recipe.size**2  # per orthonormal mode; averaging 3 channels thirds the 1/12
    assert power[~recipe.lines()].mean() < 1 / 12


def test_power_between_the_lines_grows_as_the_square_of_the_jitter() -> None:
    rest = off_the_lines(Weave(jitter=0))
    small, large = (off_the_lines(Weave(jitter=jitter)) - rest for jitter in (0.02, 0.04))
    assert 3.5 < large / small < 4.5


def test_a_piece_depends_on_seed_split_and_row_alone() -> None:
    recipe = Weave(size=16, threads=4)
    assert isinstance(recipe, Data)
    images = recipe.load("train", 5, 1).images
    assert_array_equal(images[:2], recipe.load("train", 2, 1).images)
    assert (images != recipe.load("train", 5, 2).images).any()
    assert (images != recipe.load("heldout", 5, 1).images).any()
    assert len({image.tobytes() for image in images}) == 5


def test_the_card_states_the_lines_and_nonsense_is_refused() -> None:
    assert "the first at 7.07 on the diagonals and 10 on the axes" in Weave().card()
    with pytest.raises(ValueError, match="expected n >= 1"):
        Weave().load("train", 0, 0)
    with pytest.raises(ValidationError, match="expected at most size / 2 = 16, got 18"):
        Weave(size=32, threads=18)
    with pytest.raises(ValidationError, match="multiple of 2"):
        Weave(threads=7)
