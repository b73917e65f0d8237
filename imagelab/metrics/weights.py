"""Weights of published networks, and where they are on this machine.

FID and LPIPS are defined by exact networks. Their files are looked for in the folder that ``IMAGELAB_WEIGHTS``
names (or ``~/.cache/imagelab/weights``) and in torch hub's checkpoint folder. This file never downloads anything; only
the command ``imagelab weights fetch`` does (cli/download.py), so no run can start a download. Every file is checked
against its SHA-256 before it is read; one that does not match is refused with an error.

Where the digests come from: the authors of four of the files put the first 8 of the 64 hex digits into the file's name.
All other digits, and DINOv2's digest, are those that unconnected public projects recorded of the file at the official
address, with the same size in bytes.

Of the safetensors files of CLIP no digest is known to us (``UNPINNED``): such a file is taken as it lies there, and
every number made with it holds the digest of the file.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..io.identity import state_of
from .base import NotMeasurable

__all__ = [
    "UNPINNED",
    "VARIABLE",
    "WEIGHTS",
    "UnpinnedWeights",
    "Weights",
    "WeightsMissing",
    "WeightsState",
    "folders",
    "locate",
    "short",
    "state",
    "status",
    "unpinned_digest",
]

VARIABLE = "IMAGELAB_WEIGHTS"
"""The environment variable that names the folder of weights."""


class WeightsMissing(NotMeasurable):
    """Weights are not on this machine; the text says which file, how large, and how to get it."""


@dataclass(frozen=True)
class Weights:
    """One network's weights.

    Attributes:
        files: the official file names; several names of the same content, of which one is enough.
        sha256: SHA-256 of the file, 64 hex digits.
        size: its bytes.
        source: where its authors publish it.
        used_for: what cannot be measured without it.
        licence: its licence, and that of its training data.
    """

    files: tuple[str, ...]
    sha256: str
    size: int
    source: str
    used_for: str
    licence: str

    @property
    def megabytes(self) -> int:
        """Size in units of 10^6 bytes."""
        return round(self.size / 1e6)


_TORCHVISION = "BSD-3-Clause (torchvision); trained on ImageNet, which has its own terms"

WEIGHTS: dict[str, Weights] = {
    "inception-2015-12-05": Weights(
        ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95_628_359,
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "FID, KID",
        "Apache-2.0 (TensorFlow, as ported by pytorch-fid); trained on ImageNet, which has its own terms",
    ),
    "dinov2-vitl14": Weights(
        ("dinov2_vitl14_pretrain.pth",),
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        1_217_586_395,
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
        "FD-DINOv2",
        "Apache-2.0 (Meta)",
    ),
    "alexnet": Weights(
        ("alexnet-owt-7be5be79.pth",),
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "LPIPS (alex)",
        _TORCHVISION,
    ),
    "vgg16": Weights(
        ("vgg16-397923af.pth",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "LPIPS (vgg)",
        _TORCHVISION,
    ),
    "squeezenet1_1": Weights(
        ("squeezenet1_1-b8a52dc0.pth",),
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        4_958_839,
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        "LPIPS (squeeze)",
        _TORCHVISION,
    ),
}
"""The weights that some metrics need, by name."""


@dataclass(frozen=True)
class UnpinnedWeights:
    """One network's weights of which no digest is known.

    Attributes:
        hub: its name on the Hugging Face hub.
        used_for: what cannot be measured without it.
        licence: its licence.
    """

    hub: str
    used_for: str
    licence: str

    def fetched(self, folder: Path) -> str:
        """Return the command by which the user gets the file; it needs transformers, and a network."""
        place = f"os.path.expanduser('{short(folder)}')"
        load = f"CLIPVisionModelWithProjection as C; C.from_pretrained('{self.hub}').save_pretrained({place})"
        return f'python -c "import os; from transformers import {load}"'


_CLIP = "MIT (OpenAI's code); the model card asks to use the weights for research"

UNPINNED: dict[str, UnpinnedWeights] = {
    "clip-vit-large-patch14-336": UnpinnedWeights("openai/clip-vit-large-patch14-336", "CMMD", _CLIP),
    "clip-vit-base-patch32": UnpinnedWeights("openai/clip-vit-base-patch32", "cmmd_b32", _CLIP),
}
"""Weights that lie as NAME/model.safetensors in the folder of weights, in the layout of the hub."""


@dataclass(frozen=True)
class WeightsState:
    """The state of one network's weights here: present (a path, no fault), damaged (both) or missing (neither)."""

    path: Path | None
    fault: str = ""

    @property
    def word(self) -> str:
        """One of "present", "DAMAGED" and "missing"."""
        return "missing" if self.path is None else "DAMAGED" if self.fault else "present"


def folders() -> list[Path]:
    """Return the folders in which weights are looked for, in order, existing or not; the first is imagelab's own."""
    own = os.environ.get(VARIABLE)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = Path(os.environ.get("TORCH_HOME") or caches / "torch").expanduser() / "hub" / "checkpoints"
    return [Path(own).expanduser() if own else caches / "imagelab" / "weights", hub]


def state(name: str) -> WeightsState:
    """Return where weights are on this machine and what is wrong with them; reads the whole file once a process.

    Args:
        name: a key of ``WEIGHTS``.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in WEIGHTS:
        raise ValueError(f"weights: unknown name {name!r}; there are {', '.join(WEIGHTS)}")
    official = WEIGHTS[name]
    places = (folder / file for folder in folders() for file in official.files)
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        return WeightsState(None)
    try:
        stat = path.stat()
        actual = _sha256(path, stat.st_size, state_of(stat))
    except OSError as error:
        return WeightsState(path, str(error))
    if actual == official.sha256:
        return WeightsState(path)
    length = "" if stat.st_size == official.size else f" and {stat.st_size:,} bytes, not {official.size:,}"
    return WeightsState(path, f"SHA-256 begins with {actual[:8]}, not {official.sha256[:8]}{length}")


def locate(name: str) -> Path:
    """Return the path of weights whose digest has been checked.

    Args:
        name: a key of ``WEIGHTS``, or of ``UNPINNED``, whose digest is not checked.

    Raises:
        WeightsMissing: where no folder has the file.
        ValueError: for an unknown name, or a file whose SHA-256 is not the official one's.
    """
    if name in UNPINNED:
        return _unpinned(name)
    local, official = state(name), WEIGHTS[name]
    if local.path is None:
        raise WeightsMissing(
            f"{official.used_for}: {official.files[0]} is not on this machine ({official.megabytes} MB). Get it with: "
            f"imagelab weights fetch {name}. Without a network: imagelab weights import PATH, or put it into "
            f"{short(folders()[0])} ({VARIABLE} names another folder)."
        )
    if local.fault:
        raise ValueError(f"{local.path}: {local.fault}. Get it again with: imagelab weights fetch {name}")
    return local.path


def unpinned_digest(name: str) -> str:
    """Return the SHA-256 of weights of ``UNPINNED`` as they lie on this machine, 64 hex digits.

    Raises:
        WeightsMissing: where they do not.
    """
    path = _unpinned(name)
    stat = path.stat()
    return _sha256(path, stat.st_size, state_of(stat))


def _unpinned(name: str) -> Path:
    own, wanted = folders()[0] / name, UNPINNED[name]
    for path in (own / "model.safetensors", own.with_name(f"{name}.safetensors")):
        if path.is_file():
            return path
    raise WeightsMissing(
        f"{wanted.used_for}: {short(own / 'model.safetensors')} is not on this machine. Get it with: "
        f"{wanted.fetched(own)}  ({VARIABLE} names another folder; no digest of this file is known to imagelab)"
    )


def status() -> list[str]:
    """Return the lines of ``imagelab weights list`` and ``imagelab doctor``: three lines for each of the weights."""
    lines = []
    for name, official in WEIGHTS.items():
        local = state(name)
        where = short(local.path or folders()[0] / official.files[0])
        place = {"present": where, "missing": f"fetch puts it at {where}"}.get(local.word, f"{where}: {local.fault}")
        lines += [
            f"{name}: {local.word}, {official.megabytes} MB, for {official.used_for}",
            f"    {place}",
            f"    {official.licence}; {official.source}",
        ]
    for name, wanted in UNPINNED.items():
        try:
            word, place = f"present, digest {unpinned_digest(name)[:8]}", short(_unpinned(name))
        except WeightsMissing:
            word, place = "missing", wanted.fetched(folders()[0] / name)
        except OSError as error:
            word, place = "DAMAGED", str(error)
        lines += [f"{name}: {word} (no official digest is known), for {wanted.used_for}", f"    {place}"]
        lines += [f"    {wanted.licence}; https://huggingface.co/{wanted.hub}"]
    return lines


def short(path: Path) -> str:
    """Return the path with ~ for the home folder, because the text goes into reports that are shared."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


@cache
def _sha256(path: Path, size: int, state: int) -> str:
    """Return the SHA-256 of a file; size and state are arguments so that a changed file is read again."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
