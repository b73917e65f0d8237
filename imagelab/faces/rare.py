"""Rare attributes: the exact number of faces with each, the choice of these faces, and the change in a latent record.

The rows with an attribute of rate p are chosen by strata. Row i belongs to stratum floor(i p). In each stratum the row
with the highest score (seeded, one score a row) is chosen; in the last, incomplete stratum a row is chosen if and only
if round(p n) requires it. So of n faces exactly round(p n) have the attribute, at random rows, independent of other
attributes. A larger n keeps all choices of a smaller n, except at most the one in the incomplete stratum. (Exact counts
and kept choices cannot both hold for every n: this would determine all rows, the same ones for all attributes of equal
rate.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .brush import linear
from .latent import Face
from .sample import HAIR_COLOURS, IRIS_COLOURS, Draw

__all__ = ["RARE", "add_rare", "choose"]

RARE: dict[str, float] = {
    "mole": 0.08,
    "nose_stud": 0.03,
    "scar": 0.02,
    "tooth_gap": 0.02,
    "bindi": 0.015,
    "birthmark": 0.01,
    "vitiligo": 0.01,
    "heterochromia": 0.01,
    "hearing_aid": 0.0075,
    "face_paint": 0.005,
    "eyepatch": 0.005,
    "albinism": 0.005,
}
"""Rare attribute -> share of faces that have it, 0..1. Design choices, not the rates of a population."""

PAINTS = [linear(c) for c in ("d8342c", "2f7fd0", "f2c230", "f4f4f0")]
PALE_EYES = linear("9fb6c8")


def choose(rate: float, scores: np.ndarray) -> np.ndarray:
    """Return which of n rows have an attribute: bool [n], exactly ``round(rate * n)`` of them True.

    Args:
        rate: 0..1.
        scores: float [n], one a row; the row with the highest score in each stratum is chosen.

    Raises:
        ValueError: for a rate outside 0..1.

    Example:
        >>> choose(0.5, np.array([0.1, 0.9, 0.4, 0.3])).tolist()
        [False, True, True, False]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected 0..1, got {rate}")
    count = round(rate * len(scores))
    if rate > 0.5:
        return ~_choose_few(len(scores) - count, 1 - rate, -scores)
    return _choose_few(count, rate, scores)


def _choose_few(count: int, rate: float, scores: np.ndarray) -> np.ndarray:
    """Choose one row in each of the first ``count`` strata of length 1 / rate."""
    chosen = np.zeros(len(scores), bool)
    if count == 0:
        return chosen
    edges = [min(int(np.ceil(k / rate - 1e-9)), len(scores)) for k in range(count + 1)]
    for low, high in pairwise(edges):
        chosen[low + int(np.argmax(scores[low:high]))] = True
    return chosen


def add_rare(face: Face, name: str, rng: np.random.Generator) -> Face:
    """Return the face with one more rare attribute of :data:`RARE`; the generator gives its details."""
    return _ADD[name](face, Draw(rng))


def _mole(face: Face, draw: Draw) -> Face:
    side, low = draw.sign(), draw.chance(0.5)
    u = draw.uniform(0.22, 0.34) if low else draw.uniform(0.22, 0.40)
    v = draw.uniform(0.46, 0.66) if low else draw.uniform(0.20, 0.40)
    return replace(face, marks=replace(face.marks, mole=(side * u, v, draw.uniform(0.020, 0.030))))


def _stud(face: Face, draw: Draw) -> Face:
    return replace(face, marks=replace(face.marks, stud=draw.sign()))


def _scar(face: Face, draw: Draw) -> Face:
    side = draw.sign()
    place = (
        side * draw.uniform(0.24, 0.40),
        draw.uniform(0.16, 0.34),
        side * draw.uniform(0.3, 1.3),
        draw.uniform(0.10, 0.17),
    )
    return replace(face, marks=replace(face.marks, scar=place))


def _tooth_gap(face: Face, draw: Draw) -> Face:
    m = face.mouth
    drop = 0.028 if m.open == 0 else 0.0
    mouth = replace(m, open=max(m.open, 0.7), smile=max(m.smile, 0.7), height=m.height - drop)
    return replace(face, mouth=mouth, marks=replace(face.marks, tooth_gap=True))


def _bindi(face: Face, draw: Draw) -> Face:
    return replace(face, marks=replace(face.marks, bindi=True))


def _birthmark(face: Face, draw: Draw) -> Face:
    place = (draw.sign() * draw.uniform(0.30, 0.46), draw.uniform(0.10, 0.34), draw.uniform(0.20, 0.30))
    return replace(face, marks=replace(face.marks, birthmark=place))


def _vitiligo(face: Face, draw: Draw) -> Face:
    side = draw.sign()
    patches = (
        (side * 0.28, 0.05, draw.uniform(0.20, 0.27)),
        (-side * draw.uniform(0, 0.2), 0.60, draw.uniform(0.14, 0.22)),
        (-side * 0.40, 0.22, draw.uniform(0.06, 0.12)),
    )
    skin = replace(face.skin, tone=max(face.skin.tone, 3.5))
    return replace(face, skin=skin, marks=replace(face.marks, vitiligo=patches))


def _heterochromia(face: Face, draw: Draw) -> Face:
    pairs = (("blue", "brown"), ("green", "brown"), ("blue", "hazel"), ("amber", "blue"))
    first, second = pairs[int(draw.uniform(0, 4))]
    iris = (IRIS_COLOURS[first], IRIS_COLOURS[second])
    return replace(face, eyes=replace(face.eyes, iris=iris if draw.chance(0.5) else iris[::-1]))


def _hearing_aid(face: Face, draw: Draw) -> Face:
    """Add a hearing aid on the side turned to the viewer; hair that covers the ear is changed to a bun or to short."""
    hair = face.hair
    if hair.style not in ("buzz", "short", "sidepart", "bun", "bald"):
        style = "bun" if face.presentation > 0.5 else "short"
        hair = replace(hair, style=style, sides=0.03, top=0.06 if style == "bun" else 0.12, length=0.2)
    side = -1.0 if face.head.yaw > 0 else 1.0
    return replace(face, hair=hair, marks=replace(face.marks, hearing_aid=side))


def _face_paint(face: Face, draw: Draw) -> Face:
    return replace(face, marks=replace(face.marks, paint=(draw.one_of(PAINTS), int(draw.uniform(0, 2)))))


def _eyepatch(face: Face, draw: Draw) -> Face:
    return replace(face, marks=replace(face.marks, eyepatch=draw.sign()))


def _albinism(face: Face, draw: Draw) -> Face:
    pale = HAIR_COLOURS["platinum"] * np.float32(1.15)
    return replace(
        face,
        skin=replace(face.skin, tone=0.0),
        hair=replace(face.hair, colour_name="platinum", colour=pale),
        eyes=replace(face.eyes, iris=(PALE_EYES, PALE_EYES)),
    )


_ADD: dict[str, Callable[[Face, Draw], Face]] = {
    "mole": _mole,
    "nose_stud": _stud,
    "scar": _scar,
    "tooth_gap": _tooth_gap,
    "bindi": _bindi,
    "birthmark": _birthmark,
    "vitiligo": _vitiligo,
    "heterochromia": _heterochromia,
    "hearing_aid": _hearing_aid,
    "face_paint": _face_paint,
    "eyepatch": _eyepatch,
    "albinism": _albinism,
}
