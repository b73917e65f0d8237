"""The smallest experiment that a study can be made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab import Experiment, Gaussian, Generator, Runtime, Textures


@pytest.fixture
def tiny() -> Callable[..., Experiment]:
    """Return ``tiny(RUNS, generator)``: two generations of 40 crops of 16 px."""

    def made(runs: Path, generator: Generator = Gaussian(components=8)) -> Experiment:  # noqa: B008 - frozen
        return Experiment(
            name="tiny",
            data=Textures(size=16),
            generator=generator,
            generations=2,
            images=40,
            heldout=24,
            tracked=4,
            metrics=("pixel_variance",),
            runtime=Runtime(device="cpu", runs=runs),
        )

    return made
