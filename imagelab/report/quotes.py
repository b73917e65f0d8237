"""How to say it: sentences about a run that may be quoted as they stand, and sentences that the run does not support.

Whoever writes about a run needs a sentence that is short and right. The cleared ones name the model, the number of
loops, the first generation and real images, so that no part of the loss is charged to the wrong cause. The others
are what such runs are most often quoted for; each stands with the reason why this run does not show it. A number that
has risen in the loop and yet is no gain is not among the cleared ones: a mean count, while images have more equal
numbers than real ones, or fine detail, which may be noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..evaluation.moves import first_moves
from ..measurement import Measurement
from .headline import alike_remark, distance_of, fed_on, finest_band, noun_of, percent, regained, with_article
from .numbers import half_interval, interval, too_few
from .planted import counted_thing
from .run_view import Run

__all__ = ["Quotes", "quotes"]

RARE_SHARE = "tails/rare"
"""The signal of all rare attributes together, see evaluation/signals.py."""


@dataclass(frozen=True)
class Quotes:
    """Sentences about a run.

    Attributes:
        cleared: may be quoted as they stand; at most two.
        unsupported: (sentence, reason) pairs that must not be said of this run.
    """

    cleared: tuple[str, ...]
    unsupported: tuple[tuple[str, str], ...]


def quotes(run: Run) -> Quotes | None:
    """Return the sentences of a run; None before two generations are finished, when no loop was closed."""
    if run.last < 2:
        return None
    cleared = tuple(sentence for write in (_counted, _detail, _spread, _far) if (sentence := write(run)))[:2]
    return Quotes(
        cleared, tuple(filter(None, (_come_back(run), _other_models(run), _one_training(run), _rare_first(run))))
    )


def _setting(run: Run) -> str:
    loops = f"{run.replicates} loops of a" if run.replicates > 1 else "one loop of a"
    size = f" for images of {run.side} px" if run.side else ""
    return f"{loops} small {run.model(0)}{size}"


def _ends(run: Run, name: str | None) -> tuple[Measurement, Measurement, Measurement] | None:
    """Return (real images, generation 1, last generation) of a measurement that has all three, fit to be quoted.

    It is not where a value of a model has no error, or is of too few images.
    """
    if name is None:
        return None
    real, first, last = run.real(name), run.at(name, 1), run.at(name, run.last)
    if real is None or first is None or last is None:
        return None
    if any(half_interval(m) is None or too_few(run, m) for m in (first, last)):
        return None
    return real, first, last


def _counted(run: Run) -> str:
    thing = counted_thing(run)
    ends = _ends(run, thing.count)
    if ends is None or alike_remark(run):
        return ""
    real, first, last = ends
    noun = noun_of(run)
    return (
        f"In {_setting(run)}, the counter found {interval(first)} {thing.word} {with_article(noun)} after the first "
        f"training and {interval(last)} after {run.last} generations of {fed_on(run)}; real {noun}s have "
        f"{interval(real)} by the same counter."
    )


def _detail(run: Run) -> str:
    ends = _ends(run, finest_band(run))
    if ends is None or (ends[2].value or 0.0) > 0 or regained(run, ends[2].name):
        return ""
    _, first, last = ends
    noun = noun_of(run)
    return (
        f"Of the energy that real {noun}s have in their fine detail, {percent(first)} was left after the first "
        f"training and {percent(last)} in generation {run.last} ({_setting(run)})."
    )


def _spread(run: Run) -> str:
    ends = _ends(run, next((name for name in run.names if name.startswith("pixel_variance") and "/" not in name), None))
    if ends is None:
        return ""
    _, first, last = ends
    return (
        f"The images of generation {run.last} vary {interval(last)} times as much as real ones; those of the first "
        f"model {interval(first)} times ({_setting(run)})."
    )


def _far(run: Run) -> str:
    ends = _ends(run, distance_of(run))
    if ends is None:
        return ""
    real, first, last = ends
    noun = noun_of(run)
    return (
        f"The distance of the {noun}s that the {run.model(0)} draws from real ones was {interval(first)} after the "
        f"first training and {interval(last)} in generation {run.last}; between two sets of real {noun}s it is "
        f"{interval(real)} ({last.name}; {_setting(run)})."
    )


def _come_back(run: Run) -> tuple[str, str] | None:
    """Return the claim that what is counted comes back, if its mean has risen and hides a loss."""
    thing = counted_thing(run)
    remark = alike_remark(run)
    return (f"“{thing.word.capitalize()} come back.”", remark) if remark and regained(run, thing.count) else None


def _other_models(run: Run) -> tuple[str, str]:
    data = run.experiment.get("data")
    drawn = isinstance(data, dict) and data.get("kind") == "faces"
    of = "faces drawn by a program" if drawn else "one dataset"
    regime = run.experiment.get("regime")
    kind = str(regime.get("kind", "")) if isinstance(regime, dict) else ""
    under = f", under one regime ({kind})" if kind else ""
    others = (
        "models that are given fresh real images" if kind == "replace" else "models that are trained on other images"
    )
    what = f"images of {run.model(0)}, made elsewhere," if run.imported else f"a small {run.model(0)}"
    return (
        "“AI image models forget what they were shown.”",
        f"Measured were {what} on {of}{under}. Nothing here is about other models, other sizes or {others}.",
    )


def _one_training(run: Run) -> tuple[str, str] | None:
    if run.replicates > 1:
        return None
    return (
        f"“The {run.model(0)} loses this much.”",
        "The loop was run once. How far another would differ is estimated from the loops of a VAE, not measured.",
    )


def _rare_first(run: Run) -> tuple[str, str] | None:
    """Return the claim that rare attributes go first, if the loop was seen to move something else before them."""
    moved = [move for move in first_moves(run.measurements, 0) if move.from_first is not None]
    rare = next((move for move in first_moves(run.measurements, 0) if move.key == RARE_SHARE), None)
    if rare is None or not moved or (rare.from_first or math.inf) <= (moved[0].from_first or 0) + 1:
        return None
    when = "did not move beyond their errors" if rare.from_first is None else f"moved in generation {rare.from_first}"
    return (
        "“Rare things disappear first.”",
        f"In this loop the first to move beyond generation 1 was: {moved[0].title}, in generation "
        f"{moved[0].from_first}. The rare attributes {when}.",
    )
