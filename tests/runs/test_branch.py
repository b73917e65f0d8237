from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagelab.data import Textures
from imagelab.experiment import Experiment, Runtime
from imagelab.generators import Gaussian, RunContext, Vae
from imagelab.io.manifest import MANIFEST, Manifest, file_digest
from imagelab.io.pictures import read_npy
from imagelab.lab import run_generations
from imagelab.regimes import Accumulate, AnyRegime, Contaminate, Fresh, Golden, Mix, Replace, Schedule
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import branch, branched
from imagelab.runs.environment import provenance


def tiny(runs: Path, **changes) -> Experiment:
    settings = {
        "name": "tiny",
        "data": Textures(size=16),
        "generator": Gaussian(components=8),
        "generations": 4,
        "images": 16,
        "heldout": 8,
        "tracked": 4,
        "metrics": ("pixel_variance", "hf_ratio"),
        "runtime": Runtime(device="cpu", runs=runs),
    }
    return Experiment(**{**settings, **changes})


def carry_out(experiment: Experiment, folder: RunFolder | None = None) -> RunFolder:
    folder = folder or RunFolder.create(experiment.folder, experiment.config())
    list(run_generations(experiment, folder, RunContext()))
    return folder


def contents(folder: RunFolder) -> dict[str, str]:
    """Every file except those that contain the time; of a manifest, the digest without them."""
    files = (path for path in folder.path.rglob("*") if path.is_file())
    timed = ("train.jsonl", "provenance.json", "run.lock", MANIFEST)
    found = {str(p.relative_to(folder.path)): file_digest(p) for p in files if p.name not in timed}
    return {**found, **{str(shard): Manifest.read(folder.shard_path(*shard)).digest for shard in folder.shards()}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Replace(), Mix(real_fraction=0.5)),
        (Replace(), Fresh(real_fraction=0.5)),  # needs new real images, which the old run has not stored
        (Fresh(real_fraction=0.25), Golden()),  # needs more of them
        (Fresh(real_fraction=0.25), Replace()),  # needs fewer
        (Accumulate(), Contaminate(share=0.5)),
        (Schedule(first=Replace(), until=1, then=Fresh()), Accumulate(subsample=True)),
        (Mix(), Mix()),  # the same for longer
    ],
    ids=lambda regime: str(regime)[:40],
)
def test_a_branch_is_the_same_as_the_whole_schedule_run_from_the_start(tmp_path: Path, old: AnyRegime, new: AnyRegime):
    stem = tiny(tmp_path / "stem", regime=old, arms=(Gaussian(components=2),))
    grown = carry_out(stem)
    asked = tiny(tmp_path / "branch", regime=new, arms=stem.arms, generations=5)
    whole = branched(stem, asked, 2)
    before = contents(grown)
    scratch = carry_out(whole.model_copy(update={"runtime": Runtime(runs=tmp_path / "scratch")}))
    assert contents(carry_out(whole, branch(grown, whole, 2))) == contents(scratch)
    assert contents(grown) == before, "the stem has changed"


def test_a_trained_network_branches_to_the_byte(tmp_path: Path):
    net = Vae(latent=4, width=8, images_seen=160, batch=8)
    stem = tiny(tmp_path / "stem", generator=net, warm_start=True, generations=2)
    whole = branched(stem, tiny(tmp_path, generator=net, warm_start=True, generations=3, regime=Mix()), 2)
    made = carry_out(whole, branch(carry_out(stem), whole, 2))
    scratch = carry_out(whole.model_copy(update={"runtime": Runtime(runs=tmp_path / "scratch")}))
    assert contents(made) == contents(scratch)


def test_what_is_shared_is_copied_and_not_computed_again(tmp_path: Path):
    stem = tiny(tmp_path)
    grown, whole = carry_out(stem), branched(stem, tiny(tmp_path, regime=Mix()), 2)
    folder = branch(grown, whole, 2)
    assert [shard for shard, _ in folder.shards()] == [0, 1, 2]
    for path in folder.path.rglob("*"):
        assert path.is_dir() or path.stat().st_nlink == 1, f"{path} shares its bytes with the stem"
    assert {m.generation for m in folder.measurements()} == {0, 1, 2}


def test_an_interrupted_branch_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stem = tiny(tmp_path / "stem")
    grown, whole = carry_out(stem), branched(stem, tiny(tmp_path, regime=Fresh()), 3)

    def cut(self: RunFolder, generation: int, *arguments: Any, **named: Any) -> None:
        if generation == 2:
            raise KeyboardInterrupt
        commit(self, generation, *arguments, **named)

    commit = RunFolder.commit
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "commit", cut)
        with pytest.raises(KeyboardInterrupt):
            branch(grown, whole, 3)
    half = RunFolder.open(whole.folder)
    assert [shard for shard, _ in half.shards()] == [0, 1]
    uncut = whole.model_copy(update={"runtime": Runtime(runs=tmp_path / "uncut")})
    assert contents(branch(grown, whole, 3)) == contents(branch(grown, uncut, 3))
    assert [shard for shard, _ in half.shards()] == [0, 1, 2, 3]
    assert len(read_npy(half.shard_path(0) / "reserve.npy")) == 4


def test_the_provenance_names_the_stem_and_what_it_was_made_with(tmp_path: Path):
    stem = tiny(tmp_path)
    grown, whole = carry_out(stem), branched(stem, tiny(tmp_path, regime=Mix()), 2)
    grown.write_provenance({**provenance(stem, grown, RunContext()), "device": "cuda:9"})
    folder = branch(grown, whole, 2)
    folder.write_provenance(provenance(whole, folder, RunContext()))
    record = folder.provenance
    assert record["device"] == "cpu" and record["data"]["counts"]["train"] == 16
    told = record["branched_from"]
    assert (told["run"], told["signature"], told["until"], told["device"]) == (
        grown.path.name,
        stem.signature,
        2,
        "cuda:9",
    )
    assert provenance(whole, folder, RunContext()) == record, "the same session is not recorded twice"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": Gaussian(components=3)}, "generator.components: expected 8, got 3"),
        ({"seed": 1}, "seed: expected 0, got 1"),
        ({"images": 20}, "images"),
        ({"arms": (Gaussian(),)}, "arms"),
        ({"warm_start": True}, "warm_start"),
        ({"metrics": ("pixel_variance",)}, "metrics"),
        ({"generations": 2}, "from 1 to 1, got 2"),
        ({"name": "other"}, "regime or more generations"),
    ],
)
def test_what_would_change_the_first_generations_is_refused_with_the_reason(
    tmp_path: Path, changes: dict, message: str
):
    settings = {"regime": Mix(), **changes} if "name" not in changes else {}
    with pytest.raises(ValueError, match=message):
        branched(tiny(tmp_path), tiny(tmp_path, **settings), 2)


def test_a_name_of_its_own_is_no_obstacle(tmp_path: Path):
    assert branched(tiny(tmp_path), tiny(tmp_path, regime=Mix(), name="healed"), 2).name == "healed"


def test_a_run_that_has_not_come_that_far_cannot_be_left_there(tmp_path: Path):
    stem = tiny(tmp_path, generations=2)
    grown, whole = carry_out(stem), branched(stem, tiny(tmp_path, regime=Mix(), generations=9), 3)
    with pytest.raises(ValueError, match="generation 3 of line 0 is not finished"):
        branch(grown, whole, 3)
    assert not whole.folder.exists()
