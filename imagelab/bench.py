"""What stands around the loop: the device, the disk, and the record of who ran what with which tools.

Nothing in this file changes a result. It answers the questions asked afterwards: which code, which versions, which
machine, which data, what was wrong with the user's files.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__
from .config import Experiment, Runtime, signature_of
from .store import RunFolder
from .threads import record as threads_record

__all__ = ["choose_device", "disk_need", "open_run", "provenance", "reopen", "split_sizes"]

PACKAGES = ("torch", "torchvision", "diffusers", "accelerate", "lpips", "numpy", "scipy", "scikit-image", "pillow")
SPARE = 200_000_000  # bytes left free on the disk beyond what a run is expected to write


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
    needed = experiment.regime.reserve(sizes["train"], experiment.generations, len(experiment.lines))
    held = there["reserve"]
    if held is not None and needed > held:
        raise ValueError(
            f"regime {experiment.regime.kind}: {needed} fresh real images are needed for {experiment.generations} "
            f"generations, the dataset's reserve holds {held}. Use fewer generations, less real_fraction or more data."
        )
    return {**sizes, "reserve": needed}


def disk_need(experiment: Experiment, sizes: dict[str, int]) -> int:
    """Return about how many bytes the run will write: images, features and models, a little generously."""
    channels, height, width = experiment.data.shape
    image = channels * height * width
    shards = experiment.generations * len(experiment.lines)
    models = 4 * 12_000_000 * shards
    return sum(sizes.values()) * (image + 8_000) + shards * sizes["train"] * (image + 8_000) + models


def open_run(experiment: Experiment) -> RunFolder:
    """Return the experiment's run folder, made if need be, after asking whether the disk can hold it.

    Raises:
        ValueError: for data that do not suffice. OSError: for a disk that is too full.
    """
    if experiment.folder.exists():
        return RunFolder.create(experiment.folder, experiment.config())
    sizes = split_sizes(experiment)
    parent = experiment.folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    free, need = shutil.disk_usage(parent).free, disk_need(experiment, sizes)
    if free < need + SPARE:
        raise OSError(
            f"{parent}: the run will write about {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free. "
            "Free some space, or choose another place with --runtime.runs."
        )
    return RunFolder.create(experiment.folder, experiment.config())


def reopen(folder: RunFolder, runtime: Runtime) -> Experiment:
    """Return the experiment that a run folder was made for.

    Raises:
        ValueError: if its config.json was changed since.
    """
    experiment = Experiment(**folder.config["experiment"], runtime=runtime)
    stored = folder.config
    if experiment.signature != stored["signature"]:
        untouched = signature_of(stored["experiment"]) == stored["signature"]
        reason = "was written by another version of imagelab" if untouched else "was changed by hand"
        whose = "today's" if untouched else "the changed"
        raise ValueError(
            f"{folder.path}: its config.json {reason} (signature {stored['signature']}, the settings give "
            f"{experiment.signature} now). Run {whose} settings as a new run: imagelab run {folder.path}/config.json"
        )
    return experiment


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ValueError: if a CUDA device is asked for that is not there; nothing falls back in silence.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"runtime.device: {device} was asked for and torch sees no CUDA device. Use cpu or auto.")
    if device == "cuda" and os.environ.get("WORLD_SIZE", "1") != "1":  # under torchrun: each process its own
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device


def provenance(experiment: Experiment, folder: RunFolder, device: str) -> dict[str, Any]:
    """Return the record of this run's surroundings, and keep the first session's where the run is resumed."""
    session = {
        "imagelab": __version__,
        "git": _git_state(),
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": f"{os.cpu_count()} x {_processor()}",
        "device": _device_name(device),
        "threads": threads_record(),
    }
    before = folder.provenance
    if before.keys() - {"branched_from"}:
        earlier = before.get("resumed_with", [])
        known = [{key: before.get(key) for key in session}, *earlier]
        return before if session in known else {**before, "resumed_with": [*earlier, session]}
    sizes = split_sizes(experiment)
    record = {
        **before,
        **session,
        "data": {
            "card": experiment.data.card(),
            "counts": sizes,
            "asked": {"train": experiment.images, "heldout": experiment.heldout},
            "bad_files": [asdict(bad) for bad in experiment.data.bad_files()],
        },
        "n": sizes["train"],
        "labels": {str(line): recipe.label for line, recipe in enumerate(experiment.lines)},
    }
    if "freckles" in experiment.panel:
        from .metrics.freckle_calibration import calibrated_sizes, calibration_card, shipped_calibration

        side = experiment.data.shape[1]
        if side in calibrated_sizes():
            record["freckle_calibration"] = calibration_card(shipped_calibration(side))
    return record


def _git_state() -> dict[str, str] | None:
    """The commit the package was run from, and a hash of what differs from it; None outside a checkout."""
    home = Path(__file__).resolve().parent

    def git(*command: str) -> str:
        return subprocess.run(["git", "-C", str(home), *command], capture_output=True, text=True, check=True).stdout

    try:
        commit, changes = git("rev-parse", "HEAD").strip(), git("diff", "HEAD", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else ""}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
