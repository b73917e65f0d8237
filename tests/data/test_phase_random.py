from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from imagelab.data.base import Data
from imagelab.data.phase_random import PhaseRandom, randomise_phases


def power(pictures: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fft2(pictures.astype(np.float64))) ** 2


def steepness(pictures: np.ndarray) -> float:
    """Kurtosis of the steps from pixel to pixel: 3 for Gaussian pictures, more where there are edges."""
    steps = np.diff(pictures.astype(np.float64), axis=-1)
    steps = steps - steps.mean()
    return float((steps**4).mean() / (steps**2).mean() ** 2)


@pytest.mark.parametrize("side", [16, 33])
def test_the_power_spectrum_is_equal_to_the_last_digits_before_rounding(side: int) -> None:
    rng = np.random.default_rng(side)
    picture = rng.gamma(1.0, 40.0, (3, side, side))
    new = randomise_phases(picture, rng)
    assert np.abs(power(new) - power(picture)).max() < 1e-12 * power(picture).max()
    assert_allclose(power(new), power(picture), rtol=1e-9)
    assert_allclose(new.mean((1, 2)), picture.mean((1, 2)), rtol=1e-12)


def test_colours_stay_correlated_as_they_were() -> None:
    rng = np.random.default_rng(1)
    picture = np.tensordot(rng.random((3, 3)), rng.random((3, 16, 16)), 1)
    new = randomise_phases(picture, rng)
    assert_allclose(np.cov(new.reshape(3, -1)), np.cov(picture.reshape(3, -1)), atol=1e-12)


def test_every_picture_is_the_twin_of_its_photograph() -> None:
    recipe = PhaseRandom(size=32, photos=("grass", "gravel"))
    assert isinstance(recipe, Data)
    twins, crops = recipe.load("train", 12, 3), recipe.photographs().load("train", 12, 3)
    for twin, crop in zip(twins.images, crops.images, strict=True):
        ratio = power(twin)[0] / power(crop)[0]
        assert_allclose(np.median(ratio), 1, atol=0.05)  # rounding and saturation
    assert_array_equal(twins.attributes["photo/grass"], crops.attributes["photo/grass"])
    assert [s.removesuffix(" phases random") for s in twins.sources] == list(crops.sources)


def test_structure_is_gone() -> None:
    recipe = PhaseRandom(photos=("brick",))
    twins, crops = (r.load("train", 60, 0).images[:, 0] for r in (recipe, recipe.photographs()))
    assert steepness(crops) > steepness(twins) + 1.5


def test_the_seed_and_the_row_decide_the_phases() -> None:
    recipe = PhaseRandom(size=16)
    images = recipe.load("train", 6, 0).images
    assert_array_equal(images[:3], recipe.load("train", 3, 0).images)
    assert (images != recipe.load("train", 6, 1).images).any()


def test_the_regions_of_the_photographs_are_kept() -> None:
    recipe = PhaseRandom(size=32, heldout_share=0.5, reserve_share=0.0)
    assert recipe.available(0) == recipe.photographs().available(0)
    assert recipe.available(0)["reserve"] == 0
    with pytest.raises(ValidationError, match="a crop is 256"):
        PhaseRandom(size=256)


def test_the_card_says_what_it_controls_and_what_saturates() -> None:
    card = PhaseRandom(size=32).card()
    assert "measures only the spectrum" in card and "% of the pixels in 64 crops" in card
