"""Datasets in the formats of the Hugging Face Hub, read from disk: imagefolder, Parquet, ``save_to_disk``.

Parquet and ``save_to_disk`` need only pyarrow (``pip install "imagelab-collapse[data]"``); scripts of datasets are
never run. A column of pictures is a struct of ``bytes`` and ``path``; the ``huggingface`` entry of the schema names the
features. Columns of yes and no become attributes, a column of labels becomes ``class/NAME``. imagelab never downloads:
:class:`Hub` reads the cache of this machine.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..io.annotation_lists import OFFICIAL, changed, class_columns, columns_of, official_splits, split_word
from ..io.arrow import Feature, arrow_catalogue
from ..io.catalogue import Catalogue, digest, file_catalogue, list_pictures, shown
from ..io.listed import present
from ..io.metadata_files import described
from ..io.reading import Reading
from ..io.table_files import parquet_files, saved_files
from .picture_set import FilePath, PictureFiles

__all__ = ["Hub", "HuggingFace"]


class _HubForm(PictureFiles):
    """Base of both datasets: which columns to use, and how a folder in one of the formats is read."""

    image_column: str = ""
    label_column: str = "label"
    official: bool = True
    limit: int = Field(default=20_000, ge=0)

    @abstractmethod
    def _root(self) -> Path:
        """Return the file or folder with the data; ValueError if it does not exist."""

    def _catalogue(self) -> Catalogue:
        root = self._root()
        files = saved_files(root) or parquet_files(root)
        if files:
            feature = Feature(self.image_column, self.label_column)
            catalogue, parts = arrow_catalogue(files, feature, self._reading)
            if root.is_dir():
                catalogue = replace(catalogue, remarks=list_pictures(root).remarks("tables"))
        else:
            catalogue, parts = _image_folder(root, self.label_column, self._reading)
        splits = official_splits(parts) if self.official else None
        return replace(catalogue, splits=splits)


class HuggingFace(_HubForm):
    """A dataset on disk: a folder of pictures with ``metadata.jsonl`` or class folders, Parquet, or ``save_to_disk``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        path: the folder, or one Parquet file.
        image_column: the column of pictures; needed where several columns hold pictures.
        label_column: the column of labels.
        official: whether splits named train and test (or validation) are used; else a seeded permutation.
        limit: use at most this many pictures; 0 for all.
    """

    kind: Literal["hugging_face"] = "hugging_face"
    path: FilePath

    def _root(self) -> Path:
        if not self.path.exists():
            raise ValueError(
                f"{self.kind}: {shown(self.path)} does not exist; expected a folder with metadata.jsonl and "
                f"pictures, with Parquet files, or written by save_to_disk; for the hub's cache use kind hub."
            )
        return self.path

    def _subject(self) -> str:
        return f"the dataset in {shown(self.path)}"


class Hub(_HubForm):
    """A dataset of the Hugging Face Hub that was downloaded before: ``hf download --repo-type dataset OWNER/NAME``.

    The other settings are those of :class:`~imagelab.data.picture_set.PictureFiles`.

    Attributes:
        name: the dataset's name on the hub, OWNER/NAME.
        revision: branch, tag or commit.
        image_column: as in :class:`HuggingFace`.
        label_column: as in :class:`HuggingFace`.
        official: as in :class:`HuggingFace`.
        limit: as in :class:`HuggingFace`.
    """

    kind: Literal["hub"] = "hub"
    name: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: str = "main"

    def _root(self) -> Path:
        try:
            from huggingface_hub import snapshot_download
        except ImportError as error:
            raise ValueError('hub: huggingface_hub is missing: pip install "imagelab-collapse[data]"') from error
        try:
            root = snapshot_download(self.name, repo_type="dataset", revision=self.revision, local_files_only=True)
        except Exception as error:  # the exception for a missing entry differs between versions of the library
            raise ValueError(
                f"hub: {self.name} ({self.revision}) is not in this machine's cache, and imagelab never downloads. "
                f"Download it with: hf download --repo-type dataset {self.name} --revision {self.revision}"
            ) from error
        return Path(root)

    def _subject(self) -> str:
        return f"{self.name} ({self.revision}) of the Hugging Face Hub"


def _image_folder(root: Path, label: str, reading: Reading) -> tuple[Catalogue, list[str]]:
    """Read pictures with metadata files, or in class folders; return also the name of the split of each picture."""
    listing = list_pictures(root)
    known = described(root)
    if not known.tables:
        folders = [entry.name.split("/")[:-1] for entry in listing.entries]
        classes, note = class_columns([shown(f[-1]) if f and f[-1].lower() not in OFFICIAL else None for f in folders])
        parts = [f[0] if f else "" for f in folders]
        return replace(file_catalogue(listing, reading), attributes=classes, note=note), parts
    here = present(listing, known.names)
    catalogue = file_catalogue(here.listing, reading)
    attributes, note = columns_of([known.facts[row] for row in here.rows], label, words=True)
    parts = [split_word(entry.name) for entry in here.listing.entries]
    stamp = digest(catalogue.stamp, [changed(table) for table in known.tables], label)
    return replace(catalogue, stamp=stamp, attributes=attributes, note=note + known.note + here.note), parts
