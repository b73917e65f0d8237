"""Which of the three errors costs what? One loop with one error at a time: statistical, expressivity, approximation.

Question:   finite data, a model that is too small, a training that is too short: which of them makes a loop of faces
            collapse, and which costs something only once?
Command:    python experiments/studies/three_errors.py          (--quick to see that it runs; --seeds 2)
            one arm alone, with its report: imagelab run FILE --isolate statistical (or another, or none)
Hardware:   two CPU cores, a few minutes at 32 px; no GPU, no download.
Expected:   no error: the part of a face that is not Gaussian is lost at generation 1, and after that only what clipping
            to black and white takes. Finite data: over many seeds variance falls as (1 - 1/n)^(t - 1), equally at every
            scale; a single loop deviates far from that mean. PPCA: detail is lost once, at generation 1, and no more
            after that. A short training loses again in every generation, and less the longer it is; what a training
            four times as long does not repair is due to the network's capacity or its initialisation.
Refuted by: a variance that changes by more than clipping where no error is on; finite data that does not follow
            (1 - 1/n)^(t - 1); PPCA that loses detail after generation 1; a longer training that loses as much as the
            short one.

Generation 1 is trained on the n real images in every arm, because there are no more; fresh draws begin with what models
generate. The change from generation 1 to the last therefore shows one error alone; "all" is the short training on n
generated images, as loops are usually run. Every model is measured on the same number of images of its own, however
few of them entered the loop, so that the figures describe the model; +- is the standard error over the seeds.

Seen 2026-11-22, one thread of a busy two-core machine, 377 s: n = 128, seeds 0 and 1, generation 1 -> 4,
512 images drawn of each model. FD is that of imagelab-ssl-v1, corrected for n.
  left on              variance, ratio              8-16 c/image, dB               FD
  none                 .95 -> .88 (-.06 +- .00)     -.03 -> -.27 (-.24 +- .02)     25.8 -> 26.2 (+.3 +- 1.0)
  statistical          .95 -> .90 (-.05 +- .09)     -.03 -> -.21 (-.17 +- .04)     25.8 -> 30.8 (+5.0 +- .8)
  expressivity k = 16  .95 -> .89 (-.06 +- .00)     -1.88 -> -2.08 (-.20 +- .01)   44.5 -> 46.9 (+2.4 +- .1)
  approximation 2,000  .87 -> .80 (-.06 +- .01)     -5.11 -> -5.55 (-.44 +- .15)   57.3 -> 71.0 (+13.7 +- 3.3)
  the same, 8,000      .90 -> .87 (-.02 +- .02)     -4.15 -> -4.81 (-.66 +- .01)   30.5 -> 46.2 (+15.7 +- .7)
  all                  .87 -> .70 (-.17 +- .11)     -5.11 -> -6.19 (-1.07 +- .24)  57.3 -> 106.6 (+49 +- 10)
  theory, finite data  x .977
There is a fourth error that no switch removes: with no error on, variance falls by 6 % in three generations. The cause
is clipping: 1.6 to .8 % of what the Gaussian draws is beyond black or white and is clipped, which takes 2 to 4 % of
the variance each time (measured apart, finite data, one seed: 3.7, 3.0, 1.8 and 2.1 %). Compared with that, finite data
cost FD (+5) and no variance that two seeds could show; PPCA costs 1.9 dB and 19 of FD once, at generation 1, and then
what "none" costs. The VAE costs far more, and again in every generation. Refuted in part: four times the training
repairs what generation 1 costs (FD 57 -> 31) and the variance, but not what the loop then costs (detail -.66 dB, FD
+15.7): that is due to capacity or to publishing decoder means, not to the length of the training. All errors together
cost more than their sum: the FD of "all" grows by 49, short training alone by 14, finite data alone by 5.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from imagelab import Experiment, Faces, Replace, Runtime, Vae, run
from imagelab.generators import RunContext
from imagelab.io.pictures import read_npy
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import PRIMARY
from imagelab.run_folder import RunFolder
from imagelab.runs.error_sources import isolate
from imagelab.seeds import image_seeds

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
    """Return every arm: its settings, and a description of how each other error is switched off."""
    found: dict[str, tuple[Experiment, dict[str, str]]] = {}
    for error in ("none", "statistical", "expressivity", "approximation"):
        alone = isolate(asked, error)
        found[error] = alone.experiment, dict(alone.switches)
    longer = asked.generator.model_copy(update={"images_seen": LONGER * getattr(asked.generator, "images_seen", 0)})
    alone = isolate(asked.model_copy(update={"generator": longer, "name": "longer"}), "approximation")
    found[f"{LONGER} x longer"] = alone.experiment, {"approximation": alone.switches["approximation"]}
    found["all"] = asked, {}
    if quick:  # few fresh draws, only to see that it runs
        return {
            name: (one.model_copy(update={"fresh_draws": min(one.fresh_draws, 2)}), said)
            for name, (one, said) in found.items()
        }
    return found


def carried_out(experiment: Experiment) -> RunFolder:
    """Return the finished run."""
    return run(experiment)


def figures(folder: RunFolder, experiment: Experiment, drawn: int) -> np.ndarray:
    """Return each instrument at the first and at the last generation, on images drawn for this: float64 [K,2]."""
    real = ImageSet(read_npy(folder.shard_path(0) / "heldout.npy"), folder.shard_path(0) / "features")
    found = np.empty((len(INSTRUMENTS), 2))
    for column, generation in enumerate((1, experiment.generations)):
        model = experiment.generator.load(folder.shard_path(generation) / "model", RunContext())
        images = model.sample(image_seeds(experiment.seed, "three-errors", 0, 0, range(drawn)))
        taken = {m.name: m.value for m in measure_panel(Evidence(real, ImageSet(images)), experiment.panel)}
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
    options.add_argument("--threads", type=int, default=1)
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
