"""The list of metrics that ``imagelab measure --list`` prints."""

from __future__ import annotations

from collections.abc import Iterator

from ..evaluation.evaluate import general_panel
from ..metrics import METRICS
from ..metrics.ladder import seen_by

__all__ = ["catalogue_lines"]

BETTER = {
    "lower": "lower is better",
    "higher": "higher is better",
    "two-sided": "closer to the value of real images is better",
    "none": "no direction",
}


def catalogue_lines() -> Iterator[str]:
    """Yield the lines of the list of metrics, one paragraph per metric."""
    _, left_out = general_panel(train=False)
    for name, row in METRICS.items():
        yield f"{name}: {row.title}"
        yield f"    measures    {row.what}"
        yield f"    limits      {row.blind}"
        if seen := seen_by(name):
            yield f"    on faces    {seen.sentence()}"
        source = f"; {row.cite}" if row.cite else ""
        yield f"    needs       {row.least} images or more; {BETTER[row.better]}{source}"
        if name in left_out:
            yield f"    by default  not used: {left_out[name]}"
        yield ""
