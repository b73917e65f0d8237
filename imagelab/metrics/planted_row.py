"""The row of the metric ``planted`` in METRICS; its code (planted_metric.py) is loaded when it is taken."""

from __future__ import annotations

from ..measurement import Measurement
from .base import Evidence, Metric, Quantity

__all__ = ["ROW"]


def _planted(evidence: Evidence) -> list[Measurement]:
    from .planted_metric import planted_counts

    return planted_counts(evidence)


ROW = Metric(
    _planted,
    title="Planted marks",
    unit="marks/image",
    what="How many of the marks that were planted on the real pictures an image has left, by a counter that was fitted "
    "to this dataset and knows how many it misses and invents on real pictures.",
    blind="Whether a mark that blur hides is there; marks that the counter was not fitted to.",
    better="two-sided",
    least=200,
    cite="doi:10.1093/oxfordjournals.aje.a112510",
    gives=("planted", "symbols"),
    but={
        "planted/blank": Quantity(better="lower"),
        "planted/twin": Quantity(better="lower"),
        "planted/matched": Quantity("share of marks"),
        "symbols": Quantity("share"),
    },
    suits="planted",
)
