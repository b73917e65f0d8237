"""Marks that can be planted on pictures: dots, hair-like strokes, and symbols of a rare class.

A mark is a mask m(x, y) of values 0..1 with a soft edge, a place (x, y) in pixels, a radius and a contrast. planted.py
says where it is laid. With L a channel of the picture in linear light and M its mean around the place,

    L' = L + c m(x, y) M,                                                                      (1)

so c is the Weber contrast of the mark against the local mean: -.5 is half as bright as the surroundings, .5 is half as
bright again. The texture of the picture goes on under the mark.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from ..families import Family, Recipe

__all__ = ["MARKS", "SYMBOLS", "AnyMark", "Dots", "Glyph", "Mark", "Stamp", "Strokes"]

ANGLES = 12
"""Directions in which strokes are looked for."""

SYMBOLS: Mapping[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "ring": (tuple((float(np.cos(a)), float(np.sin(a))) for a in np.linspace(0, 2 * np.pi, 17)),),
    "plus": (((-1, 0), (1, 0)), ((0, -1), (0, 1))),
    "triangle": (((-0.95, 0.8), (0.95, 0.8), (0, -0.9), (-0.95, 0.8)),),
    "saltire": (((-0.85, -0.85), (0.85, 0.85)), ((-0.85, 0.85), (0.85, -0.85))),
    "bars": (((-0.6, -1), (-0.6, 1)), ((0.6, -1), (0.6, 1))),
    "corner": (((-0.8, -1), (-0.8, 0.8), (1, 0.8)),),
    "tee": (((-1, -0.85), (1, -0.85)), ((0, -0.85), (0, 1))),
    "hook": (((-0.8, -0.8), (0.8, -0.8), (0.8, 0.9)),),
}
"""Symbol -> its lines, each a row of corners (x, y) in units of the radius; y points down."""


@dataclass(frozen=True)
class Stamp:
    """The form of one mark.

    Attributes:
        mask: float64 [S,S], S odd, 0..1; the mark lies in its middle, up to half a pixel off.
        x: how far right of the middle pixel the centre of the mark is, px, -.5..5.
        y: how far below it, px.
        radius: px; of a stroke, half its length.
    """

    mask: np.ndarray
    x: float
    y: float
    radius: float


class Mark(Recipe, ABC):
    """Base class of marks.

    Attributes:
        contrast: against the local mean, in linear light; -.5: half as bright, .5: half as bright again; never 0.
        variation: radius and contrast of each mark are uniform within this share of the stated ones, on both sides.

    Class attributes:
        word: what several of them are called, in sentences.
    """

    contrast: float = Field(default=-0.5, ge=-0.95, le=4.0)
    variation: float = Field(default=0.25, ge=0.0, le=0.5)

    word: ClassVar[str] = "marks"

    @field_validator("contrast")
    @classmethod
    def _is_visible(cls, contrast: float) -> float:
        if contrast == 0:
            raise ValueError("expected a contrast below 0 (darker) or above 0 (lighter), got 0, which nobody can see")
        return contrast

    @property
    @abstractmethod
    def rates(self) -> Mapping[str, float]:
        """Attribute -> exact share of the pictures that get it, at most one of them each."""

    @property
    @abstractmethod
    def per_picture(self) -> int:
        """How many marks a marked picture has."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """How far a mark extends from its middle pixel, px, at most."""

    @property
    @abstractmethod
    def tolerance(self) -> float:
        """How far from a mark it may be found, px."""

    @abstractmethod
    def stamp(self, which: int, rng: np.random.Generator) -> Stamp:
        """Return the form of a mark: of the attribute at this place in :attr:`rates`, drawn at random."""

    @abstractmethod
    def templates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what is looked for: masks float64 [K,S,S], and the place in :attr:`rates` of each, int64 [K]."""

    @property
    @abstractmethod
    def symbols(self) -> tuple[str, ...]:
        """The attributes whose shares are counted class by class; empty where there is one class."""

    def varied(self, value: float, rng: np.random.Generator) -> float:
        """Return a value within :attr:`variation` of this one."""
        return float(value * (1 + self.variation * rng.uniform(-1, 1)))


class AlikeMarks(Mark):
    """Marks of one class, several on each marked picture.

    Attributes:
        number: marks on each marked picture.
        share: exact share of the pictures that are marked.
    """

    number: int = Field(ge=1, le=200)
    share: float = Field(default=0.5, gt=0.0, le=1.0)

    @property
    def rates(self) -> Mapping[str, float]:
        """One attribute, "marked"."""
        return {"marked": self.share}

    @property
    def per_picture(self) -> int:
        """The number."""
        return self.number

    @property
    def symbols(self) -> tuple[str, ...]:
        """None."""
        return ()


class Dots(AlikeMarks):
    """Round dots with a soft edge, like freckles or specks of dust.

    Attributes:
        radius: px, to the middle of the edge.
        number: dots on each marked picture.
        share: exact share of the pictures that are marked.

    Example:
        >>> Dots(radius=1.5).stamp(0, np.random.default_rng(0)).mask.shape
        (7, 7)
    """

    kind: Literal["dots"] = "dots"
    radius: float = Field(default=1.5, ge=0.5, le=64.0)
    number: int = Field(default=5, ge=1, le=200)

    word: ClassVar[str] = "dots"

    @property
    def reach(self) -> int:
        """The largest radius, its soft edge and half a pixel."""
        return int(np.ceil(self.radius * (1 + self.variation) + 1.0))

    @property
    def tolerance(self) -> float:
        """The radius, at least 1.5 px."""
        return max(1.5, self.radius)

    def stamp(self, which: int, rng: np.random.Generator) -> Stamp:
        """Return a dot of a random radius, up to half a pixel off the middle."""
        radius, (x, y) = self.varied(self.radius, rng), rng.uniform(-0.5, 0.5, 2)
        return Stamp(self._disc(radius, x, y), float(x), float(y), radius)

    def _disc(self, radius: float, x: float, y: float) -> np.ndarray:
        right, down = _grid(self.reach)
        return _soft(np.hypot(right - x, down - y), radius)

    def templates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return dots of the smallest, the stated and the largest radius."""
        radii = self.radius * (1 + self.variation * np.array([-0.7, 0.0, 0.7]))
        return np.stack([self._disc(radius, 0, 0) for radius in radii]), np.zeros(3, np.int64)


class Strokes(AlikeMarks):
    """Hair-like lines, slightly bent, in random directions.

    Attributes:
        length: px from end to end.
        width: px.
        number: lines on each marked picture.
        share: exact share of the pictures that are marked.
    """

    kind: Literal["strokes"] = "strokes"
    length: float = Field(default=14.0, ge=4.0, le=200.0)
    width: float = Field(default=1.4, ge=0.8, le=20.0)
    number: int = Field(default=2, ge=1, le=50)

    word: ClassVar[str] = "strokes"

    @property
    def reach(self) -> int:
        """Half of the greatest length, and the width."""
        return int(np.ceil(self.length * (1 + self.variation) / 2 + self.width / 2 + 1.0))

    @property
    def tolerance(self) -> float:
        """A quarter of the length: a line is found at its middle."""
        return max(1.5, self.length / 4)

    def stamp(self, which: int, rng: np.random.Generator) -> Stamp:
        """Return a line of random length, direction and bend."""
        half, angle = self.varied(self.length, rng) / 2, rng.uniform(0, np.pi)
        (x, y), bend = rng.uniform(-0.5, 0.5, 2), 0.1 * half * rng.uniform(-1, 1)
        along = np.linspace(-1, 1, 9)
        line = np.stack([half * along, bend * (along**2 - 1 / 3)])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = (turn @ line).T + np.array([x, y])
        return Stamp(_drawn([corners], self.reach, self.width / 2), float(x), float(y), half)

    def templates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return straight lines of the stated length in :data:`ANGLES` directions."""
        half = self.length / 2
        ends = [half * np.array([np.cos(a), np.sin(a)]) for a in np.pi * np.arange(ANGLES) / ANGLES]
        masks = [_drawn([np.stack([-end, end])], self.reach, self.width / 2) for end in ends]
        return np.stack(masks), np.zeros(ANGLES, np.int64)


class Glyph(Mark):
    """One of several symbols on a picture, each on an exact share of the pictures: rare classes of known rate.

    The symbols are, in this order, a ring, a plus, a triangle, a saltire, two bars, a corner, a T and a hook.

    Attributes:
        radius: half the side of a symbol, px.
        width: of its lines, px.
        rates_of: share of the pictures that get the first symbol, the second, ...; 1 to 8 numbers.
    """

    kind: Literal["glyph"] = "glyph"
    contrast: float = Field(default=-0.6, ge=-0.95, le=4.0)
    variation: float = Field(default=0.1, ge=0.0, le=0.5)
    radius: float = Field(default=4.0, ge=2.0, le=64.0)
    width: float = Field(default=1.6, ge=0.8, le=20.0)
    rates_of: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.08, 0.04, 0.02, 0.01, 0.005), min_length=1, max_length=len(SYMBOLS)
    )

    word: ClassVar[str] = "symbols"

    @field_validator("rates_of")
    @classmethod
    def _leave_room(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if sum(rates) > 1 + 1e-9:
            raise ValueError(f"expected shares whose sum is at most 1, one symbol a picture, got {sum(rates):g}")
        return rates

    @property
    def rates(self) -> Mapping[str, float]:
        """One attribute for each symbol, such as "ring_symbol"."""
        return {f"{name}_symbol": rate for name, rate in zip(SYMBOLS, self.rates_of, strict=False)}

    @property
    def per_picture(self) -> int:
        """One."""
        return 1

    @property
    def reach(self) -> int:
        """The greatest radius, half the width and a pixel."""
        return int(np.ceil(self.radius * (1 + self.variation) + self.width / 2 + 1.0))

    @property
    def tolerance(self) -> float:
        """Half of the radius."""
        return max(1.5, self.radius / 2)

    def stamp(self, which: int, rng: np.random.Generator) -> Stamp:
        """Return a symbol, upright, of a random size."""
        radius, (x, y) = self.varied(self.radius, rng), rng.uniform(-0.5, 0.5, 2)
        return Stamp(self._symbol(which, radius, x, y), float(x), float(y), radius)

    def _symbol(self, which: int, radius: float, x: float, y: float) -> np.ndarray:
        lines = [radius * np.array(line) + np.array([x, y]) for line in tuple(SYMBOLS.values())[which]]
        return _drawn(lines, self.reach, self.width / 2)

    def templates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each symbol at its stated size."""
        classes = np.arange(len(self.rates_of))
        return np.stack([self._symbol(int(which), self.radius, 0, 0) for which in classes]), classes

    @property
    def symbols(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.rates)


def _grid(reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel of a square is right of and below its middle: float64 [1,S] and [S,1]."""
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    return steps[None, :], steps[:, None]


def _soft(distance: np.ndarray, radius: float) -> np.ndarray:
    """Return 1 inside the radius and 0 outside, with an edge that is as wide as the radius, from .8 to 2 px."""
    edge = float(np.clip(radius, 0.8, 2.0)) / 2
    t = np.clip((radius + edge - distance) / (2 * edge), 0, 1)
    return t * t * (3 - 2 * t)


def _drawn(lines: list[np.ndarray], reach: int, half: float) -> np.ndarray:
    """Return lines through corners [K,2] (x, y) of a half width, as a mask: float64 [S,S]."""
    right, down = (np.broadcast_to(each, (2 * reach + 1,) * 2) for each in _grid(reach))
    nearest = np.full(right.shape, np.inf)
    for line in lines:
        for (ax, ay), (bx, by) in pairwise(line):
            length = (bx - ax) ** 2 + (by - ay) ** 2
            t = np.clip(((right - ax) * (bx - ax) + (down - ay) * (by - ay)) / max(length, 1e-12), 0, 1)
            nearest = np.minimum(nearest, np.hypot(right - ax - t * (bx - ax), down - ay - t * (by - ay)))
    return _soft(nearest, half)


MARKS: Family[type[Mark]] = Family[Any].of("marks", Mark, {"dots": Dots, "strokes": Strokes, "glyph": Glyph})
"""Every mark by the word that names it in JSON and on the command line."""

AnyMark = Annotated[SerializeAsAny[Mark], BeforeValidator(MARKS.decode)]
"""Any mark: a recipe, or a mapping with its ``kind``."""
