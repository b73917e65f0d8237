"""Generators: what learns from images and makes more of them.

``GENERATORS`` is the whole family, one row a kind; ``AnyGenerator`` is the union that pydantic decodes by ``kind``.
Importing this room loads neither torch nor diffusers.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Diverged, Generator, GeneratorRecipe, Interrupted, Model, RunContext, TrainRecord, divergence_at
from .cascade import Cascade
from .ddpm import Ddpm
from .gaussian import Gaussian
from .vae import Vae

__all__ = [
    "GENERATORS",
    "AnyGenerator",
    "Cascade",
    "Ddpm",
    "Diverged",
    "Gaussian",
    "Generator",
    "GeneratorRecipe",
    "Interrupted",
    "Model",
    "RunContext",
    "TrainRecord",
    "Vae",
    "divergence_at",
]

GENERATORS: dict[str, type[GeneratorRecipe]] = {
    "gaussian": Gaussian,
    "vae": Vae,
    "ddpm": Ddpm,
    "cascade": Cascade,
}
"""Every generator by its ``kind``."""

AnyGenerator = Annotated[Gaussian | Vae | Ddpm | Cascade, Field(discriminator="kind")]
"""The union of all generators; pydantic picks the class by ``kind``."""
