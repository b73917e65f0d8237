"""Which sampler draws as well as 1,000 ancestral steps, and what does it cost? One trained diffusion model at 64 px.

Question:   from one and the same trained model, which sampler and how many steps come within 10 % of the kernel
            distance that 1,000 steps of ancestral sampling have to unseen faces, and at how many core-seconds an image?
Command:    python experiments/studies/samplers.py
            --runs DIR        keeps model and images, so that an interrupted run goes on
            --only "sde-dpm++"   these samplers and the reference only
            --quick           small sizes, to see that it runs
Hardware:   one CPU core: 15 core-minutes of training, then some 1,600 evaluations of the network for every image, at
            2.6 ms each: 50 core-minutes for 512 images a sampler and 256 of the reference.
Expected:   few steps lose detail that the law of the sampler names (imagelab.theory): deterministic samplers with
            evenly spaced times most, noise levels of Karras et al. least. Samplers that add noise at every step correct
            errors of an under-trained network, and need more steps.
Refuted by: no sampler of at most 100 evaluations within 10 %; or evenly spaced times as good as those of Karras et al.

All samplers start from the same noise of the same seeds. The difference to the reference is given with its standard
error: the jackknife over held-out images, which both distances share, and over the generated images of both. A sampler
is "within" if its distance is at most 1.1 times that of the reference, and "clearly" so if two standard errors of the
difference do not change that.

Seen 2026-11-30, one thread of 2 x86-64 cores shared with other jobs (load 5), seed 0: RECIPES["cpu-64"] trained once on
2,000 faces (108,224 images seen, 915 core-seconds, by the same code outside this program), 1,000 held out, --made 256
--reference 192 --first 8, stopped after the seventh; +- one standard error over images; core-s are those of an image:
                           evaluations  core-s   distance        of reference    FD            freckles   noise at 16-32
  ddpm x 1000              1000         2.67     .134 +- .037    1               7.3 +- 1.4    1.66       2.11   -.81
  dpm++ x 20               20           .050     .624 +- .061    4.7 +- 1.2      29.8 +- 2.5   2.40       1.04   -1.53
  sde-dpm++, Karras x 20   20           .053     .050 +- .016    .37 +- .15      3.9 +- .6     1.82       2.15   -.23
  sde-dpm++, Karras x 35   35           .091     .062 +- .016    .46 +- .15      5.0 +- .6     1.82       2.23   -.63
  sde-dpm++, Karras x 50   50           .127     .098 +- .026    .73 +- .24      6.0 +- .8     1.57       2.23   -.64
  dpm++, Karras x 20       20           .049     .129 +- .047    .96 +- .42      7.0 +- 1.6    2.05       2.21   -.58
  dpm++, Karras x 35       35           .088     .156 +- .051    1.16 +- .47     8.0 +- 1.7    1.98       2.23   -.80
  ddpm, Karras x 50        50           .128     .412 +- .050    3.1 +- .8       19.9 +- 1.6   1.00       1.94   -1.84
(Errors of freckles .1, of noise .01, of power .09; real faces have 4.7 freckles and noise of 1.5.) SDE-DPM-Solver++ in
20 steps on the levels of Karras et al. is clearly within 10 % of 1,000 ancestral steps, whose own distance has an error
of 28 %, at a fiftieth of their price; it is even nearer to real faces, by two standard errors. The recipe takes it.
What costs quality in the 20 steps taken before is their spacing: the same solver on the levels of Karras et al. equals
the 1,000 steps, though with an error of 40 %. Expected otherwise: noise at every step needs no more steps here. More
steps of either solver draw worse, towards the 1,000 steps; 50 ancestral steps on these levels are too few, as their law
says. By its law, SDE-DPM-Solver++ in 20 steps makes strong modes 15 to 21 % too strong, which may offset what the
network loses; so the best number of steps depends on the network. Not reached: 10 and 15 steps, 100 ancestral ones,
DDIM, Heun. One training, one seed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imagelab.data import Faces
from imagelab.generators import Ddpm, RunContext
from imagelab.generators.ddpm import RECIPES, DdpmModel
from imagelab.images import tile
from imagelab.io.atomic import write_atomic
from imagelab.io.pictures import read_npy, write_png
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import PRIMARY, feature_pair
from imagelab.metrics.jackknife import spread
from imagelab.run_folder import CHECKPOINT
from imagelab.runs.shard_files import write_npy
from imagelab.seeds import image_seeds

WITHIN = 1.1  # of the reference's kernel distance
PANEL = ("frechet", "freckles", "spectrum")
COLUMNS = {f"frechet_corrected/{PRIMARY}": 1, "freckles/count": 2, "freckles/noise": 2, "band_power/16-32": 2}
HEAD = f"{'sampler':32s}{'evaluations':>12s}{'core-s':>8s}{'distance':>16s}{'of reference':>16s}" + "".join(
    f"{name:>14s}" for name in ("FD", "freckles", "noise", "dB at 16-32")
)


@dataclass(frozen=True)
class Walk:
    """A sampler under test."""

    sampler: str
    spacing: str
    steps: int

    @property
    def label(self) -> str:
        """Its name in tables and files."""
        levels = ", Karras" if self.spacing == "karras" or self.sampler == "heun" else ""
        return f"{self.sampler}{levels} x {self.steps}"

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for an image."""
        return 2 * self.steps - 1 if self.sampler == "heun" else self.steps

    def of(self, model: DdpmModel) -> DdpmModel:
        """Return the model with this sampler."""
        settings = {"sampler": self.sampler, "spacing": self.spacing, "steps": self.steps}
        return DdpmModel(model.net, Ddpm(**{**model.recipe.model_dump(), **settings}), model.context)


REFERENCE = Walk("ddpm", "even", 1000)
WALKS = (
    Walk("dpm++", "even", 20),
    *(Walk("sde-dpm++", "karras", steps) for steps in (20, 35, 50, 10, 15)),
    *(Walk("dpm++", "karras", steps) for steps in (20, 35)),
    *(Walk("ddpm", "karras", steps) for steps in (50, 100)),
    Walk("ddpm", "even", 100),
    Walk("ddim", "even", 50),
    Walk("heun", "even", 18),
    Walk("sde-dpm++", "even", 50),
    Walk("dpm++", "karras", 10),
    Walk("dpm++", "even", 50),
)
QUICK_RECIPE = {"channels": (8, 16), "images_seen": 32, "batch": 8, "noise_steps": 20}


@dataclass(frozen=True)
class Distance:
    """A kernel distance with its values when one image is left out.

    Attributes:
        value: MMD^2 of all images.
        without_real: without each real image, [N].
        without_fake: without each generated image, [M].
    """

    value: float
    without_real: np.ndarray
    without_fake: np.ndarray

    @property
    def error(self) -> float:
        """Standard error of the value."""
        return math.hypot(spread(self.without_real), spread(self.without_fake))

    def ratio(self, other: Distance) -> tuple[float, float]:
        """Return this distance in units of another one to the same real images, and its standard error."""
        quotient = self.value / other.value
        shared = spread(self.without_real / other.without_real)
        alone = math.hypot(spread(self.without_fake) / other.value, quotient * spread(other.without_fake) / other.value)
        return quotient, math.hypot(shared, alone)


def distance(real: np.ndarray, fake: np.ndarray) -> Distance:
    """Return the unbiased MMD^2 under the kernel of ``imagelab.metrics.kernel``: features [N,D] and [M,D]."""

    def rows(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return (left @ right.T / left.shape[1] + 1) ** 3

    n, m = len(real), len(fake)
    own_real, own_fake, across = rows(real, real), rows(fake, fake), rows(real, fake)
    within_real, within_fake = (own.sum(1) - np.diag(own) for own in (own_real, own_fake))

    def mmd(a: Any, b: Any, c: Any, n: int, m: int) -> Any:
        return a / (n * (n - 1)) + b / (m * (m - 1)) - 2 * c / (n * m)

    sums = within_real.sum(), within_fake.sum(), across.sum()
    without_real = mmd(sums[0] - 2 * within_real, sums[1], sums[2] - across.sum(1), n - 1, m)
    without_fake = mmd(sums[0], sums[1] - 2 * within_fake, sums[2] - across.sum(0), n, m - 1)
    return Distance(float(mmd(*sums, n, m)), without_real, without_fake)


def trained(recipe: Ddpm, images: np.ndarray, seed: int, runs: Path) -> DdpmModel:
    """Return the recipe's model, trained or, if ``runs`` has it, read; prints the core-seconds."""
    folder, context = runs / "model", RunContext(checkpoint=runs / CHECKPOINT)
    if not folder.exists():
        begun = time.process_time()
        partial = runs / "model.partial"
        recipe.fit(images, seed, context).save(partial)
        print(f"trained in {time.process_time() - begun:.0f} core-s", flush=True)
        partial.rename(folder)
    return recipe.load(folder, RunContext())


def drawn(walk: Walk, model: DdpmModel, seed: int, count: int, runs: Path) -> tuple[np.ndarray, float]:
    """Return images of a sampler and its core-seconds an image; what ``runs`` has is read."""
    images, note = runs / f"{walk.label}-{count}.npy", runs / f"{walk.label}-{count}.json"
    if not note.exists():
        begun = time.process_time()
        write_npy(images, walk.of(model).sample(image_seeds(seed, "sample", 1, 0, range(count))))
        write_atomic(note, json.dumps((time.process_time() - begun) / count))
    return read_npy(images), json.loads(note.read_text())


def line(walk: Walk, cost: float, found: Distance, reference: Distance, evidence: Evidence) -> str:
    """Return a row of the table."""
    readings = {m.name: m for m in measure_panel(evidence, PANEL)}
    quotient, error = found.ratio(reference)
    cells = []
    for name, digits in COLUMNS.items():
        m = readings.get(name)
        known = m is not None and m.value is not None
        cells.append(f"{m.value:.{digits}f} +- {m.stderr or 0:.{digits}f}" if known and m is not None else "-")
    within = "" if walk == REFERENCE or quotient > WITHIN else "  within"
    within += ", clearly" if within and quotient + 2 * error <= WITHIN else ""
    left = f"{walk.label:32s}{walk.evaluations:12d}{cost:8.3f}{f'{found.value:.3f} +- {found.error:.3f}':>16s}"
    return left + f"{f'{quotient:.2f} +- {error:.2f}':>16s}" + "".join(f"{cell:>14s}" for cell in cells) + within


def compare(walks: Sequence[Walk], model: DdpmModel, heldout: np.ndarray, asked: argparse.Namespace) -> None:
    """Draw with every sampler, the reference first, and print the table."""
    real, reference = ImageSet(heldout, asked.runs / "features"), None
    print(HEAD, flush=True)
    for walk in walks:
        count = asked.reference if walk == walks[0] else asked.made
        images, cost = drawn(walk, model, asked.seed, count, asked.runs)
        write_png(asked.runs / f"{walk.label}.png", tile(images[:64], 16, 2), {"Title": walk.label}, "model")
        evidence = Evidence(real=real, fake=ImageSet(images), seed=asked.seed)
        found = distance(*feature_pair(evidence, PRIMARY))
        reference = reference or found
        print(line(walk, cost, found, reference, evidence), flush=True)


def main() -> int:
    """Train once, draw with every sampler, print the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--images", type=int, default=2000, help="training faces")
    options.add_argument("--heldout", type=int, default=1000)
    options.add_argument("--made", type=int, default=512, help="images that each sampler draws")
    options.add_argument("--reference", type=int, default=256, help="images that the reference draws")
    options.add_argument("--only", nargs="*", help="names of samplers")
    options.add_argument("--first", type=int, default=len(WALKS), help="of the list of samplers, the first so many")
    options.add_argument("--runs", type=Path, default=Path("runs/samplers"), help="where model and images are kept")
    options.add_argument("--quick", action="store_true", help="small sizes, only to see that it runs")
    asked = options.parse_args()
    torch.set_num_threads(1)
    recipe, first = RECIPES["cpu-64"], REFERENCE
    walks = [walk for walk in WALKS if not asked.only or walk.sampler in asked.only][: asked.first]
    if asked.quick:
        recipe = recipe.model_copy(update=QUICK_RECIPE)
        walks, first = [Walk(walk.sampler, walk.spacing, 4) for walk in walks], Walk("ddpm", "even", 20)
        asked.images, asked.heldout, asked.made, asked.reference = 24, 24, 12, 12
    asked.runs.mkdir(parents=True, exist_ok=True)
    faces = Faces(size=64, freckle_rate=0.6)
    model = trained(recipe, faces.load("train", asked.images, asked.seed).images, asked.seed, asked.runs)
    compare((first, *dict.fromkeys(walks)), model, faces.load("heldout", asked.heldout, asked.seed).images, asked)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
