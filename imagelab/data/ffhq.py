"""FFHQ, Flickr-Faces-HQ: the thumbnails (128 x 128) or any other size of the set.

Layout: ``thumbnails128x128/00000/00000.png``, one folder per thousand, or all pictures in one folder; optionally, next
to it, ``ffhq-dataset-v2.json`` with licence, author and category (training or validation) of every photograph.

References:
    A style-based generator architecture for generative adversarial networks (Karras et al. 2019), arXiv:1812.04948.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..io.annotation_lists import OFFICIAL, changed, division
from ..io.catalogue import Catalogue, Entry, digest, file_catalogue, list_pictures, shown
from ..io.untrusted import few, json_value, quoted, regular
from .picture_set import FACES_OF_PEOPLE, FilePath, PictureSet, found_at

__all__ = ["FFHQ"]

SOURCE = "the ffhq-dataset repository of NVIDIA Research (NVlabs)"
RECORDS = "ffhq-dataset-v2.json"


class FFHQ(PictureSet):
    """Flickr-Faces-HQ.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureSet`.

    Attributes:
        path: the folder that contains ``thumbnails128x128`` (or ``images1024x1024``), or the folder of pictures itself.
        official: whether the categories of the JSON file, if it exists, are the splits (validation is held out); else
            a seeded permutation. The card says which.
        limit: use at most this many of the 70,000 pictures; 0 for all.
        cache: off by default, so that no copy of real people's faces is left on the disk.
    """

    kind: Literal["ffhq"] = "ffhq"
    path: FilePath
    official: bool = True
    cache: bool = False
    limit: int = Field(default=20_000, ge=0)

    licence: ClassVar[str] = (
        "Licence: the set CC BY-NC-SA 4.0, each photograph its own (in the set's JSON file), as stated by its authors; "
        "check before publishing. People can ask for removal through NVIDIA or the Flickr tag no_cv: keep your copy "
        "up to date. " + FACES_OF_PEOPLE
    )

    def _catalogue(self) -> Catalogue:
        places = (self.path / "thumbnails128x128", self.path / "images1024x1024", self.path)
        expected = "thumbnails128x128/00000/00000.png ..."
        folder = found_at(self.kind, self.path, expected, SOURCE, *places)
        listing = list_pictures(folder)
        records = next((p for p in (self.path / RECORDS, folder.parent / RECORDS) if p.is_file()), None)
        if records is None:
            note = f"Without {RECORDS} the licence of each photograph is not known. "
            return replace(file_catalogue(listing), note=note)
        stamp = changed(records)
        known = _records(stamp)
        gone = sorted(known.keys() - {_number(entry) for entry in listing.entries}, key=lambda n: (len(n), n))
        note = f"{len(gone):,} of {len(known):,} listed pictures are not in the folder: {few(gone)}. " if gone else ""
        placed = [e for e in listing.entries if known.get(_number(e), ("", ""))[0].lower() in OFFICIAL]
        if self.official and 0 < len(placed) < len(listing.entries):
            extra = sorted({entry.name for entry in listing.entries} - {entry.name for entry in placed})
            note += f"{len(extra):,} pictures have no category in the list and are not used: {few(extra)}. "
            listing = replace(listing, entries=tuple(placed))
        catalogue = file_catalogue(listing)
        described = [known.get(_number(entry), ("", "")) for entry in listing.entries]
        licences = Counter(licence or "not in the file" for _, licence in described)
        splits, undivided = division([category for category, _ in described]) if self.official else (None, "")
        counts = few([f"{quoted(licence, 80)} {n}" for licence, n in sorted(licences.items())], most=12)
        note = f"Licences of the photographs: {counts}. {note}{undivided}"
        return replace(catalogue, stamp=digest(catalogue.stamp, stamp), splits=splits, note=note)

    def _subject(self) -> str:
        return f"FFHQ in {shown(self.path)}"


def _number(entry: Entry) -> str:
    return Path(entry.name).stem.lstrip("0") or "0"


@lru_cache(maxsize=1)
def _records(file: tuple[str, int, int]) -> dict[str, tuple[str, str]]:
    """Return picture number -> (category, licence) from the set's JSON file."""
    path = Path(file[0])
    regular(path)
    content = json_value(path.read_bytes(), path)
    known: dict[str, tuple[str, str]] = {}
    for number, record in content.items() if isinstance(content, dict) else [("", None)]:
        facts = (record.get("metadata") or {}) if isinstance(record, dict) else None
        if not isinstance(record, dict) or not isinstance(facts, dict):
            at = f" at {quoted(number, 40)!r}" if number else ""
            raise ValueError(f"{shown(path)}: expected FFHQ's records by picture number, got other content{at}")
        known[number.strip().lstrip("0") or "0"] = str(record.get("category") or ""), str(facts.get("license") or "")
    return known
