"""The passes of a training step: forward, backward, and the clipping of the gradient. The host reads no number of it.

Three forms give the same gradients: operation by operation; with compiled blocks (kernels.py); and recorded as a CUDA
graph, which is replayed for each batch with one call of the host (step_graph.py). A form that fails is left before the
first weight is changed, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from .base import RunContext
from .kernels import NotRecordable, first_line, is_cuda

if TYPE_CHECKING:
    from .data_parallel import SharedLoss

__all__ = ["CompiledPasses", "GradientPasses", "Passes", "passes_of", "unchanged"]

log = logging.getLogger(__name__)


class GradientPasses(Protocol):
    """What computes the gradients of a batch, into ``grad`` of each parameter.

    Attributes:
        owns_gradients: whether the gradients lie in memory that belongs to a graph, so that nobody may free them.
    """

    @property
    def owns_gradients(self) -> bool:
        """See above."""
        ...

    def __call__(self, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and its parts with the norm of the gradient before clipping; all on the device."""
        ...


@dataclass
class Passes:
    """The passes, operation by operation.

    Attributes:
        accelerator: an accelerate.Accelerator: precision and clipping.
        net: the net that is trained.
        clip: largest norm of the gradient.
        loss: (batch, noise) -> (loss, parts); with several processes the DistributedDataParallel of ``shared``.
        noise: the noise source, seeded by the caller before each step.
        shared: the loss that processes share, None for one process.
        owns_gradients: False.
    """

    accelerator: Any
    net: nn.Module
    clip: float
    loss: Any
    noise: torch.Generator
    shared: SharedLoss | None = None
    owns_gradients: bool = False

    def __call__(self, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`GradientPasses`."""
        with self.accelerator.autocast():
            value, terms = self.loss(batch, self.noise)
        self.accelerator.backward(value)
        average = value.detach() if self.shared is None else self.shared.average()
        norm = self.accelerator.clip_grad_norm_(self.net.parameters(), self.clip)
        return average, {**terms, "gradient": value.new_zeros(()) if norm is None else norm}


@contextmanager
def unchanged(passes: Passes) -> Iterator[None]:
    """Restore buffers, noise source and the absence of gradients after a step that is only tried.

    Args:
        passes: whose net and noise source are restored.
    """
    kept = [buffer.clone() for buffer in passes.net.buffers()]
    seed = passes.noise.initial_seed()
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(passes.net.buffers(), kept, strict=True):
                buffer.copy_(before)
        passes.net.zero_grad(set_to_none=True)
        passes.noise.manual_seed(seed)


class CompiledPasses:
    """Passes through a net whose blocks are compiled when they are called first.

    Args:
        passes: the passes.
        blocks: the compiled blocks. If the first step fails they become plain modules again, and it is taken anew.
        alone: whether one process trains. With several a failure is raised, because the others wait for this one.
    """

    owns_gradients = False

    def __init__(self, passes: Passes, blocks: list[nn.Module], alone: bool) -> None:
        self._passes, self._blocks, self._alone, self._size = passes, blocks, alone, 0

    def __call__(self, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`GradientPasses`. A batch of another size than the first is computed without compiled blocks."""
        if self._size:
            odd = len(batch) != self._size
            with torch.compiler.set_stance("force_eager") if odd and self._blocks else nullcontext():
                return self._passes(batch)
        if self._alone:
            self._try(batch)
        self._size = len(batch)
        return self._passes(batch)

    def _try(self, batch: Tensor) -> None:
        """Compile, by a step that changes nothing; give it up where that fails."""
        try:
            with unchanged(self._passes):
                self._passes(batch)
        except NotRecordable:
            raise
        except Exception as error:  # compilers fail with any kind of error; one of ours comes again below
            log.warning("torch.compile failed (%s); the training goes on without it", first_line(error))
            for block in self._blocks:
                block._compiled_call_impl = None
            self._blocks = []


def passes_of(plain: Passes, blocks: list[nn.Module], context: RunContext) -> GradientPasses:
    """Return the passes in the form that the context asks for.

    Args:
        plain: the passes, operation by operation.
        blocks: the compiled blocks of its net, see :func:`~imagelab.generators.kernels.blocks_compiled`.
        context: device, ``kernels`` and group.
    """
    alone = context.group.size == 1
    passes: GradientPasses = CompiledPasses(plain, blocks, alone) if blocks else plain
    if not context.kernels.graphs or not is_cuda(context.device):
        return passes
    if not alone:
        log.warning("a training of several processes is not recorded as a CUDA graph; it goes on step by step")
        return passes
    from .step_graph import GraphedPasses

    return GraphedPasses(passes, plain)
