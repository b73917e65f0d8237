"""Reading a number by its floor, and two numbers by each other.

A distance alone says nothing; what the same instrument says of real images against other real images is where it
starts. With value v, floor f and their standard errors, the gap v - f is counted in units of
sigma = sqrt(stderr^2 + floor_stderr^2); under two of them the instrument cannot tell made images from real ones (and
of twenty rows about one exceeds two by chance).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..measurement import Measurement
from ..pool import REAL

__all__ = ["ARROWS", "Gap", "by_name", "columns", "compare_to_floor", "figures", "gaps"]

SIGMAS = 2.0
ARROWS = {"lower": "↓", "higher": "↑", "two-sided": "↔", "none": ""}
"""Which way is better; two-sided: any distance from the floor is a loss."""


@dataclass(frozen=True)
class Gap:
    """One number now against the same one earlier.

    Attributes:
        name: of the measurement.
        now, earlier: the two; None where only one of the results has it.
        gap: now - earlier. sigma: its standard error, where both are known.
        refused: why the two cannot be compared, "" where they can.
        note: what to bear in mind though they can be.
    """

    name: str
    now: Measurement | None
    earlier: Measurement | None
    gap: float | None = None
    sigma: float | None = None
    refused: str = ""
    note: str = ""

    @property
    def words(self) -> str:
        """The difference in a few words."""
        if self.gap is None:
            return self.refused
        if not self.sigma:
            return "equal" if self.gap == 0 else "no error known"
        z = self.gap / self.sigma
        return "no difference that shows" if abs(z) < SIGMAS else f"{z:+.1f} sigma"


def compare_to_floor(m: Measurement, fewer: bool = False) -> str:
    """Say in a few words where a value stands against its floor; "" where there is nothing to say.

    Args:
        m: the measurement.
        fewer: the floor stands on fewer images than the value. Many distances fall with n, so that such a floor is too
            high: what is above it is above the right one as well, but what is not cannot be told by it.

    Example:
        >>> verdict(Measurement("fid", 8.0, stderr=0.3, better="lower", floor=2.0, floor_stderr=0.4))
        '4.0 x the floor, +12.0 sigma'
        >>> verdict(Measurement("fid", 2.5, stderr=0.3, better="lower", floor=2.0, floor_stderr=0.4))
        'within the floor'
    """
    if m.value is None:
        return "missing"
    if m.floor is None or m.better == "none":
        return ""
    gap = m.value - m.floor
    known = [error for error in (m.stderr, m.floor_stderr) if error is not None]
    sigma = math.hypot(*known)
    if (len(known) == 2 and abs(gap) < SIGMAS * sigma) or gap == 0:
        return "within a floor of fewer images" if fewer and m.better == "lower" else "within the floor"
    if fewer and m.better == "lower" and gap < 0:
        return "below a floor of fewer images"
    times = ""
    if m.better == "lower" and m.unit != "AUC" and gap > 0 and m.floor > SIGMAS * (m.floor_stderr or 0.0):
        times = (
            f"{m.value / m.floor:.3g} x the floor"
            if m.value >= 10 * m.floor
            else f"{m.value / m.floor:.1f} x the floor"
        )
    if m.better == "lower" and gap < 0:
        times = "below the floor"
    if len(known) < 2 or sigma == 0:
        return f"{times or f'{gap:+.3g} from the floor'} (no error known)"
    return f"{times}{', ' if times else ''}{gap / sigma:+.1f} sigma"


def figures(value: float | None, digits: int = 4) -> str:
    """Return a number with few enough digits to read; "–" for none.

    Example:
        >>> number(0.000123456), number(1234.5678), number(None)
        ('0.0001235', '1235', '–')
    """
    return "–" if value is None else f"{value:.{digits}g}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of text with the cells one under the other; nothing where there is no row.

    Example:
        >>> columns(("name", "n"), [("fid", "5000"), ("kid", "7")])
        ['name  n', 'fid   5000', 'kid   7']
    """
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    return lines if rows else []


def by_name(measurements: Sequence[Measurement], source: str) -> dict[str, Measurement]:
    """Return the measurements of one set of made images by name: floors and predictions left out.

    Raises:
        ValueError: if there are several sets in it (the generations or lines of a run).
    """
    taken = [m for m in measurements if not m.predicted]
    made = [m for m in taken if (m.generation, m.line) != (0, REAL)] or taken
    places = sorted({(m.generation, m.line) for m in made})
    if len(places) > 1:
        some = ", ".join(f"@{g}:{line}" if line > 0 else f"@{g}" for g, line in places[:6])
        raise ValueError(f"{source}: holds the measurements of several generations; name one: {some}")
    return {m.name: m for m in made}


def gaps(now: Mapping[str, Measurement], earlier: Mapping[str, Measurement]) -> list[Gap]:
    """Compare what two results have in common; numbers of different instruments are refused, each with the reason."""
    found = []
    for name in dict.fromkeys((*now, *earlier)):
        here, there = now.get(name), earlier.get(name)
        if here is None or there is None:
            whose = "not measured now" if here is None else "not measured earlier"
            found.append(Gap(name, here, there, refused=whose))
        else:
            found.append(_difference(here, there))
    return found


def _difference(now: Measurement, earlier: Measurement) -> Gap:
    for m, when in ((now, "now"), (earlier, "earlier")):
        if m.value is None:
            return Gap(m.name, now, earlier, refused=f"missing {when}: {m.missing}")
    try:
        now.check_comparable(earlier)
    except ValueError as error:
        return Gap(now.name, now, earlier, refused=str(error).partition("cannot be compared, ")[2] or str(error))
    assert now.value is not None and earlier.value is not None
    sigma = None
    if now.stderr is not None and earlier.stderr is not None:
        sigma = math.hypot(now.stderr, earlier.stderr)
    note = ""
    if (now.n_real, now.n_fake) != (earlier.n_real, earlier.n_fake):
        note = (
            f"n {earlier.n_real}/{earlier.n_fake} then, {now.n_real}/{now.n_fake} now: biased estimators shift with n"
        )
    return Gap(now.name, now, earlier, now.value - earlier.value, sigma, note=note)
