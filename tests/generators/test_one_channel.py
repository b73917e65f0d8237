"""Grey images, uint8 [N,1,H,W]: every generator learns them as they are; Command is in test_command.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagelab import Cascade, Ddpm, Gaussian, Generator, RunContext, Vae

SMALL_NET = {"channels": (8, 8), "blocks": 1, "attention": False, "images_seen": 32, "batch": 16, "steps": 2}
GENERATORS: dict[str, Generator] = {
    "gaussian": Gaussian(components=4),
    "vae": Vae(latent=8, details=2, width=8, images_seen=32),
    "ddpm": Ddpm.model_validate({**SMALL_NET, "noise_steps": 10}),
    "ddpm with patches": Ddpm.model_validate({**SMALL_NET, "noise_steps": 10, "patch": 2}),
    "cascade": Cascade(
        coarse_side=8, components=8, width=16, detail_widths=(8,), images_seen=16, steps=1, coarse_steps=1
    ),
}


@pytest.fixture(scope="module")
def xrays() -> np.ndarray:
    rng = np.random.default_rng(11)
    coarse = rng.integers(40, 200, (24, 1, 4, 4), np.uint8).repeat(4, axis=2).repeat(4, axis=3)
    return coarse + rng.integers(0, 12, coarse.shape, np.uint8)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_makes_grey_images_of_grey_images_and_is_read_back(
    name: str, xrays: np.ndarray, tmp_path: Path
) -> None:
    context, seeds = RunContext(), np.arange(3, dtype=np.uint64)
    model = GENERATORS[name].fit(xrays, 0, context)
    made = model.sample(seeds)
    assert made.shape == (3, 1, 16, 16) and made.dtype == np.uint8 and made.std() > 0
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(GENERATORS[name].load(tmp_path / "model", context).sample(seeds), made)
