"""Before a run: how many images the data give, how much disk it needs, and its folder, new or opened again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..experiment import Experiment, Runtime, signature_of
from ..families import kind_of
from ..io.own_code import OwnCode, load_source, own_code
from ..io.run_records import IMPORTED
from ..io.untrusted import quoted, shown
from ..run_folder import RunFolder
from .consent import allow_commands, require_allowed

__all__ = ["disk_need", "open_run", "recorded_scripts", "reopen", "split_sizes"]

SPARE_BYTES = 200_000_000  # bytes left free on the disk beyond what a run is expected to write


def split_sizes(experiment: Experiment) -> dict[str, int]:
    """Return how many images each split will hold: what was asked for, or all there is where that is less.

    Raises:
        ValueError: if the dataset cannot give at least 4 training and 2 held-out images, or the reserve a regime needs.
    """
    there = experiment.data.available(experiment.seed)
    sizes = {}
    for split, asked, least in (("train", experiment.images, 4), ("heldout", experiment.heldout, 2)):
        held = there[split]
        sizes[split] = asked if held is None else min(asked, held)
        if sizes[split] < least:
            raise ValueError(
                f"the dataset gives {sizes[split]} {split} images; at least {least} are needed. Add images."
            )
    needed = experiment.regime.reserve(sizes["train"], experiment.generations, len(experiment.roles))
    held = there["reserve"]
    if held is not None and needed > held:
        raise ValueError(
            f"regime {kind_of(experiment.regime)}: {needed} fresh real images are needed for {experiment.generations} "
            f"generations, the dataset's reserve holds {held}. Use fewer generations, less real_fraction or more data."
        )
    return {**sizes, "reserve": needed}


def disk_need(experiment: Experiment, sizes: dict[str, int]) -> int:
    """Return about how many bytes the run will write (images, features, models), estimated on the high side."""
    channels, height, width = experiment.data.shape
    image = channels * height * width
    shards = experiment.generations * len(experiment.lines)
    models = 4 * 12_000_000 * shards
    return sum(sizes.values()) * (image + 8_000) + shards * sizes["train"] * (image + 8_000) + models


def open_run(experiment: Experiment) -> RunFolder:
    """Return the experiment's run folder, made if need be, after asking whether the disk can hold it.

    Raises:
        ValueError: for data that do not suffice.
        OSError: for a disk that is too full.
    """
    if experiment.folder.exists():
        return RunFolder.create(experiment.folder, experiment.config())
    sizes = split_sizes(experiment)
    parent = experiment.folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    free, need = shutil.disk_usage(parent).free, disk_need(experiment, sizes)
    if free < need + SPARE_BYTES:
        raise OSError(
            f"{parent}: the run will write about {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free. "
            "Free some space, or choose another place with --runtime.runs."
        )
    return RunFolder.create(experiment.folder, experiment.config())


def reopen(folder: RunFolder, runtime: Runtime, *, allow: bool = False) -> Experiment:
    """Return the experiment that a run folder was made for. Recipes of one's own are loaded from where they were.

    Args:
        folder: the run.
        runtime: how to go on.
        allow: whether the user lets the commands in it be executed, whoever wrote them.

    Raises:
        ValueError: if its config.json, the code of such a recipe or a file that it executes was changed since, or is
            not there; if it executes what the user has not allowed; or if the run was imported.
    """
    stored = folder.config
    if IMPORTED in folder.provenance:
        raise ValueError(
            f"{shown(folder.path)}: was imported. Its images were made elsewhere, so there is nothing here to go on "
            "with. Import it again with more generations: imagelab import"
        )
    own = OwnCode.from_config(stored, folder.path)
    for code in own:
        load_source(code, folder.path)
    scripts = recorded_scripts(stored, folder.path)
    untouched = signature_of(stored["experiment"], own, scripts) == stored["signature"]
    changed = [now for code in own if (now := own_code(code.family, code.name)).digest != code.digest]
    if untouched and changed:
        what = f"{changed[0].what} ({changed[0].source})"
        raise ValueError(
            f"{folder.path}: the code of the {what} was changed since this run was begun. Undo the change to go on "
            f"with it, or start a new run: imagelab run {folder.path}/config.json"
        )
    experiment = Experiment(**stored["experiment"], runtime=runtime)
    if allow:
        allow_commands(experiment)
    require_allowed(experiment, folder.path)
    now = experiment.scripts
    others = [path for path in sorted(scripts.keys() | now.keys()) if scripts.get(path) != now.get(path)]
    if untouched and others:
        what = "was changed" if others[0] in now else "is not there any more"
        raise ValueError(
            f"{folder.path}: the file {shown(others[0])} {what} since this run was begun. Undo that to go on with "
            f"it, or start a new run: imagelab run {folder.path}/config.json"
        )
    if experiment.signature != stored["signature"]:
        reason = "was written by another version of imagelab" if untouched else "was changed by hand"
        whose = "today's" if untouched else "the changed"
        raise ValueError(
            f"{folder.path}: its config.json {reason} (signature {stored['signature']}, the settings give "
            f"{experiment.signature} now). Run {whose} settings as a new run: imagelab run {folder.path}/config.json"
        )
    return experiment


def recorded_scripts(config: Mapping[str, Any], place: Path) -> dict[str, str]:
    """Return the files that a run executes or reads, as its config.json has them: place -> digest.

    Raises:
        ValueError: if the record is damaged.
    """
    recorded = config.get("scripts", {})
    if not isinstance(recorded, Mapping) or not all(isinstance(text, str) for text in recorded.values()):
        raise ValueError(f"{shown(place)}: scripts is damaged: expected path and digest, got {quoted(recorded, 200)}")
    return dict(recorded)
