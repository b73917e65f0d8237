"""What a piece of work costs here: its time, its largest memory, and both for more images than were tried."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["CostCurve", "Spent", "current_bytes", "spent"]

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Spent:
    """What a block of work has cost.

    Attributes:
        cpu: seconds of all threads of this process.
        wall: seconds of the clock.
        peak: the most memory that this process held meanwhile, bytes; 0 where the system does not say.
    """

    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure what the block costs; the numbers are there when it has ended."""
    found = Spent()
    if sys.platform == "linux":
        with suppress(OSError):  # where it may not be written, the largest memory is that of the whole process
            CLEAR.write_text("5")  # forget the largest memory so far, see proc(5)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found.cpu, found.wall = time.process_time() - cpu, time.perf_counter() - wall
        found.peak = _status("VmHWM")


def current_bytes() -> int:
    """Return the memory that this process holds now, bytes; 0 where the system does not say."""
    return _status("VmRSS")


def _status(name: str) -> int:
    if sys.platform != "linux":
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@dataclass(frozen=True)
class CostCurve:
    """A cost that was measured for some numbers of images, and what it is for others: a + b n + c n^2, none below 0.

    Between one and two measured sizes there is no c, for one size no a. A size that was measured is not fitted.

    Attributes:
        sizes: numbers of images, rising.
        costs: seconds or bytes.

    Example:
        >>> round(CostCurve((10, 20), (3.0, 5.0))(40), 6)
        9.0
        >>> round(CostCurve((10, 20, 40), (2.0, 5.0, 17.0))(80), 6)
        65.0
    """

    sizes: tuple[int, ...]
    costs: tuple[float, ...]

    def __call__(self, n: float) -> float:
        """Return the cost for n images."""
        if n in self.sizes:
            return float(self.costs[self.sizes.index(int(n))])
        fitted = self._fit()
        return float((self._powers([n], len(fitted)) @ fitted)[0])

    @classmethod
    def of(cls, measured: Sequence[tuple[int, float]]) -> CostCurve:
        """Return the growth of (size, cost) pairs; of a size that was measured twice the mean."""
        sizes = sorted({size for size, _ in measured})
        return cls(tuple(sizes), tuple(float(np.mean([cost for n, cost in measured if n == size])) for size in sizes))

    def _fit(self) -> np.ndarray:
        from scipy.optimize import nnls

        terms = min(len(self.sizes), 3)
        if terms == 1:
            return np.array([0.0, self.costs[0] / self.sizes[0]])
        weights = 1 / np.maximum(np.asarray(self.costs, float), 1e-9)  # relative errors are alike
        design = self._powers(self.sizes, terms)
        scale = design.max(axis=0)
        return nnls(design / scale * weights[:, None], np.asarray(self.costs) * weights)[0] / scale

    @staticmethod
    def _powers(sizes: Sequence[float], terms: int) -> np.ndarray:
        return np.stack([np.asarray(sizes, float) ** power for power in range(terms)], axis=1)
