"""Stages of collapse, computed from measurements alone.

    healthy -> tails fading (early collapse) -> homogenising -> collapsed

A model that was bad at generation 1 has lost detail without any loop. So there are two verdicts (signals.py):

    loop        what was lost since generation 1; this is the default, and what the exit code of ``imagelab watch`` says
    quality     what was lost compared with real images

A *signal* is the share of a quantity that was lost, 0 for nothing, 1 for all, with its standard error. A stage is
entered when a signal exceeds its threshold in :data:`FAMILIES` by more than chance:

    in one generation, with a loss of more than three standard errors; or
    in two generations in a row, with a loss of more than two standard errors in both;

each corrected for the number of signals by Holm's method, because among many signals one exceeds by chance. A stage is
left only when every signal has been below 60 % of its threshold for two generations; so the stage of a run near a
threshold does not alternate. Tails fading comes before homogenising because the literature reports this order; nothing
here forces a run to go through the stages in turn.

Signals that were measured on fewer than :data:`FEWEST` images are not judged. experiments/instruments/false_alarms.py
measures how often loops that lose nothing are said to lose something.

References:
    AI models collapse when trained on recursively generated data (Shumailov et al. 2024),
        doi:10.1038/s41586-024-07566-y: early collapse loses the tails, late collapse the variance.
    A simple sequentially rejective multiple test procedure (Holm 1979), Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..measurement import Measurement
from .signals import Signal, Verdict, signals
from .significance import holm, improbable

__all__ = ["FAMILIES", "FEWEST", "STAGES", "StageHistory", "stages_of"]

STAGES = ("healthy", "tails fading", "homogenising", "collapsed")
"""The stages in order; a later one includes the earlier ones."""

FAMILIES: dict[str, dict[str, float]] = {
    "tails": {"tails fading": 0.25},
    "detail": {"tails fading": 0.5, "homogenising": 0.9},
    "diversity": {"tails fading": 0.15, "homogenising": 0.3, "collapsed": 0.75},
}
"""Share lost at which a signal of a family enters a stage."""

FEWEST = 300
"""Images that a signal must be measured on to be judged: with fewer, false alarms exceed 1 % of the runs."""

LEAVE = 0.6  # of the threshold: below it a stage may be left
CALM_GENERATIONS = 2  # consecutive generations below it before the stage is left
ONCE, TWICE = 3.0, 2.0  # standard errors that a loss must exceed in one generation, or in each of two in a row


@dataclass(frozen=True)
class StageHistory:
    """The stage of every generation of a line.

    Attributes:
        verdict: "loop" or "quality", see :data:`~imagelab.evaluation.signals.Verdict`.
        stages: generation -> one of :data:`STAGES`; the start (generation 0 and, of the loop, 1) is healthy by
            definition.
        signals: the signals that were used; empty where nothing usable was measured.
        since: stage -> the generation in which it (or a later stage) was last entered and not left again.
        refused: the reason why there is no verdict, or why signals were left out; "" for none.
    """

    verdict: Verdict
    stages: Mapping[int, str]
    signals: tuple[Signal, ...]
    since: Mapping[str, int]
    refused: str = ""

    @property
    def last(self) -> str:
        """The stage of the last generation."""
        return self.stages[max(self.stages)]

    @property
    def one_training(self) -> bool:
        """Whether the error of a signal does not come from several trainings of this loop."""
        return not all(signal.replicated for signal in self.signals)

    def reached(self, stage: str) -> bool:
        """Whether the last generation is at this stage or a later one."""
        return STAGES.index(self.last) >= STAGES.index(stage)


def stages_of(
    measurements: Iterable[Measurement], line: int = 0, verdict: Verdict = "loop", fewest: int = FEWEST
) -> StageHistory:
    """Return the stage of every generation of a line.

    Args:
        measurements: all of a run.
        line: which model.
        verdict: "loop" for what was lost since generation 1, "quality" for what was lost compared with real images.
        fewest: images that a signal must be measured on to be judged.
    """
    rows = list(measurements)
    found = signals(rows, line, verdict)
    usable = tuple(signal for signal in found if signal.images >= fewest)
    level, calm, before = 0, 0, 0
    stages = {0: STAGES[0]}
    if verdict == "loop" and any(m.generation == 1 and m.line == line and not m.predicted for m in rows):
        stages[1] = STAGES[0]
    for generation in sorted({generation for signal in usable for generation in signal.lost}):
        # Two thresholds (hysteresis): the higher one to enter a stage, the lower one to stay in it.
        entered, held = _entered(usable, generation, before), _held(usable, generation)
        calm = calm + 1 if held < level else 0
        if entered >= level:
            level = entered
        elif calm >= CALM_GENERATIONS:
            level, calm = max(held, entered), 0
        stages[generation], before = STAGES[level], generation
    return StageHistory(verdict, stages, usable, _since(stages), _refusal(found, usable, fewest))


def _entered(usable: Sequence[Signal], generation: int, before: int) -> int:
    """The highest stage whose threshold a signal exceeds clearly now, or less clearly now and in the one before."""
    at_once = _clear(usable, generation, ONCE)
    in_both = _clear(usable, generation, TWICE) & _clear(usable, before, TWICE)
    return _highest(
        stage
        for signal in usable
        for stage, threshold in FAMILIES[signal.family].items()
        if signal.lost.get(generation, 0.0) >= threshold
        and (signal.key in at_once or (signal.key in in_both and signal.lost[before] >= threshold))
    )


def _held(usable: Sequence[Signal], generation: int) -> int:
    """The highest stage in which a signal keeps the line: beyond a part of its threshold, and beyond chance."""
    return _highest(
        stage
        for signal in usable
        for stage, threshold in FAMILIES[signal.family].items()
        if signal.lost.get(generation, 0.0) >= LEAVE * threshold and signal.sigmas(generation) > TWICE
    )


def _highest(stages: Iterable[str]) -> int:
    return max(map(STAGES.index, stages), default=0)


def _clear(usable: Sequence[Signal], generation: int, errors: float) -> set[str]:
    """The signals with a loss of more than so many standard errors, corrected for the number of signals."""
    there = [signal for signal in usable if generation in signal.lost]
    corrected = holm([improbable(signal.sigmas(generation)) for signal in there])
    return {signal.key for signal, p in zip(there, corrected, strict=True) if p < improbable(errors)}


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


def _refusal(found: Sequence[Signal], usable: Sequence[Signal], least: int) -> str:
    """Say which signals are not judged, because they were measured on too few images."""
    small = [signal for signal in found if signal not in usable]
    if not small:
        return ""
    names, images = ", ".join(signal.title for signal in small), min(signal.images for signal in small)
    which = f"Not judged: {names}" if usable else "The stage is not judged"
    return f"{which}, measured on {images} images. Below {least}, more than 1 of 100 stable loops would look unstable."
