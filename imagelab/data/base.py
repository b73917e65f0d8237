"""What a dataset is: a frozen recipe that turns (split, count, seed) into images and what is known of them.

Three splits never share an image: ``train`` (generation 0), ``heldout`` (the reference of every distance, and
the floor) and ``reserve`` (fresh real data for the regimes that ask for it). A dataset that knows the truth of
its images (rare attributes, freckle lists) hands it over beside the pixels; a generator never sees it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from ..faces.freckles import Style
from ..families import Recipe
from ..images import check_images, spread_over
from ..io.catalogue import BadFile, Split
from ..measurement import Measurement
from ..pool import REAL

__all__ = [
    "Data",
    "Sample",
]


@dataclass(frozen=True)
class Sample:
    """Images and what is known of them.

    Attributes:
        images: uint8 [N,C,H,W].
        attributes: name -> bool [N], the ground truth of each image where the dataset knows it.
        sources: where each image came from (a file name, a renderer address), N entries or none.
        freckles: per image float32 [K,5]: x px, y px, radius px, contrast, visible 0/1; None where unknown.
        twins: uint8 [N,C,H,W], the same images without freckles, where the dataset can make them.
        groups: int64 [N], one number for images that belong together (crops of one part of a photograph, pictures of
            one person): they are not independent, and errors are taken over groups. None if all are independent.
        marks: per image float32 [K,6] of planted marks: x px, y px, radius px, contrast, contrast-to-noise ratio,
            class; None where none were planted (planted.py).
    """

    images: np.ndarray
    attributes: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    sources: tuple[str, ...] = ()
    freckles: tuple[np.ndarray, ...] | None = None
    twins: np.ndarray | None = None
    groups: np.ndarray | None = None
    marks: tuple[np.ndarray, ...] | None = None

    def __post_init__(self) -> None:
        """Check the form of the images and the lengths of what belongs to them."""
        n = len(check_images(self.images))
        for name, column in self.attributes.items():
            if column.shape != (n,) or column.dtype != bool:
                raise ValueError(f"attribute {name!r}: expected bool [{n}], got {column.dtype} {column.shape}")
        if self.sources and len(self.sources) != n:
            raise ValueError(f"sources: expected {n} entries or none, got {len(self.sources)}")
        if self.groups is not None and (self.groups.shape != (n,) or self.groups.dtype != np.int64):
            raise ValueError(f"groups: expected int64 [{n}], got {self.groups.dtype} {self.groups.shape}")

    def __len__(self) -> int:
        return len(self.images)

    def examples(self, count: int) -> np.ndarray:
        """Return images to follow by eye, evenly spread over the set; only freckled (or marked) ones where enough."""
        name = "freckled" if self.marks is None else "marked"
        known = np.flatnonzero(self.attributes.get(name, np.zeros(len(self), bool)))
        rows = known if len(known) >= count else np.arange(len(self))
        return self.images[rows[spread_over(len(rows), count)]]

    def truth(self) -> list[Measurement]:
        """Return what the dataset knows for certain: visible freckles a face and the share of every attribute."""
        known = []
        if self.freckles is not None:
            visible = np.array([marks[:, 4].sum() for marks in self.freckles], np.float64)
            error = float(visible.std(ddof=1) / len(visible) ** 0.5) if len(visible) > 1 else None
            how = "the renderer's own list"
            known.append(
                Measurement("truth/freckles", float(visible.mean()), "freckles/face", stderr=error, estimator=how)
            )
        if self.marks is not None:
            number = np.array([len(marks) for marks in self.marks], np.float64)
            error = float(number.std(ddof=1) / len(number) ** 0.5) if len(number) > 1 else None
            how = "as planted"
            known.append(Measurement("truth/marks", float(number.mean()), "marks/image", stderr=error, estimator=how))
        for name, column in self.attributes.items():
            known.append(
                Measurement(f"truth/{name}", float(column.mean()), "share", estimator="the dataset's own list")
            )
        return [replace(m, n_fake=len(self), line=REAL) for m in known]


class Data(Recipe, ABC):
    """Base class of all datasets. A dataset adds a ``kind``, its settings, and the four abstract members.

    Class attributes:
        panel: the metrics that are taken by default, names of ``imagelab.metrics.METRICS``; this one suits any images.
        noun: what one image shows, for sentences: "image", "face".
        drawn: whether a program draws the images, so that they depict nobody and nothing that exists.
        has_twins: whether every image has a twin without what is counted (:attr:`Sample.twins`).
    """

    panel: ClassVar[tuple[str, ...]] = (
        "spectrum",
        "hf_ratio",
        "pixel_variance",
        "tone",
        "colour",
        "frechet",
        "kernel",
        "sliced_w2",
        "perceptual_diversity",
        "vendi",
        "entropy",
        "prdc",
        "detector",
        "clipped_density",
        "rke",
        "kernel_rbf",
        "likelihood",
        "texture",
    )
    noun: ClassVar[str] = "image"
    drawn: ClassVar[bool] = False
    has_twins: ClassVar[bool] = False

    @property
    def counted_style(self) -> Style:
        """The style of its freckles, which chooses the counter; "countable" where it has none."""
        return "countable"

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image; channels are 1 or 3."""

    @abstractmethod
    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return how many images each split (train, heldout, reserve) can give; None where there is no end."""

    @abstractmethod
    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n images of a split, the same ones for the same (recipe, n, seed).

        Args:
            split: "train", "heldout" or "reserve"; no two of them share an image.
            n: how many.
            seed: the run's seed.

        Raises:
            ValueError: if the split holds fewer than n, or nothing usable was found: with what was expected and found.
        """

    @abstractmethod
    def card(self) -> str:
        """Return one paragraph for the report: what this is, where it comes from, its licence, what it is not."""

    @property
    def exact_rates(self) -> frozenset[str]:
        """Names of the attributes that a set number of n images has; chance decides which images, not how many."""
        return frozenset()

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return the files that could not be used, with reasons; empty for datasets that read no files."""
        return ()
