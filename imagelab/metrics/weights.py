"""Weights that other people trained, and where this machine keeps them.

FID and LPIPS are the names of exact networks. Their files are looked for in the folder that ``IMAGELAB_WEIGHTS``
names (or ``~/.cache/imagelab/weights``) and in torch hub's checkpoint folder; nothing is ever downloaded from here.
The official file names carry the first eight hex digits of the file's SHA-256, so every file proves itself before it
is read; one that does not match is refused, never used in silence.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .base import NotMeasurable

__all__ = ["VARIABLE", "WEIGHTS", "Weights", "WeightsMissing", "folders", "locate", "status"]

VARIABLE = "IMAGELAB_WEIGHTS"
"""The environment variable that names the folder of weights."""


class WeightsMissing(NotMeasurable):
    """Weights are not on this machine; the text says which file, how large, and where to put it."""


@dataclass(frozen=True)
class Weights:
    """One network's weights.

    Attributes:
        files: the official file names, any of which will do; each ends in the first 8 hex digits of its SHA-256.
        megabytes: size of the file.
        source: where its authors publish it.
        used_for: what cannot be measured without it.
    """

    files: tuple[str, ...]
    megabytes: int
    source: str
    used_for: str


WEIGHTS: dict[str, Weights] = {
    "inception-2015-12-05": Weights(
        ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
        91,
        "https://github.com/mseitzer/pytorch-fid/releases",
        "FID, KID",
    ),
    "alexnet": Weights(
        ("alexnet-owt-7be5be79.pth",),
        233,
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "LPIPS (alex)",
    ),
    "vgg16": Weights(
        ("vgg16-397923af.pth",), 528, "https://download.pytorch.org/models/vgg16-397923af.pth", "LPIPS (vgg)"
    ),
    "squeezenet1_1": Weights(
        ("squeezenet1_1-b8a52dc0.pth",),
        5,
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        "LPIPS (squeeze)",
    ),
}
"""The weights that some metrics need, by name."""


def folders() -> list[Path]:
    """Return where weights are looked for, in this order, whether the folders exist or not."""
    own = os.environ.get(VARIABLE)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = Path(os.environ.get("TORCH_HOME") or caches / "torch").expanduser() / "hub" / "checkpoints"
    return [Path(own).expanduser() if own else caches / "imagelab" / "weights", hub]


def locate(name: str) -> Path:
    """Return the path of weights whose digest has been checked.

    Args:
        name: a key of ``WEIGHTS``.

    Raises:
        WeightsMissing: where no folder holds the file.
        ValueError: for an unknown name, or a file whose SHA-256 is not the one in its name.
    """
    if name not in WEIGHTS:
        raise ValueError(f"weights: unknown name {name!r}; there are {', '.join(WEIGHTS)}")
    path = _find(name)
    if path is None:
        wanted = WEIGHTS[name]
        raise WeightsMissing(
            f"{wanted.used_for}: {wanted.files[0]} is not on this machine (about {wanted.megabytes} MB, published at "
            f"{wanted.source}). Put it into {_short(folders()[0])}, or set {VARIABLE} to the folder that holds it."
        )
    stated, stat = _stated_digest(path.name), path.stat()
    found = _sha256(path, stat.st_size, stat.st_mtime_ns)
    if not found.startswith(stated):
        raise ValueError(f"{path}: SHA-256 begins with {found[:8]}, its name says {stated}; fetch the file again")
    return path


def status() -> list[str]:
    """Return one line of text for each of the weights: present and where, damaged, or missing and where it belongs."""
    lines = []
    for name, wanted in WEIGHTS.items():
        try:
            lines.append(f"{name}: present, {locate(name)} ({wanted.used_for})")
        except WeightsMissing as missing:
            lines.append(f"{name}: missing. {missing}")
        except (ValueError, OSError) as error:
            lines.append(f"{name}: UNUSABLE. {error}")
    return lines


def _find(name: str) -> Path | None:
    places = (folder / file for folder in folders() for file in WEIGHTS[name].files)
    return next((path for path in places if path.is_file()), None)


def _short(path: Path) -> str:
    """Return the path with ~ for the home folder: the text goes into reports, which travel."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _stated_digest(file: str) -> str:
    found = re.search(r"-([0-9a-f]{8})\.pth$", file)
    if found is None:
        raise ValueError(f"weights: the file name {file} does not carry 8 hex digits of its SHA-256")
    return found[1]


@cache
def _sha256(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file; size and time of change only tell the cache when to read it again."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
