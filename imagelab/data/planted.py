"""Planted truth: any dataset, with small marks of known place, size, contrast and number laid on its pictures.

Chemistry and genomics add a known amount of a known substance to a sample (a spike-in) and see how much of it is
recovered. Here the sample are pictures and the substance are marks: every picture set then has a truth list, an
unmarked twin of every picture, and exact rates, and what a loop loses can be counted on photographs as it is on drawn
faces. The marks are laid on before generation 1; no generator knows of them. A counter is fitted to the dataset when
the run is founded, on the reserve, and tested on the held-out pictures (metrics/planted_fit.py).

What it does not show: a mark is no natural detail. It is lost as a natural detail of its size, contrast and prevalence
would be, if the model cares for neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..families import kind_of
from ..io.catalogue import BadFile, Split
from ..seeds import rng_at
from .base import Data, Sample
from .marks import AnyMark, Dots, Mark
from .planted_places import MARGIN, Ground, laid, places
from .textures import Textures

if TYPE_CHECKING:
    from . import AnyData

__all__ = ["LEAST_RESERVE", "Planted"]

LEAST_RESERVE = 40
"""Pictures in the reserve from which on a counter can be fitted to them."""

CHUNK = 64  # pictures at a time


class Planted(Data):
    """Another dataset with marks on its pictures, known to the last pixel: planted truth.

    Which pictures are marked, and where, follows from (recipe, split, n, seed). Pictures without a place for the marks
    get none, so that marked pictures are a little smoother than the average; the share is exact.

    Attributes:
        base: any dataset with a reserve, but none that knows twins already.
        mark: dots, strokes (hair-like lines) or a glyph (one of several symbols, at rates of their own).
        least_ratio: the least contrast-to-noise ratio of a place: the stated contrast times the mean of the luminance
            around it, over the standard deviation of the luminance there.

    Example:
        >>> from imagelab.data import Dots, Planted, Textures
        >>> sample = Planted(base=Textures(size=32, photos=("brick",)), mark=Dots(number=2)).load("train", 8, seed=0)
        >>> [len(marks) for marks in sample.marks], int(sample.attributes["marked"].sum())
        ([2, 0, 0, 2, 0, 0, 2, 2], 4)
    """

    kind: Literal["planted"] = "planted"
    base: AnyData = Textures(photos=("brick", "retina", "cell"))
    mark: AnyMark = Dots()
    least_ratio: float = Field(default=1.5, ge=0.0, le=100.0)

    noun: ClassVar[str] = "image"
    has_twins: ClassVar[bool] = True
    panel: ClassVar[tuple[str, ...]] = (*Data.panel, "planted")

    @model_validator(mode="after")
    def _can_be_planted(self) -> Planted:
        if isinstance(self.base, Planted):
            raise ValueError(
                "base: expected pictures without planted marks, got planted. Two kinds of marks on one picture would "
                "have one twin, so that nobody could tell which of them is lost; run two experiments"
            )
        if self.base.has_twins:
            raise ValueError(
                f"base: {kind_of(self.base)} know the truth of their pictures already, and what is counted on their "
                "twins is not these marks. Use that dataset alone, or another base"
            )
        _, height, width = self.base.shape
        side = 2 * (self.mark.reach + MARGIN) + 1
        if side > min(height, width):
            raise ValueError(
                f"mark: {self.mark.word} that need {side} x {side} px with their surroundings do not fit on pictures "
                f"of {height} x {width} px. Use a smaller radius or length, or larger pictures"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the base."""
        return self.base.shape

    @property
    def exact_rates(self) -> frozenset[str]:
        """The attributes of the marks, and those of the base that are exact."""
        return frozenset({"marked", *self.mark.rates}) | self.base.exact_rates

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return how many pictures each split of the base has.

        Raises:
            ValueError: if the reserve holds too few to fit a counter on.
        """
        there = self.base.available(seed)
        held = there["reserve"]
        if held is not None and held < LEAST_RESERVE:
            raise ValueError(
                f"planted: the counter of the {self.mark.word} is fitted on real pictures of the reserve; at least "
                f"{LEAST_RESERVE} are needed, {kind_of(self.base)} has {held}. Use more pictures, or a larger "
                "reserve: --data.base.reserve-share .3"
            )
        return there

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n pictures of a split with marks on the exact share of them.

        The sample has the attributes, sources and groups of the base, its pictures as twins, the attributes of the
        marks ("marked", and one for each symbol) and :attr:`Sample.marks`.

        Raises:
            ValueError: if the base has too few, if it has an attribute of the name of one of the marks, or if too few
                pictures have a place for the marks.
        """
        wanted = [round(rate * n) for rate in self.mark.rates.values()]
        return self._planted(split, n, seed, wanted, "load")

    def lesson(self, split: Split, n: int, seed: int) -> Sample:
        """Return n pictures as a counter is fitted and tested on: half of them marked, every symbol as often.

        Where fewer have a place, those are marked. The places are others than those of :meth:`load`.
        """
        kinds = len(self.mark.rates)
        half = n // 2
        return self._planted(split, n, seed, [half * (k + 1) // kinds - half * k // kinds for k in range(kinds)], "")

    def _planted(self, split: Split, n: int, seed: int, wanted: list[int], exact: str) -> Sample:
        """Return n pictures, of which so many have the marks of each class; as many as possible where not exact."""
        plain = self.base.load(split, n, seed)
        names = list(self.mark.rates)
        taken = sorted({"marked", *names} & plain.attributes.keys())
        if taken:
            raise ValueError(f"planted: {kind_of(self.base)} has an attribute {taken[0]!r} of its own; rename it")
        images, purpose = plain.images.copy(), f"planted/{exact or 'lesson'}/{split}"
        truth = [np.zeros((0, 6), np.float32)] * n
        columns = np.zeros((len(names), n), bool)
        queue = [which for which, count in enumerate(wanted) for _ in range(count)]
        queue = [queue[k] for k in rng_at(seed, f"{purpose}/classes").permutation(len(queue))]
        asked = len(queue)
        for row, marked, marks in self._tries(plain.images, queue, purpose, seed):
            if marks is not None:
                images[row], truth[row] = marked, marks
                columns[int(marks[0, 5]), row] = True
        if queue and exact:
            raise ValueError(self._no_place(split, n, asked, asked - len(queue)))
        attributes: dict[str, np.ndarray] = {name: columns[k] for k, name in enumerate(names)}
        attributes["marked"] = np.any(columns, axis=0)
        return Sample(
            images,
            {**plain.attributes, **attributes},
            plain.sources,
            twins=plain.images,
            groups=plain.groups,
            marks=tuple(truth),
        )

    def _tries(
        self, plain: np.ndarray, queue: list[int], purpose: str, seed: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Go through the pictures in random order until the queue of classes is empty; yield what becomes of each."""
        order = rng_at(seed, purpose).permutation(len(plain))
        mark, most = self.mark, self.mark.contrast * (1 + self.mark.variation)
        for start in range(0, len(order), CHUNK):
            if not queue:
                return
            rows = order[start : start + CHUNK]
            ground = Ground.of(plain[rows], most, mark.reach)
            allowed = ground.usable & (abs(mark.contrast) * ground.ratio >= self.least_ratio)
            for k, row in enumerate(rows):
                if not queue:
                    return
                rng = rng_at(seed, purpose, row=int(row) + 1)
                found = places(allowed[k], mark.per_picture, 2 * mark.reach + 1, rng)
                if len(found) < mark.per_picture:
                    yield int(row), plain[row], None
                    continue
                yield int(row), *self._on(plain[row], ground, k, found, queue.pop(0), rng)

    def _on(
        self,
        plain: np.ndarray,
        ground: Ground,
        k: int,
        found: list[tuple[int, int]],
        which: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a picture with marks at these places, and its truth list."""
        image, marks = plain.copy(), []
        for at in found:
            stamp, contrast = self.mark.stamp(which, rng), self.mark.varied(self.mark.contrast, rng)
            laid(image, ground.light[k], ground.mean[k, :, *at], stamp, at, contrast)
            ratio = min(abs(contrast) * float(ground.ratio[k, *at]), 1e3)
            marks.append((at[1] + stamp.x, at[0] + stamp.y, stamp.radius, contrast, ratio, which))
        return image, np.array(marks, np.float32)

    def _no_place(self, split: str, n: int, asked: int, found: int) -> str:
        mark = self.mark
        return (
            f"planted: {asked} of {n} {split} pictures shall have {mark.per_picture} {mark.word} each, and only "
            f"{found} have a place for them: not clipped, not flat, and with a contrast of {mark.contrast:g} at least "
            f"{self.least_ratio:g} times the local noise. Use a stronger contrast, smaller or fewer marks, a smaller "
            "share, or a smaller --data.least-ratio"
        )

    def card(self) -> str:
        """Return one paragraph on the marks, and the card of the base."""
        mark = self.mark
        rates = ", ".join(f"{name.replace('_', ' ')} on {100 * rate:g} %" for name, rate in mark.rates.items())
        return (
            f"Planted truth: {mark.word} were laid on pictures of another dataset before the first training, "
            f"{mark.per_picture} on each marked picture ({rates}, exactly), with a contrast of {mark.contrast:g} "
            f"against the local mean in linear light, +- {100 * mark.variation:g} % in contrast and size, only where "
            f"this is at least {self.least_ratio:g} times the local standard deviation and nothing is clipped. "
            f"Pictures without such a place got none. These {mark.word} are no natural content of the pictures. The "
            f"pictures: {self.base.card()}"
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return those of the base."""
        return self.base.bad_files()

    def counted(self) -> Mapping[str, Any]:
        """Return what a counter must know of the marks, as plain values and arrays.

        Keys: ``word``; ``contrast``, the mean one; ``tolerance`` in px; ``templates`` float64 [K,S,S]; ``classes``
        int64 [K], the class of each template; ``symbols``, the attribute of each class, empty for one class.
        """
        mark: Mark = self.mark
        templates, classes = mark.templates()
        said = {"word": mark.word, "contrast": mark.contrast, "tolerance": mark.tolerance, "symbols": mark.symbols}
        return {**said, "templates": templates, "classes": classes}
