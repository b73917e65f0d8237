"""``imagelab watch --folder DIR --real REAL``: an alarm for a folder that a production system fills.

    imagelab watch --folder made/ --real approved/ --once             judge what is complete, and end (for cron)
    imagelab watch --folder made/ --real approved/ --every 1h         look again every hour; ends at the first alarm
    imagelab watch --folder made/ --real approved/ --batch day        a batch is a day; also 200, the next 200 pictures

REAL is how the pictures should be: real ones, or those of the generator as it was approved.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import BaseModel, Field

from ..evaluation.growing_folder import BatchForm, list_batches
from ..evaluation.named_pictures import open_named
from ..evaluation.production_alarm import POOLED, AlarmReference
from ..evaluation.production_watch import ProductionWatch, pixels_digest
from ..evaluation.sources import Opening, open_images
from ..io.cache import cache_folder, make_room
from ..io.grouping import group_keys
from ..io.lock import held_alone
from ..io.resample import Kernel
from ..io.untrusted import few, shown
from ..metrics import ImageSet
from ..metrics.features import PRIMARY, SPACES
from .console import UsageError, err, out

__all__ = ["ALARM", "FolderOptions", "seconds_of", "watch_folder"]

ALARM = 3
"""Exit code if a batch rings."""

HEAD = ("batch", "pictures", "alone", "limit", f"last {POOLED}", "limit", "verdict", "moved most (sigma)")
WIDTHS = (20, 8, 6, 6, 6, 6, 12, 0)
NUMBERS = range(1, 6)  # columns that are set to the right
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class FolderOptions(BaseModel):
    """How a folder is followed (with --folder).

    Attributes:
        folder: the folder that a production system fills with picture files.
        real: how its pictures should be: real ones, or those of the generator as it was approved. A folder, archive,
            array or generation of a run (RUN@heldout) of 200 pictures or more.
        batch: what is judged together: subfolder, day (UTC, by file time), or a number: the next so many new pictures.
        once: judge what is complete, then end.
        rate: chance of any false alarm in 100 batches, .01 to .9; a batch has a hundredth of it.
        settle: seconds without a change after which a picture counts as complete.
        group: pictures that belong together, by folder, folder:1, or a regular expression with one group on the path,
            in REAL and in every batch; then whole groups are drawn, and counted.
        output: the folder of the state and of batches.jsonl; watched/NAME of the folder if not given.
        size: crop every picture to its centre square and resample it to this many pixels per side; 0 for no resizing.
        resize: the resampling kernel for --size.
        white: the value that means white in picture files whose values are not bytes.
        seed: of the draws from REAL.
        device: auto, cpu, cuda or cuda:1.
    """

    folder: Path | None = None
    real: str = ""
    batch: str = "subfolder"
    once: Annotated[bool, Parameter(negative="")] = False
    rate: Annotated[float, Field(ge=0.01, le=0.9)] = 0.1
    settle: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    group: str = ""
    output: Annotated[Path | None, Parameter(alias="-o")] = None
    size: Annotated[int, Field(ge=0, le=4096)] = 0
    resize: Kernel = "bicubic"
    white: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    seed: Annotated[int, Field(ge=0)] = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"


def seconds_of(text: str, setting: str) -> float:
    """Return the seconds of a time such as 30, 30s, 5m, 1h or 1d, above 0."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([smhd]?)", text.strip())
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not seconds > 0:
        raise UsageError(f"{setting}: expected a time above 0 such as 30s, 5m, 1h or 1d, got {text!r}")
    return seconds


def watch_folder(asked: FolderOptions, every: float, as_json: bool, sleep: Callable[[float], None] = time.sleep) -> int:
    """Judge every complete batch; return 0 without an alarm, 3 for one, 1 if new batches came and none was judged."""
    if asked.folder is None or not asked.real:
        raise UsageError("expected both: imagelab watch --folder DIR --real REAL")
    try:
        form = BatchForm.of(asked.batch)
    except ValueError as error:
        raise UsageError(f"--batch: {error}") from error
    folder = asked.folder.expanduser()
    if not folder.is_dir():
        raise ValueError(f"--folder: {shown(folder)} is no folder; expected the one that the production system fills")
    place = asked.output or Path("watched") / folder.resolve().name
    place.mkdir(parents=True, exist_ok=True)
    make_room()
    with held_alone(place / "watch.lock", shown(place), "is judging batches"):
        watch = _opened(asked, place)
        if not as_json:
            _say_how(watch, asked)
        while True:
            code = _judge_complete(watch, folder, form, asked, as_json)
            if asked.once or code == ALARM:
                return code
            sleep(every)


def _how(asked: FolderOptions) -> Opening:
    return Opening(size=asked.size, resize=asked.resize, white=asked.white, on_bad="skip")


def _opened(asked: FolderOptions, place: Path) -> ProductionWatch:
    """Open REAL and the state of earlier calls."""
    from ..runs.device import choose_device

    if asked.group:
        opened, names = open_named(Path(asked.real).expanduser(), _how(asked), "REAL")
        groups = group_keys(names, asked.group)
    else:
        opened, groups = open_images(asked.real, _how(asked), "REAL"), None
    for note in opened.notes:
        err.print(f"REAL: {note}", markup=False)
    settings: Mapping[str, Any] = {
        "real_sha256": pixels_digest(opened.images),
        "pictures": len(opened),
        "form": list(opened.images.shape[1:]),
        "batch": asked.batch,
        "rate": asked.rate,
        "group": asked.group,
        "size": asked.size,
        "resize": asked.resize,
        "white": asked.white,
        "seed": asked.seed,
        "encoder": SPACES[PRIMARY].label,
        "measurements": 1,  # another number where the measurements change
    }
    real = ImageSet(opened.images, cache_folder("features"), groups=groups)
    return ProductionWatch(place, settings, AlarmReference(real, asked.rate, asked.seed, choose_device(asked.device)))


def _judge_complete(watch: ProductionWatch, folder: Path, form: BatchForm, asked: FolderOptions, as_json: bool) -> int:
    known = watch.names
    batches, remarks = list_batches(folder, form, asked.settle, watch.seen, len(known))
    fresh: list[dict[str, Any]] = []
    for batch in batches:
        if batch.name in known:
            if form.kind != "count" and len(batch.files) != known[batch.name]:
                gap = f"{known[batch.name]} pictures when it was measured, {len(batch.files)} now"
                remarks.append(f"batch {shown(batch.name)}: {gap}; it is not measured again")
            continue
        if batch.waits_for:
            remarks.append(f"batch {shown(batch.name)} waits: {batch.waits_for}")
            continue
        record = watch.judge(folder, batch, _how(asked), asked.group, form.kind == "count")
        if record is None:
            remarks.append(f"batch {shown(batch.name)} waits: it changed while it was read")
            if form.kind == "count":
                break  # the next one would take its number
            continue
        fresh.append(record)
        _say(record, as_json, first=len(fresh) == 1)
    for remark in remarks:
        err.print(remark, markup=False)
    if not fresh and not as_json:
        out.print(f"no new batch is complete; {len(known)} were judged before", markup=False)
    if form.kind == "subfolder" and fresh and not as_json:
        _say_import(watch, folder, asked)
    if any(record["verdict"] == "alarm" for record in fresh):
        return ALARM
    return 1 if fresh and not any(record["looks"] for record in fresh) else 0


def _say_how(watch: ProductionWatch, asked: FolderOptions) -> None:
    reference = watch.reference
    for line in (
        f"REAL: {watch.settings['pictures']:,} pictures; {len(reference.names)} measurements a look, thresholds from "
        f"{reference.draws:,} random draws of the batch's size from three quarters of them",
        f"false alarms: {asked.rate / 100:.2%} of batches, and at most {asked.rate:.0%} of series of 100 batches if "
        "nothing differs from REAL",
        f"state: {watch.place} ({len(watch.records)} batches before)",
    ):
        out.print(line, markup=False)


def _say(record: Mapping[str, Any], as_json: bool, first: bool) -> None:
    if as_json:
        out.print(json.dumps(record, ensure_ascii=not out.is_unicode), markup=False)
        return
    if first:
        out.print(_line(HEAD), markup=False)
    alone = next((look for look in record["looks"] if look["batches"] == 1), None)
    pool = next((look for look in record["looks"] if look["batches"] > 1), None)
    cells = [shown(record["batch"]), str(record["pictures"])]
    for look in (alone, pool):
        cells += [f"{look['largest']:.1f}", f"{look['threshold']:.1f}"] if look else ["-", "-"]
    far = max(record["looks"], key=lambda look: look["largest"] / look["threshold"], default=None)
    moved = ", ".join(f"{name} {value:+.1f}" for name, value in (far["moved"] if far else {}).items())
    verdict = "ALARM" if record["verdict"] == "alarm" else record["verdict"]
    style = "bold red" if verdict == "ALARM" and out.is_terminal else None
    out.print(_line([*cells, verdict, moved or record.get("reason", "")]), markup=False, style=style)
    if record["looks"] and record.get("reason"):
        out.print(f"  {record['reason']}", markup=False)
    if record.get("damaged"):
        names = few([f"{each['file']}: {each['reason']}" for each in record["damaged_files"]])
        out.print(f"  damaged and left out: {record['damaged']} ({names})", markup=False)
    if record.get("identical"):
        out.print(f"  identical to another picture of the batch: {record['identical']}", markup=False)


def _line(cells: Sequence[str]) -> str:
    padded = [
        cell.rjust(width) if place in NUMBERS else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _say_import(watch: ProductionWatch, folder: Path, asked: FolderOptions) -> None:
    """Print the command that makes a run folder of the last batches."""
    last = [record for record in watch.records if record["looks"]][-10:]
    names = [record["batch"] for record in last]
    if names:
        size = ["--size", str(asked.size), "--resize", asked.resize] if asked.size else []
        size += ["--white", str(asked.white)] if asked.white is not None else []
        size += ["--on-bad", "skip"] if any(record["damaged"] for record in last) else []
        words = ["imagelab", "import", asked.real, *(str(folder / name) for name in names), "--name", "production"]
        out.print(f"these batches as a run with a report: {shlex.join([*words, *size])}", markup=False)
