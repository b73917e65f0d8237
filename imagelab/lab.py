"""The generation loop: read this file first, aloud.

Generation 0 of the archive is real images. Then, generation after generation, on every line: the regime picks a
pool, the recipe is fitted to those images, the model samples new ones from per-image seeds, the metrics read what
came out, and the shard is committed to the run folder. That is all; everything else is recipes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .experiment import Experiment
from .generators import Model, RunContext, divergence_at
from .io.pictures import read_npy
from .measurement import Measurement
from .metrics import Evidence, ImageSet, measure_panel
from .pool import REAL, Archive, Pool
from .run_folder import CHECKPOINT, RunFolder, write_npy, write_shard
from .runs.distributed import fit, sample
from .runs.training_set import training_images
from .seeds import image_seeds, rng_at, seed_at

__all__ = ["Shard", "run"]

BLANKS = 256  # freckle-free control faces copied through every model: enough for a rate known to about 0.05 a face

Floors = Mapping[str, Measurement]
"""What generation 0 measured, by name."""


@dataclass(frozen=True)
class Shard:
    """One shard is finished: generation 0 (line REAL), or what a line made of a generation."""

    generation: int
    line: int
    measurements: tuple[Measurement, ...]


def run(experiment: Experiment, folder: RunFolder, context: RunContext) -> Iterator[Shard]:
    """Run every generation that is not yet in the folder, yielding each shard as it is committed.

    Args:
        experiment: the question.
        folder: where the answer goes; finished shards in it are not made again.
        bench: device, batch, and the callbacks for progress and interruption.

    Raises:
        ValueError: for data that do not suffice.
        Diverged, Interrupted: from training (see generators/base.py).
    """
    if not folder.has(0):
        yield _generation_zero(experiment, folder, context)
    floors = {m.name: m for m in folder.measurements() if m.generation == 0}
    archive = folder.initial_archive()
    rows = range(len(archive.real))
    for generation in range(1, experiment.generations + 1):
        for line in range(len(experiment.lines)):
            if not folder.has(generation, line):
                yield _make(experiment, folder, context, archive, floors, line)
        made = {line: Pool.of(generation, line, rows) for line in range(len(experiment.lines))}
        archive = archive.add(generation, made)


def _generation_zero(experiment: Experiment, folder: RunFolder, context: RunContext) -> Shard:
    """Found the archive: generation 0, real images, and the floor on which every later distance stands."""
    seed, data = experiment.seed, experiment.data
    there = data.available(seed)
    n = min(experiment.images, there["train"] or experiment.images)
    real = data.load("train", n, seed)
    heldout = data.load("heldout", min(experiment.heldout, there["heldout"] or experiment.heldout), seed)
    fresh = experiment.regime.reserve(n, experiment.generations, len(experiment.lines))

    shard = folder.begin(0)
    write_npy(shard / "heldout.npy", heldout.images)
    if fresh:
        write_npy(shard / "reserve.npy", data.load("reserve", fresh, seed).images)
    blank = None if heldout.twins is None else heldout.twins[:BLANKS]
    if blank is not None:
        write_npy(shard / "blank.npy", blank)
    np.savez(shard / "truth.npz", **real.attributes)  # pyright: ignore[reportArgumentType]
    for name in ("probe.npy", "photocopy.npy"):
        write_npy(shard / name, heldout.examples(experiment.tracked))

    measured = _measure(experiment, shard, shard, real.images, blank, context)
    measurements = real.truth() + [m.at(0, REAL, floor=m) for m in measured]
    write_shard(shard, real.images, Pool.of(0, REAL, range(n)), measurements)
    folder.commit(0)
    return Shard(0, REAL, tuple(measurements))


def _make(
    experiment: Experiment, folder: RunFolder, context: RunContext, archive: Archive, floors: Floors, line: int
) -> Shard:
    """Make one shard: pick, fit, sample, copy, measure, commit."""
    generation, n = archive.generation + 1, len(archive.real)
    seed, recipe = experiment.seed, experiment.lines[line]
    pool = experiment.regime(archive, line, n, rng_at(seed, "pool", generation, line))
    start = folder.shard_path(generation - 1, line) / "model" if experiment.warm_start and generation > 1 else None

    training = training_images(experiment, folder, pool, context)
    shard = folder.begin(generation, line)
    with (shard / "train.jsonl").open("w") as log, divergence_at(f"generation {generation}, {recipe.label}"):
        logged = context.logged(log, checkpoint=shard / CHECKPOINT)
        model = fit(recipe, training, seed_at(seed, "train", generation, line), logged, start)
        model.save(shard / "model")
        images = sample(
            model, recipe, shard / "model", image_seeds(seed, "sample", generation, line, range(n)), context
        )
    write_npy(shard / "probe.npy", model.sample(image_seeds(seed, "probe", 0, 0, range(experiment.tracked))))
    blank = _photocopy(model, folder, shard, generation, line)

    measured = _measure(experiment, folder.shard_path(0), shard, images, blank, context)
    measurements = [m.at(generation, line, floors.get(m.name)) for m in measured]
    predicted = experiment.regime.predictions(generation, n, len(experiment.lines), experiment.fresh_draws)
    measurements += [_beside(m, floors).at(generation, line) for m in predicted]
    write_shard(shard, images, pool, measurements)
    folder.commit(generation, line)
    return Shard(generation, line, tuple(measurements))


def _photocopy(model: Model, folder: RunFolder, shard: Path, generation: int, line: int) -> np.ndarray | None:
    """Copy the photocopies of the generation before once more; return the blank control copied by this model."""
    if not model.reconstructs:
        return None
    original = folder.shard_path(generation - 1, line) / "photocopy.npy"
    write_npy(shard / "photocopy.npy", model.reconstruct(read_npy(original)))
    blank = folder.shard_path(0) / "blank.npy"
    return model.reconstruct(read_npy(blank)) if blank.exists() else None


def _measure(
    experiment: Experiment, real: Path, shard: Path, images: np.ndarray, blank: np.ndarray | None, context: RunContext
) -> list[Measurement]:
    """Take the run's panel of metrics: these images against the held-out real ones, features kept in both shards."""
    evidence = Evidence(
        real=ImageSet(read_npy(real / "heldout.npy"), real / "features"),
        fake=ImageSet(images, shard / "features"),
        blank=None if blank is None else ImageSet(blank),
        seed=seed_at(experiment.seed, "measure"),
        device=context.device,
        train=None if shard == real else ImageSet(read_npy(real / "images.npy"), real / "features"),
    )
    return measure_panel(evidence, experiment.panel)


def _beside(predicted: Measurement, floors: Floors) -> Measurement:
    """Theory speaks of the training set; put its ratio on the scale of what that set itself measures."""
    start = floors[predicted.name].value if predicted.name in floors else None
    return replace(predicted, value=(predicted.value or 0.0) * (1.0 if start is None else start))
