"""Memory for decoded pictures: how many bytes may be in use at a time, over all threads that read one set.

A reader that is about to decode a picture says how much that takes (:func:`claim`) and waits while others use too much.
The picture that is needed next never waits, so a picture larger than the whole budget is read alone, and rows cannot
wait for each other.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Budget", "claim"]

_HERE = threading.local()  # .turn: (budget, row) of the picture that this thread is reading


class Budget:
    """Bytes that the pictures of one set may use together.

    Args:
        most: the bytes.
    """

    def __init__(self, most: int) -> None:
        self._most, self._used, self._next = most, dict[int, int](), 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, row: int) -> Iterator[None]:
        """Let what this thread claims in the block be counted for a row."""
        _HERE.turn = self, row
        try:
            yield
        finally:
            _HERE.turn = None

    def keep(self, row: int, size: int) -> None:
        """Say that a row needs only so many bytes from now on."""
        with self._changed:
            self._used[row] = size
            self._changed.notify_all()

    def done(self, row: int) -> None:
        """Say that a row was used, and that the row after it is needed next."""
        with self._changed:
            self._used.pop(row, None)
            self._next = row + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no further row is needed: nobody waits any more."""
        self.done(sys.maxsize)

    def _claim(self, row: int, size: int) -> None:
        with self._changed:
            self._used.pop(row, None)
            self._changed.wait_for(lambda: row <= self._next or sum(self._used.values()) + size <= self._most)
            self._used[row] = size


def claim(size: int) -> None:
    """Wait until a picture that needs so many bytes may be decoded; at once where no set is being read."""
    turn = getattr(_HERE, "turn", None)
    if turn is not None:
        budget, row = turn
        budget._claim(row, size)
