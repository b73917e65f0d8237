"""Taking a panel of metrics: every measurement with what its row says, and a reason where there is no value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..measurement import Measurement
from .base import Evidence, Metric, NotMeasurable
from .table import METRICS

__all__ = ["measure_panel"]


def measure_panel(evidence: Evidence, names: Sequence[str]) -> list[Measurement]:
    """Take a panel of metrics.

    A metric that cannot be taken from these images, or whose weights are not on this machine, answers with
    measurements that say why they are missing; any other error is the caller's to see.

    Args:
        evidence: the images.
        names: keys of ``METRICS``, measured in this order.

    Raises:
        ValueError: for an unknown name, or sets that differ in form.
    """
    rows = {name: METRICS.find(name) for name in names}
    from threadpoolctl import threadpool_limits

    found = []
    with threadpool_limits(1, user_api="blas"):  # matrices of a few hundred rows: more threads only wait for each other
        for name, metric in rows.items():
            try:
                found += [_as_the_row_says(name, metric, m) for m in metric.measure(evidence)]
            except NotMeasurable as reason:
                found += [_missing(evidence, stem, metric, str(reason)) for stem in metric.gives or (name,)]
    return found


def _as_the_row_says(row: str, metric: Metric, m: Measurement) -> Measurement:
    """Return a measurement with the unit, direction and source of its row; refuse one that contradicts the row."""
    stems = metric.gives or (metric.name or row,)
    if m.name.partition("/")[0] not in stems:
        raise ValueError(f"metric {row}: expected measurements named {' or '.join(stems)}[/part], got {m.name!r}")
    unit, better, cite = metric.quantity(m.name)
    for what, said, stated in (("unit", m.unit, unit), ("better", m.better, better), ("cite", m.cite, cite)):
        if said not in (stated, "", "none"):
            raise ValueError(f"metric {row}: its row says {what} {stated!r}, its measurement {m.name} says {said!r}")
    return replace(m, unit=unit, better=better, cite=cite)


def _missing(evidence: Evidence, stem: str, metric: Metric, reason: str) -> Measurement:
    unit, better, cite = metric.quantity(stem)
    n_real, n_fake = len(evidence.real), len(evidence.fake)
    return Measurement(stem, None, unit, n_real=n_real, n_fake=n_fake, better=better, missing=reason, cite=cite)
