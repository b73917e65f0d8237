"""The files of a published diffusers pipeline: where they are on this machine, which are used, and their digest.

A pipeline is a folder with ``model_index.json``, which names the class of the pipeline and of its parts, and one folder
for each part. Older ones (google/ddpm-...) have the files of their only network beside ``model_index.json``; both
layouts are read. Nothing is downloaded, and no code comes from these files: the classes that are supported stand in
:data:`SUPPORTED`. Weights are read from safetensors only, because pickled weights (.bin, .pt) can hold code.

What is not needed is not read: safety checker, feature extractor, image encoder.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from ..io.identity import state_of
from ..io.untrusted import few, json_value, quoted, regular, shown

__all__ = [
    "SCHEDULERS",
    "SUPPORTED",
    "PublishedPipeline",
    "fetching_command",
    "find_pipeline",
    "is_hub_name",
    "pipeline_files",
]

INDEX, CONFIG = "model_index.json", "config.json"
NET_WEIGHTS, TEXT_WEIGHTS = "diffusion_pytorch_model.safetensors", "model.safetensors"
SCHEDULER = "scheduler_config.json"
WORDS = ("tokenizer.json", "vocab.json", "merges.txt")
MORE_WORDS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""The files of a tokenizer: those with its words, and those that may lie beside."""

LARGEST_INDEX = 1 << 20  # bytes of a model_index.json; those that are published have about 500

Form = Literal["pixels", "latent", "text"]

SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
)
"""Schedulers whose settings state the noise levels of training, x_t = sqrt(a_t) x + sqrt(1 - a_t) e."""

_PIXELS = {"unet": ("UNet2DModel",), "scheduler": SCHEDULERS}
SUPPORTED: dict[str, tuple[Form, dict[str, tuple[str, ...]]]] = {
    "DDPMPipeline": ("pixels", _PIXELS),
    "DDIMPipeline": ("pixels", _PIXELS),
    "LDMPipeline": ("latent", {**_PIXELS, "vqvae": ("VQModel", "AutoencoderKL")}),
    "StableDiffusionPipeline": (
        "text",
        {
            "unet": ("UNet2DConditionModel",),
            "scheduler": SCHEDULERS,
            "vae": ("AutoencoderKL",),
            "text_encoder": ("CLIPTextModel",),
            "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
        },
    ),
}
"""Class of a pipeline -> its form, and for each part that is used the classes that are supported."""


@dataclass(frozen=True)
class PublishedPipeline:
    """A pipeline on this disk whose needed files are all there.

    Attributes:
        model: its name on the hub, or its folder.
        revision: of the hub; "" for the usual one.
        folder: the folder of model_index.json.
        name: class of the pipeline.
        form: pixels, latent or text.
        parts: part -> (class, folder).
        files: path relative to the folder -> path of every file that is used.
    """

    model: str
    revision: str
    folder: Path
    name: str
    form: Form
    parts: Mapping[str, tuple[str, Path]]
    files: Mapping[str, Path]

    @property
    def coder(self) -> str:
        """The name of the part that encodes images as latents: vae or vqvae; "" for none."""
        return next((part for part in ("vae", "vqvae") if part in self.parts), "")

    @cached_property
    def digests(self) -> dict[str, str]:
        """Path relative to the folder -> SHA-256 of the content, in hex, of every file that is used."""
        return {name: _file_sha256(path) for name, path in self.files.items()}

    @property
    def digest(self) -> str:
        """SHA-256 of the names and contents of all files that are used, in hex."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def remedy(self) -> str:
        """What to do about a damaged file."""
        if is_hub_name(self.model):
            return f"Fetch it again: {fetching_command(self.model, self.revision)} --force-download"
        return "Restore the file from a copy, or save the pipeline again with save_pretrained"


def is_hub_name(model: str) -> bool:
    """Return whether a name is one of the hub, ``org/name``; a folder is written with ``./``, ``~/`` or ``/``.

    Example:
        >>> is_hub_name("google/ddpm-cifar10-32"), is_hub_name("./google/ddpm-cifar10-32"), is_hub_name("toy")
        (True, False, False)
    """
    return re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", model) is not None


def fetching_command(model: str, revision: str = "", *files: str) -> str:
    """Return the command that fetches a pipeline of the hub, or some of its files.

    Example:
        >>> fetching_command("org/name", "", "unet/config.json")
        'hf download org/name unet/config.json'
    """
    usual = ("*.json", "*.txt", f"*{TEXT_WEIGHTS}")  # the last fits the weights of every part, and no other variant
    what = " ".join(files) or " ".join(f'--include "{each}"' for each in usual) + ' --exclude "safety_checker/*"'
    return f"hf download {model} {what}" + (f" --revision {revision}" if revision else "")


def pipeline_files(model: str, revision: str) -> dict[str, str]:
    """Return the files that a run is bound to, without their place: model/path -> digest, 12 hex digits.

    Raises:
        ValueError: see :func:`find_pipeline`. A run cannot be named before its files are there.
    """
    found = find_pipeline(model, revision).digests
    return {f"{model}/{name}": digest[:12] for name, digest in sorted(found.items())}


def find_pipeline(model: str, revision: str = "") -> PublishedPipeline:
    """Return a pipeline that is on this machine.

    Args:
        model: ``org/name`` of the hub, looked for in the cache of the hub; or a folder.
        revision: branch, tag or commit of the hub; "" for the main branch.

    Raises:
        ValueError: where it is not there, is of a class that is not supported, or lacks a file: what was looked for,
            where, and the command that fetches it.
    """
    folder = _cached(model, revision) if is_hub_name(model) else Path(model)
    path = folder / INDEX
    if not path.is_file():
        raise ValueError(
            f"{shown(folder)}: expected the folder of a diffusers pipeline, with {INDEX}; "
            + (f"there is {_listed(folder)}" if folder.is_dir() else "there is no such folder")
            + ". Give a folder written by save_pretrained, or org/name of the hub"
        )
    if regular(path).st_size > LARGEST_INDEX:
        raise ValueError(f"{shown(path)}: expected a few names in JSON, got {path.stat().st_size:,} bytes")
    index = json_value(path.read_bytes(), path)
    name = index.get("_class_name") if isinstance(index, dict) else None
    if not isinstance(index, dict) or name not in SUPPORTED:
        raise ValueError(
            f"{shown(path)}: pipelines of class {quoted(name, 60)} are not supported. Supported are "
            f"{', '.join(SUPPORTED)}"
        )
    form, wanted = SUPPORTED[str(name)]
    parts = {part: (_class_of(path, index, part, classes), _place(folder, part)) for part, classes in wanted.items()}
    files = {INDEX: path}
    for part, (kind, place) in parts.items():
        for file in _files_of(part, place, model, revision, kind):
            files[file.relative_to(folder).as_posix()] = file
    return PublishedPipeline(model, revision, folder, str(name), form, parts, files)


def _cached(model: str, revision: str) -> Path:
    """Return the folder of a pipeline in the cache of the hub."""
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(model, INDEX, revision=revision or None)
    if isinstance(found, str):
        return Path(found).parent
    beside = f" There is a folder of this name here: for that write ./{model}." if Path(model).is_dir() else ""
    at = f" at revision {quoted(revision, 60)}" if revision else ""
    raise ValueError(
        f"{model}{at} is not on this machine, and nothing is downloaded by itself. Looked for {INDEX} in the cache of "
        f"the hub, {shown(constants.HF_HUB_CACHE)}.{beside} Fetch it with: {fetching_command(model, revision)}"
    )


def _place(folder: Path, part: str) -> Path:
    """Return the folder of a part; the pipeline's own where there is no other, as in the first layout of diffusers."""
    return folder / part if (folder / part).is_dir() else folder


def _class_of(path: Path, index: Mapping[str, Any], part: str, classes: tuple[str, ...]) -> str:
    entry = index.get(part)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if name not in classes:
        raise ValueError(
            f"{shown(path)}: {part}: expected {' or '.join(classes)}, got {quoted(name, 60)}; other parts are not "
            "supported"
        )
    return str(name)


def _files_of(part: str, place: Path, model: str, revision: str, kind: str) -> list[Path]:
    """Return the files of a part that are read.

    Raises:
        ValueError: naming the first that is missing, and the command that fetches it.
    """
    if part == "tokenizer":
        there = {name for name in (*WORDS, *MORE_WORDS) if (place / name).is_file()}
        needed = ["tokenizer.json"] if "tokenizer.json" in there else list(WORDS[1:])
        extra = sorted(there - set(needed))
    else:
        weights = TEXT_WEIGHTS if part == "text_encoder" else NET_WEIGHTS
        needed, extra = ([SCHEDULER] if part == "scheduler" else [CONFIG, weights]), []
    for name in needed:
        if (place / name).is_file():
            continue
        said = f"{shown(place / name)}: missing; {part} ({kind}) needs it. There is {_listed(place)}."
        pickles = [each for each in _names(place) if each.endswith((".bin", ".pt", ".ckpt", ".pth"))]
        if name.endswith(".safetensors") and pickles:
            said += (
                f" {quoted(pickles[0], 60)} is not read: a pickle can hold code; only safetensors files are. To "
                f"convert its numbers, once and without executing it: {_conversion(place / pickles[0], place / name)} ."
            )
        inside = name if place.name != part else f"{part}/{name}"
        if is_hub_name(model):
            said += " Or fetch it, where the repository has it, with: " if pickles else " Fetch it with: "
            said += fetching_command(model, revision, inside)
            if name == NET_WEIGHTS and not pickles:
                said += ". If the repository has only a .bin, fetch that; the command that converts it is then given"
        else:
            said += " Save the pipeline again with save_pretrained, or copy the file there"
        raise ValueError(said)
    return [place / name for name in (*needed, *extra)]


def _conversion(pickle: Path, target: Path) -> str:
    """Return the command that writes the tensors of a pickle as safetensors; torch executes no code of the file."""
    load = f"torch.load({str(pickle)!r}, weights_only=True, map_location='cpu')"
    return f"python -c {shlex.quote(f'import torch, safetensors.torch as s; s.save_file({load}, {str(target)!r})')}"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _listed(folder: Path) -> str:
    return few(_names(folder)) or "nothing"


def _file_sha256(path: Path) -> str:
    status = regular(path)
    return _sha256_of(path, status.st_size, state_of(status))


@lru_cache(maxsize=4096)
def _sha256_of(path: Path, size: int, state: int) -> str:
    """Return the SHA-256 of a file; size and state are arguments so that a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
