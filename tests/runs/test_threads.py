"""The number of threads: the default, what a run records, and what a resumed run goes on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagelab import Experiment, Gaussian, Replace, Runtime, Textures
from imagelab.cli import main
from imagelab.cli.run import execute
from imagelab.generators import Model, RunContext
from imagelab.generators.base import Kernels
from imagelab.generators.gaussian import GaussianModel
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import adopt, branch, branched
from imagelab.runs.distributed import TorchProcessGroup, _fit
from imagelab.runs.environment import provenance
from imagelab.runs.threads import (
    VARIABLES,
    Choice,
    choose_threads,
    default_threads,
    limited,
    thread_record,
    usable_cores,
    waiting,
    warnings,
)

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in which no variable of OpenMP is set but those given."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def tiny(folder: Path, generations: int = 2, **runtime: Any) -> Experiment:
    return Experiment(
        name="tiny",
        data=Textures(size=16),
        regime=Replace(),
        generator=Gaussian(components=8),
        generations=generations,
        images=24,
        heldout=12,
        tracked=4,
        metrics=("pixel_variance",),
        runtime=Runtime(device="cpu", runs=folder, **runtime),
    )


@pytest.fixture
def two_threads():
    """Two threads of torch while the test runs, as a host program may have."""
    with limited(2):
        yield


# -- the default


@pytest.mark.parametrize(
    ("value", "threads"), [(None, 1), ("", 1), ("3", 3), (" 3 ", 3), ("4,2", 4), ("0", 1), ("-2", 1), ("many", 1)]
)
def test_the_default_is_the_users_variable_or_one(value: str | None, threads: int):
    assert default_threads({} if value is None else {"OMP_NUM_THREADS": value}) == threads


PREPARED = """
import json
from imagelab.runs.threads import prepare_process, thread_record
prepare_process()
print(json.dumps(thread_record()))
"""


def test_a_program_of_its_own_has_one_thread_and_waits_passively():
    done = python(PREPARED, OMP_DISPLAY_ENV="true")
    told = json.loads(done.stdout)
    assert (told["torch"], told["waiting"]) == (1, "passive")
    assert told["environment"] == {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this OpenMP does not display its settings")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr and "OMP_NUM_THREADS = '1'" in done.stderr


def test_the_users_own_variables_are_kept():
    own = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "9"}
    assert json.loads(python(PREPARED, **own).stdout) == {"torch": 2, "waiting": "active", "environment": own}


def test_where_torch_is_loaded_its_threads_are_set_and_no_policy_is_claimed():
    told = json.loads(python(f"import torch; torch.set_num_threads(2)\n{PREPARED}").stdout)
    assert (told["torch"], told["waiting"]) == (1, "active") and "OMP_WAIT_POLICY" not in told["environment"]


@pytest.mark.parametrize("entry", ["main(['--version'])", "launch(Experiment(), ['--help'])"])
def test_the_command_and_the_script_prepare_their_process_before_torch_is_loaded(entry: str):
    code = f"""
import os, sys
from imagelab.cli import launch, main
from imagelab.experiment import Experiment
try:
    {entry}
except SystemExit:
    print()
    print("torch" in sys.modules, os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"])
"""
    assert python(code).stdout.splitlines()[-1] == "False 1 passive"


def test_measuring_from_a_program_changes_neither_its_threads_nor_its_variables(two_threads: None):
    from imagelab import measure

    before, pictures = thread_record(), np.random.default_rng(0).integers(0, 256, (30, 3, 16, 16), np.uint8)
    measure(pictures[:20], pictures[20:], metrics=["pixel_variance"], device="cpu", cache=False)
    assert thread_record() == before and before["torch"] == 2


def test_the_limit_ends_with_its_block_even_after_an_error(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    with pytest.raises(KeyError), limited(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    monkeypatch.setenv("OMP_NUM_THREADS", str(before + 2))
    with limited(0):
        assert torch.get_num_threads() == before + 2


@pytest.mark.parametrize(
    ("variables", "way"),
    [
        ({}, "active"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "passive"),
        ({"OMP_WAIT_POLICY": "active"}, "active"),
        ({"GOMP_SPINCOUNT": "0"}, "passive"),
        ({"GOMP_SPINCOUNT": "1000"}, "active"),
    ],
)
def test_waiting_is_read_from_the_variables(variables: dict[str, str], way: str):
    assert waiting(variables) == way


# -- the choice


def test_the_number_asked_for_comes_first_then_the_recorded_one_then_the_default():
    begun = {"threads": {"torch": 2}, "resumed_with": [{"threads": {"torch": 3}}]}
    assert choose_threads(0, {}, 5) == Choice(5)
    assert choose_threads(4, {}, 5) == Choice(4)
    assert choose_threads(0, begun, 5) == choose_threads(2, begun, 5) == Choice(2)
    assert choose_threads(0, {"branched_from": begun}, 5) == Choice(2)
    assert choose_threads(0, {"branched_from": begun, "threads": {"torch": 4}}, 5) == Choice(4)
    assert choose_threads(0, {"branched_from": {"run": "old"}}, 5) == Choice(5)


def test_another_number_than_the_recorded_one_is_used_and_said():
    choice = choose_threads(1, {"threads": {"torch": 2}}, 5)
    assert choice.threads == 1
    assert choice.note.startswith("This run was begun with 2 threads and goes on with 1, as asked.")


def test_a_run_of_an_older_version_is_told_what_is_not_known():
    old = {"imagelab": "0.1.0", "device": "cpu"}
    choice = choose_threads(0, old, 1)
    assert choice.threads == 1 and "did not record the number of threads; it goes on with 1 thread." in choice.note
    assert choose_threads(2, old, 1) == Choice(2)


def test_what_makes_threads_slow_is_said():
    assert warnings(1, 1, 1, "active") == warnings(2, 1, 2, "passive") == []
    (active,) = warnings(2, 1, 2, "active")
    assert "OMP_WAIT_POLICY=passive" in active
    assert warnings(3, 1, 2, "passive") == ["3 threads on 2 usable cores: fewer threads are faster."]
    assert warnings(2, 2, 3, "passive") == ["2 processes of 2 threads on 3 usable cores: fewer threads are faster."]
    assert warnings(1, 2, 1, "active") == []


# -- the cores


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def siblings(*lists: str) -> dict[str, str]:
    """Files that say of CPU 0, 1, ... which CPUs share its core."""
    place = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {place.format(cpu): f"{each}\n" for cpu, each in enumerate(lists)}


def test_cores_are_those_of_the_affinity_mask_each_counted_once(tmp_path: Path):
    root = machine(tmp_path, siblings("0,2", "1,3", "0,2", "1,3"))
    assert usable_cores(root, {0, 1, 2, 3}) == 2
    assert usable_cores(root, {0, 2}) == 1
    assert usable_cores(tmp_path / "unknown", {0, 1, 2, 3}) == 4
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "3:memory:/a\n1:cpu,cpuacct:/job\n0::/\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        ({"proc/self/cgroup": "3:memory:/a\n", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "100000\n"}, 4),
    ],
    ids=["v2", "v2 without a limit", "v2, limit above", "v2, less than one", "v1", "no cpu group"],
)
def test_cores_obey_the_quota_of_a_container(tmp_path: Path, files: dict[str, str], cores: int):
    assert usable_cores(machine(tmp_path, files), {0, 1, 2, 3}) == cores


# -- runs


def test_a_run_records_its_threads_and_gives_the_program_its_own_back(tmp_path: Path, two_threads: None):
    experiment = tiny(tmp_path, threads=3)
    assert execute(experiment) == 0
    told = RunFolder(experiment.folder).provenance["threads"]
    assert told == {**thread_record(), "torch": 3}
    assert torch.get_num_threads() == 2


def half_done(folder: Path, threads: int) -> RunFolder:
    """A run of two generations that was stopped after the first."""
    whole, half = tiny(folder, threads=threads), tiny(folder, generations=1, threads=threads)
    assert execute(half) == 0
    made, begun = RunFolder(half.folder), RunFolder.create(whole.folder, whole.config())
    adopt(begun, made, 0, 0, {})
    adopt(begun, made, 1, 0, {})
    begun.write_provenance(made.provenance)
    return begun


def test_resume_goes_on_with_the_recorded_number(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    begun = half_done(tmp_path, threads=3)
    with pytest.raises(SystemExit) as left:
        main(["resume", str(begun.path), "--device", "cpu"])
    assert left.value.code == 0 and begun.has(2)
    assert "resumed_with" not in begun.provenance and "begun with" not in capfd.readouterr().err


def test_resume_with_another_number_says_so_and_records_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    begun = half_done(tmp_path, threads=3)
    with pytest.raises(SystemExit) as left:
        main(["resume", str(begun.path), "--device", "cpu", "--threads", "1"])
    assert left.value.code == 0 and begun.has(2)
    said = " ".join(capfd.readouterr().err.split())
    assert "This run was begun with 3 threads and goes on with 1, as asked." in said
    assert begun.provenance["threads"]["torch"] == 3
    assert [session["threads"]["torch"] for session in begun.provenance["resumed_with"]] == [1]


def test_a_branch_goes_on_with_its_stems_number(tmp_path: Path):
    stem = tiny(tmp_path, threads=3)
    assert execute(stem) == 0
    longer = branched(tiny(tmp_path), tiny(tmp_path, generations=3), 2)
    folder = branch(RunFolder(stem.folder), longer, 2)
    assert execute(longer, folder) == 0
    assert folder.provenance["threads"]["torch"] == 3


def test_an_older_runs_record_is_not_taken_for_the_same_session(tmp_path: Path):
    experiment = tiny(tmp_path)
    assert execute(experiment) == 0
    folder = RunFolder(experiment.folder)
    folder.write_provenance({key: value for key, value in folder.provenance.items() if key != "threads"})
    assert provenance(experiment, folder, RunContext())["resumed_with"][0]["threads"] == thread_record()


class Counting(Gaussian):
    """A model that notes how many threads its fits have."""

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> GaussianModel:
        COUNTED.append(torch.get_num_threads())
        return super().fit(images, seed, context, start)


COUNTED: list[int] = []


class Told(TorchProcessGroup):
    """A rank that follows, and the tasks that it is told in turn."""

    tasks: list[Any]

    def broadcast_object(self, task: Any) -> Any:
        return self.tasks.pop(0)


def test_a_rank_that_helps_uses_as_many_threads_as_the_first(rng: np.random.Generator, two_threads: None):
    images, group = rng.integers(0, 256, (8, 3, 16, 16), np.uint8), Told(1, 2)
    recipe = Counting(components=2)
    group.tasks = [(partial(_fit, recipe, images, 0, None), 8, None, threads, Kernels()) for threads in (3, 1)] + [None]
    group.serve("cpu")
    assert COUNTED == [3, 1] and torch.get_num_threads() == 2
