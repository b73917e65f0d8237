"""imagelab: the laboratory in which anyone can watch an image model collapse, and measure it.

    from imagelab import Experiment, Faces, Replace, Vae, launch
    launch(Experiment(name="mine", data=Faces(size=64), regime=Replace(), generator=Vae(), generations=3))

Everything is exported lazily: importing imagelab takes no torch and a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .cli.entry import launch
    from .data import Faces, Folder, Textures
    from .evaluation.evaluate import measure
    from .experiment import Experiment, Runtime
    from .generators import Cascade, Ddpm, Gaussian, Vae
    from .measurement import Measurement
    from .pool import Archive, Pool
    from .regimes import Accumulate, Breed, Contaminate, Fresh, Golden, Mix, Replace, Schedule, Window
    from .run_folder import RunFolder

_HOME = {
    "launch": "cli",
    "Experiment": "experiment",
    "Runtime": "experiment",
    "Faces": "data",
    "Folder": "data",
    "Textures": "data",
    "Cascade": "generators",
    "Ddpm": "generators",
    "Gaussian": "generators",
    "Vae": "generators",
    "Measurement": "measurement",
    "measure": "evaluation.evaluate",
    "Archive": "pool",
    "Pool": "pool",
    "Accumulate": "regimes",
    "Breed": "regimes",
    "Contaminate": "regimes",
    "Fresh": "regimes",
    "Golden": "regimes",
    "Mix": "regimes",
    "Replace": "regimes",
    "Schedule": "regimes",
    "Window": "regimes",
    "RunFolder": "run_folder",
}

__all__ = [
    "Accumulate",
    "Archive",
    "Breed",
    "Cascade",
    "Contaminate",
    "Ddpm",
    "Experiment",
    "Faces",
    "Folder",
    "Fresh",
    "Gaussian",
    "Golden",
    "Measurement",
    "Mix",
    "Pool",
    "Replace",
    "RunFolder",
    "Runtime",
    "Schedule",
    "Textures",
    "Vae",
    "Window",
    "__version__",
    "launch",
    "measure",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'imagelab' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
