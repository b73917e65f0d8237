"""One run with two processes: the same images, one training, one writer, and no process left waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from imagelab.cli.overrides import load_experiment
from imagelab.experiment import Runtime
from imagelab.generators import Gaussian, RunContext
from imagelab.generators.base import SINGLE_PROCESS
from imagelab.generators.data_parallel import average_gradients, buffer_versions, own_part
from imagelab.lab import run_generations
from imagelab.run_folder import RunFolder
from imagelab.runs.distributed import TorchProcessGroup, fit, is_worker, run_distributed, sample, world_size
from imagelab.seeds import image_seeds

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]

EXPERIMENT = """
from imagelab import Experiment, Gaussian, Textures, Vae
experiment = Experiment(name="two", data=Textures(size=16), generator=Gaussian(components=8),
    arms=(Vae(latent=4, details=2, width=8, images_seen={seen}, batch=9, crop=16),),
    generations=2, images=50, heldout=24, tracked=4, metrics=("pixel_variance",), fresh_draws=2, warm_start=True)
"""

TOGETHER = """
import sys
from pathlib import Path
import numpy as np
import torch
from imagelab.experiment import Runtime
from imagelab.runs.distributed import fit, run_distributed, sample
from imagelab.generators import Ddpm, Diverged, Interrupted, RunContext, Vae
from imagelab.generators.training import Plan, train
from imagelab.seeds import image_seeds

folder = Path(sys.argv[1])
images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8)
seeds = image_seeds(0, "sample", 1, 0, range(50))
recipes = [Vae(latent=4, details=2, width=8, images_seen=100, batch=9, crop=16),
           Ddpm(channels=(8, 16), blocks=1, images_seen=19, batch=9, noise_steps=20, steps=3)]

def work(group):
    assert (group.rank, group.size) == (0, 2)
    context = RunContext(batch=8, group=group)
    for recipe in recipes:
        model = fit(recipe, images, 1, context, None)
        home = folder / recipe.kind
        model.save(home)
        drawn = sample(model, recipe, home, seeds, context)
        np.save(folder / f"{recipe.kind}.npy", drawn)
        np.testing.assert_array_equal(drawn, model.sample(seeds))
        np.testing.assert_array_equal(sample(model, recipe, home, seeds[:5], context), model.sample(seeds[:5]))
        again = fit(recipe, images, 1, context, home)  # starts from the saved model, on both ranks
        assert (again.sample(seeds[:5]) != model.sample(seeds[:5])).any()
    wild = recipes[0].model_copy(update={"learning_rate": 1e30})
    try:
        fit(wild, images, 1, context, None)
        raise SystemExit("it should have diverged")
    except Diverged as error:
        print("diverged:", error)
    asked = []
    def stop():
        asked.append(1)
        return len(asked) > 3
    state = folder / "state.safetensors"
    try:
        fit(recipes[0], images, 1, RunContext(batch=8, should_stop=stop, checkpoint=state, group=group), None)
        raise SystemExit("it should have stopped")
    except Interrupted as error:
        print(error)
    assert state.exists()
    resumed = fit(recipes[0], images, 1, RunContext(batch=8, checkpoint=state, group=group), None)
    np.testing.assert_array_equal(resumed.sample(seeds), np.load(folder / "vae.npy"))
    assert not state.exists()
    return 0

raise SystemExit(run_distributed(work, Runtime(device="cpu", threads=1)))
"""


def start(port: int, words: list[str], log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        return subprocess.Popen(
            [*TORCHRUN, str(port), *words], cwd=ROOT, stdout=out, stderr=out, env=environment, start_new_session=True
        )


def finished(process: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> tuple[int, str]:
    try:
        code = process.wait(seconds)
    finally:
        end(process)
    return code, log.read_text(errors="replace")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill torchrun and its ranks, which have sessions of their own and would continue without it."""
    if process.poll() is None:
        ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for each in (*map(int, ranks), process.pid):
            os.kill(each, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@pytest.mark.slow
def test_two_ranks_train_one_model_and_draw_the_bytes_that_one_would(tmp_path: Path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    log = tmp_path / "log"
    code, said = finished(start(free_port(), [str(script), str(tmp_path)], log), log)
    assert code == 0, said
    assert "diverged: training diverged at step" in said and "stopped after 3 of 12 steps" in said


@pytest.mark.slow
def test_a_run_under_torchrun_has_one_writer_and_the_same_closed_form(tmp_path: Path):
    asked = tmp_path / "two.py"
    asked.write_text(EXPERIMENT.format(seen=100))
    words = ["-m", "imagelab", "run", str(asked), "--runtime.device", "cpu", "--runtime.batch", "16", "--runtime.runs"]
    log = tmp_path / "log"
    code, said = finished(start(free_port(), [*words, str(tmp_path / "pair")], log), log)
    assert code == 0, said
    assert said.count("generation 2 of 2: VAE") == 1 and said.count("report: ") == 1
    experiment = load_experiment(asked)
    one = RunFolder.create(tmp_path / "one", experiment.config())
    list(run_generations(experiment, one, RunContext(batch=16)))
    (pair,) = (RunFolder(path) for path in (tmp_path / "pair").iterdir())
    assert pair.shards() == one.shards() and not list(pair.path.rglob("*.partial"))
    for generation in (
        0,
        1,
        2,
    ):  # line 0 draws fresh training images and published images, on two ranks, from the same model
        np.testing.assert_array_equal(pair.images(generation), one.images(generation))
    assert (pair.images(1, 1) != one.images(1, 1)).any()  # sums over two ranks, noise of two ranks


@pytest.mark.slow
@pytest.mark.parametrize("how", ["rank 1 is killed", "rank 0 is killed", "Ctrl-C"])
def test_nobody_is_left_waiting(tmp_path: Path, how: str):
    asked, log = tmp_path / "two.py", tmp_path / "log"
    asked.write_text(EXPERIMENT.format(seen=1_000_000))
    words = ["-m", "imagelab", "run", str(asked), "--runtime.device", "cpu", "--runtime.runs", str(tmp_path / "runs")]
    process = start(free_port(), words, log)
    shard = tmp_path / "runs"
    deadline = time.monotonic() + 300  # a busy machine may be slow to start, but not to stop
    try:
        while not any(path.stat().st_size for path in shard.rglob("gen-001-line-1.partial/train.jsonl")):
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()
            time.sleep(0.2)
    except AssertionError:
        end(process)
        raise
    began = time.monotonic()
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(child_of_rank(process.pid, int(how[5])), signal.SIGKILL)
    code, said = finished(process, log, 60)
    assert code != 0 and time.monotonic() - began < 45
    if how == "Ctrl-C":
        assert "imagelab resume" in said, said
        assert list(shard.rglob("checkpoint.safetensors"))
    else:
        assert said.count("another process of this run has failed or was killed") == 1, said
        assert said.count("Traceback") == 1 and "ChildFailedError" in said, said  # torchrun's own
        assert len(said.splitlines()) < 60, said


def child_of_rank(parent: int, rank: int) -> int:
    """The process that torchrun has started for a rank."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError("no such rank")


def test_without_torchrun_there_is_one_rank_and_no_communication(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert world_size() == 1 and not is_worker()
    assert run_distributed(lambda group: 7 if group is SINGLE_PROCESS else 0, Runtime()) == 7


@pytest.mark.parametrize(("rank", "helps"), [("0", False), ("1", True)])
def test_every_rank_but_the_first_follows(monkeypatch: pytest.MonkeyPatch, rank: str, helps: bool):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert world_size() == 2 and is_worker() is helps


def test_in_a_single_process_fit_and_sample_are_the_recipes_own(tmp_path: Path, rng: np.random.Generator):
    images, seeds = rng.integers(0, 256, (20, 3, 8, 8), np.uint8), image_seeds(0, "sample", 1, 0, range(5))
    model = fit(Gaussian(), images, 0, RunContext(), None)
    np.testing.assert_array_equal(sample(model, Gaussian(), tmp_path, seeds, RunContext()), model.sample(seeds))


@pytest.mark.parametrize("count", [2, 3, 7, 8])
def test_the_ranks_share_a_batch_without_remainder(count: int):
    rows = np.arange(count)
    parts = [own_part(rows, TorchProcessGroup(rank, 3)) for rank in range(3)]
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    seen = np.concatenate([mine for mine, _ in parts])
    if count < 3:
        assert all(np.array_equal(mine, rows) for mine, _ in parts)
    else:
        np.testing.assert_array_equal(np.sort(seen), rows)


class Sums(TorchProcessGroup):
    """A process group whose other rank has the same values times ten."""

    def all_reduce(self, tensors):
        for tensor in tensors:
            tensor.mul_(11)


def test_the_all_reduce_averages_loss_gradients_and_the_buffers_that_changed():
    net = torch.nn.Linear(2, 1, bias=False)
    net.register_buffer("moving", torch.ones(1))
    net.register_buffer("still", torch.ones(1))
    before = buffer_versions(net)
    net.weight.grad = torch.ones_like(net.weight)
    net.get_buffer("moving").mul_(4)
    loss = average_gradients(net, Sums(0, 2), 0.5, before, torch.tensor(2.0))
    assert loss.item() == 11.0
    assert net.weight.grad.tolist() == [[5.5, 5.5]]
    assert net.get_buffer("moving").item() == 22.0 and net.get_buffer("still").item() == 1.0
