"""Which regime loses most? The regimes of the literature, one generator, the same faces, several seeds.

Question:   does the published order hold here, fresh ~ accumulate < accumulate-subsample < mix < replace (from least to
            most lost), and where are the other regimes?
Command:    python experiments/studies/regimes.py          (--all for every regime, --seeds 6; runs are resumed)
Hardware:   two CPU cores, minutes; no GPU, no download.
Expected:   the order of the closed forms, which is the published one, in the variance lost and in the Fréchet distance.
Refuted by: two neighbours in the order whose difference, paired by seed, is outside its interval on the wrong side.

The generator is a full Gaussian: it has no limited capacity and no training, so what it loses comes from the loop
alone, and theory gives the exact amount. The order is therefore shown for a model without bias. A network adds its own
loss to every generation, whatever the regime; see experiments/photocopy.py for one.

Seen 2026-11-22, 2 x86-64 cores shared with much other work (12 minutes), n = 100, 10 generations, 8 seeds, mean +- 95 %
interval over seeds; the floor of the distance is .4 +- 1.1.
                          variance lost, %    theory, %    FD, corrected [imagelab-ssl-v1]
  accumulate                 7.7 +- 3.0          1.5           23.4 +- 3.5
  accumulate-subsample       8.8 +- 3.2          2.6           22.4 +- 3.3
  fresh                     11.3 +- 7.3          2.2           26.2 +- 7.4
  mix                       15.0 +- 10.9         5.2           31.6 +- 7.4
  replace                   25.0 +- 8.0          9.6           48.5 +- 10.9
Paired by seed, mix < replace holds (10.0 +- 6.3 points, 16.9 +- 11.7 in distance), accumulate-subsample < mix holds in
distance (9.2 +- 6.1) and is undecided in variance (6.1 +- 10.6). Fresh, accumulate and accumulate-subsample cannot be
distinguished: theory has them within 1.1 points. No pair has the wrong order. More is lost than the mean of theory,
because a typical mode loses more than the mean one, and presumably because a Gaussian's values beyond black and white
are clipped in every generation. The total variance in the first run of this study (3 seeds) decided nothing: +- 19
points.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from imagelab import (
    Accumulate,
    Breed,
    Contaminate,
    Experiment,
    Faces,
    Fresh,
    Gaussian,
    Golden,
    Mix,
    Replace,
    Runtime,
    Window,
    run,
)
from imagelab.io.pictures import read_npy
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import PRIMARY
from imagelab.pool import REAL
from imagelab.regimes import AnyRegime
from imagelab.runs.threads import prepare_process

ORDER = ("fresh", "accumulate", "accumulate-subsample", "mix", "replace")

REGIMES: dict[str, AnyRegime] = {
    "golden": Golden(),
    "fresh": Fresh(real_fraction=0.25),
    "accumulate": Accumulate(),
    "accumulate-subsample": Accumulate(subsample=True),
    "window of 3": Window(last=3),
    "contaminate 10 %": Contaminate(share=0.1),
    "mix": Mix(real_fraction=0.25),
    "fresh every 3rd": Fresh(real_fraction=0.25, period=3),
    "breed, 2 lines": Breed(real_fraction=0.25),
    "replace": Replace(),
}

DISTANCE = f"frechet_corrected/{PRIMARY}"
MODES = 100


def losses(name: str, seed: int, asked: argparse.Namespace) -> dict[str, float]:
    """Return what one run has lost in its last generation, and what theory says it would."""
    experiment = Experiment(
        name=f"regimes-{name}",
        title=f"{name}, seed {seed}",
        data=Faces(size=32),
        regime=REGIMES[name],
        generator=Gaussian(),
        arms=(Gaussian(),) if name.startswith("breed") else (),
        generations=asked.generations,
        images=asked.images,
        heldout=512,
        metrics=("pixel_variance",),
        seed=seed,
        runtime=Runtime(device="cpu", runs=asked.runs),
    )
    folder = run(experiment)
    heldout = read_npy(folder.shard_path(0) / "heldout.npy")
    real, last = (np.array(folder.images(*shard)) for shard in ((0, REAL), (asked.generations, 0)))
    (law,) = experiment.regime.predictions(asked.generations, len(real), len(experiment.lines))
    assert law.value is not None
    start, end = (spreads(images, heldout) for images in (real, last))
    return {
        "variance": 1 - float(np.exp(np.log(end / start).mean())),
        "theory": 1 - law.value,
        "distance": distance(last, heldout),
        "floor": distance(real, heldout),
    }


def spreads(images: np.ndarray, heldout: np.ndarray) -> np.ndarray:
    """Return the variance of images in each of the strongest modes of held-out real ones: float64 [MODES].

    A few modes have nearly all of the total variance of faces, so the total varies widely from run to run. The
    geometric mean over many modes is the loss of a typical mode in a typical run. Theory gives the expectation, which
    is higher because a few modes gain variance.
    """
    flat, other = (x.reshape(len(x), -1).astype(np.float64) for x in (images, heldout))
    modes = np.linalg.svd(other - other.mean(0), full_matrices=False)[2][:MODES]
    return ((flat - flat.mean(0)) @ modes.T).var(0, ddof=1)


def distance(images: np.ndarray, heldout: np.ndarray) -> float:
    """Return the Fréchet distance to held-out real images, corrected for the numbers of images."""
    found = {m.name: m.value for m in measure_panel(Evidence(ImageSet(heldout), ImageSet(images)), ("frechet",))}
    value = found[DISTANCE]
    if value is None:
        raise ValueError(f"{DISTANCE} could not be measured")
    return value


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return (mean, half width of its 95 % interval by Student's t) over seeds."""
    from scipy.stats import t

    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def verdict(better: str, worse: str, table: dict[str, dict[str, np.ndarray]]) -> str:
    """Return a line on two neighbours in the order: differences paired by seed."""
    answers = []
    for loss, scale, unit in (("variance", 100, " points of variance"), ("distance", 1, " in distance")):
        mean, half = interval(scale * (table[worse][loss] - table[better][loss]))
        word = "holds" if mean > half else "is REVERSED" if mean < -half else "is not decided"
        answers.append(f"{word} ({mean:+.1f} ± {half:.1f}{unit})")
    return f"  {better} < {worse}: {', '.join(answers)}"


def main() -> None:
    """Run what is missing and print the table."""
    ask = argparse.ArgumentParser(description="The regimes of the literature, compared over seeds.")
    ask.add_argument("--all", action="store_true", help="not only the five of the published order")
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--images", type=int, default=100)
    ask.add_argument("--generations", type=int, default=10)
    ask.add_argument("--runs", type=Path, default=Path("runs"))
    asked = ask.parse_args()
    prepare_process()
    if asked.seeds < 3:
        ask.error("--seeds: at least 3, for an interval")
    table: dict[str, dict[str, np.ndarray]] = {}
    for name in REGIMES if asked.all else ORDER:
        rows = [losses(name, seed, asked) for seed in range(asked.seeds)]
        table[name] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        print(f"done: {name}", flush=True)
    print(f"after {asked.generations} generations, n = {asked.images}, {asked.seeds} seeds; mean ± 95 % interval")
    print(f"{'regime':22} {'variance lost, %':>18} {'theory, %':>10} {DISTANCE:>34}")
    for name, row in sorted(table.items(), key=lambda item: item[1]["theory"].mean()):
        lost, far = interval(100 * row["variance"]), interval(row["distance"])
        law = 100 * row["theory"].mean()
        print(f"{name:22} {lost[0]:10.1f} ± {lost[1]:5.1f} {law:10.1f} {far[0]:26.1f} ± {far[1]:5.1f}")
    floor = interval(table["replace"]["floor"])
    print(f"{'real images':22} {'':18} {'':10} {floor[0]:26.1f} ± {floor[1]:5.1f}   (the floor)")
    print("published order, least lost first, neighbours paired by seed:")
    for better, worse in pairwise(ORDER):
        print(verdict(better, worse, table))


if __name__ == "__main__":
    main()
