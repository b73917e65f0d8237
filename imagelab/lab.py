"""The generation loop: read this file first.

Generation 0 of the archive is real images. Then, generation after generation, on every line: the regime picks a pool,
the generator is fitted to those images, the model samples new ones from per-image seeds, the curation decides which are
published, the metrics read them, and the shard is committed to the run folder. Everything else is recipes.

A shard is worked on in three steps: :func:`make` (all but the measurements), :func:`assess`, :func:`commit`. This file
takes them one after the other. runs/workers.py takes those of several shards side by side, with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .experiment import Experiment
from .generators import RunContext, divergence_at
from .io.measurements import read_measurements
from .measurement import Measurement
from .pool import REAL, TWINS, Archive, ModelLine, Pool, WholeShards
from .run_folder import CHECKPOINT, RunFolder
from .runs.distributed import fit
from .runs.drawing import draw_shard
from .runs.environment import made_with
from .runs.evidence import blank_twin, copied_blanks, curate, measure_shard, photocopy, take_blanks
from .runs.first_shard import first_shard
from .runs.predictions import predictions
from .runs.shard_files import write_images, write_measurements, write_npy
from .runs.training_set import training_images
from .runs.waiting import Waits, settle, taken_up
from .seeds import image_seeds, rng_at, seed_at

__all__ = ["Shard", "assess", "commit", "make", "run_generations"]


@dataclass(frozen=True)
class Shard:
    """One shard is finished: generation 0 (line REAL), or what a line made of a generation."""

    generation: int
    line: int
    measurements: tuple[Measurement, ...]


def run_generations(experiment: Experiment, folder: RunFolder, context: RunContext) -> Iterator[Shard]:
    """Run every generation that is not yet in the folder, yielding each shard as it is committed.

    Args:
        experiment: what to run.
        folder: where the results go; finished shards in it are not made again.
        context: device, batch, and the callbacks for progress and interruption.

    Raises:
        ValueError: for data that do not suffice.
        Diverged: if a training ran away.
        Interrupted: if ``context.should_stop`` said so, or people have to decide (runs/waiting.py).
    """
    if not folder.has(0):
        first_shard(experiment, folder, context)
        yield commit(experiment, folder, context, 0, REAL)
    for generation in range(1, experiment.generations + 1):
        waits = Waits()  # where people decide, all lines ask before the run stops
        for line in experiment.order:
            if not folder.has(generation, line):
                with waits:
                    make(experiment, folder, context, generation, line)
                if not waits.heard:
                    assess(experiment, folder, context, generation, line)
                    yield commit(experiment, folder, context, generation, line)
        waits.check(folder.path)


def make(
    experiment: Experiment,
    folder: RunFolder,
    context: RunContext,
    generation: int,
    line: int,
    on_read: Callable[[], None] = lambda: None,
) -> None:
    """Make a shard, all but its measurements: pick the pool, fit, sample, curate, copy.

    Args:
        experiment: what to run.
        folder: the shards before must be in it, finished or made.
        context: device, batch, callbacks.
        generation: of the shard, from 1 on.
        line: of the shard.
        on_read: called when everything that is read from other shards has been read.
    """
    here, archive = experiment.line(line), _archive(folder, experiment.line(line), generation)
    n, seed, recipe = len(archive.real), experiment.seed, experiment.lines[line]
    pool = experiment.regime(archive, here.role, n, rng_at(seed, "pool", generation, line))
    start = folder.model(generation - 1, line) if generation > 1 and experiment.begins_from_before(line) else None
    seeds = image_seeds(seed, "sample", generation, line, range(experiment.curation.candidates(n)))
    real, shard = folder.checked(0), folder.begin(generation, line)
    training = training_images(experiment, folder, pool, context, shard)
    copies = photocopy(folder, generation - 1, line)
    on_read()
    drawn = taken_up(shard, recipe, context)
    if drawn is None:
        with (shard / "train.jsonl").open("w") as log, divergence_at(f"generation {generation}, {recipe.label}"):
            logged = context.logged(log, checkpoint=shard / CHECKPOINT)
            model = fit(recipe, training, seed_at(seed, "train", generation, line), logged, start)
            model.save(shard / "model")
            del training  # the disk space of a large one is needed for what is drawn
            drawn = model, draw_shard(experiment, model, recipe, shard, seeds, context)
    model, candidates = drawn
    images = curate(experiment, real, shard, candidates, context, generation, line)
    write_npy(shard / "probe.npy", model.sample(image_seeds(seed, "probe", 0, 0, range(experiment.tracked))))
    if model.reconstructs:
        write_npy(shard / "photocopy.npy", model.reconstruct(copies))
    copied_blanks(model, folder, shard)
    write_images(shard, images, pool)
    folder.mark_made(generation, line)


def assess(experiment: Experiment, folder: RunFolder, context: RunContext, generation: int, line: int) -> None:
    """Measure a shard that was made, and write its measurements. Its twin, where it has one, must be finished."""
    here, shard, real = experiment.line(line), folder.partial(generation, line), folder.checked(0)
    floors = {m.name: m for m in read_measurements(folder.file(0, REAL, "metrics.jsonl"))}
    images = folder.images(generation, line)
    twin = None if here.twin is None else blank_twin(folder, generation, here.twin)
    measured = measure_shard(experiment, real, shard, images, take_blanks(shard), context, here, twin)
    measurements = [m.at(generation, line, floors.get(m.name)) for m in measured]
    write_measurements(shard, measurements + predictions(experiment, real, generation, here, len(images), floors))


def commit(experiment: Experiment, folder: RunFolder, context: RunContext, generation: int, line: int) -> Shard:
    """Make a measured shard part of the run."""
    made_from: list[tuple[int, int]] = []
    if generation:
        twin = experiment.line(line).twin
        made_from = [(0, REAL), (generation - 1, line), *folder.pool(generation, line).shards()]
        made_from += [] if twin is None else [(generation, twin)]
    folder.commit(generation, line, made_from, made_with(context))
    settle(folder.shard_path(generation, line))
    return Shard(generation, line, tuple(read_measurements(folder.file(generation, line, "metrics.jsonl"))))


def _archive(folder: RunFolder, here: ModelLine, generation: int) -> Archive:
    """Return what a line may be trained on: the real images, or their twins, and the images of its chain so far.

    The lines of the chain are numbered from 0 on in it, as a regime knows them.
    """
    initial = folder.initial_archive()
    n = len(initial.real)
    real = Pool.of(0, TWINS, range(n)) if here.blank else initial.real
    shards = {(t, k): (t, line) for t in range(1, generation) for k, line in enumerate(here.together)}
    return Archive(real, initial.reserve, WholeShards(shards, n))
