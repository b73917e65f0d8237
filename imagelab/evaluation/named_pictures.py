"""Opening picture files together with their names, for what goes by names: pairs, groups, batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..io.catalogue import list_pictures
from ..io.decode import Progress
from ..io.untrusted import shown
from .sources import OpenedImages, Opening, open_images

__all__ = ["open_named"]


def open_named(
    folder: Path,
    how: Opening | None = None,
    name: str = "images",
    files: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[OpenedImages, tuple[str, ...]]:
    """Open the picture files of a folder; return them with their names, in the same order, without the bad ones.

    Args:
        folder: a folder of picture files, searched recursively.
        how: what may be done to the pixels; every file is one picture.
        name: of the set in messages.
        files: names in the folder; all that it holds if not given.
        progress: as of :func:`~imagelab.evaluation.sources.open_images`.

    Raises:
        ValueError: for a place that is no folder of picture files, or as ``open_images``.
    """
    how = how or Opening()
    if how.page == "all":
        raise ValueError(f"{name}: --page all gives several pictures one name; choose one page")
    if files is None:
        if not folder.is_dir():
            raise ValueError(f"{name}: expected a folder of picture files, which have names, got {shown(folder)}")
        listing = list_pictures(folder)
        files = [entry.name for entry in listing.entries]
        if not files:
            raise ValueError(f"{name}: {shown(folder)} holds no picture files, whose names are needed here")
    paths = [folder / each for each in files]
    opened = open_images(paths, how, name, progress)
    refused = {bad.path for bad in opened.bad}
    kept = tuple(each for each, path in zip(files, paths, strict=True) if shown(path) not in refused)
    if len(kept) != len(opened):
        raise ValueError(f"{name}: {len(opened)} pictures were read of {len(kept)} files; their names are not certain")
    return opened, kept
