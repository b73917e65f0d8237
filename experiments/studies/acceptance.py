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
"""The instruments that see beyond second order and still distinguish good models: they decide."""

FRECKLES = "freckles/count"
NEAR = "memorisation/closer_to_train"
COPYING = (NEAR, "memorisation/authenticity", f"generalisation/{PRIMARY}")
"""For these instruments the real training faces read what a perfect copier would: being near to them is no merit."""

CLEARLY = 2.0
"""A difference counts if it is at least this number of its standard errors."""


class Reading(NamedTuple):
    """An instrument's value for one set of images, and its standard error (0 if none is known)."""

    value: float
    error: float = 0.0


Readings = Mapping[str, Reading]
Table = Mapping[Arm, Sequence[Readings]]
"""Arm -> for each seed, instrument -> reading; what could not be measured is left out."""


def nearer(ours: Reading, theirs: Reading, real: Reading) -> bool:
    """Return whether ours is clearly nearer to the value of real images than theirs is."""
    gain = abs(theirs.value - real.value) - abs(ours.value - real.value)
    return gain > CLEARLY * math.hypot(ours.error, theirs.error)


@dataclass(frozen=True)
class Acceptance:
    """Which model is nearer to real images, seed by seed.

    Attributes:
        beats: instrument -> for each seed, whether the model is clearly nearer to real than both controls.
        freckled: for each seed, whether the model shows clearly more freckles than its blank control.
        copied: for each seed, whether it is at least halfway to a model that copies.
    """

    beats: Mapping[str, tuple[bool, ...]]
    freckled: tuple[bool, ...]
    copied: tuple[bool, ...]

    @property
    def accepted(self) -> bool:
        """Whether it beats both controls in every seed on every instrument that decides, and copies in no seed."""
        return all(name in self.beats and all(self.beats[name]) for name in BEYOND) and not any(self.copied)

    def lines(self) -> list[str]:
        """Return the decision in words."""
        lines = [
            f"{INSTRUMENTS[name]:34s} beats both in {sum(wins)} of {len(wins)} seeds{'   decides' * (name in BEYOND)}"
            for name, wins in self.beats.items()
        ]
        for title, what, wins in (
            (INSTRUMENTS[FRECKLES], "above the blank control", self.freckled),
            (INSTRUMENTS[NEAR], "halfway to copies", self.copied),
        ):
            lines.append(f"{title:34s} {what} in {sum(wins)} of {len(wins)} seeds")
        return [*lines, f"The model is {'accepted' if self.accepted else 'not accepted'}."]


def judge(table: Table) -> Acceptance:
    """Compare readings on every instrument that has a value of model, controls and real images in every seed.

    Example:
        >>> one = {"real": 0.0, "model": 9.0, "PPCA": 40.0, "untrained": 60.0}
        >>> fd = {arm: [{BEYOND[0]: Reading(value, 1.0)}] for arm, value in one.items()}
        >>> judge(fd).beats[BEYOND[0]]
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
    return Acceptance(beats, freckled, copied)


def _more(ours: Reading, theirs: Reading) -> bool:
    return ours.value - theirs.value > CLEARLY * math.hypot(ours.error, theirs.error)
