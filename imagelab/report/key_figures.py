"""The key figures below the headline: at most four, each for every generation, with what a reader compares it with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..measurement import Measurement
from .headline import data_kind, finest_band, percent
from .numbers import NBSP, half_interval, interval, is_distance, number, too_few
from .planted import counted_thing
from .run_view import Run
from .yardstick import as_blur

__all__ = ["Fact", "facts"]


@dataclass(frozen=True)
class Fact:
    """One figure under the headline.

    Attributes:
        name: the measurement.
        label: what is counted.
        value: generation -> the value of the main line as text, from generation 0 (real images) on.
        beside: rows (name, generation -> value as text) to compare it with: real images, controls, other models.
        note: generation -> a remark in small print: its unit, or something to judge its size by.
    """

    name: str
    label: str
    value: dict[int, str]
    beside: tuple[tuple[str, dict[int, str]], ...]
    note: dict[int, str]


def facts(run: Run) -> list[Fact]:
    """Return up to four key figures: freckles, fine detail, variety, distance from real images."""
    if run.last == 0:
        return []
    thing = counted_thing(run)
    candidates = [
        (thing.count if run.real(thing.count) else None, thing.told("Freckles found a face"), interval, _freckle_note),
        (finest_band(run), "Energy of fine detail", percent, _band_note),
        (_first(run, "perceptual_diversity", "lpips_diversity", "pixel_variance"), "Variety", _share_of(run), _variety),
        (_first(run, "frechet", "fid", "kernel", "kid"), "Distance from real", interval, _distance_note),
    ]
    return [_fact(run, name, *rest) for name, *rest in candidates if name and run.at(name, run.last)]


def _first(run: Run, *families: str) -> str | None:
    """Return the first measurement of these families that the last generation has, or None.

    A measurement on enough images comes before one on too few.
    """
    named = [name for family in families for name in run.names if name.split("/")[0] == family]
    present = [name for name in named if run.at(name, run.last)]
    return min(present, key=lambda name: any(too_few(run, m) for m in run.series(name)), default=None)


def _fact(
    run: Run,
    name: str,
    label: str,
    say: Callable[[Measurement], str],
    remark: Callable[[Run, Measurement], str],
) -> Fact:
    real, series = run.real(name), run.series(name)
    value = {m.generation: say(m) for m in [*([real] if real else []), *series]}
    beside: list[tuple[str, dict[int, str]]] = []
    if real is not None:
        words = "two real sets" if is_distance(real) else "real images"
        beside.append((words, dict.fromkeys(run.generations, say(real))))
    thing = counted_thing(run)
    if name == thing.count:
        alone = " (one chain)" if run.replicates > 1 and run.experiment.get("blank_twins") == 1 else ""
        words_of = (f"in a loop without {thing.word}{alone}", "on blank copies")
        for control, words in zip(thing.controls, words_of, strict=True):
            if run.series(control):
                beside.append((words, {m.generation: interval(m) for m in run.series(control)}))
                break
    for line in run.lines[1:3]:
        own = {m.generation: say(m) for m in run.series(name, line)}
        if own:
            beside.append((run.label(line, 40), own))
    return Fact(name, label, value, tuple(beside), {m.generation: remark(run, m) for m in series})


def _freckle_note(run: Run, m: Measurement) -> str:
    corrected = run.at(counted_thing(run).name("corrected"), m.generation)
    if corrected is None:
        return ""
    return f"corrected for what the counter misses and invents on sharp images: {interval(corrected)}"


def _band_note(run: Run, m: Measurement) -> str:
    band = m.name.rpartition("/")[2].replace("-", "–")
    return f"compared with real images, at {band} cycles per image: {interval(m)} dB"


def _share_of(run: Run) -> Callable[[Measurement], str]:
    """Return how a diversity is written: in percent of the value of real images, with the errors of both."""

    def say(m: Measurement) -> str:
        real = run.real(m.name)
        if real is None or not real.value or m.value is None or m.unit == "ratio":
            return interval(m)
        share, half, floor = m.value / real.value, half_interval(m), half_interval(real)
        if m is real or half is None or floor is None:
            return f"{number(100 * share)}{NBSP}%"
        return f"{number(100 * share, 100 * math.hypot(half, share * floor) / abs(real.value))}{NBSP}%"

    return say


def _variety(run: Run, m: Measurement) -> str:
    real, row = run.real(m.name), run.row(m.name)
    title = row.title if row else "diversity"
    if m.unit == "ratio" or real is None:
        return f"{title[0].lower()}{title[1:]}, as a ratio to real images"
    return f"{title[0].lower()}{title[1:]} {interval(m)}, in real images {interval(real)}"


def _distance_note(run: Run, m: Measurement) -> str:
    row = run.row(m.name)
    title = row.title if row else m.name
    blur = as_blur(m, data_kind(run), run.side)
    return f"{title}" + (f"; as far from real as {blur}" if blur else "")
