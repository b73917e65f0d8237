from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from imagelab.data.base import Data
from imagelab.data.random_field import RandomField


def mode_powers(images: np.ndarray) -> np.ndarray:
    """Power of every orthonormal Fourier mode of the first channel: [N,S,S], grey levels^2."""
    grey = images[:, 0].astype(np.float64) - 128
    return np.abs(np.fft.fft2(grey, norm="ortho")) ** 2


def test_random_fields_follow_the_dataset_protocol_and_survive_their_json() -> None:
    recipe = RandomField(size=16, slope=3, contrast=20, channels=1)
    assert isinstance(recipe, Data)
    assert RandomField.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize("slope", [0.0, 2.0, 4.0])
def test_the_spectrum_is_the_promised_power_law_within_three_standard_errors(slope: float) -> None:
    recipe = RandomField(size=16, slope=slope, contrast=24, channels=1)
    powers = mode_powers(recipe.load("train", 2000, 0).images)
    expected = recipe.spectrum() + 1 / 12
    radius = np.round(np.hypot(*np.meshgrid(*[np.fft.fftfreq(16) * 16] * 2))).astype(int)
    for r in range(1, 9):
        ratios = (powers / expected)[:, radius == r].mean(1)
        assert abs(ratios.mean() - 1) < 3 * ratios.std(ddof=1) / np.sqrt(len(ratios))
    assert_allclose(expected[0, 4] - 1 / 12, (expected[0, 1] - 1 / 12) * 4.0**-slope)


def test_contrast_is_the_standard_deviation_of_a_pixel() -> None:
    for contrast in (8.0, 32.0):
        recipe = RandomField(size=16, slope=1, contrast=contrast)
        assert_allclose(recipe.load("train", 400, 0).images.std(), contrast, rtol=0.02)
        assert_allclose(recipe.spectrum().mean(), contrast**2)


def test_channels_are_equal_and_as_many_as_asked_for() -> None:
    colour, grey = (RandomField(size=8, channels=c).load("train", 3, 0).images for c in (3, 1))
    assert colour.shape == (3, 3, 8, 8)
    assert_array_equal(colour, np.repeat(grey, 3, axis=1))


def test_a_field_depends_on_seed_split_and_row_alone() -> None:
    recipe = RandomField(size=8)
    images = recipe.load("train", 9, 1).images
    assert_array_equal(images[:4], recipe.load("train", 4, 1).images)
    assert (images != recipe.load("train", 9, 2).images).any()
    assert (images != recipe.load("heldout", 9, 1).images).any()
    assert len({image.tobytes() for image in images}) == 9


def test_the_card_says_what_saturates_and_nothing_is_refused_but_nonsense() -> None:
    assert "6.8e-05 of the pixels saturate" in RandomField(contrast=32).card()
    with pytest.raises(ValueError, match="expected n >= 1"):
        RandomField().load("train", 0, 0)
    with pytest.raises(ValidationError, match="less than or equal to 40"):
        RandomField(contrast=60)
