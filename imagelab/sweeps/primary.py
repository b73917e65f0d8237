"""The primary outcome of a study: the one measurement that the study is about, declared before there are results.

Among many measurements some differ by chance. A study therefore names one of them, at one generation, and every other
is secondary. The declaration stands in study.json with the number of points that were measured when it was made; a
later change is added to it and replaces nothing. It is no part of the signature of the study, which is of its points.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..io.untrusted import quoted

__all__ = ["Declaration", "Primary", "declarations_in"]

FORM = re.compile(r"([^\s@]{1,200})@(last|[1-9]\d{0,2})")
MOST = 1000  # declarations of one study


@dataclass(frozen=True)
class Primary:
    """One measurement at one generation.

    Attributes:
        measurement: its key, such as ``freckles/net``, of the main model.
        generation: which; None for the last one of each point.
    """

    measurement: str
    generation: int | None = None

    @classmethod
    def parse(cls, text: str) -> Primary:
        """Return what ``freckles/net@last`` or ``freckles/net@5`` stands for; without ``@`` it is the last generation.

        Raises:
            ValueError: for any other form.

        Example:
            >>> Primary.parse("prdc/recall@5"), str(Primary.parse("prdc/recall"))
            (Primary(measurement='prdc/recall', generation=5), 'prdc/recall@last')
        """
        found = FORM.fullmatch(text if "@" in text else f"{text}@last")
        if found is None:
            form = "MEASUREMENT@last or MEASUREMENT@5, such as freckles/net@last"
            raise ValueError(f"primary outcome: expected {form}, got {quoted(text, 80)!r}")
        return cls(found[1], None if found[2] == "last" else int(found[2]))

    def __str__(self) -> str:
        """Return it in the form that :meth:`parse` reads."""
        return f"{self.measurement}@{'last' if self.generation is None else self.generation}"


@dataclass(frozen=True)
class Declaration:
    """A primary outcome as it was declared.

    Attributes:
        primary: the outcome.
        measured: how many points of the study had a measured generation at that time.
        when: the time, as text.
    """

    primary: Primary
    measured: int
    when: str

    @classmethod
    def now(cls, primary: Primary, measured: int) -> Declaration:
        """Return a declaration of this moment."""
        return cls(primary, measured, time.strftime("%Y-%m-%d %H:%M:%S"))

    def record(self) -> dict[str, Any]:
        """Return it as it stands in study.json."""
        return {"outcome": str(self.primary), "points_measured": self.measured, "declared": self.when}


def declarations_in(record: Mapping[str, Any]) -> tuple[Declaration, ...]:
    """Return the declarations of a study.json, oldest first; none where it was written before there were any.

    Raises:
        ValueError: for a damaged one.
    """
    listed = record.get("primary", [])
    if not isinstance(listed, Sequence) or isinstance(listed, str) or len(listed) > MOST:
        raise ValueError(f"primary: expected a list of declarations, got {quoted(listed, 60)}")
    found = []
    for each in listed:
        measured = each.get("points_measured") if isinstance(each, Mapping) else None
        if not isinstance(each, Mapping) or not isinstance(measured, int) or isinstance(measured, bool):
            raise ValueError(f"primary: expected outcome, points_measured and declared, got {quoted(each, 80)}")
        found.append(Declaration(Primary.parse(str(each.get("outcome"))), measured, str(each.get("declared", ""))[:40]))
    return tuple(found)
