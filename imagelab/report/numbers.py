"""Formatted numbers, and properties of a measurement: its 95 % interval, too few images, below the rounding noise.

The interval of a generated set is that of a repetition: another run of the same experiment, with as many other
trainings, has its value there with 95 % probability (evaluation/chains.py). That of real images holds other images.
"""

from __future__ import annotations

import math

from ..evaluation.chains import repetition
from ..measurement import Measurement
from ..metrics.spectrum import AT_FLOOR
from .run_view import Run

__all__ = [
    "NBSP",
    "SUPERSCRIPTS",
    "Z95",
    "at_floor",
    "half_interval",
    "interval",
    "is_distance",
    "number",
    "power_of_ten",
    "too_few",
    "trainings",
]


Z95 = 1.96


NBSP = "\u00a0"

UNEVEN = 1.25
"""From this ratio of its sides on, an interval is written with its two ends."""


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, error: float | None = None) -> str:
    r"""Return a number as text, with as many digits as its error justifies.

    Args:
        value: the number.
        error: half the width of its interval; None for a number without an interval (three digits are shown).

    Example:
        >>> number(0.4132, 0.0961).replace("\u00a0", " ")
        '0.41 ± 0.10'
        >>> number(-12.34)
        '−12.3'
        >>> number(1.234e-6, 1.1e-7).replace("\u00a0", " ")
        '(1.23 ± 0.11) × 10⁻⁶'
    """
    size = max(abs(value), error or 0.0)
    if size == 0:
        return "0" if error is None else f"0{NBSP}±{NBSP}0"
    exponent = math.floor(math.log10(size))
    if exponent < -3 or exponent > 6:
        inner = number(value / 10**exponent, None if error is None else error / 10**exponent)
        inner = inner if error is None else f"({inner})"
        return f"{inner}{NBSP}×{NBSP}{power_of_ten(exponent)}"
    if error == 0:
        return f"{number(value)}{NBSP}±{NBSP}0"
    if error:
        leading = math.floor(math.log10(error))
        decimals = max(0, -leading + (error / 10**leading < 2))
    else:
        decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{decimals}f}"
    text = text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")
    return text if error is None else f"{text}{NBSP}±{NBSP}{error:,.{decimals}f}"


def power_of_ten(exponent: int) -> str:
    """Return 10 to a whole power as text, such as "10⁻⁶"."""
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def interval(m: Measurement) -> str:
    """Return a measurement with its 95 % interval as text, or its value alone if its error is unknown.

    The form is "value ± half of the interval"; where one side is longer by more than a quarter, "value (low to high)".
    """
    assert m.value is not None
    ends = repetition(m)
    if ends is not None:
        sides = sorted((m.value - ends[0], ends[1] - m.value))
        if sides[1] > UNEVEN * sides[0]:
            value, low, high = (number(each, sides[1] / 2) for each in (m.value, *ends))
            if "(" not in value + low + high:  # no powers of ten
                value, low, high = (each.partition(NBSP)[0] for each in (value, low, high))
                return f"{value} ({low} to {high})"
    return number(m.value, half_interval(m) or None)  # an error of exactly nothing is one that nobody knows


def half_interval(m: Measurement) -> float | None:
    """Return half the width of a measurement's 95 % interval, see above; None if its error is unknown."""
    ends = repetition(m)
    return None if ends is None else (ends[1] - ends[0]) / 2


def trainings(run: Run) -> str:
    """Return of how many chains a run's figures are, and which interval they have, as one sentence."""
    if run.replicates > 1:
        return (
            f"Each figure of a model is the mean of {run.replicates} chains, loops with trainings of their own; ± is "
            f"half the width of the 95 % interval in which another run with {run.replicates} other chains would "
            "find it."
        )
    return (
        "Each figure of a model is of one chain, one training a generation; ± is half the width of a 95 % interval for "
        "another chain, estimated from how much those of a VAE and of PPCA on 1,000 faces differed."
    )


def is_distance(m: Measurement) -> bool:
    """Whether a measurement compares two sets; its floor then comes from two real sets instead of one."""
    return m.better == "lower" and m.n_real > 0


def too_few(run: Run, m: Measurement) -> bool:
    """Whether a measurement was taken on fewer images than the least number in the row of its metric."""
    row = run.row(m.name)
    return row is not None and 0 < m.n_fake < row.least


def at_floor(run: Run, m: Measurement) -> bool:
    """Whether the energy of a band is less than 6 dB above the rounding noise of bytes; such a ratio has no meaning."""
    family, _, band = m.name.partition("/")
    name = f"band_headroom/{band}"
    above = run.real(name) if m.generation == 0 else run.at(name, m.generation, m.line)
    return family == "band_power" and above is not None and (above.value or 0.0) < AT_FLOOR
