"""imagelab: the laboratory in which anyone can watch an image model collapse, and measure it.

    from imagelab import Experiment, Faces, Replace, Vae, launch
    launch(Experiment(name="mine", data=Faces(size=64), regime=Replace(), generator=Vae(), generations=3))

Everything is exported lazily: importing imagelab takes no torch and a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .cli import launch
    from .config import Experiment, Runtime
    from .data import Faces, Folder, Textures
    from .generators import Ddpm, Gaussian, Vae
    from .measurement import Measurement
    from .pool import Archive, Pool
    from .regimes import Accumulate, Fresh, Mix, Replace
    from .store import RunFolder

_HOME = {
    "launch": "cli",
    "Experiment": "config",
    "Runtime": "config",
    "Faces": "data",
    "Folder": "data",
    "Textures": "data",
    "Ddpm": "generators",
    "Gaussian": "generators",
    "Vae": "generators",
    "Measurement": "measurement",
    "Archive": "pool",
    "Pool": "pool",
    "Accumulate": "regimes",
    "Fresh": "regimes",
    "Mix": "regimes",
    "Replace": "regimes",
    "RunFolder": "store",
}

__all__ = [
    "Accumulate",
    "Archive",
    "Ddpm",
    "Experiment",
    "Faces",
    "Folder",
    "Fresh",
    "Gaussian",
    "Measurement",
    "Mix",
    "Pool",
    "Replace",
    "RunFolder",
    "Runtime",
    "Textures",
    "Vae",
    "__version__",
    "launch",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'imagelab' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
