"""How a network is computed on a device: precision, compiled blocks, and the draws that the host needs.

Precision. On a CUDA device a network is trained under ``torch.autocast`` with bfloat16, which has the range of float32
and needs no loss scaling; a device without bfloat16 (before compute capability 8.0) trains in float32. What autocast
leaves in float32, and sampling, may use TF32 (10 bits of mantissa instead of 23). Closed forms and metrics never do.
``Kernels.precision = "full"`` switches both off, to measure what they change. A CPU computes in float32.

Compilation. :func:`blocks_compiled` compiles the repeated blocks of a network one by one (regional compilation) and not
the network as a whole, so that equal blocks are compiled once. The module is changed in place and back again: its
weights, their names and its copies are those of the plain module. Where compilation fails, the caller goes on without
it, and the log says why.

Draws for the host. A crop needs its corner as numbers of the host. On a CPU they come from the noise source of the
step. On a CUDA device reading them would stop the host until the device has finished all its work. There they come from
a generator of the host with the same seed, so that they depend only on (seed, step), too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace

import torch
from torch import nn

from .base import RunContext

__all__ = [
    "NotRecordable",
    "blocks_compiled",
    "drawn_on_host",
    "first_line",
    "full_precision_of",
    "in_channels_last",
    "is_cuda",
    "make_current",
    "no_host_draws",
    "precision_of",
    "reads_each_step",
    "repeated_blocks",
    "trains_in_bfloat16",
]

log = logging.getLogger(__name__)

BACKEND = "inductor"
"""Backend of torch.compile."""

RECOMPILATIONS = 64
"""Variants of one class of blocks that are compiled (widths, training or not). torch's own limit is 8; blocks beyond a
limit are not compiled."""

_RECORDED: ContextVar[bool] = ContextVar("recorded", default=False)


class NotRecordable(RuntimeError):
    """The work cannot be recorded and replayed, because the host takes part in it. The message says how."""


def is_cuda(device: str | torch.device) -> bool:
    """Return whether a device is a CUDA device."""
    return torch.device(device).type == "cuda"


def make_current(device: str) -> None:
    """Let torch use this CUDA device where none is named; "cuda" without a number is the current one already."""
    index = torch.device(device).index
    if is_cuda(device) and index is not None:
        torch.cuda.set_device(index)


def reads_each_step(device: str | torch.device) -> bool:
    """Return whether the host reads the loss after each training step: where that makes nobody wait, on a CPU."""
    return not is_cuda(device)


def trains_in_bfloat16(context: RunContext) -> bool:
    """Return whether a network is trained with bfloat16 autocast."""
    return (
        is_cuda(context.device)
        and context.kernels.precision == "mixed"
        and torch.cuda.get_device_capability(context.device) >= (8, 0)
    )


@contextmanager
def precision_of(context: RunContext, benchmark: bool = False) -> Iterator[None]:
    """Allow or forbid TF32 as the context says, and restore torch's settings afterwards. Nothing changes on a CPU.

    Args:
        context: device and precision.
        benchmark: let cuDNN try its algorithms for each new shape and take the fastest; with "mixed" only.
    """
    if not is_cuda(context.device):
        yield
        return
    fast = context.kernels.precision == "mixed"
    before = torch.get_float32_matmul_precision()
    with torch.backends.cudnn.flags(enabled=True, benchmark=fast and benchmark, allow_tf32=fast):
        torch.set_float32_matmul_precision("high" if fast else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def full_precision_of(context: RunContext) -> AbstractContextManager[None]:
    """Forbid TF32 whatever the context says: for closed forms, and codes that are kept."""
    return precision_of(replace(context, kernels=replace(context.kernels, precision="full")))


def in_channels_last(net: nn.Module, device: str | torch.device, back: bool = False) -> None:
    """Store the weights of convolutions as tensor cores read them, on a CUDA device; the values stay the same.

    Args:
        net: changed in place.
        device: where it is trained.
        back: store them as they were.
    """
    if is_cuda(device):
        form = torch.contiguous_format if back else torch.channels_last
        net.to(memory_format=form)  # pyright: ignore[reportCallIssue]


def repeated_blocks(net: nn.Module) -> list[nn.Module]:
    """Return the outermost blocks of a network that occur more than once: layers together, of a class that torch lacks.

    Example:
        >>> from imagelab.generators.cascade_net import CoarseNet
        >>> [type(block).__name__ for block in repeated_blocks(CoarseNet(8, 4, 16, 3))]
        ['DenseBlock', 'DenseBlock', 'DenseBlock']
    """
    blocks = [module for module in net.modules() if not type(module).__module__.startswith("torch.nn.")]
    counts = Counter(type(block) for block in blocks if next(block.children(), None) is not None)
    found: list[nn.Module] = []

    def search(module: nn.Module) -> None:
        for child in module.children():
            if counts[type(child)] > 1:
                found.append(child)
            else:
                search(child)

    search(net)
    return list(dict.fromkeys(found))


@contextmanager
def blocks_compiled(net: nn.Module | None, context: RunContext) -> Iterator[list[nn.Module]]:
    """Compile the repeated blocks of a network for the block of code, where the context asks for it.

    Nothing is compiled before a block is called with its first input; errors of the compiler come from there.

    Args:
        net: the network; None for none.
        context: its ``kernels.compile``.

    Yields:
        The blocks that are compiled.
    """
    blocks = repeated_blocks(net) if net is not None and context.kernels.compile else []
    if not blocks:
        yield []
        return
    # torch forbids forked processes (runs/workers.py) a backward pass if its compiler was loaded before the first one
    torch.zeros((), requires_grad=True).backward()
    from torch._dynamo import config

    with config.patch(recompile_limit=RECOMPILATIONS):  # pyright: ignore[reportAttributeAccessIssue]
        for block in blocks:
            block.compile(backend=BACKEND, dynamic=False)
        try:
            yield blocks
        finally:
            for block in blocks:
                block._compiled_call_impl = None


def drawn_on_host(high: int, count: int, noise: torch.Generator) -> list[int]:
    """Return whole numbers 0..high - 1 for the host, the same for the same seed of the noise source.

    Args:
        high: above the largest number.
        count: how many.
        noise: the noise source of the step. One of the CPU is advanced; of a CUDA device only the seed is taken.

    Raises:
        NotRecordable: inside of :func:`no_host_draws`.

    Example:
        >>> drawn_on_host(1, 2, torch.Generator())
        [0, 0]
    """
    if _RECORDED.get():
        raise NotRecordable("the host chooses the crops of each step")
    if noise.device.type != "cpu":
        noise = torch.Generator().manual_seed(noise.initial_seed())
    return torch.randint(high, (count,), generator=noise).tolist()


@contextmanager
def no_host_draws() -> Iterator[None]:
    """Let :func:`drawn_on_host` refuse: what a graph records would keep the numbers of the first step."""
    token = _RECORDED.set(True)
    try:
        yield
    finally:
        _RECORDED.reset(token)


def first_line(error: BaseException) -> str:
    """Return the kind and the first line of an error, for a sentence of the log, at most 200 letters.

    Example:
        >>> first_line(RuntimeError("the backend raised:" + chr(10) + "OSError: no compiler" + chr(10) + "its trace"))
        'RuntimeError: the backend raised: OSError: no compiler'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {said}"[:200]
