"""The record of `imagelab detect` in a run, and how it is checked before anything in it is believed.

    RUN/detection/record.json            all tests, the images they rest on, the digests of what they were made from
    RUN/detection/detectors-DIGEST.npz   the fitted detectors and the test scores of the pooled one: plain arrays

Both are derived: whoever removes the folder loses nothing that cannot be made again. record.json ends with a checksum
and names the other file by its SHA-256; both are written aside and renamed. A record whose run has changed since (other
shards, other digests) is stale and is not used. The checksums guard against damage, not against a forger.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ..io.atomic import made_through_links, write_atomic, written_whole
from ..io.lock import held_alone
from ..io.manifest import checked, file_digest, is_folder, read_object, with_checksum
from ..io.npy import npz_columns
from ..io.settings import check_plain
from ..io.untrusted import parsing, quoted, shown
from ..run_folder import RunFolder
from .classifier import Detector, packed, unpacked
from .prevalence import MixedTrial
from .trials import POOLED, TrialRow, Trials

__all__ = ["FOLDER", "RECORD", "DetectionRecord", "LineFacts", "detection_notes", "load_detector", "load_scores"]

FOLDER, RECORD = "detection", "record.json"
VERSION = 1
MOST_VALUES = 3_000_000  # of a record
PARTS = ("mean", "scale", "weights", "bias", "parts")


@dataclass(frozen=True)
class LineFacts:
    """One line that was judged.

    Attributes:
        line: its number.
        label: its name.
        role: its generator, 0 for the main one.
        chain: its chain, from 0 on.
        reads: the cues of its detectors.
    """

    line: int
    label: str
    role: int
    chain: int
    reads: list[str]


@dataclass(frozen=True)
class DetectionRecord:
    """What `imagelab detect` found.

    Attributes:
        version: of this layout.
        imagelab: version of the package.
        signature: of the run.
        made_from: folder of the run -> its digest, for all that was read.
        shape: of the images: channels, height, width.
        space: the feature space, with the digest of its weights.
        lines: the lines that were judged.
        generations: the generations that were judged.
        real: held-out real images that train and that test.
        made: generated images of each line and generation that train and that test.
        independent: how many independent images the real test images are; fewer where some belong together.
        second: name and signature of the second run; empty if there was none.
        second_lines: label of each line of the second run, by its number as text.
        notes: what a reader should know.
        mixed: sets of known mixture, estimated by the pooled detector.
        rows: the tests.
        file: name of the file of detectors.
        sha256: of that file.
    """

    version: int
    imagelab: str
    signature: str
    made_from: dict[str, str]
    shape: tuple[int, int, int]
    space: str
    lines: list[LineFacts]
    generations: list[int]
    real: tuple[int, int]
    made: tuple[int, int]
    independent: int
    second: list[str]
    second_lines: dict[str, str]
    notes: list[str]
    mixed: list[MixedTrial]
    rows: list[TrialRow] = field(repr=False)
    file: str = ""
    sha256: str = ""

    def write(self, run: RunFolder, trials: Trials) -> Path:
        """Write record and detectors into a run, whole or not at all, and return the path of the record.

        Raises:
            ValueError: if a link has the name of the folder, or another process is writing it.
        """
        folder = run.path / FOLDER
        link = made_through_links(run.path, folder)
        if link is not None:
            raise ValueError(f"{shown(link)}: is a link, and the record would be written to where it leads. Remove it.")
        folder.mkdir(exist_ok=True)
        with held_alone(folder / "record.lock", shown(folder), "is writing the detectors of this run"):
            arrays = packed(trials.detectors) | {f"scores.{name}": each for name, each in trials.scores.items()}
            arrays["reach"] = np.array(trials.reach)
            partial = folder / "detectors.npz"
            with written_whole(partial) as place, place.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            digest = file_digest(partial)
            final = folder / f"detectors-{digest[:16]}.npz"
            partial.replace(final)
            content = self.data() | {"file": final.name, "sha256": digest}
            write_atomic(folder / RECORD, json.dumps(with_checksum(content), ensure_ascii=False) + "\n")
            for old in folder.glob("detectors-*.npz"):
                if old.name != final.name:
                    old.unlink(missing_ok=True)
        return folder / RECORD

    def data(self) -> dict[str, Any]:
        """Return it as JSON values."""
        plain: dict[str, Any] = TypeAdapter(DetectionRecord).dump_python(self, mode="json", exclude={"rows"})
        rows = [{**vars(row), "verdict": row.verdict.data()} for row in self.rows]
        return {**plain, "rows": rows}

    @classmethod
    def read(cls, run: RunFolder) -> DetectionRecord | None:
        """Return the record of a run; None where there is none.

        Raises:
            ValueError: naming the file, if it is damaged, of another run, or older than what is in the run; saying what
                to do.
        """
        folder = run.path / FOLDER
        if not is_folder(folder) or not (folder / RECORD).exists():
            return None
        path = folder / RECORD
        again = f"Make it again: imagelab detect {shown(run.path)}"
        try:
            content = checked(read_object(path), path)
            with parsing(path, "a record of detectors"):
                check_plain(content, MOST_VALUES)
                if content.get("version") != VERSION:
                    raise ValueError(f"version {quoted(content.get('version'), 20)}, this reads version {VERSION}")
                record = TypeAdapter(cls).validate_python(content, strict=False)
        except ValueError as error:
            raise ValueError(f"{error}. {again}") from error
        if record.signature != run.config["signature"]:
            raise ValueError(f"{shown(path)}: is of another run ({quoted(record.signature, 20)}). {again}")
        if record.made_from != origins(run):
            raise ValueError(f"{shown(path)}: the run has other images now than when it was made. {again}")
        if Path(record.file).name != record.file or not record.file:
            raise ValueError(f"{shown(path)}: names no file of detectors ({quoted(record.file, 40)}). {again}")
        return record


def origins(run: RunFolder) -> dict[str, str]:
    """Return the digest of every finished shard, "" where it has no manifest."""
    found = {}
    for shard in run.shards():
        manifest = run.manifest(*shard)
        found[run.shard_path(*shard).name] = "" if manifest is None else manifest.digest
    return found


def load_detector(run: RunFolder, record: DetectionRecord, name: str = POOLED) -> Detector:
    """Return a saved detector.

    Args:
        run: the run.
        record: its record.
        name: "pooled", or VARIANT/line-LINE/gen-GENERATION, such as all/line-0/gen-001.

    Raises:
        ValueError: if the file is not the one that the record names, or holds no such detector.
    """
    path = _file(run, record)
    columns = npz_columns(path, tuple(f"{name}.{part}" for part in PARTS), f"a file with the detector {name}")
    with parsing(path, "a whole detector"):
        return unpacked({f"{name}.{part}": each for part, each in zip(PARTS, columns, strict=True)}, name)


def load_scores(
    run: RunFolder, record: DetectionRecord
) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray], np.ndarray]:
    """Return the pooled detector's scores of real test images, those of each (line, generation), and their reach [2].

    Raises:
        ValueError: if the file is not the one that the record names.
    """
    path = _file(run, record)
    places = [(row.on_line, row.tested) for row in record.rows if row.kind == "same" and row.variant == POOLED]
    names = ("reach", "scores.real", *(f"scores.{line}/{generation}" for line, generation in places))
    reach, real, *made = npz_columns(path, names, "a file with the scores of test images")
    for each in (reach, real, *made):
        if each.ndim != 1 or each.dtype != np.float64 or not len(each) or not np.isfinite(each).all():
            raise ValueError(f"{shown(path)}: expected finite scores, float64 [N]")
    if len(reach) != 2:
        raise ValueError(f"{shown(path)}: expected the reach of real and of generated images, got {len(reach)} values")
    return real, dict(zip(places, made, strict=True)), reach


def _file(run: RunFolder, record: DetectionRecord) -> Path:
    path = run.path / FOLDER / record.file
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"{shown(path)}: is missing. Make it again: imagelab detect {shown(run.path)}")
    if file_digest(path) != record.sha256:
        raise ValueError(
            f"{shown(path)}: was changed since it was written (its SHA-256 differs); it is not used. Make it again: "
            f"imagelab detect {shown(run.path)}"
        )
    return path


def detection_notes(run: RunFolder) -> Iterator[str]:
    """Yield what `imagelab check` says of the record: nothing where there is none or it is whole."""
    try:
        record = DetectionRecord.read(run)
        if record is not None:
            _file(run, record)
    except (ValueError, OSError) as error:
        yield f"the record of detectors is not used: {error}"


def labels_of(record: DetectionRecord) -> Mapping[int, str]:
    """Return the label of each line."""
    return {each.line: each.label for each in record.lines}
