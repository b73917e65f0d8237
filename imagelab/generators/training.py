"""The training loop of all networks. Its length is given in images seen; a resumed run gives the same bytes.

All random numbers of step n depend only on (seed, n): which images are read (shuffled passes one after another, so that
every image is read equally often), and the noise of the loss (its generator is seeded in every step). Therefore a
checkpoint needs only weights, optimiser, average and n. The training set is one uint8 tensor on the device; each batch
is converted to floats.

The resulting weights are an exponential moving average. Its decay is warmed up, min(ema, (1 + n) / (10 + n)), so that
the first weights of a short run do not remain in the average.

The processes of a group (``context.group``) share each batch: every rank reads its rows, with its own noise, and the
gradients, weighted by rows, are summed before the step. So all ranks hold the same weights at all times. Only rank 0
decides when to stop and writes the checkpoint; every rank reads it.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from ..images import to_signed
from ..io.atomic import written_whole
from ..seeds import rng_at, seed_at
from .base import Diverged, Interrupted, Model, RunContext, TrainRecord
from .data_parallel import average_gradients, buffer_versions, own_part

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Plan", "fingerprint", "part_reached", "train", "warm_start"]

log = logging.getLogger(__name__)

RUNAWAY = 1e4
"""A loss beyond this counts as divergence; the losses of these generators are normally of order 1 to 100."""

Loss = Callable[[Tensor, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""(float [B,C,H,W] in -1..1, the step's noise source) -> (mean loss, its named parts)."""


@dataclass(frozen=True)
class Plan:
    """Length and learning rate of a training.

    Attributes:
        images_seen: length of the training, in images read; the last batch is shortened to match it exactly.
        batch: images a step.
        learning_rate: peak rate of Adam: reached after a linear warm-up, held, then lowered to 0 by a half cosine.
        warm_up: share of the run, 0..1, in which the rate rises.
        decay: share of the run, 0..1, in which the rate falls.
        ema: the highest decay of the weight average, 0 for none.
        clip: largest gradient norm.
        record_seconds: least time between two TrainRecords, in seconds.
        checkpoint_seconds: time between two checkpoints, in seconds.
    """

    images_seen: int
    batch: int
    learning_rate: float
    warm_up: float = 0.05
    decay: float = 0.5
    ema: float = 0.995
    clip: float = 1.0
    record_seconds: float = 0.25
    checkpoint_seconds: float = 30.0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return math.ceil(self.images_seen / self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        progress = step / self.steps
        rise = min(1.0, (step + 1) / max(1.0, self.warm_up * self.steps))
        fall = (
            1.0
            if progress <= 1 - self.decay
            else (1 + math.cos(math.pi * (progress - 1 + self.decay) / self.decay)) / 2
        )
        return self.learning_rate * rise * fall


def fingerprint(recipe: str, images: np.ndarray, seed: int) -> str:
    """Return the SHA-256 of everything that a training depends on: recipe JSON, images and seed."""
    digest = hashlib.sha256(f"{recipe}|{seed}|{images.shape}|{torch.__version__}|".encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()


def warm_start(net: nn.Module, start: Model | None, buffers: Collection[str] = ()) -> str:
    """Copy a trained model's parameters, and the named buffers, into a new net of the same form.

    Args:
        net: the new net; it is changed in place.
        start: the trained model, None for none.
        buffers: names of the buffers that are copied, too.

    Returns:
        The SHA-256 of the copied tensors, to be part of ``recipe`` in :func:`fingerprint`; "" without a start.

    Raises:
        ValueError: if the model has no net of this form.
    """
    if start is None:
        return ""
    trained = getattr(start, "net", None)
    if not isinstance(trained, type(net)):
        raise ValueError(f"warm start: expected a model with a {type(net).__name__}, got {type(start).__name__}")
    names = {name for name, _ in net.named_parameters()} | set(buffers)
    old, new = trained.state_dict(), net.state_dict()
    wrong = sorted(name for name in names if name not in old or old[name].shape != new[name].shape)
    if wrong:
        raise ValueError(
            f"warm start: expected a model of the same form, got other shapes ({', '.join(wrong[:3])}, {len(wrong)} "
            "in all). Use the recipe and image size it was trained with, or start from scratch."
        )
    weights = {name: old[name].detach().cpu().contiguous() for name in names}
    net.load_state_dict(weights, strict=False)
    return _digest(weights)


def batch_rows(seed: int, count: int, start: int, size: int) -> np.ndarray:
    """Return the indices, 0..count - 1, of reads ``start`` to ``start + size - 1`` in a sequence of shuffled passes."""
    reads = np.arange(start, start + size)
    passes = {int(turn): rng_at(seed, "order", row=int(turn)).permutation(count) for turn in np.unique(reads // count)}
    return np.array([passes[int(read // count)][read % count] for read in reads])


@dataclass
class TrainingState:
    """The state of a training after ``step`` steps, and the content of a checkpoint; ``beside`` as in :func:`train`."""

    net: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    beside: nn.Module | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state by name, on the CPU; the input of :meth:`restore`."""
        named = {f"net.{key}": value for key, value in self.net.state_dict().items()}
        named |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        beside = {} if self.beside is None else self.beside.state_dict()
        named |= {f"beside.{key}": value for key, value in beside.items()}
        for index, entries in self.optimiser.state_dict()["state"].items():
            named |= {f"optimiser.{index}.{key}": value for key, value in entries.items()}
        return {key: value.detach().cpu().contiguous().clone() for key, value in named.items()}

    def restore(self, named: dict[str, Tensor], step: int) -> None:
        """Restore the state from the result of :meth:`tensors` and the number of steps done."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): value for key, value in named.items() if key.startswith(name)}

        if self.beside is not None:
            self.beside.load_state_dict(part("beside."))
        self.net.load_state_dict(part("net."))
        self.average.load_state_dict(part("average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimiser.").items():
            index, entry = key.split(".")
            moments.setdefault(int(index), {})[entry] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.step = step

    def update_average(self, ema: float) -> None:
        """Move the average towards the weights after step ``self.step`` (counted from 1)."""
        decay = min(ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
            for kept, new in zip(self.average.buffers(), self.net.buffers(), strict=True):
                kept.copy_(new)


def write_checkpoint(path: Path, state: TrainingState, mark: str) -> None:
    """Write the state atomically, with ``mark``, the fingerprint of its training, and a digest of its tensors."""
    tensors = state.tensors()
    metadata = {"fingerprint": mark, "step": str(state.step), "digest": _digest(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        partial.write_bytes(to_safetensors(tensors, metadata))


def read_checkpoint(path: Path, state: TrainingState, mark: str, in_turn: bool = False) -> bool:
    """Restore the checkpoint if it is complete and belongs to this training; return whether it was restored.

    If not, the log gives the reason; except with ``in_turn``, where several parts are trained one after the other: then
    the checkpoint may belong to another part, and :func:`part_reached` has already logged one of another training.
    """
    if not path.exists():
        return False
    try:
        metadata, tensors = _open_checkpoint(path)
    except (SafetensorError, OSError, ValueError) as error:
        log.warning("%s: damaged checkpoint (%s); starting over", path, error)
        return False
    if metadata.get("fingerprint") != mark:
        if not in_turn:
            log.warning("%s: belongs to another training (recipe, images or seed differ); starting over", path)
        return False
    state.restore(tensors, int(metadata["step"]))
    log.info("%s: continuing at step %d", path, state.step)
    return True


def part_reached(path: Path | None, marks: Sequence[str]) -> int:
    """Return the index in ``marks`` of the training that a checkpoint belongs to; 0, and a log entry, for none."""
    if path is None or not path.exists():
        return 0
    try:
        mark = _open_checkpoint(path)[0].get("fingerprint", "")
    except (SafetensorError, OSError, ValueError) as error:
        log.warning("%s: damaged checkpoint (%s); starting over", path, error)
        return 0
    if mark in marks:
        return marks.index(mark)
    log.warning("%s: belongs to another training (recipe, images or seed differ); starting over", path)
    return 0


def _open_checkpoint(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(str(path), framework="pt") as opened:
        metadata = opened.metadata() or {}
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (no iterator of its own)
    if _digest(tensors) != metadata.get("digest"):
        raise ValueError("its digest does not match")
    return metadata, tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()


@dataclass
class LossMeter:
    """Sums losses between two records."""

    plan: Plan
    context: RunContext
    began: float = field(default_factory=time.monotonic)
    recorded: float = 0.0
    steps: int = 0
    loss: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)

    def add(self, step: int, loss: float, terms: dict[str, float]) -> None:
        """Count one step, and send a TrainRecord when ``record_seconds`` have passed (always after the last step)."""
        self.steps += 1
        self.loss += loss
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value
        now = time.monotonic()
        if step < self.plan.steps and now - self.recorded < self.plan.record_seconds:
            return
        seen = min(step * self.plan.batch, self.plan.images_seen)
        means = {name: value / self.steps for name, value in self.terms.items()}
        self.context.on_record(
            TrainRecord(seen, self.plan.images_seen, self.loss / self.steps, now - self.began, means)
        )
        self.recorded, self.steps, self.loss, self.terms = now, 0, 0.0, {}


def check(loss: float, step: int, plan: Plan) -> None:
    """Raise Diverged unless the loss is finite and below ``RUNAWAY``."""
    if math.isfinite(loss) and abs(loss) < RUNAWAY:
        return
    raise Diverged(
        f"training diverged at step {step} of {plan.steps}: the loss is {loss:g}. Lower learning_rate "
        f"(now {plan.learning_rate:g}; try {plan.learning_rate / 4:g}) or raise batch (now {plan.batch})."
    )


def train(
    net: nn.Module,
    loss: Loss,
    images: np.ndarray,
    plan: Plan,
    seed: int,
    context: RunContext,
    mark: str,
    beside: nn.Module | None = None,
) -> nn.Module:
    """Train the net in place and return the moving average of its weights, in eval mode, on the context's device.

    Args:
        net: the net to train; ``loss`` must call this same object.
        loss: (images in -1..1, noise source) -> (loss, named parts).
        images: uint8 [N,C,H,W]; or float32 [N,...], which are passed to the loss unchanged.
        plan: length, batch, rates.
        seed: of batch order and noise.
        context: device, callbacks, checkpoint file, process group.
        mark: :func:`fingerprint` of this training; a checkpoint with another mark is not used.
        beside: the larger net, where the parts of a larger net are trained one after the other. It is saved in the
            checkpoint. The checkpoint of a finished part stays until the next part replaces it; the caller removes the
            last one.

    Raises:
        Interrupted: when ``context.should_stop()`` returned True; the checkpoint is written first.
        Diverged: when the loss is NaN or beyond ``RUNAWAY``.
    """
    data, group = torch.from_numpy(images).to(context.device), context.group
    net.to(torch.device(context.device)).train()
    group.broadcast([tensor.detach() for tensor in (*net.parameters(), *net.buffers())])
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _adam(net, plan), beside=beside)
    if context.checkpoint is not None:
        read_checkpoint(context.checkpoint, state, mark, in_turn=beside is not None)
    meter, saved, accelerator = LossMeter(plan, context), time.monotonic(), _accelerator(context.device)
    noise, writes = torch.Generator(context.device), context.checkpoint if group.rank == 0 else None
    while state.step < plan.steps:
        if group.broadcast_flag(context.should_stop()):
            if writes is not None:
                write_checkpoint(writes, state, mark)
            raise Interrupted(f"stopped after {state.step} of {plan.steps} steps")
        size = min(plan.batch, plan.images_seen - state.step * plan.batch)
        mine, share = own_part(batch_rows(seed, len(images), state.step * plan.batch, size), group)
        noise.manual_seed(seed_at(seed, "noise", line=group.rank, row=state.step))
        rows = torch.from_numpy(mine).to(context.device)
        batch = data[rows]
        if batch.dtype == torch.uint8:
            batch = to_signed(batch).contiguous(memory_format=torch.channels_last)
        average = functools.partial(average_gradients, net, group, share) if group.size > 1 else None
        meter.add(state.step + 1, *take_step(accelerator, state, plan, loss, batch, noise, average))
        if writes is not None and time.monotonic() - saved > plan.checkpoint_seconds:
            write_checkpoint(writes, state, mark)
            saved = time.monotonic()
    if writes is not None:
        if beside is None:
            writes.unlink(missing_ok=True)
        else:
            write_checkpoint(writes, state, mark)
    return state.average.eval()


def take_step(
    accelerator: Accelerator,
    state: TrainingState,
    plan: Plan,
    loss: Loss,
    batch: Tensor,
    noise: torch.Generator,
    average: Callable[[dict[str, int], Tensor], Tensor] | None = None,
) -> tuple[float, dict[str, float]]:
    """Do one step of Adam on a batch; return the loss, and its parts with the gradient's norm and the learning rate.

    ``average`` is :func:`average_gradients` for this net and group; None for a single process.
    """
    versions = {} if average is None else buffer_versions(state.net)
    with accelerator.autocast():
        value, terms = loss(batch, noise)
    if average is None:
        check(value.item(), state.step, plan)
    accelerator.backward(value)
    if average is not None:  # all-reduce before the check: if one rank diverges, all ranks raise in the same step
        value = average(versions, value)
        check(value.item(), state.step, plan)
    norm = accelerator.clip_grad_norm_(state.net.parameters(), plan.clip)
    for group in state.optimiser.param_groups:
        group["lr"] = plan.rate(state.step)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    state.update_average(plan.ema)
    parts = {name: float(part) for name, part in terms.items()}
    return value.item(), {**parts, "gradient": float(norm or 0.0), "learning_rate": plan.rate(state.step - 1)}


def _adam(net: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), plan.learning_rate, betas=(0.9, 0.99), fused=True)


def _accelerator(device: str) -> Accelerator:
    """Return the Accelerator (precision and gradient clipping) of one training: bf16 on a GPU, float32 on a CPU."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    on_cpu = torch.device(device).type == "cpu"
    if not on_cpu:
        torch.cuda.set_device(device)
    AcceleratorState._reset_state(reset_partial_state=True)  # else all later trainings keep the first one's precision
    return Accelerator(cpu=on_cpu, mixed_precision="no" if on_cpu else "bf16")
