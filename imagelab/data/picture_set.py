"""The base of all datasets of existing pictures: splits, limits, bad files, the card.

A dataset of this kind adds its layout (which files, which labels, which division into train and test) and its licence;
folder.py is the simplest example. The splits are those of the dataset if it has them (train -> ``train``, validation ->
``reserve``, test -> ``heldout``), else a seeded permutation; equal pictures are used once. imagelab never downloads: if
the files are missing, the error says what is expected where.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ..io.catalogue import BadFile, Catalogue, Split, every_page, shown
from ..io.decode import DistinctPictures, distinct_pictures
from ..io.facts import Facts
from ..io.grey import one_channel
from ..io.grouping import catalogue_keys, check_rule
from ..io.large_arrays import chosen_rows
from ..io.listed import named
from ..io.reading import Reading
from ..seeds import rng_at
from .base import Data, Sample
from .division import check_official, divided, groups_said, in_sequence

__all__ = ["FACES_OF_PEOPLE", "FilePath", "PictureFiles", "PictureSet", "found_at"]

LEAST_TRAIN = 4
LEAST_HELDOUT = 2  # a single image has no variance
LEAST_USABLE = LEAST_TRAIN + LEAST_HELDOUT

FACES_OF_PEOPLE = (
    "These are faces of real people who were not asked for consent: biometric, personal data. The licence of a "
    "photographer is not the consent of the person shown. Have a lawful basis, and an ethics review where it applies; "
    "do not identify or recognise anybody; publish no near-copies (small models memorise); respect removal lists; "
    "infer no sensitive traits: labels are opinions of annotators. State that generated images are synthetic and what "
    "the model was trained on."
)

Level = Annotated[int, Field(ge=0, le=255)]


def _absolute(path: Path) -> Path:
    if "\0" in str(path) or path == Path():
        raise ValueError(f"expected the name of a folder, got {str(path)!r}; write its full name")
    try:
        return Path(os.path.normpath(path.expanduser().absolute()))
    except RuntimeError as error:
        raise ValueError(f"the home folder in {path} is not known; write the full path") from error


FilePath = Annotated[
    Path, AfterValidator(_absolute), PlainSerializer(lambda path: path.as_posix(), return_type=str, when_used="json")
]
"""A path; ``~`` is expanded and it is stored as an absolute path, so the same folder gives the same experiment."""


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value  # as the command line gives it


class PictureSet(Data, ABC):
    """Abstract base of the datasets that read pictures from disk; a dataset adds ``_catalogue`` and its licence.

    Creating the recipe does not read the disk, so a configuration from another machine can be read. The first method
    that needs a missing or unusable file reports it.

    Attributes:
        size: side of the images, pixels: centre square crop, then one antialiased bicubic resize. A picture with a
            shorter side below ``size`` is enlarged (and counted in the card); below ``size / 2`` it is refused.
        on_bad: "skip" continues without bad pictures and names them; "stop" raises an error that names the first. A
            picture that is only on the set's list, not in the folder, is not a bad one: the card counts these.
        limit: use at most this many pictures, a fixed random choice that is the same for every seed; 0 for all.
        heldout_share: share of the usable pictures that is held out, at least 2; for sets without a test split.
        reserve_share: share that is reserved for regimes with fresh real data (of the official train split, if any).
        cache: whether the final pixels are stored on disk for the next run, in ``$IMAGELAB_CACHE/pictures``, else
            ``~/.cache/imagelab/pictures``.
        channels: 3 for colour (grey pictures have three equal channels), or 1 for grey: images are uint8 [N,1,H,W], and
            a colour picture becomes its luma (ITU-R BT.601), which the card counts.
    """

    size: int = Field(default=64, ge=8, le=1024)
    on_bad: Literal["skip", "stop"] = "skip"
    limit: int = Field(default=0, ge=0)
    heldout_share: float = Field(default=0.25, gt=0, lt=1)
    reserve_share: float = Field(default=0.0, ge=0, lt=1)
    cache: bool = True
    channels: Annotated[Literal[1, 3], BeforeValidator(_whole)] = 3

    licence: ClassVar[str] = "imagelab does not know the licence of these pictures."
    """What is known about the licence, with a note on ethics if people are shown; part of the card."""

    later: ClassVar[frozenset[str]] = frozenset({"channels"})
    """Settings that came later: written only where they are used, so that older experiments keep their names."""

    @model_serializer(mode="wrap")
    def _without_unused(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {  # of the class that brought the setting: the command line derives classes with other defaults
            name: field.default
            for line in type(self).__mro__
            if issubclass(line, BaseModel)
            for name, field in line.model_fields.items()
        }
        unused = {name for name in self.later if getattr(self, name) == defaults[name]}
        return {name: value for name, value in plain(self).items() if name not in unused}

    @abstractmethod
    def _catalogue(self) -> Catalogue:
        """Return the list of pictures and a function that reads one; ValueError if the layout is not found."""

    @abstractmethod
    def _subject(self) -> str:
        """Return the name and the place of the pictures, to follow "120 pictures of "."""

    @property
    def _word(self) -> str:
        """The kind, with which messages begin."""
        return str(type(self).model_fields["kind"].default)

    @model_validator(mode="after")
    def _train_is_left(self) -> PictureSet:
        if self.heldout_share + self.reserve_share >= 1:
            raise ValueError(
                f"heldout_share + reserve_share: expected less than 1, so that images are left for training, "
                f"got {self.heldout_share} + {self.reserve_share}"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return self.channels, self.size, self.size

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return the number of images of each split.

        Raises:
            ValueError: if the layout is not as expected, if fewer than 6 usable pictures are found, or with
                ``on_bad="stop"`` if any file is bad.
        """
        return {split: len(rows) for split, rows in self._rows(*self._usable(), seed).items()}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return the first n images of the seeded order of a split; a larger set begins with a smaller one.

        Raises:
            ValueError: as :meth:`available`, and if n is not 1 .. the number of images in the split.
        """
        catalogue, pictures = self._usable()
        rows = self._rows(catalogue, pictures, seed)[split]
        if not 1 <= n <= len(rows):
            raise ValueError(
                f"{self._word}: expected 1 to {len(rows)} images from the {split} split of {self._subject()}, got "
                f"n = {n}; request fewer, add pictures, or change limit, heldout_share and reserve_share"
            )
        chosen = rows[:n]
        columns = {name: column[pictures.rows[chosen]] for name, column in catalogue.attributes.items()}
        sources = tuple(pictures.names[row] for row in chosen)
        groups = None if catalogue.groups is None else catalogue.groups[pictures.rows[chosen]].astype(np.int64)
        return Sample(chosen_rows(pictures.images, chosen), columns, sources, groups=groups)

    def card(self) -> str:
        """One paragraph: what it is, how many pictures are used and how many not, how they were prepared, the terms."""
        (catalogue, pictures), total = self._usable(), len(self._all())
        chosen = f"A fixed random choice of {len(catalogue)} of {total} was read. " if len(catalogue) < total else ""
        remarks = "".join(f"{remark[:1].upper()}{remark[1:]}. " for remark in catalogue.remarks)
        division = "a seeded permutation" if catalogue.splits is None else "the dataset's own (validation is reserve)"
        return (
            f"{len(pictures.names)} pictures of {self._subject()}, cropped to the centre square and resized "
            f"once to {self.size} x {self.size} (antialiased bicubic, on sRGB values). {chosen}{catalogue.note}"
            f"{remarks}{self._groups_said(catalogue, pictures)}Left out: {len(pictures.bad)} bad "
            f"files, {pictures.copies} equal copies, {catalogue.ignored} files that are not pictures. "
            f"{pictures.enlarged} pictures were smaller than {self.size} px and enlarged: their fine detail is "
            f"interpolated. {self._said_of(pictures.facts)}"
            f"Splits: {division}. Only copies "
            f"equal in every pixel are found; near-copies (another compression, another crop) may stand in two splits. "
            f"{self.licence} Fingerprint {pictures.fingerprint()[:16]}."
        )

    def _said_of(self, facts: Facts) -> str:
        """Return what was done to the pixels, and what the files are, as sentences for the card."""
        reading = self._reading
        behind, page = "rgb" + str(reading.alpha_over), "page takes another of them, or all"
        lines = [*reading.levels_said(), *facts.sentences(behind, "" if reading.page else page)]
        return "".join(f"{line[0].upper()}{' '.join(line[1:].split())}. " for line in lines)

    def bad_files(self) -> tuple[BadFile, ...]:
        """The pictures that were refused, with reasons, whatever ``on_bad`` says."""
        return distinct_pictures(self._chosen(), self.size, self.cache).bad

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, SHA-256 of the final pixels) of the usable pictures."""
        return distinct_pictures(self._chosen(), self.size, self.cache).fingerprint()

    def _chosen(self) -> Catalogue:
        """Return the catalogue, reduced to ``limit`` pictures."""
        catalogue = self._all()
        if self.limit == 0 or len(catalogue) <= self.limit:
            return catalogue
        return catalogue.take(np.sort(rng_at(0, "picture_set/limit").permutation(len(catalogue))[: self.limit]))

    def _all(self) -> Catalogue:
        pages = every_page(self._with_groups(self._catalogue()), self._reading)
        return pages if self.channels == 3 else one_channel(pages)

    @property
    def _rule(self) -> str:
        """The user's rule by which pictures are grouped; "" for none."""
        return ""

    def _with_groups(self, catalogue: Catalogue) -> Catalogue:
        """Return the catalogue with the groups that the user asks for."""
        if not self._rule:
            return catalogue
        try:
            return replace(catalogue, groups=catalogue_keys(catalogue, self._rule))
        except ValueError as error:
            raise ValueError(f"{self._word}: {error}") from error

    def _groups_said(self, catalogue: Catalogue, pictures: DistinctPictures) -> str:
        groups = catalogue.groups
        return groups_said(groups[pictures.rows], self._rule) if self._rule and groups is not None else ""

    @property
    def _reading(self) -> Reading:
        """How a picture file is read."""
        return Reading()

    def _usable(self) -> tuple[Catalogue, DistinctPictures]:
        """Return what the dataset holds, or say why it cannot be one."""
        catalogue = self._chosen()
        pictures = distinct_pictures(catalogue, self.size, self.cache)
        where, count = self._subject(), len(pictures.names)
        listed = named(pictures.bad)
        if self.on_bad == "stop" and pictures.bad:
            raise ValueError(
                f'{self._word}: {len(pictures.bad)} bad files and on_bad = "stop"; mend or move them:{listed}'
            )
        if count + pictures.copies + len(pictures.bad) == 0:
            raise ValueError(
                f"{self._word}: expected PNG, JPEG, WebP, AVIF, BMP, TIFF or GIF files in {where}, got none "
                f"({'; '.join((f'{catalogue.ignored} files of other kinds', *catalogue.remarks))}); give the folder "
                f"that contains the pictures. {catalogue.note}".rstrip()
            )
        if count < LEAST_USABLE:
            said = (
                f"{self._word}: expected at least {LEAST_USABLE} different usable pictures in {where}, got {count} "
                f"({pictures.copies} equal copies, {len(pictures.bad)} bad files); add pictures. {catalogue.note}"
            )
            raise ValueError(said.rstrip() + listed)
        return catalogue, pictures

    def _rows(self, catalogue: Catalogue, pictures: DistinctPictures, seed: int) -> dict[Split, np.ndarray]:
        """Return each split's rows of the distinct pictures, in seeded order."""
        count = len(pictures.names)
        order = rng_at(seed, f"{self._word}/split").permutation(count)
        if catalogue.splits is not None:
            return self._official_rows(catalogue, pictures, order, seed)
        heldout = min(max(LEAST_HELDOUT, round(count * self.heldout_share)), count - LEAST_TRAIN)
        reserve = min(round(count * self.reserve_share), count - heldout - LEAST_TRAIN)
        place = np.arange(count)
        if catalogue.groups is not None and self._rule:
            return self._group_rows(catalogue.groups[pictures.rows], order, (heldout, reserve), seed)
        if catalogue.groups is not None:
            order, place = in_sequence(order, catalogue.groups[pictures.rows])
        return {
            "heldout": order[place < heldout],
            "reserve": order[(place >= heldout) & (place < heldout + reserve)],
            "train": order[place >= heldout + reserve],
        }

    def _official_rows(
        self, catalogue: Catalogue, pictures: DistinctPictures, order: np.ndarray, seed: int
    ) -> dict[Split, np.ndarray]:
        """Return each split's rows where the dataset has its own division; the reserve may be taken from train."""
        splits = np.array(catalogue.splits)[pictures.rows]
        official = splits[order]
        rows: dict[Split, np.ndarray] = {
            "heldout": order[official == "heldout"],
            "reserve": order[official == "reserve"],
            "train": order[official == "train"],
        }
        back = round(len(rows["train"]) * self.reserve_share)
        if self._rule and catalogue.groups is not None:
            groups = catalogue.groups[pictures.rows]
            try:
                check_official(groups, splits, pictures.names, self._rule)
            except ValueError as error:
                raise ValueError(f"{self._word}: {error}") from error
            if back:
                parts = self._group_rows(groups[rows["train"]], np.arange(len(rows["train"])), (back, 0), seed)
                rows["reserve"] = np.concatenate([rows["reserve"], rows["train"][parts["heldout"]]])
                rows["train"] = rows["train"][parts["train"]]
        else:
            rows["reserve"] = np.concatenate([rows["reserve"], rows["train"][:back]])
            rows["train"] = rows["train"][back:]
        train, held = len(rows["train"]), len(rows["heldout"])
        if train < LEAST_TRAIN or held < LEAST_HELDOUT:
            raise ValueError(
                f"{self._word}: expected at least {LEAST_TRAIN} pictures for training and {LEAST_HELDOUT} held "
                f"out in its own division, got {train} and {held}; raise limit, or set official = False"
            )
        return rows

    def _group_rows(
        self, groups: np.ndarray, order: np.ndarray, wanted: tuple[int, int], seed: int
    ) -> dict[Split, np.ndarray]:
        """Return each split's rows, whole groups only; ``wanted`` are the pictures for heldout and reserve."""
        try:
            parts = divided(groups, *wanted, rng_at(seed, f"{self._word}/groups"), f"group {self._rule!r}")
        except ValueError as error:
            raise ValueError(f"{self._word}: {error}") from error
        if parts["train"].sum() < LEAST_TRAIN or parts["heldout"].sum() < LEAST_HELDOUT:
            raise ValueError(
                f"{self._word}: expected at least {LEAST_TRAIN} pictures for training and {LEAST_HELDOUT} held out, "
                f"got {parts['train'].sum()} and {parts['heldout'].sum()} with the groups {self._rule!r}; add pictures"
            )
        return {split: order[chosen[order]] for split, chosen in parts.items()}


def _rule_or_none(rule: str) -> str:
    return check_rule(rule) if rule else rule


class PictureFiles(PictureSet):
    """Abstract base of the datasets of a user's own picture files, which may be of any form.

    The other settings are those of :class:`PictureSet`.

    Attributes:
        alpha_over: RGB 0..255 behind transparent pixels.
        white: the value that means white in pictures whose values are not bytes, one for all pictures; by default the
            file has to say it.
        black: the value that means black in them, 0 if not stated. Where it is stated, values beyond black or white are
            cut to them, and the card counts them; else such a picture is refused.
        page: which picture is taken of a file that holds several (TIFF pages, frames of an animation): its number, from
            1, or "all". By default the first one is taken, and the card counts such files.
    """

    alpha_over: tuple[Level, Level, Level] = (255, 255, 255)
    white: float | None = None
    page: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    group: Annotated[str, AfterValidator(_rule_or_none)] = ""
    black: float | None = None

    later: ClassVar[frozenset[str]] = PictureSet.later | {"white", "page", "group", "black"}

    @model_validator(mode="after")
    def _reading_is_possible(self) -> PictureFiles:
        _ = self._reading
        return self

    @property
    def _rule(self) -> str:
        return self.group

    @property
    def _reading(self) -> Reading:
        return Reading(self.alpha_over, self.white, self.page, self.black)


def found_at(kind: str, path: Path, expected: str, source: str, *candidates: Path) -> Path:
    """Return the first candidate that exists.

    Args:
        kind: the kind of dataset, with which the message begins.
        path: the user's path.
        expected: the files that are expected under it.
        source: who publishes the dataset.
        candidates: the paths to try, in this order.

    Raises:
        ValueError: if none exists; the message says what is expected where and who publishes it.
    """
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = ", ".join(shown(candidate) for candidate in candidates)
    raise ValueError(
        f"{kind}: expected {expected} under {shown(path)} (looked for {tried}). imagelab never downloads: get it from "
        f"{source}, unpack it there, and give that folder as path."
    )
