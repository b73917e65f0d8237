"""An alarm for batches of pictures that a production system makes, with a stated rate of false alarms.

REAL holds pictures as they should be. A batch of n pictures is compared with it by a small fixed set of measurements:

    level, spread   of every reading of a picture (brightness, fine detail, distance from the nearest real picture):
                    the mean of u - 1/2 and of (u - 1/2)^2, where u is the rank of the picture's reading in REAL, 0..1
                    (Mann-Whitney and Mood statistics: no outlier and no unit matters)
    the whole       log of the squared distance of the mean embeddings of batch and REAL, an RBF kernel on the encoder's
                    features by 128 random frequencies; it sees lost variety, too

A quarter of REAL, by the seed, is the ruler: it sets the units of the features, and the distances are taken from it.
The other three quarters are what batches are compared with; they and pictures of the same kind are exchangeable.

The null distribution is drawn from these themselves: n pictures at random (whole groups where groups are known)
against the others, some ten thousand times. Every measurement is divided by its standard deviation over these draws, or
by what a normal variable with the same outer thousandth has, if that is more. The threshold is the upper quantile of
the LARGEST of them (max-t), so that the rate holds for the whole set.

A batch is looked at twice: alone, and pooled with the batches before it (at most 8, and no more pictures than REAL has
for comparison), which sees a slow change. Each look has half of the rate of a batch, and a batch has a hundredth of the
rate of 100 batches. Both steps are Boole's inequality, which needs no independence. This matters: all batches are
compared with one finite REAL, whose accident they share. A CUSUM adds that accident up for ever and rings in the end
although nothing has changed; a constant level with a bounded pool does not. The rates hold on average over draws of
REAL.

A reading that is the same in more than half of REAL (no pixel burnt out) is left out.

What it does not see: changes that neither the readings nor the encoder notice; a false alarm and a true one look alike.

References:
    Resampling-based multiple testing (Westfall and Young 1993), max-t. A kernel two-sample test (Gretton et al. 2012),
    JMLR 13. Random features for large-scale kernel machines (Rahimi and Recht 2007). Testing for outliers with
    conformal p-values (Bates et al. 2023), arXiv:2104.08279: tests that share a reference depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..metrics import ImageSet
from ..metrics.features import PRIMARY, features, varying
from ..metrics.rbf import median_distance
from ..seeds import rng_at
from .picture_readings import picture_readings, reading_names

__all__ = [
    "BATCH_FEWEST",
    "POOLED",
    "REAL_FEWEST",
    "AlarmLook",
    "AlarmReference",
    "AlarmThresholds",
    "BatchSums",
    "look_at",
    "pool_of",
]

BATCH_FEWEST = 50
"""Independent pictures (groups, where known) of a batch below which no alarm is decided."""

REAL_FEWEST = 200
"""Independent pictures of REAL below which no threshold can be drawn."""

POOLED = 8
"""Batches in the pool of the second look, the newest included."""

WHOLE = "the whole"
FREQUENCIES = 128
BEYOND = 10  # draws beyond the threshold, of which its own error is a third
LOOKS = 2
OUTER, OUTER_SIGMAS = 1e-3, 3.0902  # a normal variable exceeds so many standard deviations with this chance
AT_ONCE = 1000  # draws
NEAREST = "distance from real pictures"
RULER = 4  # one part of so many sets the units


@dataclass(frozen=True, eq=False)
class BatchSums:
    """What is kept of a batch.

    Attributes:
        count: pictures.
        independent: groups of pictures; the pictures where no group is known.
        sums: float64 [S], sums over the pictures of the columns of :class:`AlarmReference`.
    """

    count: int
    independent: int
    sums: np.ndarray

    @staticmethod
    def pooled(batches: Sequence[BatchSums]) -> BatchSums:
        """Return the sums of several batches together."""
        return BatchSums(
            sum(each.count for each in batches),
            sum(each.independent for each in batches),
            np.sum([each.sums for each in batches], axis=0),
        )


@dataclass(frozen=True, eq=False)
class AlarmThresholds:
    """What the draws from REAL say of sets of one size.

    Attributes:
        size: pictures of a draw.
        centre: float64 [M], mean of each measurement over the draws.
        below: float64 [M], the unit of what lies below the centre.
        above: float64 [M], the unit of what lies above it.
        threshold: of the largest measurement, in these units.
    """

    size: int
    centre: np.ndarray
    below: np.ndarray
    above: np.ndarray
    threshold: float

    def sigmas(self, values: np.ndarray) -> np.ndarray:
        """Return measurements [..., M] in standard deviations from the centre; of the whole only what is above it."""
        gap = values - self.centre
        found = gap / np.where(gap < 0, self.below, self.above)
        found[..., -1] = np.maximum(found[..., -1], 0.0)  # nearer to REAL than other pictures of REAL is no alarm
        return found


@dataclass(frozen=True)
class AlarmLook:
    """One comparison of pictures with REAL.

    Attributes:
        batches: how many batches were taken together.
        pictures: in them.
        sigmas: measurement -> standard deviations from REAL; for the whole, more is farther.
        threshold: the alarm rings where the largest exceeds it.
    """

    batches: int
    pictures: int
    sigmas: Mapping[str, float]
    threshold: float

    @property
    def largest(self) -> tuple[str, float]:
        """The measurement that is farthest from REAL, and its standard deviations with their sign."""
        name = max(self.sigmas, key=lambda each: abs(self.sigmas[each]))
        return name, self.sigmas[name]

    @property
    def rings(self) -> bool:
        """Whether it is an alarm."""
        return abs(self.largest[1]) > self.threshold


class AlarmReference:
    """REAL as batches are compared with it.

    Args:
        real: the pictures, all of one form, 16 px a side or more; with groups where some belong together.
        rate: chance of any false alarm in 100 batches, .01 to .9.
        seed: of the random frequencies and of the draws.
        device: torch device of the encoder.

    Raises:
        ValueError: for too few pictures, a rate out of range, or pictures that are all alike.

    Example:
        >>> pictures = np.random.default_rng(0).integers(0, 256, (300, 1, 16, 16), np.uint8)
        >>> reference = AlarmReference(ImageSet(pictures[:200]), rate=0.5)
        >>> look_at(reference, [reference.sums(ImageSet(255 - pictures[200:] // 2))]).rings
        True
    """

    def __init__(self, real: ImageSet, rate: float = 0.1, seed: int = 0, device: str = "cpu"):
        if real.independent < REAL_FEWEST:
            kind = "pictures" if real.groups is None else "groups of pictures"
            raise ValueError(f"REAL: expected {REAL_FEWEST} {kind} or more, got {real.independent}; give more")
        if not 0.01 <= rate <= 0.9:
            raise ValueError(f"rate: expected a chance of .01 to .9 in 100 batches, got {rate:g}")
        self.rate, self.seed, self.device = rate, seed, device
        groups = np.arange(len(real)) if real.groups is None else np.unique(real.groups, return_inverse=True)[1]
        seen, read = features(real, PRIMARY, device).astype(np.float64), _read(real)
        is_ruler = _part(groups, seed)
        self._mean, self._spread = seen[is_ruler].mean(axis=0), seen[is_ruler].std(axis=0, ddof=1)
        self._alive = varying(self._mean, self._spread)
        if not self._alive.any():
            raise ValueError("REAL: its pictures are all alike; expected pictures that differ")
        self._ruler, points = self._standardised(seen[is_ruler]), self._standardised(seen[~is_ruler])
        rng, width = rng_at(seed, "production-alarm/frequencies"), median_distance(self._ruler)
        self._frequencies = rng.standard_normal((points.shape[1], FREQUENCIES)) / width
        kept = {name: values[~is_ruler] for name, values in read.items()} | {NEAREST: _nearest(points, self._ruler)}
        self._sorted = {name: np.sort(values) for name, values in kept.items() if _is_varied(values)}
        self._table = self._columns(kept, points, own=True)
        self._total, self.count = self._table.sum(axis=0), len(points)
        self._group_of = np.unique(groups[~is_ruler], return_inverse=True)[1]
        self._known: dict[int, AlarmThresholds] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The measurements, in the order of a :class:`AlarmThresholds`."""
        return (*self._sorted, *(f"spread of {name}" for name in self._sorted), WHOLE)

    @property
    def width(self) -> int:
        """Columns S whose sums are kept of a batch."""
        return self._table.shape[1]

    @property
    def draws(self) -> int:
        """Draws from REAL for each size of a batch, so that 10 of them lie beyond the threshold of a look."""
        return math.ceil(BEYOND / self.rate_of_look)

    @property
    def rate_of_look(self) -> float:
        """Chance of a false alarm of one of the two looks at a batch."""
        return self.rate / 100 / LOOKS

    def sums(self, batch: ImageSet) -> BatchSums:
        """Return what is kept of a batch of pictures of the same form as REAL."""
        points = self._standardised(features(batch, PRIMARY, self.device).astype(np.float64))
        read = {**_read(batch), NEAREST: _nearest(points, self._ruler)}
        return BatchSums(len(batch), batch.independent, self._columns(read, points, own=False).sum(axis=0))

    def size_for(self, count: int) -> int:
        """Return how many pictures are drawn for a set of ``count``: half of those that are drawn from at most."""
        return min(count, self.count // 2)

    def calibration(self, count: int) -> AlarmThresholds:
        """Return thresholds for sets of ``count`` pictures; the draws are made once for each size."""
        size = self.size_for(count)
        if size not in self._known:
            self._known[size] = self._calibrated(size)
        return self._known[size]

    def apart(self, sums: np.ndarray, counts: np.ndarray, total: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Return the measurements of sets against their reference, before they are standardised: float64 [B,M].

        Args:
            sums: float [B,S], sums over the pictures of each set.
            counts: [B], pictures in it.
            total: float [B,S] or [S], sums over the reference.
            count: [B], pictures in the reference.
        """
        gap = sums / counts[:, None] - total / count[:, None]
        weight = 1.0 / counts + 1.0 / count
        ranks = 2 * len(self._sorted)
        plain = gap[:, :ranks] / np.sqrt(weight)[:, None]
        whole = np.log((gap[:, ranks:] ** 2).sum(axis=1) / weight)
        return np.concatenate([plain, whole[:, None]], axis=1)

    def against_real(self, batch: BatchSums) -> np.ndarray:
        """Return the measurements of a batch against all of REAL: float64 [M]."""
        ones = np.ones(1)
        return self.apart(batch.sums[None], batch.count * ones, self._total, self.count * ones)[0]

    def _standardised(self, seen: np.ndarray) -> np.ndarray:
        return (seen[:, self._alive] - self._mean[self._alive]) / self._spread[self._alive]

    def _columns(self, read: Mapping[str, np.ndarray], points: np.ndarray, own: bool) -> np.ndarray:
        """Return the columns whose sums over a batch are kept: float64 [N,S]."""
        levels, spreads = [], []
        for name, ordered in self._sorted.items():
            sides = (np.searchsorted(ordered, read[name], side) for side in ("left", "right"))
            u = sum(sides) / (2.0 * len(ordered))
            levels.append(u - 0.5)
            # the rank of another picture is known but for an error of variance u (1 - u) / N
            spreads.append((u - 0.5) ** 2 - (0.0 if own else u * (1 - u) / len(ordered)))
        phase = points @ self._frequencies
        waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / math.sqrt(FREQUENCIES)
        return np.concatenate([np.stack([*levels, *spreads], axis=1), waves], axis=1)

    def _calibrated(self, size: int) -> AlarmThresholds:
        rng = rng_at(self.seed, "production-alarm/draws", size)
        table = self._table.astype(np.float32)
        found = []
        for chosen in self._drawn(rng, size):
            counts = chosen.sum(axis=1, dtype=np.float64)
            sums = (chosen.astype(np.float32) @ table).astype(np.float64)
            found.append(self.apart(sums, counts, self._total - sums, self.count - counts))
        values = np.concatenate(found)
        calibration = _units(size, values)
        largest = np.sort(np.abs(calibration.sigmas(values)).max(axis=1))
        place = math.ceil((1.0 - self.rate_of_look) * (len(largest) + 1)) - 1
        return replace(calibration, threshold=float(largest[min(place, len(largest) - 1)]))

    def _drawn(self, rng: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        """Yield draws, bool [B,N]: whole groups at random until they hold ``size`` pictures or more."""
        sizes = np.bincount(self._group_of)
        for first in range(0, self.draws, AT_ONCE):
            keys = rng.random((min(AT_ONCE, self.draws - first), len(sizes)), np.float32)
            if sizes.max() == 1:
                taken = keys < np.partition(keys, size, axis=1)[:, size : size + 1]
            else:
                order = np.argsort(keys, axis=1)
                before = np.cumsum(sizes[order], axis=1) - sizes[order]
                taken = np.empty_like(before, bool)
                np.put_along_axis(taken, order, before < size, axis=1)
            yield taken[:, self._group_of]


def pool_of(reference: AlarmReference, batches: Sequence[BatchSums]) -> list[BatchSums]:
    """Return the newest batches that are looked at together.

    They are at most 8, and hold no more pictures than REAL has for comparison: the larger the pool, the more of what is
    seen in it is an accident of REAL.
    """
    pool: list[BatchSums] = []
    for batch in reversed(batches[-POOLED:]):
        if pool and sum(each.count for each in (*pool, batch)) > reference.count:
            break
        pool.insert(0, batch)
    return pool


def look_at(reference: AlarmReference, batches: Sequence[BatchSums]) -> AlarmLook:
    """Compare one batch, or several taken together, with REAL.

    Args:
        reference: REAL.
        batches: one or more, all read by this reference.
    """
    together = BatchSums.pooled(batches)
    known = reference.calibration(together.count)
    sigmas = known.sigmas(reference.against_real(together))
    named = dict(zip(reference.names, map(float, sigmas), strict=True))
    return AlarmLook(len(batches), together.count, named, known.threshold)


def _read(pictures: ImageSet) -> dict[str, np.ndarray]:
    """Return the readings of a set, kept in its memory."""
    slot = "picture readings"
    if slot not in pictures.memory:
        pictures.memory[slot] = np.stack(list(picture_readings(pictures.images).values()), axis=1)
    values = pictures.memory[slot]
    return dict(zip(reading_names(pictures.images.shape[1]), values.T, strict=True))


def _units(size: int, values: np.ndarray) -> AlarmThresholds:
    """Return centre and units of measurements, float64 [draws,M], without a threshold yet."""
    centre, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    centre[:-1] = 0.0  # of ranks, exactly
    low, high = np.quantile(values - centre, (OUTER, 1.0 - OUTER), axis=0)
    below, above = (np.maximum(spread, each / OUTER_SIGMAS) for each in (-low, high))
    return AlarmThresholds(size, centre, below, above, math.inf)


def _is_varied(values: np.ndarray) -> bool:
    """Whether at most half of the values are the same: of rarer ones too few are known for a rate of false alarms."""
    return int(np.unique(values, return_counts=True)[1].max()) <= len(values) / 2


def _part(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return which pictures are the ruler, bool [N]: a quarter of the groups."""
    count = int(groups.max()) + 1
    chosen = np.zeros(count, bool)
    chosen[rng_at(seed, "production-alarm/ruler").permutation(count)[: count // RULER]] = True
    return chosen[groups]


def _nearest(points: np.ndarray, ruler: np.ndarray) -> np.ndarray:
    """Return the distance of each point from the nearest one of the ruler: float64 [N]."""
    squares = np.einsum("nd,nd->n", ruler, ruler)
    found = []
    for first in range(0, len(points), AT_ONCE):
        some = points[first : first + AT_ONCE]
        distances = np.einsum("nd,nd->n", some, some)[:, None] + squares - 2.0 * some @ ruler.T
        found.append(np.sqrt(np.maximum(distances.min(axis=1), 0.0)))
    return np.concatenate(found)
