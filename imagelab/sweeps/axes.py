r"""Lists and ranges of values, as they are written on a command line.

Forms:
    replace,accumulate    two values; a comma within a value is written \,
    0..4                  0, 1, 2, 3, 4: both ends are in it
    0..8..2               0, 2, 4, 6, 8
    range(0,5)            0, 1, 2, 3, 4, as in Python
"""

from __future__ import annotations

import re

__all__ = ["is_swept", "values_of"]

MOST = 10_000  # values of one setting
SPAN = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.([1-9]\d*))?")
PYTHON = re.compile(r"range\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?(?:,\s*(-?[1-9]\d*)\s*)?\)")
COMMA = re.compile(r"(?<!\\),(?![^(]*\))")


def is_swept(text: str) -> bool:
    """Return whether a word of the command line stands for more than the value that it spells."""
    return len(COMMA.split(text)) > 1 or bool(SPAN.fullmatch(text) or PYTHON.fullmatch(text))


def values_of(text: str) -> tuple[str, ...]:
    """Return the values that a word stands for, in order.

    Args:
        text: such as ``0..4``, ``0,0.1,0.3`` or ``0..2,7``.

    Raises:
        ValueError: for a range that holds nothing or more than 10,000 values, or a value that is given twice.

    Example:
        >>> values_of("0..2,7"), values_of("replace,mix")
        (('0', '1', '2', '7'), ('replace', 'mix'))
    """
    found = [value for piece in COMMA.split(text) for value in _piece(piece)]
    if len(found) > MOST:
        raise ValueError(f"{text}: {len(found):,} values; at most {MOST:,} of one setting can be swept")
    twice = next((value for value in found if found.count(value) > 1), None) if len(set(found)) < len(found) else None
    if twice is not None:
        raise ValueError(f"{text}: {twice or 'an empty value'} is given twice; give each value once")
    return tuple(found)


def _piece(piece: str) -> list[str]:
    span, python = SPAN.fullmatch(piece), PYTHON.fullmatch(piece)
    if span:
        first, last, step = int(span[1]), int(span[2]), int(span[3] or 1)
        numbers = range(first, last + 1, step)
    elif python:
        ends = [int(end) for end in python.groups() if end is not None]
        numbers = range(*ends)
    else:
        return [piece.replace("\\,", ",")]
    if not numbers:
        raise ValueError(f"{piece}: holds no value; write the smaller number first, such as 0..4")
    return [str(number) for number in numbers[: MOST + 1]]
