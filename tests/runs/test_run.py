"""imagelab.run: the one way to carry out an experiment, and the events that it reports."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagelab
from imagelab import Experiment, Faces, Gaussian, Runtime, Textures, Vae
from imagelab.generators import Diverged, Interrupted, TrainRecord
from imagelab.lab import Shard
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence
from imagelab.pool import REAL
from imagelab.run_folder import CHECKPOINT, RunFolder
from imagelab.runs.run import Begun, Event, Note, Phase, missing_shards, run, steps

ROOT = Path(__file__).resolve().parents[2]
NET = Vae(latent=4, width=8, images_seen=400, batch=8)


def tiny(runs: Path, **changes) -> Experiment:
    settings = {
        "name": "tiny",
        "data": Textures(size=16),
        "generator": Gaussian(components=4),
        "generations": 2,
        "images": 24,
        "heldout": 12,
        "tracked": 4,
        "metrics": ("pixel_variance",),
        "runtime": Runtime(device="cpu", runs=runs),
    }
    return Experiment(**{**settings, **changes})


def digests(folder: RunFolder) -> dict[str, str]:
    kept = [*folder.path.rglob("images.npy"), *folder.path.rglob("probe.npy"), *folder.path.rglob("metrics.jsonl")]
    return {str(p.relative_to(folder.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def is_free(folder: RunFolder) -> bool:
    """Whether another process can take the lock."""
    code = "import sys; from imagelab.run_folder import RunFolder\nwith RunFolder.open(sys.argv[1]).lock(): pass"
    return subprocess.run([sys.executable, "-c", code, str(folder.path)], capture_output=True).returncode == 0


def test_a_run_gives_its_finished_folder(tmp_path: Path):
    experiment = tiny(tmp_path, arms=(Gaussian(components=2),))
    folder = imagelab.run(experiment)
    assert folder.path == experiment.folder and folder.config == experiment.config()
    assert folder.shards() == [(0, REAL), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert missing_shards(experiment, folder) == ()
    assert folder.provenance["device"] == "cpu" and folder.provenance["data"]["counts"]["train"] == 24
    assert is_free(folder)


def test_groups_of_real_images_are_written_and_count_in_the_errors(tmp_path: Path):
    folder = imagelab.run(tiny(tmp_path, data=Textures(size=64, photos=("grass",)), images=90, heldout=60))
    with np.load(folder.file(0, REAL, "groups.npz")) as stored:
        groups = {name: len(np.unique(stored[name])) for name in stored.files}
    assert groups["train"] <= 32 and groups["heldout"] <= 16
    (floor,) = (m for m in folder.measurements() if (m.name, m.generation) == ("pixel_variance", 0))
    assert floor.df == groups["heldout"] - 1 and (floor.n_real, floor.n_fake) == (60, 90)


def test_no_groups_are_written_where_images_are_independent(tmp_path: Path):
    folder = imagelab.run(tiny(tmp_path, data=Faces(size=32, cache=False), generations=1))
    assert not folder.has_file(0, REAL, "groups.npz")


def test_a_finished_run_is_returned_at_once_without_torch_and_without_an_event(tmp_path: Path):
    experiment = tiny(tmp_path)
    before = digests(run(experiment))
    code = f"""
import sys, imagelab
from pathlib import Path
from imagelab import Experiment
from imagelab.experiment import read_config
settings = read_config(Path({str(experiment.folder)!r}) / "config.json")
experiment = Experiment(**settings, runtime={{"runs": {str(tmp_path)!r}}})
events = []
folder = imagelab.run(experiment, on_event=events.append)
print(folder.path == experiment.folder, events, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "[]", "False"], done.stderr
    assert digests(RunFolder.open(experiment.folder)) == before


@pytest.mark.parametrize("way", ["run", "command"])
def test_a_kill_between_the_last_shard_and_its_lines_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    experiment = tiny(tmp_path)
    whole = (run(experiment).path / "metrics.jsonl").read_text()
    path = experiment.folder / "metrics.jsonl"
    path.write_text("".join(line for line in whole.splitlines(True) if '"generation": 2' not in line))
    assert path.read_text() != whole
    if way == "run":
        run(experiment)
    else:
        from imagelab.cli.run import execute

        assert execute(experiment) == 0
    assert path.read_text() == whole


def test_events_come_in_the_order_of_the_work(tmp_path: Path):
    events: list[Event] = []
    experiment = tiny(tmp_path, generator=NET, generations=1)
    folder = run(experiment, on_event=events.append)
    kinds = [type(event) for event in events if not isinstance(event, Note)]
    assert kinds[:2] == [Phase, Begun] and kinds[-1] is Shard
    assert [event.what for event in events if isinstance(event, Phase)] == [
        "loading torch",
        "trying models and metrics",
        "generation 0",
    ]
    (begun,) = (event for event in events if isinstance(event, Begun))
    assert begun.folder.path == folder.path and begun.missing == ((0, 0), (1, 0))
    assert begun.counts == {"train": 24, "heldout": 12, "reserve": 0}
    shards = [event for event in events if isinstance(event, Shard)]
    assert [(shard.generation, shard.line) for shard in shards] == [(0, REAL), (1, 0)]
    assert [m for shard in shards for m in shard.measurements] == folder.measurements()
    records = [event for event in events if isinstance(event, TrainRecord)]
    assert records and records[-1].images_seen == records[-1].images_total == 400
    assert events.index(shards[0]) < events.index(records[0]) < events.index(shards[1])


def test_a_resumed_run_names_only_what_is_missing_and_tries_nothing_again(tmp_path: Path):
    experiment, events = tiny(tmp_path), []
    taken = steps(experiment)
    assert [next(taken).generation for _ in range(2)] == [0, 1]
    taken.close()
    run(experiment, on_event=events.append)
    (begun,) = (event for event in events if isinstance(event, Begun))
    assert begun.missing == ((2, 0),)
    assert "trying models and metrics" not in [event.what for event in events if isinstance(event, Phase)]


def test_stopping_raises_interrupted_and_the_next_call_goes_on_to_the_same_bytes(tmp_path: Path):
    whole = digests(run(tiny(tmp_path / "whole", generator=NET)))
    experiment, asked = tiny(tmp_path / "cut", generator=NET), []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 20  # within the first training

    with pytest.raises(Interrupted):
        run(experiment, should_stop=stop)
    folder = RunFolder.open(experiment.folder)
    assert folder.has(0) and not folder.has(1) and is_free(folder)
    assert (folder.path / "gen-001.partial" / CHECKPOINT).exists()
    assert digests(run(experiment)) == whole


def test_between_shards_it_is_asked_too_but_not_after_the_last(tmp_path: Path):
    experiment = tiny(tmp_path)
    for generation in (0, 1):  # a closed form is never asked while it is fitted
        with pytest.raises(Interrupted):
            run(experiment, should_stop=lambda: True)
        assert RunFolder.open(experiment.folder).has(generation)
    assert run(experiment, should_stop=lambda: True).has(2)


def test_a_second_process_that_holds_the_lock_is_named(tmp_path: Path):
    experiment = tiny(tmp_path)
    folder = RunFolder.create(experiment.folder, experiment.config())
    code = (
        "import sys; from imagelab.run_folder import RunFolder\n"
        "with RunFolder.open(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"another process \(pid {other.pid}\) is writing this run"):
            run(experiment)
        assert not folder.shards() and not folder.provenance
        other.stdin.close()
    assert run(experiment).has(2)


def test_the_folder_is_locked_while_steps_are_taken_and_free_when_they_are_closed(tmp_path: Path):
    experiment = tiny(tmp_path)
    taken = steps(experiment)
    assert next(taken).generation == 0
    folder = RunFolder.open(experiment.folder)
    assert not is_free(folder)
    taken.close()
    assert is_free(folder)
    assert [shard.generation for shard in steps(experiment)] == [1, 2] and is_free(folder)


@pytest.mark.parametrize("words", ["OSError", "safetensors"])
def test_a_full_disk_keeps_what_is_finished_and_clears_what_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
):
    experiment = tiny(tmp_path)
    commit, full = RunFolder.commit, os.strerror(errno.ENOSPC)

    def cut(self: RunFolder, generation: int, *arguments: Any, **named: Any) -> None:
        if generation == 2:
            raise (
                OSError(errno.ENOSPC, full) if words == "OSError" else RuntimeError(f"I/O error: {full} (os error 28)")
            )
        commit(self, generation, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "commit", cut)
        with pytest.raises(OSError) as caught:
            run(experiment)
    assert caught.value.errno == errno.ENOSPC and str(experiment.folder) in str(caught.value)
    folder = RunFolder.open(experiment.folder)
    assert folder.shards() == [(0, REAL), (1, 0)] and is_free(folder)
    assert not list(folder.path.glob("*.partial"))
    assert run(experiment).has(2)


def test_an_error_of_the_caller_is_passed_on_and_frees_the_folder(tmp_path: Path):
    def fail(event: Event) -> None:
        if isinstance(event, Shard):
            raise RuntimeError("of the caller")

    experiment = tiny(tmp_path)
    with pytest.raises(RuntimeError, match="of the caller"):
        run(experiment, on_event=fail)
    assert RunFolder.open(experiment.folder).shards() == [(0, REAL)]
    assert is_free(RunFolder.open(experiment.folder))


def test_a_divergence_names_the_run_the_generation_and_the_model(tmp_path: Path):
    def diverge(event: Event) -> None:
        if isinstance(event, TrainRecord):
            raise Diverged("the loss is NaN")

    experiment = tiny(tmp_path, generator=NET)
    place = f"{experiment.folder}: generation 1, {NET.label}: the loss is NaN"
    with pytest.raises(Diverged, match=re.escape(place)):
        run(experiment, on_event=diverge)
    assert is_free(RunFolder.open(experiment.folder))


def test_nothing_else_carries_its_own_copy_of_the_loop():
    files = [path for room in ("imagelab", "experiments") for path in (ROOT / room).rglob("*.py")]
    users = {path.relative_to(ROOT).as_posix() for path in files if "run_generations(" in path.read_text("utf-8")}
    assert users == {"imagelab/lab.py", "imagelab/runs/workers.py"}


def test_a_run_whose_real_images_were_measured_in_another_way_is_refused_before_any_training(tmp_path: Path):
    experiment = tiny(tmp_path, metrics=("hf_ratio",))
    folder = run(experiment)
    before = digests(folder)
    shutil.rmtree(folder.shard_path(2))
    (folder.path / "seals.json").unlink()
    measure = METRICS["hf_ratio"].measure

    def otherwise(evidence: Evidence) -> list[Measurement]:
        return [replace(m, estimator="in another way") for m in measure(evidence)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(METRICS._ours, "hf_ratio", replace(METRICS["hf_ratio"], measure=otherwise))
        with pytest.raises(ValueError, match=r"hf_ratio of its real .* measures it as in another way.*begin anew"):
            run(experiment)
    assert digests(run(experiment)) == before


def test_faces_with_their_blank_control_go_on_with_the_instruments_they_began_with(tmp_path: Path):
    experiment = tiny(tmp_path, data=Faces(size=64, freckle_rate=1.0), images=16, blank_twins=1, metrics=("freckles",))
    folder = run(experiment)
    before = digests(folder)
    for line in (0, 1):
        shutil.rmtree(folder.shard_path(2, line))
    (folder.path / "seals.json").unlink()
    assert digests(run(experiment)) == before
