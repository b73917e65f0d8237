"""Any directory of images: the user's own pictures as a dataset.

PNG, JPEG, WebP, BMP, TIFF, GIF (first frame) and PNM files, in any mixture of sizes and modes; see intake.py for how
one picture becomes uint8 [3,size,size]. A file that cannot be used is named with its reason, never dropped in
silence; the splits are a seeded permutation of the pictures that are left, equal ones counted once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_serializer, field_validator, model_validator

from ..seeds import stream
from .base import BadFile, DataRecipe, Sample, Split
from .intake import Intake, read_folder, shown

__all__ = ["Folder"]

LEAST_TRAIN = 4
LEAST_HELDOUT = 2  # below two images nothing has a spread
LEAST_USABLE = LEAST_TRAIN + LEAST_HELDOUT

Level = Annotated[int, Field(ge=0, le=255)]


class Folder(DataRecipe):
    """The pictures of a directory.

    Nothing is looked up on disk when the recipe is made, so a configuration from another machine can be read; a
    missing or unusable folder is reported by the first method that needs it.

    Attributes:
        path: the directory; ``~`` is expanded and it is kept absolute, so the same folder is the same question.
        size: side of the images, pixels: centre square crop, then one antialiased bicubic resize. A picture with a
            shorter side below ``size`` is enlarged (and counted: :meth:`card`); below ``size / 2`` it is refused.
        on_bad: "skip" goes on without bad files and lists them (:meth:`bad_files`); "stop" raises, listing them.
        alpha_over: RGB 0..255 behind transparent pixels.
        heldout_share: share of the usable pictures never trained on, at least 2 pictures.
        reserve_share: share kept back for regimes that ask for fresh real data.
        recursive: whether subfolders belong to it.

    Example:
        >>> Folder(path="pictures").path.is_absolute()
        True
    """

    kind: Literal["folder"] = "folder"
    path: Path
    size: int = Field(default=64, ge=8, le=1024)
    on_bad: Literal["skip", "stop"] = "skip"
    alpha_over: tuple[Level, Level, Level] = (255, 255, 255)
    heldout_share: float = Field(default=0.25, gt=0, lt=1)
    reserve_share: float = Field(default=0.0, ge=0, lt=1)
    recursive: bool = True

    panel: ClassVar[tuple[str, ...]] = (
        "spectrum",
        "hf_ratio",
        "pixel_variance",
        "frechet",
        "kernel",
        "perceptual_diversity",
    )

    @field_validator("path", mode="after")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if "\0" in str(path) or path == Path():
            raise ValueError(f"path: expected a folder's name, got {str(path)!r}; write the folder's full name")
        try:
            return Path(os.path.normpath(path.expanduser().absolute()))
        except RuntimeError as error:
            raise ValueError(f"path: the home folder in {path} is not known; write the path out") from error

    @field_serializer("path")
    def _posix(self, path: Path) -> str:
        return path.as_posix()

    @model_validator(mode="after")
    def _train_is_left(self) -> Folder:
        if self.heldout_share + self.reserve_share >= 1:
            raise ValueError(
                f"heldout_share + reserve_share: expected less than 1, so that images are left to train on, "
                f"got {self.heldout_share} + {self.reserve_share}"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    @property
    def least_side(self) -> int:
        """The shortest side a picture may have, pixels: half of ``size``, so none is enlarged more than twice."""
        return -(-self.size // 2)

    def available(self, seed: int) -> Mapping[str, int | None]:
        """How many images each split holds.

        Raises:
            ValueError: if the folder is missing, is a file, is empty or holds fewer than 6 usable pictures; and with
                ``on_bad="stop"`` if any file is bad.
        """
        return {split: len(rows) for split, rows in self._rows(seed).items()}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return the first n images of a split's seeded order; a larger n begins with a smaller one's.

        Raises:
            ValueError: as :meth:`available`, and if n is not 1 .. the number of images in the split.
        """
        rows = self._rows(seed)[split]
        if not 1 <= n <= len(rows):
            raise ValueError(
                f"folder: expected 1 to {len(rows)} images from the {split} split of {shown(self.path)}, got n = {n}; "
                f"ask for fewer, add pictures, or change heldout_share and reserve_share"
            )
        intake, chosen = self._intake(), rows[:n]
        return Sample(intake.images[chosen], sources=tuple(intake.names[row] for row in chosen))

    def card(self) -> str:
        """One paragraph: the folder, how many pictures are used and how many are not, and how they were prepared."""
        intake = self._usable()
        return (
            f"{len(intake.names)} pictures of the folder {shown(self.path)}, cropped to the centre square and resized "
            f"once to {self.size} x {self.size} (antialiased bicubic, on sRGB values). Left out: {len(intake.bad)} bad "
            f"files, {intake.copies} equal copies, {intake.ignored} files that are no pictures. {intake.enlarged} "
            f"pictures were smaller than {self.size} px and enlarged: their fine detail is interpolated. Only copies "
            f"equal in every pixel are found; near-copies (another compression, another crop) may stand in two splits. "
            f"The licence is whatever holds for these pictures; imagelab does not know it. "
            f"Fingerprint {intake.fingerprint()[:16]}."
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """The files that were refused, with reasons, whatever ``on_bad`` says."""
        return self._intake().bad

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, SHA-256 of the final pixels) of the usable pictures."""
        return self._intake().fingerprint()

    def _intake(self) -> Intake:
        return read_folder(self.path, self.size, self.least_side, self.alpha_over, self.recursive)

    def _usable(self) -> Intake:
        """Return what the folder holds, or say why it cannot be a dataset."""
        intake = self._intake()
        where, count = shown(self.path), len(intake.names)
        listed = "".join(f"\n  {bad.path}: {bad.reason}" for bad in intake.bad)
        if self.on_bad == "stop" and intake.bad:
            raise ValueError(f'folder: {len(intake.bad)} bad files and on_bad = "stop"; mend or move them:{listed}')
        if count + intake.copies + len(intake.bad) == 0:
            unread = "" if self.recursive else "; subfolders were not read"
            raise ValueError(
                f"folder: expected PNG, JPEG, WebP, BMP, TIFF or GIF files in {where}, got none "
                f"({intake.ignored} files of other kinds{unread}); name the folder that holds the pictures"
            )
        if count < LEAST_USABLE:
            raise ValueError(
                f"folder: expected at least {LEAST_USABLE} different usable pictures in {where}, got {count} "
                f"({intake.copies} equal copies, {len(intake.bad)} bad files); add pictures{listed}"
            )
        return intake

    def _rows(self, seed: int) -> dict[Split, np.ndarray]:
        """Return each split's rows of the intake, in seeded order."""
        count = len(self._usable().names)
        heldout = min(max(LEAST_HELDOUT, round(count * self.heldout_share)), count - LEAST_TRAIN)
        reserve = min(round(count * self.reserve_share), count - heldout - LEAST_TRAIN)
        order = stream(seed, "folder/split").permutation(count)
        return {
            "heldout": order[:heldout],
            "reserve": order[heldout : heldout + reserve],
            "train": order[heldout + reserve :],
        }
