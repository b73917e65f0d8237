from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from imagelab.data.base import Data
from imagelab.data.mud import CRACK_LEVEL, Mud, _cells


def pieces(whole: np.ndarray) -> int:
    """Return the number of connected regions of a mask on the torus."""
    from scipy.ndimage import label

    marks = np.zeros(whole.shape, np.int32)
    label(whole, output=marks)
    count = int(marks.max())
    joined = np.arange(count + 1)
    for here, there in ((marks[0], marks[-1]), (marks[:, 0], marks[:, -1])):
        for a, b in zip(here, there, strict=True):
            if a and b and joined[a] != joined[b]:
                joined[joined == joined[a]] = joined[b]
    return len(set(joined[1:]))


def test_distances_to_the_boundary_are_exact() -> None:
    points = np.array([[8.0, 4.0], [8.0, 12.0]])  # two points on a torus of side 16: boundaries at x = 0 and x = 8
    cell, depth = _cells(points, 16, 32)
    x = (np.arange(32) + 0.5) / 2
    assert_array_equal(cell, np.tile(np.where(x < 8, 0, 1), (32, 1)))
    assert_allclose(depth, np.tile(np.abs((x + 4) % 8 - 4), (32, 1)), atol=1e-12)


def test_cracks_are_as_long_as_theory_says() -> None:
    cells, width = 60, 0.2
    shares = []
    for seed in range(30):
        points = np.random.default_rng(seed).uniform(0, 64, (cells, 2))
        shares.append((_cells(points, 64, 192)[1] < width / 2).mean())
    expected = Mud(size=64, cells=cells, width=width).crack_share()
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - expected) < 3 * error + 0.02 * expected  # 2 %: overlaps where cracks meet


def test_a_picture_has_the_cells_it_was_asked_for() -> None:
    for cells in (5, 9):
        images = Mud(size=96, cells=cells, width=2.5).load("train", 20, 0).images
        counts = [pieces(image[0] > 255 * 0.35) for image in images]
        assert np.median(counts) == cells and np.mean(np.array(counts) == cells) >= 0.7


def test_the_width_of_a_crack_is_the_width_that_was_asked_for() -> None:
    for width in (3.0, 6.0):
        recipe = Mud(size=96, cells=5, width=width)
        dark = (recipe.load("train", 30, 0).images[:, 0] < 255 * 0.3).mean()
        assert 0.85 < dark / recipe.crack_share() < 1.02  # less where cracks meet


def test_a_crack_is_darker_than_any_cell() -> None:
    images = Mud(size=96, cells=5, width=6.0).load("train", 5, 0).images[:, 0]
    assert images.min() == round(255 * CRACK_LEVEL)
    values = np.sort(images, axis=None)
    assert not ((values > 255 * CRACK_LEVEL + 1) & (values < 255 * 0.3)).mean() > 0.06  # only the soft borders


def test_a_picture_depends_on_seed_split_and_row_alone() -> None:
    recipe = Mud(size=16, cells=4)
    assert isinstance(recipe, Data)
    images = recipe.load("train", 5, 1).images
    assert_array_equal(images[:2], recipe.load("train", 2, 1).images)
    assert (images != recipe.load("train", 5, 2).images).any()
    assert (images != recipe.load("heldout", 5, 1).images).any()


def test_the_card_states_cells_and_width_and_nonsense_is_refused() -> None:
    assert "22 cells per picture, cracks 1.2 pixels wide, about 17.6 %" in Mud().card()
    with pytest.raises(ValueError, match="expected n >= 1"):
        Mud().load("train", 0, 0)
    with pytest.raises(ValidationError, match="greater than 0"):
        Mud(width=0)
