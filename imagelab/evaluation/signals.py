"""Signals of collapse: what share of a quantity has been lost, compared with real images or with generation 1.

Two comparisons answer two questions:

    quality   against real images: how far are the model's images from real ones? A weak first model has lost much at
              generation 1 already, without any loop.
    loop      against generation 1: what has the loop lost since its first model? Generation 1 is trained on real images
              only, so a loop that feeds nothing back loses nothing here.

Three families of signals decide on the stage (stages.py):

    tails       rare attributes (all those that fewer than 5 % of real images have, together), freckles, recall
    detail      energy in the finest octave; a gain counts as a loss of the same number of decibels, because noise is
                not detail
    diversity   pixel variance, perceptual diversity, Vendi score

The error of a signal is that of a statement on the loop (chains.py). For rare attributes, the drift that a perfect
generator would show is part of it, unless the error between trainings was measured, which includes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..measurement import Measurement
from ..pool import REAL
from .chains import loop_error
from .significance import Error, joined, replicated, sigmas

__all__ = ["ATTRIBUTES", "RARE", "Signal", "Verdict", "signals"]

Verdict = Literal["loop", "quality"]
"""What is judged: the loop, against generation 1, or the quality, against real images."""

RARE = 0.05
"""An attribute is rare if a smaller share of real images than this has it."""

ATTRIBUTES = ("tails/", "symbols/")
"""Measurements that are shares of images with an attribute: by probes for faces, of planted symbols."""

SHARES = (
    ("prdc/recall", "recall", "tails"),
    ("pixel_variance", "variance", "diversity"),
    ("perceptual_diversity", "diversity", "diversity"),
    ("lpips_diversity", "LPIPS diversity", "diversity"),
    ("vendi", "Vendi", "diversity"),
)
"""(measurement, title, family) of the signals that are the ratio of a value to that of the start."""

PRESENT = 2.0  # standard errors above 0 that a quantity must have at the start: nothing can be lost of nothing


@dataclass(frozen=True)
class Signal:
    """One signal over the generations.

    Attributes:
        key: the measurement's name, or "tails/rare" for the rare attributes together.
        title: a few words for a table.
        family: "tails", "detail" or "diversity".
        lost: generation -> share lost since the start, 0 for none, 1 for all; below 0 for more than at the start.
        error: generation -> its standard error, that of the start and drift included.
        df: generation -> degrees of freedom of the error; None for many.
        images: the smallest number of images that any of its values is measured on.
        replicated: whether every error includes the spread between several trainings of this loop.
    """

    key: str
    title: str
    family: str
    lost: Mapping[int, float]
    error: Mapping[int, float]
    df: Mapping[int, float | None]
    images: int
    replicated: bool

    def sigmas(self, generation: int) -> float:
        """Return the loss of a generation in standard errors; minus infinity where it was not measured."""
        if generation not in self.lost:
            return -math.inf
        return sigmas(self.lost[generation], self.error[generation], self.df[generation])


@dataclass(frozen=True)
class Start:
    """What the generations are compared with.

    Attributes:
        real: measurement name -> that of real images.
        at: measurement name -> that of the start: real images, or generation 1.
        made: measurement name -> generation -> measurement.
        from_real: whether the start is real images.
    """

    real: Mapping[str, Measurement]
    at: Mapping[str, Measurement]
    made: Mapping[str, Mapping[int, Measurement]]
    from_real: bool


def signals(measurements: Iterable[Measurement], line: int = 0, verdict: Verdict = "loop") -> tuple[Signal, ...]:
    """Return the signals that can be computed from a run's measurements, tails first.

    A value without a known error is left out: whether chance explains it cannot be said.

    Args:
        measurements: all of a run, generation 0 included.
        line: which model.
        verdict: "loop" for the loss since generation 1, "quality" for the loss compared with real images.
    """
    measured = [m for m in measurements if not m.predicted and m.value is not None and m.stderr is not None]
    real = {m.name: m for m in measured if m.generation == 0 and m.line == REAL}
    made: dict[str, dict[int, Measurement]] = {}
    for m in measured:
        if m.generation > 0 and m.line == line:
            made.setdefault(m.name, {})[m.generation] = m
    if verdict == "quality":
        start = Start(real, real, made, True)
    else:
        first = {name: rows[1] for name, rows in made.items() if 1 in rows}
        later = {name: {g: m for g, m in rows.items() if g > 1} for name, rows in made.items()}
        start = Start(real, first, {name: rows for name, rows in later.items() if rows}, False)
    counts = [f"{stem}/{part}" for stem in ("freckles", "planted") for part in ("corrected", "count")]
    freckles = next((name for name in counts if name in start.made), "")
    optional = [
        _rare(start),
        _share(freckles, "freckles" if freckles.startswith("freckles") else "planted marks", "tails", start),
        _detail(start),
        *(_share(_named(stem, start.made), title, family, start) for stem, title, family in SHARES),
    ]
    return tuple(signal for signal in optional if signal is not None)


def _named(stem: str, made: Mapping[str, object]) -> str:
    """The measurement of that name, else the first with a suffix (vendi/imagelab-ssl-v1); "" if there is none."""
    return stem if stem in made else next((name for name in made if name.startswith(f"{stem}/")), "")


def _error(m: Measurement) -> Error:
    error = loop_error(m)
    assert error is not None  # rows without one were left out
    return error


Rows = tuple[Iterable[Measurement], Iterable[Measurement]]
"""The measurements of the start and those of the generations."""


def _of(
    key: str, title: str, family: str, lost: Mapping[int, float], errors: Mapping[int, Error], rows: Rows
) -> Signal:
    """Put a signal together from its values and the measurements that they were computed from."""
    start, made = map(list, rows)
    return Signal(
        key,
        title,
        family,
        lost,
        {generation: error for generation, (error, _) in errors.items()},
        {generation: df for generation, (_, df) in errors.items()},
        min(m.n_fake for m in [*start, *made]),
        all(replicated(m) for m in [*(m for m in start if m.generation > 0), *made]),
    )


def _share(name: str, title: str, family: str, start: Start) -> Signal | None:
    """The share of a quantity that is lost since the start."""
    first = start.at.get(name)
    if first is None or first.value is None or name not in start.made:
        return None
    scale, (error, df) = first.value, _error(first)
    if sigmas(scale, error, df) <= PRESENT:
        return None
    lost: dict[int, float] = {}
    errors: dict[int, Error] = {}
    for generation, m in start.made[name].items():
        ratio = (m.value or 0.0) / scale
        own, own_df = _error(m)
        lost[generation] = 1.0 - ratio
        errors[generation] = joined([(own / scale, own_df), (abs(ratio) * error / scale, df)])
    return _of(name, title, family, lost, errors, ([first], start.made[name].values()))


def _rare(start: Start) -> Signal | None:
    """All rare attributes together: the sum of their shares, with the drift of a perfect generator in the error."""
    names = [
        name
        for name, m in start.real.items()
        if name.startswith(ATTRIBUTES) and 0 < (m.value or 0.0) < RARE and name in start.made and name in start.at
    ]
    if not names:
        return None
    first = [start.at[name] for name in names]
    whole = sum(m.value or 0.0 for m in first)
    if whole <= PRESENT * joined(_error(m) for m in first)[0]:
        return None
    lost: dict[int, float] = {}
    errors: dict[int, Error] = {}
    generations = sorted(set.intersection(*(set(start.made[name]) for name in names)))
    for generation in generations:
        shares = [start.made[name][generation] for name in names]
        lost[generation] = 1.0 - sum(m.value or 0.0 for m in shares) / whole
        parts = [_error(m) for m in (*shares, *first)]
        if not all(replicated(m) for m in shares):
            parts.append((math.sqrt(_drift([start.real[name] for name in names], shares[0].n_fake, generation)), None))
        errors[generation] = joined((error / whole, df) for error, df in parts)
    rows = [start.made[name][generation] for name in names for generation in generations]
    return _of("tails/rare", "rare attributes", "tails", lost, errors, (first, rows)) if rows else None


def _drift(real: Sequence[Measurement], n: int, generation: int) -> float:
    """Return the variance of the sum of shares under drift alone (Wright-Fisher).

    var p_t = p (1 - p) (1 - (1 - 1/N)^t), with t = generation - 1, because the sampling error of the generation itself
    is already in the stderr.
    """
    kept = (1.0 - 1.0 / max(n, 2)) ** (generation - 1)
    return sum((m.value or 0.0) * (1.0 - (m.value or 0.0)) for m in real) * (1.0 - kept)


def _detail(start: Start) -> Signal | None:
    """The finest octave, two-sided: 1 - 10^(-|dB| / 10)."""
    edges = {}
    for name in start.made:
        match = re.fullmatch(r"band_power/(\d+)-(\d+)", name)
        if match:
            edges[int(match[2]), int(match[1])] = name
    if not edges:
        return None
    name = edges[max(edges)]
    first = start.at.get(name)
    if first is None:
        return None
    lost: dict[int, float] = {}
    errors: dict[int, Error] = {}
    for generation, m in start.made[name].items():
        decibels = abs((m.value or 0.0) - (first.value or 0.0))
        lost[generation] = 1.0 - 10 ** (-decibels / 10)
        error, df = joined([_error(m), _error(first)])
        errors[generation] = (1.0 - lost[generation]) * math.log(10) / 10 * error, df
    return _of(name, "fine detail", "detail", lost, errors, ([first], start.made[name].values()))
