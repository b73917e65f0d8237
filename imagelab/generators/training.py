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

On a CUDA device the host waits for nothing within a step: it launches the passes (passes.py), the optimiser and the
average, and reads the losses when a record is due (loss_meter.py). The indices of a batch are copied from page-locked
memory, the noise source is seeded on the host, and crops are drawn there (kernels.py).
"""

from __future__ import annotations

import copy
import functools
import hashlib
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..images import to_signed
from ..io.large_arrays import blocks_of
from ..seeds import rng_at, seed_at
from .base import FIT_BLOCK, Diverged, Interrupted, Kernels, Model, RunContext
from .checkpoint import TrainingState, digest_of, part_reached, read_checkpoint, write_checkpoint
from .data_parallel import SharedLoss, own_part
from .kernels import (
    blocks_compiled,
    in_channels_last,
    is_cuda,
    make_current,
    precision_of,
    reads_each_step,
    trains_in_bfloat16,
)
from .loss_meter import LossMeter, UnreadLosses, advice_after_divergence
from .muon import Muon
from .passes import GradientPasses, Passes, passes_of
from .training_images import TrainingImages

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["LossMeter", "Plan", "Whole", "fingerprint", "part_reached", "train", "warm_start"]

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
        part: for messages, the part of a net that is trained, such as "the upper prior"; "" for the whole net.
        settings: for messages, the settings of the recipe that hold the rate and the batch.
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
    part: str = field(default="", compare=False)
    settings: tuple[str, str] = field(default=("learning_rate", "batch"), compare=False)

    @property
    def of_part(self) -> str:
        """The part for a message, such as " of the upper prior"; "" for the whole net."""
        return f" of {self.part}" if self.part else ""

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
        context: its kind of device, its number of processes and its kernels are part of the fingerprint, as are torch's
            version and number of threads: a training that was begun otherwise is not continued, because it would end
            with bytes that neither setting gives. None for one process on the CPU.
    """
    context = context or RunContext()
    kind = f"{torch.device(context.device).type}|{context.group.size}|{torch.get_num_threads()}"
    kind += "" if context.kernels == Kernels() else f"|{context.kernels}"
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
    in_channels_last(net, context.device)
    group.broadcast([tensor.detach() for tensor in (*net.parameters(), *net.buffers())])
    beside, meter = (None, LossMeter(context, plan.images_seen)) if whole is None else (whole.net, whole.meter)
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _optimiser(net, plan), beside=beside)
    if context.checkpoint is not None:
        read_checkpoint(context.checkpoint, state, mark, meter, in_turn=whole is not None)
    loop = _Loop(state, plan, data, len(images), seed, context, mark, meter)
    if whole is not None and state.step == 0:  # keeps what was trained before this part
        loop.save()
    with precision_of(context, benchmark=True), blocks_compiled(net, context) as blocks:
        loop.run(loss, blocks)
    if context.checkpoint is not None and group.rank == 0 and whole is None:
        context.checkpoint.unlink(missing_ok=True)
    finite = [tensor.isfinite().all() for tensor in state.average.parameters()]
    if finite and not bool(torch.stack(finite).all()):
        raise Diverged(
            f"training diverged at its last steps: a weight is NaN or infinite. {advice_after_divergence(plan)}"
        )
    if whole is not None:
        loop.save()
    for trained in (net, state.average):
        in_channels_last(trained, context.device, back=True)
    return state.average.eval()


@dataclass
class _Loop:
    """The steps of one training, from where its state is.

    Attributes:
        state: nets, optimiser, steps done.
        plan: length, batch, rates.
        data: the training set, of ``count`` images.
        count: see ``data``.
        seed: of batch order and noise.
        context: device, callbacks, checkpoint file, process group.
        mark: fingerprint, for checkpoints.
        meter: gets the losses.
    """

    state: TrainingState
    plan: Plan
    data: TrainingImages
    count: int
    seed: int
    context: RunContext
    mark: str
    meter: LossMeter

    def run(self, loss: Loss, blocks: list[nn.Module]) -> None:
        """Take the steps that are left; the errors are those of :func:`train`."""
        state, plan, context, group = self.state, self.plan, self.context, self.context.group
        unread = UnreadLosses(self.meter, plan, each_step=reads_each_step(context.device))
        shared = SharedLoss(state.net, loss) if group.size > 1 else None
        parallel = shared and DistributedDataParallel(shared, gradient_as_bucket_view=True, static_graph=True)
        accelerator = _accelerator(context.device, trains_in_bfloat16(context))
        noise, saved = torch.Generator(context.device), time.monotonic()
        plain = Passes(accelerator, state.net, plan.clip, parallel or loss, noise, shared)
        passes = passes_of(plain, blocks, context)
        while state.step < plan.steps:
            if group.broadcast_flag(context.should_stop()):
                unread.read()
                self.save()
                raise Interrupted(f"stopped after {state.step} of {plan.steps} steps")
            batch, share = self._batch()
            noise.manual_seed(seed_at(self.seed, "noise", line=group.rank, row=state.step))
            if shared is not None:
                shared.share = share
            loss_and_terms = take_step(state, plan, passes, batch)
            unread.add(state.step, *loss_and_terms)
            if context.checkpoint is not None and time.monotonic() - saved > plan.checkpoint_seconds:
                if group.size == 1:  # of several processes this one alone looks at the clock; it waits for a record
                    unread.read()
                if not unread.kept:
                    self.save()
                    saved = time.monotonic()
        state.net.zero_grad(set_to_none=True)

    def save(self) -> None:
        """Write the checkpoint, if there is to be one; all losses so far must have been read."""
        if self.context.checkpoint is not None and self.context.group.rank == 0:
            write_checkpoint(self.context.checkpoint, self.state, self.mark, self.meter)

    def _batch(self) -> tuple[Tensor, float]:
        """Return the part of this step's batch that this process reads, and its share of the batch."""
        group, step = self.context.group, self.state.step
        mine, share = own_part(_rows(self.seed, self.count, self.plan, step), group)
        batch = self.data.read(mine, lambda: own_part(_rows(self.seed, self.count, self.plan, step + 1), group)[0])
        if batch.dtype == torch.uint8:
            batch = to_signed(batch).contiguous(memory_format=torch.channels_last)
        return batch, share


def take_step(
    state: TrainingState, plan: Plan, passes: GradientPasses, batch: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Do one step on a batch; return the loss, and its parts with the norm of the gradient, on the device.

    Raises:
        ValueError: if the step does not fit into the memory of the device.
    """
    try:
        value, terms = passes(batch)
    except torch.cuda.OutOfMemoryError as error:
        setting = plan.settings[1].replace("_", "-")
        raise ValueError(
            f"a training step{plan.of_part} with a batch of {plan.batch} does not fit into the memory of the device. "
            "The batch is part of the recipe: give a smaller one, such as "
            f"--generator.{setting} {max(1, plan.batch // 2)}. `imagelab doctor --bench` estimates what fits."
        ) from error
    for group in state.optimiser.param_groups:
        group["lr"] = plan.rate(state.step)
    state.optimiser.step()
    if not passes.owns_gradients:
        state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    state.update_average(plan.ema)
    return value, terms


def _optimiser(net: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    if plan.optimiser == "muon":
        return Muon(net.named_parameters(), plan.learning_rate, plan.by_adam)
    return torch.optim.Adam(net.parameters(), plan.learning_rate, betas=(0.9, 0.99), fused=True)


def _accelerator(device: str, bfloat16: bool = False) -> Accelerator:
    """Return the Accelerator (precision and gradient clipping) of one training."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    make_current(device)
    AcceleratorState._reset_state(reset_partial_state=True)  # else all later trainings keep the first one's precision
    return Accelerator(cpu=not is_cuda(device), mixed_precision="bf16" if bfloat16 else "no")
