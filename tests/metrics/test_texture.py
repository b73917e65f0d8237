from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from imagelab.data.phase_random import PhaseRandom, randomise_phases
from imagelab.metrics import Evidence, ImageSet, NotMeasurable, measure_panel
from imagelab.metrics.texture import TAPS, pyramid, texture, texture_statistics


def as_images(grey: np.ndarray) -> np.ndarray:
    """Return float images around 0, sd 1, as uint8 [N,1,H,W]."""
    return np.rint(127 + 20 * grey).clip(0, 255).astype(np.uint8)[:, None]


def test_a_band_is_the_image_minus_the_blurred_image(rng):
    image = rng.standard_normal((2, 24, 30))
    soft = correlate1d(correlate1d(image, TAPS, 1), TAPS, 2)
    bands = pyramid(image, 2)
    assert bands[0] == pytest.approx((image - soft)[:, 2:-2, 2:-2], abs=1e-5)
    small = soft[:, 2:-2:2, 2:-2:2]
    softer = correlate1d(correlate1d(small, TAPS, 1), TAPS, 2)
    assert bands[1] == pytest.approx((small - softer)[:, 2:-2, 2:-2], abs=1e-5)
    assert [band.shape[1:] for band in pyramid(np.zeros((1, 64, 64)))] == [(60, 60), (26, 26), (9, 9)]
    assert len(pyramid(np.zeros((1, 9, 64)))) == 0


def test_white_gaussian_noise_has_no_kurtosis_and_scales_that_hardly_go_together(rng):
    found = texture_statistics(as_images(rng.standard_normal((300, 64, 64))))
    for level in (1, 2, 3):
        assert abs(found[f"kurtosis/{level}"].mean()) < 0.25  # the coarsest band has 81 pixels, and so a small bias
    assert abs(found["scales/1-2"].mean()) < 0.1


def test_sparse_spots_have_a_high_kurtosis_and_stand_at_every_scale(rng):
    image = np.zeros((200, 64, 64))
    for each in image:
        for row, column in rng.integers(4, 60, (12, 2)):
            each[row : row + 2, column : column + 2] = 5.0
    found = texture_statistics(as_images(image))
    assert found["kurtosis/1"].mean() > 10
    assert found["scales/1-2"].mean() > 0.7  # .4 if the two bands are compared two pixels apart


def test_contrast_and_brightness_do_not_matter(rng):
    grey = rng.laplace(size=(100, 32, 32))
    one, other = (texture_statistics(as_images(each)) for each in (0.5 * grey, 0.4 * grey + 1.0))
    for name in one:
        assert one[name].mean() == pytest.approx(other[name].mean(), abs=0.03 * abs(one[name].mean()) + 0.02)


def test_photographs_with_random_phases_are_told_apart_where_every_spectrum_row_is_blind():
    twins = PhaseRandom(size=32)
    photographs = twins.photographs()
    heldout = ImageSet(photographs.load("heldout", 200, 0).images)
    sets = photographs.load("train", 200, 0).images, twins.load("train", 200, 0).images
    rows = ("texture", "spectrum", "hf_ratio", "pixel_variance")
    taken = [measure_panel(Evidence(heldout, ImageSet(images)), rows) for images in sets]
    z = {
        before.name: abs((after.value or 0.0) - (before.value or 0.0)) / np.hypot(before.stderr or 0, after.stderr or 0)
        for before, after in zip(*taken, strict=True)
        if before.stderr
    }
    blind = ("band_power", "spectral_slope", "log_spectral", "hf_ratio", "pixel_variance")
    assert max(value for name, value in z.items() if name.startswith(blind)) < 3.5
    assert z["texture_kurtosis/1"] > 8 and z["texture_scales/1-2"] > 6


def test_random_phases_alone_make_the_kurtosis_gaussian(rng):
    image = rng.laplace(size=(30, 1, 64, 64)) ** 3
    twins = np.stack([randomise_phases(each, np.random.default_rng(k)) for k, each in enumerate(image)])
    sharp, mixed = (texture_statistics(as_images(each[:, 0] / each.std())) for each in (image, twins))
    assert sharp["kurtosis/1"].mean() > 5 * abs(mixed["kurtosis/1"].mean()) + 1


def test_flat_bands_are_left_out_and_images_too_small_are_refused(pictures, evidence: Any):
    flat = np.full((4, 3, 32, 32), 90, np.uint8)
    assert {m.missing for m in texture(evidence(flat, flat))} == {"this band of every image is flat"}
    mixed = texture(evidence(flat, np.concatenate([flat, pictures(4, 32)])))
    alone = texture(evidence(flat, pictures(4, 32)))
    assert [m.value for m in mixed] == [m.value for m in alone]
    with pytest.raises(NotMeasurable, match="at least 10 px"):
        texture(evidence(pictures(4, 8), pictures(4, 8)))
