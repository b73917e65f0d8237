"""Datasets: where generation 0 comes from. One file a dataset, one row each in :data:`DATASETS`.

Importing this package imports neither torch nor scikit-image nor scikit-learn.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..families import Family
from ..io.catalogue import BadFile, Split
from .aircraft import Aircraft
from .arrays import Arrays
from .base import Data, Sample
from .celeba import CelebA
from .cifar import CIFAR10
from .dtd import DTD
from .faces import Faces
from .ffhq import FFHQ
from .flowers import Flowers102
from .folder import Folder, ImageFolder
from .hugging_face import Hub, HuggingFace
from .idx import MNIST, FashionMNIST
from .lfw import LFW
from .marks import MARKS, Dots, Glyph, Mark, Strokes
from .mud import Mud
from .patches import Patches
from .phase_random import PhaseRandom
from .planted import Planted
from .random_field import RandomField
from .textures import Textures
from .weave import Weave
from .web_dataset import WebDataset

__all__ = [
    "CIFAR10",
    "DATASETS",
    "DTD",
    "FFHQ",
    "LFW",
    "MARKS",
    "MNIST",
    "Aircraft",
    "AnyData",
    "Arrays",
    "BadFile",
    "CelebA",
    "Data",
    "Dots",
    "Faces",
    "FashionMNIST",
    "Flowers102",
    "Folder",
    "Glyph",
    "Hub",
    "HuggingFace",
    "ImageFolder",
    "Mark",
    "Mud",
    "Patches",
    "PhaseRandom",
    "Planted",
    "RandomField",
    "Sample",
    "Split",
    "Strokes",
    "Textures",
    "Weave",
    "WebDataset",
]

DATASETS: Family[type[Data]] = Family.of(
    "data",
    Data,
    {
        "faces": Faces,
        "textures": Textures,
        "folder": Folder,
        "patches": Patches,
        "random_field": RandomField,
        "phase_random": PhaseRandom,
        "mud": Mud,
        "weave": Weave,
        "image_folder": ImageFolder,
        "celeba": CelebA,
        "lfw": LFW,
        "ffhq": FFHQ,
        "dtd": DTD,
        "flowers102": Flowers102,
        "aircraft": Aircraft,
        "mnist": MNIST,
        "fashion_mnist": FashionMNIST,
        "cifar10": CIFAR10,
        "hugging_face": HuggingFace,
        "hub": Hub,
        "webdataset": WebDataset,
        "arrays": Arrays,
        "planted": Planted,
    },
)
"""Every dataset by the word that names it in JSON and on the command line."""

AnyData = Annotated[SerializeAsAny[Data], BeforeValidator(DATASETS.decode)]
"""Any dataset: a recipe, or a mapping with its ``kind``."""

Planted.model_rebuild(_types_namespace={"AnyData": AnyData})
