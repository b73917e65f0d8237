"""Generators: what learns from images and makes more of them.

``GENERATORS`` is the whole family, one row a kind; ``AnyGenerator`` is the union that pydantic decodes by ``kind``.
Importing this package loads neither torch nor diffusers.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..families import Family
from .base import Diverged, Generator, Interrupted, Model, RunContext, TrainRecord, divergence_at
from .cascade import Cascade
from .command import Command
from .ddpm import Ddpm
from .gaussian import Gaussian
from .guided import SelfGuided
from .latent import LatentDiffusion
from .neon import Neon
from .pipeline import Pipeline
from .vae import Vae

__all__ = [
    "GENERATORS",
    "AnyGenerator",
    "Cascade",
    "Command",
    "Ddpm",
    "Diverged",
    "Gaussian",
    "Generator",
    "Interrupted",
    "LatentDiffusion",
    "Model",
    "Neon",
    "Pipeline",
    "RunContext",
    "SelfGuided",
    "TrainRecord",
    "Vae",
    "divergence_at",
]

GENERATORS: Family[type[Generator]] = Family.of(
    "generators",
    Generator,
    {
        "gaussian": Gaussian,
        "vae": Vae,
        "ddpm": Ddpm,
        "cascade": Cascade,
        "latent_diffusion": LatentDiffusion,
        "command": Command,
        "pipeline": Pipeline,
        "neon": Neon,
        "self_guided": SelfGuided,
    },
)
"""Every generator by its ``kind``."""

AnyGenerator = Annotated[SerializeAsAny[Generator], BeforeValidator(GENERATORS.decode)]
"""Any generator: a recipe, or a mapping with its ``kind``."""
