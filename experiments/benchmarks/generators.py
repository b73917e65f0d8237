"""Is our training faster than the usual alternatives, and does it reach better pictures sooner?

Question:   training images a second, operations an image, sampling images a second, peak memory and seconds to a stated
            quality, at 32 px: our loop and networks against diffusers' example of unconditional training (its loop,
            rewritten here) and the Trainer of denoising-diffusion-pytorch, at the same network and at about .7 M
            parameters; and our cascade and latent diffusion model, which are of other sizes.
Command:    python experiments/benchmarks/generators.py                        everything; JSON in runs/
            python experiments/benchmarks/generators.py --quick                small sizes, to see that it runs
            python experiments/benchmarks/generators.py --only train sample    these parts only
Needs:      `pip install denoising-diffusion-pytorch` for its rows; without it the rows say so, and the rest goes on
Hardware:   one CPU core, a quarter of an hour; rendering the faces takes a minute the first time and is not counted.
Expected:   the same network at least as fast in our loop as in diffusers'; our patch network at least 5 times diffusers
            and 15 times denoising-diffusion-pytorch; 20 steps of SDE-DPM-Solver++ on the levels of Karras
            et al. at least 50 times as fast as 1,000 ancestral ones, at a kernel distance within 10 % of theirs; half
            of the matrix-product rate; the stated quality in a third of diffusers' seconds.
Refuted by: less: the program prints MISSED beside the target. Its exit code is 0 all the same; a timing is no error.

How it is timed: one thread, CPU seconds of this process, so that other programs matter little (workers that
denoising-diffusion-pytorch starts for its files are not counted, which favours it). The contenders train in turn,
forwards and then backwards through the list, and a matrix product is timed in between; the table has medians over the
rounds. All take batches of 32 and read the same faces. Operations are counted, not estimated: those of a step forwards
and backwards, for each image. Equal parameters are not equal work: the patch network is faster because it does a
seventh of the operations.

The stated quality is .8 of the kernel distance of the closed forms (a Gaussian or the untrained patch network,
whichever is nearer): chosen from tuning on other faces, where the patch network needed some 30,000 images for it,
before any comparison was run. Our patch network is given 25 and 50 core-seconds, the cascade 50, the two rivals 50 and
160; where diffusers has not reached the quality by then, its 160 are a lower bound. Patch network and diffusers' are
drawn from with 20 even steps of dpm++ and with 20 of SDE-DPM-Solver++ on the levels of Karras et al. (the sampler that
experiments/studies/samplers.py found at 64 px on other faces); what reaches the quality first counts, for both.
denoising-diffusion-pytorch draws from its averaged weights with its own sampler, 50 steps of DDIM.
The latent model has fixed lengths, chosen by a trial on the faces of seed 2026 (2026-11-30, load 2 to 3, 384 images
drawn): the recipe taken needed 45.5 core-seconds for first stage and priors and gave a kernel distance of .17; one with
the default widths and 6,000 images for the detail prior 74.9, and .17 as well. Copies by the first stage have .12. Two
more recipes of the trial were not reached.

Seen 2026-11-30, one thread of 2 x Intel Xeon, shared with other jobs (load 3 to 4.3), one seed; torch 2.15.0, diffusers
0.42.1, denoising-diffusion-pytorch 2.3.4; medians of four rounds (latent prior 368 to 707):
  training                        parameters   MF an image   images/s   of diffusers   of matrix rate   peak MB
  diffusers' loop, UNet2DModel    .69 M        583           99.2       1              .41              349
  our loop, the same net          .69 M        583           93.1       .94            .38              193
  our loop, patch U-Net           .68 M        84            583        5.9            .33              122
  our loop, cascade's detail net  1.05 M       324           188        1.9            .44              164
  our loop, latent detail prior   .28 M        72            574        5.8            .29              138
  denoising-diffusion-pytorch     .72 M        836           31.7       .32            .18              694
Sampling, images/s: patch network 1.1 with 1,000 steps of ddpm, 58 with 20 even ones of dpm++ (53 times), 55 with 20 of
sde-dpm++ on Karras' levels (50.4 times), 32 with 18 of Heun, 24 with 50 of DDIM; UNet2DModel .14, 8.0, 8.0, 4.1, 2.6;
the cascade 18, the latent model 53.
Kernel distance to held-out faces (other real faces -.01, closed-form Gaussian .46, untrained patch network .45; 384
images drawn, by diffusers 192):
  latent model                    .17 at 34 s
  cascade                         .74 at 39 s
  patch network, dpm++            .44 at 30 s, .30 at 64 s
  patch network, sde-dpm++        .83 at 30 s, .65 at 64 s
  diffusers, dpm++                5.2e6 at 51 s, 5.5e6 at 161 s
  diffusers, sde-dpm++            5.5e6 at 51 s, 6.1e6 at 161 s
  denoising-diffusion-pytorch     3.7e5 at 52 s, its DDIM in 50 steps, 128 images
The level of .36 is reached by the latent model in 34 s, by the patch network in 64 s (50 by the rates of the training
race), by diffusers not in 161 (at least 4.8 times sooner), by denoising-diffusion-pytorch not in 52. Its 160 s were not
measured: the run was stopped for lack of time before. The controls and the next three distances are therefore not from
its printed end, but were read from the variables of the running process.
From the same noise of the patch network of 64 s (128 images): 20 even steps of dpm++ .41, 20 of sde-dpm++ on Karras'
levels .57, 1,000 of ddpm .19.
MISSED: the sampler. What experiments/studies/samplers.py found at 64 px does not hold here: 1,000 steps draw at a third
(.33) of the distance of 20 steps of sde-dpm++, which is worse than even dpm++. So neither 50.4 nor 53 times is at equal
quality; no others of few steps were tried at 32 px. MISSED: the same network at .94 of diffusers, which its rounds do
not tell from a tie (ours 79 to 103 images/s, diffusers 84 to 102). MISSED: .33 of the matrix rate.
Met: 5.9 times diffusers, 18.4 times denoising-diffusion-pytorch, 50.4 times 1,000 steps, the quality at least 4.8
times sooner.

Seen 2026-11-23, one thread of 2 x AMD EPYC, quiet; torch 2.15, diffusers 0.42; images/s: diffusers' loop 99.7, ours on
the same net 99.3, patch network 746 (7.5 times diffusers, 22.8 times denoising-diffusion-pytorch, .67 of the matrix
rate), cascade's detail net 224, denoising-diffusion-pytorch 33. Sampling: patch network 2.1 with 1,000 steps, 117 with
20 of dpm++ (55 times). Kernel distances: patch network .37 at 25 s, .28 at 52 s, so that the level of .36 was reached
at least 3.1 times sooner than by diffusers. MISSED then: the same network (.996, a tie), and dpm++ against 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generator_quality import race_quality, show_quality
from generator_recipes import (
    BATCH,
    CASCADE,
    DETAIL,
    LATENT,
    LUCID,
    NEW,
    OWN,
    PATCH,
    SAME,
    SEED,
    STAGE,
    THEIRS,
    UNET,
    WALKS,
    shortened,
    walking,
)
from machine import machine, memory, product_rate, settled_bytes
from rival_loops import DiffusersLoop, lucid_loop
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from imagelab.data import Faces
from imagelab.generators import Ddpm, Model, RunContext
from imagelab.generators.cascade_closed_forms import solve_closed_forms
from imagelab.generators.ddpm import DdpmModel
from imagelab.generators.latent import UPPER_STEPS
from imagelab.generators.training import Loss, Plan, train
from imagelab.seeds import image_seeds

TARGETS = {  # (what, at least)
    "same network, ours / diffusers": 1.0,
    "own network / diffusers": 5.0,
    "own network / denoising-diffusion-pytorch": 15.0,
    f"sampling, 20 of {NEW} / 1000 of ddpm, own network": 50.0,
    "share of the matrix-product rate, own network": 0.5,
    f"kernel distance, 1000 of ddpm / 20 of {NEW}, own network": 0.9,
    "seconds to the quality, diffusers / ours": 3.0,
}


@dataclass(frozen=True)
class Contender:
    """A training under test: ``advance(k)`` takes k steps of 32 images more; ``net`` is what it trains."""

    name: str
    net: nn.Module
    advance: Callable[[int], object]


@dataclass
class Row:
    """What was measured of one training; seconds are of one core."""

    name: str
    parameters: int
    operations: float  # an image, forwards and backwards
    peak_bytes: float
    rates: list[float] = field(default_factory=list)  # images a second
    shares: list[float] = field(default_factory=list)  # of the matrix-product rate

    @property
    def rate(self) -> float:
        """Median images a second."""
        return statistics.median(self.rates)


def our_loop(name: str, recipe: Ddpm, images: np.ndarray) -> Contender:
    """Return our loop on the recipe's net."""
    net = recipe.blank(images, SEED)
    loss, _ = recipe.training(net, recipe.images_seen)
    return Contender(name, net, lambda steps: train(net, loss, images, plan_of(recipe, steps), SEED, RunContext(), ""))


def part_of_ours(name: str, part: nn.Module, loss: Loss, images: np.ndarray, plan: Plan) -> Contender:
    """Return our loop on one part of a generator."""

    def advance(steps: int) -> object:
        taken = replace(plan, batch=BATCH, images_seen=steps * BATCH)
        return train(part, loss, images, taken, SEED, RunContext(), "")

    return Contender(name, part, advance)


def our_stage(images: np.ndarray) -> Contender:
    """Return our loop on the cascade's last detail stage."""
    net = CASCADE._net(images, SEED)
    stage = CASCADE._stages(net, images, solve_closed_forms(net, images, CASCADE.mirror, RunContext()))[-1]
    return part_of_ours(STAGE, stage.part, stage.loss, images, stage.plan)


def our_prior(images: np.ndarray) -> Contender:
    """Return our loop on the latent model's detail prior, whose first stage, untrained here, encodes each batch."""
    net, _ = LATENT._begun(images, SEED, RunContext(), None)
    stage = LATENT._stages(net, images, RunContext(), kept=False)[-1]
    return part_of_ours(DETAIL, stage.part, stage.prepare()[0], images, stage.plan)


def plan_of(recipe: Ddpm, steps: int) -> Plan:
    """Return a training of so many steps."""
    return Plan(steps * BATCH, BATCH, recipe.learning_rate, ema=recipe.ema)


def contenders(images: np.ndarray, folder: Path) -> Iterator[Callable[[], Contender]]:
    """Yield what builds each contender."""

    def theirs() -> Contender:
        loop = DiffusersLoop(UNET.blank(images, SEED), images, BATCH)
        return Contender(THEIRS, loop.net, loop.advance)

    yield theirs
    yield lambda: our_loop(SAME, UNET, images)
    yield lambda: our_loop(OWN, PATCH, images)
    yield lambda: our_stage(images)
    yield lambda: our_prior(images)
    yield lambda: Contender(LUCID, *lucid_loop(images, folder, BATCH))


def build(maker: Callable[[], Contender]) -> tuple[Contender, Row]:
    """Return a contender that has taken its first steps, and its memory and operations."""
    before = settled_bytes()
    made = maker()
    made.advance(1)
    peak = memory("VmHWM") - before
    with FlopCounterMode(display=False) as counts:
        made.advance(1)
    parameters = sum(part.numel() for part in made.net.parameters())
    return made, Row(made.name, parameters, counts.get_total_flops() / BATCH, peak)


def race_training(images: np.ndarray, rounds: int, seconds: float) -> list[Row]:
    """Return what was measured of every training, in alternating order."""
    with tempfile.TemporaryDirectory() as folder:
        running: list[tuple[Contender, Row, int]] = []
        for maker in contenders(images, Path(folder)):
            try:
                made, row = build(maker)
            except ImportError as error:
                print(f"left out: {error}")
                continue
            start = time.process_time()
            made.advance(2)
            running.append((made, row, max(1, round(2 * seconds / (time.process_time() - start)))))
        for turn in range(rounds):
            for made, row, steps in running if turn % 2 == 0 else reversed(running):
                product = product_rate()
                start = time.process_time()
                made.advance(steps)
                rate = steps * BATCH / (time.process_time() - start)
                row.rates.append(rate)
                row.shares.append(rate * row.operations / product)
    return [row for _, row, _ in running]


def race_sampling(images: np.ndarray, rounds: int, batch: int, thin: int = 1) -> list[tuple[str, str, int, float]]:
    """Return (net, sampler, evaluations of the net, images a second); of 1,000 steps 10 are taken and multiplied.

    ``thin`` takes only so many steps fewer of every sampler and multiplies, to see that it runs.
    """
    found: dict[tuple[str, str, int], list[float]] = {}
    context = RunContext(batch=batch)
    nets = {"UNet2DModel": UNET, "patch U-Net": PATCH}
    ready = {name: recipe.blank(images, SEED).eval() for name, recipe in nets.items()}
    cascade = replace(CASCADE.model_copy(update={"images_seen": 0}).fit(images, SEED, context), recipe=CASCADE)
    latent = replace(shortened(LATENT, 0).fit(images, SEED, context), recipe=LATENT)
    seeds = image_seeds(SEED, "sample", 1, 0, range(batch))

    def timed(key: tuple[str, str, int], model: Model, multiple: float) -> None:
        start = time.process_time()
        model.sample(seeds)
        found.setdefault(key, []).append(batch / (time.process_time() - start) / multiple)

    for _ in range(rounds):
        for name, recipe in nets.items():
            for sampler, (settings, evaluations) in WALKS.items():
                fewer = thin * (100 if settings["steps"] == 1000 else 1)
                model = walking(DdpmModel(ready[name], recipe, context), sampler, fewer)
                timed((name, sampler, evaluations), model, fewer)
        octaves = len(cascade.net.octaves)
        timed(("cascade", "heun", 2 * (CASCADE.coarse_steps + octaves * CASCADE.steps)), cascade, 1)
        timed(("latent", "heun", 2 * (UPPER_STEPS + LATENT.steps)), latent, 1)
    return [(*key, statistics.median(rates)) for key, rates in found.items()]


def show_training(rows: list[Row]) -> None:
    """Print the training table."""
    base = next(row.rate for row in rows if row.name == THEIRS)
    print("\n| training at batch 32 | parameters | MF an image | images/s | of diffusers | of matrix rate | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        share = statistics.median(row.shares)
        print(
            f"| {row.name} | {row.parameters / 1e6:.2f} M | {row.operations / 1e6:.0f} | {row.rate:.1f} | "
            f"{row.rate / base:.2f} | {share:.2f} | {row.peak_bytes / 1e6:.0f} |"
        )


def show_sampling(rows: list[tuple[str, str, int, float]]) -> None:
    """Print the sampling table."""
    print("\n| net | sampler | evaluations | images/s | of 1000 steps |\n|---|---|---|---|---|")
    base = {net: rate for net, _, evaluations, rate in rows if evaluations == 1000}
    for net, sampler, evaluations, rate in rows:
        multiple = f"{rate / base[net]:.0f}" if net in base else f"{rate / base['UNet2DModel']:.0f} (UNet2DModel)"
        print(f"| {net} | {sampler} | {evaluations} | {rate:.3g} | {multiple} |")


def figures(record: dict[str, Any]) -> dict[str, float | None]:
    """Return the value measured for each target; None if it was not measured or if ours did not reach the quality.

    A diffusers run that never reached it counts with the seconds it was given: the ratio is then a lower bound.
    """
    rates = {row["name"]: statistics.median(row["rates"]) for row in record.get("training", [])}
    shares = {row["name"]: statistics.median(row["shares"]) for row in record.get("training", [])}
    drawn = {(net, sampler): rate for net, sampler, _, rate in record.get("sampling", [])}
    quality = record.get("quality", {"reached": {}, "walks": {}, "curves": {THEIRS: [(None, None)]}})
    reached, longest = quality["reached"], quality["curves"][THEIRS][-1][0]

    def ratio(table: dict[Any, float | None], above: Any, below: Any) -> float | None:
        over, under = table.get(above), table.get(below)
        return None if over is None or under is None else over / under

    def soonest(*names: str) -> float | None:
        return min((reached[name] for name in names if reached.get(name) is not None), default=None)

    ours, theirs = soonest(OWN, f"{OWN}, {NEW}", "cascade", "latent"), soonest(THEIRS, f"{THEIRS}, {NEW}") or longest
    seen = (
        ratio(rates, SAME, THEIRS),
        ratio(rates, OWN, THEIRS),
        ratio(rates, OWN, LUCID),
        ratio(drawn, ("patch U-Net", NEW), ("patch U-Net", "ddpm")),
        shares.get(OWN),
        ratio(quality["walks"], "ddpm", NEW),
        ratio({"theirs": theirs, "ours": ours}, "theirs", "ours"),
    )
    return dict(zip(TARGETS, seen, strict=True))


def keep(record: dict[str, Any], place: Path) -> None:
    """Write what was measured so far as JSON, for a run that is interrupted."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(record, indent=1) + "\n")


def main() -> int:
    """Run the chosen comparisons, print their tables and targets, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=["train", "sample", "quality"], help="the comparisons to run")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-generators.json"))
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)  # the other packages draw from the global generator
    chosen = asked.only or ["train", "sample", "quality"]
    count, rounds, seconds = (104, 1, 0.05) if asked.quick else (1000, 4, 1.5)
    images = Faces(size=32).load("train", count, SEED).images
    record: dict[str, Any] = {"machine": machine(), "load": os.getloadavg()[0], "quick": asked.quick}
    print(f"**Generators at 32 px** ({record['machine']}; load before {record['load']:.1f}; CPU seconds)")
    start = time.perf_counter()
    if {"train", "quality"} & set(chosen):
        rows = race_training(images, rounds, seconds)
        show_training(rows)
        record["training"] = [asdict(row) for row in rows]
        keep(record, asked.output)
    if "sample" in chosen:
        record["sampling"] = race_sampling(images, *((1, 2, 5) if asked.quick else (2, 32)))
        show_sampling(record["sampling"])
        keep(record, asked.output)
    if "quality" in chosen:
        heldout = Faces(size=32).load("heldout", 24 if asked.quick else count, SEED).images
        rates = {row["name"]: statistics.median(row["rates"]) for row in record["training"]}
        record["quality"] = race_quality(images, heldout, rates, *((12, 0.002) if asked.quick else (384, 1.0)))
        show_quality(record["quality"])
    print()
    for (what, least), seen in zip(TARGETS.items(), figures(record).values(), strict=True):
        verdict = (
            "not reached or not measured" if seen is None else f"{seen:.3g}: {'met' if seen >= least else 'MISSED'}"
        )
        print(f"target {what}, at least {least:g}: {verdict}")
    record["seconds"] = time.perf_counter() - start
    keep(record, asked.output)
    print(f"written: {asked.output} after {record['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
