"""Regimes: which images the next model is trained on.

``REGIMES`` is the whole family, one row a kind; ``AnyRegime`` is the union that pydantic decodes by ``kind``.
Generation 1 is trained on the real set in every regime; the regimes differ from generation 2 on.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .accumulate import Accumulate, Window
from .base import Regime
from .breed import Breed
from .fresh import Fresh, Golden
from .mix import Contaminate, Mix
from .part import Part
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
    "Mix",
    "Part",
    "Regime",
    "Replace",
    "Schedule",
    "Window",
    "continued",
]

REGIMES: dict[str, type[Regime]] = {
    "replace": Replace,
    "accumulate": Accumulate,
    "window": Window,
    "mix": Mix,
    "contaminate": Contaminate,
    "fresh": Fresh,
    "golden": Golden,
    "breed": Breed,
    "schedule": Schedule,
}
"""Every regime by its ``kind``."""

AnyRegime = Annotated[
    Replace | Accumulate | Window | Mix | Contaminate | Fresh | Golden | Breed | Schedule, Field(discriminator="kind")
]
"""The union of all regimes; pydantic picks the class by ``kind``."""

Schedule.model_rebuild(_types_namespace={"AnyRegime": AnyRegime})
