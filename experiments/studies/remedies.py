"""Which remedy inside the loop helps, what does it cost, and whom does it throw away?

Question:   a model draws twice as many images as are published, and a rule chooses. Against a loop that publishes what
            it draws (replace), and against chance as the rule: what does each rule save, in variety and in distance to
            real images, what does it cost, and does it choose against rare attributes?
Command:    python experiments/studies/remedies.py          (--seeds 3, --images 400; --only farthest; runs are resumed)
Hardware:   two CPU cores, tens of minutes; no GPU, no download.
Expected:   for a Gaussian model, choosing the most realistic half loses more variance than chance, and the least
            realistic half less; chance loses what replace does. A detector and the nearest real images bring the
            distance down; farthest points keep most variance. The remedies that look at real images are the ones that
            can save anything: the others have no information from outside of the loop.
Refuted by: a difference paired by seed on the wrong side, outside its interval.

Every loop publishes n images in a generation and is trained on them alone. The figures are those of the last
generation, against fresh real images that neither the loop nor its curation has seen: the held-out images of the run
would favour a rule that chooses by them. "Against rare ones" is the number of rare attributes that the probes find in
100 published images minus that in 100 drawn ones, mean over generations and seeds, and the same in standard deviations
of a random choice.

Published, and tested here:
    top < random     Ferbach et al. 2024, arXiv:2407.09499: a loop that keeps preferred samples loses variety.
    random < bottom  a logged study of small diffusion models, likelihood-rank-self-consuming-diffusion (2026, not
                     reviewed): with a likelihood as the score, a minority is kept by bottom-k > random > top-k. Here
                     the score is realism, nearness to real images.
    detector         Drayson et al. 2025, arXiv:2502.15654: a detector of generated text prevents collapse, by weights.
    farthest         Shi et al. 2025, arXiv:2509.16499: choosing for entropy keeps a loop from memorising.

Seen 2026-11-29, one thread of 2 shared x86-64 cores (one minute), the smallest size only, as a trial of the program:
--seeds 2 --images 60 --generations 2 --components 48. Two seeds decide next to nothing (Student's t with one degree of
freedom), so these are means without a claim:
                     variance kept, %   FD      precision   recall   against rare ones, in 100 (sd of chance)
  replace                   92          94          .58        .53     nobody is thrown away
  random                    89          91          .59        .45     -0.2  (-0.3)
  top realism               76          66          .82        .46     -1.5  (-2.1)
  bottom realism           102         137          .43        .46     +1.0  (+1.2)
  detector                  81          54          .82        .61     -1.2  (-1.5)
  farthest                  97          98          .53        .86     +1.0  (+1.3)
  rarity                    85          84          .78        .47     -1.5  (-2.1)
  nearest real              75          58          .81        .43     -0.6  (-0.9)
  half a detector           89          61          .75        .69     -0.2  (-0.2)
The order of the variance is the expected one, bottom > random > top, not decided (12.5 +- 100 and 12.9 +- 37 points,
paired by seed). Two differences exclude 0: farthest over random in recall (.41 +- .32), and the detector over the half
detector in distance (6.5 +- 4.2); with seven comparisons at 95 % and two seeds that is no discovery. A choice took .2
to .4 s for 120 candidates. The figures of a size that decides are still to be made.
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
