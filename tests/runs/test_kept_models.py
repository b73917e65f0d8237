"""Models that a run removes: the rest of it stays what it was, and whoever needs one is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from imagelab import Experiment, Gaussian, Runtime, run
from imagelab.cli import main
from imagelab.data import RandomField
from imagelab.experiment import Keep
from imagelab.export.generation import export_generation
from imagelab.export.pulled import pull_run
from imagelab.export.storage import push_run
from imagelab.io.manifest import MANIFEST, with_checksum
from imagelab.regimes import Accumulate, Mix
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import branch, branched
from imagelab.runs.check import check_run
from imagelab.runs.kept_models import forget_models, models_to_keep
from imagelab.sweeps import Study


def tiny(runs: Path, keep: Keep | None = None, **changes: object) -> Experiment:
    settings: dict[str, object] = {
        "name": "tiny",
        "data": RandomField(size=16, slope=1, contrast=20, channels=1),
        "generator": Gaussian(),
        "arms": (Gaussian(components=2),),
        "generations": 3,
        "images": 12,
        "heldout": 12,
        "tracked": 1,
        "metrics": ("pixel_variance",),
        "runtime": Runtime(runs=runs, device="cpu", threads=1, keep=keep),
        **changes,
    }
    return Experiment(**settings)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run with each ``keep``."""
    keeps: tuple[Keep, ...] = ("models", "last", "none")
    return {keep: run(tiny(tmp_path_factory.mktemp(keep), keep)).path for keep in keeps}


def models(run: Path) -> list[str]:
    return sorted(path.parent.name for path in run.glob("gen-*/model"))


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def test_what_is_kept_is_what_was_asked_for(made: dict[str, Path]):
    assert len(models(made["models"])) == 6
    assert models(made["last"]) == ["gen-003", "gen-003-line-1"]
    assert models(made["none"]) == []
    assert len({path.name for path in made.values()}) == 1  # one signature


def test_no_byte_of_the_rest_differs_and_neither_does_the_chain(made: dict[str, Path]):
    def rest(run: Path) -> dict[str, bytes]:
        files = (path for path in run.glob("gen-*/*") if path.is_file())
        names = {path: path.relative_to(run).as_posix() for path in files}
        kept = {name: path.read_bytes() for path, name in names.items() if path.name not in (MANIFEST, "train.jsonl")}
        return kept | {"seals": (run / "seals.json").read_bytes(), "metrics": (run / "metrics.jsonl").read_bytes()}

    whole = rest(made["models"])
    assert len(whole) > 30
    assert rest(made["last"]) == whole and rest(made["none"]) == whole
    for t in (1, 2, 3):
        digests = {json.loads((made[keep] / f"gen-00{t}" / MANIFEST).read_text())["digest"] for keep in made}
        assert len(digests) == 1


def test_a_removed_model_is_no_damage_and_is_told(made: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    for keep, gone in (("models", 0), ("last", 4), ("none", 6)):
        found = check_run(made[keep])
        assert found.problems == () and sum("removed by the run" in note for note in found.notes) == bool(gone)
        assert command("check", made[keep]) == 0
        assert (f"note: {gone} models were removed by the run" in capsys.readouterr().out) == bool(gone)
    RunFolder.open(made["none"])


def test_who_needs_a_removed_model_is_told_what_to_do(made: dict[str, Path], tmp_path: Path):
    words = r"gen-001/model: the run has removed this model.*--keep.*To have it, make the run again: imagelab run"
    with pytest.raises(ValueError, match=words):
        export_generation(made["last"], 1, tmp_path / "out", "model")
    export_generation(made["last"], 3, tmp_path / "out", "model")
    with pytest.raises(ValueError, match="has removed this model"):
        RunFolder.open(made["none"]).model(3)


def test_a_model_that_vanished_otherwise_is_still_damage(made: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(made["last"], tmp_path / made["last"].name))
    shutil.rmtree(copy / "gen-003" / "model")
    with pytest.raises(ValueError, match="not what the run wrote"):
        RunFolder.open(copy)


def test_only_a_model_can_be_listed_as_removed(made: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(made["last"], tmp_path / made["last"].name))
    path = copy / "gen-003" / MANIFEST
    record = json.loads(path.read_text())
    record["removed"] = {"images.npy": record["files"].pop("images.npy")}
    path.write_text(json.dumps(with_checksum(record)))
    with pytest.raises(ValueError, match=r"not a manifest .*only models are removed"):
        RunFolder.open(copy)


def test_a_kill_between_the_record_and_the_deletion_is_no_damage(made: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(made["models"], tmp_path / made["models"].name))
    shutil.rmtree(copy / "gen-001")
    shutil.copytree(made["none"] / "gen-001", copy / "gen-001")
    shutil.copytree(made["models"] / "gen-001" / "model", copy / "gen-001" / "model")  # listed as removed, still there
    folder = RunFolder.open(copy)
    assert check_run(copy).problems == ()
    folder.checked(1)
    with pytest.raises(ValueError, match="has removed this model"):
        folder.model(1)
    forget_models(tiny(tmp_path), folder, "last")
    assert models(copy) == ["gen-003", "gen-003-line-1"]


def test_a_changed_file_is_named_before_its_model_is_removed(made: dict[str, Path], tmp_path: Path):
    copy = Path(shutil.copytree(made["models"], tmp_path / made["models"].name))
    path = copy / "gen-001" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    folder = RunFolder(copy)
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"images\.npy: was changed"):
        forget_models(tiny(tmp_path), folder, "none")
    assert len(models(copy)) == 6


def test_another_keep_thins_a_finished_run_and_what_is_made_again_keeps_as_it_was_begun(tmp_path: Path):
    experiment = tiny(tmp_path, "last", generations=1, arms=())
    folder = run(experiment)
    assert folder.provenance["keep"] == "last" and models(folder.path) == ["gen-001"]
    longer = tiny(tmp_path, None, generations=2, arms=())
    branched_run = branch(folder, branched(experiment, longer, 1), 1)
    assert "keep" not in branched_run.provenance
    run(tiny(tmp_path, "none", generations=1, arms=()))
    assert models(folder.path) == []
    shutil.rmtree(folder.path / "gen-001")
    run(tiny(tmp_path, None, generations=1, arms=()))
    assert models(folder.path) == ["gen-001"]  # as the run was begun


def test_a_branch_of_a_run_without_models_has_the_same_chain(made: dict[str, Path], tmp_path: Path):
    stem = RunFolder.open(made["none"])
    asked = tiny(tmp_path / "branches", regime=Mix(real_fraction=0.5))
    folder = branch(stem, branched(tiny(tmp_path), asked, 2), 2)
    here, there = folder.manifest(2), stem.manifest(2)
    assert here and there and here.removed and here.files == there.files and here.removed == there.removed
    run(asked.model_copy(update={"regime": branched(tiny(tmp_path), asked, 2).regime}))
    assert check_run(folder.path).problems == ()


def test_a_branch_that_reads_a_removed_model_is_refused_before_anything_is_copied(tmp_path: Path):
    warm: dict[str, Any] = {"arms": (), "warm_start": True, "generations": 2}
    stem = run(tiny(tmp_path, "last", **warm))
    asked = branched(tiny(tmp_path, **warm), tiny(tmp_path / "branches", **{**warm, "generations": 3}), 1)
    with pytest.raises(ValueError, match="gen-001/model: the run has removed this model"):
        branch(stem, asked, 1)
    assert not (tmp_path / "branches").exists()
    asked = branched(tiny(tmp_path, **warm), tiny(tmp_path / "branches", **{**warm, "generations": 3}), 2)
    assert branch(stem, asked, 2).has(2)  # the newest is kept


def test_a_run_that_was_pushed_with_its_models_is_the_same_without_them(made: dict[str, Path], tmp_path: Path):
    pytest.importorskip("fsspec")
    address = f"file://{tmp_path}/store"
    push_run(made["models"], address)
    push_run(made["none"], address)
    there = push_run(made["none"], f"{address}-of-none").address
    back = pull_run(there, tmp_path / "runs").folder
    assert models(back) == [] and check_run(back).problems == ()


def test_the_points_of_a_study_keep_what_the_study_was_told(tmp_path: Path):
    study = Study.of(tiny(tmp_path, "last"), {"seed": [0, 1]})
    assert study.words(study.points[1], threads=1)[-2:] == ["--keep", "last"]


@pytest.mark.parametrize(
    ("changes", "keep", "done", "kept"),
    [
        ({}, "none", 2, set()),
        ({}, "last", 2, {(2, 0)}),
        ({"warm_start": True}, "none", 2, {(2, 0)}),
        ({"warm_start": True}, "none", 3, set()),
        ({"fresh_draws": 2}, "none", 2, {(2, 0)}),
        ({"fresh_draws": 2, "regime": Accumulate()}, "none", 2, {(1, 0), (2, 0)}),
        ({"fresh_draws": 2, "regime": Accumulate()}, "none", 3, set()),
        ({"fresh_draws": 2, "regime": Accumulate()}, "last", 3, {(1, 0), (2, 0), (3, 0)}),
    ],
)
def test_a_model_stays_as_long_as_the_run_reads_it(
    changes: dict[str, Any], keep: Keep, done: int, kept: set[tuple[int, int]], made: dict[str, Path], tmp_path: Path
):
    experiment = tiny(tmp_path, arms=(), **changes)
    copy = tmp_path / "some"
    for t in range(done + 1):
        shutil.copytree(made["models"] / f"gen-00{t}", copy / f"gen-00{t}")
    shutil.copyfile(made["models"] / "config.json", copy / "config.json")
    assert models_to_keep(experiment, RunFolder(copy), keep) == kept


def test_a_run_that_reads_models_goes_through_when_it_keeps_none(tmp_path: Path):
    changes: dict[str, Any] = {"arms": (), "warm_start": True, "fresh_draws": 2, "regime": Accumulate()}
    first, second = run(tiny(tmp_path / "a", **changes)), run(tiny(tmp_path / "b", "none", **changes))
    assert models(second.path) == [] and len(models(first.path)) == 3
    assert (first.path / "metrics.jsonl").read_bytes() == (second.path / "metrics.jsonl").read_bytes()
