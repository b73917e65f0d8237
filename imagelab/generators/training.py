"""The training loop of all networks. Its length is given in images seen; a resumed run gives the same bytes.

All random numbers of step n depend only on (seed, n): which images are read (shuffled passes one after another, so that
every image is read equally often), and the noise of the loss (its generator is seeded in every step). Therefore a
checkpoint needs only weights, optimiser, average and n. The training set lies on the device, or where it is too large
in host memory or in a file (training_images.py); each batch is converted to floats.

The resulting weights are an exponential moving average. Its decay is warmed up, min(ema, (1 + n) / (10 + n)), so that
the first weights of a short run do not remain in the average.

The processes of a group (``context.group``) share each batch: every rank reads its rows, with its own noise, and
DistributedDataParallel averages the gradients, weighted by rows (data_parallel.py). So all ranks hold the same weights
at all times. Only rank 0 decides when to stop and writes the checkpoint; every rank reads it.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..images import to_signed
from ..io.large_arrays import blocks_of
from ..seeds import rng_at, seed_at
from .base import FIT_BLOCK, Diverged, Interrupted, Model, RunContext
from .checkpoint import TrainingState, digest_of, part_reached, read_checkpoint, write_checkpoint
from .data_parallel import SharedLoss, own_part
from .loss_meter import LossMeter
from .muon import Muon
from .training_images import TrainingImages

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["LossMeter", "Plan", "Whole", "fingerprint", "part_reached", "train", "warm_start"]

log = logging.getLogger(__name__)

RUNAWAY = 1e4
"""A loss beyond this counts as divergence; the losses of these generators are normally of order 1 to 100."""

RECORDS = 200
"""TrainRecords of a long training, but for its beginning. Their places depend on its length, never on the machine."""

Loss = Callable[[Tensor, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""(float [B,C,H,W] in -1..1, the step's noise source) -> (mean loss, its named parts)."""


@dataclass(frozen=True)
class Plan:
    """Length and learning rate of a training.

    Attributes:
        images_seen: length of the training, in images read; the last batch is shortened to match it exactly.
        batch: images a step.
        learning_rate: peak rate: reached after a linear warm-up, held, then lowered to 0 by a half cosine.
        warm_up: share of the run, 0..1, in which the rate rises.
        decay: share of the run, 0..1, in which the rate falls.
        ema: the highest decay of the weight average, 0 for none.
        clip: largest gradient norm.
        optimiser: "adam", or "muon" for matrices and kernels (muon.py).
        by_adam: with "muon", names of matrices that Adam trains all the same.
        checkpoint_seconds: time between two checkpoints, in seconds.
    """

    images_seen: int
    batch: int
    learning_rate: float
    warm_up: float = 0.05
    decay: float = 0.5
    ema: float = 0.995
    clip: float = 1.0
    optimiser: Literal["adam", "muon"] = "adam"
    by_adam: tuple[str, ...] = ()
    checkpoint_seconds: float = 30.0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return math.ceil(self.images_seen / self.batch)

    def recorded(self, step: int) -> bool:
        """Whether a TrainRecord follows this step, counted from 1.

        One follows after each 1/200 of the steps, after the last, and after steps 1, 2, 4, 8 and so on, so that a long
        training soon shows how it goes.
        """
        power_of_two = step & (step - 1) == 0
        return power_of_two or step * RECORDS // self.steps != (step - 1) * RECORDS // self.steps

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


@dataclass
class Whole:
    """A larger net whose parts are trained one after the other, and the meter of all these trainings."""

    net: nn.Module
    meter: LossMeter


def fingerprint(recipe: str, images: np.ndarray, seed: int, context: RunContext | None = None) -> str:
    """Return the SHA-256 of everything that the bytes of a training depend on.

    Args:
        recipe: the recipe as JSON.
        images: the training set.
        seed: of weights, order and noise.
        context: its kind of device and its number of processes are part of the fingerprint, as are torch's version and
            number of threads: a training that was begun otherwise is not continued, because it would end with bytes
            that neither setting gives. None for one process on the CPU.
    """
    context = context or RunContext()
    kind = f"{torch.device(context.device).type}|{context.group.size}|{torch.get_num_threads()}"
    digest = hashlib.sha256(f"{recipe}|{seed}|{images.shape}|{torch.__version__}|{kind}|".encode())
    for _, block in blocks_of(images, FIT_BLOCK):
        digest.update(np.ascontiguousarray(block).data)
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
    return digest_of(weights)


def batch_rows(seed: int, count: int, start: int, size: int) -> np.ndarray:
    """Return the indices, 0..count - 1, of reads ``start`` to ``start + size - 1`` in a sequence of shuffled passes."""
    reads = np.arange(start, start + size)
    turns, places = np.divmod(reads, count)
    rows = np.empty(size, np.int64)
    for turn in np.unique(turns):
        rows[turns == turn] = _order(seed, count, int(turn))[places[turns == turn]]
    return rows


@functools.lru_cache(maxsize=2)  # a batch reads the end of one pass and the beginning of the next at most
def _order(seed: int, count: int, turn: int) -> np.ndarray:
    """Return the order of one pass over the training set, int64 [count], read-only."""
    order = rng_at(seed, "order", row=turn).permutation(count)
    order.setflags(write=False)
    return order


def _rows(seed: int, count: int, plan: Plan, step: int) -> np.ndarray:
    """Return the rows of the training set that a step reads, counted from 0; none after the last step."""
    size = max(0, min(plan.batch, plan.images_seen - step * plan.batch))
    return batch_rows(seed, count, step * plan.batch, size)


def check_loss(loss: float, step: int, plan: Plan) -> None:
    """Raise Diverged unless the loss is finite and below ``RUNAWAY``."""
    if math.isfinite(loss) and abs(loss) < RUNAWAY:
        return
    raise Diverged(f"training diverged at step {step} of {plan.steps}: the loss is {loss:g}. {lower(plan)}")


def lower(plan: Plan) -> str:
    """Return what to do about a training that diverged."""
    rate = plan.learning_rate
    return f"Lower learning_rate (now {rate:g}; try {rate / 4:g}) or raise batch (now {plan.batch})."


def train(
    net: nn.Module,
    loss: Loss,
    images: np.ndarray,
    plan: Plan,
    seed: int,
    context: RunContext,
    mark: str,
    whole: Whole | None = None,
) -> nn.Module:
    """Train the net in place and return the moving average of its weights, in eval mode, on the context's device.

    Args:
        net: the net to train; ``loss`` must call this same object.
        loss: (images in -1..1, noise source) -> (loss, named parts). With several processes it must use the same
            parameters in every step; the rest of the net keeps its weights.
        images: uint8 [N,C,H,W]; or float32 [N,...], which are passed to the loss unchanged.
        plan: length, batch, rates.
        seed: of batch order and noise.
        context: device, callbacks, checkpoint file, process group.
        mark: :func:`fingerprint` of this training; a checkpoint with another mark is not used.
        whole: the larger net, where the parts of a larger net are trained one after the other. It is saved in the
            checkpoint. The checkpoint of a finished part stays until the next part replaces it; the caller removes the
            last one.

    Raises:
        Interrupted: when ``context.should_stop()`` returned True; the checkpoint is written first.
        Diverged: when the loss is NaN or beyond ``RUNAWAY``, or a weight is at the end.
    """
    data, group = TrainingImages(images, context.device), context.group
    net.to(torch.device(context.device)).train()
    group.broadcast([tensor.detach() for tensor in (*net.parameters(), *net.buffers())])
    beside, meter = (None, LossMeter(context, plan.images_seen)) if whole is None else (whole.net, whole.meter)
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _optimiser(net, plan), beside=beside)
    if context.checkpoint is not None:
        read_checkpoint(context.checkpoint, state, mark, meter, in_turn=whole is not None)
    saved, accelerator = time.monotonic(), _accelerator(context.device)
    shared = SharedLoss(net, loss) if group.size > 1 else None
    parallel = shared and DistributedDataParallel(shared, gradient_as_bucket_view=True, static_graph=True)
    noise, writes = torch.Generator(context.device), context.checkpoint if group.rank == 0 else None
    if writes is not None and whole is not None and state.step == 0:  # keeps what was trained before this part
        write_checkpoint(writes, state, mark, meter)
    while state.step < plan.steps:
        if group.broadcast_flag(context.should_stop()):
            if writes is not None:
                write_checkpoint(writes, state, mark, meter)
            raise Interrupted(f"stopped after {state.step} of {plan.steps} steps")
        mine, share = own_part(_rows(seed, len(images), plan, state.step), group)
        noise.manual_seed(seed_at(seed, "noise", line=group.rank, row=state.step))
        batch = data.read(mine, lambda: own_part(_rows(seed, len(images), plan, state.step + 1), group)[0])
        if batch.dtype == torch.uint8:
            batch = to_signed(batch).contiguous(memory_format=torch.channels_last)
        if shared is not None:
            shared.share = share
        meter.add(plan, state.step + 1, *take_step(accelerator, state, plan, parallel or loss, batch, noise, shared))
        if writes is not None and time.monotonic() - saved > plan.checkpoint_seconds:
            write_checkpoint(writes, state, mark, meter)
            saved = time.monotonic()
    if writes is not None:
        if whole is None:
            writes.unlink(missing_ok=True)
        else:
            write_checkpoint(writes, state, mark, meter)
    if not all(bool(tensor.isfinite().all()) for tensor in state.average.parameters()):
        raise Diverged(f"training diverged at its last steps: a weight is NaN or infinite. {lower(plan)}")
    return state.average.eval()


def take_step(
    accelerator: Accelerator,
    state: TrainingState,
    plan: Plan,
    loss: Loss,
    batch: Tensor,
    noise: torch.Generator,
    shared: SharedLoss | None = None,
) -> tuple[float, dict[str, float]]:
    """Do one step of Adam on a batch; return the loss, and its parts with the gradient's norm and the learning rate.

    With several processes ``loss`` is the DistributedDataParallel of ``shared``.
    """
    with accelerator.autocast():
        value, terms = loss(batch, noise)
    accelerator.backward(value)
    average = value.item() if shared is None else shared.average()  # if one rank diverges, all raise in the same step
    check_loss(average, state.step, plan)
    norm = accelerator.clip_grad_norm_(state.net.parameters(), plan.clip)
    for group in state.optimiser.param_groups:
        group["lr"] = plan.rate(state.step)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    state.update_average(plan.ema)
    parts = {name: float(part) for name, part in terms.items()}
    return average, {**parts, "gradient": float(norm or 0.0), "learning_rate": plan.rate(state.step - 1)}


def _optimiser(net: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    if plan.optimiser == "muon":
        return Muon(net.named_parameters(), plan.learning_rate, plan.by_adam)
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
