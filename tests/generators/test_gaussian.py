"""The closed-form Gaussian: samples have the fitted variance, mode by mode."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from imagelab.generators import Gaussian, RunContext, principal_components
from imagelab.seeds import image_seeds

SIDE, MODES = 8, (30.0, 20.0, 12.0)  # standard deviations in grey levels over the whole image: small enough not to clip
BASIS = np.linalg.qr(np.random.default_rng(5).standard_normal((SIDE * SIDE, SIDE * SIDE)))[0]
MANY = image_seeds(0, "sample", 1, 0, range(4000))


def known(count: int, floor: float = 4.0, seed: int = 1) -> np.ndarray:
    """Grey images [N,1,8,8] of a known Gaussian: three strong modes and a small equal variance in all others."""
    deviations = np.full(SIDE * SIDE, floor)
    deviations[:3] = np.array(MODES) * 2
    values = 128 + np.random.default_rng(seed).standard_normal((count, SIDE * SIDE)) * deviations @ BASIS.T
    assert values.min() > 0 and values.max() < 255
    return values.round().astype(np.uint8).reshape(count, 1, SIDE, SIDE)


def spread(images: np.ndarray) -> np.ndarray:
    """Variance of the images along each direction of the known basis."""
    return (images.reshape(len(images), -1).astype(float) @ BASIS).var(0)


def test_the_kept_components_and_the_residual_recover_a_known_covariance():
    model = Gaussian(components=3).fit(known(4000), 0, RunContext())
    to_levels = 127.5**2
    np.testing.assert_allclose(model.tensors["variances"].numpy() * to_levels, (np.array(MODES) * 2) ** 2, rtol=0.1)
    assert model.residual * to_levels == pytest.approx(16 + 1 / 12, rel=0.02)
    overlap = np.abs(model.tensors["directions"].numpy() @ BASIS[:, :3])
    np.testing.assert_allclose(overlap.max(1), 1, atol=0.02)


@pytest.mark.parametrize("components", [None, 3])
def test_samples_have_the_variance_of_the_training_images_mode_by_mode(components: int | None):
    images = known(3000)
    made = Gaussian(components=components).fit(images, 0, RunContext()).sample(MANY)
    # 4000 samples: a variance is known to 2.2 % (one standard error); publishing adds 1/12
    np.testing.assert_allclose(spread(made), spread(images), rtol=0.12)
    np.testing.assert_allclose(made.mean(0), images.mean(0), atol=2.5)


def test_the_full_gaussian_has_the_sample_covariance_with_fewer_images_than_pixels():
    images = known(20)
    made = Gaussian().fit(images, 0, RunContext()).sample(MANY).reshape(len(MANY), -1).astype(float)
    wanted = np.cov(images.reshape(20, -1).astype(float).T, bias=True)
    error = np.linalg.norm(np.cov(made.T, bias=True) - wanted) / np.linalg.norm(wanted)
    assert error < 0.1


def test_without_noise_each_kept_mode_loses_the_residual_variance():
    images = known(3000, floor=8.0)
    means = spread(Gaussian(components=3, noise=False).fit(images, 0, RunContext()).sample(MANY))
    np.testing.assert_allclose(means[:3], (np.array(MODES) * 2) ** 2 - 64, rtol=0.12)
    assert means[3:].max() < 8


def test_unbiased_raises_the_variance_by_n_over_n_minus_one():
    images = known(5)
    plain, unbiased = (
        Gaussian(unbiased=flag).fit(images, 0, RunContext()).tensors["variances"] for flag in (False, True)
    )
    np.testing.assert_allclose(unbiased.numpy(), plain.numpy() * 5 / 4, rtol=1e-5)


def test_both_spaces_give_the_same_answer():
    images = known(80)
    values, gram = (Gaussian(components=3).fit(some, 0, RunContext()) for some in (images, images[:60]))
    assert values.tensors["directions"].shape == gram.tensors["directions"].shape
    doubled = Gaussian(components=3).fit(
        np.concatenate([images[:60], images[:60]]), 0, RunContext()
    )  # 120 x 64: more images than values, solved by the covariance
    np.testing.assert_allclose(doubled.tensors["variances"].numpy(), gram.tensors["variances"].numpy(), rtol=1e-4)
    np.testing.assert_allclose(doubled.residual, gram.residual, rtol=1e-3)


def test_more_components_than_images_are_lowered_and_the_number_in_force_is_saved(tmp_path: Path):
    Gaussian(components=50).fit(known(6), 0, RunContext()).save(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["components"] == 50 and settings["components_in_force"] == 5


def test_a_copy_is_the_shrunken_projection():
    images = known(3000, floor=8.0)
    copies = Gaussian(components=3).fit(images, 0, RunContext()).reconstruct(images)
    kept = 1 - 64 / (np.array(MODES) * 2) ** 2
    np.testing.assert_allclose(spread(copies)[:3] / spread(images)[:3], kept**2, rtol=0.05)


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        Gaussian().fit(known(1), 0, RunContext())


def test_copying_images_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected images of shape \(1, 8, 8\)"):
        Gaussian().fit(known(5), 0, RunContext()).reconstruct(np.zeros((2, 3, 8, 8), np.uint8))


def test_a_noise_scale_multiplies_every_variance_by_its_square():
    images = np.random.default_rng(0).integers(90, 160, (40, 1, 4, 4)).astype(np.uint8)
    seeds = image_seeds(0, "sample", 1, 0, range(4000))
    usual, biased = (
        Gaussian(components=5, noise_scale=scale).fit(images, 0, RunContext()).sample(seeds).astype(float).var(0).mean()
        for scale in (1.0, 0.5)
    )
    assert biased / usual == pytest.approx(0.25, rel=0.03)


def test_a_copy_is_the_posterior_mean_pixel_by_pixel():
    images = known(200, floor=8.0)
    model = Gaussian(components=3).fit(images, 0, RunContext())
    mean, axes, variances = (model.tensors[name].double().numpy() for name in ("mean", "directions", "variances"))
    signed = images.reshape(200, -1) / 127.5 - 1
    copied = mean + (signed - mean) @ axes.T * ((variances - model.residual) / variances) @ axes
    levels = model.reconstruct(images).reshape(200, -1).astype(float)
    assert np.abs(levels - (copied + 1) * 127.5).max() <= 0.51  # rounding to whole levels


def test_a_full_covariance_leaves_no_residual_and_a_square_number_of_images_is_no_special_case():
    for count in (20, 63, 64, 65, 100):
        model = Gaussian().fit(known(count), 0, RunContext())
        assert model.residual == 0.0 and len(model.tensors["variances"]) == min(count - 1, 64)
    assert Gaussian(components=19).fit(known(20), 0, RunContext()).residual == 0.0
    assert Gaussian(components=18).fit(known(20), 0, RunContext()).residual > 0.0


def components_of(values: np.ndarray, count: int, whole: bool, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Variances and projector of the leading components, by the decomposition of the whole matrix or of a part."""
    with monkeypatch.context() as patch:
        patch.setattr(principal_components, "SMALL", 10**9 if whole else 64)
        _, variances, directions, total = principal_components.principal_components(
            torch.from_numpy(values), count, False
        )
    assert torch.allclose(directions @ directions.T, torch.eye(count, dtype=torch.float64), atol=1e-10)
    return [variances.numpy(), (directions.T @ directions).numpy(), np.array(total)]


@pytest.mark.parametrize("shape", [(240, 300), (300, 240)])
@pytest.mark.parametrize("kind", ["decaying", "equal", "few"])
def test_the_leading_components_alone_are_those_of_the_whole_decomposition(
    shape: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch
):
    rng, rows = np.random.default_rng(1), shape[0]
    values = rng.standard_normal(shape) * 0.9 ** np.arange(shape[1])
    if kind == "equal":  # the leading variances are equal, exactly: no method that follows one start finds them all
        left = np.linalg.qr(rng.standard_normal((rows, 40)) - rng.standard_normal((rows, 40)).mean(0))[0]
        left = np.linalg.qr(left - left.mean(0))[0]
        right = np.linalg.qr(rng.standard_normal((shape[1], 40)))[0]
        values = left * np.repeat([9.0, 3.0, 1.0], [8, 12, 20]) @ right.T
    if kind == "few":  # an accumulated pool of copies: a rank far below the number of rows
        values = values[rng.integers(0, 12, rows)]
    found, wanted = (components_of(values, 8, whole, monkeypatch) for whole in (False, True))
    for one, other, tolerance in zip(found, wanted, (1e-10, 1e-8, 1e-12), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("values", [np.ones((1100, 1100)), np.eye(1100), np.zeros((1100, 1100))])
def test_a_matrix_without_leading_components_is_decomposed_whole(values: np.ndarray):
    _, variances, directions, total = principal_components.principal_components(torch.from_numpy(values), 4, False)
    assert variances.shape == (4,) and directions.shape == (4, 1100)
    assert float(variances.sum()) == pytest.approx(4 * total / 1099)
    assert torch.isfinite(directions).all()


def test_a_fit_to_many_images_decomposes_no_matrix_of_their_number(monkeypatch: pytest.MonkeyPatch):
    sides, whole = [], torch.linalg.eigh

    def counted(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sides.append(len(matrix))
        return whole(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", counted)
    values = np.random.default_rng(0).standard_normal((1200, 1100)) * 0.9 ** np.arange(1100)
    principal_components.principal_components(torch.from_numpy(values), 8, False)
    assert 8 <= max(sides) <= 300
