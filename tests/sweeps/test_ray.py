"""The Ray executor against a real Ray of this machine: pip install 'imagelab-collapse[ray]'."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab import Experiment
from imagelab.run_folder import RunFolder
from imagelab.sweeps import Point, RayJob, Study, run_ray

ROOT = Path(__file__).resolve().parents[2]
Tiny = Callable[..., Experiment]


def test_without_ray_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"needs the package ray: pip install 'imagelab-collapse\[ray\]'"):
        run_ray(Study.of(tiny(tmp_path), {"seed": range(1)}))


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers of Ray, which are processes of their own, find this checkout."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'imagelab-collapse[ray]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_what_no_node_has_is_refused(outside: None, tmp_path: Path, tiny: Tiny):
    study = Study.of(tiny(tmp_path / "runs"), {"regime.kind": ["replace", "accumulate"]})
    killed, said, first = list[int](), list[str](), RunFolder(study.points[0].experiment.folder)

    def kill_once() -> bool:
        if not killed:
            found = subprocess.run(
                ["pgrep", "-f", f"imagelab run .*{study.points[0].name}"], capture_output=True, text=True
            )
            for number in found.stdout.split():
                status = Path(f"/proc/{number}/status").read_text()
                worker = int(status.partition("PPid:")[2].split()[0])
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
        return False

    def note(point: Point, words: str) -> None:
        # the second one waits for generation 0 of the first, which it copies, unless that was killed
        assert point is study.points[0] or killed or first.has(0)
        said.append(words)

    outcomes = run_ray(study, jobs=2, threads=1, on_change=note, should_stop=kill_once)
    assert killed and all(each.is_finished for each in outcomes), [each.why for each in outcomes]
    assert said.count("finished") == 2 and said.count("submitted, try 2") == 1
    with pytest.raises(ValueError, match=r"a point needs 1 CPU and 64 GPU on one node; the nodes have 1 CPU and"):
        run_ray(Study.of(tiny(tmp_path / "runs"), {"seed": range(3, 4)}), RayJob(gpus=64), jobs=1, threads=1)


@pytest.mark.slow
def test_a_killed_driver_leaves_no_point_running(outside: None, tmp_path: Path):
    (tmp_path / "slow.py").write_text(
        "from imagelab import Experiment, Textures, Vae\n"
        'experiment = Experiment(name="slow", data=Textures(size=16), generator=Vae(latent=4, width=8,\n'
        "    images_seen=4_000_000), generations=2, images=40, heldout=24, tracked=4, metrics=('pixel_variance',))\n"
    )
    words = ["sweep", "slow.py", "--seed", "0..1", "--executor", "ray", "--jobs", "1"]
    command = [sys.executable, "-m", "imagelab", *words]
    quiet = subprocess.DEVNULL
    driver = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 180
    try:
        while not list(tmp_path.glob("runs/*/gen-000")):
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.2)
    finally:
        driver.kill()
        driver.wait()
    pattern = f"imagelab run {tmp_path}"
    while subprocess.run(["pgrep", "-f", pattern], capture_output=True).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    subprocess.run(["pkill", "-9", "-s", str(driver.pid)])  # agents of Ray that outlive it
