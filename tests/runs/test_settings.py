"""A run keeps the settings that can change rounding, from its beginning on and through every resume and branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab import Cascade, Experiment, Gaussian, Mix, Runtime, Textures, Vae, run
from imagelab.cli import main
from imagelab.cli.overrides import parse
from imagelab.generators import Interrupted, RunContext
from imagelab.generators.base import Kernels
from imagelab.generators.training import fingerprint
from imagelab.io.manifest import Manifest
from imagelab.report import write_report
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import branch, branched
from imagelab.runs.check import made_otherwise
from imagelab.runs.environment import made_with, session_record
from imagelab.runs.run import Note
from imagelab.runs.settings import DEFAULT_BATCH, begun_device, choose_settings, resume_command

BEGUN = {"device": "cpu", "batch": 5, "threads": {"torch": 2}, "processes": 1}


def tiny(runs: Path, generator: object, **runtime: object) -> Experiment:
    return Experiment(
        name="tiny",
        data=Textures(size=16),
        generator=generator,  # pyright: ignore[reportArgumentType]
        generations=2,
        images=24,
        heldout=12,
        tracked=2,
        metrics=("pixel_variance",),
        runtime=Runtime(runs=runs, **runtime),  # pyright: ignore[reportArgumentType]
    )


NETS = {
    "vae": Vae(latent=4, details=2, width=8, images_seen=64, batch=8, crop=16),
    "cascade": Cascade(coarse_side=8, width=8, images_seen=32, batch=8),
    "gaussian": Gaussian(components=4),
}


def digests(folder: RunFolder) -> dict[str, str]:
    return {f"{shard}": Manifest.read(folder.shard_path(*shard)).digest for shard in folder.shards()}


def stopped(experiment: Experiment) -> Path:
    """Begin a run and stop it: within the first training, or before it where the model is a closed form."""
    asked, steps = [], 3 if experiment.generator.training_length else 0

    def stop() -> bool:
        asked.append(1)
        return len(asked) > steps

    with pytest.raises(Interrupted):
        run(experiment, should_stop=stop)
    return experiment.folder


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [*((kind, {"batch": 5}) for kind in NETS), ("vae", {"threads": 2}), ("gaussian", {"threads": 2})],
)
def test_a_stopped_run_and_the_printed_command_give_the_bytes_of_the_undisturbed_run(
    tmp_path: Path, kind: str, runtime: dict[str, int], capfd: pytest.CaptureFixture[str]
):
    whole = run(tiny(tmp_path / "whole", NETS[kind], device="cpu", **runtime))
    path = stopped(tiny(tmp_path / "cut", NETS[kind], device="cpu", **runtime))
    words = resume_command(path).split()
    assert command(*words[1:]) == 0
    assert digests(RunFolder.open(path)) == digests(whole)
    assert "begun with" not in capfd.readouterr().err
    batch, threads = runtime.get("batch", DEFAULT_BATCH), runtime.get("threads", 1)
    for shard in whole.shards():
        settings = Manifest.read(RunFolder(path).shard_path(*shard)).made_with
        assert (settings["batch"], settings["threads"], settings["processes"]) == (batch, threads, 1)


def test_a_resume_that_is_told_otherwise_says_so_on_the_terminal_on_the_page_and_in_check(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    path = stopped(tiny(tmp_path, NETS["gaussian"], device="cpu", batch=5, threads=1))
    assert command("resume", str(path), "--batch", "6", "--threads", "2") == 0
    said = " ".join(capfd.readouterr().err.split())
    assert "begun with batch 5 and goes on with 6" in said and "begun with 1 thread and goes on with 2" in said
    assert "not all generations were made alike: batch: 5 for gen-000; 6 for" in said
    page = (path / "report" / "index.html").read_text("utf-8")
    assert "Not all generations were made alike. threads: 1 for gen-000; 2 for" in page
    assert command("check", str(path)) == 0
    assert "note: batch: 5 for gen-000; 6 for" in capfd.readouterr().out
    assert command("resume", str(path)) == 0
    assert "not all generations were made alike" in " ".join(capfd.readouterr().err.split())


def test_a_run_that_is_begun_again_from_its_file_keeps_its_settings_too(tmp_path: Path):
    experiment = tiny(tmp_path, NETS["gaussian"], batch=5)
    stopped(experiment)
    folder = run(tiny(tmp_path, NETS["gaussian"]))
    assert {Manifest.read(folder.shard_path(*shard)).made_with["batch"] for shard in folder.shards()} == {5}


def test_a_branch_goes_on_with_the_settings_of_its_stem(tmp_path: Path):
    stem = tiny(tmp_path, NETS["gaussian"], batch=5)
    grown = run(stem)
    longer = branched(stem, tiny(tmp_path, NETS["gaussian"]).model_copy(update={"regime": Mix(), "generations": 3}), 1)
    longer = longer.model_copy(update={"runtime": Runtime(runs=tmp_path)})
    folder = run(longer, folder=branch(grown, longer, 1))
    assert {Manifest.read(folder.shard_path(*shard)).made_with["batch"] for shard in folder.shards()} == {5}
    assert folder.provenance["branched_from"]["batch"] == 5


def test_nothing_asked_means_as_begun_and_in_a_new_run_the_defaults(tmp_path: Path):
    kept = choose_settings(Runtime(), BEGUN, 1, tmp_path)
    assert (kept.device, kept.batch, kept.threads, kept.notes) == ("cpu", 5, 2, ())
    of_a_branch = choose_settings(Runtime(), {"branched_from": BEGUN}, 1, tmp_path)
    assert of_a_branch == kept
    new = choose_settings(Runtime(device="cpu"), {}, 1, tmp_path)
    assert (new.batch, new.threads, new.notes) == (DEFAULT_BATCH, 1, ())


def test_a_run_that_was_begun_on_a_device_that_is_not_here_does_not_go_on_elsewhere_in_silence(tmp_path: Path):
    begun = {**BEGUN, "device": "cuda:1 (NVIDIA H200)"}
    assert begun_device(begun) == "cuda"
    with pytest.raises(ValueError, match="cuda"):
        choose_settings(Runtime(), begun, 1, tmp_path)
    (note,) = choose_settings(Runtime(device="cpu"), begun, 1, tmp_path).notes
    assert "begun on cuda and goes on on cpu, as asked" in note


def test_another_number_of_processes_is_refused_unless_it_was_asked_for(tmp_path: Path):
    begun = {**BEGUN, "processes": 2}
    with pytest.raises(ValueError, match=r"begun with 2 processes.*torchrun --nproc-per-node 2 -m imagelab"):
        choose_settings(Runtime(), begun, 1, tmp_path)
    (note,) = choose_settings(Runtime(processes=1), begun, 1, tmp_path).notes
    assert "begun with 2 processes and goes on with 1" in note
    assert choose_settings(Runtime(), begun, 2, tmp_path).notes == ()


def test_the_command_that_goes_on_carries_the_processes_of_all_machines(monkeypatch: pytest.MonkeyPatch):
    assert resume_command(Path("a b")) == "imagelab resume 'a b'"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert resume_command(Path("r"), 4) == "torchrun --nproc-per-node 4 -m imagelab resume r"
    assert resume_command(Path("r"), 8) == "torchrun --nnodes 2 --nproc-per-node 4 -m imagelab resume r"


def test_notes_reach_whoever_runs_the_experiment(tmp_path: Path):
    stopped(tiny(tmp_path, NETS["gaussian"], batch=5))
    events: list[object] = []
    run(tiny(tmp_path, NETS["gaussian"], batch=9), on_event=events.append)
    assert any(isinstance(event, Note) and "begun with batch 5" in event.text for event in events)


def test_a_page_of_a_run_that_was_made_alike_says_nothing(tmp_path: Path):
    folder = run(tiny(tmp_path, NETS["gaussian"]))
    assert "were made alike" not in write_report(folder.path).read_text("utf-8")


# -- kernels: compiled blocks, graphs, precision


def test_kernels_are_no_part_of_the_question_and_of_no_older_record(tmp_path: Path):
    plain, fast = (tiny(tmp_path, NETS["vae"], **how) for how in ({}, {"compile": True, "precision": "full"}))
    assert plain.signature == fast.signature and plain.question() == fast.question()
    default, compiled = RunContext(), RunContext(kernels=Kernels(compile=True))
    assert "kernels" not in session_record(default) and "kernels" not in made_with(default)
    assert session_record(compiled)["kernels"] == made_with(compiled)["kernels"]
    (said,) = made_otherwise({"gen-000": made_with(default), "gen-001": made_with(compiled)})
    assert said.startswith("kernels: the defaults for gen-000; {'compile': True")


def test_a_training_is_not_continued_with_other_kernels():
    images = np.zeros((2, 1, 4, 4), np.uint8)
    marks = {fingerprint("{}", images, 0, RunContext(kernels=each)) for each in (Kernels(), Kernels(compile=True))}
    assert len(marks) == 2


def test_a_run_goes_on_with_the_kernels_that_it_was_begun_with(tmp_path: Path):
    begun = {**BEGUN, "kernels": {"compile": True, "graphs": False, "precision": "mixed"}}
    kept = choose_settings(Runtime(), begun, 1, tmp_path)
    assert kept.kernels == Kernels(compile=True) and kept.notes == ()
    other = choose_settings(Runtime(compile=False), begun, 1, tmp_path)
    assert other.kernels == Kernels()
    (note,) = other.notes
    assert "begun with compile true, graphs false, precision mixed and goes on with compile false" in note
    assert choose_settings(Runtime(), {"branched_from": begun}, 1, tmp_path).kernels == kept.kernels


def test_a_cpu_takes_of_the_kernels_what_it_can_do(tmp_path: Path):
    asked = Runtime(device="cpu", compile=True, graphs=True, precision="full")
    settings = choose_settings(asked, {}, 1, tmp_path)
    assert settings.kernels == Kernels(compile=True)
    (note,) = settings.notes
    assert note == "graphs and precision concern CUDA devices; the CPU computes in float32."
    assert choose_settings(Runtime(device="cpu", compile=True), {}, 1, tmp_path).notes == ()


@pytest.mark.parametrize("told", ["fast", ["compile"], {"compile": "yes", "graphs": 1, "precision": "\x1b[2J"}])
def test_kernels_of_a_record_that_somebody_wrote_are_not_believed(tmp_path: Path, told: object):
    settings = choose_settings(Runtime(), {**BEGUN, "kernels": told}, 1, tmp_path)
    assert settings.kernels == Kernels() and settings.notes == ()


def test_kernels_are_given_on_the_command_line_as_studies_give_them():
    words = ["--runtime.compile", "--runtime.no-graphs", "--runtime.precision", "full"]
    runtime = parse(Experiment(), words, "imagelab run x").runtime
    assert (runtime.compile, runtime.graphs, runtime.precision) == (True, False, "full")


def test_a_compiled_run_uses_one_worker_and_records_its_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    graphs: list[int] = []

    def traced(graph: Any, inputs: Any) -> Any:
        graphs.append(1)
        return graph.forward

    monkeypatch.setattr("imagelab.generators.kernels.BACKEND", traced)
    events: list[object] = []
    small = NETS["vae"].model_copy(update={"images_seen": 8})
    experiment = tiny(tmp_path, small, device="cpu", compile=True, workers=2)
    folder = run(experiment.model_copy(update={"generations": 1}), on_event=events.append)
    assert graphs and any(isinstance(event, Note) and "one after the other" in event.text for event in events)
    told = {"compile": True, "graphs": False, "precision": "mixed"}
    assert folder.provenance["kernels"] == Manifest.read(folder.shard_path(1, 0)).made_with["kernels"] == told
