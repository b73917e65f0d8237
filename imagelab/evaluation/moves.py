"""Which measurement changed first: when each one left real images, and when it left generation 1.

Two trainings of one loop differ by more than two samples of one model, and instruments differ in their noise. So the
order in which measurements leave generation 1 is reported only where the errors include the spread between several
trainings (replicates). Measurements that leave within one generation of each other are reported as tied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..measurement import Measurement
from ..pool import REAL
from .chains import loop_error
from .signals import signals
from .significance import Error, joined, replicated, sigmas
from .stages import STAGES, StageHistory

__all__ = ["Move", "first_moves", "warning"]

INDICATORS = (
    ("frechet_corrected", "Fréchet distance"),
    ("kernel", "kernel distance"),
    ("entropy", "entropy"),
)
"""(measurement, title) of the indicators that are no signals."""

MOVED = 3.0  # standard errors from the start beyond which an indicator has changed
NOTABLE = 0.05  # of the starting value: smaller changes are ignored, however significant
HELD = 2  # generations that a change since generation 1 must last


@dataclass(frozen=True)
class Move:
    """When an indicator began to differ, and did not return.

    Attributes:
        key: the measurement's name.
        title: a few words for a table.
        from_real: first generation that differs from real images, None if none does.
        from_first: first generation that differs from generation 1, which is the effect of the loop, not of the first
            model; None if none does, if only the last generation does, or without replicates.
        replicated: whether the errors include the spread between several trainings.
    """

    key: str
    title: str
    from_real: int | None
    from_first: int | None
    replicated: bool


@dataclass(frozen=True)
class Series:
    """The values of an indicator: generation -> value and error; generation 0 is real images."""

    key: str
    title: str
    values: Mapping[int, float]
    errors: Mapping[int, Error]
    replicated: bool


def first_moves(measurements: Iterable[Measurement], line: int = 0) -> tuple[Move, ...]:
    """Return when each indicator began to change, sorted by the generation in which it left generation 1.

    An indicator has changed in the first generation that is more than three standard errors and 5 % from its start, if
    it does not return afterwards. Indicators are the signals against real images, and in addition distances and
    entropy.

    Args:
        measurements: all of a run.
        line: which model.
    """
    kept = [m for m in measurements if not m.predicted and m.value is not None]
    found = [
        Series(
            s.key,
            s.title,
            {0: 0.0, **s.lost},
            {0: (0.0, None), **{g: (s.error[g], s.df[g]) for g in s.lost}},
            s.replicated,
        )
        for s in signals(kept, line, "quality")
    ]
    found += [series for stem, title in INDICATORS if (series := _series(kept, stem, title, line)) is not None]
    far = 10**6
    return tuple(sorted(map(_move, found), key=lambda m: (m.from_first or far, m.from_real or far)))


def _series(kept: Sequence[Measurement], stem: str, title: str, line: int) -> Series | None:
    names = [m.name for m in kept if m.name == stem or m.name.startswith(f"{stem}/")]
    for name in dict.fromkeys(names):
        rows = {m.generation: m for m in kept if m.name == name and m.line == (line if m.generation else REAL)}
        values = {g: m.value for g, m in rows.items() if m.value is not None}
        if 0 in values and len(values) > 1:
            errors = {g: loop_error(rows[g]) or (0.0, None) for g in values}
            return Series(name, title, values, errors, all(replicated(m) for g, m in rows.items() if g))
    return None


def _move(series: Series) -> Move:
    made = sorted(generation for generation in series.values if generation > 0)
    start = series.values[0]
    scale = abs(start) or 1.0
    from_first = None
    if series.replicated and made:
        from_first = _gone(series, made[1:], made[0], max(scale, abs(series.values[made[0]])) if start else scale)
        if from_first is not None and made.index(from_first) > len(made) - HELD:
            from_first = None
    return Move(series.key, series.title, _gone(series, made, 0, scale), from_first, series.replicated)


def _gone(series: Series, made: Sequence[int], start: int, scale: float) -> int | None:
    """The first generation from which on the values never return to those of the start."""
    gone = None
    for generation in reversed(made):
        away = abs(series.values[generation] - series.values[start])
        error = joined([series.errors[generation], series.errors[start]])
        if sigmas(away, *error) <= MOVED or away <= NOTABLE * scale:
            break
        gone = generation
    return gone


def warning(found: StageHistory, moves: Sequence[Move]) -> list[str]:
    """Return sentences that say which metric changed first, and by how many generations it led.

    Args:
        found: the stages of the loop.
        moves: those of the same line.
    """
    sentences = []
    own = [move for move in moves if move.from_first is not None]
    if own:
        sentences += _first(found, own)
    elif moves and max(found.stages) > 1 and not any(move.replicated for move in moves):
        sentences.append(
            "Which measurement moved first cannot be said from one training: it needs replicates, several trainings "
            "of the same loop."
        )
    at_once = [move.title for move in moves if move.from_real == 1]
    if at_once:
        sentences.append(
            f"Already away from real images at generation 1, the first model’s own error: {', '.join(at_once)}."
        )
    return sentences


def _first(found: StageHistory, own: Sequence[Move]) -> list[str]:
    first = own[0].from_first or 0
    tied = [move for move in own if (move.from_first or 0) <= first + 1]
    if all(move.from_first == first for move in tied):
        names = ", ".join(move.title for move in tied)
        sentences = [f"First to move beyond generation 1: {names}, in generation {first}."]
    else:
        names = ", ".join(f"{move.title} (generation {move.from_first})" for move in tied)
        sentences = [
            f"First to move beyond generation 1: {names}. One generation apart is a tie: their order is not known."
        ]
    late = next((stage for stage in STAGES[:1:-1] if stage in found.since), None)
    if late is not None and found.since[late] > first + 1:
        sentences.append(
            f"That was {found.since[late] - first} generations before the stage “{late}” "
            f"(generation {found.since[late]})."
        )
    return sentences
