"""What a CUDA device needs of a training, proven on a CPU: no number is read within a step, and nothing changes by it.

torch's fake tensors have the shapes and devices of real ones and no content. A step on fake tensors of a CUDA device
fails where the host would read a number, or where tensors of two devices meet. Only the backward pass, which is torch's
own, cannot be taken on them without the device; gradients of zeros stand for its result.
"""

from __future__ import annotations

import copy
import functools
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from imagelab.generators import (
    Cascade,
    Ddpm,
    Diverged,
    Generator,
    Interrupted,
    LatentDiffusion,
    RunContext,
    Vae,
    kernels,
    latent,
    passes,
    step_graph,
    training,
)
from imagelab.generators.base import Kernels, TrainRecord
from imagelab.generators.checkpoint import TrainingState
from imagelab.generators.kernels import NotRecordable, drawn_on_host, no_host_draws, precision_of, repeated_blocks
from imagelab.generators.loss_meter import LossMeter, UnreadLosses
from imagelab.generators.passes import Passes
from imagelab.generators.training import Plan, _accelerator, _optimiser, take_step, train
from imagelab.runs.throughput import bench_subject

VAE = Vae(latent=4, details=2, width=8, images_seen=160, batch=8, crop=8)
FIRST = VAE.model_copy(update={"prior": "normal"})
SIDE = 16
RECIPES: dict[str, Generator] = {
    "vae": VAE,
    "unet": Ddpm(channels=(8,), blocks=1, attention=False, images_seen=20, batch=8, noise_steps=4, steps=1),
    "patches": Ddpm(  # nine batches of 8, and one of 4
        channels=(8, 16), blocks=1, patch=2, weighting="gaussian", images_seen=76, batch=8, noise_steps=20, steps=4
    ),
    "cascade": Cascade(
        coarse_side=8, width=8, images_seen=32, batch=8, coarse_batch=8, crop=8, steps=1, coarse_steps=1
    ),
    "latent": LatentDiffusion(
        first_stage=FIRST, width=8, blocks=2, detail_widths=(8, 8), images_seen=32, batch=8, upper_batch=8, steps=1
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _first_backward_pass() -> None:
    """Fake CUDA tensors before the first backward pass of a process forbid one to the processes that it forks."""
    torch.zeros((), requires_grad=True).backward()


def step_of(recipe: Generator) -> tuple[TrainingState, Plan, Passes, torch.Tensor, torch.nn.Module]:
    """A training step of the last part of a recipe, a batch, and the whole net."""
    subject = bench_subject(recipe, SIDE, RunContext())
    net, plan = subject.part.train(), subject.plan
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _optimiser(net, plan))
    step = Passes(_accelerator("cpu"), net, plan.clip, subject.loss, torch.Generator().manual_seed(1))
    batch = torch.rand(plan.batch, *subject.data.shape[1:]) * 2 - 1
    whole: Any = getattr(subject.model, "nets", None) or getattr(subject.model, "net", None)
    return state, plan, step, batch.contiguous(memory_format=torch.channels_last), whole


class Copies(TorchDispatchMode):
    """Counts copies between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[0] if func is torch.ops.aten._to_copy.default else args[1]
            if source.device.type != made.device.type:
                self.between[f"{source.device.type} to {made.device.type}"] += 1
        return made


def on_fake_cuda(recipe: Generator, steps: int) -> list[Counter[str]]:
    """Take steps of a recipe on fake tensors of a CUDA device; return the copies between devices in each."""
    state, plan, step, batch, whole = step_of(recipe)
    seen = []
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        for net in (whole, state.average):
            net._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        state.optimiser = _optimiser(state.net, plan)
        batch = fake.from_tensor(batch).to("cuda")
        step.accelerator.backward = lambda loss, **kwargs: zero_gradients(state.net)
        unread = UnreadLosses(LossMeter(RunContext(), 0), plan, each_step=False)
        for _ in range(steps):
            with Copies() as copies:
                value, terms = take_step(state, plan, step, batch)
                assert value.device.type == "cuda" and all(term.device.type == "cuda" for term in terms.values())
                unread.kept.append((state.step, tuple(terms), value))
            seen.append(copies.between)
    return seen


def zero_gradients(net: torch.nn.Module) -> None:
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)


@pytest.fixture
def host_is_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are drawn on the host are real ones."""
    plain = kernels.drawn_on_host

    def drawn(*args: Any) -> list[int]:
        with unset_fake_temporarily():
            return plain(*args)

    monkeypatch.setattr(kernels, "drawn_on_host", drawn)


@pytest.mark.usefixtures("host_is_real")
@pytest.mark.parametrize("name", ["vae", "unet", "patches", "cascade", "latent"])
def test_no_step_on_a_cuda_device_reads_a_number_or_copies_one(name: str):
    _, later = on_fake_cuda(RECIPES[name], 2)  # the first copies the schedule of a diffusion to the device
    assert later == Counter()


@pytest.mark.parametrize("name", ["vae", "cascade", "latent"])
def test_sampling_on_a_cuda_device_reads_nothing_before_the_images_are_there(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    """diffusers' samplers compute their rates on the host, from numbers of the host, and cannot be tested so."""
    monkeypatch.setattr(latent, "UPPER_STEPS", 1)
    model: Any = bench_subject(RECIPES[name], SIDE, RunContext()).model
    model = replace(model, context=RunContext(device="cuda"))
    net = getattr(model, "nets", None) or model.net
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        net.requires_grad_(False)._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        images = model._draw(np.arange(3, dtype=np.uint64))
    assert images.device.type == "cuda" and images.shape == (3, 3, SIDE, SIDE)


@pytest.mark.usefixtures("host_is_real")
def test_a_loss_that_reads_a_number_is_found_out_by_the_test_above(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Passes, "__call__", reading)
    with pytest.raises(DataDependentOutputException):
        on_fake_cuda(VAE, 1)


def reading(self: Passes, batch: torch.Tensor) -> Any:
    value, terms = self.loss(batch, self.noise)
    return value, {**terms, "gradient": value.new_tensor(float(value.detach()))}


# -- the losses are read later, and are the same


class Reads(TorchFunctionMode):
    """Counts what makes the host wait for a device: numbers and arrays that are read of a tensor."""

    WAITS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.WAITS:
            self.found[func.__name__] += 1
        return func(*args, **(kwargs or {}))


Trained = tuple[list[TrainRecord], np.ndarray]
Plainly = Callable[[str], Trained]


@pytest.fixture(scope="module")
def plainly(pictures: np.ndarray) -> Plainly:
    """Records and images of a recipe on the CPU, as it is; each is trained once."""
    return functools.cache(lambda name: trained(RECIPES[name], pictures))


def trained(
    recipe: Generator, pictures: np.ndarray, context: RunContext | None = None
) -> tuple[list[TrainRecord], np.ndarray]:
    records: list[TrainRecord] = []
    context = replace(context or RunContext(), on_record=records.append)
    model = recipe.fit(pictures, 4, context)
    return [replace(record, seconds=0.0) for record in records], model.sample(np.arange(5, dtype=np.uint64))


def same(found: Trained, expected: Trained) -> None:
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of this package; torch logs what it traces."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("imagelab")]


def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read losses as on a CUDA device: when a record is due."""
    monkeypatch.setattr(training, "reads_each_step", lambda device: False)


@pytest.mark.parametrize("name", ["vae", "latent"])
def test_losses_that_are_read_when_a_record_is_due_are_the_same_losses(
    name: str, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, plainly: Plainly
):
    as_on_cuda(monkeypatch)
    same(trained(RECIPES[name], pictures), plainly(name))


class Point(torch.nn.Module):
    """A net of one parameter that learns the mean of its training images; from step ``bad`` on the loss is NaN."""

    def __init__(self, bad: int = 10**9) -> None:
        super().__init__()
        self.at, self.bad, self.step = torch.nn.Parameter(torch.zeros(())), bad, 0

    def loss(self, images: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        value = (self.at - images.mean() - torch.rand((), generator=noise)).square()
        value = value * float("nan") if self.step >= self.bad else value
        self.step += 1
        return value, {"part": value.detach()}


def train_point(net: Point, context: RunContext, steps: int = 250, **plan: Any) -> torch.nn.Module:
    asked = Plan(images_seen=2 * steps, batch=2, learning_rate=0.05, **plan)
    return train(net, net.loss, np.full((4, 1, 2, 2), 255, np.uint8), asked, 0, context, "mark")


def test_the_host_reads_as_often_as_records_are_due_and_not_in_every_step(monkeypatch: pytest.MonkeyPatch):
    reads: dict[bool, int] = {}
    for each_step in (True, False):
        monkeypatch.setattr(training, "reads_each_step", lambda device, each_step=each_step: each_step)
        records: list[TrainRecord] = []
        with Reads() as counted:
            train_point(Point(), RunContext(on_record=records.append), steps=250)
        reads[each_step] = counted.found.total()
    assert reads[True] == 250 + 1, "one read a step, and one of the weights at the end"
    assert reads[False] == len(records) + 1 < 210


@pytest.mark.parametrize("each_step", [True, False])
def test_a_divergence_names_its_step_and_no_checkpoint_holds_what_came_after_it(
    each_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training, "reads_each_step", lambda device: each_step)
    checkpoint = tmp_path / "state.safetensors"
    net, said = Point(bad=10), "diverged at step 11 of 250: the loss is nan"
    with pytest.raises(Diverged, match=said):
        train_point(net, RunContext(checkpoint=checkpoint))
    assert net.step == (11 if each_step else 12), "a record falls after the 10th and after the 12th step"
    assert not checkpoint.exists()
    net = Point(bad=10)
    with pytest.raises(Diverged, match=said):
        train_point(net, RunContext(checkpoint=checkpoint), checkpoint_seconds=0.0)
    assert net.step == 11, "the loss is read before each checkpoint"
    net = Point()
    train_point(net, RunContext(checkpoint=checkpoint))
    assert net.step == 250 - 10, "the checkpoint of the last sound step was used"


def test_a_training_that_is_stopped_writes_the_losses_that_were_not_read_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stopping(checkpoint: Path) -> RunContext:
        asked: list[int] = []
        return RunContext(checkpoint=checkpoint, should_stop=lambda: bool(asked.append(1)) or len(asked) > 11)

    whole: list[TrainRecord] = []
    train_point(Point(), RunContext(on_record=whole.append))
    as_on_cuda(monkeypatch)
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match="after 11"):
        train_point(Point(), stopping(checkpoint))
    resumed: list[TrainRecord] = []
    train_point(Point(), RunContext(checkpoint=checkpoint, on_record=resumed.append))
    assert [replace(each, seconds=0.0) for each in resumed] == [replace(each, seconds=0.0) for each in whole]
    with pytest.raises(Diverged, match="step 11"):
        train_point(Point(bad=10), stopping(checkpoint))
    assert not checkpoint.exists()


# -- draws for the host


def test_draws_for_the_host_are_the_bytes_that_a_cpu_always_drew():
    one, other = (torch.Generator().manual_seed(7) for _ in range(2))
    assert drawn_on_host(9, 2, one) == torch.randint(9, (2,), generator=other).tolist()
    assert torch.equal(torch.randn(3, generator=one), torch.randn(3, generator=other))
    with no_host_draws(), pytest.raises(NotRecordable, match="crops"):
        drawn_on_host(9, 2, one)
    assert len(drawn_on_host(9, 2, one)) == 2


# -- compiled blocks


@pytest.fixture
def cheap_compiler(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """torch.compile with a backend that only traces; counts the graphs that are compiled."""
    graphs: Counter[str] = Counter()

    def traced(graph: Any, inputs: Any) -> Any:
        graphs["compiled"] += 1
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(kernels, "BACKEND", traced)
    return graphs


COMPILED = RunContext(kernels=Kernels(compile=True))


@pytest.mark.parametrize(("name", "blocks"), [("vae", 3), ("unet", 5), ("cascade", 5), ("latent", 3)])
def test_the_repeated_blocks_of_a_net_are_found(name: str, blocks: int):
    assert len(repeated_blocks(step_of(RECIPES[name])[0].net)) == blocks


@pytest.mark.parametrize("name", ["vae", "unet"])
def test_a_compiled_training_has_no_graph_break_and_the_same_losses_and_images(
    name: str, pictures: np.ndarray, cheap_compiler: Counter[str], plainly: Plainly
):
    expected = plainly(name)
    torch._dynamo.utils.counters.clear()
    same(trained(RECIPES[name], pictures, COMPILED), expected)
    compiled = cheap_compiler["compiled"]
    assert compiled and not torch._dynamo.utils.counters["graph_break"]
    if name == "vae":
        model: Any = VAE.fit(pictures, 5, COMPILED)  # of the next generation
        model.sample(np.arange(4, dtype=np.uint64))
        assert cheap_compiler["compiled"] == compiled, "nothing is compiled twice"
        assert all(module._compiled_call_impl is None for module in model.net.modules())
        assert all(module._compiled_call_impl is None for module in copy.deepcopy(model.net).modules())


def test_a_compiler_that_fails_is_named_in_the_log_and_changes_nothing(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, plainly: Plainly
):
    def broken(graph: Any, inputs: Any) -> Any:
        raise OSError("no compiler was found")

    torch._dynamo.reset()
    monkeypatch.setattr(kernels, "BACKEND", broken)
    with caplog.at_level(logging.WARNING):
        same(trained(VAE, pictures, COMPILED), plainly("vae"))
    said = warned(caplog)
    assert [message.partition("; ")[2] for message in said] == [
        "the training goes on without it",
        "sampling goes on without it",
    ]
    assert all("no compiler was found" in message for message in said), said


# -- recorded steps


class Replayed:
    """A graph that repeats its work with the noise source as it is: what a CUDA graph does, on a CPU."""

    net: torch.nn.Module

    def __init__(self, fault: str = "") -> None:
        self.fault, self.replays = fault, 0

    def __call__(self, work: Callable[[], Any], noise: torch.Generator) -> Any:
        if self.fault == "refuses":
            raise RuntimeError("operation not permitted when stream is capturing\nlong trace")
        value, terms = work()
        net = self.net
        gradients = [parameter.grad for parameter in net.parameters()]

        def replay() -> None:
            """Write into the tensors of the recording; which gradient a parameter has is nothing that a graph knows."""
            self.replays += 1
            if self.fault == "repeats its noise":
                noise.manual_seed(1)
            there = [parameter.grad for parameter in net.parameters()]
            fresh_value, fresh = work()
            for kept, parameter, own in zip(gradients, net.parameters(), there, strict=True):
                if kept is not None and parameter.grad is not None:
                    kept.copy_(parameter.grad)
                parameter.grad = own
            value.copy_(fresh_value)
            for name, term in terms.items():
                term.copy_(fresh[name])

        return replay, (value, terms)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Replayed], Replayed]:
    """Let trainings on the CPU record their steps with this in place of a CUDA graph."""

    def recording(recorder: Replayed) -> Replayed:
        def of(plain: Passes, blocks: Any, context: RunContext) -> Any:
            recorder.net = plain.net
            return step_graph.GraphedPasses(passes.passes_of(plain, blocks, context), plain, recorder)

        monkeypatch.setattr(training, "passes_of", of)
        return recorder

    return recording


def test_a_recorded_training_replays_each_whole_batch_and_gives_the_same_bytes(
    pictures: np.ndarray, graphs: Callable[[Replayed], Replayed], plainly: Plainly
):
    expected = plainly("patches")
    recorder = graphs(Replayed())
    same(trained(RECIPES["patches"], pictures), expected)
    assert recorder.replays == 2 + 9, "two to compare, one a batch; the last batch is smaller"


@pytest.mark.parametrize(
    ("name", "fault", "reason"),
    [
        ("vae", "", r"\(the host chooses the crops of each step\)"),
        ("patches", "refuses", r"\(RuntimeError: operation not permitted when stream is capturing\)"),
        ("patches", "repeats its noise", r"\(its replay gives loss and gradient \[.*\] in place of \[.*\]\)"),
    ],
)
def test_a_step_that_cannot_be_recorded_is_not_and_the_log_says_why(
    name: str,
    fault: str,
    reason: str,
    pictures: np.ndarray,
    graphs: Callable[[Replayed], Replayed],
    caplog: pytest.LogCaptureFixture,
    plainly: Plainly,
):
    expected = plainly(name)
    recorder = graphs(Replayed(fault))
    with caplog.at_level(logging.WARNING):
        same(trained(RECIPES[name], pictures), expected)
    (message,) = warned(caplog)
    assert re.fullmatch(rf"no CUDA graph of the training step {reason}; it goes on step by step", message), message
    assert recorder.replays <= 2


@pytest.mark.parametrize(
    ("found", "sound"),
    [
        ([[1.0, 3.0], [1.01, 3.1]], True),
        ([[1.0, 3.0], [1.0, 3.0]], False),  # the noise of the first step again
        ([[1.03, 3.0], [1.01, 3.1]], False),
        ([[1.0, 3.1], [1.01, 3.1]], False),
        ([[1.0, 3.0], [float("nan"), 3.1]], False),
    ],
)
def test_a_replay_must_give_the_numbers_of_both_steps(found: list[list[float]], sound: bool):
    expected = [[1.0, 3.0], [1.01, 3.05]]
    if sound:
        step_graph._compare(expected, found)
    else:
        with pytest.raises(NotRecordable, match="its replay gives"):
            step_graph._compare(expected, found)


# -- the device, precision and memory format


def test_a_device_without_a_number_is_the_current_one(monkeypatch: pytest.MonkeyPatch):
    chosen: list[int] = []  # torch.cuda.set_device refuses "cuda", the device of a run that asks for none
    index_of = torch.cuda._utils._get_device_index
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(index_of(device)))
    for device in ("cpu", "cuda", "cuda:1"):
        kernels.make_current(device)
    assert chosen == [1]


@pytest.mark.parametrize(("precision", "fast"), [("mixed", True), ("full", False)])
def test_tf32_is_allowed_as_the_context_says_and_torch_has_its_settings_back(
    precision: Any, fast: bool, monkeypatch: pytest.MonkeyPatch
):
    def flags() -> tuple[Any, ...]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark

    before = flags()
    context = RunContext(device="cuda:0", kernels=Kernels(precision=precision))
    with precision_of(context, benchmark=True):
        assert flags() == (("high", True, True) if fast else ("highest", False, False))
    assert flags() == before
    with precision_of(RunContext(), benchmark=True):
        assert flags() == before


def test_weights_in_another_memory_format_train_and_resume_and_come_back(
    tmp_path: Path, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, plainly: Plainly
):
    formats: list[bool] = []
    plain = kernels.in_channels_last

    def in_channels_last(net: torch.nn.Module, device: str, back: bool = False) -> None:
        plain(net, "cuda", back)
        weights = [weight for weight in net.parameters() if weight.dim() == 4 and min(weight.shape[1:]) > 1]
        formats.append(all(weight.is_contiguous() for weight in weights))

    monkeypatch.setattr(training, "in_channels_last", in_channels_last)
    expected = plainly("patches")
    recipe, checkpoint, asked = RECIPES["patches"], tmp_path / "state.safetensors", []
    context = RunContext(checkpoint=checkpoint, should_stop=lambda: bool(asked.append(1)) or len(asked) > 4)
    with pytest.raises(Interrupted):
        recipe.fit(pictures, 4, context)
    same(trained(recipe, pictures, RunContext(checkpoint=checkpoint)), expected)
    assert formats == [False, False, True, True]


def test_a_step_that_is_too_large_for_the_device_says_what_to_change(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    def full(*args: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Vae, "training", lambda self, net, seen: (full, Plan(seen, 8, 1e-3)))
    with pytest.raises(ValueError, match=r"batch of 8 does not fit.*--generator.batch 4"):
        VAE.fit(pictures, 4, RunContext())
