"""The stage ribbon: the stage of collapse of each model in every generation, and the measurements that moved first.

There are two ribbons for each model: one of the loop, compared with generation 1, and one of the quality of its images,
compared with real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ..evaluation.moves import first_moves, warning
from ..evaluation.signals import Verdict
from ..evaluation.stages import FAMILIES, STAGES, StageHistory, stages_of
from .run_view import Run

__all__ = ["Ribbon", "Segment", "ribbons", "thresholds", "unjudged"]


TIGHT = 0.14  # share of the ribbon below which the name of a stage does not fit


@dataclass(frozen=True)
class Segment:
    """Consecutive generations with the same stage.

    Attributes:
        stage: its name, one of ``STAGES``.
        order: its position in ``STAGES``, 0 for healthy.
        first: the first of the generations.
        last: the last of the generations.
    """

    stage: str
    order: int
    first: int
    last: int

    @property
    def span(self) -> int:
        """The number of generations."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Ribbon:
    """The stages of one line of a run.

    Attributes:
        label: the name of the model.
        segments: its stages in the order of generations.
        told: sentences that report which measurements moved first, and what was not judged.
        alt: the stages as text, for readers who cannot see the ribbon.
    """

    label: str
    segments: tuple[Segment, ...]
    told: tuple[str, ...]
    alt: str

    @property
    def tight(self) -> bool:
        """Whether a segment is too short for its name, so that the stages must be listed below."""
        whole = sum(segment.span for segment in self.segments)
        return any(segment.span / whole < TIGHT for segment in self.segments)


def ribbons(run: Run, verdict: Verdict = "loop") -> list[Ribbon]:
    """Return the ribbon of every line whose measurements determine a stage.

    Args:
        run: the run.
        verdict: "loop" for the stages compared with generation 1, which begin at generation 2; "quality" for those
            compared with real images.
    """
    found = []
    for line in run.lines:
        judged = stages_of(run.measurements, line, verdict)
        made = [(generation, stage) for generation, stage in judged.stages.items() if generation > 0]
        if not judged.signals or not made:
            continue
        segments = tuple(
            Segment(stage, STAGES.index(stage), rows[0][0], rows[-1][0])
            for stage, group in groupby(made, key=lambda pair: pair[1])
            for rows in [list(group)]
        )
        spoken = "; ".join(f"{s.stage}, generation {s.first}" + (f" to {s.last}" * (s.span > 1)) for s in segments)
        found.append(
            Ribbon(run.label(line, 40), segments, _told(run, line, judged), f"{run.label(line, 40)}: {spoken}.")
        )
    return found


def _told(run: Run, line: int, judged: StageHistory) -> tuple[str, ...]:
    told = warning(judged, first_moves(run.measurements, line)) if judged.verdict == "loop" else []
    if judged.one_training:
        told.append("One training: how far another one would differ is estimated from other runs.")
    return tuple([*told, judged.refused] if judged.refused else told)


def unjudged(run: Run, verdict: Verdict = "loop") -> str:
    """Return the reason why no stage of the main line can be given although signals were measured; "" for none."""
    judged = stages_of(run.measurements, 0, verdict)
    return "" if judged.signals else judged.refused


def thresholds() -> list[tuple[str, str]]:
    """Return (stage, losses at which it is entered, as text) for each stage after the first."""
    names = {
        "tails": "rare attributes, freckles or recall",
        "detail": "the energy of the finest octave (a gain counts like a loss)",
        "diversity": "pixel variance, perceptual diversity or Vendi score",
    }
    rows = []
    for stage in STAGES[1:]:
        parts = [f"{levels[stage]:.0%} of {names[family]}" for family, levels in FAMILIES.items() if stage in levels]
        rows.append((stage, "; or ".join(parts)))
    return rows
