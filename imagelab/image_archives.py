"""Pictures in one file: zip, webdataset tar, Parquet, NPY and NPZ, each as a catalogue or an array mapped from disk."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from .data.arrow_tables import Feature, arrow_catalogue, parquet_files, saved_files
from .data.face_cache import cache_folder
from .data.intake import SUFFIXES, Catalogue, digest, shown
from .data.lists import changed
from .data.web_dataset import WebDataset
from .images import read_rgb

__all__ = ["array_file", "saved_files_in", "table_catalogue", "tar_catalogue", "zip_catalogue"]

WHITE = (255, 255, 255)
MOST_BYTES = 1 << 28  # of one packed picture
STATISTICS = {"mu", "sigma"}  # what other FID programs keep of a set instead of its pictures


def zip_catalogue(path: Path) -> Catalogue:
    """Return the pictures in a zip file, sorted by name; nothing is unpacked onto the disk.

    Raises:
        ValueError: if it is no zip file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole zip file ({error})") from error
    files = [info for info in archive.infolist() if not info.is_dir()]
    members = sorted((info for info in files if _is_picture(info.filename)), key=lambda info: info.filename)

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


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


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


def array_file(path: Path, cache: bool) -> tuple[np.ndarray, str]:
    """Return the pictures of a .npy or .npz file, mapped from disk whatever their type and layout, and a stamp.

    Mapped copy on write: torch takes only arrays that can be written to, and no file is ever changed.

    An array inside a .npz file is unpacked once, streaming, into the cache (or a temporary file) and mapped there.

    Raises:
        ValueError: naming the file, if it is not whole or holds no array of pictures.
    """
    stamp = digest("array", changed(path))
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="c", allow_pickle=False), stamp
        with zipfile.ZipFile(path) as archive:
            member = _array_member(archive)
            return _unpacked(archive, member, digest(stamp, member) if cache else ""), stamp
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(path)}: not a whole {path.suffix} file of pictures ({error})") from error


def _array_member(archive: zipfile.ZipFile) -> str:
    """Return the member that holds pictures: ``images``, or the only array of three or four axes."""
    arrays = {name: _axes(archive, name) for name in archive.namelist() if name.endswith(".npy")}
    keys = {name.removesuffix(".npy") for name in arrays}
    if keys >= STATISTICS:
        raise ValueError("it holds mu and sigma, statistics of features; expected the pictures themselves")
    if "images.npy" in arrays:
        return "images.npy"
    found = [name for name, axes in arrays.items() if axes == 4] or [n for n, axes in arrays.items() if axes == 3]
    if len(found) != 1:
        raise ValueError(f"expected one array of pictures, or one called images; it holds {', '.join(sorted(keys))}")
    return found[0]


def _axes(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return len(read(stream)[0])


def _unpacked(archive: zipfile.ZipFile, member: str, key: str) -> np.ndarray:
    """Return a member, mapped from where it was unpacked to; the file of an empty key is forgotten at once."""
    home = cache_folder("measured") if key else Path(tempfile.gettempdir())
    path = home / f"{key}.npy"
    if key and path.is_file():
        return np.load(path, mmap_mode="c", allow_pickle=False)
    home.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".partial", "imagelab-", home)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream, archive.open(member) as packed:
            shutil.copyfileobj(packed, stream, 1 << 20)
            stream.flush()
            os.fsync(stream.fileno())
        if key:
            partial.replace(path)
            return np.load(path, mmap_mode="c", allow_pickle=False)
        return np.load(partial, mmap_mode="c", allow_pickle=False)
    finally:
        partial.unlink(missing_ok=True)
