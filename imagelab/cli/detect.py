"""``imagelab detect RUN``: how well generated images can be told from real ones, generation by generation."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from ..detection.detect import detect_run
from ..detection.prevalence import GeneratedShare
from ..detection.record import DetectionRecord, labels_of
from ..detection.saved import MixedSet, SavedDetector
from ..detection.tables import TextTable, all_tables, markdown, told_interval
from ..detection.workbench import EACH, LEAST
from ..evaluation.comparison import columns
from ..io.catalogue import list_pictures
from ..io.disk import storing
from ..io.own_code import OwnCode, load_source
from ..io.pictures import read_picture
from ..io.untrusted import few, shown
from ..run_folder import RunFolder
from ..runs.device import choose_device
from .console import UsageError, err, out

__all__ = ["detect_command"]

TableForm = Literal["table", "json", "markdown", "csv"]


def detect_command(
    run: Path,
    /,
    *,
    against: Annotated[Path | None, Parameter(negative=())] = None,
    files: Annotated[Path | None, Parameter(negative=())] = None,
    images: int = EACH,
    device: str = "auto",
    form: Annotated[TableForm, Parameter(name="--format")] = "table",
) -> int:
    """Train detectors of a run's generated images, test each on other images, and write the result into the run.

    A detector reads features, the spectrum, and how well the run's own model copies the image. It knows the images of
    this run only. The record and the fitted detectors lie in RUN/detection; the report shows them, and `imagelab
    inspect` uses them.

    Parameters
    ----------
    run
        The run folder, finished or not.
    against
        A second run of images of the same size: the detectors are tested on its images, too.
    files
        A folder of pictures of the size of the run's images: estimate how many of them are generated. The detectors are
        trained first if the run has none.
    images
        How many generated images of every line and generation are used, half to train and half to test.
    device
        auto, cpu, cuda or cuda:1.
    form
        What is printed: tables for the terminal, all numbers as one JSON object, or tables as Markdown or CSV.
    """
    if images < 2 * LEAST:
        raise UsageError(f"--images: expected {2 * LEAST} or more, half to train and half to test, got {images}")
    if files is not None and against is not None:
        raise UsageError("--files estimates with the detectors of one run; leave out --against")
    if files is not None and form in ("markdown", "csv"):
        raise UsageError(f"--format {form} prints the tables of a run; --files needs --format table or json")
    folder = _opened(run)
    saved = _saved(folder) if files is not None else None
    if saved is None:
        record, path = _made(folder, against, images, choose_device(device))
        err.print(f"record: {path}", markup=False, soft_wrap=True)
        if files is None:
            _print(record, form)
            return 0
        saved = SavedDetector.open(folder)
    assert files is not None and saved is not None
    _estimate(saved, files, form)
    return 0


def _opened(path: Path) -> RunFolder:
    run = RunFolder.open(path)
    for code in OwnCode.from_config(run.config, run.path):
        load_source(code, run.path)
    return run


def _saved(run: RunFolder) -> SavedDetector | None:
    """Return the detector that a run has; None, with the reason, where it has none that can be used."""
    try:
        return SavedDetector.open(run)
    except ValueError as error:
        err.print(f"the detectors of the run are made again: {error}", markup=False, soft_wrap=True)
        return None


def _made(run: RunFolder, against: Path | None, images: int, device: str) -> tuple[DetectionRecord, Path]:
    """Train and test all detectors, and write the record."""
    second = None if against is None else _opened(against)
    told_at = -1

    def told(what: str, done: int, total: int) -> None:
        nonlocal told_at
        if not total or done * 10 // total != told_at:
            told_at = done * 10 // total if total else told_at
            err.print(f"{what}{f' ({done} of {total} sets)' if total else ''}", markup=False)

    record, trials = detect_run(run, second, images, device, told)
    with storing(run.path, run.path):
        path = record.write(run, trials)
    return record, path


def _print(record: DetectionRecord, form: TableForm) -> None:
    tables = list(all_tables(record))
    if form == "json":
        out.print(json.dumps(record.data(), ensure_ascii=not out.is_unicode), markup=False, soft_wrap=True)
        return
    if form == "markdown":
        out.print(markdown(tables), markup=False, soft_wrap=True)
        return
    if form == "csv":
        out.print(_csv(tables), markup=False, soft_wrap=True, end="")
        return
    for table in tables:
        out.print(f"\n{table.title}", markup=False, soft_wrap=True)
        for line in columns(table.head, table.rows):
            out.print(line, markup=False, soft_wrap=True)
        if table.note:
            out.print(table.note, markup=False, soft_wrap=True)
    for note in record.notes:
        out.print(f"note: {note}", markup=False, soft_wrap=True)


def _csv(tables: list[TextTable]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for table in tables:
        writer.writerow(["table", *table.head])
        writer.writerows([table.title, *row] for row in table.rows)
    return text.getvalue()


def _estimate(saved: SavedDetector, files: Path, form: TableForm) -> None:
    """Print how many pictures of a folder are generated."""
    pictures, left_out = _pictures(saved, files)
    mixture = saved.mixture(pictures)
    if form == "json":
        out.print(json.dumps(_as_json(mixture, saved, left_out)), markup=False, soft_wrap=True)
        return
    for line in _told(mixture, saved, left_out):
        out.print(line, markup=False, soft_wrap=True)


def _pictures(saved: SavedDetector, files: Path) -> tuple[np.ndarray, list[str]]:
    """Return the pictures of a folder that fit, uint8 [N,C,H,W], and the names of those that do not."""
    if not files.is_dir():
        raise ValueError(f"--files: {shown(files)} is no folder; expected a folder of pictures")
    found, left_out, shape = [], [], saved.record.shape
    listing = list_pictures(files)
    for entry in listing.entries:
        try:
            pixels = read_picture(files / entry.name).pixels
        except ValueError:
            left_out.append(entry.name)
            continue
        if not saved.fits(pixels):
            left_out.append(entry.name)
            continue
        found.append(pixels[: shape[0]])
    left_out += [bad.path for bad in listing.unread]
    if not found:
        size = f"{shape[2]} x {shape[1]} px"
        raise ValueError(
            f"--files: {shown(files)} holds no picture of {size}, the size of the run's images. The detector knows "
            "pictures of this size only; resized ones would all be misjudged."
        )
    return np.stack(found), left_out


def _told(mixture: MixedSet, saved: SavedDetector, left_out: list[str]) -> Iterator[str]:
    share, labels = mixture.share, labels_of(saved.record)
    yield f"{share.n} pictures judged, {share.called} of them called generated"
    if not share.informative:
        yield "nothing can be said of the share: the detector errs too often on its own test images"
    else:
        yield f"generated: {told_interval(share.share)} of them (95 % interval)"
    if left_out:
        yield f"left out, because they are unreadable or of another size: {few(left_out)}"
    if mixture.unlike:
        yield (
            f"{mixture.unlike} more pictures were left out: they are unlike every image that the detector was tested on"
        )
    told = {origin: each for origin, each in mixture.by_origin.items() if each.informative}
    if told and share.informative:
        ends = sorted(told, key=lambda origin: told[origin].share.value)
        words = [f"{told_interval(told[origin].share)} ({_place(origin, labels)})" for origin in (ends[0], ends[-1])]
        yield f"if all generated ones were of one line and generation: from {words[0]} to {words[1]}"
    yield (
        f"the interval holds: the sample, the detector's sensitivity {told_interval(mixture.sensitivity)} and "
        f"specificity {told_interval(mixture.specificity)} on its own test images"
    )
    yield (
        "it assumes: real pictures like the held-out ones of this run, generated ones like those of its lines and "
        "generations in equal parts, none of them compressed, resized or edited since"
    )


def _place(origin: tuple[int, int], labels: Mapping[int, str]) -> str:
    return f"{labels.get(origin[0], f'line {origin[0]}')}, generation {origin[1]}"


def _as_json(mixture: MixedSet, saved: SavedDetector, left_out: list[str]) -> dict[str, object]:
    def plain(each: GeneratedShare) -> dict[str, object]:
        known = each.share.value if each.informative else None
        return {"value": known, "low": each.share.low, "high": each.share.high}

    return {
        "run": saved.run.path.resolve().name,
        "n": mixture.share.n,
        "called": mixture.share.called,
        "generated": plain(mixture.share),
        "by_origin": [
            {"line": line, "generation": generation, **plain(each)}
            for (line, generation), each in mixture.by_origin.items()
        ],
        "unlike": mixture.unlike,
        "sensitivity": vars(mixture.sensitivity),
        "specificity": vars(mixture.specificity),
        "left_out": left_out,
    }
