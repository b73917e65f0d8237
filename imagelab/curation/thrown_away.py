"""Whom a curation throws away: attributes among all candidates and among those that are kept.

A curation chooses by a score, and a score may be against a kind of image: what is rare among real images is far from
most of them, and a detector that has seen few calls it generated. A loop then loses it by choice. Generated images have
no labels, so the probes of the tails metric look for the attributes (metrics/attribute_probes.py). Shares are those of
the probes' calls, not corrected for their errors: the errors are the same before and after the choice, unless it
chooses by what a probe takes for the attribute.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Losses", "losses"]

RARE = 0.05
"""An attribute is rare if at most this share of the dataset's own images have it."""


@dataclass(frozen=True)
class Losses:
    """Attributes before and after a choice.

    Attributes:
        attributes: name -> [share of the candidates, share of the kept images, number of candidates] on which a probe
            finds it.
        rare: "candidates" and "kept": mean number of rare attributes found on an image; "chance": standard deviation
            of the second under a random choice of as many of these candidates. Empty where no probed attribute is rare.
        missing: why there is nothing; "" where there is.
    """

    attributes: dict[str, list[float]] = field(default_factory=dict)
    rare: dict[str, float] = field(default_factory=dict)
    missing: str = ""


def losses(
    images: np.ndarray, rows: np.ndarray, real: np.ndarray, known: Collection[str], device: str = "cpu"
) -> Losses | None:
    """Return whom a choice keeps and whom it throws away, as the probes see it.

    Args:
        images: the candidates, uint8 [M,C,H,W].
        rows: int [n], those that are kept.
        real: held-out real images, uint8 [R,C,H,W]: the probes are not used on images whose blur, noise, contrast or
            saturation is beyond what they are calibrated for, relative to these.
        known: attributes that the dataset labels its images with.
        device: torch device.

    Returns:
        None where the dataset has none of the attributes that there are probes for.
    """
    from ..metrics.attribute_probes import calls_of, shipped_probes
    from ..metrics.attributes import attribute_shares
    from ..metrics.base import Evidence, ImageSet

    drawn = ImageSet(images)
    measured = attribute_shares(Evidence(ImageSet(real), drawn, device=device))
    probed = [m.name.partition("/")[2] for m in measured]
    columns = [k for k, name in enumerate(probed) if name in known]
    if not columns:
        return None
    if measured[0].missing:
        return Losses(missing=measured[0].missing)
    calls = calls_of(drawn, device)
    shares = {
        probed[k]: [float(calls[:, k].mean()), float(calls[rows, k].mean()), float(calls[:, k].sum())] for k in columns
    }
    rates = [probe.rate for probe in shipped_probes(images.shape[-1]).usable]
    rare = [k for k in columns if rates[k] <= RARE]
    return Losses(shares, _against_chance(calls[:, rare].sum(axis=1), rows) if rare else {})


def _against_chance(found: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Return the mean before and after the choice, and the standard deviation of the second under a random choice.

    For n of M values with variance s^2 (M - 1 degrees of freedom), drawn without replacement, it is s sqrt(1/n - 1/M).
    """
    n, m = len(rows), len(found)
    spread = float(found.std(ddof=1)) if m > 1 else 0.0
    chance = spread * max(1 / n - 1 / m, 0.0) ** 0.5
    return {"candidates": float(found.mean()), "kept": float(found[rows].mean()), "chance": chance}
