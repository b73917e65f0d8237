from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagelab.data import Textures
from imagelab.experiment import Experiment, Runtime
from imagelab.generators import Gaussian, Generator, Interrupted, RunContext, Vae
from imagelab.generators.base import Model
from imagelab.lab import Shard, assess
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence
from imagelab.pool import REAL
from imagelab.regimes import Accumulate, Breed
from imagelab.run_folder import RunFolder
from imagelab.runs import run as carried
from imagelab.runs import workers
from imagelab.runs.workers import LostWorker, choose_workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forks, which are used on Linux only")

UNLIKE = ("provenance.json", "manifest.json", "seals.json", "train.jsonl")  # times are in them, or follow from them


def asked(tmp_path: Path, workers: int, **changes: object) -> Experiment:
    settings: dict = {
        "name": "side",
        "data": Textures(size=16),
        "generator": Vae(latent=4, width=8, details=2, images_seen=64, batch=16),
        "arms": (Gaussian(components=4),),
        "generations": 3,
        "images": 24,
        "heldout": 16,
        "tracked": 4,
        "replicates": 2,
        "metrics": ("pixel_variance", "hf_ratio"),
        "runtime": Runtime(device="cpu", runs=tmp_path / str(workers), workers=workers),
    }
    return Experiment(**{**settings, **changes})


def content(folder: RunFolder) -> dict[str, str]:
    files = [path for path in folder.path.rglob("*") if path.is_file() and path.name not in UNLIKE]
    return {str(p.relative_to(folder.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


@pytest.mark.parametrize("regime", [None, Accumulate(), Breed()])
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, regime: object):
    changes = {} if regime is None else {"regime": regime}
    one, three = (carried.run(asked(tmp_path, workers, **changes)) for workers in (1, 3))
    assert content(one) == content(three) and one.shards() == three.shards()
    assert not list(three.path.glob("*.partial"))


def test_shards_are_committed_when_those_of_the_generation_before_are(tmp_path: Path):
    done: list[tuple[int, int]] = []
    experiment = asked(tmp_path, 4)

    def seen(event: carried.Event) -> None:
        if isinstance(event, Shard):
            if event.generation > 1:
                assert (event.generation - 1, event.line) in done
            done.append((event.generation, event.line))

    folder = carried.run(experiment, on_event=seen)
    assert done[0] == (0, REAL) and sorted(done) == folder.shards()
    made_from, _ = folder.origin(2, 3)
    assert made_from == [(0, REAL), (1, 3)]


def test_a_shard_that_is_measured_early_waits_for_the_one_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    done: list[tuple[int, int]] = []

    def slowly(experiment: Experiment, folder: RunFolder, context: RunContext, generation: int, line: int) -> None:
        time.sleep(3.0 if generation == 1 else 0.0)
        assess(experiment, folder, context, generation, line)

    monkeypatch.setattr(workers, "assess", slowly)
    experiment = asked(tmp_path, 3, generator=Gaussian(components=4), arms=(), replicates=1, generations=2)
    events = carried.steps(experiment, workers=3)
    done.extend((shard.generation, shard.line) for shard in events)
    assert done == [(0, REAL), (1, 0), (2, 0)]


def test_what_a_worker_logs_and_trains_is_heard_here(tmp_path: Path):
    records = []
    carried.run(asked(tmp_path, 2), on_event=lambda event: records.append(event))
    assert {type(each).__name__ for each in records} >= {"TrainRecord", "Shard"}


def broken(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    fit = Gaussian.fit

    def once(self: Generator, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> Model:
        if context.checkpoint is not None and context.checkpoint.parent.name.startswith("gen-002-line-1."):
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            logging.getLogger("imagelab.test").warning("about to fail")
            raise ValueError("this will not do")
        return fit(self, images, seed, context, start)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Gaussian, "fit", once)


def test_a_worker_that_is_killed_is_named_and_the_run_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        broken(patched, "killed")
        with pytest.raises(LostWorker, match=r"generation 2, PPCA, k = 4: .* killed by signal 9 .*start the run again"):
            carried.run(asked(tmp_path, 2))
    folder = carried.run(asked(tmp_path, 2))
    assert content(folder) == content(carried.run(asked(tmp_path, 1)))


def test_an_error_in_a_worker_is_raised_here_with_what_it_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    broken(monkeypatch, "raised")
    with pytest.raises(ValueError, match="this will not do"):
        carried.run(asked(tmp_path, 2))
    assert "about to fail" in caplog.text
    folder = RunFolder.open(asked(tmp_path, 2).folder)
    assert folder.has(1, 1) and not folder.has(2, 1)


def test_a_stop_keeps_what_was_made_and_the_rest_goes_on_to_the_same_bytes(tmp_path: Path):
    finished: list[Shard] = []

    def seen(event: carried.Event) -> None:
        finished.extend([event] if isinstance(event, Shard) else [])

    with pytest.raises(Interrupted):
        carried.run(asked(tmp_path, 2), on_event=seen, should_stop=lambda: len(finished) > 2)
    again = carried.run(asked(tmp_path, 2))
    assert content(again) == content(carried.run(asked(tmp_path, 1)))


SCRIPT = """
import sys
from pathlib import Path
from imagelab import Experiment, Gaussian, Runtime, Textures, Vae, run
experiment = Experiment(name="long", data=Textures(size=16), generator=Vae(latent=4, width=8, details=2,
    images_seen=10_000_000, batch=16), generations=2, images=24, heldout=16, tracked=4, replicates=2,
    metrics=("pixel_variance",), runtime=Runtime(device="cpu", runs=Path(sys.argv[1]), workers=2))
run(experiment)
"""


def test_workers_end_with_the_process_that_started_them(tmp_path: Path):
    (tmp_path / "long.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(tmp_path / "long.py"), str(tmp_path / "runs")])
    deadline = time.monotonic() + 120
    children: list[str] = []
    try:
        while len(list((tmp_path / "runs").rglob("*.partial/train.jsonl"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
    finally:
        process.kill()
        process.wait()
    try:
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    except AssertionError:
        for child in children:  # they would go on for ever
            os.kill(int(child), signal.SIGKILL)
        raise


@pytest.mark.parametrize(
    ("asked_for", "device", "processes", "lines", "workers"),
    [(3, "cpu", 1, 4, 3), (9, "cpu", 1, 2, 4), (5, "cuda:0", 1, 4, 1), (5, "cpu", 2, 4, 1), (1, "cpu", 1, 4, 1)],
)
def test_workers_are_used_on_a_cpu_by_one_process_and_not_more_than_have_work(
    asked_for: int, device: str, processes: int, lines: int, workers: int
):
    assert choose_workers(asked_for, device, processes, 1, lines) == workers


def test_without_a_number_there_are_as_many_workers_as_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("imagelab.runs.workers.usable_cores", lambda: 6)
    assert choose_workers(0, "cpu", 1, 1, 10) == 6 and choose_workers(0, "cpu", 1, 2, 10) == 3


def test_measuring_sees_the_images_that_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def seen(evidence: Evidence) -> list[Measurement]:
        return [Measurement("brightness", float(evidence.fake.images.mean()), n_fake=len(evidence.fake))]

    monkeypatch.setitem(METRICS._ours, "tone", replace(METRICS["tone"], measure=seen))
    folder = carried.run(asked(tmp_path, 3, metrics=("tone",)))
    means = {(m.generation, m.line): m.value for m in folder.measurements() if m.name == "brightness"}
    assert means == {shard: folder.images(*shard).mean() for shard in folder.shards()}
