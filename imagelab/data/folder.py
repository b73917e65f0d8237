"""A directory of images as a dataset: the user's own pictures, or pictures sorted into class folders.

PNG, JPEG, WebP, BMP, TIFF, GIF (first frame) and PNM files, in any mixture of sizes and modes; see io/decode.py for how
one picture becomes uint8 [3,size,size]. A file that cannot be used is named with its reason, never dropped in
silence; the splits are a seeded permutation of the pictures that are left, equal ones counted once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from ..io.annotation_lists import OFFICIAL, class_columns, official_splits
from ..io.archives import Archives, archive_catalogue
from ..io.catalogue import Catalogue, Entry, file_catalogue, is_archive, list_pictures, shown
from ..io.reading import Reading
from .picture_set import FilePath, PictureFiles

__all__ = ["Folder", "ImageFolder", "files_at", "place_of_files"]


class Folder(PictureFiles):
    """The pictures of a directory, or of an archive: .zip, .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        path: the directory; ``~`` is expanded and it is stored as an absolute path, so that the same folder gives the
            same experiment from every working directory.
        recursive: whether subfolders are read.
        key: the ending of the pictures of an archive, such as ``jpg`` or ``seg.png``, where its samples have several;
            ``all`` takes each.

    Example:
        >>> Folder(path="pictures").path.is_absolute()
        True
    """

    kind: Literal["folder"] = "folder"
    path: FilePath
    recursive: bool = True
    key: str = ""

    later: ClassVar[frozenset[str]] = PictureFiles.later | {"key"}

    def _catalogue(self) -> Catalogue:
        return files_at(self.path, self.recursive, self.key, self._reading, self.cache)

    def _subject(self) -> str:
        return place_of_files(self.path, self.recursive)


class ImageFolder(PictureFiles):
    """Pictures sorted into a folder for each class: ``PATH/class/x.png``, or ``PATH/train/class/x.png`` and so on.

    The class is the name of the folder that contains the picture, and becomes the attribute ``class/NAME``. If the
    folders of the first level are named train, test (and validation), these are the splits; without a test folder,
    validation is held out.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        path: the directory.
        official: whether folders named train and test are the splits; else these names have no meaning.
    """

    kind: Literal["image_folder"] = "image_folder"
    path: FilePath
    official: bool = True

    def _catalogue(self) -> Catalogue:
        listing = list_pictures(self.path)
        classes, note = class_columns([_class_of(entry) for entry in listing.entries])
        splits = official_splits([entry.name.split("/")[0] for entry in listing.entries]) if self.official else None
        return replace(file_catalogue(listing, self._reading), attributes=classes, note=note, splits=splits)

    def _subject(self) -> str:
        return f"the class folders in {shown(self.path)}"


def files_at(path: Path, recursive: bool, key: str, reading: Reading, cache: bool) -> Catalogue:
    """Return the pictures of a folder or of an archive.

    Args:
        path: the folder or archive.
        recursive: whether subfolders are read.
        key: the ending of the pictures of an archive where its samples have several.
        reading: how a picture is read.
        cache: whether what is unpacked of a packed archive is kept.

    Raises:
        ValueError: if there is no folder or readable archive.
    """
    if is_archive(path.name) and path.exists() and not path.is_dir():
        return archive_catalogue(path, reading, Archives(key, cache=cache))
    return file_catalogue(list_pictures(path, recursive), reading)


def place_of_files(path: Path, recursive: bool) -> str:
    """Return where the pictures are, in words."""
    if is_archive(path.name) and not path.is_dir():
        return f"the archive {shown(path)}"
    return f"the folder {shown(path)}{'' if recursive else ' (subfolders were not read)'}"


def _class_of(entry: Entry) -> str | None:
    folders = entry.name.split("/")[:-1]
    return shown(folders[-1]) if folders and folders[-1].lower() not in OFFICIAL else None
