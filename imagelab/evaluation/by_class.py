"""Measuring class by class: each class of two folders against the same class of the other, and the mean over classes.

A class is the first subfolder of a picture's path, as in ImageFolder datasets. A model can look good as a whole while
one of its classes has lost its variety; a distance of the whole does not say which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..faces.freckles import Style
from ..io.untrusted import few
from ..measurement import t95
from ..metrics import METRICS, row_of
from .evaluate import Measured, measure
from .named_pictures import open_named
from .sources import OpenedImages, Opening

__all__ = ["CLASS_FEWEST", "ByClass", "ClassMean", "measure_by_class"]

CLASS_FEWEST = 12
"""Pictures of a class, on either side, below which it is not measured."""


@dataclass(frozen=True)
class ClassMean:
    """The mean of one measurement over classes.

    Attributes:
        name: of the measurement.
        value: mean over the classes, each with the same weight.
        low: lower 95 % limit, None where a class has no error.
        high: upper 95 % limit. The interval is value -+ 1.96 sqrt(sum of squared errors) / K: it holds for other
            pictures of these same classes, and says nothing of other classes or of another training.
        classes: K, how many had a value.
        least: the smallest value of a class.
        most: the largest value of a class.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    classes: int
    least: float
    most: float


@dataclass(frozen=True)
class ByClass:
    """The result.

    Attributes:
        classes: class -> its measurements.
        remarks: classes of one side only, too small ones, what was done to the pixels.
    """

    classes: dict[str, Measured]
    remarks: tuple[str, ...]

    def means(self, everything: bool = False) -> list[ClassMean]:
        """Return the mean of every measurement that at least two classes have."""
        found: dict[str, list[tuple[float, float | None]]] = {}
        for measured in self.classes.values():
            for m in measured.shown(everything):
                if m.value is not None:
                    found.setdefault(m.name, []).append((m.value, m.stderr))
        return [_mean(name, rows) for name, rows in found.items() if len(rows) > 1]


def measure_by_class(
    real: Path,
    fake: Path,
    how: Opening,
    metrics: Sequence[str] | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    freckle_style: Style | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> ByClass:
    """Measure every class that both folders hold.

    Args:
        real: folder with a subfolder a class, the reference.
        fake: the same of the images under test.
        how: what may be done to the pixels.
        metrics: names of metrics; None for those of general images.
        seed: of every random choice.
        device: torch device.
        freckle_style: as :func:`~imagelab.evaluation.evaluate.measure` takes it.
        tell: called with each class before it is measured.

    Raises:
        ValueError: if the folders have no class in common that is large enough.
    """
    remarks: list[str] = []
    sides: list[tuple[OpenedImages, dict[str, np.ndarray]]] = []
    for folder, name in ((real, "real"), (fake, "fake")):
        opened, names = open_named(folder, how, name)
        remarks += [f"{name}: {note}" for note in opened.notes]
        sides.append((opened, _classes(names, name, remarks)))
    (left, ours), (right, theirs) = sides
    for mine, other, name in ((ours, theirs, "real"), (theirs, ours, "fake")):
        lone = [each for each in mine if each not in other]
        if lone:
            remarks.append(f"classes of the {name} side only, not measured: {few(lone)}")
    measured: dict[str, Measured] = {}
    for each in (name for name in ours if name in theirs):
        counts = len(ours[each]), len(theirs[each])
        if min(counts) < CLASS_FEWEST:
            remarks.append(f"class {each}: {counts[0]} real and {counts[1]} made pictures; {CLASS_FEWEST} are needed")
            continue
        tell(each)
        pair = _part_of(left, ours[each], each), _part_of(right, theirs[each], each)
        measured[each] = measure(
            *pair, metrics=metrics, seed=seed, device=device, cache=how.cache, freckle_style=freckle_style
        )
        rows = {row for m in measured[each] if (row := row_of(m.name)) is not None}
        short = sorted(row for row in rows if METRICS[row].least > min(counts))
        if short:
            remarks.append(f"class {each}: {min(counts)} pictures are too few to trust {few(short)}")
    if not measured:
        raise ValueError(
            f"--by-class: expected subfolders of the same names in {real} and {fake}, with {CLASS_FEWEST} pictures or "
            f"more each; {'; '.join(remarks) or 'there are none'}"
        )
    return ByClass(measured, tuple(remarks))


def _classes(names: Sequence[str], side: str, remarks: list[str]) -> dict[str, np.ndarray]:
    """Return class -> rows, sorted by class."""
    firsts = np.array([name.partition("/")[0] if "/" in name else "" for name in names])
    outside = int((firsts == "").sum())
    if outside:
        remarks.append(f"{side}: {outside} pictures lie in no subfolder and belong to no class")
    return {str(each): np.flatnonzero(firsts == each) for each in np.unique(firsts) if each}


def _part_of(opened: OpenedImages, rows: np.ndarray, name: str) -> OpenedImages:
    return replace(opened, images=opened.images[rows], source=f"class {name}", notes=(), bad=())


def _mean(name: str, rows: Sequence[tuple[float, float | None]]) -> ClassMean:
    values, errors = [value for value, _ in rows], [error for _, error in rows if error is not None]
    value = sum(values) / len(values)
    half = t95(None) * math.hypot(*errors) / len(rows) if len(errors) == len(rows) else None
    limits = (None, None) if half is None else (value - half, value + half)
    return ClassMean(name, value, *limits, len(rows), min(values), max(values))
