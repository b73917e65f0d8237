"""A run that was killed or stopped, and resumed, has the same bytes as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab import Cascade, Ddpm, Gaussian, Neon, SelfGuided, Vae
from imagelab.generators import GENERATORS
from imagelab.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]

# A process that has imported everything and computed nothing; each run is a fork of it, so that a kill costs a kill
# and not another half minute of imports.
ZYGOTE = """
import os, signal, sys, time
from pathlib import Path
from imagelab.cli.overrides import load_experiment, parse
from imagelab.cli.run import execute
import torch, diffusers, accelerate, imagelab.lab, imagelab.cli.session
import imagelab.generators.training, imagelab.generators.vae_net
import imagelab.metrics.features, imagelab.report.page
words = ["--runtime.threads", "1", "--generations", "2", "--images", "100", "--heldout", "60", "--data.size", "16"]
words += ["--generator.images-seen", "1500", "--generator.width", "8", "--generator.latent", "8"]
for name in ("pixel_variance", "tone", "frechet"):  # the whole panel and its page take most of the time
    words += ["--metrics", name]
asked = load_experiment(Path(sys.argv[1]))
for line in sys.stdin:
    word, runs = line.split(maxsplit=1)
    started, child = time.monotonic(), os.fork()
    if child == 0:
        experiment = parse(asked, [*words, "--runtime.runs", runs.strip()], "test")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            code = execute(experiment)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            code = 1
        os._exit(code)
    delay = float(word)
    if delay > 0:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(time.monotonic() - started, os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self, experiment: Path):
        command = [sys.executable, "-c", ZYGOTE, str(experiment)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def run(self, runs: Path, kill_after: float = 0.0) -> tuple[float, int]:
        """Run the experiment, killed after so many seconds (0: never); return (seconds, exit code)."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{kill_after} {runs}\n")
        self.process.stdin.flush()
        seconds, code = self.process.stdout.readline().split()
        return float(seconds), int(code)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def digests(runs: Path) -> dict[str, str]:
    (folder,) = runs.iterdir()
    kept = [*folder.rglob("images.npy"), *folder.rglob("metrics.jsonl")]
    return {str(path.relative_to(runs)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(kept)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kills_at_random_moments_change_no_byte(tmp_path: Path):
    smoke = ROOT / "experiments" / "smoke.py"
    zygote, killed = Zygote(smoke), tmp_path / "killed"
    seconds, code = zygote.run(tmp_path / "whole")
    assert code == 0

    rng, codes = np.random.default_rng(7), []
    for share in rng.uniform(0.02, 0.4, 10):
        codes.append(zygote.run(killed, kill_after=max(0.05, float(share) * seconds))[1])
        if codes[-1] == 0:  # it came through: begin another run to be killed
            break
    final = zygote.run(killed)[1]
    zygote.close()

    assert codes.count(-9) >= 2, f"the run was hardly ever caught at work: {codes}"
    assert final == 0
    assert digests(killed) == digests(tmp_path / "whole")
    assert not list(killed.rglob("*.partial"))


# Every generator, (kill, stop by signal) x (batch, threads). A process that has computed nothing forks a child for each
# run, as above. A training writes a checkpoint after every step, and the signal comes just before one is written.
WORKER = """
import inspect, json, os, signal, sys
from pathlib import Path
import torch, diffusers, accelerate
import imagelab, imagelab.lab
from imagelab import Experiment, Runtime, Textures
from imagelab.generators import Interrupted, training
import imagelab.generators.vae_net, imagelab.generators.cascade_net, imagelab.generators.patch_net

usual = [each for each in inspect.signature(training.Plan).parameters.values() if each.default is not each.empty]
training.Plan.__init__.__defaults__ = tuple(0.0 if p.name == "checkpoint_seconds" else p.default for p in usual)

def at_call(place, name, number, kind):
    work, calls = getattr(place, name), []
    def counted(*words):
        calls.append(None)
        if len(calls) == number:
            os.kill(os.getpid(), kind)
        return work(*words)
    setattr(place, name, counted)

def run(order):
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(None))
    if order["signal"]:
        closed = order["generator"]["kind"] == "gaussian"  # it has no checkpoint: before its images are drawn
        at_call(imagelab.lab if closed else training, "draw_shard" if closed else "write_checkpoint",
                order["call"], order["signal"])
    experiment = Experiment(name="tiny", data=Textures(size=16), generator=order["generator"], generations=2, images=24,
                            heldout=12, tracked=2, metrics=("pixel_variance",),
                            runtime=Runtime(runs=Path(order["runs"]), device="cpu", **order["runtime"]))
    try:
        imagelab.run(experiment, should_stop=lambda: bool(asked))
        return 0
    except Interrupted:
        return 3

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = run(json.loads(line))
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

CASCADE = {"components": 6, "width": 16, "blocks": 1, "detail_widths": (8,), "steps": 2, "coarse_steps": 2}
NOISE: dict[str, Any] = {"attention": False, "patch": 4, "images_seen": 64, "batch": 8, "noise_steps": 20, "steps": 2}
SMALL: dict[str, Any] = {
    "gaussian": Gaussian(components=4),
    "vae": Vae(latent=4, details=2, width=8, images_seen=64, batch=8, crop=16),
    "ddpm": Ddpm(channels=(8, 16), blocks=1, images_seen=64, batch=8, noise_steps=20, steps=2),
    "cascade": Cascade(coarse_side=4, images_seen=64, coarse_share=2, batch=8, coarse_batch=16, **CASCADE),
}
SMALL["neon"] = Neon(base=SMALL["vae"], samples=8, share=0.5)
SMALL["self_guided"] = SelfGuided(base=Ddpm(channels=(8,), blocks=1, **NOISE), samples=8, share=0.5)
CALLS = {"gaussian": 1, "vae": 13, "ddpm": 13, "cascade": 41, "neon": 25, "self_guided": 25}
"""In which the signal comes: in the first generation of a closed form, within the second training of the others; where
a model is trained on its own samples, within that training."""


class Worker:
    """Runs tiny experiments, each in a child of its own; a whole one is run once and kept."""

    def __init__(self, folder: Path):
        pipe = subprocess.PIPE
        self.folder, self.whole = folder, {}
        calm = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # else two threads wait in turns on a busy machine
        command = [sys.executable, "-c", WORKER]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=calm)

    def run(self, kind: str, runs: Path, runtime: dict[str, int], end: int = 0) -> int:
        """Run an experiment, ended by a signal; return the exit code of the child."""
        assert self.process.stdin and self.process.stdout
        order = {"generator": SMALL[kind].model_dump(mode="json"), "runs": str(runs), "runtime": runtime}
        self.process.stdin.write(json.dumps({**order, "signal": end, "call": CALLS[kind]}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def undisturbed(self, kind: str, threads: int) -> dict[str, Any]:
        """What an undisturbed run with the usual batch has made."""
        if (kind, threads) not in self.whole:
            runs = self.folder / f"{kind}-{threads}"
            assert self.run(kind, runs, {"threads": threads}) == 0
            self.whole[kind, threads] = made(runs)
        return self.whole[kind, threads]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("whole"))
    yield worker
    assert worker.process.stdin
    worker.process.stdin.close()
    worker.process.wait()


def made(runs: Path) -> dict[str, Any]:
    """All that a run has made, by file: arrays, models and measurements, and the training records but for the time."""
    (path,) = runs.iterdir()
    folder, found = RunFolder.open(path), {}
    for shard in folder.shards():
        home = folder.shard_path(*shard)
        for file in [*home.glob("*.npy"), *home.glob("metrics.jsonl"), *(home / "model").rglob("*")]:
            if file.is_file():
                found[str(file.relative_to(path))] = hashlib.sha256(file.read_bytes()).hexdigest()
        log = home / "train.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        found[str(log.relative_to(path))] = [{**row, "seconds": 0} for row in rows]
    return found


def test_every_generator_is_resumed_here():
    # programs and models of somebody else: test_command.py, test_pipeline.py; one of several parts: test_latent.py
    assert set(SMALL) == set(GENERATORS) - {"command", "pipeline", "latent_diffusion"} == set(CALLS)


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        pytest.param(kind, runtime, id=f"{next(iter(runtime))}-{kind}")
        for kind in SMALL
        for runtime in ({"batch": 5}, {"threads": 2})
        if "batch" in runtime or kind not in ("neon", "self_guided")  # their base is tried with both
    ],
)
@pytest.mark.parametrize(("end", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 3)], ids=["kill", "stop"])
def test_a_run_that_was_ended_by_a_signal_goes_on_to_the_same_bytes(
    kind: str, runtime: dict[str, int], end: int, code: int, worker: Worker, tmp_path: Path
):
    whole = worker.undisturbed(kind, runtime.get("threads", 1))
    assert worker.run(kind, tmp_path / "runs", runtime, end) == code
    partly = made(tmp_path / "runs")
    assert 0 < len(partly) < len(whole)
    assert worker.run(kind, tmp_path / "runs", {}) == 0, "it goes on with its settings when nothing is asked"
    assert made(tmp_path / "runs") == whole
    assert any(rows for name, rows in whole.items() if name.endswith("train.jsonl")) == (kind != "gaussian")
