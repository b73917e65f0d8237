"""Which models a run keeps on the disk: all of them, those of the newest generations, or none.

A model is most of what a run writes, and few of them are read again: a warm start reads the model before, fresh draws
those of the training set. ``Runtime.keep`` says what happens to the others once their generation is finished:

    models   they are kept
    last     of each line the newest is kept, and what one more generation would read: the run can be branched there
    none     kept are only those that the rest of the run reads; when it is finished, none

Images and measurements are always kept, with the same bytes. The manifest of a generation lists a removed model with
sizes and SHA-256 as before, as removed. So its digest stays the same, and with it all that was made from it and every
seal: a removed model is neither damage nor a loose end. It is listed as removed first and deleted then, so a kill
between the two leaves files that the next call deletes.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

from ..experiment import Experiment, Keep
from ..io.manifest import MODEL
from ..run_folder import RunFolder

__all__ = ["forget_models", "models_read_by", "models_to_keep", "remove_model", "thin_finished"]


def forget_models(experiment: Experiment, folder: RunFolder, keep: Keep) -> int:
    """Remove the models of finished shards that are not to be kept, and return how many. Needs the run's lock.

    Args:
        experiment: of the run.
        folder: the run.
        keep: which are kept; see the module.
    """
    if keep == "models" or not folder.sealed:
        return 0
    kept = models_to_keep(experiment, folder, keep)
    spare = [shard for shard in folder.shards() if shard[0] and shard not in kept]
    return sum(remove_model(folder, *shard) for shard in spare)


def thin_finished(experiment: Experiment, folder: RunFolder) -> None:
    """Remove the models of a finished run that ``experiment.runtime.keep`` asks not to keep, if it says so."""
    if experiment.runtime.keep not in (None, "models"):
        with folder.lock():
            forget_models(experiment, folder, experiment.runtime.keep)


def models_to_keep(experiment: Experiment, folder: RunFolder, keep: Keep) -> set[tuple[int, int]]:
    """Return the (generation, line) pairs of all models that unfinished shards read, or that ``keep`` asks for."""
    lines, last = range(len(experiment.lines)), experiment.generations
    there = set(folder.shards())
    if keep == "models":
        return {shard for shard in there if shard[0]}
    newest = {(max((t for t, k in there if k == line), default=0), line) for line in lines} if keep == "last" else set()
    until = last + (keep == "last")
    n = len(folder.initial_archive().real)
    unfinished = [(t, line) for t in range(1, until + 1) for line in lines if (t, line) not in there]
    return newest.union(*(models_read_by(experiment, t, line, n) for t, line in unfinished))


def remove_model(folder: RunFolder, generation: int, line: int) -> bool:
    """Remove the model of a finished shard; return whether it had one. The manifest says so before a file is deleted.

    Raises:
        ValueError: if the shard is not what the run wrote; then nothing is removed.
    """
    manifest, place = folder.manifest(generation, line), folder.shard_path(generation, line)
    if manifest is None:
        return False
    removed = {name: facts for name, facts in manifest.files.items() if name.startswith(MODEL)}
    if removed:
        folder.checked(generation, line)  # the new manifest is younger than the files and would hide a change
        kept = {name: facts for name, facts in manifest.files.items() if name not in removed}
        replace(manifest, files=kept, removed={**manifest.removed, **removed}).replace_in(place)
    if (removed or manifest.removed) and (place / MODEL).is_dir():
        shutil.rmtree(place / MODEL)
        return True
    return False


def models_read_by(experiment: Experiment, generation: int, line: int, n: int) -> set[tuple[int, int]]:
    """Return the (generation, line) pairs of the models that are read when a shard is made.

    Args:
        experiment: of the run.
        generation: of the shard.
        line: of the shard.
        n: images of a generation.
    """
    here = experiment.line(line)
    read = (
        {(generation - 1, line)} if experiment.begins_from_before(line) and generation > 1 else set[tuple[int, int]]()
    )
    if experiment.fresh_draws > 1:
        parts = experiment.regime.composition(generation, here.role, n, len(here.together))
        read |= {(t, here.together[k]) for part in parts for t, k in part.shards if t > 0}
    return read
