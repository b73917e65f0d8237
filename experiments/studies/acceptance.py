"""Decides whether a learned generator is accepted, from the readings of experiments/studies/first_generation.py.

It is accepted if in every seed it is clearly nearer to real images than PPCA and than the same network untrained, on
instruments that see beyond second order, and if it does not get there by copying its training images. The readings come
in, the decision goes out: nothing is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from imagelab.metrics.features import PRIMARY

Arm = Literal["real", "model", "PPCA", "untrained", "blank"]
CONTROLS: tuple[Arm, Arm] = ("PPCA", "untrained")

INSTRUMENTS = {
    f"frechet_corrected/{PRIMARY}": f"FD[{PRIMARY}], corrected",
    f"detector_starved/{PRIMARY}": "starved detector, AUC",
    f"detector/{PRIMARY}": "detector, AUC",
    "band_power/8-16": "power at 8-16 c/image, dB",
    "band_power/16-32": "power at 16-32 c/image, dB",
    "pixel_variance": "pixel variance, ratio",
    "freckles/noise": "noise, grey levels",
    "freckles/count": "freckles found a face",
    "freckles/corrected": "corrected by calibration",
    "memorisation/closer_to_train": "nearer to training faces",
    "memorisation/authenticity": "authenticity",
    f"generalisation/{PRIMARY}": "distance to them, ratio",
}
BEYOND = (f"frechet_corrected/{PRIMARY}", f"detector_starved/{PRIMARY}")
"""The instruments that see beyond second order and still tell good models apart: they decide."""

FRECKLES = "freckles/count"
NEAR = "memorisation/closer_to_train"
COPYING = (NEAR, "memorisation/authenticity", f"generalisation/{PRIMARY}")
"""Here real training faces are what a perfect copier would read: no place to be near to."""

CLEARLY = 2.0
"""A difference counts from so many of its standard errors on."""


class Reading(NamedTuple):
    """What an instrument says of one set of images: its value and its standard error (0 where none is known)."""

    value: float
    error: float = 0.0


Readings = Mapping[str, Reading]
Table = Mapping[Arm, Sequence[Readings]]
"""Arm -> for each seed, instrument -> reading; what could not be measured is not there."""


def nearer(ours: Reading, theirs: Reading, real: Reading) -> bool:
    """Return whether ours lies clearly nearer to what real images measure than theirs does."""
    gain = abs(theirs.value - real.value) - abs(ours.value - real.value)
    return gain > CLEARLY * math.hypot(ours.error, theirs.error)


@dataclass(frozen=True)
class StageHistory:
    """Who beat whom, seed by seed.

    Attributes:
        beats: instrument -> for each seed, whether the model lies clearly nearer to real than both controls.
        freckled: for each seed, whether the model shows clearly more freckles than its blank control.
        copied: for each seed, whether it lies halfway to a copier, or nearer.
    """

    beats: Mapping[str, tuple[bool, ...]]
    freckled: tuple[bool, ...]
    copied: tuple[bool, ...]

    @property
    def earned(self) -> bool:
        """Whether it beats both controls in every seed on every instrument that decides, and copies in none."""
        return all(name in self.beats and all(self.beats[name]) for name in BEYOND) and not any(self.copied)

    def lines(self) -> list[str]:
        """Return the verdict in words."""
        told = [
            f"{INSTRUMENTS[name]:34s} beats both in {sum(wins)} of {len(wins)} seeds{'   decides' * (name in BEYOND)}"
            for name, wins in self.beats.items()
        ]
        for title, what, wins in (
            (INSTRUMENTS[FRECKLES], "above the blank control", self.freckled),
            (INSTRUMENTS[NEAR], "halfway to copies", self.copied),
        ):
            told.append(f"{title:34s} {what} in {sum(wins)} of {len(wins)} seeds")
        return [*told, f"It {'earns' if self.earned else 'does not earn'} its place."]


def verdict(table: Table) -> StageHistory:
    """Judge a table of readings: every instrument that read all of model, controls and real images in every seed.

    Example:
        >>> one = {"real": 0.0, "model": 9.0, "PPCA": 40.0, "untrained": 60.0}
        >>> fd = {arm: [{BEYOND[0]: Reading(value, 1.0)}] for arm, value in one.items()}
        >>> verdict(fd).beats[BEYOND[0]]
        (True,)
    """
    judged: tuple[Arm, ...] = ("real", "model", *CONTROLS)
    beats = {}
    for name in [name for name in INSTRUMENTS if name not in COPYING]:
        if all(name in readings for arm in judged for readings in table[arm]):
            columns = [[readings[name] for readings in table[arm]] for arm in judged]
            beats[name] = tuple(
                all(nearer(ours, theirs, real) for theirs in controls)
                for real, ours, *controls in zip(*columns, strict=True)
            )
    pairs = zip(table["model"], table.get("blank", ()), strict=False)
    freckled = tuple(_more(ours[FRECKLES], blank[FRECKLES]) for ours, blank in pairs if FRECKLES in ours)
    copies = zip(table["model"], table["real"], strict=True)
    copied = tuple(ours[NEAR].value >= (0.5 + real[NEAR].value) / 2 for ours, real in copies if NEAR in ours)
    return StageHistory(beats, freckled, copied)


def _more(ours: Reading, theirs: Reading) -> bool:
    return ours.value - theirs.value > CLEARLY * math.hypot(ours.error, theirs.error)
