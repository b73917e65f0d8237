"""Pictures in archives and tables: zip, webdataset tar, Parquet, each as a catalogue of which nothing is unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from .data.arrow_tables import Feature, arrow_catalogue, parquet_files, saved_files
from .data.intake import SUFFIXES, Catalogue, digest, shown
from .data.lists import changed
from .data.web_dataset import WebDataset
from .images import read_rgb

__all__ = ["saved_files_in", "table_catalogue", "tar_catalogue", "zip_catalogue"]

WHITE = (255, 255, 255)
MOST_BYTES = 1 << 28  # of one packed picture


def zip_catalogue(path: Path) -> Catalogue:
    """Return the pictures in a zip file, sorted by name; nothing is unpacked onto the disk.

    Raises:
        ValueError: if it is no zip file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole zip file ({error})") from error
    files = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    pictures = [info for info in files if PurePosixPath(info.filename).suffix.lower() in SUFFIXES]
    members = sorted(pictures, key=lambda info: info.filename)

    def read(row: int) -> np.ndarray:
        if members[row].file_size > MOST_BYTES:
            raise ValueError(f"{members[row].file_size} bytes are too many for one picture")
        try:
            content = archive.read(members[row])
        except Exception as error:  # damaged or encrypted members raise almost anything
            raise ValueError(f"cannot be unpacked: {error}") from error
        return read_rgb(io.BytesIO(content), WHITE)

    names = tuple(shown(info.filename) for info in members)
    stamp = digest("zip", changed(path))
    return Catalogue(stamp, names, read, home=f"{shown(path.name)}:", ignored=len(files) - len(members))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def tar_catalogue(path: Path) -> Catalogue:
    """Return the pictures in a tar file, or in the tar files of a folder (webdataset shards)."""
    return WebDataset(path=path, official=False)._catalogue()


def saved_files_in(folder: Path) -> bool:
    """Return whether a folder was written by ``datasets.save_to_disk``."""
    return bool(saved_files(folder))


def table_catalogue(path: Path) -> Catalogue:
    """Return the pictures in a Parquet file, a folder of them, or what ``datasets.save_to_disk`` wrote."""
    files = (saved_files(path) if path.is_dir() else []) or parquet_files(path)
    return arrow_catalogue(files, Feature("", "label"), WHITE)[0]
