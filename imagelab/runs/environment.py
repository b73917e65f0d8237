"""The record of a run's surroundings: which code, which versions, which machine, which data, and which files were bad.

Nothing in this file changes a result. The record is provenance.json in the run folder; a resumed run adds a session.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .._version import __version__
from ..experiment import Experiment
from ..generators import RunContext
from ..generators.base import Kernels
from ..io.own_code import OwnCode, member_of
from ..metrics import Metric
from ..run_folder import RunFolder
from .prepare import split_sizes
from .threads import thread_record as threads_record

__all__ = ["PACKAGES", "installed_digest", "kernel_flags", "made_with", "provenance", "session_record"]


PACKAGES = ("torch", "torchvision", "diffusers", "accelerate", "lpips", "numpy", "scipy", "scikit-image", "pillow")


def provenance(experiment: Experiment, folder: RunFolder, context: RunContext) -> dict[str, Any]:
    """Return the record of this run's surroundings, and keep the first session's where the run is resumed."""
    session = session_record(context)
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
        "labels": {str(line): experiment.label(line) for line in range(len(experiment.lines))},
    }
    if experiment.own_code:
        record["own"] = [_own(code) for code in experiment.own_code]
    if "freckles" in experiment.panel:
        from ..metrics.freckle_calibration import calibrated_sizes, calibration_card, shipped_calibration

        side, style = experiment.data.shape[1], experiment.data.counted_style
        if side in calibrated_sizes(style):
            record["freckle_calibration"] = calibration_card(shipped_calibration(side, style))
    return record


def session_record(context: RunContext) -> dict[str, Any]:
    """Return what is recorded of the code and the machine: versions, platform, device, threads, flags."""
    return {
        "imagelab": __version__,
        "git": _git_state(),
        "installed": installed_digest(),
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": f"{os.cpu_count()} x {processor()}",
        "device": _device_name(context.device),
        "batch": context.batch,
        "processes": context.group.size,
        "threads": threads_record(),
        "flags": kernel_flags(),
        **_kernels_record(context),
    }


def made_with(context: RunContext) -> dict[str, Any]:
    """Return what may change the rounding of a shard's numbers: the settings and versions that it was made with.

    Returns:
        "device": the kind of device and its name. "batch": images in a sampling batch. "threads": of torch.
        "processes": that shared the work. "flags": torch's settings for kernels. "kernels": ours, where they are not
        the defaults. "imagelab", "torch": versions.
    """
    import torch

    return {
        "device": _device_name(context.device),
        "batch": context.batch,
        "threads": torch.get_num_threads(),
        "processes": context.group.size,
        "flags": kernel_flags(),
        **_kernels_record(context),
        "imagelab": __version__,
        "torch": torch.__version__,
    }


def kernel_flags() -> dict[str, Any]:
    """Return torch's settings that choose between kernels, and with them the rounding of sums."""
    import torch

    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": torch.backends.mkldnn.enabled,  # pyright: ignore[reportAttributeAccessIssue]
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
    }


def _kernels_record(context: RunContext) -> dict[str, Any]:
    """Return how the device was told to compute; nothing where that is the default, as in older runs."""
    return {} if context.kernels == Kernels() else {"kernels": asdict(context.kernels)}


def _own(code: OwnCode) -> dict[str, Any]:
    """Return what a report needs to know of a recipe or metric that is not part of this package, without its code."""
    member = member_of(code)
    if isinstance(member, Metric):
        said: dict[str, Any] = {
            "row": member.as_data(),
            "references": [inspect.getdoc(inspect.unwrap(member.measure)) or ""],
        }
    else:
        home = inspect.getmodule(member)
        said = {name: getattr(member, name) for name in ("fed", "noun", "drawn") if hasattr(member, name)}
        said["references"] = [text for text in (inspect.getdoc(member), home and inspect.getdoc(home)) if text]
    return {**asdict(code), **said}


def _git_state() -> dict[str, str] | None:
    """Return the commit of imagelab's own checkout, and a hash of what differs from it; None outside of one.

    The package may be installed inside the repository of another project, whose commit says nothing of this code.
    """
    home = Path(__file__).resolve().parents[1]
    if not (home.parent / ".git").exists() or not (home.parent / "pyproject.toml").is_file():
        return None

    def git(*command: str) -> bytes:
        return subprocess.run(["git", "-C", str(home), *command], capture_output=True, check=True).stdout

    try:
        commit, changes = git("rev-parse", "HEAD").decode().strip(), git("diff", "HEAD", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": hashlib.sha256(changes).hexdigest()[:12] if changes else ""}


@cache
def installed_digest() -> str:
    """Return the SHA-256 over imagelab's own source files as they are installed: names and contents, 64 hex digits.

    It says which code ran where no commit can: in a wheel, or a checkout with changes.
    """
    home, total = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        name = path.relative_to(home).as_posix()
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def processor() -> str:
    """Return the name of this machine's processor, as well as it can be told."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
