from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagelab.metrics.base import Evidence, ImageSet, NotMeasurable
from imagelab.metrics.spectrum import (
    AT_FLOOR,
    bands,
    hf_ratio,
    log_radial_powers,
    periodic_hann,
    power_spectrum,
    quantisation_power,
    slope_range,
    spectra,
    spectrum,
    spectrum_rgb,
)


def named(measurements) -> dict[str, Any]:
    return {m.name: m for m in measurements}


def grey_set(grey: np.ndarray) -> ImageSet:
    return ImageSet(np.rint(grey.clip(0, 1) * 255).astype(np.uint8)[:, None])


def test_a_tone_without_window_puts_a_quarter_of_its_squared_amplitude_at_each_of_two_frequencies():
    y, x = np.mgrid[:64, :64]
    power = power_spectrum(0.3 * np.cos(2 * np.pi * (8 * x + 3 * y) / 64 + 0.7)[None], window=False)[0]
    np.testing.assert_allclose([power[3, 8], power[-3, -8]], 0.0225, rtol=1e-12)
    assert power.sum() == pytest.approx(0.045, rel=1e-12)  # and nothing anywhere else


def test_all_power_sums_to_the_variance_over_the_image():
    grey = np.random.default_rng(0).random((3, 24, 40))
    power = power_spectrum(grey, window=False)
    np.testing.assert_allclose(power.sum(axis=(1, 2)), grey.var(axis=(1, 2)), rtol=1e-12)


def test_the_window_keeps_white_noise_at_its_power():
    noise = np.random.default_rng(1).normal(0, 0.1, (300, 32, 32))
    assert power_spectrum(noise).sum(axis=(1, 2)).mean() == pytest.approx(0.01, rel=0.01)


def test_the_hann_window_is_periodic_with_mean_square_three_eighths():
    window = periodic_hann(64)
    assert window[0] == 0.0
    np.testing.assert_allclose(window[1:], window[:0:-1], atol=1e-15)
    assert np.mean(np.outer(window, window) ** 2) == pytest.approx(0.140625, rel=1e-12)


def test_the_window_removes_the_jump_at_the_edge_of_a_smooth_picture():
    ramp = np.linspace(0, 1, 64)[None, None] * np.ones((1, 64, 1))
    rows = np.abs(np.fft.fftfreq(64)) >= 0.25
    with_window, without = (power_spectrum(ramp, window=w)[0, 0, rows].sum() for w in (True, False))
    assert with_window < 1e-4 * without


def test_binomial_blur_lowers_power_by_cos_to_the_fourth_of_pi_f():
    noise = np.random.default_rng(2).standard_normal((1, 64, 64))
    blurred = (np.roll(noise, 1, 2) + 2 * noise + np.roll(noise, -1, 2)) / 4
    before, after = (power_spectrum(each, window=False)[0] for each in (noise, blurred))
    gain = np.broadcast_to(np.cos(np.pi * np.fft.fftfreq(64)) ** 4, before.shape)
    np.testing.assert_allclose(after, before * gain, atol=1e-15)


def test_doubling_pixels_leaves_images_of_each_frequency_with_weight_cos_squared():
    small = np.random.default_rng(3).standard_normal(32)
    small -= small.mean()
    line, big = np.fft.fft(small), np.fft.fft(small.repeat(2))
    k = np.arange(64)
    np.testing.assert_allclose(
        np.abs(big) ** 2, np.abs(line[k % 32]) ** 2 * 4 * np.cos(np.pi * k / 64) ** 2, atol=1e-12
    )
    grid = np.ones((1, 64, 1)) * small.repeat(2)
    expected = np.abs(line[k % 32]) ** 2 * 4 * np.cos(np.pi * k / 64) ** 2 / 64**2
    np.testing.assert_allclose(power_spectrum(grid, window=False)[0, 0], expected, atol=1e-14)


def test_rings_hold_every_frequency_once(pictures):
    for shape in ((16, 16), (17, 33), (40, 24)):
        images = pictures(3, 64)[:, :, : shape[0], : shape[1]]
        rings = spectra(ImageSet(images))
        assert rings.count.sum() == shape[0] * shape[1]
        grey = np.tensordot([0.299, 0.587, 0.114], images, ([0], [1])) / 255
        np.testing.assert_allclose(rings.energy.sum(axis=1), power_spectrum(grey).sum(axis=(1, 2)), rtol=1e-12)


def test_a_tone_is_on_the_ring_of_its_cycles_per_image():
    y, x = np.mgrid[:64, :64]
    rings = spectra(grey_set(0.5 + 0.2 * np.cos(2 * np.pi * (6 * x + 8 * y) / 64)[None]))
    assert rings.energy[0].argmax() == 10
    assert rings.energy[0, 8:13].sum() > 0.999 * rings.energy[0].sum()


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (8, [(1, 2), (2, 4)]),
        (16, [(1, 2), (2, 4), (4, 8)]),
        (48, [(1, 2), (2, 4), (4, 8), (8, 16), (16, 24)]),
        (256, [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128)]),
    ],
)
def test_bands_are_octaves_up_to_half_the_side(side, expected):
    assert bands(side) == expected


def test_real_against_itself_is_zero_decibel_in_every_band(pictures, evidence):
    found = named(spectrum(evidence(pictures(20), pictures(20))))
    assert [m.value for name, m in found.items() if name.startswith("band_power/")] == [0.0] * 6
    assert found["log_spectral_distance"].value == 0.0


def test_half_the_contrast_is_six_decibel_less_in_every_band():
    rng = np.random.default_rng(4)
    wave = np.rint(rng.normal(0, 30, (40, 1, 32, 32)).clip(-100, 100) / 2) * 2  # even, so that the half is exact
    real, fake = ((128 + part).astype(np.uint8) for part in (wave, wave / 2))
    found = named(spectrum(Evidence(ImageSet(real), ImageSet(fake))))
    for band in ("1-2", "4-8", "8-16", "corners"):
        assert found[f"band_power/{band}"].value == pytest.approx(10 * np.log10(0.25), abs=1e-9)
    assert found["log_spectral_distance"].value == pytest.approx(20 * np.log10(2), abs=1e-9)


def test_a_blur_takes_more_from_finer_bands(pictures, evidence):
    real = pictures(40, seed=1).astype(float)
    soft = (np.roll(real, 1, 3) + 2 * real + np.roll(real, -1, 3)) / 4
    found = named(spectrum(evidence(real.astype(np.uint8), np.rint(soft).astype(np.uint8))))
    falls = [found[f"band_power/{band}"].value for band in ("2-4", "4-8", "8-16", "16-32")]
    assert falls == sorted(falls, reverse=True)
    assert falls[-1] < -2


def test_the_top_band_takes_in_half_the_side_and_the_corners_begin_beyond_it():
    y, x = np.mgrid[:16, :16]
    base, stripes = 0.5 + 0.2 * np.cos(2 * np.pi * (x + y) / 16), 0.2 * (-1.0) ** x
    found = named(spectrum(Evidence(grey_set(base[None]), grey_set((base + stripes)[None]))))
    assert found["band_power/4-8"].value > found["band_power/corners"].value + 10  # stripes: 8 cycles on one axis
    chequers = 0.2 * (-1.0) ** (x + y)
    found = named(spectrum(Evidence(grey_set(base[None]), grey_set((base + chequers)[None]))))
    assert found["band_power/corners"].value > found["band_power/4-8"].value + 10  # 8 cycles on both: radius 11


def test_band_errors_cover_the_true_value_with_the_stated_probability(pictures):
    pool = pictures(3000, 16, seed=5)
    rng = np.random.default_rng(0)
    pulls = []
    for _ in range(120):
        order = rng.permutation(3000)
        found = named(spectrum(Evidence(ImageSet(pool[order[:60]]), ImageSet(pool[order[60:140]]))))
        for name in ("band_power/2-4", "band_power/4-8"):
            assert found[name].stderr is not None
            pulls.append(found[name].value / found[name].stderr)
    assert 0.85 < np.std(pulls) < 1.15


def test_slope_and_share_errors_match_their_spread_over_repeats(pictures):
    pool = pictures(3000, 32, seed=6)
    rng = np.random.default_rng(0)
    slopes, shares = [], []
    for _ in range(80):
        some = ImageSet(pool[rng.permutation(3000)[:50]])
        slopes.append(named(spectrum(Evidence(some, some)))["spectral_slope"])
        shares += hf_ratio(Evidence(some, some))
    for repeats in (slopes, shares):
        stated = np.mean([m.stderr for m in repeats])
        assert 0.75 < np.std([m.value for m in repeats]) / stated < 1.25


def test_the_slope_of_a_power_law_is_found(pictures, evidence):
    for exponent in (1.0, 1.5):
        images = pictures(60, 128, exponent=exponent, seed=7)
        slope = named(spectrum(evidence(images, images)))["spectral_slope"].value
        # the pictures' law is (r + 1)^-2e: at 6..32 cycles a little flatter than -2e
        radius = np.arange(*np.add(slope_range(128), (0, 1)))
        expected = np.polyfit(np.log(radius), -2 * exponent * np.log(radius + 1), 1)[0]
        assert slope == pytest.approx(expected, abs=0.1)


def test_white_noise_shares_its_energy_by_the_number_of_frequencies():
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (400, 1, 32, 32), np.uint8)
    found = hf_ratio(Evidence(ImageSet(images), ImageSet(images)))[0]
    count = spectra(ImageSet(images)).count
    assert found.value is not None and found.stderr is not None
    assert abs(found.value - count[8:].sum() / count[1:].sum()) < 0.01
    assert "fc = 8" in found.estimator


def test_rounding_to_bytes_adds_the_floor_that_is_stated():
    rng = np.random.default_rng(9)
    smooth = rng.uniform(60, 200, (200, 3, 32, 32))
    error = np.tensordot([0.299, 0.587, 0.114], np.rint(smooth) - smooth, ([0], [1])) / 255
    assert power_spectrum(error)[:, 1:, 1:].mean() == pytest.approx(quantisation_power(3, 32, 32), rel=0.02)
    assert quantisation_power(1, 32, 32) == pytest.approx((1 / 255) ** 2 / 12 / 1024)


def test_headroom_identifies_a_band_that_contains_only_rounding_noise():
    y, x = np.mgrid[:64, :64]
    rng = np.random.default_rng(10)
    soft = [
        0.5 + 0.3 * np.sin(2 * np.pi * (x + rng.random() * 64) / 64) * np.sin(2 * np.pi * y / 64) for _ in range(30)
    ]
    found = named(spectrum(Evidence(grey_set(np.array(soft)), grey_set(np.array(soft)))))
    assert found["band_headroom/16-32"].value == pytest.approx(0.0, abs=1.5)
    assert found["band_headroom/1-2"].value > 40


def test_radial_powers_are_those_of_the_generated_images(pictures, evidence):
    found = named(spectrum(evidence(pictures(5, seed=1), pictures(9, seed=2))))
    rings = spectra(ImageSet(pictures(9, seed=2)))
    assert sum(name.startswith("radial_power/") for name in found) == 32
    assert found["radial_power/07"].value == pytest.approx(rings.energy[:, 7].mean() / rings.count[7])
    assert (found["radial_power/07"].n_real, found["radial_power/07"].n_fake) == (5, 9)


def test_flat_pictures_have_no_ratio_and_a_reason(pictures, evidence):
    flat = np.full((6, 3, 64, 64), 77, np.uint8)
    for real, fake in ((flat, pictures(6)), (pictures(6), flat)):
        found = named(spectrum(evidence(real, fake)))
        assert all(m.value is None and "no energy" in m.missing for n, m in found.items() if n.startswith("band_power"))
    assert hf_ratio(evidence(pictures(6), flat))[0].value is None


def test_a_single_image_has_values_without_errors(pictures, evidence):
    found = spectrum(evidence(pictures(4), pictures(1))) + hf_ratio(evidence(pictures(4), pictures(1)))
    assert all(m.value is not None and m.stderr is None for m in found)


def test_sets_of_other_form_are_refused(pictures, evidence):
    with pytest.raises(ValueError, match="one form"):
        spectrum(evidence(pictures(3, 64), pictures(3, 32)))
    with pytest.raises(NotMeasurable, match="at least 8 px"):
        spectrum(evidence(pictures(3, 7), pictures(3, 7)))


def test_each_channel_has_bands_of_its_own(pictures, evidence):
    real = pictures(30, 32, seed=1)
    grain = real.astype(int)
    grain[:, 2] += np.random.default_rng(0).integers(-40, 41, grain[:, 2].shape)
    found = named(spectrum_rgb(evidence(real, grain.clip(0, 255).astype(np.uint8))))
    assert len(found) == 3 * 5 and all(m.stderr > 0 for m in found.values())
    assert found["band_power_red/8-16"].value == 0.0 == found["band_power_green/8-16"].value
    assert found["band_power_blue/8-16"].value > 1
    assert found["band_power_blue/8-16"].estimator.startswith("blue, periodic Hann")


def test_the_channels_of_a_grey_picture_in_colour_are_its_luma(pictures, evidence):
    real, fake = (np.repeat(pictures(12, 32, seed=s, channels=1), 3, axis=1) for s in (1, 2))
    luma, colours = named(spectrum(evidence(real, fake))), named(spectrum_rgb(evidence(real, fake)))
    for channel in ("red", "green", "blue"):
        for band in ("1-2", "8-16", "corners"):
            alone = colours[f"band_power_{channel}/{band}"]
            assert alone.value == pytest.approx(luma[f"band_power/{band}"].value, abs=1e-9)
            assert alone.stderr == pytest.approx(luma[f"band_power/{band}"].stderr, rel=1e-9)
    with pytest.raises(NotMeasurable, match="one channel"):
        spectrum_rgb(evidence(real[:, :1], fake[:, :1]))


def test_blocks_of_images_change_nothing_and_bound_the_memory(pictures, monkeypatch):
    images = pictures(50, 32)
    whole = spectra(ImageSet(images)).energy
    sizes = []
    monkeypatch.setattr("imagelab.metrics.spectrum.BLOCK", 7 * 32 * 32)
    monkeypatch.setattr(
        "imagelab.metrics.spectrum.power_spectrum", lambda grey: sizes.append(len(grey)) or power_spectrum(grey)
    )
    np.testing.assert_array_equal(spectra(ImageSet(images)).energy, whole)
    assert max(sizes) == 7 and sum(sizes) == 50


def test_log_radial_powers_are_those_of_each_image_above_the_rounding(pictures):
    images = pictures(6, 32)
    rings, noise = spectra(ImageSet(images)), quantisation_power(3, 32, 32)
    found = log_radial_powers(ImageSet(images))
    assert found.shape == (6, 17)
    np.testing.assert_allclose(np.exp(found[:, 4]), rings.energy[:, 5] / rings.count[5] + noise)
    np.testing.assert_allclose(np.exp(found[:, 16]), rings.band(17, 99) / rings.count[17:].sum() + noise)
    flat = log_radial_powers(ImageSet(np.full((2, 1, 16, 16), 7, np.uint8)))
    np.testing.assert_allclose(flat, np.log(quantisation_power(1, 16, 16)))


def test_a_band_at_the_quantisation_floor_has_less_than_six_decibel_of_headroom(pictures, evidence):
    assert pytest.approx(6.02, abs=0.01) == AT_FLOOR
    flat = np.full((20, 3, 32, 32), 100, np.uint8) + np.random.default_rng(0).integers(0, 2, (20, 3, 32, 32), np.uint8)
    found = named(spectrum(evidence(flat, flat)))
    assert found["band_headroom/8-16"].value < AT_FLOOR  # one level of dither has three times the power of rounding
    assert named(spectrum(evidence(pictures(9, 32), pictures(9, 32))))["band_headroom/8-16"].value > AT_FLOOR


def test_the_error_of_the_distance_is_its_spread_over_repeats_and_conservative_at_the_null(pictures):
    pools = [pictures(800, 16, seed=seed, exponent=exponent) for seed, exponent in ((5, 1.3), (6, 1.3), (7, 1.5))]
    rng = np.random.default_rng(0)
    for other, low, high in ((1, 1.0, 1.8), (2, 0.75, 1.35)):
        pairs = [(pools[0][rng.permutation(800)[:60]], pools[other][rng.permutation(800)[:60]]) for _ in range(80)]
        found = [named(spectrum(Evidence(ImageSet(a), ImageSet(b))))["log_spectral_distance"] for a, b in pairs]
        claimed = np.sqrt(np.mean([m.stderr**2 for m in found]))
        assert low < claimed / np.std([m.value for m in found], ddof=1) < high
