"""What a dataset is: a frozen recipe that turns (split, count, seed) into images and what is known of them.

Three splits never share an image: ``train`` (generation 0), ``heldout`` (the reference of every distance, and
the floor) and ``reserve`` (fresh real data for the regimes that ask for it). A dataset that knows the truth of
its images (rare attributes, freckle lists) hands it over beside the pixels; a generator never sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..images import check_images
from ..io.catalogue import BadFile, Split
from ..measurement import Measurement
from ..pool import REAL

__all__ = [
    "Data",
    "DataRecipe",
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
    """

    images: np.ndarray
    attributes: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    sources: tuple[str, ...] = ()
    freckles: tuple[np.ndarray, ...] | None = None
    twins: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check the form of the images and the lengths of what belongs to them."""
        n = len(check_images(self.images))
        for name, column in self.attributes.items():
            if column.shape != (n,) or column.dtype != bool:
                raise ValueError(f"attribute {name!r}: expected bool [{n}], got {column.dtype} {column.shape}")
        if self.sources and len(self.sources) != n:
            raise ValueError(f"sources: expected {n} entries or none, got {len(self.sources)}")

    def __len__(self) -> int:
        return len(self.images)

    def examples(self, count: int) -> np.ndarray:
        """Return images to follow by eye, evenly spread over the set; only freckled ones where enough are known."""
        freckled = np.flatnonzero(self.attributes.get("freckled", np.zeros(len(self), bool)))
        rows = freckled if len(freckled) >= count else np.arange(len(self))
        return self.images[rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]]

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
        for name, column in self.attributes.items():
            known.append(
                Measurement(f"truth/{name}", float(column.mean()), "share", estimator="the dataset's own list")
            )
        return [replace(m, n_fake=len(self), line=REAL) for m in known]


class DataRecipe(BaseModel):
    """Common ground of all dataset recipes: frozen settings, no unknown key, the panel that suits any pictures.

    Not a dataset by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    )


@runtime_checkable
class Data(Protocol):
    """The dataset protocol. Implementations are frozen pydantic models with a literal ``kind``.

    Class attribute:
        panel: the metrics that suit it, keys of ``imagelab.metrics.METRICS``.
    """

    panel: ClassVar[tuple[str, ...]]

    @property
    def kind(self) -> str:
        """The word that names it in JSON and on the command line."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        ...

    def available(self, seed: int) -> Mapping[str, int | None]:
        """How many images each split can give; None where there is no end (a renderer)."""
        ...

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n images of a split, the same ones for the same (recipe, n, seed).

        Raises:
            ValueError: if the split holds fewer than n, or nothing usable was found: with what was expected and found.
        """
        ...

    def card(self) -> str:
        """One paragraph for the report: what this is, where it comes from, its licence, what it is not."""
        ...

    def bad_files(self) -> tuple[BadFile, ...]:
        """The files the intake scan refused, with reasons; empty for datasets that read no user files."""
        ...
