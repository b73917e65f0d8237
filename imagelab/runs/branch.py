"""Another ending: a new run that shares the first generations of an old one.

Every random number of a run has an address, and what happens in a generation follows from the generations before it.
So the run that obeys the old regime until generation G and another one afterwards has, up to G, the old run's bytes.
They are taken over, each finished shard whole or not at all, and the run goes on from there; it is the same folder with
the same content that the whole question, asked from the start, would have led to on the same machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..experiment import Experiment
from ..pool import REAL, RESERVE
from ..regimes import continued
from ..run_folder import RunFolder
from .prepare import split_sizes

__all__ = ["branch", "branched"]

FREE = ("name", "title", "regime", "generations")
"""Settings in which a branch may differ from its stem; all others have a hand in the first generations."""


def branched(stem: Experiment, asked: Experiment, at: int) -> Experiment:
    """Return the whole question of a branch: the stem's regime to a generation, then the one asked for.

    Args:
        stem: the experiment that was run.
        asked: the same with another regime, or more generations, or both.
        at: the last generation of the old regime, 1 or more.

    Raises:
        ValueError: if the first generations of the two would not be the same, or nothing is asked that is new.
    """
    if not 1 <= at < asked.generations:
        raise ValueError(
            f"branch: expected to leave the run at a generation from 1 to {asked.generations - 1}, got {at}. "
            "Raise --generations to go further."
        )
    apart = {key: pair for key, pair in stem.differences(asked).items() if key.split(".")[0] not in FREE}
    if apart:
        told = "; ".join(f"{key}: {old!r} there, {new!r} asked for" for key, (old, new) in apart.items())
        raise ValueError(
            f"branch: generations 1 to {at} would not be those of the old run ({told}). "
            "A branch may change the regime and the number of generations; run anything else from the start."
        )
    settings = {name: getattr(asked, name) for name in Experiment.model_fields}
    whole = Experiment(**{**settings, "regime": continued(stem.regime, at, asked.regime)})
    if whole.signature == stem.signature:
        raise ValueError("branch: this is the run that is there already. Give it another regime or more generations.")
    return whole


def branch(stem: RunFolder, experiment: Experiment, at: int) -> RunFolder:
    """Return the branch's run folder, with the stem's generations up to ``at`` in it; finished shards are kept.

    Args:
        stem: the old run. experiment: from :func:`branched`. at: the last generation taken over.

    Raises:
        ValueError: if the stem has not come that far, or the dataset cannot give the new real images that are needed.
    """
    shards = [(0, REAL), *((t, line) for t in range(1, at + 1) for line in range(len(experiment.lines)))]
    for generation, line in shards:
        if not stem.has(generation, line):
            raise ValueError(
                f"{stem.path}: generation {generation} of line {line} is not finished, so nothing can branch off at "
                f"{at}. Go on with it first: imagelab resume {stem.path}"
            )
    split_sizes(experiment)
    folder = RunFolder.create(experiment.folder, experiment.config())
    with folder.lock():
        if not folder.provenance:
            folder.write_provenance({"branched_from": _origin(stem, at)})
        for generation, line in shards:
            if not folder.has(generation, line):
                changed = _reserve(stem, experiment) if generation == 0 else {}
                folder.adopt(stem, generation, line, changed)
    return folder


def _origin(stem: RunFolder, at: int) -> dict[str, Any]:
    """Return what a branch's provenance says of its stem."""
    kept = ("imagelab", "git", "python", "packages", "platform", "processor", "device", "threads", "branched_from")
    known = {key: value for key, value in stem.provenance.items() if key in kept}
    return {"run": stem.path.resolve().name, "signature": stem.config["signature"], "until": at, **known}


def _reserve(stem: RunFolder, experiment: Experiment) -> dict[str, np.ndarray | None]:
    """Return the file of new real images where the branch needs more or fewer of them than its stem did."""
    initial_archive = stem.initial_archive()
    held, n, lines = len(initial_archive.reserve), len(initial_archive.real), len(experiment.lines)
    needed = experiment.regime.reserve(n, experiment.generations, lines)
    if held == needed:
        return {}
    if not needed:
        return {"reserve.npy": None}
    images = experiment.data.load("reserve", needed, experiment.seed).images
    common = min(held, needed)
    if common and not np.array_equal(stem.images(0, RESERVE)[:common], images[:common]):
        raise ValueError(
            f"{stem.path}: the dataset now gives other new real images than those this run has used. "
            "Run the schedule from the start."
        )
    return {"reserve.npy": images}
