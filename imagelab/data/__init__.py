"""Datasets: where generation 0 comes from. One file a dataset, one row each in :data:`DATASETS`.

Importing this package imports neither torch nor scikit-image nor scikit-learn.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import BadFile, Data, DataRecipe, Sample, Split
from .faces import Faces
from .folder import Folder
from .random_field import RandomField
from .textures import Textures

__all__ = [
    "DATASETS",
    "AnyData",
    "BadFile",
    "Data",
    "DataRecipe",
    "Faces",
    "Folder",
    "RandomField",
    "Sample",
    "Split",
    "Textures",
]

DATASETS = {"faces": Faces, "textures": Textures, "folder": Folder, "random_field": RandomField}
"""Every dataset recipe under the word that names it in JSON and on the command line."""

AnyData = Annotated[Faces | Textures | Folder | RandomField, Field(discriminator="kind")]
"""Any dataset recipe, decoded by its ``kind``."""
