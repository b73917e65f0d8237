from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imagelab.metrics.base import Evidence, ImageSet

Pictures = Callable[..., np.ndarray]


def draw(n: int, size: int = 64, seed: int = 0, channels: int = 3, exponent: float = 1.3) -> np.ndarray:
    """Return smooth random pictures with a power-law spectrum, each with its own brightness: uint8 [N,C,H,W]."""
    rng = np.random.default_rng(seed)
    waves = np.fft.rfft2(rng.standard_normal((n, channels, size, size)))
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) + 1 / size
    detail = np.fft.irfft2(waves / radius**exponent, s=(size, size))
    grey = 0.5 + 0.15 * detail / detail.std() + 0.05 * rng.standard_normal((n, channels, 1, 1))
    return np.rint(grey.clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture
def pictures() -> Pictures:
    return draw


@pytest.fixture
def evidence() -> Callable[[np.ndarray, np.ndarray], Evidence]:
    return lambda real, fake: Evidence(ImageSet(real), ImageSet(fake), seed=1)
