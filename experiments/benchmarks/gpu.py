"""How fast are our training and sampling on a GPU, beside diffusers' own example in the same run?

Question:   images a second in training and in sampling of a Ddpm, of latent diffusion and of a Vae on a CUDA device, as
            they are and with compiled blocks and CUDA graphs, against diffusers' example of unconditional training (its
            loop, rewritten in rival_loops.py) and its DDIM pipeline, on the same network of 64 px.
Command:    python experiments/benchmarks/gpu.py               tests, timings; tables in runs/bench-gpu.md and .json
            python experiments/benchmarks/gpu.py --quick       tiny nets on a CPU, to see that it runs; no figure counts
            python experiments/benchmarks/gpu.py --no-tests    the timings alone
Hardware:   one CUDA device, under 10 minutes. `--quick`: one CPU core, a minute.
Expected:   the same network at least as fast in our loop as in diffusers', and at least 1.2 times with compiled blocks
            and a CUDA graph, because its example waits for the device in every step; sampling at least as fast as the
            pipeline; for the small networks of latent diffusion and Vae a share of the peak of a few per cent, because
            the host launches more than the device computes.
Refuted by: less. The program prints the ratios and their ranges; its exit code is 1 only where a GPU test failed.

How it is timed: the contenders take turns, forwards and then backwards through the list. Each turn warms up first, then
is timed until the device has finished. A ratio is that of a contender and of diffusers' loop in the same round; the
table has the median of the rounds and the range. Both train in bfloat16 with float32 weights, and sample with TF32.
diffusers' loop has worker processes for its images, and 128 batches in a pass; ours holds them on the device. The
operations of an image are counted: latent diffusion and Vae are other networks, and their ratio compares images, not
work.

Seen 2026-11-30: not yet run on a GPU; none was at hand. `--quick` ran on one busy core of 2 x Intel Xeon in 12 s: our
loop 1.25 (1.23 to 1.27) of diffusers' images a second with the same tiny net, which says nothing of a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from rival_loops import DiffusersLoop

from imagelab.generators import Ddpm, LatentDiffusion, RunContext, Vae
from imagelab.generators.base import Kernels
from imagelab.generators.ddpm import RECIPES
from imagelab.generators.kernels import precision_of
from imagelab.runs.throughput import (
    bench_subject,
    drawing_operations,
    measured_peak,
    operations_of,
    sampling_spans,
    training_operations,
    training_spans,
)
from imagelab.seeds import rng_at

THEIRS = "diffusers' loop, UNet2DModel"
PIPELINE = "diffusers' DDIMPipeline, UNet2DModel"
LIMIT = 520.0
"""Seconds after which no further round is begun."""

PASS = 128
"""Batches of one pass of diffusers' loop over its images: it waits for its workers whenever a pass begins."""

TESTS = "tests/generators/test_on_gpu.py"

PLAIN = Kernels()
FAST = Kernels(compile=True, graphs=True)


@dataclass
class Racer:
    """A contender: ``lap`` returns images a second, after a warm-up."""

    name: str
    operations: float  # an image
    lap: Callable[[], float]
    rates: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Sizes:
    """What is timed, and for how long."""

    ddpm: Ddpm
    latent: LatentDiffusion
    vae: Vae
    side: int
    seconds: float
    rounds: int
    batch: int


AS_THE_EXAMPLE = {"prediction": "epsilon", "schedule": "linear", "sampler": "ddim", "steps": 50}
FULL = Sizes(
    RECIPES["gpu-64"].model_copy(update=AS_THE_EXAMPLE),
    LatentDiffusion(),
    Vae(),
    64,
    3.0,
    5,
    256,
)
QUICK = Sizes(
    Ddpm(channels=(8, 16), blocks=1, batch=4, prediction="epsilon", schedule="linear", sampler="ddim", steps=2),
    LatentDiffusion(
        first_stage=Vae(latent=4, details=2, width=8, prior="normal"),
        width=16,
        blocks=2,
        detail_widths=(8, 8),
        batch=4,
        upper_batch=8,
        steps=1,
    ),
    Vae(latent=4, details=2, width=8, batch=4, crop=16),
    16,
    0.01,
    2,
    64,
)


def rivals_training(sizes: Sizes, device: str) -> Racer:
    """Return diffusers' loop."""
    images = rng_at(0, "bench").integers(0, 256, (PASS * sizes.ddpm.batch, 3, sizes.side, sizes.side), np.uint8)
    batch, workers = sizes.ddpm.batch, 0 if device == "cpu" else 8
    loop = DiffusersLoop(sizes.ddpm.blank(images, 0), images, batch, device=device, workers=workers)
    loop.advance(1)
    operations = operations_of(lambda: loop.advance(1)) / batch
    steps = 1

    def lap() -> float:
        nonlocal steps
        loop.advance(2)
        while True:
            waited(device)
            start = time.perf_counter()
            loop.advance(steps)
            waited(device)
            taken = time.perf_counter() - start
            if taken > sizes.seconds / 2:
                return steps * batch / taken
            steps *= 2

    return Racer(THEIRS, operations, lap)


def our_training(name: str, recipe: Any, sizes: Sizes, context: RunContext) -> Racer:
    """Return our training of a recipe's last part."""
    subject = bench_subject(recipe, sizes.side, context)
    operations = training_operations(subject, replace(context, kernels=PLAIN))
    return Racer(name, operations, lambda: training_spans(subject, context, sizes.seconds, 1)[0])


def rivals_sampling(sizes: Sizes, device: str) -> Racer:
    """Return diffusers' DDIM pipeline, in float32 and with TF32 as ours."""
    from diffusers import DDIMPipeline, DDIMScheduler

    net: Any = sizes.ddpm.blank(np.zeros((1, 3, sizes.side, sizes.side), np.uint8), 0)
    net.to(device).eval()
    pipeline: Any = DDIMPipeline(net, DDIMScheduler(num_train_timesteps=sizes.ddpm.noise_steps))
    pipeline.set_progress_bar_config(disable=True)

    def draw(count: int) -> None:
        with precision_of(RunContext(device=device)):  # as ours
            pipeline(batch_size=count, num_inference_steps=sizes.ddpm.steps, output_type="np")

    draw(2)

    def lap() -> float:
        waited(device)
        start = time.perf_counter()
        draw(sizes.batch)
        waited(device)
        return sizes.batch / (time.perf_counter() - start)

    return Racer(PIPELINE, operations_of(lambda: draw(2)) / 2, lap)


def our_sampling(name: str, recipe: Any, sizes: Sizes, context: RunContext) -> Racer:
    """Return our sampling with a recipe's networks."""
    model = bench_subject(recipe, sizes.side, context).model
    for net in (getattr(model, "net", None), getattr(model, "nets", None)):
        if isinstance(net, torch.nn.Module):
            net.eval().requires_grad_(False)
    plain: Any = replace(model, context=replace(context, kernels=PLAIN))  # pyright: ignore[reportArgumentType]
    operations = drawing_operations(plain)
    return Racer(
        name, operations, lambda: statistics.median(sampling_spans(model, sizes.batch, context, sizes.seconds / 2))
    )


def waited(device: str) -> None:
    """Wait until the device has done its work."""
    if device != "cpu":
        torch.cuda.synchronize()


def race(racers: list[Racer], rounds: int, late: Callable[[], bool]) -> None:
    """Let the contenders take turns, forwards and backwards."""
    for turn in range(rounds):
        if turn > 1 and late():
            print(f"stopped after {turn} of {rounds} rounds, because the time was over")
            return
        for racer in racers if turn % 2 == 0 else reversed(racers):
            racer.rates.append(racer.lap())


def table(title: str, racers: list[Racer], peak: float) -> list[str]:
    """Return the lines of a table; the first contender is the one that the others are compared with."""
    lines = [
        f"| {title} | GFLOP an image | images/s | of measured peak | images/s, of {racers[0].name}: median (range) |",
        "|---|---|---|---|---|",
    ]
    for racer in racers:
        ratios = [ours / theirs for ours, theirs in zip(racer.rates, racers[0].rates, strict=True)]
        rate = statistics.median(racer.rates)
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(
            f"| {racer.name} | {racer.operations / 1e9:.3g} | {rate:.4g} | {rate * racer.operations / peak:.3f} | "
            f"{ratio} |"
        )
    return lines


def run_tests() -> bool:
    """Run the tests that need a GPU, and print how they end; return whether they passed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / TESTS).is_file():
        print(f"GPU tests: {TESTS} is not here; they are part of a checkout")
        return True
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", TESTS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    print(f"GPU tests: {(done.stdout.strip().splitlines() or ['no output'])[-1]}")
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode == 0


def trainings(sizes: Sizes, context: RunContext) -> list[Racer]:
    """Return the contenders in training, diffusers' loop first."""
    quick = replace(context, kernels=FAST)
    compiled, graphed = (replace(context, kernels=each) for each in (Kernels(compile=True), Kernels(graphs=True)))
    wanted: list[tuple[str, Any, RunContext]] = [("our loop, the same net", sizes.ddpm, context)]
    if context.device != "cpu":
        wanted += [
            ("our loop, the same net, compiled", sizes.ddpm, compiled),
            ("our loop, the same net, graph", sizes.ddpm, graphed),
            ("our loop, the same net, compiled, graph", sizes.ddpm, quick),
        ]
    wanted.append(("latent diffusion, detail prior", sizes.latent, context))
    wanted.append(("Vae", sizes.vae, context))
    if context.device != "cpu":
        wanted.append(("latent diffusion, compiled, graph", sizes.latent, quick))
        wanted.append(("Vae, compiled", sizes.vae, compiled))
    ours = [our_training(name, recipe, sizes, how) for name, recipe, how in wanted]
    return [rivals_training(sizes, context.device), *ours]


def samplings(sizes: Sizes, context: RunContext) -> list[Racer]:
    """Return the contenders in sampling, diffusers' pipeline first."""
    wanted: list[tuple[str, Any, RunContext]] = [("our sampling, the same net", sizes.ddpm, context)]
    if context.device != "cpu":
        wanted.append(
            ("our sampling, the same net, compiled", sizes.ddpm, replace(context, kernels=Kernels(compile=True)))
        )
    wanted += [("latent diffusion", sizes.latent, context), ("Vae", sizes.vae, context)]
    ours = [our_sampling(name, recipe, sizes, how) for name, recipe, how in wanted]
    return [rivals_sampling(sizes, context.device), *ours]


def main() -> int:
    """Run the tests, then the races; print and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny nets on a CPU, to see that it runs")
    parser.add_argument("--no-tests", action="store_true", help="leave the GPU tests out")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-gpu.json"))
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    began = time.monotonic()
    if not asked.quick and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here; --quick shows on a CPU that the program runs")
    sizes, device = (QUICK, "cpu") if asked.quick else (FULL, "cuda")
    if asked.quick:
        torch.set_num_threads(1)
    torch.manual_seed(0)  # diffusers' loop draws from the global generator
    passed = True if asked.quick or asked.no_tests else run_tests()
    context = RunContext(device, sizes.batch)
    where = machine() if device == "cpu" else f"{torch.cuda.get_device_name()}; {machine()}"
    peak = measured_peak(context, sizes.seconds, 64 if asked.quick else 0)
    lines = [
        f"**{where}**",
        f"measured peak: {peak.low / 1e12:.3g} TFLOP/s in bfloat16 (CPU: float32), {peak.single / 1e12:.3g} in float32 "
        f"with TF32, copies {peak.copies / 1e9:.3g} GB/s",
        "",
    ]
    record: dict[str, Any] = {"machine": where, "quick": asked.quick, "peak": asdict(peak), "tests_passed": passed}
    for title, make, above in (("training", trainings, peak.low), ("sampling", samplings, peak.single)):
        racers = make(sizes, context)
        race(racers, sizes.rounds, lambda: time.monotonic() - began > LIMIT)
        lines += [*table(title, racers, above), ""]
        record[title] = [{"name": r.name, "operations": r.operations, "rates": r.rates} for r in racers]
    record["seconds"] = time.monotonic() - began
    print("\n".join(lines))
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(record, indent=1) + "\n")
    asked.output.with_suffix(".md").write_text("\n".join(lines))
    print(f"written: {asked.output} and {asked.output.with_suffix('.md')} after {record['seconds']:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
