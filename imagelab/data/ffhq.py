"""FFHQ, Flickr-Faces-HQ: the thumbnails (128 x 128) or any other size of the set.

Layout: ``thumbnails128x128/00000/00000.png``, one folder per thousand, or all pictures in one folder; optionally, next
to it, ``ffhq-dataset-v2.json`` with licence, author and category (training or validation) of every photograph.

References:
    A style-based generator architecture for generative adversarial networks (Karras et al. 2019), arXiv:1812.04948.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..io.annotation_lists import changed, official_splits
from ..io.catalogue import Catalogue, digest, file_catalogue, list_pictures, shown
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
        catalogue = file_catalogue(list_pictures(folder))
        records = next((p for p in (self.path / RECORDS, folder.parent / RECORDS) if p.is_file()), None)
        if records is None:
            return replace(catalogue, note=f"Without {RECORDS} the licence of each photograph is not known. ")
        stamp = changed(records)
        known = _records(stamp)
        described = [known.get(Path(name).stem.lstrip("0") or "0", ("", "")) for name in catalogue.names]
        licences = Counter(licence or "not in the file" for _, licence in described)
        note = f"Licences of the photographs: {', '.join(f'{k} {n}' for k, n in sorted(licences.items()))}. "
        splits = official_splits([category for category, _ in described]) if self.official else None
        return replace(catalogue, stamp=digest(catalogue.stamp, stamp), splits=splits, note=note)

    def _subject(self) -> str:
        return f"FFHQ in {shown(self.path)}"


@lru_cache(maxsize=1)
def _records(file: tuple[str, int, int]) -> dict[str, tuple[str, str]]:
    """Return picture number -> (category, licence) from the set's JSON file."""
    try:
        content = json.loads(Path(file[0]).read_text(encoding="utf-8"))
        return {
            str(number): (str(record.get("category", "")), str((record.get("metadata") or {}).get("license", "")))
            for number, record in content.items()
        }
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{shown(file[0])}: expected FFHQ's records by picture number, got other content") from error
