from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.paired import PAIRED, paired_scores, structural_similarity


@pytest.fixture
def pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    real = rng.integers(0, 256, (3, 3, 8, 8)).repeat(4, axis=2).repeat(4, axis=3)
    noise = rng.normal(scale=[[[[2]]], [[[8]]], [[[30]]]], size=real.shape)
    return real.astype(np.uint8), (real + noise).round().clip(0, 255).astype(np.uint8)


def test_psnr_and_ssim_are_those_of_scikit_image(pairs):
    metrics = pytest.importorskip("skimage.metrics")
    scores, missing = paired_scores(*pairs)
    for row, (left, right) in enumerate(zip(*pairs, strict=True)):
        wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = metrics.structural_similarity(left, right, data_range=255, channel_axis=0, **wang)
        assert scores["ssim"][row] == pytest.approx(ssim, abs=1e-9)
        assert scores["psnr"][row] == pytest.approx(metrics.peak_signal_noise_ratio(left, right, data_range=255))
    assert set(missing) == {"lpips"} and "weights fetch alexnet" in missing["lpips"]


def test_every_score_is_worse_for_more_noise_and_perfect_for_equal_pictures(pairs):
    scores, _ = paired_scores(*pairs)
    for name, values in scores.items():
        worse = np.diff(values) * (-1 if PAIRED[name][0] == "higher" else 1)
        assert (worse > 0).all(), name
    same, _ = paired_scores(pairs[0], pairs[0])
    assert np.isinf(same["psnr"]).all() and np.allclose(same["ssim"], 1.0)
    for name in ("mse", "pd", "random_control"):
        assert np.allclose(same[name], 0.0), name


def test_small_pictures_have_no_ssim_and_different_forms_no_pairs(pairs):
    small = pairs[0][:, :, :8, :8]
    _, missing = paired_scores(small, small)
    assert "11 px" in missing["ssim"] and "16 px" in missing["pd"]
    with pytest.raises(ValueError, match="two sets of one form"):
        paired_scores(pairs[0], small)


def test_pictures_do_not_change_the_ssim_of_others(pairs):
    whole = structural_similarity(*pairs)
    assert structural_similarity(pairs[0][1:2], pairs[1][1:2])[0] == pytest.approx(whole[1], abs=1e-12)
