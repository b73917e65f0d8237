"""One regime up to a generation, then another: collapse and recovery, or any list of stages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from .base import Regime
from .mix import Mix
from .part import Part
from .replace import Replace

if TYPE_CHECKING:
    from . import AnyRegime

__all__ = ["Schedule", "continued"]


class Schedule(Regime):
    """The first regime up to and including a generation, the next one from then on.

    Example of real data that return after a collapse:
    ``Schedule(first=Replace(), until=5, then=Mix(real_fraction=0.5))``. Either part may be a schedule itself, so that
    any list of stages is possible. Generations are counted from the beginning of the run in every part, and new real
    images are never used twice, whichever part takes them. The predicted variance after the change starts from the
    state at the end of the first regime.

    Attributes:
        first: the regime of generations 1 to ``until``.
        until: the last generation of the first regime.
        then: the regime afterwards; all earlier shards are available to it.

    References:
        Nepotistically trained generative-AI models collapse (Bohacek and Farid 2023), arXiv:2311.12202: healing, tried.
    """

    kind: Literal["schedule"] = "schedule"
    first: AnyRegime = Replace()
    until: int = Field(default=5, ge=1)
    then: AnyRegime = Mix()

    def composition(self, generation: int, line: int, n: int, lines: int) -> list[Part]:
        """Return the parts of the current regime; its new real images come after those that were used before."""
        if generation <= self.until:
            return self.first.composition(generation, line, n, lines)
        parts = self.then.composition(generation, line, n, lines)
        if not any(part.new for part in parts):
            return parts
        # ``then`` counts rows as if it had been in force from the start: replace the rows that it would have used up to
        # ``until`` by those that ``first`` has used
        ahead = self.first.reserve(n, self.until, lines) - self.then.reserve(n, self.until, lines)
        return [replace(part, start=(part.start or 0) + ahead) if part.new else part for part in parts]

    def description(self, generation: int) -> str:
        """Return a short description of the regime at this generation."""
        if generation <= self.until:
            return self.first.description(generation)
        before, now = self.first.description(self.until), self.then.description(generation)
        return f"{before} to generation {self.until}, then {now}"

    def source(self, generation: int) -> str:
        """Return the identifier of the paper that describes it."""
        return (self.first if generation <= self.until else self.then).source(generation)


def continued(regime: AnyRegime, at: int, then: AnyRegime) -> AnyRegime:
    """Return ``regime`` up to generation ``at`` and ``then`` afterwards, as a schedule in its shortest form.

    Unused stages are left out and the rest is nested to the right, so that equal sequences of stages give equal
    schedules.

    Example:
        >>> two = continued(Replace(), 5, Mix())
        >>> two == continued(Replace(), 9, Replace()) or continued(two, 3, Mix()) == continued(Replace(), 3, Mix())
        True
    """
    if regime == then:
        return regime
    if not isinstance(regime, Schedule):
        return Schedule(first=regime, until=at, then=then)
    if at <= regime.until:
        return continued(regime.first, at, then)
    return Schedule(first=regime.first, until=regime.until, then=continued(regime.then, at, then))
