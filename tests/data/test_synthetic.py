"""Properties of all drawn textures, tested on a very small texture."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from imagelab.cli.data import describe_lines
from imagelab.data.synthetic import DrawnTexture
from imagelab.seeds import rng_at


class Plain(DrawnTexture):
    """One random grey level, which may be below black or above white."""

    kind: Literal["plain"] = "plain"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, 2, 2)."""
        return 1, 2, 2

    def card(self) -> str:
        """Return a short card."""
        return "Plain."

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return float64 [1,2,2] around the middle of the scale."""
        return np.full((1, 2, 2), rng.normal(128, 200))


def test_each_picture_is_a_function_of_its_own_stream_rounded_once():
    images = Plain().load("heldout", 40, seed=5).images
    grey = [rng_at(5, "plain/heldout", row=row).normal(128, 200) for row in range(40)]
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.clip(np.round(grey), 0, 255))
    assert images.dtype == np.uint8 and {0, 255} <= set(images.ravel().tolist())


def test_more_pictures_begin_with_the_same_ones():
    np.testing.assert_array_equal(Plain().load("train", 9, 1).images[:4], Plain().load("train", 4, 1).images)


def test_splits_and_seeds_share_nothing():
    first = Plain().load("train", 20, 0).images
    assert (first != Plain().load("heldout", 20, 0).images).any()
    assert (first != Plain().load("train", 20, 1).images).any()


def test_sources_name_kind_split_and_row():
    assert Plain().load("reserve", 2, 0).sources == ("plain:reserve:0", "plain:reserve:1")


def test_there_is_no_end_and_no_bad_file():
    assert Plain().available(0) == {"train": None, "heldout": None, "reserve": None}
    assert Plain().bad_files() == ()


def test_no_picture_at_all_is_refused_by_name():
    with pytest.raises(ValueError, match="plain: expected n >= 1, got 0"):
        Plain().load("train", 0, 0)


def test_what_is_known_of_a_set_is_said_without_drawing_it():
    class Slow(Plain):
        """A texture that must not be drawn."""

        def draw(self, rng: np.random.Generator) -> np.ndarray:
            """Fail."""
            raise AssertionError("drawn")

    assert describe_lines(Slow(), "train", 2048, 0)[-1] == "reserve: unlimited"
