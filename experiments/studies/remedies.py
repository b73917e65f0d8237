"""Which remedy inside the loop helps, what does it cost, and whom does it throw away?

Question:   against a loop that trains each model on what the model before published (replace): what does a rule that
            chooses among twice as many images save, in variety and in distance to real images, what does it cost, and
            does it choose against rare attributes? What do Neon and guidance by a model of its own samples save, at
            the same number of images read in training? What do real images with a false label cost?
Command:    python experiments/studies/remedies.py          (--seeds 3, --images 240; --only farthest; runs are resumed)
Hardware:   one CPU core, half an hour; no GPU, no download.
Expected:   for a Gaussian model, choosing the most realistic half loses more variance than chance, and the least
            realistic half less; chance loses what replace does. A detector and the nearest real images bring the
            distance down; farthest points keep most variance. Neon and guidance bring the distance down.
Refuted by: a difference paired by seed on the wrong side, outside its interval.

Every loop publishes n images in a generation. The figures are those of a generation against fresh real images that
neither the loop nor its curation has seen: the held-out images of the run would favour a rule that chooses by them.
"Against rare ones" is the number of rare attributes that the probes find in 100 published images minus that in 100
drawn ones, mean over generations and seeds, and the same in standard deviations of a random choice. A remedy inside the
model is compared with a base that reads as many images in training as its two trainings together; it also draws its
own samples, and guidance evaluates two nets in place of one. The papers apply Neon and guidance to one model of real
images: that is generation 1 here.

Published, and tested here:
    top < random     Ferbach et al. 2024, arXiv:2407.09499: a loop that keeps preferred samples loses variety.
    random < bottom  a logged study of small diffusion models, likelihood-rank-self-consuming-diffusion (2026, not
                     reviewed): with a likelihood as the score, a minority is kept by bottom-k > random > top-k. Here
                     the score is realism, nearness to real images.
    detector         Drayson et al. 2025, arXiv:2502.15654: a detector of generated text prevents collapse, by weights.
    farthest         Shi et al. 2025, arXiv:2509.16499: choosing for entropy keeps a loop from memorising.
    latent filter    Cai et al. 2025, arXiv:2511.12742: filtering in latent space mitigates collapse and is better than
                     the other remedies compared. Ours is not their algorithm: see imagelab/curation/latent_filter.py.
    Neon             Alemohammad, Wang and Baraniuk 2025, arXiv:2510.03597: lower FID with under 1 % more training,
                     for models whose sampling prefers typical images; w < 0 for those that do not.
    guided           Alemohammad et al. 2024, arXiv:2408.16333: lower FID, and loops that do not go MAD.

Seen 2026-11-29, one thread of 2 shared x86-64 cores (Xeon, load 3 to 9; 26 core-minutes), n = 240, 3 seeds, 3
generations: mean over seeds, +- the half width of the 95 % interval of Student's t. Seconds are those of a busy
machine. The settings of Neon and guidance (rate .3, w = 1 and 2) were chosen by generation 1 of seed 0, which is not
among the three.

PPCA (128 components), 64 px, generation 3. A choice draws 480 images and looks at them and at 240 real ones:
                  variance, %   FD          precision    recall       against rare ones      seconds a choice
  replace          88 +-  2     71 +- 20    .35 +- .16   .21 +- .24   nobody thrown away     -
  random           89 +-  2     69 +-  7    .32 +- .13   .30 +- .35   +0.5  (+1.3 sd)        0
  top realism      79 +-  3     51 +- 11    .64 +- .24   .23 +- .14   -0.9  (-2.9 sd)        7
  bottom realism  104 +- 11    156 +- 99    .03 +- .06   .16 +- .09   +0.6  (+1.6 sd)        5
  detector         85 +-  2     43 +-  3    .60 +- .23   .27 +- .10   -0.6  (-1.8 sd)        5
  latent filter    79 +-  6     56 +-  9    .72 +- .09   .15 +- .03   -0.7  (-2.2 sd)        3
  farthest        103 +-  5     84 +- 31    .19 +- .16   .61 +- .10   +0.8  (+1.9 sd)        3
  rarity           84 +-  4     71 +- 24    .70 +- .35   .12 +- .07   -0.3  (-1.1 sd)        2
  nearest real     81 +-  4     45 +-  5    .56 +- .24   .22 +- .09   -0.5  (-1.7 sd)        1
  half a detector  87 +-  6     52 +- 14    .47 +- .12   .30 +- .21   -0.6  (-1.6 sd)        2
  Neon, w = 1      99 +-  3     61 +- 28    .34 +- .07   .27 +- .13   nobody thrown away     1,000 own samples
  freckles: 23 to 32 % of those of real faces everywhere, +- 4 to 23; no remedy differs.
Grey hair is what the choices throw away most (found on 14 % of the candidates and 8 % of the published images of the
detector, 15 and 11 % of the latent filter), then an afro (9 and 6 % of the latent filter).

Learned models: images read, own samples; generation 1 (the papers' setting: trained on real images), generation 3:
                                     variance, %    FD              recall         variance, %    FD             recall
  VAE, 64 px      6,000        -    88 +- 11     20.6 +- 28.6    .90 +- .04     65 +- 11     66 +- 28      .78 +- .10
    base alone    5,000        -    88 +- 11     23.4 +- 28.0    .88 +- .04     65 +-  8     70 +- 28      .78 +- .09
    Neon, w = 1   6,000      400    88 +- 11     23.8 +- 28.2    .89 +- .05     64 +- 12     70 +- 33      .72 +- .10
    w = -1        6,000      400    88 +- 11     22.9 +- 27.9    .89 +- .04     66 +- 10     67 +- 30      .79 +- .06
  DDPM, 32 px     6,000        -    91 +-  3     20.8 +-  7.2    .79 +- .08     78 +-  7     39 +-  9      .52 +- .37
    base alone    5,000        -    91 +-  3     20.7 +-  6.7    .79 +- .09     78 +-  6     39 +-  7      .52 +- .35
    Neon, w = 1   6,000      400    92 +-  5     20.4 +-  7.0    .78 +- .08     78 +-  5     40 +-  5      .54 +- .31
    guided, w = 2 6,000      400    92 +-  6     20.1 +-  7.7    .79 +- .07     79 +-  5     39 +-  4      .56 +- .32
  freckles kept by the VAE: 92, 89, 89, 91 % in generation 1; 74, 77, 71, 79 % in generation 3, +- 6 to 34.

Mix of half real images, some of them false, PPCA, generation 3: variance 94 +- 4 % (all true), 95 +- 5 (10 % false),
93 +- 5 (30 % false); FD 55 +- 20, 57 +- 22, 58 +- 23; freckles 54 +- 9, 43 +- 20, 43 +- 17 %.

Published claims, differences paired by seed (better minus worse, 95 %):
    top < random       holds (variance +10.0 +- 5.1 points).
    random < bottom    holds for variance (+14.7 +- 8.7), NOT confirmed for recall (-.14 +- .29). The variance of
                       bottom-k is no variety of faces: FD 156, precision .03.
    detector           holds (FD lower by 25.5 +- 5.3); that half a detector is worse is not decided (9.0 +- 12.6).
    farthest           holds (recall +.32 +- .28), at the price of precision.
    latent filter      NOT confirmed: FD lower by 12.9 +- 16.2, not decided, and REVERSED for variance (-10.4 +- 5.2):
                       it loses as much as top realism does. It differs from the paper as its docstring says: no labels,
                       one subspace for all images, a fixed half of every generation, no growing mixture.
    Neon, PPCA         holds, though no case of the paper (variance +10.4 +- 1.2, FD lower by 10.5 +- 10.3): what the
                       closed form loses is systematic, so that own samples show it, and costs no training.
    Neon, VAE          NOT confirmed. Against its base alone no difference (FD -.4 +- .6 and +.4 +- 7.5); with as many
                       images read in training, REVERSED in generation 1 (-3.1 +- .5), not decided in generation 3 (-3.3
                       +- 6.9). w = -1 is better than w = 1 (.9 +- .8): this VAE draws from neighbouring codes and does
                       not prefer typical images, the case in which the paper expects w < 0.
    Neon, DDPM         NOT confirmed: FD lower by .3 +- 1.4 than its base in generation 1, and by -.7 +- 4.2 in 3.
    guided, DDPM       NOT confirmed: FD lower by .6 +- 2.2 than its base, and by .1 +- 5.0 in generation 3; the loop
                       collapses as replace does (recall +.04 +- .05).
    false labels       the expectation holds for FD at 30 % (higher by 3.8 +- 3.6), NOT confirmed for variance, which is
                       higher by 1.7 +- 2.1 points at 10 % and lower by .5 +- 2.3 at 30 %.
These are 24 intervals of 95 %: one may miss by chance, so those that hardly exclude 0 (farthest, false labels, Neon on
PPCA in FD, w of the VAE) ask for more seeds.
What differs from the papers of Neon and guidance: these nets are under-trained (5,000 images read, FD 20), so that
their own samples may err by lack of training more than by the sampler; 400 own samples in place of 1,000 to 100,000;
240 real images in place of 50,000 and more; and faces that are drawn. With three seeds an effect on FD below 2 (DDPM,
generation 1) or 5 (generation 3) would not have been seen. Drawing with guidance takes twice the evaluations of the
net.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from imagelab import (
    DetectorFilter,
    Experiment,
    Faces,
    Farthest,
    Gaussian,
    KeepAll,
    LatentFilter,
    Mislabelled,
    Mix,
    NearestReal,
    Neon,
    RandomFraction,
    Runtime,
    SelfGuided,
    TopFraction,
    Vae,
    run,
)
from imagelab.generators import Generator
from imagelab.generators.ddpm import RECIPES
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import PRIMARY
from imagelab.report import write_comparison
from imagelab.run_folder import RunFolder
from imagelab.runs.threads import prepare_process

OWN: dict[str, Any] = {"samples": 400, "share": 0.2, "rate": 0.3}  # the training on own samples
VAE = Vae(images_seen=5_000)
DDPM = RECIPES["cpu-32"].model_copy(update={"images_seen": 5_000})


def longer(base: Any) -> Generator:
    """Return the base trained for as many images as the base and its training on own samples together."""
    return base.model_copy(update={"images_seen": round((1 + OWN["share"]) * base.images_seen)})


REMEDIES: dict[str, dict[str, dict[str, Any]]] = {
    "curation": {
        "replace": {"curation": KeepAll()},
        "random": {"curation": RandomFraction()},
        "top realism": {"curation": TopFraction(score="realism")},
        "bottom realism": {"curation": TopFraction(score="realism", best="low")},
        "detector": {"curation": DetectorFilter()},
        "latent filter": {"curation": LatentFilter()},
        "farthest": {"curation": Farthest()},
        "rarity": {"curation": TopFraction(score="rarity")},
        "nearest real": {"curation": NearestReal()},
        "half a detector": {"curation": DetectorFilter(error=0.5)},
        "neon, ppca": {"generator": Neon(base=Gaussian(components=128), samples=1_000)},
    },
    "vae": {
        "replace, vae": {"generator": longer(VAE)},
        "base, vae": {"generator": VAE},
        "neon, vae": {"generator": Neon(base=VAE, weight=1.0, **OWN)},
        "neon -1, vae": {"generator": Neon(base=VAE, weight=-1.0, **OWN)},
    },
    "ddpm": {
        "replace, ddpm": {"generator": longer(DDPM)},
        "base, ddpm": {"generator": DDPM},
        "neon, ddpm": {"generator": Neon(base=DDPM, weight=1.0, **OWN)},
        "guided, ddpm": {"generator": SelfGuided(base=DDPM, weight=2.0, **OWN)},
    },
    "label": {
        "all true": {"regime": Mix(real_fraction=0.5)},
        "10 % false": {"regime": Mislabelled(regime=Mix(real_fraction=0.5), rate=0.1)},
        "30 % false": {"regime": Mislabelled(regime=Mix(real_fraction=0.5), rate=0.3)},
    },
}
"""Group -> remedy -> its settings. The loops of a group differ in the remedy alone."""

SIDES = {"curation": 64, "label": 64, "vae": 64, "ddpm": 32}
ON_THE_PAGE = ("replace", "random", "bottom realism", "detector", "latent filter", "farthest")  # it shows six at most
MODES = 50
FIGURES = {
    "variance": "variance kept, %",
    "distance": f"FD, corrected [{PRIMARY}]",
    "precision": "precision",
    "recall": "recall",
    "freckles": "freckles kept, %",
}
CLAIMS = (
    ("random", "replace", "variance", "chance as the rule changes nothing (expected: not decided)"),
    ("random", "top realism", "variance", "Ferbach et al. 2024: preferred samples cost variety"),
    ("bottom realism", "random", "variance", "likelihood-rank study, 2026: bottom-k > random"),
    ("bottom realism", "random", "recall", "likelihood-rank study, 2026: bottom-k > random"),
    ("detector", "random", "distance", "Drayson et al. 2025: a detector prevents collapse"),
    ("detector", "half a detector", "distance", "a worse detector saves less"),
    ("farthest", "random", "recall", "Shi et al. 2025: choosing for entropy keeps variety"),
    ("latent filter", "random", "distance", "Cai et al. 2025: filtering in latent space mitigates collapse"),
    ("latent filter", "random", "variance", "Cai et al. 2025: filtering in latent space mitigates collapse"),
    ("neon, ppca", "replace", "variance", "Alemohammad et al. 2025: Neon undoes what sampling loses"),
    ("neon, ppca", "replace", "distance", "Alemohammad et al. 2025: Neon improves the distance"),
    ("all true", "10 % false", "variance", "false labels cost variety"),
    ("all true", "30 % false", "variance", "false labels cost variety"),
    ("all true", "30 % false", "distance", "false labels cost distance"),
    ("neon, vae", "replace, vae", "distance", "Alemohammad et al. 2025: Neon improves the distance"),
    ("neon, vae", "base, vae", "distance", "the same against its base alone, as in the paper"),
    ("neon, vae", "replace, vae", "recall", "Alemohammad et al. 2025: Neon undoes the preference for typical images"),
    ("neon, vae", "neon -1, vae", "distance", "Alemohammad et al. 2025: w > 0 where typical images are preferred"),
    ("neon, ddpm", "replace, ddpm", "distance", "Alemohammad et al. 2025: Neon improves the distance"),
    ("neon, ddpm", "base, ddpm", "distance", "the same against its base alone, as in the paper"),
    ("neon, ddpm", "replace, ddpm", "recall", "Alemohammad et al. 2025: Neon undoes the preference for typical images"),
    ("guided, ddpm", "replace, ddpm", "distance", "Alemohammad et al. 2024: guidance prevents a loop from going MAD"),
    ("guided, ddpm", "base, ddpm", "distance", "the same against its base alone, as in the paper"),
    ("guided, ddpm", "replace, ddpm", "recall", "Alemohammad et al. 2024: guidance prevents a loop from going MAD"),
)
"""(better, worse, figure, source): what is published or expected."""

Table = dict[str, dict[str, np.ndarray]]


def question(group: str, name: str, seed: int, asked: argparse.Namespace) -> Experiment:
    """Return the run of one remedy and seed."""
    settings: dict[str, Any] = {
        "name": f"remedies-{name}",
        "title": f"{name}, seed {seed}",
        "data": Faces(size=SIDES[group]),
        "generator": Gaussian(components=asked.components or None),
        "generations": asked.generations,
        "images": asked.images,
        "heldout": asked.images,
        "metrics": ("pixel_variance", "frechet", "prdc"),
        "seed": seed,
        "runtime": Runtime(device="cpu", runs=asked.runs),
    }
    return Experiment(**{**settings, **REMEDIES[group][name]})


def figures(folder: RunFolder, fresh: np.ndarray, generation: int) -> dict[str, float]:
    """Return what a generation has kept, against real images that nobody has seen; NaN for what cannot be measured."""
    last = np.array(folder.images(generation))
    measured = measure_panel(Evidence(ImageSet(fresh), ImageSet(last)), ("frechet", "prdc"))
    found = {m.name: m.value for m in measured if m.value is not None}
    return {
        "variance": 100 * kept_variance_of_modes(last, np.array(folder.images(0, -1)), fresh),
        "distance": found[f"frechet_corrected/{PRIMARY}"],
        "precision": found["prdc/precision"],
        "recall": found["prdc/recall"],
        "freckles": 100 * freckles(last) / freckles(fresh),
    }


def freckles(images: np.ndarray) -> float:
    """Return the freckles on a face, corrected for the counter's errors; NaN where it is not calibrated."""
    counted = {m.name: m.value for m in measure_panel(Evidence(ImageSet(images), ImageSet(images)), ("freckles",))}
    value = counted.get("freckles/corrected")
    return float("nan") if value is None else value


def kept_variance_of_modes(images: np.ndarray, start: np.ndarray, fresh: np.ndarray) -> float:
    """Return the geometric mean over the strongest modes of real images of: variance of images / of the real set."""
    flat = [each.reshape(len(each), -1).astype(np.float64) for each in (images, start, fresh)]
    modes = np.linalg.svd(flat[2] - flat[2].mean(0), full_matrices=False)[2][: min(MODES, len(start) // 2)]
    now, then = (((each - each.mean(0)) @ modes.T).var(0, ddof=1) for each in flat[:2])
    return float(np.exp(np.log(now / then).mean()))


def records(folder: RunFolder, generations: int) -> list[dict]:
    """Return curation.json of every generation; nothing for a run that is not curated."""
    paths = [folder.shard_path(generation) / "curation.json" for generation in range(1, generations + 1)]
    return [json.loads(path.read_text("utf-8")) for path in paths if path.exists()]


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return (mean, half width of its 95 % interval by Student's t) over seeds."""
    from scipy.stats import t

    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def costs(decisions: list[dict]) -> str:
    """Return what a choice took and whom it threw away, as the last columns of the table."""
    if not decisions:
        return f"{1:8.1f}{0:10}{0:10.2f}   nobody"
    drawn = np.mean([each["candidates"] / each["kept"] for each in decisions])
    looks, seconds = (np.mean([each["cost"].get(name, 0.0) for each in decisions]) for name in ("looks", "seconds"))
    rare = [each["rare"] for each in decisions if each.get("rare")]
    if not rare:
        reasons = {each.get("attributes_missing", "no rare attribute is probed") for each in decisions}
        return f"{drawn:8.1f}{looks:10.0f}{seconds:10.2f}   not seen: {min(reasons)}"
    change = np.array([each["kept"] - each["candidates"] for each in rare])
    chance = float(np.sqrt(np.sum([each["chance"] ** 2 for each in rare])))
    sigmas = change.sum() / chance if chance else 0.0
    seen = f"{len(rare)} of {len(decisions)} generations"
    return f"{drawn:8.1f}{looks:10.0f}{seconds:10.2f}   {100 * change.mean():+.1f} ({sigmas:+.1f} sd), {seen}"


def training_costs(folders: list[RunFolder], generator: Any, generations: int) -> str:
    """Return what the training of one generation took: images read, own samples drawn, seconds."""
    seconds = []
    for folder in folders:
        for generation in range(1, generations + 1):
            path = folder.shard_path(generation) / "train.jsonl"
            lines = path.read_text("utf-8").splitlines() if path.exists() else []
            seconds += [json.loads(lines[-1])["seconds"]] if lines else []
    own = getattr(generator, "samples", 0)
    taken = f"{np.median(seconds):.0f} s" if seconds else "closed form"
    return f"   {generator.training_length:,} images read, {own} own samples, {taken}"


def verdict(better: str, worse: str, figure: str, source: str, table: Table) -> str:
    """Return a line on one claim: the difference, paired by seed."""
    sign = -1 if figure == "distance" else 1
    mean, half = interval(sign * (table[better][figure] - table[worse][figure]))
    word = "holds" if mean > half else "is REVERSED" if mean < -half else "is not decided"
    return f"  {better} better than {worse} in {figure}: {word} ({mean:+.2f} ± {half:.2f}). {source}"


def show(title: str, table: Table, last_columns: dict[str, str]) -> None:
    """Print a table of figures, and the claims on its rows."""
    print(title)
    print(
        f"{'remedy':16}"
        + "".join(f"{words:>34}" if key == "distance" else f"{words:>20}" for key, words in FIGURES.items())
    )
    for name, row in table.items():
        shown = {
            key: "not counted" if np.isnan(values).any() else "{:.2f} ± {:.2f}".format(*interval(values))
            for key, values in row.items()
        }
        cells = "".join(f"{cell:>34}" if key == "distance" else f"{cell:>20}" for key, cell in shown.items())
        print(f"{name:16}{cells}{last_columns.get(name, '')}")
    for better, worse, figure, source in CLAIMS:
        if {better, worse} <= table.keys():
            print(verdict(better, worse, figure, source, table))
    print(flush=True)


def study(group: str, names: list[str], asked: argparse.Namespace) -> dict[str, list[RunFolder]]:
    """Run what is missing of one group and print its tables; return the runs."""
    began, folders = time.process_time(), dict[str, list[RunFolder]]()
    data, seeds = Faces(size=SIDES[group]), range(1, asked.seeds + 1)
    fresh = [data.load("reserve", asked.images, seed).images for seed in seeds]
    for name in names:
        folders[name] = [run(question(group, name, seed, asked)) for seed in seeds]
    last_columns = {}
    for name, those in folders.items():
        generator = question(group, name, 1, asked).generator
        last_columns[name] = training_costs(those, generator, asked.generations)
        if group == "curation" and generator == question(group, "replace", 1, asked).generator:
            last_columns[name] = costs([each for folder in those for each in records(folder, asked.generations)])
    for generation in [1, asked.generations] if group in ("vae", "ddpm") else [asked.generations]:
        tables = {
            name: [figures(folder, real, generation) for folder, real in zip(those, fresh, strict=True)]
            for name, those in folders.items()
        }
        table = {
            name: {key: np.array([each[key] for each in rows]) for key in FIGURES} for name, rows in tables.items()
        }
        heads = ", drawn/n, looks, seconds, rare ones in 100" if group == "curation" else ""
        title = f"{group}: generation {generation}, {SIDES[group]} px, n = {asked.images}, {asked.seeds} seeds"
        show(f"{title}; mean ± 95 % interval{heads}", table, last_columns)
    print(f"{group}: {time.process_time() - began:.0f} core-seconds in this session", file=sys.stderr, flush=True)
    return folders


def main() -> None:
    """Run what is missing, print the tables and write the pages."""
    ask = argparse.ArgumentParser(description="Remedies inside the loop: what each saves, costs and throws away.")
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--images", type=int, default=240)
    ask.add_argument("--generations", type=int, default=3)
    ask.add_argument("--components", type=int, default=128, help="of the PPCA; 0 for a full Gaussian")
    every = [name for group in REMEDIES.values() for name in group]
    ask.add_argument("--only", nargs="*", choices=every, default=every)
    ask.add_argument("--runs", type=Path, default=Path("runs"))
    asked = ask.parse_args()
    prepare_process()
    if asked.seeds < 2:
        ask.error("--seeds: at least 2, for an interval")
    for group, remedies in REMEDIES.items():
        names = [name for name in remedies if name in asked.only]
        folders = study(group, names, asked) if names else {}
        paged = [name for name in folders if group != "curation" or name in ON_THE_PAGE]
        if len(paged) > 1:
            place = asked.runs / ("remedies.html" if group == "curation" else f"remedies-{group}.html")
            print(write_comparison([folder.path for name in paged for folder in folders[name]], place))


if __name__ == "__main__":
    main()
