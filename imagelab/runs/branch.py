"""Branches: a new run that shares the first generations of an old run (its stem).

Every random number of a run has an address, and a generation depends only on the generations before it. So a run with
the old regime up to generation G and another regime afterwards has the same bytes as the old run up to G. These
generations are copied, each finished shard atomically, and the new run continues from there with the settings of the
old one. The two runs share no file. On the same machine the result is the same folder, with the same content, as a run
of the new experiment from the start.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..experiment import Experiment
from ..io.chain import FEATURES
from ..io.manifest import files_in, is_folder
from ..io.untrusted import regular
from ..pool import REAL, RESERVE
from ..regimes import continued
from ..run_folder import RunFolder
from .kept_models import models_read_by
from .prepare import split_sizes
from .shard_files import write_npy

__all__ = ["adopt", "branch", "branched"]

FREE = ("name", "title", "regime", "generations")
"""Settings in which a branch may differ from its stem; all others affect the first generations."""


def branched(stem: Experiment, asked: Experiment, at: int) -> Experiment:
    """Return the experiment of a branch: the regime of ``stem`` up to generation ``at``, then that of ``asked``.

    Args:
        stem: the experiment that was run.
        asked: the same with another regime, or more generations, or both.
        at: the last generation of the old regime, 1 or more.

    Raises:
        ValueError: if the first generations of the two would differ, or the branch would be the same as the stem.
    """
    if not 1 <= at < asked.generations:
        raise ValueError(
            f"branch: expected to branch at a generation from 1 to {asked.generations - 1}, got {at}. "
            "Raise --generations for a later one."
        )
    changed = {key: pair for key, pair in stem.differences(asked).items() if key.split(".")[0] not in FREE}
    if changed:
        details = "; ".join(f"{key}: expected {old!r}, got {new!r}" for key, (old, new) in changed.items())
        raise ValueError(
            f"branch: generations 1 to {at} would differ from the old run ({details}). "
            "A branch may change the regime and the number of generations; for other changes start a new run."
        )
    settings = {name: getattr(asked, name) for name in Experiment.model_fields}
    whole = Experiment(**{**settings, "regime": continued(stem.regime, at, asked.regime)})
    if whole.signature == stem.signature:
        raise ValueError(
            "branch: expected settings that differ from the old run, got the same. "
            "Give it another regime or more generations."
        )
    return whole


def branch(stem: RunFolder, experiment: Experiment, at: int) -> RunFolder:
    """Return the branch's run folder, with the stem's generations up to ``at``; finished shards are not copied again.

    Args:
        stem: the folder of the old run.
        experiment: from :func:`branched`.
        at: the last generation that is copied.

    Raises:
        ValueError: if generation ``at`` of the stem is not finished, the stem has removed a model that the branch
            reads, or the dataset has too few new real images.
    """
    shards = [(0, REAL), *((t, line) for t in range(1, at + 1) for line in range(len(experiment.lines)))]
    for generation, line in shards:
        if not stem.has(generation, line):
            raise ValueError(
                f"{stem.path}: generation {generation} of line {line} is not finished, so a branch at generation {at} "
                f"is not possible. Continue the run first: imagelab resume {stem.path}"
            )
    n = split_sizes(experiment)["train"]
    for line in range(len(experiment.lines)):
        for shard in models_read_by(experiment, at + 1, line, n):
            stem.model(*shard)
    origin = {"branched_from": _origin(stem, at)}
    folder = RunFolder.create(experiment.folder, experiment.config(), origin)
    with folder.lock():
        for generation, line in shards:
            if not folder.has(generation, line):
                changed = _reserve(stem, experiment) if generation == 0 else {}
                adopt(folder, stem, generation, line, changed)
    return folder


def adopt(
    folder: RunFolder, stem: RunFolder, generation: int, line: int, changed: Mapping[str, np.ndarray | None]
) -> None:
    """Take over a finished shard of the stem, whole or not at all. Its files are compared, and copied.

    Args:
        folder: the branch.
        stem: the run that has the shard.
        generation: which generation.
        line: which line of it.
        changed: arrays to write instead of the stem's, by file name; None to leave one out.
    """
    partial, source = folder.begin(generation, line), stem.shard_path(generation, line)
    whole = {name: stem.file(generation, line, name) for name in stem.files(generation, line) if name not in changed}
    if is_folder(source / FEATURES):
        whole |= {f"{FEATURES}/{name}": source / FEATURES / name for name in files_in(source / FEATURES)}
    for name, path in whole.items():
        regular(path)
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, partial / name, follow_symlinks=False)
    for name, array in changed.items():
        if array is not None:
            write_npy(partial / name, array)
    made_from, made_with = stem.origin(generation, line)
    manifest = stem.manifest(generation, line)
    folder.commit(generation, line, made_from, made_with, manifest.removed if manifest else {})


def _origin(stem: RunFolder, at: int) -> dict[str, Any]:
    """Return the record of the stem in a branch's provenance."""
    surroundings = ("imagelab", "git", "installed", "python", "packages", "platform", "processor")
    settings = ("device", "batch", "processes", "threads", "flags")
    kept = (*surroundings, *settings, "branched_from")
    known = {key: value for key, value in stem.provenance.items() if key in kept}
    return {"run": stem.path.resolve().name, "signature": stem.config["signature"], "until": at, **known}


def _reserve(stem: RunFolder, experiment: Experiment) -> dict[str, np.ndarray | None]:
    """Return reserve.npy with the new real images, if the branch needs more or fewer of them than its stem."""
    initial_archive = stem.initial_archive()
    stored, n, lines = len(initial_archive.reserve), len(initial_archive.real), len(experiment.roles)
    needed = experiment.regime.reserve(n, experiment.generations, lines)
    if stored == needed:
        return {}
    if not needed:
        return {"reserve.npy": None}
    images = experiment.data.load("reserve", needed, experiment.seed).images
    common = min(stored, needed)
    if common and not np.array_equal(stem.images(0, RESERVE)[:common], images[:common]):
        raise ValueError(
            f"{stem.path}: expected the same new real images as this run has used, got others. The dataset has "
            "changed. Run the schedule from the start."
        )
    return {"reserve.npy": images}
