"""Curation: which of the images that a model has drawn are published, and so can be trained on by the next one.

``CURATIONS`` is the whole family, one row a kind; ``AnyCuration`` is the union that pydantic decodes by ``kind``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..families import Family
from .base import Candidates, Curation, KeepAll, Kept
from .detector_filter import DetectorFilter
from .farthest import Farthest
from .human_audit import HumanAudit
from .latent_filter import LatentFilter
from .nearest_real import NearestReal
from .scored import RandomFraction, TopFraction
from .thrown_away import Losses, losses

__all__ = [
    "CURATIONS",
    "AnyCuration",
    "Candidates",
    "Curation",
    "DetectorFilter",
    "Farthest",
    "HumanAudit",
    "KeepAll",
    "Kept",
    "LatentFilter",
    "Losses",
    "NearestReal",
    "RandomFraction",
    "TopFraction",
    "losses",
]

CURATIONS: Family[type[Curation]] = Family.of(
    "curations",
    Curation,
    {
        "keep_all": KeepAll,
        "top_fraction": TopFraction,
        "random_fraction": RandomFraction,
        "detector_filter": DetectorFilter,
        "farthest": Farthest,
        "nearest_real": NearestReal,
        "latent_filter": LatentFilter,
        "human_audit": HumanAudit,
    },
)
"""Every curation by its ``kind``."""

AnyCuration = Annotated[SerializeAsAny[Curation], BeforeValidator(CURATIONS.decode)]
"""Any curation: a recipe, or a mapping with its ``kind``."""
