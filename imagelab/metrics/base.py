"""What a metric is: a pure function of two image sets that returns Measurements.

An :class:`ImageSet` holds the images and what was computed from them, so that one pass of a feature extractor serves
every metric that reads it. A metric does not know generation or line; the loop adds them (:meth:`Measurement.at`), and
the floor, which is the same metric of real images against held-out ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..images import check_images
from ..io.cache import cached
from ..io.large_arrays import blocks_of
from ..measurement import Direction, Measurement
from .jackknife import degrees

if TYPE_CHECKING:
    from .freckle_calibration import Style
    from .planted_counter import PlantedCounter

DIGEST_BLOCK = 256  # images hashed at a time

__all__ = ["Evidence", "ImageSet", "Metric", "NotMeasurable", "Quantity"]


class NotMeasurable(ValueError):
    """Raised inside a metric if these images allow no value; its text is the reason, as a report prints it."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images under measurement and the features already taken from them.

    Attributes:
        images: uint8 [N,C,H,W].
        cache: folder where features are kept between processes, None for memory only.
        memory: features by space key, filled as metrics ask (see metrics/features.py).
        groups: int64 [N], images that belong together have one number (crops of one photograph, pictures of one
            person): errors are taken over groups. None if all images are independent.
    """

    images: np.ndarray
    cache: Path | None = None
    memory: dict[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check the form once, when the set is made."""
        check_images(self.images)
        if self.groups is not None and (self.groups.shape != (len(self.images),) or self.groups.dtype != np.int64):
            raise ValueError(
                f"groups: expected int64 [{len(self.images)}], got {self.groups.dtype} {self.groups.shape}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the images' bytes, read block by block, so that a memory map is never copied as a whole."""
        total = hashlib.sha256()
        for _, block in blocks_of(self.images, DIGEST_BLOCK):
            total.update(np.ascontiguousarray(block).data)
        return total.hexdigest()

    def kept(
        self, slot: str, name: Callable[[], str], array: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return what is computed of these images: from memory, else from the cache folder, else made and kept there.

        Args:
            slot: its key in ``memory``.
            name: gives the name of its file in the cache folder, a content address; asked only where there is one.
            array: its name in that file.
            shape: of a complete array, -1 for any length.
            make: computes it.
        """
        if slot not in self.memory:
            if self.cache is None:
                self.memory[slot] = make()
            else:
                self.memory[slot] = cached(self.cache, name(), {array: shape}, lambda: {array: make()})[array]
        return self.memory[slot]

    @property
    def independent(self) -> int:
        """The number of independent groups of images: N where no image belongs to another."""
        return len(self) if self.groups is None else len(np.unique(self.groups))


@dataclass(frozen=True)
class Evidence:
    """All that a metric may look at.

    Attributes:
        real: held-out real images, the reference.
        fake: the images under test (at generation 0: the real training images; that measurement is the floor).
        blank: real images that contain none of what is counted (freckle-free faces), copied by the model under test if
            the model can copy images; whatever a counter finds in them is false. None if there is no such control.
        twin: images that the blank twin of this loop has generated at the same generation: a chain trained on the
            freckle-free twins of the same faces. None where there is no such chain (generation 0 included).
        pairs: real faces, and the same faces without freckles: one set each, row by row. They show what a counter finds
            in images of a given blur, noise and colour. None where the dataset does not know them.
        seed: seed of any random choice inside an estimator.
        device: torch device for feature extraction.
        counter: the counter of planted marks that was fitted to the run's data; None where no marks were planted.
        train: the real training images; only memorisation looks at them. In later generations they still tell whether
            single pictures live on as copies of copies. None where unknown (and for the floor, where fake is train).
        compared: the most images of each set that metrics of all pairs compare (all_pairs.py); None for all.
        freckle_style: the style of the freckles of the real images; each style has a counter of its own.
    """

    real: ImageSet
    fake: ImageSet
    blank: ImageSet | None = None
    seed: int = 0
    device: str = "cpu"
    train: ImageSet | None = None
    twin: ImageSet | None = None
    pairs: tuple[ImageSet, ImageSet] | None = None
    counter: PlantedCounter | None = None
    compared: int | None = None
    freckle_style: Style = "countable"

    @property
    def blocks(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The groups of the reference and of the images under test, as the jackknife takes them."""
        return self.real.groups, self.fake.groups

    @property
    def degrees(self) -> float | None:
        """Degrees of freedom of an error that both sets contribute to; None for many (see jackknife.py)."""
        return degrees(self.real.independent, self.fake.independent)


@dataclass(frozen=True)
class Quantity:
    """What one measurement of a metric says of itself where it differs from its row.

    Attributes:
        unit: its unit; None for the row's.
        better: its direction; None for the row's.
        cite: its source; None for the row's.
    """

    unit: str | None = None
    better: Direction | None = None
    cite: str | None = None


@dataclass(frozen=True)
class Metric:
    """One row of ``METRICS``: an instrument, and all that is said of it, once.

    Its measurements take unit, direction and source from here; one that says otherwise is an error.

    Attributes:
        measure: Evidence -> the Measurements, several where a metric has bands.
        title: its name in a report.
        unit: of its measurements; "" for a pure number.
        what: one sentence for a newspaper reader: what it counts.
        blind: one sentence: what it does not see.
        better: its direction.
        least: the smallest number of images that its value should be trusted for.
        cite: the source, ``arXiv:...`` or ``doi:...``; "" for an unpublished one.
        needs: names of weights that must be present locally, empty for none.
        gives: what its measurements are called in front of the slash; empty where that is the row's own name.
        but: measurements (by full name or by what stands in front of the slash) that differ from the row, and in what.
        suits: "any" images; "faces": aligned faces like those of :class:`imagelab.Faces` only; "planted": images of a
            run with planted marks only.
        uses_training: whether it compares with the training images, so that it needs them.
        name: the row's name, for a metric of your own; ours have theirs from the table.
    """

    measure: Callable[[Evidence], list[Measurement]]
    title: str
    unit: str
    what: str
    blind: str
    better: Direction
    least: int
    cite: str = ""
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    but: Mapping[str, Quantity] = field(default_factory=lambda: MappingProxyType({}))
    suits: Literal["any", "faces", "planted"] = "any"
    uses_training: bool = False
    name: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return all that is said of the metric as plain JSON values, without its code."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("measure", "but")}
        return {**plain, "but": {name: asdict(quantity) for name, quantity in self.but.items()}}

    @classmethod
    def from_data(cls, said: Mapping[str, Any]) -> Metric:
        """Return the metric that :meth:`as_data` described. Its code is not loaded: it cannot measure.

        Raises:
            ValueError: for a field of another type. Missing and unknown fields raise other exceptions: call it inside
                :func:`~imagelab.io.untrusted.parsing`.
        """

        def measure(evidence: Evidence) -> list[Measurement]:
            raise NotMeasurable(f"the code of {said.get('name')!r} is not loaded")

        for name in ("title", "unit", "what", "blind", "better", "cite", "suits", "name"):
            if not isinstance(said[name], str):
                raise ValueError(f"expected {name} to be text, got {type(said[name]).__name__}")
        if type(said["least"]) is not int or not all(
            isinstance(each, str) for each in (*said["needs"], *said["gives"])
        ):
            raise ValueError("expected a whole number as least, and texts in needs and gives")
        but = {name: Quantity(**quantity) for name, quantity in said["but"].items()}
        known = {**said, "but": but, "needs": tuple(said["needs"]), "gives": tuple(said["gives"])}
        return cls(measure=measure, **known)

    def facts(self) -> str:
        """Return what reaches the measurements without being code: unit, direction, source, and fixed arguments.

        It is signed with the code of a metric of your own.
        """
        but = {name: asdict(quantity) for name, quantity in self.but.items()}
        fixed = [getattr(self.measure, "args", ()), sorted(getattr(self.measure, "keywords", {}).items())]
        return json.dumps([self.unit, self.better, self.cite, but, fixed], sort_keys=True, default=_type_of)

    def quantity(self, name: str) -> tuple[str, Direction, str]:
        """Return (unit, direction, source) of the measurement of this name."""
        own = self.but.get(name) or self.but.get(name.partition("/")[0]) or Quantity()
        return (
            self.unit if own.unit is None else own.unit,
            self.better if own.better is None else own.better,
            self.cite if own.cite is None else own.cite,
        )


def _type_of(value: object) -> str:
    """Return what is signed of an argument that is no plain value: its type, the same in every process."""
    return type(value).__qualname__
