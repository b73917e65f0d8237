"""One run with several processes: ``torchrun --nproc-per-node 2 -m imagelab run FILE``.

Only rank 0 holds the lock, writes, measures, and prints messages. The other ranks are workers: they wait for a
function, call it when rank 0 does, and wait again. There are two such functions:

    _fit    all ranks train together, each on its rows of every batch (generators/data_parallel.py)
    _draw   the ranks sample whole batches of images in turn, with the model in the run folder

The noise of an image depends on its seed only, and the split into batches does not depend on the ranks. So the images
of a model are the same bytes for any number of ranks on machines of one kind. Trained weights are not: sums over ranks
are rounded differently.

The ranks read models and checkpoints from the run folder, so they need a shared file system. If a rank fails, it exits
and its connections close. Then the collective operations of the other ranks fail and they exit, too; no rank waits for
ever. Rank 0 then says what happened; if it is the one that is gone, the first of the others does.
Only rank 0 handles signals: it finishes the current step and then stops the workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiment import Runtime
from ..generators import Diverged, Generator, Interrupted, Model, RunContext
from ..generators.base import SINGLE_PROCESS, ProcessGroup
from ..io.large_arrays import MappedFile
from .device import choose_device
from .threads import limited

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LostProcess", "TorchProcessGroup", "fit", "is_worker", "run_distributed", "sample", "world_size"]

PEER_TIMEOUT = timedelta(days=7)
"""How long a rank waits for the others; rank 0 may be measuring. The end of a process is noticed immediately."""


TOLD_WITHIN = 1.0
"""Seconds that a worker that has lost a process waits for rank 0 to say so, before it says so itself."""


class LostProcess(ValueError):
    """Another process of the run has failed or was killed.

    Attributes:
        speaks: whether this process is the one that tells the user; of all that are left only one does.
    """

    def __init__(self, speaks: bool):
        super().__init__(
            "another process of this run has failed or was killed; its message, if it had one, is above. All finished "
            "work is kept: start the run again to continue."
        )
        self.speaks = speaks


def world_size() -> int:
    """Return how many processes torchrun has started for this run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_worker() -> bool:
    """Return whether this process is a worker, a rank other than 0."""
    return world_size() > 1 and os.environ.get("RANK", "0") != "0"


@dataclass
class TorchProcessGroup:
    """The process group of all processes that torchrun has started, on torch.distributed.

    Attributes:
        rank: index of this process, from 0 on.
        size: number of processes.
        idle: whether the workers are waiting for a function, so that they can be stopped.
        kept: the last model that a worker has loaded: (folder, time it was written in ns, model).
    """

    rank: int
    size: int
    idle: bool = True
    kept: tuple[Path, int, Model] | None = field(default=None, repr=False)

    def broadcast_flag(self, answer: bool) -> bool:
        """Return rank 0's answer, on every rank."""
        import torch
        import torch.distributed as dist

        flag = torch.tensor([int(answer)])
        dist.broadcast(flag, 0)
        return bool(flag.item())

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors with those of rank 0."""
        import torch.distributed as dist

        for tensor in tensors:
            contiguous = tensor.contiguous()
            dist.broadcast(contiguous, 0)
            tensor.copy_(contiguous)

    def broadcast_object(self, task: Any) -> Any:
        """Return rank 0's task (any picklable object, or None), on every rank."""
        import torch.distributed as dist

        box = [task]
        dist.broadcast_object_list(box, 0)
        return box[0]

    def on_all_ranks(self, work: Callable[..., Any], context: RunContext, *own: Any) -> Any:
        """Call a function on all ranks and return rank 0's result; rank 0 calls this, and the others :meth:`serve`.

        Args:
            work: a picklable function of the rank's context. If it raises Interrupted or Diverged, it must do so on all
                ranks.
            context: of rank 0. The others get its batch, checkpoint and kernels.
            own: further arguments on rank 0.
        """
        import torch

        checkpoint = context.checkpoint and context.checkpoint.absolute()
        self.broadcast_object((work, context.batch, checkpoint, torch.get_num_threads(), context.kernels))
        self.idle = False
        try:
            made = work(context, *own)
        except (Interrupted, Diverged):
            self.idle = True
            raise
        self.idle = True
        return made

    def serve(self, device: str) -> int:
        """Call what rank 0 calls, with as many threads and the same kernels, until it sends None; return 0."""
        while (task := self.broadcast_object(None)) is not None:
            work, batch, checkpoint, threads, kernels = task
            with limited(threads):
                try:
                    work(RunContext(device, batch, checkpoint=checkpoint, group=self, kernels=kernels))
                except (Interrupted, Diverged) as stopped:  # rank 0 stops in the same way and reports it
                    logging.getLogger(__name__).info("rank %d: %s", self.rank, stopped)
        return 0


def run_distributed(work: Callable[[ProcessGroup], int], runtime: Runtime) -> int:
    """Do the work on rank 0, with the other ranks as workers.

    Without torchrun it returns ``work(SINGLE_PROCESS)``.

    Args:
        work: process group -> exit code; called on rank 0 only.
        runtime: its device is used.

    Returns:
        The exit code of the work on rank 0, 0 on a worker.

    Raises:
        LostProcess: if another process has failed or was killed.
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
    # torchrun ends every rank by SIGTERM as soon as one has died. The work handles it while it runs; after that,
    # rank 0 must live long enough to say what has happened.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lost = False
    try:
        code = group.serve(device) if group.rank else _lead(group, work)
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        lost = True
        raise LostProcess(_speaks(group.rank)) from error
    finally:
        if not lost:
            signal.signal(signal.SIGTERM, before)
    if group.idle:
        with contextlib.suppress(RuntimeError):  # all ranks exit together; if rank 0 has failed, the barrier fails
            dist.barrier()
    dist.destroy_process_group()
    return code


def _lead(group: TorchProcessGroup, work: Callable[[ProcessGroup], int]) -> int:
    """Do the work on rank 0 and stop the workers, unless they are in the middle of a task."""
    try:
        code = work(group)
    except BaseException:
        if group.idle:
            with contextlib.suppress(RuntimeError):  # the workers may be gone; the first error is the one to report
                group.broadcast_object(None)
        else:  # the workers stop when the connection closes, and need not say why
            _speaks(0)
        raise
    group.broadcast_object(None)
    return code


def _speaks(rank: int) -> bool:
    """Return whether this process tells the user that one is lost: rank 0, or where that is gone the first worker.

    The processes agree on it through the store of torchrun, which outlives them. Where it cannot be reached, every
    process tells it.
    """
    import torch.distributed as dist

    key = f"imagelab/lost/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    try:
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(*place, is_master=False, timeout=timedelta(seconds=10), wait_for_workers=False)
        if rank == 0:
            store.set(key, "told")
            return True
        end = time.monotonic() + TOLD_WITHIN
        while time.monotonic() < end:
            if store.check([key]):
                return False
            time.sleep(0.05)
        return store.add(f"{key}/workers", 1) == 1
    except (RuntimeError, KeyError, ValueError):
        return True


def fit(recipe: Generator, images: np.ndarray, seed: int, context: RunContext, start: Path | None) -> Model:
    """Return the recipe fitted by all ranks; a closed form is fitted by rank 0 alone.

    Args:
        recipe: the generator to fit.
        images: uint8 [N,C,H,W].
        seed: of weights, order and noise.
        context: device and process group.
        start: folder of the model that the training starts from, None for none.

    Raises:
        Diverged: see ``Generator.fit``.
        Interrupted: see ``Generator.fit``.
        ValueError: see ``Generator.fit``.
    """
    group = context.group
    # a large training set that is one whole shard is not sent to the other ranks: they map its file
    work = partial(_fit, recipe, MappedFile.of(images) or images, seed, start)
    if not isinstance(group, TorchProcessGroup):
        return work(context)
    if recipe.alone or not recipe.training_length:  # such as a closed form: rank 0 does it alone
        return work(replace(context, group=SINGLE_PROCESS))
    return group.on_all_ranks(work, context)


def _fit(
    recipe: Generator, images: np.ndarray | MappedFile, seed: int, start: Path | None, context: RunContext
) -> Model:
    images = images.mapped() if isinstance(images, MappedFile) else images
    return recipe.fit(images, seed, context, None if start is None else recipe.load(start, context))


def sample(model: Model, recipe: Generator, folder: Path, seeds: np.ndarray, context: RunContext) -> np.ndarray:
    """Return one image a seed, sampled by all ranks: uint64 [N] -> uint8 [N,C,H,W].

    Args:
        model: the model.
        recipe: its recipe, with which the workers load it.
        folder: where the workers load it from.
        seeds: uint64 [N], of the images.
        context: device, process group and batch. Whole batches are distributed, so up to one batch of images is sampled
            by rank 0 alone.

    Raises:
        Diverged: if a value of an image is NaN or infinite, on any rank.
    """
    group = context.group
    if not isinstance(group, TorchProcessGroup) or len(seeds) <= context.batch or recipe.alone:
        return model.sample(seeds)
    return group.on_all_ranks(partial(_draw, recipe, folder.absolute(), seeds), context, model)


def _draw(
    recipe: Generator, folder: Path, seeds: np.ndarray, context: RunContext, model: Model | None = None
) -> np.ndarray:
    """Sample this rank's batches and gather all on rank 0; a worker loads the model and returns only its own."""
    import torch
    import torch.distributed as dist

    group: Any = context.group
    turn = np.arange(len(seeds)) // context.batch % group.size
    mine, fault = np.empty(0, np.uint8), ""
    try:
        model = model or _loaded(group, recipe, folder, context)
        mine = model.sample(seeds[turn == group.rank]) if (turn == group.rank).any() else mine
    except ValueError as error:
        fault = str(error)
    # all ranks exchange their errors before they send images, so that no rank waits for one that has failed
    faults: list[Any] = [None] * group.size
    dist.all_gather_object(faults, fault)
    if any(faults):
        raise Diverged(next(filter(None, faults)))
    if group.rank:
        if len(mine):
            dist.send(torch.from_numpy(np.ascontiguousarray(mine)), 0)
        return mine
    images = np.empty((len(seeds), *mine.shape[1:]), np.uint8)
    images[turn == 0] = mine
    for rank in range(1, group.size):
        theirs = torch.empty((int((turn == rank).sum()), *mine.shape[1:]), dtype=torch.uint8)
        if len(theirs):
            dist.recv(theirs, rank)
        images[turn == rank] = theirs.numpy()
    return images


def _loaded(group: TorchProcessGroup, recipe: Generator, folder: Path, context: RunContext) -> Model:
    """Return the model in a folder; the last one that was loaded is kept."""
    written = max(path.stat().st_mtime_ns for path in folder.rglob("*"))
    if group.kept is None or group.kept[:2] != (folder, written):
        group.kept = folder, written, recipe.load(folder, context)
    return group.kept[2]
