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
from .division import halves
from .verdicts import Rate, share_of

__all__ = ["GeneratedShare", "MixedTrial", "generated_share", "mixed_trials"]

SHARES = (0.1, 0.5, 0.9)
MIXED = 100  # images of a trial set, at most


@dataclass(frozen=True)
class GeneratedShare:
    """The share of generated images in a set.

    Attributes:
        share: with its 95 % interval, clipped to 0..1; where it is not informative the raw count, and 0 to 1.
        called: how many images the detector calls generated.
        n: images in the set.
        informative: False where the detector's errors leave nothing to say.
    """

    share: Rate
    called: int
    n: int
    informative: bool


@dataclass(frozen=True)
class MixedTrial:
    """One set of known mixture, and what the detector said of it.

    Attributes:
        truth: the share of generated images.
        n: images in the set.
        called: how many the detector calls generated.
        share: the estimate with its 95 % interval.
    """

    truth: float
    n: int
    called: int
    share: Rate


def mixed_trials(
    real: np.ndarray, made: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator
) -> list[MixedTrial]:
    """Return trials of a detector: its rates come from one half of the test images, the sets from the other half.

    Args:
        real: float [N], scores of real test images.
        made: float [M], scores of generated ones.
        groups: int64 [N], which real images belong together; None if all are independent.
        rng: for the halves.
    """
    (known, rest), (known_made, rest_made) = halves(len(real), groups, rng), halves(len(made), None, rng)
    independent = len(known) if groups is None else len(np.unique(groups[known]))
    found, spared = share_of(made[known_made] > 0), share_of(real[known] <= 0, independent)
    n, trials = min(MIXED, len(rest), len(rest_made)), []
    for truth in SHARES:
        k = round(truth * n)
        scores = np.concatenate([rng.permutation(made[rest_made])[:k], rng.permutation(real[rest])[: n - k]])
        called = int((scores > 0).sum())
        share = generated_share(called, n, found, spared, (len(known_made), independent)).share
        trials.append(MixedTrial(k / n, n, called, share))
    return trials


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
        [0.29, 0.19, 0.41]
    """
    if sensitivity.low + specificity.low - 1.0 <= 0.0:
        return GeneratedShare(Rate(called / n, 0.0, 1.0), called, n, False)
    cards = _card(sensitivity, tested[0]), _card(specificity, tested[1])
    value, _ = corrected(called, n, *cards)
    low, high = corrected_limits(called, n, *cards)
    share, low, high = (float(np.clip(each, 0.0, 1.0)) for each in (value, low, high))
    return GeneratedShare(Rate(share, low, high), called, n, True)


def _card(rate: Rate, n: int) -> CardValue:
    return CardValue(rate.value, math.sqrt(rate.value * (1 - rate.value) / n), n)
