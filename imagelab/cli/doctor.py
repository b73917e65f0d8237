"""``imagelab doctor``: a report on this machine and its software; it changes and downloads nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from .._version import DISTRIBUTION, __version__
from ..io.cache import FOLDERS, VARIABLE, cache_entries, cache_folder, limit
from ..metrics.weights import short, status
from ..runs.environment import PACKAGES
from ..runs.threads import default_threads, usable_cores

__all__ = ["examine", "name_clashes", "optional_features"]

FEATURES = {
    "audit": ("starlette", "uvicorn"),
    "slides": ("pptx",),
    "video": ("imageio_ffmpeg",),
    "data": ("datasets", "pyarrow"),
    "sign": ("c2pa", "cryptography"),
    "onnx": ("onnxruntime",),
    "pipelines": ("transformers", "peft"),
    "dicom": ("pydicom",),
    "query": ("duckdb",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "ray": ("ray",),
    "storage": ("s3fs",),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""The extras of the package, and the modules that each brings."""


def examine() -> list[str]:
    """Return the findings as lines of text. Imports torch."""
    import torch

    lines = [f"imagelab {__version__}, Python {sys.version.split()[0]}, {platform.platform()}"]
    lines += name_clashes()
    lines += [f"  {name} {_version(name)}" for name in PACKAGES]
    lines += optional_features()
    lines.append(
        f"processor: {os.cpu_count()} CPUs, {usable_cores()} cores usable; threads of a run: {default_threads()} "
        "(--runtime.threads)"
    )
    if torch.cuda.is_available():
        lines += [f"device cuda:{i}: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    else:
        lines.append("device: no CUDA; runs use the CPU")
    lines.append(
        "precision: a CPU computes in float32; a CUDA device trains networks in bfloat16 and may use TF32 "
        "(--runtime.precision full: float32); closed forms and metrics are float32 everywhere"
    )
    lines.append("speed: imagelab doctor --bench measures what this device reaches, in about two minutes")
    lines.append(f"disk: {shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB free in this folder")
    lines.append(_cache())
    lines.append("weights of the official networks (not needed for the metrics in imagelab's own feature spaces):")
    return lines + [f"  {line}" for line in status()]


def name_clashes() -> list[str]:
    """Return one sentence for each other installed distribution that owns the import folder ``imagelab``.

    The public package index holds another package with the distribution name and the import name ``imagelab``. If both
    are installed in one environment, each overwrites files of the other.
    """
    others = set(metadata.packages_distributions().get("imagelab", ())) - {DISTRIBUTION}
    return [
        f"name clash: the installed distribution {name} {metadata.version(name)} is not {DISTRIBUTION} and uses the "
        f"same import folder imagelab/; run `pip uninstall {name}`, then install {DISTRIBUTION} again."
        for name in sorted(others)
    ]


def optional_features() -> list[str]:
    """Return one line for each extra of the package: whether it is installed, else the command that installs it."""
    lines = []
    for extra, modules in FEATURES.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        state = f"missing: pip install '{DISTRIBUTION}[{extra}]'" if missing else "installed"
        lines.append(f"  extra {extra}: {state}")
    return lines


def _cache() -> str:
    """Return a line about the cache: the size of each part, and the limit."""
    sizes = {folder: sum(entry.size for entry in cache_entries() if entry.folder == folder) for folder in FOLDERS}
    content = ", ".join(f"{folder} {size / 1e6:,.0f} MB" for folder, size in sizes.items() if size) or "empty"
    return (
        f"cache: {short(cache_folder().parent)}: {content}; above {limit() / 1e9:g} GB ({VARIABLE}) the files that "
        "were not used for the longest time are removed before the next run"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"missing: pip install {name}"
