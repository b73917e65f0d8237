"""Small images for the training of every generator."""

from __future__ import annotations

import numpy as np
import pytest


def blobs(count: int, side: int = 16, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Discs of random position, size and colour on a background with a gradient: uint8 [N,C,H,W]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    pictures = np.empty((count, channels, side, side))
    for picture in pictures:
        across, down, radius = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.3)
        inside = 1 / (1 + np.exp((np.hypot(x - across, y - down) - radius) * 3 * side))
        ground, colour = rng.uniform(60, 120, (2, channels, 1, 1)) + np.array([0, 80]).reshape(2, 1, 1, 1)
        picture[:] = ground + 20 * y + (colour - ground) * inside + rng.normal(0, 6, (channels, side, side))
    return np.clip(pictures.round(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    return blobs(60)
