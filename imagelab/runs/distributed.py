"""Several processes, one run: ``torchrun --nproc-per-node 2 -m imagelab run FILE``.

Rank 0 is the run: it alone holds the lock, writes, measures, and speaks to the user. The other ranks have no will of
their own. They wait for a task, do their part and wait again:

    Fit     all ranks train together, each on its rows of every batch (generators/data_parallel.py)
    Draw    every rank draws whole batches of images, in turn, with the model that lies in the run folder

An image's noise hangs on its seed and its batch is the same batch whoever draws it, so images of one model are the same
bytes for any number of ranks on machines of one kind. Trainings are not: sums over ranks round otherwise.

The ranks read models and checkpoints from the run folder, so they share a disk. A rank that fails exits; its
connections close, the others' meetings fail, they exit, too, and nothing waits for ever. Signals are heard by rank 0
alone, which lets the step in hand finish and then dismisses the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiment import Runtime
from ..generators import Diverged, Generator, Interrupted, Model, RunContext
from ..generators.base import SINGLE_PROCESS, ProcessGroup
from .device import choose_device
from .threads import limited

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TorchProcessGroup", "fit", "is_worker", "run_distributed", "sample", "world_size"]

PEER_TIMEOUT = timedelta(days=7)
"""How long a rank waits for the others: they may be measuring. A rank that died is noticed at once."""


def world_size() -> int:
    """Return how many processes torchrun has started for this run; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_worker() -> bool:
    """Return whether this process only helps another one, rank 0."""
    return world_size() > 1 and os.environ.get("RANK", "0") != "0"


@dataclass(frozen=True)
class _Fit:
    """Train together."""

    recipe: Generator
    images: np.ndarray
    seed: int
    batch: int
    threads: int
    checkpoint: Path | None
    start: Path | None


@dataclass(frozen=True)
class _Draw:
    """Draw your batches of these seeds with the model in this folder."""

    recipe: Generator
    folder: Path
    seeds: np.ndarray
    batch: int
    threads: int


@dataclass
class TorchProcessGroup:
    """The processes that torchrun has started, met over gloo.

    Attributes:
        idle: whether the others wait for a task, so that they can be dismissed.
        kept: what a rank that follows has loaded last: (folder, when it was written, model).
    """

    rank: int
    size: int
    idle: bool = True
    kept: tuple[Path, int, Model] | None = field(default=None, repr=False)

    def broadcast_flag(self, answer: bool) -> bool:
        """Return rank 0's answer, on every rank."""
        import torch
        import torch.distributed as dist

        said = torch.tensor([int(answer)])
        dist.broadcast(said, 0)
        return bool(said.item())

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors with rank 0's."""
        import torch.distributed as dist

        for tensor in tensors:
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks: one meeting for all of one type."""
        import torch
        import torch.distributed as dist

        for kind in {tensor.dtype for tensor in tensors}:
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            dist.all_reduce(flat)
            for tensor, part in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def broadcast_object(self, task: Any) -> Any:
        """Pass rank 0's task to all ranks, and return it."""
        import torch.distributed as dist

        told = [task]
        dist.broadcast_object_list(told, 0)
        return told[0]


def run_distributed(work: Callable[[ProcessGroup], int], runtime: Runtime) -> int:
    """Do the work on rank 0 with the help of the other ranks; return its exit code, 0 on a rank that helped.

    Without torchrun it is just ``work(ALONE)``.
    """
    if world_size() == 1:
        return work(SINGLE_PROCESS)
    import torch.distributed as dist

    if is_worker():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        logging.getLogger("imagelab").addHandler(logging.NullHandler())
    device = choose_device(runtime.device)
    dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl", timeout=PEER_TIMEOUT)
    group = TorchProcessGroup(dist.get_rank(), dist.get_world_size())
    if group.rank:
        _serve(group, device)
        code = 0
    else:
        try:
            code = work(group)
        except RuntimeError as error:
            if group.idle or "gloo" not in str(error):
                raise
            raise ValueError(
                "another process of this run has failed or was killed; what it said stands above. Everything finished "
                "is kept: start the run again to go on."
            ) from error
        finally:
            if group.idle:  # else they are in the midst of something, and see the connection close
                group.broadcast_object(None)
    if group.idle:
        with contextlib.suppress(RuntimeError):  # leave together; where rank 0 has failed, it is gone already
            dist.barrier()
    dist.destroy_process_group()
    return code


def _serve(group: TorchProcessGroup, device: str) -> None:
    """Do the tasks that rank 0 sends until there is none, with as many threads as rank 0 uses."""
    while (task := group.broadcast_object(None)) is not None:
        with limited(task.threads):
            _help(group, device, task)


def _help(group: TorchProcessGroup, device: str, task: _Fit | _Draw) -> None:
    """Do this rank's part of one task."""
    context = RunContext(device, task.batch, group=group)
    if isinstance(task, _Draw):
        _draw(group, _loaded(group, task, context), task)
        return
    context = RunContext(device, task.batch, checkpoint=task.checkpoint, group=group)
    start = None if task.start is None else task.recipe.load(task.start, context)
    try:
        task.recipe.fit(task.images, task.seed, context, start)
    except (Interrupted, Diverged) as stopped:  # rank 0 stopped in the same way and reports it
        logging.getLogger(__name__).info("rank %d: %s", group.rank, stopped)


def _loaded(group: TorchProcessGroup, task: _Draw, context: RunContext) -> Model:
    written = max(path.stat().st_mtime_ns for path in task.folder.rglob("*"))
    if group.kept is None or group.kept[:2] != (task.folder, written):
        group.kept = task.folder, written, task.recipe.load(task.folder, context)
    return group.kept[2]


def fit(recipe: Generator, images: np.ndarray, seed: int, context: RunContext, start: Path | None) -> Model:
    """Return the recipe fitted by the whole team; a closed form is fitted by rank 0 alone.

    Args:
        recipe: what to fit. images: uint8 [N,C,H,W]. seed: of weights, order and noise. bench: device and team.
        start: folder of the model that the training begins from, None for none.

    Raises:
        Diverged, Interrupted, ValueError: see ``Generator.fit``.
    """
    import torch

    begin = None if start is None else recipe.load(start, context)
    group = context.group
    if not isinstance(group, TorchProcessGroup):
        return recipe.fit(images, seed, context, begin)
    if not recipe.training_length:  # a closed form: rank 0 does it alone
        return recipe.fit(images, seed, replace(context, group=SINGLE_PROCESS), begin)
    checkpoint = context.checkpoint and context.checkpoint.absolute()
    group.broadcast_object(_Fit(recipe, images, seed, context.batch, torch.get_num_threads(), checkpoint, start))
    group.idle = False
    try:
        model = recipe.fit(images, seed, context, begin)
    except (Interrupted, Diverged):
        group.idle = True
        raise
    group.idle = True
    return model


def sample(model: Model, recipe: Generator, folder: Path, seeds: np.ndarray, context: RunContext) -> np.ndarray:
    """Return one image a seed, drawn by the whole team: uint64 [N] -> uint8 [N,C,H,W].

    Args:
        model: what draws. recipe, folder: where the other ranks find the same. seeds: of the images.
        bench: whole batches of its size are shared out, so fewer images than that are drawn by rank 0 alone.

    Raises:
        Diverged: if a model's numbers are no numbers, whichever rank sees it.
    """
    import torch

    group = context.group
    if not isinstance(group, TorchProcessGroup) or len(seeds) <= context.batch:
        return model.sample(seeds)
    task = group.broadcast_object(_Draw(recipe, folder.absolute(), seeds, context.batch, torch.get_num_threads()))
    group.idle = False
    images = _draw(group, model, task)
    group.idle = True
    return images


def _draw(group: TorchProcessGroup, model: Model, task: _Draw) -> np.ndarray:
    """Draw this rank's batches and gather all on rank 0; the other ranks get an empty array."""
    import torch
    import torch.distributed as dist

    turn = np.arange(len(task.seeds)) // task.batch % group.size
    mine, fault = np.empty(0, np.uint8), ""
    try:
        mine = model.sample(task.seeds[turn == group.rank]) if (turn == group.rank).any() else mine
    except ValueError as error:
        fault = str(error)
    faults: list[Any] = [None] * group.size
    dist.all_gather_object(faults, fault)
    if any(faults):
        if group.rank:
            return mine
        group.idle = True
        raise Diverged(next(filter(None, faults)))
    if group.rank:
        if len(mine):
            dist.send(torch.from_numpy(np.ascontiguousarray(mine)), 0)
        return mine
    images = np.empty((len(task.seeds), *mine.shape[1:]), np.uint8)
    images[turn == 0] = mine
    for rank in range(1, group.size):
        theirs = torch.empty((int((turn == rank).sum()), *mine.shape[1:]), dtype=torch.uint8)
        if len(theirs):
            dist.recv(theirs, rank)
        images[turn == rank] = theirs.numpy()
    return images
