"""Do the stated errors hold? Coverage of every instrument's 95 % interval over repeated sets of images.

placeholder
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagelab.data import Faces
from imagelab.generators import Gaussian, RunContext, Vae
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence, ImageSet, measure_panel
from imagelab.metrics.features import DISTANCE_SPACES, features
from imagelab.metrics.spectrum import spectra
from imagelab.seeds import image_seeds, rng_at

SEED = 2026
KINDS = ("faces", "ppca", "vae")


@dataclass(frozen=True)
class Coverage:
    """What one measurement's interval did over repeated sets.

    Attributes:
        name: of the measurement.
        kind: which images were judged against real faces.
        repeats: sets in which it had a value and an interval.
        held: share of the intervals that hold the mean of all values.
        ratio: root mean square of the stated errors over the spread of the values; NaN where nothing varies.
        bare: sets in which it had a value without an interval.
        mean: mean value.
    """

    name: str
    kind: str
    repeats: int
    held: float
    ratio: float
    bare: int
    mean: float


def pool_of(images: np.ndarray) -> ImageSet:
    """Return a pool of images [N,C,H,W] with all features and spectra in its memory."""
    pool = ImageSet(images)
    for space in DISTANCE_SPACES:
        features(pool, space)
    for channel in (None, 0, 1, 2):
        spectra(pool, channel)
    return pool


def subset(pool: ImageSet, rows: np.ndarray) -> ImageSet:
    """Return some images of a pool with what its memory holds of them."""
    return ImageSet(pool.images[rows], memory={slot: kept[rows] for slot, kept in pool.memory.items()})


def drawn(real: ImageSet, fake: ImageSet, n: int, repeats: int, blank: ImageSet | None = None) -> Iterator[Evidence]:
    """Yield evidence of three disjoint random sets of n: real, generated, training; ``fake`` may be the same pool."""
    for repeat in range(repeats):
        rng = rng_at(SEED, "coverage", row=repeat)
        rows = rng.permutation(len(real))[: 3 * n].reshape(3, n)
        made = subset(real, rows[1]) if fake is real else subset(fake, rng.permutation(len(fake))[:n])
        yield Evidence(subset(real, rows[0]), made, blank, seed=repeat, train=subset(real, rows[2]))


def judged(kind: str, taken: Sequence[Sequence[Measurement]]) -> list[Coverage]:
    """Return the coverage of each measurement over the repeats."""
    found = []
    for rows in zip(*taken, strict=True):
        valued = [m for m in rows if m.value is not None]
        sure = [m for m in valued if m.interval is not None]
        if not sure:
            continue
        values = np.array([m.value for m in valued], float)
        limits = np.array([m.interval for m in sure], float)
        errors = np.array([m.stderr for m in sure if m.stderr is not None])
        mean, spread = values.mean(), values.std(ddof=1)
        held = np.mean((limits[:, 0] <= mean) & (mean <= limits[:, 1]))
        ratio = float(np.sqrt(np.mean(errors**2)) / spread) if spread > 0 and len(errors) else float("nan")
        bare = len(valued) - len(sure)
        found.append(Coverage(rows[0].name, kind, len(sure), float(held), ratio, bare, float(mean)))
    return found
