"""How many images of a mixed set are generated: a detector's count, corrected for its own errors.

A detector calls a share q of a set generated. It finds a share Se of generated images and spares a share Sp of real
ones, both known from its test images; the share of generated images is (q + Sp - 1) / (Se + Sp - 1), with limits that
hold the errors of all three (metrics/rogan_gladen.py). It is true only if the generated images of the set are like
those of the test, and the real ones, too.

If Se + Sp - 1, with the limits of both, is not above 0, the detector says nothing about the set: 0 to 1.

experiments/studies/detectors.py has its simulated coverage, nominal 95 %; tests/detection repeats some of it.

References:
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
    doi:10.1093/oxfordjournals.aje.a112510.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..metrics.freckle_calibration import CardValue
from ..metrics.rogan_gladen import corrected, corrected_limits
from .verdicts import Rate

__all__ = ["GeneratedShare", "generated_share"]


@dataclass(frozen=True)
class GeneratedShare:
    """The share of generated images in a set.

    Attributes:
        share: with its 95 % interval, clipped to 0..1.
        called: how many images the detector calls generated.
        n: images in the set.
        informative: False where the detector's errors leave nothing to say.
    """

    share: Rate
    called: int
    n: int
    informative: bool


def generated_share(
    called: int, n: int, sensitivity: Rate, specificity: Rate, tested: tuple[int, int]
) -> GeneratedShare:
    """Return the share of generated images in a set.

    Args:
        called: images of the set that the detector calls generated, 0..n.
        n: images of the set, at least 1.
        sensitivity: share of generated test images that it finds.
        specificity: share of real test images that it spares.
        tested: how many independent generated and real images these two are known from.

    Example:
        >>> found = generated_share(30, 100, Rate(0.9, 0.86, 0.93), Rate(0.95, 0.92, 0.97), (300, 300))
        >>> [round(each, 2) for each in (found.share.value, found.share.low, found.share.high)]
        [0.29, 0.2, 0.4]
    """
    if sensitivity.low + specificity.low - 1.0 <= 0.0:
        return GeneratedShare(Rate(math.nan, 0.0, 1.0), called, n, False)
    cards = _card(sensitivity, tested[0]), _card(specificity, tested[1])
    value, _ = corrected(called, n, *cards)
    low, high = corrected_limits(called, n, *cards)
    share, low, high = (float(np.clip(each, 0.0, 1.0)) for each in (value, low, high))
    return GeneratedShare(Rate(share, low, high), called, n, True)


def _card(rate: Rate, n: int) -> CardValue:
    return CardValue(rate.value, math.sqrt(rate.value * (1 - rate.value) / n), n)
