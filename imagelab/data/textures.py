"""Real photographs without a download: crops of the pictures in the package of scikit-image.

The files are part of the installed wheel and are checked against their SHA-256. Texture (grass, gravel, brick) is a
hard test of fine detail, because nearly all of it is fine detail.

Each photograph is divided by ROWS into a train, a heldout and a reserve region, and every crop is inside one region. So
no pixel is in two splits, which a split of overlapping crops could not guarantee. The disadvantage is that the crops of
a region overlap one another; the effective sample size is the number of disjoint crops. Crops of one cell of a region
form a group (``Sample.groups``), as many groups as there are disjoint crops, and errors are taken over groups.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, get_args

import numpy as np
from PIL import Image
from pydantic import Field, field_validator, model_validator

from ..io.catalogue import BadFile, Split
from ..seeds import rng_at
from .base import Data, Sample

__all__ = ["PHOTOGRAPHS", "PhotoName", "Photograph", "Textures"]

PhotoName = Literal["grass", "gravel", "brick", "retina", "coffee", "chelsea", "cell", "hubble"]


@dataclass(frozen=True)
class Photograph:
    """One picture of scikit-image's package.

    Attributes:
        file: its name in ``skimage/data``.
        sha256: SHA-256 of the file, to detect a changed picture.
        licence: as printed in the documentation of scikit-image.
        box: (top, left, bottom, right) of the part that is used, in pixels.
    """

    file: str
    sha256: str
    licence: str
    box: tuple[int, int, int, int]


PHOTOGRAPHS: Mapping[str, Photograph] = MappingProxyType(
    {
        "grass": Photograph(
            "grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89", "CC0", (0, 0, 512, 512)
        ),
        "gravel": Photograph(
            "gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12", "CC0", (0, 0, 512, 512)
        ),
        "brick": Photograph(
            "brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf", "CC0", (0, 0, 512, 512)
        ),
        "retina": Photograph(  # a square inside the round field of view, whose outside is black
            "retina.jpg",
            "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
            "CC0",
            (206, 206, 1206, 1206),
        ),
        "coffee": Photograph(
            "coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7", "CC0", (0, 0, 400, 600)
        ),
        "chelsea": Photograph(
            "chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb", "CC0", (0, 0, 300, 451)
        ),
        "cell": Photograph(
            "cell.png", "8d23a7fb81f7cc877cd09f330357fc7f595651306e84e17252f6e0a1b3f61515", "CC0", (0, 0, 660, 550)
        ),
        "hubble": Photograph(
            "hubble_deep_field.jpg",
            "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
            "public domain (NASA)",
            (0, 0, 872, 1000),
        ),
    }
)
"""The photographs to choose from. Grey ones (grass, gravel, brick, cell) become three equal channels."""

OBJECTS = frozenset({"coffee", "chelsea", "cell"})
"""Pictures of one object: their regions show different parts of it, so train and heldout differ in kind."""


class Textures(Data):
    """Seeded random crops of real photographs, mirrored half of the time.

    Row i of a split is a crop of photograph ``photos[i % len(photos)]``, so every photograph has an equal share. No
    crop occurs twice in a split. The photograph of each crop is an attribute, such as ``photo/grass``.

    Attributes:
        size: side of a crop, pixels; crops are never resized.
        photos: names from :data:`PHOTOGRAPHS`.
        mirror: whether crops are mirrored left to right half of the time.
        heldout_share: share of the rows of each photograph that belongs to the heldout region.
        reserve_share: as ``heldout_share``, for the reserve; 0 for none.

    Example:
        >>> sample = Textures(size=32, photos=("brick",)).load("train", 2, seed=0)
        >>> sample.images.shape, sample.attributes["photo/brick"].tolist()
        ((2, 3, 32, 32), [True, True])
    """

    noun: ClassVar[str] = "texture"

    kind: Literal["textures"] = "textures"
    size: int = Field(default=64, ge=8, le=256)
    photos: tuple[PhotoName, ...] = Field(default=("grass", "gravel", "brick"), min_length=1)
    mirror: bool = True
    heldout_share: float = Field(default=0.25, gt=0, lt=1)
    reserve_share: float = Field(default=0.25, ge=0, lt=1)

    @field_validator("photos")
    @classmethod
    def _no_photo_twice(cls, photos: tuple[PhotoName, ...]) -> tuple[PhotoName, ...]:
        if len(set(photos)) != len(photos):
            raise ValueError(f"photos: expected each name once, got {photos}")
        return photos

    @model_validator(mode="after")
    def _train_is_left(self) -> Textures:
        if self.heldout_share + self.reserve_share >= 1:
            raise ValueError(
                f"heldout_share + reserve_share: expected less than 1, so that rows are left for training, "
                f"got {self.heldout_share} + {self.reserve_share}"
            )
        for name in self.photos:
            for split in ("train", "heldout"):
                top, _, bottom, _ = self.region(name, split)
                if bottom - top < self.size:
                    raise ValueError(
                        f"size: the {split} region of {name} is {bottom - top} rows high, a crop is {self.size}; "
                        f"choose a smaller size, a larger share, or a larger photograph"
                    )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def region(self, name: PhotoName, split: Split) -> tuple[int, int, int, int]:
        """Return (top, left, bottom, right) of the region of a split, pixels; train is above heldout above reserve."""
        top, left, bottom, right = PHOTOGRAPHS[name].box
        reserve_top = bottom - round((bottom - top) * self.reserve_share)
        heldout_top = reserve_top - round((bottom - top) * self.heldout_share)
        rows = {"train": (top, heldout_top), "heldout": (heldout_top, reserve_top), "reserve": (reserve_top, bottom)}
        return rows[split][0], left, rows[split][1], right

    def disjoint_crops(self, split: Split) -> int:
        """Return the number of crops of a split without overlap, over all photographs: the effective sample size."""
        regions = [self.region(name, split) for name in self.photos]
        return sum((b - t) // self.size * ((r - left) // self.size) for t, left, b, r in regions)

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return the number of different (overlapping) crops of each split; the same for every seed."""
        splits = get_args(Split)
        return {split: len(self.photos) * min(self._places(name, split) for name in self.photos) for split in splits}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n crops of a split; a larger set begins with a smaller one.

        Raises:
            ValueError: if n is not 1 .. ``available(seed)[split]``.
        """
        most = self.available(seed)[split]
        if not 1 <= n <= (most or 0):
            raise ValueError(
                f"textures: expected 1 to {most} crops from the {split} split of {', '.join(self.photos)} at "
                f"{self.size} px, got n = {n}; use more photos, a smaller size, or a larger {split} region"
            )
        chosen = [self._crops(name, split, -(-n // len(self.photos)), seed) for name in self.photos]
        images, sources, cells = zip(*(chosen[i % len(chosen)][i // len(chosen)] for i in range(n)), strict=True)
        which = np.arange(n) % len(self.photos)
        attributes = {f"photo/{name}": which == i for i, name in enumerate(self.photos)}
        _, groups = np.unique(np.stack([which, cells]), axis=1, return_inverse=True)
        return Sample(np.stack(images), attributes, sources, groups=groups.reshape(-1).astype(np.int64))

    def card(self) -> str:
        """Return one paragraph: the photographs, their licences, and the number of independent crops."""
        parts = ", ".join(f"{name} ({PHOTOGRAPHS[name].licence})" for name in self.photos)
        counts = ", ".join(f"{self.disjoint_crops(split)} for {split}" for split in get_args(Split))
        return (
            f"Random {self.size} x {self.size} crops{', half of them mirrored,' if self.mirror else ''} of photographs "
            f"that are part of scikit-image: {parts}. Grey photographs have three equal channels. Train, heldout and "
            f"reserve crops come from disjoint rows of each photograph, so no pixel is in two splits. Crops overlap: "
            f"the effective sample size is the number of disjoint crops, {counts}. Neighbouring regions show the same "
            f"kind of texture, so the distance between splits is a floor for this photograph, not for all grass or "
            f"gravel.{self._warning()}"
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return none: this dataset reads no files of the user."""
        return ()

    def _warning(self) -> str:
        objects = [name for name in self.photos if name in OBJECTS]
        if not objects:
            return ""
        return f" {', '.join(objects)} shows one object, and each region another part of it: expect a high floor."

    def _places(self, name: PhotoName, split: Split) -> int:
        top, left, bottom, right = self.region(name, split)
        return max(bottom - top - self.size + 1, 0) * max(right - left - self.size + 1, 0)

    def _crops(self, name: PhotoName, split: Split, n: int, seed: int) -> list[tuple[np.ndarray, str, int]]:
        """Return the first n crops of one photograph: (uint8 [3,size,size], their position as text, their cell).

        The positions of a split are divided evenly into as many cells as there are disjoint crops.
        """
        pixels = _read_photograph(name)
        top, left, bottom, right = self.region(name, split)
        high, wide = bottom - top - self.size + 1, right - left - self.size + 1
        down, across = (bottom - top) // self.size, (right - left) // self.size
        rng = rng_at(seed, f"textures/{split}/{name}")
        places = rng.permutation(self._places(name, split))[:n]
        mirrored = rng.random(self._places(name, split))[:n] < 0.5 if self.mirror else np.zeros(n, bool)
        rows, columns = np.divmod(places, wide)
        cells = rows * down // high * across + columns * across // wide
        crops = []
        for y, x, flip, cell in zip(rows + top, columns + left, mirrored, cells, strict=True):
            crop = pixels[:, y : y + self.size, x : x + self.size]
            place = f"{name} y={y} x={x}{' mirrored' if flip else ''}"
            crops.append((crop[:, :, ::-1] if flip else crop, place, int(cell)))
        return crops


@lru_cache(maxsize=len(PHOTOGRAPHS))
def _read_photograph(name: PhotoName) -> np.ndarray:
    """Return a photograph as uint8 [3,H,W], read-only; grey becomes three equal channels."""
    photograph = PHOTOGRAPHS[name]
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise ValueError("textures: the photographs are part of scikit-image, which is not installed; install it")
    path = Path(package.submodule_search_locations[0]) / "data" / photograph.file
    if not path.is_file():
        raise ValueError(f"textures: expected {photograph.file} inside scikit-image's package; this version lacks it")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != photograph.sha256:
        raise ValueError(f"{photograph.file}: expected SHA-256 {photograph.sha256}, got {digest}; another picture?")
    with Image.open(io.BytesIO(content)) as opened:
        pixels = np.ascontiguousarray(np.asarray(opened.convert("RGB")).transpose(2, 0, 1))
    pixels.setflags(write=False)
    return pixels
