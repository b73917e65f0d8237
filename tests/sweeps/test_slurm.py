"""The Slurm executor against a real Slurm of one node that the tests start: apt-get install slurm-wlm munge."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagelab import Experiment, Vae
from imagelab.run_folder import RunFolder
from imagelab.sweeps import Outcome, Point, SlurmJob, Study, point_state, run_slurm, script_of

ROOT = Path(__file__).resolve().parents[2]
Tiny = Callable[..., Experiment]
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPort={port}
SlurmdPort={other_port}
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/d
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=1
MinJobAge=600
KillWait=5
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=2000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of this machine alone; what it starts is ended with it."""
    absent = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent or os.geteuid():
        why = (
            f"{absent[0]} is not installed: apt-get install slurm-wlm munge" if absent else "it is started by root only"
        )
        pytest.skip(f"slurm: {why}")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("ctld", "d"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    text = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        port=free_port(),
        other_port=free_port(),
        folder=folder,
        cores=os.cpu_count(),
    )
    configuration.write_text(text)
    ours = subprocess.run(["pgrep", "-x", "munged"], capture_output=True).returncode != 0
    if ours:
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge", "munge")
        subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)
    patch = pytest.MonkeyPatch()
    patch.setenv("SLURM_CONF", str(configuration))
    patch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    patch.setenv("PYTHONPATH", str(ROOT))
    daemons = [subprocess.Popen([name, "-D", "-f", str(configuration)]) for name in ("slurmctld", "slurmd")]
    try:
        deadline = time.monotonic() + 60
        while b"idle" not in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True).stdout:
            assert time.monotonic() < deadline, (folder / "ctld.log").read_text()[-2000:]
            time.sleep(0.2)
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)
        if ours:
            subprocess.run(["pkill", "-x", "munged"])
        patch.undo()


@pytest.mark.slow
def test_a_killed_task_is_submitted_again_until_every_point_is_finished(slurm: None, tmp_path: Path, tiny: Tiny):
    study, killed = Study.of(tiny(tmp_path / "runs"), {"regime.kind": ["replace", "accumulate"]}), list[str]()
    first = study.points[0]
    said: list[str] = []

    def note(point: Point, words: str) -> None:
        # the second one waits for generation 0 of the first, which it copies, unless that was killed
        assert point is first or killed or RunFolder(first.experiment.folder).has(0)
        said.append(words)

    def kill_once() -> bool:
        if not killed and (first.experiment.folder / "config.json").exists():
            found = subprocess.run(["pgrep", "-f", f"imagelab run .*{first.name}"], capture_output=True, text=True)
            killed.extend(found.stdout.split())
            for number in killed:
                os.kill(int(number), signal.SIGKILL)
        return False

    outcomes = run_slurm(study, threads=1, device="cpu", ask_every=0.2, on_change=note, should_stop=kill_once)
    assert killed and all(each.is_finished for each in outcomes), [each.why for each in outcomes]
    assert sum(words.startswith("submitted") for words in said) == 3 and said.count("finished") == 2
    assert said[-1] == "finished"
    again = run_slurm(study, threads=1, device="cpu", on_change=lambda p, w: pytest.fail("it was submitted again"))
    assert all(each.is_finished for each in again)


@pytest.mark.slow
def test_a_held_task_is_named_and_one_that_runs_is_left_in_the_queue_and_found_again(
    slurm: None, tmp_path: Path, tiny: Tiny
):
    study = Study.of(tiny(tmp_path / "runs", Vae(latent=4, width=8, images_seen=4_000_000)), {"seed": range(1)})
    said: list[str] = []

    def run(stop: bool, job: SlurmJob) -> Outcome:
        (outcome,) = run_slurm(
            study,
            job,
            threads=1,
            ask_every=0.2,
            on_change=lambda p, w: said.append(w),
            should_stop=lambda: stop and "running" in said,
        )
        return outcome

    held = run(False, SlurmJob(lines=("--hold",)))
    assert "stuck (JobHeldUser): scontrol release" in held.why and "_0" in held.why
    number = said[0].split()[-1]
    subprocess.run(["scontrol", "release", number], check=True)
    left = run(True, SlurmJob())
    assert left.why.startswith("in the queue; the same command waits for it again, scancel ")
    assert [words for words in said if words.startswith("submitted")] == [f"submitted as task {number}"]
    log = study.folder / "logs" / f"{study.points[0].name}.log"
    deadline = time.monotonic() + 60
    while not list(study.points[0].experiment.folder.glob("gen-001*/train.jsonl")):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    subprocess.run(["scancel", "--signal=USR1", "--batch", number.partition("_")[0]], check=True)
    while "stopped, everything finished is kept" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    assert point_state(study.points[0]).state == "begun"


def test_the_script_of_a_job_asks_for_what_was_asked(tmp_path: Path, tiny: Tiny):
    study = Study.of(tiny(tmp_path / "runs"), {"seed": range(3)})
    job = SlurmJob("gpu", "ours", "4:00:00", "8G", 2, "a100|h100", 4, ("--nice=5", "--exclude=node7"))
    script = script_of(study, study.points, job, threads=3, device="cuda")
    for line in (
        "--array=0-2%4",
        "--partition=gpu",
        "--account=ours",
        "--time=4:00:00",
        "--mem=8G",
        "--gpus-per-task=2",
        "--constraint='a100|h100'",
        "--cpus-per-task=6",
        "--signal=B:USR1@120",
        "--nice=5",
        "--exclude=node7",
    ):
        assert f"#SBATCH {line}\n" in script
    assert "-m torch.distributed.run --standalone --nproc-per-node 2 -m imagelab run" in script
    assert "--runtime.threads 3 " in script and "--runtime.device cuda" in script
    assert [point.name in script for point in study.points] == [True] * 3
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    with pytest.raises(ValueError, match="expected one line of printable text"):
        SlurmJob(lines=("--nice\nrm",))


def test_without_slurm_the_script_can_still_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"sbatch: not found\. .*--executor slurm --dry-run"):
        run_slurm(Study.of(tiny(tmp_path / "runs"), {"seed": range(1)}))
