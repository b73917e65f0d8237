"""How well scores tell generated images from real ones: every figure of a test, with 95 % intervals.

All intervals hold the test images as the source of error, for this one detector. Another training of the same recipe
differs by more; summary.py has the intervals over trainings. Images that belong together count as one.

    area          AUROC, the probability that a generated image scores higher than a real one (DeLong's error; no limit
                  is nearer to 1 than that of a test in which every pair is in order)
    rates         share of generated images found at 1 % and 5 % false positives
    sensitivity   share of generated images with a score above 0; specificity: share of real ones below it
    balanced      mean of the two
    eer           equal error rate: the error where both kinds are wrong equally often
    precision     average precision, both kinds weighted equally
    brier, ece    mean square error of the probabilities, and their mean distance from the truth in 10 equal bins, both
                  kinds weighted equally

A rate at a share f of false positives rests on a threshold that is itself estimated. Of n real images a number K of
binomial distribution (n, f) lie above the true threshold, so the threshold lies between two order statistics, which
move the rate; and the generated images found are binomial. Both distances are combined in squares, as in
metrics/rogan_gladen.py. Where fewer than ten false positives stand behind a rate it is marked as resting on too few:
1 % needs 1,000 real images, 5 % needs 200.

References:
    Comparing the areas under correlated ROC curves (DeLong et al. 1988), doi:10.2307/2531595.
    Obtaining well calibrated probabilities using Bayesian binning (Naeini, Cooper and Hauskrecht 2015), AAAI: the
        expected calibration error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..metrics.detector import delong_variance, placements
from ..metrics.intervals import area_interval
from ..metrics.jackknife import Blocks
from ..metrics.rogan_gladen import binomial_limits

__all__ = ["ALARMS", "Rate", "Verdict", "judge_scores", "rate_at", "share_of"]

ALARMS = 10
"""Number of false positives behind a rate, from which on it is not marked."""

BINS = 10


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval.

    Attributes:
        value: 0..1.
        low: lower limit.
        high: upper limit.
        few: whether it rests on fewer than ten false positives.
    """

    value: float
    low: float
    high: float
    few: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a test of a detector says; see the module."""

    n_real: int
    n_fake: int
    area: Rate
    at_1: Rate
    at_5: Rate
    sensitivity: Rate
    specificity: Rate
    balanced: Rate
    eer: float
    precision: float
    brier: float
    ece: float

    def data(self) -> dict[str, Any]:
        """Return it as JSON values of six digits."""
        return _rounded(asdict(self))


def judge_scores(real: np.ndarray, fake: np.ndarray, blocks: Blocks = (None, None)) -> Verdict:
    """Return the figures of a test.

    Args:
        real: float [N], scores (log-odds) of real images, N >= 2.
        fake: float [M], of generated ones, M >= 2.
        blocks: for each set which images belong together, int64; see metrics/jackknife.py.
    """
    from sklearn.metrics import average_precision_score

    pair = placements(real, fake)
    area = float(pair[1].mean())
    counts = [len(each) if own is None else len(np.unique(own)) for each, own in zip((real, fake), blocks, strict=True)]
    stderr = math.sqrt(delong_variance(*pair, blocks))
    if min(counts) < 2:  # a single block has no variance of its own
        low, high = 0.0, 1.0
    else:
        low, high = area_interval(area, stderr or None, min(counts))
        low = min(low, area_interval(1.0, None, min(counts))[0])
    found, spared = share_of(fake > 0, counts[1]), share_of(real <= 0, counts[0])
    truth = np.repeat([0, 1], [len(real), len(fake)])
    weight = np.repeat([0.5 / len(real), 0.5 / len(fake)], [len(real), len(fake)])
    scores = np.concatenate([real, fake])
    chance = 1.0 / (1.0 + np.exp(-np.clip(scores, -500, 500)))
    return Verdict(
        n_real=len(real),
        n_fake=len(fake),
        area=Rate(area, low, high),
        at_1=rate_at(real, fake, 0.01, (counts[0], counts[1])),
        at_5=rate_at(real, fake, 0.05, (counts[0], counts[1])),
        sensitivity=found,
        specificity=spared,
        balanced=_mean(found, spared),
        eer=_equal_error(real, fake),
        precision=float(average_precision_score(truth, scores, sample_weight=weight)),
        brier=float((weight * (chance - truth) ** 2).sum()),
        ece=_calibration_error(chance, truth, weight),
    )


def share_of(hits: np.ndarray, independent: int | None = None) -> Rate:
    """Return the share of true values with its binomial limits.

    Args:
        hits: bool [N], N >= 1.
        independent: how many independent images they are; N if not given.
    """
    n = len(hits) if independent is None else independent
    value = float(np.mean(hits))
    if n == len(hits):
        return Rate(value, *binomial_limits(int(np.sum(hits)), n))
    ends = [binomial_limits(whole, n) for whole in (math.floor(value * n), math.ceil(value * n))]
    return Rate(value, ends[0][0], ends[1][1])


def rate_at(real: np.ndarray, fake: np.ndarray, share: float, independent: tuple[int, int]) -> Rate:
    """Return the share of generated images found if a share of real ones may be called generated.

    Args:
        real: float [N], scores of real images.
        fake: float [M], scores of generated ones.
        share: of false positives, 0..1.
        independent: how many independent images each set has.
    """
    from scipy.stats import binom

    falling, n = np.sort(real)[::-1], independent[0]

    def found_above(count: float) -> float:
        """Share found if so many real images may lie above the threshold; 0 for none, the end that is unknown."""
        row = min(int(count), len(falling) - 1)
        return float(np.mean(fake > falling[row]))

    value = found_above(math.floor(share * len(real) + 1e-9))
    few, many = (float(binom.ppf(tail, n, share)) * len(real) / n for tail in (0.025, 0.975))
    strict = 0.0 if few < 1 else float(np.mean(fake >= falling[int(few) - 1]))
    loose = found_above(many)
    own = share_of(np.arange(len(fake)) < round(value * len(fake)), independent[1])
    low = value - math.hypot(value - min(strict, value), value - own.low)
    high = value + math.hypot(max(loose, value) - value, own.high - value)
    return Rate(value, max(low, 0.0), min(high, 1.0), share * n < ALARMS)


def _mean(first: Rate, second: Rate) -> Rate:
    value = (first.value + second.value) / 2
    low = math.hypot(first.value - first.low, second.value - second.low) / 2
    high = math.hypot(first.high - first.value, second.high - second.value) / 2
    return Rate(value, max(value - low, 0.0), min(value + high, 1.0))


def _equal_error(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the error where the share of real images at or above a threshold equals that of generated ones below."""
    cuts = np.unique(np.concatenate([real, fake]))
    false = 1.0 - np.searchsorted(np.sort(real), cuts, "left") / len(real)
    missed = np.searchsorted(np.sort(fake), cuts, "left") / len(fake)
    false, missed = np.append(false, 0.0), np.append(missed, 1.0)
    after = int(np.argmax(missed >= false))
    if after == 0:
        return float(missed[0])
    gap = (false - missed)[[after - 1, after]]
    part = gap[0] / (gap[0] - gap[1])
    return float(missed[after - 1] + part * (missed[after] - missed[after - 1]))


def _calibration_error(chance: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    bins = np.minimum((chance * BINS).astype(int), BINS - 1)
    apart = np.bincount(bins, weight * (chance - truth), minlength=BINS)
    return float(np.abs(apart).sum() / weight.sum())


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return round(value, 6) if isinstance(value, float) else value
