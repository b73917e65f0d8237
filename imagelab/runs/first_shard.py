"""Generation 0 of a run: the real images, what is known of them, and the floor of every measurement."""

from __future__ import annotations

import numpy as np

from ..experiment import Experiment
from ..generators import RunContext
from ..pool import REAL, Pool
from ..run_folder import RunFolder
from .evidence import measure_shard, write_groups
from .planted import write_counter
from .shard_files import write_images, write_measurements, write_npy

__all__ = ["first_shard"]

BLANKS = 256  # freckle-free control faces copied through every model: enough for a rate known to about 0.05 a face


def first_shard(experiment: Experiment, folder: RunFolder, context: RunContext) -> None:
    """Make generation 0: the real images, and the floor, real images measured against held-out real ones."""
    seed, data = experiment.seed, experiment.data
    there = data.available(seed)
    n = min(experiment.images, there["train"] or experiment.images)
    real = data.load("train", n, seed)
    heldout = data.load("heldout", min(experiment.heldout, there["heldout"] or experiment.heldout), seed)
    reserve = experiment.regime.reserve(n, experiment.generations, len(experiment.roles))

    shard = folder.begin(0)
    write_npy(shard / "heldout.npy", heldout.images)
    if reserve:
        write_npy(shard / "reserve.npy", data.load("reserve", reserve, seed).images)
    if experiment.blank_twins and real.twins is not None:
        write_npy(shard / "twins.npy", real.twins)
    blank = None if heldout.twins is None else heldout.twins[:BLANKS]
    if blank is not None:
        write_npy(shard / "blank.npy", blank)
    np.savez(shard / "truth.npz", **real.attributes)  # pyright: ignore[reportArgumentType]
    write_groups(shard, real, heldout)
    write_counter(experiment, shard)
    for name in ("probe.npy", "photocopy.npy"):
        write_npy(shard / name, heldout.examples(experiment.tracked))

    measured = measure_shard(experiment, shard, shard, real.images, blank, context)
    write_images(shard, real.images, Pool.of(0, REAL, range(n)))
    write_measurements(shard, real.truth() + [m.at(0, REAL, floor=m) for m in measured])
