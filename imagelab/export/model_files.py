"""Copying the model of a generation: only files that a model is known to have, and never through a link.

A run folder may be somebody else's. A link in it can point at any file of this machine, a pipe never ends, and a file
that no model has may be anything. Each file is therefore opened without following links, and looked at again after it
was opened; what is not copied is named.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ..io.disk import require_space
from ..io.untrusted import few, shown

__all__ = ["copy_model"]

KNOWN = re.compile(
    r"(unet/)?(config\.json|diffusion_pytorch_model(-\d{5}-of-\d{5})?\.safetensors"
    r"|diffusion_pytorch_model\.safetensors\.index\.json)"
    r"|pipeline\.json|pytorch_lora_weights\.safetensors|model\.safetensors|model_index\.json|scheduler/scheduler_config\.json"
)
KNOWN_FOLDERS = re.compile(r"unet|scheduler")
"""The files and folders that the generators of this package write."""

OF_OWN_CODE = re.compile(r"([\w-]+/){0,2}[\w-][\w.-]*\.(json|safetensors|npz|npy)")
FOLDERS_OF_OWN_CODE = re.compile(r"[\w-]+(/[\w-]+)?")
"""The files and folders that a generator of somebody's own may write: formats that hold no code."""

MOST = 10_000  # files of a folder that are looked at


def copy_model(source: Path, target: Path, own: bool = False) -> list[str]:
    """Copy a model and return what was left out: each name with the reason, sorted.

    Args:
        source: the folder of the model in a finished generation.
        target: an empty folder.
        own: whether the generator is not part of this package, so that the names of its files are not known.

    Raises:
        ValueError: if the folder is missing or a link, or if a file that belongs to a model is no regular file.
        NoRoom: if fewer bytes are free than the model has.
    """
    if source.is_symlink() or not source.is_dir():
        what = "is a link" if source.is_symlink() else "no such folder"
        raise ValueError(f"{shown(source)}: {what}; expected the folder of a model. Nothing was written.")
    known = OF_OWN_CODE if own else KNOWN
    taken: dict[str, int] = {}
    left: list[str] = []
    for name, status in _entries(source, FOLDERS_OF_OWN_CODE if own else KNOWN_FOLDERS):
        kind = _kind(status)
        if not known.fullmatch(name):
            left.append(f"{shown(name)} ({kind or 'not a file of a model'})")
        elif kind:
            raise ValueError(f"{shown(source / name)}: is {kind}; expected the file itself. Nothing was written.")
        else:
            taken[name] = status.st_size
    if not any(own or name.endswith(".safetensors") for name in taken):
        found = few(sorted([*taken, *left])) or "nothing"
        raise ValueError(f"{shown(source)}: expected the weights of a model (.safetensors), found {found}")
    require_space(target, sum(taken.values()))
    for name in taken:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(source, name, target / name)
    return sorted(left)


def _entries(source: Path, folders: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (relative path, status) of all in a folder; only folders of these names are entered, and no link."""
    pending = [""]
    while pending:
        inside = pending.pop()
        with os.scandir(source / inside) as entries:
            for count, entry in enumerate(entries):
                if count == MOST:
                    raise ValueError(f"{shown(source)}: holds more than {MOST:,} files; expected a few")
                name, status = f"{inside}{entry.name}", entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and folders.fullmatch(name):
                    pending.append(f"{name}/")
                else:
                    yield name, status


def _kind(status: os.stat_result) -> str:
    """Return what a file is that is not regular, such as "a link"; "" for a regular file."""
    if stat.S_ISLNK(status.st_mode):
        return "a link"
    if stat.S_ISDIR(status.st_mode):
        return "a folder"
    return "" if stat.S_ISREG(status.st_mode) else "a pipe or device"


def _copy(source: Path, name: str, target: Path) -> None:
    """Copy one regular file; every part of its path is opened without following a link."""
    *folders, file = name.split("/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    handles = [os.open(source, flags | os.O_DIRECTORY)]
    try:
        for folder in folders:
            handles.append(os.open(folder, flags | os.O_DIRECTORY, dir_fd=handles[-1]))
        handle = os.open(file, flags | os.O_NONBLOCK, dir_fd=handles[-1])
        with os.fdopen(handle, "rb") as reader, target.open("xb") as writer:
            if _kind(os.fstat(reader.fileno())):
                raise ValueError(f"{shown(source / name)}: was changed while it was copied. Nothing was written.")
            shutil.copyfileobj(reader, writer, 1 << 20)
    finally:
        for opened in handles:
            os.close(opened)
