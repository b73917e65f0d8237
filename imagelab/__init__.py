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
    from .cli import launch
    from .curation import (
        Candidates,
        Curation,
        DetectorFilter,
        Farthest,
        HumanAudit,
        KeepAll,
        Kept,
        LatentFilter,
        NearestReal,
        RandomFraction,
        TopFraction,
    )
    from .data import Data, Dots, Faces, Folder, Glyph, Planted, Sample, Strokes, Textures
    from .evaluation.evaluate import measure
    from .experiment import Experiment, Runtime
    from .generators import (
        Cascade,
        Command,
        Ddpm,
        Gaussian,
        Generator,
        LatentDiffusion,
        Model,
        Neon,
        Pipeline,
        RunContext,
        SelfGuided,
        Vae,
    )
    from .measurement import Measurement
    from .metrics import Evidence, Metric, NotMeasurable, Quantity
    from .pool import Archive, Pool
    from .regimes import (
        Accumulate,
        Breed,
        Contaminate,
        Fresh,
        Golden,
        Mislabelled,
        Mix,
        Part,
        Regime,
        Replace,
        Schedule,
        Window,
        fresh,
        last_shard,
    )
    from .run_folder import RunFolder
    from .runs.run import run
    from .sweeps.study import Study

_HOME = {
    "cli": ("launch",),
    "curation": (
        "Candidates",
        "Curation",
        "DetectorFilter",
        "Farthest",
        "HumanAudit",
        "KeepAll",
        "Kept",
        "LatentFilter",
        "NearestReal",
        "RandomFraction",
        "TopFraction",
    ),
    "data": ("Data", "Dots", "Faces", "Folder", "Glyph", "Planted", "Sample", "Strokes", "Textures"),
    "evaluation.evaluate": ("measure",),
    "experiment": ("Experiment", "Runtime"),
    "generators": (
        "Cascade",
        "Command",
        "Ddpm",
        "Gaussian",
        "Generator",
        "LatentDiffusion",
        "Model",
        "Neon",
        "Pipeline",
        "RunContext",
        "SelfGuided",
        "Vae",
    ),
    "measurement": ("Measurement",),
    "metrics": ("Evidence", "Metric", "NotMeasurable", "Quantity"),
    "pool": ("Archive", "Pool"),
    "regimes": (
        "Accumulate",
        "Breed",
        "Contaminate",
        "Fresh",
        "Golden",
        "Mislabelled",
        "Mix",
        "Part",
        "Regime",
        "Replace",
        "Schedule",
        "Window",
        "fresh",
        "last_shard",
    ),
    "run_folder": ("RunFolder",),
    "runs.run": ("run",),
    "sweeps.study": ("Study",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Accumulate",
    "Archive",
    "Breed",
    "Candidates",
    "Cascade",
    "Command",
    "Contaminate",
    "Curation",
    "Data",
    "Ddpm",
    "DetectorFilter",
    "Dots",
    "Evidence",
    "Experiment",
    "Faces",
    "Farthest",
    "Folder",
    "Fresh",
    "Gaussian",
    "Generator",
    "Glyph",
    "Golden",
    "HumanAudit",
    "KeepAll",
    "Kept",
    "LatentDiffusion",
    "LatentFilter",
    "Measurement",
    "Metric",
    "Mislabelled",
    "Mix",
    "Model",
    "NearestReal",
    "Neon",
    "NotMeasurable",
    "Part",
    "Pipeline",
    "Planted",
    "Pool",
    "Quantity",
    "RandomFraction",
    "Regime",
    "Replace",
    "RunContext",
    "RunFolder",
    "Runtime",
    "Sample",
    "Schedule",
    "SelfGuided",
    "Strokes",
    "Study",
    "Textures",
    "TopFraction",
    "Vae",
    "Window",
    "__version__",
    "fresh",
    "last_shard",
    "launch",
    "measure",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module 'imagelab' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
