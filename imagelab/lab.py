"""The generation loop: read this file first.

Generation 0 of the archive is real images. Then, generation after generation, on every line: the regime picks a pool,
the generator is fitted to those images, the model samples new ones from per-image seeds, the curation decides which are
published, the metrics read them, and the shard is committed to the run folder. Everything else is recipes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .experiment import Experiment
from .generators import RunContext, divergence_at
from .measurement import Measurement
from .pool import REAL, Archive, Pool
from .run_folder import CHECKPOINT, RunFolder
from .runs.distributed import fit, sample
from .runs.environment import made_with
from .runs.evidence import curate, measure_shard, photocopy
from .runs.predictions import Floors, predictions
from .runs.shard_files import write_npy, write_shard
from .runs.training_set import training_images
from .seeds import image_seeds, rng_at, seed_at

__all__ = ["Shard", "run_generations"]

BLANKS = 256  # freckle-free control faces copied through every model: enough for a rate known to about 0.05 a face


@dataclass(frozen=True)
class Shard:
    """One shard is finished: generation 0 (line REAL), or what a line made of a generation."""

    generation: int
    line: int
    measurements: tuple[Measurement, ...]


def run_generations(experiment: Experiment, folder: RunFolder, context: RunContext) -> Iterator[Shard]:
    """Run every generation that is not yet in the folder, yielding each shard as it is committed.

    This is the loop alone; :func:`imagelab.run` also locks the folder, records the environment and tries everything
    first.

    Args:
        experiment: what to run.
        folder: where the results go; finished shards in it are not made again.
        context: device, batch, and the callbacks for progress and interruption.

    Raises:
        ValueError: for data that do not suffice.
        Diverged: if a training ran away.
        Interrupted: if ``context.should_stop`` said so.
    """
    if not folder.has(0):
        yield _generation_zero(experiment, folder, context)
    floors = {m.name: m for m in folder.measurements() if m.generation == 0}
    archive = folder.initial_archive()
    rows = range(len(archive.real))
    for generation in range(1, experiment.generations + 1):
        for line in range(len(experiment.lines)):
            if not folder.has(generation, line):
                yield _next_shard(experiment, folder, context, archive, floors, line)
        made = {line: Pool.of(generation, line, rows) for line in range(len(experiment.lines))}
        archive = archive.add(generation, made)


def _generation_zero(experiment: Experiment, folder: RunFolder, context: RunContext) -> Shard:
    """Make generation 0: the real images, and the floor, real images measured against held-out real ones."""
    seed, data = experiment.seed, experiment.data
    there = data.available(seed)
    n = min(experiment.images, there["train"] or experiment.images)
    real = data.load("train", n, seed)
    heldout = data.load("heldout", min(experiment.heldout, there["heldout"] or experiment.heldout), seed)
    reserve = experiment.regime.reserve(n, experiment.generations, len(experiment.lines))

    shard = folder.begin(0)
    write_npy(shard / "heldout.npy", heldout.images)
    if reserve:
        write_npy(shard / "reserve.npy", data.load("reserve", reserve, seed).images)
    blank = None if heldout.twins is None else heldout.twins[:BLANKS]
    if blank is not None:
        write_npy(shard / "blank.npy", blank)
    np.savez(shard / "truth.npz", **real.attributes)  # pyright: ignore[reportArgumentType]
    for name in ("probe.npy", "photocopy.npy"):
        write_npy(shard / name, heldout.examples(experiment.tracked))

    measured = measure_shard(experiment, shard, shard, real.images, blank, context)
    measurements = real.truth() + [m.at(0, REAL, floor=m) for m in measured]
    write_shard(shard, real.images, Pool.of(0, REAL, range(n)), measurements)
    folder.commit(0, made_with=made_with(context))
    return Shard(0, REAL, tuple(measurements))


def _next_shard(
    experiment: Experiment, folder: RunFolder, context: RunContext, archive: Archive, floors: Floors, line: int
) -> Shard:
    """Make one shard: pick the pool, fit, sample, curate, copy, measure, commit."""
    generation, n = archive.generation + 1, len(archive.real)
    seed, recipe = experiment.seed, experiment.lines[line]
    pool = experiment.regime(archive, line, n, rng_at(seed, "pool", generation, line))
    start = folder.checked(generation - 1, line) / "model" if experiment.warm_start and generation > 1 else None
    seeds = image_seeds(seed, "sample", generation, line, range(experiment.curation.candidates(n)))

    training = training_images(experiment, folder, pool, context)
    real, shard = folder.checked(0), folder.begin(generation, line)
    with (shard / "train.jsonl").open("w") as log, divergence_at(f"generation {generation}, {recipe.label}"):
        logged = context.logged(log, checkpoint=shard / CHECKPOINT)
        model = fit(recipe, training, seed_at(seed, "train", generation, line), logged, start)
        model.save(shard / "model")
        candidates = sample(model, recipe, shard / "model", seeds, context)
    images = curate(experiment, real, shard, candidates, context, generation, line)
    write_npy(shard / "probe.npy", model.sample(image_seeds(seed, "probe", 0, 0, range(experiment.tracked))))
    blank = photocopy(model, folder, shard, generation, line)

    measured = measure_shard(experiment, real, shard, images, blank, context)
    measurements = [m.at(generation, line, floors.get(m.name)) for m in measured]
    measurements += predictions(experiment, real, generation, line, n, floors)
    write_shard(shard, images, pool, measurements)
    made_from = [(0, REAL), (generation - 1, line), *pool.shards()]
    folder.commit(generation, line, made_from, made_with(context))
    return Shard(generation, line, tuple(measurements))
