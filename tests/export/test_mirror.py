"""A mirror of a run, read back by readers that are not ours: each number and picture is there, each once."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import os
import shutil
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab.cli.entry import main
from imagelab.export.mirror import Tracker, mirror_run
from imagelab.export.mirrored import MirroredRun
from imagelab.io.marks import claimed_origin
from imagelab.io.run_records import PROVENANCE
from imagelab.run_folder import RunFolder
from imagelab.sweeps.study import Point, Study

from .conftest import Earlier, killed_at, small

DISTRIBUTION = "imagelab-collapse"

NEEDED: dict[Tracker, tuple[str, ...]] = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "trackio": ("trackio",),
}
Numbers = dict[tuple[str, str, int], list[float]]
"""(measurement, series, step) -> its values; one if nothing is there twice."""

Pictures = dict[tuple[str, str, int], list[bytes]]
"""(strip, series, step) -> its files."""


def needs(tracker: Tracker) -> None:
    for name in NEEDED[tracker]:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install '{DISTRIBUTION}[{tracker}]'")


SERIES = {-1: "real", 0: "ppca-k-8", 1: "ppca-k-4"}


def numbers_of(run: Path) -> Numbers:
    """What a mirror of a run must hold, read from its lines of JSON."""
    found: Numbers = {}
    for file in sorted(run.glob("gen-*/metrics.jsonl")):
        if ".partial" in file.parent.name:
            continue
        for line in map(json.loads, file.read_text().splitlines()):
            name, step, number = line["name"], line.get("generation", 0), line.get("line", 0)
            series = SERIES[number] + ("_theory" if line.get("predicted") else "")
            if line["value"] is not None:
                found[name, series, step] = [line["value"]]
            if "low" in line:
                found[name, f"{series}_low", step], found[name, f"{series}_high", step] = [line["low"]], [line["high"]]
            if "floor" in line and number == 0:
                found[name, "real", step] = [line["floor"]]
    return found


def pictures_of(run: Path) -> set[tuple[str, str, int]]:
    names = {"probe.npy": "tracked", "photocopy.npy": "photocopy"}
    shards = [path for path in run.glob("gen-*") if path.suffix != ".partial"]
    found = set()
    for shard in shards:
        generation, line = int(shard.name[4:7]), int(shard.name.partition("-line-")[2] or 0)
        series = SERIES[line if generation else -1]
        found |= {(strip, series, generation) for file, strip in names.items() if (shard / file).exists()}
    return found


def from_tensorboard(folder: Path, run: str) -> tuple[Numbers, Pictures]:
    module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    numbers, pictures = Numbers(), Pictures()
    for series in sorted(path for path in (folder / run).iterdir() if path.is_dir()):
        events = module.EventAccumulator(str(series), size_guidance={module.SCALARS: 0, module.IMAGES: 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                numbers.setdefault((tag, series.name, event.step), []).append(event.value)
        for tag in events.Tags()["images"]:
            for event in events.Images(tag):
                pictures.setdefault((tag, series.name, event.step), []).append(event.encoded_image_string)
    return numbers, pictures


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of an offline file: LevelDB's log format after a header of 7 bytes, in blocks of 32 KiB."""
    module = importlib.import_module("wandb.proto.wandb_internal_pb2")
    data, at, part = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            record = module.Record()
            record.ParseFromString(part)
            yield record
            part = b""


def from_wandb(folder: Path, run: str) -> tuple[Numbers, Pictures]:
    (place,) = (folder / "wandb").glob("offline-run-*")
    numbers, pictures = Numbers(), Pictures()
    for record in wandb_records(place / f"run-{run}.wandb"):
        if record.WhichOneof("record_type") != "history":
            continue
        row: dict[str, Any] = {}
        for item in record.history.item:
            row.setdefault(item.nested_key[0] if item.nested_key else item.key, {})[item.nested_key[-1]] = json.loads(
                item.value_json
            )
        for key, value in row.items():
            name, _, series = key.rpartition("/")
            if name in ("tracked", "photocopy"):
                content = (place / "files" / value["path"]).read_bytes()
                pictures.setdefault((name, series, record.history.step.num), []).append(content)
            elif name:
                numbers.setdefault((name, series, record.history.step.num), []).append(value[key])
    return numbers, pictures


def from_mlflow(folder: Path, run: str) -> tuple[Numbers, Pictures]:
    client = importlib.import_module("mlflow").MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == run
    numbers, pictures = Numbers(), Pictures()
    for key in found.data.metrics:
        name, _, series = key.rpartition("/")
        for metric in client.get_metric_history(found.info.run_id, key):
            numbers.setdefault((name, series, metric.step), []).append(metric.value)
    for entry in client.list_artifacts(found.info.run_id, "images"):
        key, _, step, _, _, *rest = Path(entry.path).name.split("+")
        if rest[-1] != "compressed.webp":
            name, _, series = key.partition("~")
            content = Path(client.download_artifacts(found.info.run_id, entry.path)).read_bytes()
            pictures.setdefault((name, series, int(step)), []).append(content)
    return numbers, pictures


def from_trackio(folder: Path, run: str) -> tuple[Numbers, Pictures]:
    numbers, pictures = Numbers(), Pictures()
    with closing(sqlite3.connect(folder / "small.db")) as database:
        rows = database.execute("SELECT step, metrics FROM metrics WHERE run_name = ?", [run]).fetchall()
    for step, row in rows:
        for key, value in json.loads(row).items():
            name, _, series = key.rpartition("/")
            if isinstance(value, dict) and value["_type"] == "trackio.image":
                pictures.setdefault((name, series, step), []).append(
                    (folder / "media" / value["file_path"]).read_bytes()
                )
            elif not isinstance(value, dict):
                numbers.setdefault((name, series, step), []).append(value)
    return numbers, pictures


READERS: dict[Tracker, Callable[[Path, str], tuple[Numbers, Pictures]]] = {
    "tensorboard": from_tensorboard,
    "wandb": from_wandb,
    "mlflow": from_mlflow,
    "trackio": from_trackio,
}


def check_mirror(tracker: Tracker, folder: Path, run: Path) -> None:
    """Compare what a reader finds with the run: every number and every picture once, pictures with their marks."""
    numbers, pictures = READERS[tracker](folder, run.name)
    expected = numbers_of(run)
    assert len(expected) > 15 and expected.keys() <= numbers.keys(), sorted(expected.keys() - numbers.keys())[:5]
    ends = {key for key in numbers if key[1].endswith(("_low", "_high"))}
    assert numbers.keys() - ends <= expected.keys(), "only ends of intervals are computed from standard errors"
    for key, found in numbers.items():
        assert len(found) == 1, f"{key} is there {len(found)} times"
        if key in expected:
            assert found == pytest.approx(expected[key], rel=1e-6), key  # TensorBoard stores float32
    assert pictures.keys() == pictures_of(run) and len(pictures) >= 4
    for (name, series, step), files in pictures.items():
        assert len(files) == 1, f"{name} of {series} at {step} is there {len(files)} times"
        with Image.open(io.BytesIO(files[0])) as image:
            assert claimed_origin(image.info["XML:com.adobe.xmp"]) == ("model" if step else None)
            line = {name: line for line, name in SERIES.items()}[series]
            shard = f"gen-{step:03d}" + (f"-line-{line}" if line > 0 else "")
            file = {"tracked": "probe.npy", "photocopy": "photocopy.npy"}[name]
            first = np.load(run / shard / file)[0].transpose(1, 2, 0).repeat(4, 0).repeat(4, 1)  # 16 px become 64
            assert np.array_equal(np.asarray(image)[:64, :64], first)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[Tracker, Path]:
    """A folder for each tracker, in which the run is mirrored as it grows; trackio knows one folder a process."""
    return {tracker: tmp_path_factory.mktemp(tracker) for tracker in NEEDED}


@pytest.mark.parametrize("tracker", list(NEEDED))
def test_a_growing_run_is_mirrored_once_and_its_mirror_read_back(
    tracker: Tracker, places: dict[Tracker, Path], earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    needs(tracker)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = places[tracker]
    young = earlier(tmp_path / "runs", 1)
    done = mirror_run(young, tracker, folder, is_live=True)
    assert (done.written, done.shards, done.state) == (3, 3, "running")
    check_mirror(tracker, folder, young)
    times = {path: path.stat().st_mtime_ns for path in young.rglob("*")}
    assert mirror_run(young, tracker, folder).written == 0
    assert {path: path.stat().st_mtime_ns for path in young.rglob("*")} == times, "a mirror only reads"
    grown = earlier(tmp_path / "runs", 2)
    done = mirror_run(grown, tracker, folder)
    assert (done.written, done.shards, done.state) == (2, 5, "finished")
    assert mirror_run(grown, tracker, folder).written == 0
    check_mirror(tracker, folder, grown)
    assert not (tmp_path / "home").exists(), "nothing is written to the home folder"


@pytest.mark.parametrize("tracker", list(NEEDED))
def test_a_mirror_that_was_killed_goes_on_and_nothing_is_there_twice(
    tracker: Tracker, places: dict[Tracker, Path], small_run: Path, tmp_path: Path
):
    needs(tracker)
    folder = places[tracker] if tracker == "trackio" else tmp_path / "mirror"
    if tracker == "trackio":  # its folder holds the run already
        shutil.rmtree(folder)
    codes = []
    for number in {"mlflow": (9, 40, 75), "wandb": (20, 75)}.get(tracker, (3, 12, 25)):
        folder.mkdir(exist_ok=True)
        codes.append(killed_at(lambda: mirror_run(small_run, tracker, folder), folder, number))
    assert 137 in codes and 1 not in codes
    mirror_run(small_run, tracker, folder)
    check_mirror(tracker, folder, small_run)


@pytest.mark.parametrize("tracker", list(NEEDED))
def test_without_its_package_the_message_says_how_to_get_it(
    tracker: Tracker, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in list(sys.modules):
        if name.partition(".")[0] == tracker:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(ValueError, match=rf"needs the package {tracker}: pip install '{DISTRIBUTION}\[{tracker}\]'"):
        mirror_run(small_run, tracker, tmp_path / "mirror")


def test_a_shard_gives_values_intervals_floors_and_a_strip_with_its_marks(small_run: Path):
    run = MirroredRun(small_run, group="study")
    found = {(v.name, v.series, v.step): [v.value] for shard in run.shards() for v in shard.values()}
    expected = numbers_of(small_run)
    assert expected.items() <= found.items()
    center = expected["pixel_variance", "ppca-k-8", 1][0]
    assert found["pixel_variance", "ppca-k-8_low", 1][0] < center < found["pixel_variance", "ppca-k-8_high", 1][0]
    assert found["hf_ratio", "real", 2] == found["hf_ratio", "real", 0], "the floor goes on beside the generations"
    assert {(s.name, s.series, s.step) for shard in run.shards() for s in shard.strips()} == pictures_of(small_run)
    assert run.settings["generator.components"] == 8 and run.settings["data.kind"] == "textures"
    assert run.tags["imagelab.run"] == small_run.name


def test_names_in_a_run_lead_to_no_place_outside_of_the_mirror(earlier: Earlier, tmp_path: Path):
    from imagelab.io.run_records import write_record

    run = earlier(tmp_path / "runs", 2)
    record = json.loads((run / PROVENANCE).read_text())
    record["labels"] = {"0": "../../../outside", "1": "real"}
    write_record(run / PROVENANCE, record)
    mirrored = MirroredRun(run)
    assert [mirrored.series(line) for line in (-1, 0, 1, 99)] == ["real", "outside", "real-line-1", "line-99"]


def test_the_command_mirrors_a_run_beside_it_and_refuses_a_damaged_one(
    earlier: Earlier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    needs("tensorboard")
    run = earlier(tmp_path / "runs", 2)

    def command(*words: str) -> int:
        with pytest.raises(SystemExit) as stopped:
            main(["mirror", str(run), "--to", "tensorboard", *words])
        return int(stopped.value.code or 0)

    assert command("--follow") == 0
    said = capsys.readouterr().out
    folder = tmp_path / "runs" / "mirrors" / "tensorboard"
    assert "5 generation folders copied, 5 are there; finished" in said and f"tensorboard --logdir {folder}" in said
    check_mirror("tensorboard", folder, run)
    file = run / "gen-002" / "probe.npy"
    file.write_bytes(bytes(file.stat().st_size))
    assert command("-o", str(tmp_path / "other")) == 1
    assert "gen-002/probe.npy: was changed since it was written" in capsys.readouterr().err


def _written(run: Path, whole: Path, mirror: Path, shards: Sequence[str], said: int) -> int:
    """Hold a run as its process does, and finish each shard when the one before is in the mirror; 0 for done."""
    deadline = time.monotonic() + 60
    with RunFolder(run).lock():
        os.write(said, b"1")
        for name, before in zip(shards, ("gen-001-line-1", *shards), strict=False):
            while not list(mirror.rglob(f"events.*.{before}")):
                time.sleep(0.02)
                if time.monotonic() > deadline:
                    return 1
            shutil.copytree(whole / name, mirror.with_name(name))
            mirror.with_name(name).rename(run / name)
        RunFolder(run).mend()
    return 0


@pytest.mark.parametrize("end", ["finished", "stopped"])
def test_following_ends_when_the_run_is_finished_or_nobody_writes_it(
    end: str,
    earlier: Earlier,
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    needs("tensorboard")
    monkeypatch.setattr("imagelab.cli.mirror.EVERY_SECONDS", 0.05)
    monkeypatch.setattr("imagelab.cli.mirror.REPORT_SECONDS", 0.2)
    run, out = earlier(tmp_path / "runs", 1), tmp_path / "out"
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os._exit(
            _written(run, small_run, out, ("gen-002", "gen-002-line-1") if end == "finished" else ("gen-002",), writing)
        )
    assert os.read(reading, 1) == b"1"
    with pytest.raises(SystemExit):
        main(["mirror", str(run), "--to", "tensorboard", "--follow", "-o", str(out)])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert f"are there; {end}" in capsys.readouterr().out
    check_mirror("tensorboard", out, run)


def test_the_runs_of_a_study_are_mirrored_as_a_group(earlier: Earlier, tmp_path: Path):
    needs("tensorboard")
    run = earlier(tmp_path / "runs", 2)
    study = Study("small", (Point({"seed": "0"}, small(tmp_path / "runs")),))
    study.write()
    with pytest.raises(SystemExit) as stopped:
        main(["mirror", str(study.folder), "--to", "tensorboard", "-o", str(tmp_path / "out")])
    assert not stopped.value.code
    check_mirror("tensorboard", tmp_path / "out" / study.folder.stem, run)


def test_the_report_page_is_kept_where_a_tracker_can_hold_one(
    small_run: Path, places: dict[Tracker, Path], tmp_path: Path
):
    needs("mlflow")
    page = hashlib.sha256((small_run / "report" / "index.html").read_bytes()).hexdigest()
    mirror_run(small_run, "mlflow", places["mlflow"])
    (copy,) = places["mlflow"].rglob("report/index.html")
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == page
