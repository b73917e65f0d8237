"""Metrics that compare all pairs of images: how long that takes is said before it begins, and a part can be compared.

Kernel distances, precision and recall cost time in proportion to the square of the number of images; their memory does
not grow with it, because they work in blocks. By default they are exact, whatever the number. Where that would take
more than ``LONG`` seconds, a warning gives the time and the setting that shortens it: ``Experiment.compared``, the most
images of each set, drawn at random. The measurement then states that number in its estimator and in its n.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..io.large_arrays import chosen_rows
from ..seeds import rng_at
from .base import Evidence
from .features import SPACES, feature_pair, restandardised
from .jackknife import Blocks, degrees

__all__ = ["AllPairs", "all_pairs", "say_forecast", "seconds_for"]

_LOG = logging.getLogger(__name__)

LONG = 180.0
"""Seconds from which the time of a metric is said before it begins."""

TRIED = 2_048
"""Images of each set that are compared to forecast the time of all; with up to four times as many nothing is said."""


@dataclass(frozen=True, eq=False)
class AllPairs:
    """The features of two sets of which all pairs are compared.

    Attributes:
        real: float [N,D].
        fake: float [M,D].
        blocks: see jackknife.py.
        independent: number of independent groups of images of the smaller set.
        degrees: degrees of freedom of an error that both sets contribute to; None for many.
        note: what the estimator says of the images that are compared; "" for all.
    """

    real: np.ndarray
    fake: np.ndarray
    blocks: Blocks
    independent: int
    degrees: float | None
    note: str = ""


def all_pairs(evidence: Evidence, space: str) -> AllPairs:
    """Return the features that a metric of all pairs compares: of all images, or of ``Evidence.compared`` of each set.

    A part is standardised by its own reference images.

    Args:
        evidence: the two sets.
        space: a key of ``SPACES``.

    Raises:
        NotMeasurable: as :func:`~imagelab.metrics.features.feature_pair`.
    """
    real, fake = feature_pair(evidence, space)
    most = evidence.compared
    if most is None:
        independent = evidence.real.independent, evidence.fake.independent
        return AllPairs(real, fake, evidence.blocks, min(independent), evidence.degrees)
    note = f", at most {most:,} images of each set, drawn at random"
    rng, parts, groups, independent = rng_at(evidence.seed, "all pairs"), [], [], []
    for features, own in zip((real, fake), evidence.blocks, strict=True):
        rows = np.sort(rng.permutation(len(features))[:most])
        parts.append(features if len(rows) == len(features) else chosen_rows(features, rows))
        groups.append(None if own is None else own[rows])
        independent.append(len(rows) if own is None else len(np.unique(own[rows])))
    if SPACES[space].standardise and len(parts[0]) < len(real):
        parts = restandardised(parts[0], parts[1])
    return AllPairs(parts[0], parts[1], (groups[0], groups[1]), min(independent), degrees(*independent), note)


def seconds_for(n: int, m: int, tried: int, seconds: float) -> float:
    """Return the time for n by m images, from that for ``tried`` by ``tried``: in proportion to n^2 + m^2 + n m.

    Example:
        >>> seconds_for(20_000, 20_000, 2_000, 0.3)
        30.0
    """
    return seconds * (n * n + m * m + n * m) / (3 * tried * tried)


def say_forecast(
    name: str, real: np.ndarray, fake: np.ndarray, measured: Callable[[np.ndarray, np.ndarray], object]
) -> float | None:
    """Say how long a metric of many images takes, where that is more than ``LONG`` seconds.

    Args:
        name: of the metric.
        real: float [N,D].
        fake: float [M,D].
        measured: the metric; it is tried on the first 2,048 images of each set, which takes a second or less.

    Returns:
        The forecast in seconds; None where the sets are small.
    """
    n, m = len(real), len(fake)
    if n * n + m * m + n * m <= 3 * (4 * TRIED) ** 2:
        return None
    some = min(TRIED, n, m)
    began = time.perf_counter()
    measured(real[:some], fake[:some])
    seconds = seconds_for(n, m, some, time.perf_counter() - began)
    if seconds > LONG:
        _LOG.warning(
            "%s compares all pairs of %s real and %s generated images: about %.0f minutes on this machine. A run with "
            "--compared 20000 compares so many of each set, drawn at random, and its measurements say so",
            name,
            f"{n:,}",
            f"{m:,}",
            seconds / 60.0,
        )
    return seconds
