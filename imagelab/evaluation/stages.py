"""Stages of collapse, and which metric changed first; computed from measurements alone.

    healthy -> tails fading (early collapse) -> homogenising -> collapsed

A *signal* is the share of a quantity of real images that the generated ones have lost, 0 for real, 1 for all lost,
with its standard error. Three families of signals decide, each by thresholds in :data:`FAMILIES`:

    tails       rare attributes (all those that fewer than 5 % of real images have, together), freckles, recall
    detail      energy in the finest octave; a gain counts as a loss of the same number of decibels, because noise is
                not detail
    diversity   pixel variance, perceptual diversity, Vendi score

A stage is entered when a signal exceeds its threshold by more than chance: it must be two standard errors above 0. For
rare attributes, the drift that a perfect generator would show is part of the error. A stage is left only when every
signal has been below 60 % of its threshold for two generations; so the stage of a run near a threshold does not
alternate. Tails fading comes before homogenising because the literature reports this order; nothing here forces a run
to go through the stages in turn.

The stage does not give a cause. A model that was bad at generation 1 has lost detail from the start; therefore
:func:`first_moves` reports, for every indicator, when it left real images and when it left generation 1.

References:
    AI models collapse when trained on recursively generated data (Shumailov et al. 2024),
        doi:10.1038/s41586-024-07566-y: early collapse loses the tails, late collapse the variance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..measurement import Measurement
from ..pool import REAL

__all__ = [
    "FAMILIES",
    "RARE",
    "STAGES",
    "Move",
    "Signal",
    "StageHistory",
    "first_moves",
    "signals",
    "stages_of",
    "warning",
]

STAGES = ("healthy", "tails fading", "homogenising", "collapsed")
"""The stages in order; a later one includes the earlier ones."""

FAMILIES: dict[str, dict[str, float]] = {
    "tails": {"tails fading": 0.25},
    "detail": {"tails fading": 0.5, "homogenising": 0.9},
    "diversity": {"tails fading": 0.15, "homogenising": 0.3, "collapsed": 0.75},
}
"""Share lost at which a signal of a family enters a stage."""

RARE = 0.05
"""An attribute is rare if a smaller share of real images than this has it."""

SHARES = (
    ("prdc/recall", "recall", "tails"),
    ("pixel_variance", "variance", "diversity"),
    ("perceptual_diversity", "diversity", "diversity"),
    ("lpips_diversity", "LPIPS diversity", "diversity"),
    ("vendi", "Vendi", "diversity"),
)
"""(measurement, title, family) of the signals that are the ratio of a value to that of real images."""

LEAVE = 0.6  # of the threshold: below it a stage may be left
CALM_GENERATIONS = 2  # consecutive generations below it before the stage is left
CLEAR_ERRORS = 2.0  # standard errors above 0 that a loss must have to enter a stage
MOVED = 3.0  # standard errors from the start beyond which an indicator has changed
NOTABLE = 0.05  # of the starting value: smaller changes are ignored, however significant


@dataclass(frozen=True)
class Signal:
    """One signal over the generations.

    Attributes:
        key: the measurement's name, or "tails/rare" for the rare attributes together.
        title: a few words for a table.
        family: "tails", "detail" or "diversity".
        lost: generation -> share lost, 0 for real, 1 for all lost; below 0 for more than in real images.
        error: generation -> its standard error, drift included.
    """

    key: str
    title: str
    family: str
    lost: Mapping[int, float]
    error: Mapping[int, float]

    def passes(self, generation: int, threshold: float) -> bool:
        """Whether the loss exceeds a threshold, and is significant."""
        lost = self.lost.get(generation)
        return lost is not None and lost >= threshold and lost > CLEAR_ERRORS * self.error[generation]


@dataclass(frozen=True)
class Move:
    """When an indicator began to differ, and did not return.

    Attributes:
        key: the measurement's name.
        title: a few words for a table.
        from_real: first generation that differs from real images, None if none does.
        from_first: first generation that differs from generation 1, which is the effect of the loop, not of the first
            model; None if none does.
    """

    key: str
    title: str
    from_real: int | None
    from_first: int | None


@dataclass(frozen=True)
class StageHistory:
    """The stage of every generation of a line.

    Attributes:
        stages: generation -> one of :data:`STAGES`; generation 0 is healthy by definition.
        signals: the signals that were used; empty where nothing usable was measured.
        since: stage -> the generation in which it (or a later stage) was last entered and not left again.
    """

    stages: Mapping[int, str]
    signals: tuple[Signal, ...]
    since: Mapping[str, int]

    @property
    def last(self) -> str:
        """The stage of the last generation."""
        return self.stages[max(self.stages)]

    def reached(self, stage: str) -> bool:
        """Whether the last generation is at this stage or a later one."""
        return STAGES.index(self.last) >= STAGES.index(stage)


def signals(measurements: Iterable[Measurement], line: int = 0) -> tuple[Signal, ...]:
    """Return the signals that can be computed from a run's measurements, tails first.

    Args:
        measurements: all of a run, generation 0 included.
        line: which model.
    """
    measured = [m for m in measurements if not m.predicted and m.value is not None]
    real = {m.name: m for m in measured if m.generation == 0 and m.line == REAL}
    made: dict[str, dict[int, Measurement]] = {}
    for m in measured:
        if m.generation > 0 and m.line == line:
            made.setdefault(m.name, {})[m.generation] = m
    freckles = next((name for name in ("freckles/corrected", "freckles/count") if name in made), "")
    optional = [
        _rare(real, made),
        _share(freckles, "freckles", "tails", real, made),
        _detail(real, made),
        *(_share(_named(stem, made), title, family, real, made) for stem, title, family in SHARES),
    ]
    return tuple(signal for signal in optional if signal is not None)


Real = Mapping[str, Measurement]
Made = Mapping[str, Mapping[int, Measurement]]


def _named(stem: str, made: Made) -> str:
    """The measurement of that name, else the first with a suffix (vendi/imagelab-ssl-v1); "" if there is none."""
    return stem if stem in made else next((name for name in made if name.startswith(f"{stem}/")), "")


def _share(name: str, title: str, family: str, real: Real, made: Made) -> Signal | None:
    """The share of a quantity that is lost compared with real images."""
    start = real.get(name)
    if start is None or not start.value or name not in made:
        return None
    lost, error = {}, {}
    for generation, m in made[name].items():
        ratio = (m.value or 0.0) / start.value
        lost[generation] = 1.0 - ratio
        error[generation] = math.hypot(m.stderr or 0.0, ratio * (start.stderr or 0.0)) / abs(start.value)
    return Signal(name, title, family, lost, error)


def _rare(real: Real, made: Made) -> Signal | None:
    """All rare attributes together: the sum of their shares, with the drift of a perfect generator in the error."""
    names = [n for n, m in real.items() if n.startswith("tails/") and n in made and 0 < (m.value or 0.0) < RARE]
    if not names:
        return None
    whole = sum(real[name].value or 0.0 for name in names)
    lost, error = {}, {}
    for generation in sorted(set.intersection(*(set(made[name]) for name in names))):
        shares = [made[name][generation] for name in names]
        lost[generation] = 1.0 - sum(m.value or 0.0 for m in shares) / whole
        spread = sum((m.stderr or 0.0) ** 2 + (real[m.name].stderr or 0.0) ** 2 for m in shares)
        # Variance of a share under drift alone (Wright-Fisher): var p_t = p (1 - p) (1 - (1 - 1/N)^t). Here
        # t = generation - 1, because the sampling error of the generation itself is already in the stderr.
        kept = (1.0 - 1.0 / max(shares[0].n_fake, 2)) ** (generation - 1)
        drift = sum((real[m.name].value or 0.0) * (1.0 - (real[m.name].value or 0.0)) for m in shares) * (1.0 - kept)
        error[generation] = math.sqrt(spread + drift) / whole
    return Signal("tails/rare", "rare attributes", "tails", lost, error)


def _detail(real: Real, made: Made) -> Signal | None:
    """The finest octave, two-sided: 1 - 10^(-|dB| / 10)."""
    edges = {}
    for name in made:
        match = re.fullmatch(r"band_power/(\d+)-(\d+)", name)
        if match:
            edges[int(match[2]), int(match[1])] = name
    if not edges:
        return None
    name = edges[max(edges)]
    start = real[name].value or 0.0 if name in real else 0.0
    floor = (real[name].stderr or 0.0) if name in real else 0.0
    lost, error = {}, {}
    for generation, m in made[name].items():
        decibels = abs((m.value or 0.0) - start)
        lost[generation] = 1.0 - 10 ** (-decibels / 10)
        error[generation] = (1.0 - lost[generation]) * math.log(10) / 10 * math.hypot(m.stderr or 0.0, floor)
    return Signal(name, "fine detail", "detail", lost, error)


def stages_of(measurements: Iterable[Measurement], line: int = 0) -> StageHistory:
    """Return the stage of every generation of a line.

    Args:
        measurements: all of a run.
        line: which model.
    """
    usable = signals(measurements, line)
    generations = sorted({generation for signal in usable for generation in signal.lost})
    level, calm = 0, 0
    stages = {0: STAGES[0]}
    for generation in generations:
        # Two thresholds (hysteresis): the higher one to enter a stage, the lower one to stay in it.
        entered, held = _levels(usable, generation, 1.0), _levels(usable, generation, LEAVE)
        calm = calm + 1 if held < level else 0
        if entered >= level:
            level = entered
        elif calm >= CALM_GENERATIONS:
            level, calm = max(held, entered), 0
        stages[generation] = STAGES[level]
    return StageHistory(stages, usable, _since(stages))


def _levels(usable: Sequence[Signal], generation: int, part: float) -> int:
    """The highest stage that any signal reaches, with every threshold multiplied by ``part``."""
    reached = [
        STAGES.index(stage)
        for signal in usable
        for stage, threshold in FAMILIES[signal.family].items()
        if signal.passes(generation, part * threshold)
    ]
    return max(reached, default=0)


def _since(stages: Mapping[int, str]) -> dict[str, int]:
    since: dict[str, int] = {}
    for generation, stage in sorted(stages.items()):
        level = STAGES.index(stage)
        for order, name in enumerate(STAGES):
            if order <= level:
                since.setdefault(name, generation)
            else:
                since.pop(name, None)
    return since


def first_moves(measurements: Iterable[Measurement], line: int = 0) -> tuple[Move, ...]:
    """Return when each indicator began to change, sorted by the generation in which it left generation 1.

    An indicator has changed in the first generation that is more than three standard errors and 5 % from its start, if
    it does not return afterwards. Indicators are the signals, and in addition distances and entropy.

    Args:
        measurements: all of a run.
        line: which model.
    """
    kept = list(measurements)
    moves = [_move(s.key, s.title, s.lost, s.error, 0.0, 0.0) for s in signals(kept, line)]
    for stem, title in (
        ("frechet_corrected", "Fréchet distance"),
        ("kernel", "kernel distance"),
        ("entropy", "entropy"),
    ):
        series = _series(kept, stem, line)
        if series is not None:
            name, values, errors = series
            moves.append(_move(name, title, values, errors, values[0], errors[0]))
    far = 10**6
    return tuple(sorted(moves, key=lambda m: (m.from_first or far, m.from_real or far)))


def _series(kept: list[Measurement], stem: str, line: int) -> tuple[str, dict[int, float], dict[int, float]] | None:
    names = [m.name for m in kept if m.name == stem or m.name.startswith(f"{stem}/")]
    for name in dict.fromkeys(names):
        rows = [m for m in kept if m.name == name and not m.predicted and m.line in (REAL, line)]
        values = {m.generation: m.value for m in rows if m.value is not None}
        if 0 in values and len(values) > 1:
            return name, values, {m.generation: m.stderr or 0.0 for m in rows if m.value is not None}
    return None


def _move(
    key: str, title: str, values: Mapping[int, float], errors: Mapping[int, float], start: float, error: float
) -> Move:
    made = sorted(generation for generation in values if generation > 0)
    scale = max(abs(start), 1.0) if start == 0.0 else abs(start)
    first = (values[made[0]], errors[made[0]]) if made else (0.0, 0.0)
    return Move(
        key,
        title,
        _gone(made, values, errors, start, error, scale),
        _gone(made[1:], values, errors, *first, max(scale, abs(first[0])) if start else scale),
    )


def _gone(
    made: Sequence[int],
    values: Mapping[int, float],
    errors: Mapping[int, float],
    start: float,
    error: float,
    scale: float,
) -> int | None:
    """The first generation from which on the values never return to the start."""
    gone = None
    for generation in reversed(made):
        away = abs(values[generation] - start)
        if away <= MOVED * math.hypot(errors[generation], error) or away <= NOTABLE * scale:
            break
        gone = generation
    return gone


def warning(found: StageHistory, moves: Sequence[Move]) -> list[str]:
    """Return sentences that say which metric changed first, and by how many generations it led."""
    sentences = []
    own = [move for move in moves if move.from_first is not None]
    if own:
        first = own[0].from_first
        names = ", ".join(move.title for move in own if move.from_first == first)
        sentences.append(f"First to move beyond generation 1: {names}, in generation {first}.")
        late = next((stage for stage in STAGES[:1:-1] if stage in found.since), None)
        if late is not None and first is not None and found.since[late] > first:
            lead = found.since[late] - first
            sentences.append(
                f"That was {lead} generation{'s' if lead > 1 else ''} before the stage “{late}” "
                f"(generation {found.since[late]})."
            )
    at_once = [move.title for move in moves if move.from_real == 1]
    if at_once:
        sentences.append(
            f"Already away from real images at generation 1, the first model’s own error: {', '.join(at_once)}."
        )
    return sentences
