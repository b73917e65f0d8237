"""Crops of a few large photographs of the user's own: microscope slides, satellite pictures, scans, landscapes.

The splits never share a pixel. Split by region, every photograph is cut into a train, a heldout and a reserve part;
split by picture, a whole photograph belongs to one split. A part is cut out first and resampled afterwards, so that no
pixel of one part reaches another one through the resampling kernel.

Crops of a part overlap one another; the effective sample size is the number of disjoint crops. Crops of one cell of a
part form a group (``Sample.groups``), as many groups as there are disjoint crops, and errors are taken over groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from pydantic import Field, model_validator

from ..io.cache import cache_folder
from ..io.catalogue import BadFile, Catalogue, Split, digest
from ..io.decode import Facts, pick, stored_set
from ..io.large_pictures import Survey, resampled, scaled_side, surveyed
from ..io.listed import named
from ..seeds import rng_at
from .base import Sample
from .division import divided, groups_said
from .folder import files_at, place_of_files
from .picture_set import FilePath, PictureFiles
from .positions import Box, PhotoPart, cells_of, distinct_places, turns

__all__ = ["Patches"]

VERSION = 1
"""Part of the name of every cached set of crops; raise it when other crops would be cut."""

BLOCK = 256  # crops that are written together
FEW = 20  # photographs that have an attribute each
SPLITS: tuple[Split, ...] = get_args(Split)

Parts = dict[Split, list[PhotoPart]]
Draw = tuple[np.ndarray, np.ndarray]
"""The positions of the crops of one part, int64 [k], and which are mirrored, bool [k]."""


class Patches(PictureFiles):
    """Seeded random crops of large photographs in a folder or an archive, mirrored half of the time.

    The photographs take turns, each once in a round, until one has no new crop left. No crop occurs twice in a split.
    With up to 20 photographs, split by region, the photograph of a crop is an attribute, such as ``picture/hill.jpg``.
    Names, archives and bad files are treated as by :class:`~imagelab.data.folder.Folder`.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        path: a folder or an archive, as in :class:`~imagelab.data.folder.Folder`.
        size: side of a crop, pixels.
        scale: resampling of the photographs before crops are cut: 0.5 halves their sides. 1 leaves the pixels as they
            are.
        split_by: "region" cuts every photograph into parts, along its width where that leaves room for a crop, else
            along its height: train, heldout, reserve. "picture" gives whole photographs to a split; it needs two
            photographs held out and two for train, and results hold for other photographs of that kind.
        per_picture: at most this many crops of each photograph in a split; 0 for all positions.
        mirror: whether crops are mirrored left to right half of the time.
        limit: use at most this many photographs, a fixed random choice; 0 for all.
        heldout_share: share of each photograph (or of the photographs) that is held out.
        reserve_share: as ``heldout_share``, for the reserve; 0 for none.
        recursive: whether subfolders are read.
        key: as in :class:`~imagelab.data.folder.Folder`.
    """

    kind: Literal["patches"] = "patches"
    path: FilePath
    scale: float = Field(default=1.0, gt=0, le=2)
    split_by: Literal["region", "picture"] = "region"
    per_picture: int = Field(default=0, ge=0)
    mirror: bool = True
    recursive: bool = True
    key: str = ""

    @model_validator(mode="after")
    def _groups_are_of_pictures(self) -> Patches:
        if self.group and self.split_by == "region":
            raise ValueError(
                'group: with split_by = "region" every photograph is in all splits, so groups cannot be kept apart; '
                'use split_by = "picture", or leave group out'
            )
        return self

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return the number of different (overlapping) crops of each split.

        Raises:
            ValueError: if there is no photograph that can be divided, or too few of them; with the reasons.
        """
        _, _, parts = self._parts(seed)
        return {split: sum(self._most(part) for part in parts[split]) for split in SPLITS}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n crops of a split; a larger set begins with a smaller one.

        Raises:
            ValueError: as :meth:`available`, and if n is not 1 .. ``available(seed)[split]``.
        """
        catalogue, survey, parts = self._parts(seed)
        limits = np.array([self._most(part) for part in parts[split]], np.int64)
        if not 1 <= n <= limits.sum():
            raise ValueError(
                f"{self._word}: expected 1 to {limits.sum()} crops from the {split} split of {self._subject()}, got "
                f"n = {n}; add photographs, or change size, scale, per_picture, heldout_share and reserve_share"
            )
        orders = [rng_at(seed, f"{self._address(part, survey, split)}/turn") for part in parts[split]]
        which, turn = turns(limits, n, orders)
        counts = np.bincount(which, minlength=len(limits))
        draws = [self._draw(part, survey, split, seed, int(k)) for part, k in zip(parts[split], counts, strict=True)]
        first = np.cumsum(counts) - counts
        stored = self._cut(catalogue, survey, parts[split], draws, digest(split, n, seed))
        flat = first[which] + turn  # the crops are stored photograph by photograph
        cells = np.concatenate([cells_of(part, places) for part, (places, _) in zip(parts[split], draws, strict=True)])
        photos = np.array([part.photo for part in parts[split]])[which]
        _, groups = np.unique(np.stack([photos, cells[flat]]), axis=1, return_inverse=True)
        told = [text for part, draw in zip(parts[split], draws, strict=True) for text in self._told(part, survey, draw)]
        return Sample(
            pick(stored, flat),
            self._attributes(survey, photos),
            tuple(told[row] for row in flat),
            groups=groups.reshape(-1).astype(np.int64),
        )

    def card(self) -> str:
        """One paragraph: the photographs, how they were divided, the number of disjoint crops, the terms."""
        catalogue, survey, parts = self._parts(0)
        used = np.unique([part.photo for split in SPLITS for part in parts[split]])
        low, high = survey.forms[used].min(0), survey.forms[used].max(0)
        total = len(self._all())
        chosen = f"A fixed random choice of {len(catalogue)} of {total} was read. " if len(catalogue) < total else ""
        remarks = "".join(f"{remark[:1].upper()}{remark[1:]}. " for remark in catalogue.remarks)
        before = "" if self.scale == 1 else f"resampled by {self.scale:g} (antialiased bicubic, on sRGB values) and "
        most = f", at most {self.per_picture} of each in a split" if self.per_picture else ""
        return (
            f"Random {self.size} x {self.size} crops{', half of them mirrored,' if self.mirror else ''} of {len(used)} "
            f"photographs of {self._subject()}{most}. The photographs have {low[1]} x {low[0]} to "
            f"{high[1]} x {high[0]} pixels and were {before}cut without any other change. "
            f"{chosen}{catalogue.note}{remarks}{self._division_said(catalogue, survey, parts)}"
            f"Left out: {len(self.bad_files())} bad files, "
            f"{survey.facts.copies} equal copies, {catalogue.ignored} files that are not pictures. "
            f"{self._said_of(survey.facts)}{self.licence} Fingerprint {survey.fingerprint()[:16]}."
        )

    def _division_said(self, catalogue: Catalogue, survey: Survey, parts: Parts) -> str:
        """Return how the splits were made and how many disjoint crops there are, as sentences for the card."""
        counts = {split: sum(part.down * part.across for part in parts[split]) for split in SPLITS}
        if self.split_by == "region":
            told = ", ".join(f"{count} for {split}" for split, count in counts.items())
            return (
                f"Each photograph is cut into parts for train, heldout and reserve, so no pixel is in two splits, and "
                f"every split has parts of the same photographs: results hold for these photographs, not for others. "
                f"Crops overlap: the effective sample size is the number of disjoint crops, {told}. "
            )
        groups = groups_said(catalogue.groups[survey.rows], self._rule) if catalogue.groups is not None else ""
        return (
            f"Whole photographs are in one split, a seeded choice. Near-copies of one may stand in two splits. "
            f"Crops overlap: the effective sample size is the number of disjoint crops, {sum(counts.values())} in all, "
            f"and for statements on other photographs the number of photographs. {groups}"
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """The files that were refused, with reasons; photographs that are too small to be divided among them."""
        catalogue = self._chosen()
        survey = surveyed(catalogue, self.cache)
        return (*survey.bad, *self._small(survey))

    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, SHA-256 of all pixels) of the photographs."""
        return surveyed(self._chosen(), self.cache).fingerprint()

    def _catalogue(self) -> Catalogue:
        return files_at(self.path, self.recursive, self.key, self._reading, self.cache)

    def _subject(self) -> str:
        return place_of_files(self.path, self.recursive)

    def _most(self, part: PhotoPart) -> int:
        places = part.high * part.wide
        return min(places, self.per_picture) if self.per_picture else places

    def _regions(self, height: int, width: int) -> dict[Split, Box]:
        """Return the box of each split in a photograph; an empty dict where a crop does not fit into each of them."""
        shares = {"heldout": self.heldout_share, "reserve": self.reserve_share}
        for side, other, along in ((width, height, "width"), (height, width, "height")):
            held, back = (round(side * shares[name]) for name in ("heldout", "reserve"))
            ends: dict[Split, tuple[int, int]] = {
                "train": (0, side - held - back),
                "heldout": (side - held - back, side - back),
                "reserve": (side - back, side),
            }
            if not self.reserve_share:
                del ends["reserve"]
            fits = all(scaled_side(end - start, self.scale) >= self.size for start, end in ends.values())
            if fits and scaled_side(other, self.scale) >= self.size:
                if along == "width":
                    return {split: (0, start, height, end) for split, (start, end) in ends.items()}
                return {split: (start, 0, end, width) for split, (start, end) in ends.items()}
        return {}

    def _part(self, photo: int, box: Box) -> PhotoPart:
        top, left, bottom, right = box
        height, width = scaled_side(bottom - top, self.scale), scaled_side(right - left, self.scale)
        size = self.size
        return PhotoPart(photo, box, height - size + 1, width - size + 1, height // size, width // size)

    def _small(self, survey: Survey) -> tuple[BadFile, ...]:
        """Return the photographs that are too small to be divided, with the reason."""
        bad = []
        for name, (height, width) in zip(survey.names, survey.forms.tolist(), strict=True):
            sides = scaled_side(width, self.scale), scaled_side(height, self.scale)
            after = "" if self.scale == 1 else f", {sides[0]} x {sides[1]} after resampling by {self.scale:g}"
            if min(sides) < self.size:
                bad.append(BadFile(name, f"too small: {width} x {height} pixels{after}; a crop is {self.size}"))
            elif self.split_by == "region" and not self._regions(height, width):
                share = min(self.heldout_share, self.reserve_share or 1, 1 - self.heldout_share - self.reserve_share)
                bad.append(
                    BadFile(
                        name,
                        f"too small to be divided: {width} x {height} pixels{after}; its smallest part, {share:.0%} of "
                        f"a side, has no room for a crop of {self.size}; choose a smaller size, other shares, or "
                        f"split_by picture",
                    )
                )
        return tuple(bad)

    def _parts(self, seed: int) -> tuple[Catalogue, Survey, Parts]:
        """Return the catalogue, what it holds, and the parts of each split, or say why there are none."""
        catalogue = self._chosen()
        survey = surveyed(catalogue, self.cache)
        small = self._small(survey)
        bad = (*survey.bad, *small)
        if self.on_bad == "stop" and bad:
            raise ValueError(f'{self._word}: {len(bad)} bad files and on_bad = "stop"; mend or move them:{named(bad)}')
        left_out = {each.path for each in small}
        photos = np.array([row for row, name in enumerate(survey.names) if name not in left_out], np.int64)
        if not len(photos):
            raise ValueError(
                f"{self._word}: expected at least one photograph that holds crops of {self.size} pixels in "
                f"{self._subject()}, got none ({len(bad)} bad files, {catalogue.ignored} files of other kinds); give "
                f"the folder or archive that holds them, or a smaller size"
                f"{named(bad)}"
            )
        parts: Parts = {split: [] for split in SPLITS}
        if self.split_by == "region":
            for photo in photos.tolist():
                for split, box in self._regions(*survey.forms[photo].tolist()).items():
                    parts[split].append(self._part(photo, box))
            return catalogue, survey, parts
        for split, chosen in self._photos_of(catalogue, survey, photos, seed).items():
            boxes = [(photo, (0, 0, *survey.forms[photo].tolist())) for photo in chosen.tolist()]
            parts[split] = [self._part(photo, box) for photo, box in boxes]
        return catalogue, survey, parts

    def _photos_of(
        self, catalogue: Catalogue, survey: Survey, photos: np.ndarray, seed: int
    ) -> dict[Split, np.ndarray]:
        """Return the photographs of each split where whole photographs are divided."""
        heldout, reserve = (round(len(photos) * share) for share in (self.heldout_share, self.reserve_share))
        back = max(int(self.reserve_share > 0), reserve)
        belong = photos if catalogue.groups is None else catalogue.groups[survey.rows[photos]]
        what = f"group {self.group!r}" if self.group else 'split_by = "picture"'
        unit = "groups" if self.group else "photographs"
        try:
            chosen = divided(belong, max(2, heldout), back, rng_at(seed, f"{self._word}/split"), what, unit)
        except ValueError as error:
            raise ValueError(f'{self._word}: {error}, or use split_by = "region"') from error
        return {split: photos[mine] for split, mine in chosen.items()}

    def _address(self, part: PhotoPart, survey: Survey, split: Split) -> str:
        return f"{self._word}/{split}/{survey.names[part.photo]}"

    def _draw(self, part: PhotoPart, survey: Survey, split: Split, seed: int, n: int) -> Draw:
        """Return the first n crops of a part."""
        address = self._address(part, survey, split)
        places = distinct_places(part.high * part.wide, n, rng_at(seed, address))
        flips = rng_at(seed, f"{address}/mirror").random(n) < 0.5 if self.mirror else np.zeros(n, bool)
        return places, flips

    def _cut(
        self, catalogue: Catalogue, survey: Survey, parts: Sequence[PhotoPart], draws: Sequence[Draw], asked: str
    ) -> np.ndarray:
        """Return the crops, photograph by photograph, uint8 [N,C,size,size]; one photograph is in memory at a time."""

        def fill(_: Facts) -> Iterator[np.ndarray]:
            for part, (places, flips) in zip(parts, draws, strict=True):
                if not len(places):
                    continue
                try:
                    pixels = catalogue.read(int(survey.rows[part.photo])).pixels
                except (ValueError, OSError) as error:
                    raise ValueError(f"{self._word}: {survey.names[part.photo]} changed: {error}") from error
                top, left, bottom, right = part.box
                pixels = resampled(pixels[:, top:bottom, left:right], self.scale)
                for first in range(0, len(places), BLOCK):
                    yield _crops(pixels, part, places[first : first + BLOCK], flips[first : first + BLOCK], self.size)

        boxes = [(survey.facts.digests[part.photo], part) for part in parts]
        key = digest("patches", VERSION, catalogue.stamp, boxes, self.size, self.scale, self.mirror, asked)
        kept = cache_folder("pictures") / f"{key}.bytes" if self.cache and catalogue.stamp else None
        return stored_set(kept, fill)[0]

    def _told(self, part: PhotoPart, survey: Survey, draw: Draw) -> list[str]:
        """Return where each crop is from: the photograph and the upper left corner in its pixels."""
        rows, columns = np.divmod(draw[0], part.wide)
        corners = zip(part.box[0] + rows / self.scale, part.box[1] + columns / self.scale, draw[1], strict=True)
        name = survey.names[part.photo]
        return [f"{name} y={y:.10g} x={x:.10g}{' mirrored' if flip else ''}" for y, x, flip in corners]

    def _attributes(self, survey: Survey, photos: np.ndarray) -> Mapping[str, np.ndarray]:
        if self.split_by == "picture" or len(survey.names) > FEW:
            return MappingProxyType({})
        left_out = {each.path for each in self._small(survey)}
        names = [(row, name) for row, name in enumerate(survey.names) if name not in left_out]
        return {f"picture/{name}": photos == row for row, name in names}


def _crops(pixels: np.ndarray, part: PhotoPart, places: np.ndarray, flips: np.ndarray, size: int) -> np.ndarray:
    """Return the crops of one part, uint8 [k,C,size,size]."""
    crops = np.empty((len(places), len(pixels), size, size), np.uint8)
    for row, (y, x) in enumerate(zip(*np.divmod(places, part.wide), strict=True)):
        crop = pixels[:, y : y + size, x : x + size]
        crops[row] = crop[:, :, ::-1] if flips[row] else crop
    return crops
