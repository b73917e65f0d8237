"""What a device reaches: its own peak, and the training and sampling of the recipes that come with the package.

    share of peak = images a second x floating-point operations an image / operations a second of a matrix product

The peak is measured, in the precision that the work uses, not taken from a data sheet. Operations are counted while
they run (matrix products and convolutions, the backward pass included), not estimated. A small share means that the
device waits: for the host that launches small kernels, or for memory.

Networks are trained on noise: speed does not depend on the images. Of a recipe that trains several parts, the last one
is timed, which takes most of the time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..generators import Cascade, Ddpm, Generator, Interrupted, LatentDiffusion, Model, RunContext, Vae
from ..seeds import image_seeds, rng_at

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..generators.training import Loss, Plan

__all__ = [
    "BenchSubject",
    "Peak",
    "Throughput",
    "bench_subject",
    "drawing_operations",
    "measured_peak",
    "operations_of",
    "sampling_spans",
    "timed_recipes",
    "timed_throughput",
    "training_operations",
    "training_spans",
]

IMAGES = 512
"""Images of noise that a network is trained on."""

WARM_STEPS = 6
"""Steps of a training that are not timed: compilation, the recording of a graph, the choice of kernels."""

SPARE = 0.9
"""Share of the memory of a device that an estimated batch may fill."""


@dataclass(frozen=True)
class Peak:
    """What a device reaches in the simplest work.

    Attributes:
        low: operations a second of a matrix product in bfloat16; on a CPU in float32, in which it trains.
        single: the same in float32, with TF32 where sampling may use it.
        copies: bytes a second, read and written, of a copy within the device's memory.
    """

    low: float
    single: float
    copies: float


@dataclass(frozen=True)
class BenchSubject:
    """The part of a recipe that is timed.

    Attributes:
        part: the network that is trained.
        loss: its loss.
        plan: its plan.
        data: its training data.
        model: what samples.
    """

    part: nn.Module
    loss: Loss
    plan: Plan
    data: np.ndarray
    model: Model


@dataclass(frozen=True)
class Throughput:
    """The speed of one recipe in training or sampling.

    Attributes:
        name: of the recipe, with the side of the images.
        work: "training" or "sampling".
        batch: images at once.
        rate: images a second, median of the spans that were timed.
        slowest: of these spans.
        fastest: of these spans.
        operations: floating-point operations an image.
        share: of the measured peak.
        image_bytes: memory of the device that an image of a batch takes; None on a CPU.
        fits: images of a batch that would fit, estimated from ``image_bytes``; None on a CPU.
    """

    name: str
    work: str
    batch: int
    rate: float
    slowest: float
    fastest: float
    operations: float
    share: float
    image_bytes: float | None = None
    fits: int | None = None


def timed_recipes(device: str) -> dict[str, tuple[Generator, int]]:
    """Return the recipes that are timed on a device: name -> (recipe, side of its images in px)."""
    from ..generators.ddpm import RECIPES

    named: dict[str, tuple[Generator, int]] = {
        "vae": (Vae(), 64),
        "ddpm cpu-32": (RECIPES["cpu-32"], 32),
        "cascade": (Cascade(), 64),
        "latent diffusion": (LatentDiffusion(), 64),
    }
    return named if device == "cpu" else {**named, "ddpm gpu-64": (RECIPES["gpu-64"], 64)}


def measured_peak(context: RunContext, seconds: float = 2.0, side: int = 0) -> Peak:
    """Return the peak of a device, the best of many trials.

    Args:
        context: device and precision.
        seconds: for each of the three measurements.
        side: of the square matrices; 0 for one that fills the device.
    """
    import torch

    from ..generators.kernels import is_cuda, precision_of, trains_in_bfloat16

    side = side or (8192 if is_cuda(context.device) else 1024)

    def product(dtype: torch.dtype) -> float:
        left, right = (torch.randn(side, side, device=context.device).to(dtype) for _ in range(2))
        return 2 * side**3 / _fastest(lambda: left @ right, context.device, seconds)

    source = torch.randn(256 * 64 * side, device=context.device)  # 64 MB and more: larger than a cache
    target = torch.empty_like(source)
    copies = 2 * source.nbytes / _fastest(lambda: target.copy_(source), context.device, seconds)
    with precision_of(context):
        single = product(torch.float32)
        return Peak(product(torch.bfloat16) if trains_in_bfloat16(context) else single, single, copies)


def bench_subject(recipe: Generator, side: int, context: RunContext, seed: int = 0) -> BenchSubject:
    """Return what is timed of a recipe: its last part before training, and the model that samples with it.

    Args:
        recipe: a Vae, Ddpm, Cascade or LatentDiffusion.
        side: of the images, px.
        context: its device.
        seed: of the weights and of the images of noise.

    Raises:
        TypeError: for a recipe of another kind.
    """
    images = rng_at(seed, "bench").integers(0, 256, (IMAGES, 3, side, side), np.uint8)
    if isinstance(recipe, Vae | Ddpm):
        from ..generators.vae import solve_upper_level

        net: Any = recipe.blank(images, seed)
        net.to(context.device)
        if isinstance(recipe, Vae):
            solve_upper_level(net, images, seed, context)
        return BenchSubject(
            net, *recipe.training(net, recipe.images_seen), images, recipe.finished(net, images, seed, context)
        )
    if isinstance(recipe, Cascade):
        from ..generators.cascade import CascadeModel
        from ..generators.cascade_closed_forms import solve_closed_forms

        cascade = recipe._net(images, seed)
        cascade.to(context.device)
        stage = recipe._stages(cascade, images, solve_closed_forms(cascade, images, recipe.mirror, context))[-1]
        return BenchSubject(stage.part, stage.loss, stage.plan, stage.data, CascadeModel(cascade, recipe, context))
    if isinstance(recipe, LatentDiffusion):
        from ..generators.latent import LatentModel

        nets, _ = recipe._begun(images, seed, context, None)
        upper, last = recipe._stages(nets, images, context, kept=True)
        upper.prepare()  # sets the closed form of the upper prior
        loss, data = last.prepare()
        return BenchSubject(last.part, loss, last.plan, data, LatentModel(nets, recipe, context))
    raise TypeError(f"bench_subject: expected a Vae, Ddpm, Cascade or LatentDiffusion, got {type(recipe).__name__}")


def timed_throughput(
    name: str, recipe: Generator, side: int, peak: Peak, context: RunContext, seconds: float = 5.0
) -> Iterator[Throughput]:
    """Yield the speed of a recipe in training, then in sampling.

    Args:
        name: what it is called.
        recipe: see :func:`bench_subject`.
        side: of the images, px.
        peak: of the device.
        context: device, sampling batch and kernels.
        seconds: of timed work for each; at least one batch is timed.
    """
    subject = bench_subject(recipe, side, context)
    plain = replace(context, kernels=replace(context.kernels, compile=False, graphs=False))  # operations can be counted
    count = training_operations(subject, plain)
    spans = training_spans(subject, context, seconds)
    image_bytes, fits = _memory(lambda batch: _train(subject, batch, batch, plain), subject.plan.batch, context)
    yield _throughput(f"{name}, {side} px", "training", subject.plan.batch, spans, count, peak.low, image_bytes, fits)
    from ..generators.sampling import block_size

    subject.part.eval().requires_grad_(False)
    batch = block_size(side**2) if context.device == "cpu" else context.batch
    model: Any = subject.model
    counted = replace(model, context=plain)
    count = drawing_operations(counted)
    spans = sampling_spans(model, batch, context, seconds)
    image_bytes, fits = _memory(lambda size: counted.sample(_seeds(size)), batch, context)
    yield _throughput(f"{name}, {side} px", "sampling", batch, spans, count, peak.single, image_bytes, fits)


def _throughput(
    name: str,
    work: str,
    batch: int,
    rates: list[float],
    operations: float,
    peak: float,
    image_bytes: float | None,
    fits: int | None,
) -> Throughput:
    rate = statistics.median(rates)
    share = rate * operations / peak
    return Throughput(name, work, batch, rate, min(rates), max(rates), operations, share, image_bytes, fits)


def _train(subject: BenchSubject, images_seen: int, batch: int, context: RunContext) -> None:
    from ..generators.training import train

    plan = replace(subject.plan, images_seen=images_seen, batch=batch)
    train(subject.part, subject.loss, subject.data, plan, 0, context, "bench")


def training_spans(subject: BenchSubject, context: RunContext, seconds: float, spans: int = 3) -> list[float]:
    """Return images a second in each of some equal spans of a training that has warmed up."""
    marks: list[tuple[float, int]] = []
    steps = 0

    def stop() -> bool:
        """Note the time at the ends of spans; the host may be ahead of the device, which is waited for there."""
        nonlocal steps
        steps += 1
        if steps <= WARM_STEPS:
            return False
        if not marks or time.perf_counter() - marks[-1][0] > seconds / spans:
            _wait(context.device)
            marks.append((time.perf_counter(), steps))
        return len(marks) > spans

    with suppress(Interrupted):
        _train(subject, 10**9, subject.plan.batch, replace(context, should_stop=stop))
    return [(then[1] - now[1]) * subject.plan.batch / (then[0] - now[0]) for now, then in pairwise(marks)]


def sampling_spans(model: Model, batch: int, context: RunContext, seconds: float) -> list[float]:
    """Return images a second of each batch. On a CUDA device a first one, which warms up, is not counted."""
    rates: list[float] = []
    if context.device != "cpu" or context.kernels.compile:
        model.sample(_seeds(batch))
    began = time.perf_counter()
    while not rates or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        model.sample(_seeds(batch))
        _wait(context.device)
        rates.append(batch / (time.perf_counter() - start))
    return rates


def _seeds(count: int) -> np.ndarray:
    return image_seeds(0, "bench", 0, 0, range(count))


def training_operations(subject: BenchSubject, context: RunContext) -> float:
    """Return the floating-point operations of a training step at the plan's batch, divided by the images of the batch.

    Some operations are done once a step: Muon's products of weights, for example. So steps of two and of four images
    are counted, and the part that does not grow is shared among the images of the batch. Operations of compiled blocks
    and of graphs cannot be counted: the context must ask for neither.
    """
    two, four = (operations_of(lambda size=size: _train(subject, size, size, context)) for size in (2, 4))
    an_image = (four - two) / 2
    return an_image + (two - 2 * an_image) / subject.plan.batch


def operations_of(work: Callable[[], object]) -> float:
    """Return the floating-point operations of work: of its matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counts:
        work()
    return float(counts.get_total_flops())


def drawing_operations(model: Any) -> float:
    """Return the floating-point operations of drawing an image: of a batch of two, without a block to be filled up."""
    import torch

    with torch.inference_mode():
        return operations_of(lambda: model._draw(_seeds(2))) / 2


def _memory(work: Callable[[int], object], batch: int, context: RunContext) -> tuple[float | None, int | None]:
    """Return the memory that an image of a batch takes, in bytes, and the batch that fits; None on a CPU.

    The two peaks of batches of a quarter and of a half are compared: what they have in common is the network's.
    """
    if not context.device.startswith("cuda"):
        return None, None
    import torch

    sizes = max(1, batch // 4), max(2, batch // 2)
    peaks = []
    for size in sizes:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)
        work(size)
        peaks.append(torch.cuda.max_memory_allocated(context.device))
    each = max(1.0, (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]))
    alone = peaks[0] - each * sizes[0]
    whole = torch.cuda.get_device_properties(context.device).total_memory
    return each, max(1, int((SPARE * whole - alone) / each))


def _fastest(work: Callable[[], Tensor], device: str, seconds: float) -> float:
    """Return the seconds of the fastest of many trials."""
    work()
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds:
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def _wait(device: str) -> None:
    """Wait until a CUDA device has done what was launched; a CPU has."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
