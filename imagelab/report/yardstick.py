"""A yardstick for distances: the blur of real images that is as far from real.

A Fréchet distance of 187 has no unit that a reader knows. The shipped table has the distances of real images that were
blurred by a known amount (experiments/instruments/yardstick.py); a generation is placed on it by interpolation. This is
a comparison of size, not a cause: images can be as far from real without being blurred.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..measurement import Measurement

__all__ = ["TABLE", "as_blur"]

TABLE = Path(__file__).with_name("yardstick.json")
"""The shipped table: ``faces`` and ``textures`` of 64 px -> measurement -> ``feature_space`` and
``rows`` of (sigma px, distance, standard error)."""


@cache
def _table() -> dict[str, Any]:
    return json.loads(TABLE.read_text("utf-8"))


def as_blur(m: Measurement, data: str, size: int) -> str:
    """Return the blur that is as far from real as a generation, such as "real faces blurred by 1.3 px".

    Args:
        m: a distance.
        data: the kind of dataset.
        size: side of the images in px.

    Returns:
        A phrase; "" where there is no table for this distance, these data or this size, where the table was made with
        another instrument, or where the distance is below that of the least blur.
    """
    about, noun = _table()["about"], data if data in ("faces", "textures") else ""
    known = _table().get(noun, {}).get(m.name)
    if not known or size != about["size"] or m.value is None or known["feature_space"] != m.feature_space:
        return ""
    sigma, distance = np.array(known["rows"], float).T[:2]
    distance = np.maximum.accumulate(distance)
    if m.value <= distance[1]:
        return ""
    if m.value > distance[-1]:
        return f"real {noun} blurred by more than {sigma[-1]:g} px"
    return f"real {noun} blurred by {np.interp(m.value, distance, sigma):.1f} px"
