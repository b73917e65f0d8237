"""Regimes: which images the next model is trained on.

``REGIMES`` is the whole family, one row a kind; ``AnyRegime`` is the union that pydantic decodes by ``kind``.
Generation 1 is trained on the real set in every regime; the regimes differ from generation 2 on.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..families import Family
from .accumulate import Accumulate, Window
from .base import Regime
from .breed import Breed
from .fresh import Fresh, Golden
from .mislabelled import Mislabelled
from .mix import Contaminate, Mix
from .part import Part, fresh, last_shard
from .replace import Replace
from .schedule import Schedule, continued

__all__ = [
    "REGIMES",
    "Accumulate",
    "AnyRegime",
    "Breed",
    "Contaminate",
    "Fresh",
    "Golden",
    "Mislabelled",
    "Mix",
    "Part",
    "Regime",
    "Replace",
    "Schedule",
    "Window",
    "continued",
    "fresh",
    "last_shard",
]

REGIMES: Family[type[Regime]] = Family.of(
    "regimes",
    Regime,
    {
        "replace": Replace,
        "accumulate": Accumulate,
        "window": Window,
        "mix": Mix,
        "contaminate": Contaminate,
        "fresh": Fresh,
        "golden": Golden,
        "breed": Breed,
        "mislabelled": Mislabelled,
        "schedule": Schedule,
    },
)
"""Every regime by its ``kind``."""

AnyRegime = Annotated[SerializeAsAny[Regime], BeforeValidator(REGIMES.decode)]
"""Any regime: a recipe, or a mapping with its ``kind``."""

Schedule.model_rebuild(_types_namespace={"AnyRegime": AnyRegime})
Mislabelled.model_rebuild(_types_namespace={"AnyRegime": AnyRegime})
