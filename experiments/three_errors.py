"""Which of the three errors costs what? One loop, one error at a time.

Question:  of finite data, a model that is too small, and a training that is too short, which makes a loop of faces
           collapse, and which only costs something once?
Command:   python experiments/three_errors.py           (--quick to see that it runs; --seeds 2)
           one arm alone, with its report: imagelab run FILE --isolate statistical (or another, or none)
Hardware:  two CPU cores, a few minutes at 32 px; no GPU, no download.
Expect:    nothing on: what is no Gaussian in a face is lost at generation 1, and nothing after it. Finite data: over
           many seeds variance falls as (1 - 1/n)^(t - 1), at every scale alike; one loop wanders far from that mean.
           PPCA: detail is lost once, at generation 1, and nothing after it. A short training loses again in every
           generation, and less the longer it is; what four times its length does not mend is the network's capacity or
           its start.
Refuted by: a variance with nothing on that changes beyond its error; finite data off (1 - 1/n)^(t - 1); PPCA losing
           detail after generation 1; a longer training that loses as much as the short one.

Generation 1 learns from the n real images in every arm: there are no more, and the stream begins with what models make.
So read the change from generation 1 to the last, in which one error alone is at work; "all" is the short training on n
published images, as loops are usually run. Every model is measured on the same number of images of its own, however
few it published, so that the figures are those of the model; +- is the standard error over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from imagelab import Experiment, Faces, Replace, Runtime, Vae
from imagelab.bench import open_run
from imagelab.generators import Bench
from imagelab.images import read_npy
from imagelab.isolate import isolate
from imagelab.lab import run
from imagelab.metrics import Evidence, ImageSet, measure
from imagelab.metrics.features import PRIMARY
from imagelab.seeds import image_seeds
from imagelab.store import RunFolder

INSTRUMENTS = {
    "pixel_variance": "variance, ratio",
    "band_power/8-16": "8-16 c/image, dB",
    f"frechet_corrected/{PRIMARY}": "FD, corrected",
}
LONGER = 4


def question(runs: Path, seed: int, quick: bool) -> Experiment:
    """Return the loop as it is usually run: all three errors on."""
    return Experiment(
        name="three-errors",
        title="Faces in a loop",
        data=Faces(size=32),
        regime=Replace(),
        generator=Vae(latent=16, details=4, width=16, beta=0.3, images_seen=200 if quick else 2_000),
        generations=2 if quick else 4,
        images=64 if quick else 128,
        heldout=64 if quick else 512,
        metrics=("pixel_variance", "spectrum", "frechet"),
        seed=seed,
        runtime=Runtime(device="cpu", runs=runs),
    )


def arms(asked: Experiment, quick: bool) -> dict[str, tuple[Experiment, dict[str, str]]]:
    """Return every arm: settings, and in words what was switched off how."""
    found: dict[str, tuple[Experiment, dict[str, str]]] = {}
    for error in ("none", "statistical", "expressivity", "approximation"):
        alone = isolate(asked, error)
        found[error] = alone.experiment, dict(alone.switches)
    longer = asked.generator.model_copy(update={"images_seen": LONGER * getattr(asked.generator, "images_seen", 0)})
    alone = isolate(asked.model_copy(update={"generator": longer, "name": "longer"}), "approximation")
    found[f"{LONGER} x longer"] = alone.experiment, {"approximation": alone.switches["approximation"]}
    found["all"] = asked, {}
    if quick:  # a short stream: it is only to be seen that it runs
        return {
            name: (one.model_copy(update={"stream": min(one.stream, 2)}), said) for name, (one, said) in found.items()
        }
    return found


def carried_out(experiment: Experiment) -> RunFolder:
    """Return the finished run."""
    folder = open_run(experiment)
    with folder.lock():
        list(run(experiment, folder, Bench()))
    return folder


def figures(folder: RunFolder, experiment: Experiment, drawn: int) -> np.ndarray:
    """Return each instrument at the first and at the last generation, on images drawn for this: float64 [K,2]."""
    real = ImageSet(read_npy(folder.shard_path(0) / "heldout.npy"), folder.shard_path(0) / "features")
    found = np.empty((len(INSTRUMENTS), 2))
    for column, generation in enumerate((1, experiment.generations)):
        model = experiment.generator.load(folder.shard_path(generation) / "model", Bench())
        images = model.sample(image_seeds(experiment.seed, "three-errors", 0, 0, range(drawn)))
        taken = {m.name: m.value for m in measure(Evidence(real, ImageSet(images)), experiment.panel)}
        found[:, column] = [taken[name] for name in INSTRUMENTS]
    return found


def shown(values: np.ndarray) -> str:
    """Return "first -> last (change)" over seeds: float64 [seeds,2]."""
    first, last = values.mean(0)
    change = values[:, 1] - values[:, 0]
    error = f" +- {change.std(ddof=1) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{first:.2f} -> {last:.2f} ({change.mean():+.2f}{error})"


def main() -> None:
    """Run all arms and print the table."""
    options = argparse.ArgumentParser(description="Which of the three errors costs what?")
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--quick", action="store_true", help="small sizes, to see that it runs; no figure to quote")
    options.add_argument("--runs", type=Path, help="keep the runs here")
    options.add_argument("--threads", type=int, default=2)
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    began, drawn = time.monotonic(), 64 if asked.quick else 512
    with tempfile.TemporaryDirectory() as scratch:
        runs = asked.runs or Path(scratch)
        stories = [arms(question(runs, seed, asked.quick), asked.quick) for seed in range(asked.seeds)]
        for name, (_, said) in stories[0].items():
            for error, words in said.items():
                print(f"{name:14s} {error:14s} {words}")
        whole = stories[0]["all"][0]
        last = whole.generations
        print(f"\nn = {whole.images}, {asked.seeds} seeds, generation 1 -> {last}, {drawn} images drawn of each model")
        print(f"{'left on':14s}" + "".join(f"{title:>34s}" for title in INSTRUMENTS.values()) + f"{'seconds':>9s}")
        for name in stories[0]:
            since = time.monotonic()
            asked_for = [story[name][0] for story in stories]
            found = np.stack([figures(carried_out(one), one, drawn) for one in asked_for])
            cells = "".join(f"{shown(found[:, row]):>34s}" for row in range(len(INSTRUMENTS)))
            print(f"{name:14s}{cells}{time.monotonic() - since:9.0f}", flush=True)
        print(f"theory, finite data: variance x {(1 - 1 / whole.images) ** (last - 1):.3f} from generation 1 to {last}")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
