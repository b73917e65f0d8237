"""Following a folder that a production system fills: what was measured is kept in one file and survives a kill.

The state, ``state.json``, is replaced as a whole after every batch. It holds the settings with the digest of REAL's
pixels, one record a batch, and the sums of the last batches, which the pooled look needs. ``batches.jsonl`` repeats the
records, a line a batch, for other programs.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..io.atomic import write_atomic
from ..io.grouping import group_keys
from ..io.untrusted import few, json_value, parsing, shown
from ..metrics import ImageSet
from .growing_folder import ProductionBatch, states_of
from .named_pictures import open_named
from .production_alarm import BATCH_FEWEST, POOLED, AlarmLook, AlarmReference, BatchSums, look_at, pool_of
from .sources import OpenedImages, Opening

__all__ = ["ProductionWatch", "pixels_digest"]

SCHEMA = 1
STATE, LINES = "state.json", "batches.jsonl"
NAMED_DAMAGED = 20  # damaged pictures of a batch that are named one by one
MANY = "{} pictures, REAL has {} for comparison: accidents of REAL ring more often than stated; give more of it"
MOVED = 3  # measurements of a look that a record names


def pixels_digest(images: np.ndarray) -> str:
    """Return SHA-256 over shape and pixels."""
    total = hashlib.sha256(repr(images.shape).encode())
    for image in images:
        total.update(np.ascontiguousarray(image).data)
    return total.hexdigest()


class ProductionWatch:
    """The batches of one folder and what was said of them.

    Args:
        place: the folder of the state; made where it does not exist.
        settings: plain JSON values that decide the numbers, REAL's digest among them.
        reference: REAL.

    Raises:
        ValueError: if the state was written with other settings or another REAL, or is damaged.
    """

    def __init__(self, place: Path, settings: Mapping[str, Any], reference: AlarmReference):
        self.place, self.settings, self.reference = place, dict(settings), reference
        self.records: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self._pool: list[BatchSums] = []
        place.mkdir(parents=True, exist_ok=True)
        if (place / STATE).is_file():
            self._read(place / STATE)
            self._write_lines()  # what a kill between the two files left behind

    @property
    def names(self) -> dict[str, int]:
        """Name of every batch that was measured -> how many files it had."""
        return {record["batch"]: record["files"] for record in self.records}

    def judge(
        self, folder: Path, batch: ProductionBatch, how: Opening, group: str, keep: bool
    ) -> dict[str, Any] | None:
        """Measure a complete batch, keep the result and return its record; None if it changed while it was read.

        Args:
            folder: where its files lie.
            batch: what was listed.
            how: what may be done to the pixels, as to REAL's.
            group: rule by which pictures belong together (io/grouping.py), "" for none.
            keep: whether the names of its files are kept, so that they are not measured again.
        """
        names = [file.name for file in batch.files]
        record: dict[str, Any] = {"batch": batch.name, "files": len(names), "pictures": 0, "verdict": "", "looks": []}
        record["measured"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        sums: BatchSums | None = None
        try:
            opened, kept = open_named(folder, how, f"batch {shown(batch.name)}", names)
            record |= _damage(opened)
            groups = group_keys(kept, group) if group else None
            sums = self.reference.sums(ImageSet(self._of_one_form(opened), groups=groups))
        except ValueError as error:
            record |= {"verdict": "not measured", "reason": str(error)}
        if states_of(folder, batch.files) != {
            file.name: (file.size, file.modified, file.changed) for file in batch.files
        }:
            return None
        if sums is not None:
            record |= {"pictures": sums.count, "independent": sums.independent, **self._said(sums)}
        self.records.append(record)
        self.seen |= set(names) if keep else set()
        self._write()
        return record

    def _of_one_form(self, opened: OpenedImages) -> np.ndarray:
        form, images = tuple(self.settings["form"]), opened.images
        if (form[0], images.shape[1]) == (1, 3) and (images == images[:, :1]).all():
            images = images[:, :1]  # grey pictures in colour files
        elif (form[0], images.shape[1]) == (3, 1):
            images = images.repeat(3, axis=1)
        if images.shape[1:] != form:
            raise ValueError(
                f"expected pictures of form {form} as in REAL (channels, height, width), got {images.shape[1:]}; "
                "--size brings all to one size"
            )
        return images

    def _said(self, sums: BatchSums) -> dict[str, Any]:
        """Look at a batch alone and with those before it; return the verdict."""
        self._pool = [*self._pool, sums][-POOLED:]
        pool = pool_of(self.reference, self._pool)
        together = BatchSums.pooled(pool)
        looks: list[AlarmLook] = []
        if sums.independent >= BATCH_FEWEST:
            looks.append(look_at(self.reference, [sums]))
        if len(pool) > 1 and together.independent >= BATCH_FEWEST:
            looks.append(look_at(self.reference, pool))
        if not looks:
            kind = "pictures" if sums.independent == sums.count else "groups of pictures"
            reason = f"{sums.independent} {kind} are too few for an alarm; {BATCH_FEWEST} are needed"
            return {"verdict": "too few", "reason": reason}
        more = {} if sums.count <= self.reference.count else {"reason": MANY.format(sums.count, self.reference.count)}
        return more | {
            "verdict": "alarm" if any(look.rings for look in looks) else "no alarm",
            "looks": [_of_look(look) for look in looks],
        }

    def _read(self, path: Path) -> None:
        with parsing(path, "the state of imagelab watch --folder"):
            found = json_value(path.read_text(encoding="utf-8"), path)
            former, self.records = dict(found["settings"]), list(found["batches"])
            self.seen = set(found["seen"])
            self._pool = [BatchSums(e["count"], e["independent"], np.array(e["sums"], float)) for e in found["pool"]]
            if any(each.sums.shape != (self.reference.width,) or each.count < 1 for each in self._pool):
                raise ValueError(f"expected {self.reference.width} sums of every batch in the pool")
            _ = self.names
        changed = [name for name in self.settings if former.get(name) != self.settings[name]]
        if changed:
            what = few([f"{name}: {former.get(name)} then, {self.settings[name]} now" for name in changed])
            raise ValueError(
                f"{shown(path)}: its batches were measured with other settings or another REAL ({what}). Give these "
                "again, or start anew in another place: --output"
            )

    def _write(self) -> None:
        whole = {
            "schema": SCHEMA,
            "settings": self.settings,
            "batches": self.records,
            "seen": sorted(self.seen),
            "pool": [{**asdict(each), "sums": each.sums.tolist()} for each in self._pool],
        }
        write_atomic(self.place / STATE, json.dumps(whole, allow_nan=False))
        self._write_lines()

    def _write_lines(self) -> None:
        write_atomic(self.place / LINES, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in self.records))


def _damage(opened: OpenedImages) -> dict[str, Any]:
    bad = [{"file": each.path, "reason": each.reason} for each in opened.bad]
    images = opened.images
    once = {hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images}
    return {
        "damaged": len(bad),
        "damaged_files": bad[:NAMED_DAMAGED],
        "identical": len(images) - len(once),
    }


def _of_look(look: AlarmLook) -> dict[str, Any]:
    order = sorted(look.sigmas, key=lambda name: -abs(look.sigmas[name]))
    return {
        "batches": look.batches,
        "pictures": look.pictures,
        "largest": round(abs(look.largest[1]), 3),
        "threshold": round(look.threshold, 3),
        "moved": {name: round(look.sigmas[name], 3) for name in order[:MOVED]},
        "rings": look.rings,
    }
