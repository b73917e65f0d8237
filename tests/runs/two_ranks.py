"""What two ranks do in test_distributed.py: ``python two_ranks.py SCENARIO FOLDER``; a script, not a test.

The ranks are started by the agent of torchrun. It forks them from this process, which the tests fork from one that has
torch loaded (tests/warm_server.py), so that no rank has to load it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from imagelab.cli.entry import main
from imagelab.experiment import Runtime
from imagelab.generators import Ddpm, Diverged, Generator, Interrupted, Model, RunContext, Vae
from imagelab.generators.base import ProcessGroup
from imagelab.generators.training import Plan, train
from imagelab.runs.distributed import LostProcess, fit, run_distributed, sample
from imagelab.seeds import image_seeds

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8)
SEEDS = image_seeds(0, "sample", 1, 0, range(50))
VAE = Vae(latent=4, details=2, width=8, images_seen=100, batch=9, crop=16)
DDPM = Ddpm(channels=(8, 16), blocks=1, images_seen=19, batch=9, noise_steps=20, steps=3)


def launch(work: Callable[..., Any], *given: Any) -> None:
    """Call a function on two ranks of torchrun."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = str(door.getsockname()[1])
    options = parse_args(["--nproc-per-node", "2", "--master-port", port, "--start-method", "fork", "nothing"])
    elastic_launch(config_from_args(options)[0], within_time)(work, *given)


def within_time(work: Callable[..., Any], *given: Any) -> Any:
    """Call a function; end the process where it hangs, so that a test fails and does not wait for ever."""
    signal.alarm(240)
    return work(*given)


def shared(work: Callable[[ProcessGroup], int]) -> None:
    """Do the work on rank 0, with the other rank as a worker."""
    assert run_distributed(work, Runtime(device="cpu", threads=1)) == 0


# -- one model of both ranks


def models_and_samples(folder: Path) -> None:
    def work(group: ProcessGroup) -> int:
        assert (group.rank, group.size) == (0, 2)
        context = RunContext(batch=8, group=group)
        for recipe in (VAE, DDPM):
            model = fit(recipe, IMAGES, 1, context, None)
            home = folder / recipe.kind
            model.save(home)
            drawn = sample(model, recipe, home, SEEDS, context)
            np.save(folder / f"{recipe.kind}.npy", drawn)
            np.testing.assert_array_equal(drawn, model.sample(SEEDS))
            np.testing.assert_array_equal(sample(model, recipe, home, SEEDS[:5], context), model.sample(SEEDS[:5]))
            again = fit(recipe, IMAGES, 1, context, home)  # starts from the saved model, on both ranks
            assert (again.sample(SEEDS[:5]) != model.sample(SEEDS[:5])).any()
        return 0

    shared(work)


def stop_and_resume(folder: Path) -> None:
    def work(group: ProcessGroup) -> int:
        asked: list[int] = []

        def stop() -> bool:
            asked.append(1)
            return len(asked) > 3

        wild = VAE.model_copy(update={"learning_rate": 1e30})
        try:
            fit(wild, IMAGES, 1, RunContext(batch=8, group=group), None)
        except Diverged as error:
            print("diverged:", error)
        state = folder / "state.safetensors"
        try:
            fit(VAE, IMAGES, 1, RunContext(batch=8, should_stop=stop, checkpoint=state, group=group), None)
        except Interrupted as error:
            print(error)
        assert state.exists()
        resumed = fit(VAE, IMAGES, 1, RunContext(batch=8, checkpoint=state, group=group), None)
        whole = fit(VAE, IMAGES, 1, RunContext(batch=8, group=group), None)
        np.testing.assert_array_equal(resumed.sample(SEEDS), whole.sample(SEEDS))
        assert not state.exists()
        return 0

    shared(work)


# -- trainings whose every number is known


class Small(torch.nn.Module):
    """A net with a running mean, and with weights that its loss never reads."""

    seen: torch.Tensor
    steps: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.first, self.last = torch.nn.Linear(4, 6), torch.nn.Linear(6, 4)
            self.unused = torch.nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("still", torch.ones(1))
        self.register_buffer("steps", torch.tensor(2**24 + 1))  # no number of float32

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return a mean over rows, without noise: the same for any split into parts whose means are weighted."""
        with torch.no_grad():
            self.seen.lerp_(rows.mean(0), 0.1)
            self.steps += 1
        return (self.last(torch.tanh(self.first(rows))) - rows).square().mean(), {}


ROWS = np.random.default_rng(1).normal(size=(11, 4)).astype(np.float32)


class Known(Generator):
    """The generator of a test: it trains a Small with this batch, and writes down what came of it."""

    batch: int
    fault: str = ""

    @property
    def label(self) -> str:
        return "known"

    @property
    def training_length(self) -> int:
        return 36

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> Any:
        net, records = Small(), []
        rank = context.group.rank
        taken: list[int] = []

        def loss(rows: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            value, terms = net.loss(rows, noise)
            taken.append(len(rows))
            if rank == 1 and len(taken) == 3:
                if self.fault == "diverges":
                    return value * float("nan"), terms
                if self.fault == "is killed":  # after the gradients of the last layer, before those of the first
                    net.first.weight.register_hook(lambda gradient: os.kill(os.getpid(), signal.SIGKILL))
            return value, terms

        plan = Plan(self.training_length, self.batch, learning_rate=0.02)
        context = RunContext(group=context.group, on_record=lambda record: records.append(record.loss))
        average = train(net, loss, ROWS, plan, seed, context, "mark")
        numbers = {**net.state_dict(), **{f"average.{key}": value for key, value in average.state_dict().items()}}
        return {**{key: value.numpy().copy() for key, value in numbers.items()}, "losses": np.array(records)}

    def load(self, folder: Path, context: RunContext) -> Any:
        raise NotImplementedError


def one_and_two(folder: Path) -> None:
    def work(group: ProcessGroup) -> int:
        for batch in (1, 4, 5, 7):  # of 36 rows: fewer rows than ranks; even; odd, the last of 1; odd, the last of 1
            one: Any = fit(Known(batch=batch), ROWS, 3, RunContext(), None)
            two: Any = fit(Known(batch=batch), ROWS, 3, RunContext(group=group), None)
            assert one.keys() == two.keys()
            for name in one:
                np.testing.assert_allclose(two[name], one[name], rtol=0, atol=3e-6, err_msg=f"{name}, batch {batch}")
        return 0

    shared(work)


def diverges(folder: Path) -> None:
    def work(group: ProcessGroup) -> int:
        try:
            fit(Known(batch=4, fault="diverges"), ROWS, 3, RunContext(group=group), None)
        except Diverged as error:
            print("diverged:", error)
        fit(Known(batch=4), ROWS, 3, RunContext(group=group), None)  # no rank waits in the training before
        print("and trained again")
        return 0

    shared(work)


def killed_in_the_backward_pass(folder: Path) -> None:
    def work(group: ProcessGroup) -> int:
        fit(Known(batch=4, fault="is killed"), ROWS, 3, RunContext(group=group), None)
        return 0

    try:
        shared(work)
    except LostProcess as error:
        print("told:", error.speaks, error, flush=True)
        os._exit(1)


# -- a run, and what a user may do to it


def run_words(folder: Path) -> list[str]:
    return ["run", str(folder / "two.py"), "--runtime.device", "cpu", "--runtime.runs", str(folder / "runs")]


def whole_run(folder: Path) -> None:
    """Run the command in a process of its own: it ends the process, and the agent waits for what this one returns."""
    rank = os.fork()
    if not rank:
        within_time(main, [*run_words(folder), "--runtime.batch", "16"])
    assert os.waitpid(rank, 0)[1] == 0


def run_and(what: str, folder: Path) -> None:
    """Begin a long run with two ranks, and do something to it in the middle of a training."""
    log = folder / "log"
    torchrun = os.fork()
    if not torchrun:
        with log.open("wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.setsid()
        launch(main, run_words(folder))
        os._exit(0)
    deadline = time.monotonic() + 300  # a busy machine may be slow to start, but not to stop
    while not any(path.stat().st_size for path in folder.rglob("gen-001-line-1.partial/train.jsonl")):
        assert time.monotonic() < deadline and not os.waitpid(torchrun, os.WNOHANG)[0], log.read_text()
        time.sleep(0.1)
    ranks = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()  # in the order in which they began
    began = time.monotonic()
    if what == "Ctrl-C":
        os.kill(torchrun, signal.SIGINT)
    else:
        os.kill(int(ranks[int(what[5])]), signal.SIGKILL)
    while not os.waitpid(torchrun, os.WNOHANG)[0]:
        assert time.monotonic() - began < 45, "somebody is left waiting"
        time.sleep(0.1)
    left = [rank for rank in ranks if Path(f"/proc/{rank}").exists()]
    print(log.read_text(errors="replace"), f"left: {left}")


SCENARIOS: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (models_and_samples, stop_and_resume, one_and_two, diverges, killed_in_the_backward_pass, whole_run)
}

if __name__ == "__main__":
    scenario, place = sys.argv[1], Path(sys.argv[2])
    if scenario in SCENARIOS:
        launch(SCENARIOS[scenario], place)
    else:
        run_and(scenario, place)
