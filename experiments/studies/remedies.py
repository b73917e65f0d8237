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
from pathlib import Path

import numpy as np

from imagelab import (
    DetectorFilter,
    Experiment,
    Faces,
    Farthest,
    Gaussian,
    KeepAll,
    NearestReal,
    RandomFraction,
    Runtime,
    TopFraction,
    run,
)
from imagelab.curation import AnyCuration
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import PRIMARY
from imagelab.report import write_comparison
from imagelab.run_folder import RunFolder
from imagelab.runs.threads import prepare_process

REMEDIES: dict[str, AnyCuration] = {
    "replace": KeepAll(),
    "random": RandomFraction(),
    "top realism": TopFraction(score="realism"),
    "bottom realism": TopFraction(score="realism", best="low"),
    "detector": DetectorFilter(),
    "farthest": Farthest(),
    "rarity": TopFraction(score="rarity"),
    "nearest real": NearestReal(),
    "half a detector": DetectorFilter(error=0.5),
}
ON_THE_PAGE = ("replace", "random", "top realism", "bottom realism", "detector", "farthest")  # it shows six at most
MODES = 50
FIGURES = {
    "variance": "variance kept, %",
    "distance": f"FD, corrected [{PRIMARY}]",
    "precision": "precision",
    "recall": "recall",
}
CLAIMS = (
    ("random", "replace", "variance", "chance as the rule changes nothing (expected: not decided)"),
    ("random", "top realism", "variance", "Ferbach et al. 2024: preferred samples cost variety"),
    ("bottom realism", "random", "variance", "likelihood-rank study, 2026: bottom-k > random"),
    ("bottom realism", "random", "recall", "likelihood-rank study, 2026: bottom-k > random"),
    ("detector", "random", "distance", "Drayson et al. 2025: a detector prevents collapse"),
    ("detector", "half a detector", "distance", "a worse detector saves less"),
    ("farthest", "random", "recall", "Shi et al. 2025: choosing for entropy keeps variety"),
)
"""(better, worse, figure, source): what is published or expected."""


def question(name: str, seed: int, asked: argparse.Namespace) -> Experiment:
    """Return the run of one remedy and seed."""
    return Experiment(
        name=f"remedies-{name}",
        title=f"{name}, seed {seed}",
        data=Faces(size=64),
        generator=Gaussian(components=asked.components or None),
        generations=asked.generations,
        images=asked.images,
        heldout=asked.images,
        metrics=("pixel_variance", "spectrum", "frechet", "prdc", "tails"),
        curation=REMEDIES[name],
        seed=seed,
        runtime=Runtime(device="cpu", runs=asked.runs),
    )


def figures(folder: RunFolder, fresh: np.ndarray, generation: int) -> dict[str, float]:
    """Return what the last generation kept, against real images that nobody has seen."""
    last = np.array(folder.images(generation))
    measured = measure_panel(Evidence(ImageSet(fresh), ImageSet(last)), ("frechet", "prdc"))
    found = {m.name: m.value for m in measured if m.value is not None}
    return {
        "variance": 100 * kept_variance_of_modes(last, np.array(folder.images(0, -1)), fresh),
        "distance": found[f"frechet_corrected/{PRIMARY}"],
        "precision": found["prdc/precision"],
        "recall": found["prdc/recall"],
    }


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


def verdict(better: str, worse: str, figure: str, source: str, table: dict[str, dict[str, np.ndarray]]) -> str:
    """Return a line on one claim: the difference, paired by seed."""
    sign = -1 if figure == "distance" else 1
    mean, half = interval(sign * (table[better][figure] - table[worse][figure]))
    word = "holds" if mean > half else "is REVERSED" if mean < -half else "is not decided"
    return f"  {better} better than {worse} in {figure}: {word} ({mean:+.2f} ± {half:.2f}). {source}"


def main() -> None:
    """Run what is missing, print the table and write the page."""
    ask = argparse.ArgumentParser(description="Remedies inside the loop: what each saves, costs and throws away.")
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--images", type=int, default=400)
    ask.add_argument("--generations", type=int, default=5)
    ask.add_argument("--components", type=int, default=128, help="of the PPCA; 0 for a full Gaussian")
    ask.add_argument("--only", nargs="*", choices=sorted(REMEDIES), default=list(REMEDIES))
    ask.add_argument("--runs", type=Path, default=Path("runs"))
    asked = ask.parse_args()
    prepare_process()
    if asked.seeds < 2:
        ask.error("--seeds: at least 2, for an interval")
    table: dict[str, dict[str, np.ndarray]] = {}
    last_columns: dict[str, str] = {}
    folders: dict[str, list[RunFolder]] = {}
    fresh = [Faces(size=64).load("reserve", asked.images, seed).images for seed in range(asked.seeds)]
    for name in (name for name in REMEDIES if name in asked.only):
        folders[name] = [run(question(name, seed, asked)) for seed in range(asked.seeds)]
        found = [figures(folder, real, asked.generations) for folder, real in zip(folders[name], fresh, strict=True)]
        table[name] = {key: np.array([each[key] for each in found]) for key in FIGURES}
        last_columns[name] = costs([each for folder in folders[name] for each in records(folder, asked.generations)])
        print(f"done: {name}", flush=True)
    print(f"after {asked.generations} generations, n = {asked.images}, {asked.seeds} seeds; mean ± 95 % interval")
    heads = "".join(f"{words:>34}" if key == "distance" else f"{words:>20}" for key, words in FIGURES.items())
    print(f"{'remedy':16}{heads}{'drawn/n':>8}{'looks':>10}{'seconds':>10}   rare ones in 100, published minus drawn")
    for name, row in table.items():
        shown = {key: "{:.2f} ± {:.2f}".format(*interval(values)) for key, values in row.items()}
        cells = "".join(f"{cell:>34}" if key == "distance" else f"{cell:>20}" for key, cell in shown.items())
        print(f"{name:16}{cells}{last_columns[name]}")
    print("claims, paired by seed:")
    for better, worse, figure, source in CLAIMS:
        if {better, worse} <= table.keys():
            print(verdict(better, worse, figure, source, table))
    compared = [folder.path for name in ON_THE_PAGE if name in folders for folder in folders[name]]
    if len({name for name in ON_THE_PAGE if name in folders}) > 1:
        print(write_comparison(compared, asked.runs / "remedies.html"))


if __name__ == "__main__":
    main()
