"""How many chains and images it takes to see a loss of a given size, from the spread that a pilot run has shown.

A loss at generation t is the difference d between the value of the real images and the mean over k chains at t. One
chain differs from the next with the variance

    s^2(n) = e^2 m / n  +  max(b^2 - e^2, 0)                                                            (1)

where e is the error of the images in the pilot of m images, and b the standard deviation from one training to another
in it. With several chains the pilot has measured b; with one it is e times a retraining ratio that other runs have
shown (evaluation/chains.py). The first term is other images of the models, the second other trainings. It is taken
not to fall with the number of images, which is cautious: part of it comes from the finite training set.

    k chains    t = d / (s / sqrt(k)) has a noncentral t distribution with k - 1 degrees of freedom       (2)
    one chain   d / s is normal, with s from the table of ratios: nothing in the experiment tests it      (3)

The smallest loss that is seen is the d with which a two-sided test at 5 % rejects "no loss" in 90 % of experiments.

Held: other trainings, other sampling seeds, other images of the models. Not held: other real images (all chains have
the same, and the loss is that from their value), systematic errors of the counter, and the error of s itself, which a
pilot of few chains knows badly (three chains: s within a factor of about 0.5 to 2 or more at one generation).

References:
    Statistical power analysis for the behavioral sciences (Cohen 1988), section 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.chains import means_of_run
from ..io.untrusted import shown
from ..measurement import Measurement
from ..pool import REAL
from ..run_folder import RunFolder
from ..runs.prepare import split_sizes
from .forecast import PointCost

__all__ = ["Design", "Pilot", "core_seconds_of", "designs", "power_of", "smallest_difference"]

POWER, LEVEL = 0.9, 0.05
FAR = 5.0  # of a noncentrality: the chance to see a loss as a gain is below 1e-6
PREFERRED = ("freckles/net", "freckles/corrected", "planted/net", "planted/corrected")
"""What a loss is taken of where nothing is said: the first of these that the pilot has."""


@dataclass(frozen=True)
class Design:
    """An experiment that could be made.

    Attributes:
        chains: trainings.
        images: of each generation.
        loss: the smallest loss that it sees, a share of the value of the real images.
    """

    chains: int
    images: int
    loss: float


@dataclass(frozen=True)
class Pilot:
    """What a finished run says of one quantity of its main model.

    Attributes:
        run: its name.
        name: of the measurement.
        unit: of it.
        images: of each generation, m in equation (1).
        chains: that it had.
        real: value of the real images.
        values: of generation 1, 2, ...: mean over the chains.
        errors: e of each generation.
        between: b of each generation.
    """

    run: str
    name: str
    unit: str
    images: int
    chains: int
    real: float
    values: tuple[float, ...]
    errors: tuple[float, ...]
    between: tuple[float, ...]

    @classmethod
    def read(cls, run: Path, name: str = "") -> Pilot:
        """Return what a finished run says.

        Args:
            run: its folder.
            name: of a measurement; "" for the first of ``PREFERRED`` that it has.

        Raises:
            ValueError: if it has no such measurement with an error, naming those it has.
        """
        folder = RunFolder.open(run)
        experiment = folder.config["experiment"]
        measured = [m for m in folder.measurements() if not m.predicted]
        means = [m for m in means_of_run(experiment, measured) if m.value is not None]
        usable = _usable(means)
        if not name:
            name = next((each for each in PREFERRED if each in usable), "")
        if name not in usable:
            some = ", ".join(sorted(usable)[:30])
            what = f"no measurement {name} with an error" if name else "nothing that is counted"
            raise ValueError(f"{shown(run)}: {what}. Choose another with --metric: {some or 'it has none'}")
        real = next(m for m in means if m.name == name and m.generation == 0)
        rows = sorted((m for m in means if m.name == name and m.generation > 0 and m.line == 0), key=_generation)
        until = next((at for at, m in enumerate(rows, 1) if m.generation != at), len(rows) + 1) - 1
        rows = rows[:until]
        return cls(
            folder.path.name,
            name,
            real.unit,
            rows[0].n_fake or int(experiment["images"]),
            max(m.chains for m in rows),
            float(real.value or 0.0),
            tuple(float(m.value or 0.0) for m in rows),
            tuple(float(m.stderr or 0.0) for m in rows),
            tuple(float(m.between or 0.0) for m in rows),
        )

    def loss(self, generation: int) -> float:
        """Return the share of the value of the real images that the pilot had lost at a generation."""
        return 1 - self.values[generation - 1] / self.real

    def deviation(self, generation: int, images: int) -> float:
        """Return s of equation (1): the standard deviation from one chain to another."""
        e, b = self.errors[generation - 1], self.between[generation - 1]
        return math.sqrt(e**2 * self.images / images + max(b**2 - e**2, 0.0))


def designs(pilot: Pilot, generation: int, chains: Sequence[int], images: Sequence[int]) -> list[Design]:
    """Return the smallest loss at a generation that each number of chains and images sees.

    Args:
        pilot: the pilot; its last generation stands for later ones.
        generation: from 1 on.
        chains: numbers of chains.
        images: numbers of images.
    """
    at = min(generation, len(pilot.values))
    return [
        Design(k, n, smallest_difference(pilot.deviation(at, n), k) / abs(pilot.real)) for k in chains for n in images
    ]


def core_seconds_of(cost: PointCost, chains: int, images: int) -> float:
    """Return what an experiment would take with other numbers of chains and images, scaled from its forecast.

    A network is trained for as many images seen, whatever their number; all else is taken in proportion to it.

    Args:
        cost: forecast of the whole experiment.
        chains: of the other one.
        images: of the other one.
    """
    experiment = cost.point.experiment
    roles, twins = len(experiment.roles), experiment.blank_twins
    lines = (roles * chains + twins) / (roles * experiment.replicates + twins)
    size = images / split_sizes(experiment)["train"]
    networks = {f"training {recipe.label}" for recipe in experiment.roles if recipe.training_length}
    seconds = 0.0
    for name, part in (cost.parts or {}).items():
        once = name in ("starting", "report")
        seconds += part * (1.0 if once else size if name == "real images" else lines)
        seconds += part * lines * (size - 1) if not once and name != "real images" and name not in networks else 0.0
    return seconds


def power_of(difference: float, deviation: float, chains: int, level: float = LEVEL) -> float:
    """Return how often a two-sided test finds a difference from 0.

    Args:
        difference: the true one.
        deviation: standard deviation of one chain.
        chains: k; for one, the deviation is taken as known, equation (3).
        level: of the test.

    Example:
        >>> round(power_of(0.0, 1.0, 3), 6), round(power_of(3.242, 1.0, 1), 3)
        (0.05, 0.9)
    """
    from scipy import stats

    if chains == 1:
        shift, edge = abs(difference) / deviation, stats.norm.ppf(1 - level / 2)
        return float(stats.norm.sf(edge - shift) + stats.norm.cdf(-edge - shift))
    shift, df = abs(difference) * math.sqrt(chains) / deviation, chains - 1
    edge = stats.t.ppf(1 - level / 2, df)
    other = stats.nct.cdf(-edge, df, shift) if shift < FAR else 0.0  # scipy gives NaN far out, where it is 0
    return float(stats.nct.sf(edge, df, shift) + other)


def smallest_difference(deviation: float, chains: int, power: float = POWER, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test finds with this power.

    Args:
        deviation: standard deviation of one chain.
        chains: trainings.
        power: 0..1, above the level.
        level: of the test.

    Example:
        >>> [round(smallest_difference(1.0, k), 2) for k in (1, 2, 3, 5, 10)]
        [3.24, 14.82, 3.92, 1.97, 1.15]
    """
    from scipy.optimize import brentq

    if deviation == 0:
        return 0.0
    found: Any = brentq(lambda d: power_of(d, 1.0, chains, level) - power, 0.0, 30.0, xtol=1e-4)
    return deviation * float(found)


def _generation(m: Measurement) -> int:
    return m.generation


def _usable(means: Iterable[Measurement]) -> set[str]:
    """Return the names that have a value other than 0 of real images, and an error at generation 1."""
    rows = list(means)
    real = {m.name for m in rows if m.generation == 0 and m.line == REAL and m.value}
    return real & {m.name for m in rows if m.generation == 1 and m.line == 0 and m.stderr}
