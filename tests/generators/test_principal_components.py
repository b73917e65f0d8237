"""Laws of components that are taken block by block: those of the whole matrix, in memory that does not grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imagelab.generators import Gaussian, RunContext, principal_components
from imagelab.generators.principal_components import BLOCK, WHOLE, WHOLE_ROWS, components_of_images


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of every float64 copy that is made of a tensor, the only way in which pixels become numbers here."""
    plain, sizes = torch.Tensor.double, []

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        made = plain(tensor)
        if made is not tensor:
            sizes.append(made.nbytes)
        return made

    monkeypatch.setattr(torch.Tensor, "double", noted)
    return sizes


def falling(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Images of one channel whose principal variances fall by a tenth each."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((side * side, 24)))[0]
    weights = rng.standard_normal((count, 24)) * 40.0 * side * 0.9 ** np.arange(24) / 5
    levels = 128 + weights @ directions.T + rng.standard_normal((count, side * side))
    return levels.clip(0, 255).round().astype(np.uint8).reshape(count, 1, side, side)


def test_sets_of_up_to_16384_images_and_one_gib_are_decomposed_whole():
    assert WHOLE_ROWS == 16_384 and WHOLE * 8 == 1024**3


@pytest.mark.parametrize(
    ("count", "side", "components", "small"),
    [(300, 12, 4, 64), (300, 12, 60, 1024), (300, 12, None, 1024), (60, 12, None, 1024)],
    ids=["leading", "covariance", "all", "more pixels than images"],
)
@pytest.mark.parametrize("limit", ["WHOLE", "WHOLE_ROWS"])
def test_components_block_by_block_are_those_of_the_whole_matrix(
    count: int, side: int, components: int | None, small: int, limit: str, monkeypatch: pytest.MonkeyPatch
):
    images = falling(count, side)
    monkeypatch.setattr(principal_components, "SMALL", small)
    whole = components_of_images(images, components, True, "cpu")
    monkeypatch.setattr(principal_components, limit, 10)
    monkeypatch.setattr(principal_components, "BLOCK", 7 * side * side)  # blocks of seven images, the last shorter
    found = components_of_images(images, components, True, "cpu")
    for one, other in zip(found[:2], whole[:2], strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    kept = slice(0, 20)  # directions of equal variances are not determined one by one
    projectors = [each[2][kept].T @ each[2][kept] for each in (found, whole)]
    assert torch.allclose(projectors[0], projectors[1], atol=1e-8)
    assert found[3] == pytest.approx(whole[3], rel=1e-12)


def test_the_float_copies_of_a_fit_block_by_block_do_not_grow_with_the_number_of_images(
    copied: list[int], monkeypatch: pytest.MonkeyPatch
):
    assert BLOCK * 8 == 8 * 1024**2
    monkeypatch.setattr(principal_components, "WHOLE_ROWS", 10)
    monkeypatch.setattr(principal_components, "BLOCK", 50 * 64)
    for count in (200, 1600):
        Gaussian(components=4).fit(falling(count, 8), 0, RunContext())
        assert max(copied) == 50 * 64 * 8
        copied.clear()


def test_a_fit_in_memory_makes_one_float_copy_of_the_images(copied: list[int]):
    components_of_images(falling(400, 8), 4, False, "cpu")
    assert copied == [400 * 64 * 8]
