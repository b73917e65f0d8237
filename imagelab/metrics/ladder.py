"""What each metric sees, does not see, and sees the wrong way: the ladder of degradations.

A metric is an instrument, and an instrument is known by what it does to images whose damage is known. The ladder is a
table, ``ladder.json``: for every measurement that needs no weights and for every degradation, the change of its value
against the same images untouched, in standard errors,

    z = (degraded - untouched) / sqrt((e_degraded^2 + e_untouched^2) / 2),

with e the stated standard errors. It is made by one command, experiments/instruments/ladder.py, on held-out real faces
(n 500) and on crops of photographs (n 300). From |z| >= 3 on a degradation counts as seen. It is seen the WRONG way if
a metric with a direction (lower or higher is better) moves in the better direction. The same images are degraded, so
the error of a difference is smaller than either e: |z| < 3 means that one comparison of two such sets does not show it.

The table describes each metric as it was when the table was made; a metric that is not in it has no line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .table import row_of

__all__ = ["SEEN", "Seen", "ladder", "seen_by"]

SEEN = 3.0
"""Standard errors from which on a degradation counts as seen."""

_FILE = "ladder.json"


@dataclass(frozen=True)
class Seen:
    """What one measurement, or all of one metric together, sees.

    Attributes:
        sees: degradations seen by at least one of the measurements, the clearest first.
        misses: degradations that none of them sees.
        wrong: (measurement, degradation) pairs that are seen the wrong way.
        silent: degradations under which none of them has a value with an error, such as those beyond a calibration.
    """

    sees: tuple[str, ...]
    misses: tuple[str, ...]
    wrong: tuple[tuple[str, str], ...]
    silent: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return it in one line: what it sees, what it misses, and what it sees the wrong way."""
        parts = [f"sees {', '.join(self.sees)}" if self.sees else "sees none of the degradations tried"]
        if self.misses:
            parts.append(f"does not see {', '.join(self.misses)}")
        if self.silent:
            parts.append(f"gives no value under {', '.join(self.silent)}")
        if self.wrong:
            parts.append("sees the wrong way " + ", ".join(f"{blow} ({name})" for name, blow in self.wrong))
        return "; ".join(parts)


@cache
def ladder() -> dict[str, Any]:
    """Return the shipped table.

    Keys: ``about`` (version, seed, n), and ``faces`` and ``textures`` with ``degradations`` (names) and
    ``measurements``: name -> ``better``, ``base`` (the untouched value), ``change`` (z for each degradation, rounded to
    .1 and at most 999; null where there is no value).
    """
    return json.loads(Path(__file__).with_name(_FILE).read_text(encoding="utf-8"))


def seen_by(name: str, data: str = "faces") -> Seen | None:
    """Return what a measurement or a whole metric sees; None if the table has nothing of it.

    Args:
        name: of a measurement (``freckles/count``) or of a row of ``METRICS`` (``freckles``).
        data: "faces" or "textures".

    Example:
        >>> "blur 1 px" in seen_by("spectrum").sees
        True
    """
    blows, table = ladder()[data]["degradations"], ladder()[data]["measurements"]
    mine = {name: table[name]} if name in table else {each: table[each] for each in table if row_of(each) == name}
    if not mine:
        return None
    most: dict[str, float] = {}
    wrong = []
    for each, row in mine.items():
        for blow, z in zip(blows, row["change"], strict=True):
            if z is None:
                continue
            most[blow] = max(most.get(blow, 0.0), abs(z))
            better = {"lower": -1, "higher": 1}.get(row["better"], 0)
            if z * better >= SEEN:
                wrong.append((each, blow))
    seen = sorted((blow for blow, z in most.items() if z >= SEEN), key=lambda blow: -most[blow])
    misses = (blow for blow in blows if most.get(blow, SEEN) < SEEN)
    return Seen(tuple(seen), tuple(misses), tuple(wrong), tuple(blow for blow in blows if blow not in most))
