"""A training step as a CUDA graph: the passes are recorded once, and each step replays them with one call of the host.

Small networks are limited by the host, which launches thousands of kernels a step. A replay launches all of them at
once. The optimiser and the average of the weights stay outside: they are a few fused kernels, and their rates change
with every step.

The noise. The graph registers the noise source of the training. Seeding it is an operation of the host that waits for
nothing, and each replay first writes its seed and offset to where the kernels of the graph read them. So the noise of
step n still depends on (seed, n) only, and it is the noise of the step without a graph.

A graph repeats what it has recorded, right or wrong. Therefore it is only used after two replays, with different noise,
have given the loss and the gradient's norm of the same two steps computed operation by operation. A loss that draws
numbers for the host (the crops of a VAE and of a cascade) cannot be recorded. In each of these cases the log says why,
and the training goes on step by step.

References:
    PyTorch, CUDA semantics, "CUDA graphs", https://docs.pytorch.org/docs/stable/notes/cuda.html.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor

from .kernels import NotRecordable, first_line, no_host_draws
from .passes import GradientPasses, Passes, unchanged

__all__ = ["TOLERANCE", "GraphedPasses", "recorded_on_cuda"]

log = logging.getLogger(__name__)

TOLERANCE = 0.02
"""Largest difference, as a share, between the loss or the gradient's norm of a replay and of the same step without a
graph. Kernels add in another order each time; a wrong batch or wrong noise differs by more."""

SAME = 1e-4
"""Losses that differ by a smaller share do not tell one noise from another."""

WARM_UP = 3
"""Steps before the recording, on a stream of their own: libraries allocate and choose their kernels in them."""

Result = tuple[Tensor, dict[str, Tensor]]
Recorder = Callable[[Callable[[], Result], torch.Generator], tuple[Callable[[], None], Result]]
"""(work, noise source) -> (replay, the tensors that hold the result after each replay)."""


def recorded_on_cuda(work: Callable[[], Result], noise: torch.Generator) -> tuple[Callable[[], None], Result]:
    """Record work as a CUDA graph; return its replay, and the tensors of its result.

    Args:
        work: passes whose inputs keep their places in memory. It is executed a few times before it is recorded.
        noise: a CUDA generator that the work draws from.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(noise)
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # another thread may be gathering the next batch
        result = work()
    return graph.replay, result


class GraphedPasses:
    """Passes that are recorded at the first batch, and replayed for each batch of the same form.

    Args:
        passes: the passes to record, with or without compiled blocks.
        plain: the same, operation by operation: its net, its noise source.
        record: how work is recorded.
    """

    def __init__(self, passes: GradientPasses, plain: Passes, record: Recorder = recorded_on_cuda) -> None:
        self._passes, self._plain, self._record = passes, plain, record
        self._batch: Tensor | None = None
        self._replay: Callable[[], None] | None = None
        self._result: Result | None = None

    @property
    def owns_gradients(self) -> bool:
        """Whether the gradients lie in the graph's memory."""
        return self._replay is not None

    def __call__(self, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`~imagelab.generators.passes.GradientPasses`. A batch of another form is not replayed."""
        if self._batch is None:
            self._batch = batch.clone()
            try:
                self._begin(self._batch)
            except Exception as error:  # a driver may refuse in many ways; the step itself fails again below
                reason = str(error) if isinstance(error, NotRecordable) else first_line(error)
                log.warning("no CUDA graph of the training step (%s); it goes on step by step", reason)
                self._give_up()
        if self._replay is None or batch.shape != self._batch.shape:
            self._give_up()
            return self._passes(batch)
        self._batch.copy_(batch)
        self._replay()
        assert self._result is not None
        return self._result

    def _give_up(self) -> None:
        """Forget the graph and its gradients; the passes then allocate gradients of their own."""
        self._replay = self._result = None
        self._plain.net.zero_grad(set_to_none=True)

    def _begin(self, batch: Tensor) -> None:
        """Warm up, record, and compare replays with the steps themselves; buffers and noise are restored."""
        net, noise = self._plain.net, self._plain.noise

        def work() -> Result:
            net.zero_grad(set_to_none=True)  # the backward pass then allocates gradients, and does not add to them
            return self._passes(batch)

        seeds = (noise.initial_seed(), noise.initial_seed() ^ 1)
        expected = [self._numbers(seed, work) for seed in seeds]
        with unchanged(self._plain):
            replay, result = self._record(work, noise)
            gradients = [parameter.grad for parameter in net.parameters()]

        def replayed() -> Result:
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter.grad = gradient
            replay()
            return result

        found = [self._numbers(seed, replayed) for seed in seeds]
        _compare(expected, found)
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self._replay, self._result = replay, result

    def _numbers(self, seed: int, work: Callable[[], Result]) -> list[float]:
        """Return loss and norm of the gradient of a step that is only tried."""
        with unchanged(self._plain), no_host_draws():
            self._plain.noise.manual_seed(seed)  # restored by the block
            value, terms = work()
            return [float(value), float(terms["gradient"])]


def _compare(expected: list[list[float]], found: list[list[float]]) -> None:
    """Raise NotRecordable unless replays give the loss and the gradient of the steps themselves, each with its noise.

    Args:
        expected: of the same step with two seeds: loss, norm of the gradient.
        found: the same of the replays.
    """
    for first, then in zip(expected, found, strict=True):
        if not all(math.isclose(one, other, rel_tol=TOLERANCE) for one, other in zip(first, then, strict=True)):
            raise NotRecordable(f"its replay gives loss and gradient {then} in place of {first}")
    (one, _), (other, _), replayed = *expected, found[1][0]
    if abs(replayed - other) > abs(replayed - one) and not math.isclose(one, other, rel_tol=SAME):
        raise NotRecordable(f"its replay gives the loss {replayed} of other noise in place of {other}")
