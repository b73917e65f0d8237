"""Compare a number with its floor, and two numbers with each other.

A distance alone has no meaning; the value of the same metric for real images against other real images is its floor.
With value v, floor f and their standard errors, the gap v - f is given in units of
sigma = sqrt(stderr^2 + floor_stderr^2). Below two sigma the metric does not distinguish generated images from real
ones (and about one of twenty rows exceeds two by chance).
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
"""Which direction is better; two-sided: any difference from the floor is worse."""


@dataclass(frozen=True)
class Gap:
    """One number now against the same one earlier.

    Attributes:
        name: of the measurement.
        now: the number now; None if only the earlier result has it.
        earlier: the earlier number; None if only the new result has it.
        gap: now - earlier.
        sigma: its standard error, where both errors are known.
        refused: why the two cannot be compared, "" if they can.
        note: a caution about the comparison, "" for none.
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
    """Return a short comparison of a value with its floor; "" if there is no floor or no direction.

    Args:
        m: the measurement.
        fewer: whether the floor was measured on fewer images than the value. Many distances fall with n, so such a
            floor is too high: a value above it is also above the correct floor, but for a value below it nothing
            follows.

    Example:
        >>> compare_to_floor(Measurement("fid", 8.0, stderr=0.3, better="lower", floor=2.0, floor_stderr=0.4))
        '4.0 x the floor, +12.0 sigma'
        >>> compare_to_floor(Measurement("fid", 2.5, stderr=0.3, better="lower", floor=2.0, floor_stderr=0.4))
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
    """Return a number rounded to few digits; "–" for None.

    Example:
        >>> figures(0.000123456), figures(1234.5678), figures(None)
        ('0.0001235', '1235', '–')
    """
    return "–" if value is None else f"{value:.{digits}g}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of text with aligned columns; an empty list if there are no rows.

    Example:
        >>> columns(("name", "n"), [("fid", "5000"), ("kid", "7")])
        ['name  n', 'fid   5000', 'kid   7']
    """
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    return lines if rows else []


def by_name(measurements: Sequence[Measurement], source: str) -> dict[str, Measurement]:
    """Return the measurements of one set of generated images by name, without floors and predictions.

    Raises:
        ValueError: if the measurements belong to several sets (the generations or lines of a run).
    """
    taken = [m for m in measurements if not m.predicted]
    made = [m for m in taken if (m.generation, m.line) != (0, REAL)] or taken
    places = sorted({(m.generation, m.line) for m in made})
    if len(places) > 1:
        some = ", ".join(f"@{g}:{line}" if line > 0 else f"@{g}" for g, line in places[:6])
        raise ValueError(f"{source}: holds the measurements of several generations; name one: {some}")
    return {m.name: m for m in made}


def gaps(now: Mapping[str, Measurement], earlier: Mapping[str, Measurement]) -> list[Gap]:
    """Compare the common measurements of two results; numbers of different instruments are refused, with the reason."""
    compared = []
    for name in dict.fromkeys((*now, *earlier)):
        new, old = now.get(name), earlier.get(name)
        if new is None or old is None:
            reason = "not measured now" if new is None else "not measured earlier"
            compared.append(Gap(name, new, old, refused=reason))
        else:
            compared.append(_difference(new, old))
    return compared


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
