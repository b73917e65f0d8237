"""Metrics: a table of instruments (table.py), and an instrument a file.

Read :class:`Metric` for what a row says, and :func:`measure_panel` for how a panel of them is taken. Importing this
package costs no torch; each instrument imports what it needs when it is used.
"""

from __future__ import annotations

from .base import Evidence, ImageSet, Metric, NotMeasurable, Quantity
from .table import METRICS, measure_panel, row_of

__all__ = ["METRICS", "Evidence", "ImageSet", "Metric", "NotMeasurable", "Quantity", "measure_panel", "row_of"]
