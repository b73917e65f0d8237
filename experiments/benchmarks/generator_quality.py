"""The seconds of training to a stated quality: a part of experiments/benchmarks/generators.py."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from generator_recipes import (
    BATCH,
    CASCADE,
    LATENT,
    LUCID,
    NEW,
    OWN,
    PATCH,
    SEED,
    STAGE,
    THEIRS,
    UNET,
    shortened,
    walking,
)
from rival_loops import DiffusersLoop, advance_lucid, at_budgets, draw_lucid, lucid_trainer

from imagelab.generators import Gaussian, RunContext
from imagelab.generators.ddpm import DdpmModel
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.features import PRIMARY, feature_pair
from imagelab.metrics.kernel import kernel_distance
from imagelab.seeds import image_seeds

QUALITY = 0.8  # of the kernel distance of the better closed form: a Gaussian, or the untrained patch net
OURS, RIVALS = (25.0, 50.0), (50.0, 160.0)  # core-seconds of training after which pictures are drawn
Curves = dict[str, list[tuple[float, float]]]  # name -> (core-seconds of training, kernel distance)
LUCID_STEPS = 50  # of denoising-diffusion-pytorch's DDIM


def distance(heldout: ImageSet, made: np.ndarray) -> float:
    """Return the kernel distance to held-out faces, in the primary space."""
    return kernel_distance(*feature_pair(Evidence(real=heldout, fake=ImageSet(made)), PRIMARY))[0]


def race_quality(
    images: np.ndarray, heldout: np.ndarray, rates: dict[str, float], drawn: int, share: float
) -> dict[str, Any]:
    """Return kernel distances after so many training seconds, and those of controls; drawing is not counted.

    The rivals' loops run once and are measured at intermediate times; ours are trained again for each budget, because
    their learning rates fall to 0 at the end. The rates just measured convert budgets to images, but for the latent
    model, whose lengths are fixed; the seconds taken are reported.

    Args:
        images: training images, uint8 [N,3,H,W].
        heldout: images to compare with, uint8 [M,3,H,W].
        rates: images a second of each training.
        drawn: images drawn for each distance; a half by diffusers, a third by the slower walks.
        share: share of each budget that is used; below 1 only to see that it runs.
    """
    print(f"\nKernel distance to held-out faces in {PRIMARY}, after so many core-seconds of training:", flush=True)
    real, seeds, context = ImageSet(heldout), image_seeds(SEED, "sample", 1, 0, range(drawn)), RunContext(batch=64)
    fewer = 1 if share == 1 else 5
    untrained = PATCH.model_copy(update={"images_seen": 0}).fit(images, SEED, context)
    controls = {
        "other real faces": distance(real, images[:drawn]),
        "closed-form Gaussian": distance(real, Gaussian().fit(images, SEED, context).sample(seeds)),
        "patch net, untrained": distance(real, walking(untrained, "dpm++", fewer).sample(seeds)),
    }
    curves: Curves = {}
    stages = CASCADE.coarse_share * 0.1 + 1  # an image of the coarse stage costs a tenth of one of an octave
    model: Any = untrained
    lengths = [(CASCADE, OURS[-1] * rates[STAGE] / stages), *((PATCH, each * rates[OWN]) for each in OURS)]
    ours = [each.model_copy(update={"images_seen": max(BATCH, int(share * length))}) for each, length in lengths]
    for name, recipe in zip(("latent", "cascade", OWN, OWN), (shortened(LATENT, share), *ours), strict=True):
        start = time.process_time()
        model = recipe.fit(images, SEED, context)
        taken = time.process_time() - start
        ready = walking(model, "dpm++", fewer) if name == OWN else model
        add(curves, name, taken, distance(real, ready.sample(seeds)))
        if name == OWN:
            add(curves, f"{OWN}, {NEW}", taken, distance(real, walking(model, NEW, fewer).sample(seeds)))
    walks = race_walks(model, real, seeds[: drawn // 3], fewer)
    loop = DiffusersLoop(UNET.blank(images, SEED), images, BATCH)
    for spent in at_budgets(loop.advance, [share * budget for budget in RIVALS]):
        for suffix, sampler in (("", "dpm++"), (f", {NEW}", NEW)):
            made = walking(averaged(loop), sampler, fewer).sample(seeds[: drawn // 2])
            add(curves, THEIRS + suffix, spent, distance(real, made))
    missing = race_lucid(images, real, drawn // 3, share, curves)
    level = QUALITY * min(controls["closed-form Gaussian"], controls["patch net, untrained"])
    reached = {name: next((taken for taken, found in curve if found <= level), None) for name, curve in curves.items()}
    return {
        "controls": controls,
        "level": level,
        "curves": curves,
        "reached": reached,
        "walks": walks,
        "missing": missing,
    }


def add(curves: Curves, name: str, seconds: float, found: float) -> None:
    """Add a distance after so many core-seconds of training, and print it."""
    curves.setdefault(name, []).append((seconds, found))
    print(f"  {name}: {found:.3g} at {seconds:.0f} s", flush=True)


def race_lucid(images: np.ndarray, real: ImageSet, drawn: int, share: float, curves: Curves) -> str:
    """Add the kernel distances of denoising-diffusion-pytorch to the curves; return why not, "" if they were."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            trainer = lucid_trainer(images, Path(folder), BATCH, LUCID_STEPS if share == 1 else 2)
        except ImportError as error:
            print(f"  {LUCID}: left out: {error}")
            return str(error)
        for spent in at_budgets(lambda steps: advance_lucid(trainer, steps), [share * budget for budget in RIVALS]):
            add(curves, LUCID, spent, distance(real, draw_lucid(trainer, drawn)))
    return ""


def race_walks(model: DdpmModel, real: ImageSet, seeds: np.ndarray, fewer: int = 1) -> dict[str, float]:
    """Return the kernel distances of 20 steps and of the whole schedule, from the same noise of the same model.

    ``fewer`` divides the 20 steps, and its square the 1,000, to see that it runs.
    """
    chosen = {"dpm++": fewer, NEW: fewer, "ddpm": fewer**2}
    return {name: distance(real, walking(model, name, each).sample(seeds)) for name, each in chosen.items()}


def averaged(loop: DiffusersLoop) -> DdpmModel:
    """Return the averaged weights of diffusers' loop with our samplers."""
    side = loop.net.config.sample_size
    net: Any = UNET.blank(np.zeros((1, 3, side, side), np.uint8), 0)
    loop.average.copy_to(net.parameters())
    return DdpmModel(net.eval(), UNET, RunContext(batch=64))


def show_quality(found: dict[str, Any]) -> None:
    """Print what was measured beside the curves, which are printed as they grow."""
    for name, value in found["controls"].items():
        print(f"  {name}: {value:.3g}")
    times = {name: "never" if taken is None else f"{taken:.0f} s" for name, taken in found["reached"].items()}
    print("  " + ", ".join(f"{name} from the same noise: {value:.3g}" for name, value in found["walks"].items()))
    print(f"  {found['level']:.3g} is reached: " + ", ".join(f"{name} {taken}" for name, taken in times.items()))
