"""Code of a few lines, for the card of an export, that opens what was exported.

A card is read by people who do not know this package. The code in it is complete: it runs as it stands in the folder
of the card. Tests run it literally.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..families import Recipe, is_own, kind_of
from ..generators import GENERATORS
from .cards import prose

__all__ = ["dataset_code", "library_of", "model_code"]

LOADERS = {
    "imagefolder": 'load_dataset("imagefolder", data_dir=".", split="train")',
    "parquet": 'load_dataset("parquet", data_files="train-*.parquet", split="train")',
    "webdataset": 'load_dataset("webdataset", data_files="train-*.tar", split="train")',
}
"""Format of an export -> the call of the library ``datasets`` that reads it."""


def library_of(folder: Path) -> str:
    """Return the library that opens an exported model: "diffusers" for a whole pipeline, else "imagelab".

    Args:
        folder: the exported model. ``DiffusionPipeline.from_pretrained`` needs its model_index.json.
    """
    return "diffusers" if (folder / "model_index.json").is_file() else "imagelab"


def model_code(recipe: Any, folder: Path) -> list[str]:
    """Return the lines of a card that say how to open the model and draw an image with it.

    Args:
        recipe: the recipe of the model in the run's config.json. Only what this package accepts as a recipe of its own
            becomes code.
        folder: the exported model.
    """
    if library_of(folder) == "diffusers":
        return [
            "Run in this folder. 50 of the 1,000 steps are taken, so that it is quick; all of them give better images.",
            "",
            "```python",
            "from diffusers import DDPMPipeline",
            'pipeline = DDPMPipeline.from_pretrained(".")',
            'pipeline(batch_size=1, num_inference_steps=50).images[0].save("drawn.png")',
            "```",
        ]
    kind = recipe.get("kind") if isinstance(recipe, dict) else None
    if not isinstance(kind, str) or kind not in GENERATORS or is_own(GENERATORS[kind]):
        return ["Its generator is not part of imagelab: the code that trained it is needed to open it."]
    if kind == "command":
        return ["Its files belong to programs that are no part of imagelab: see the commands in the recipe above."]
    try:
        accepted = GENERATORS.decode(recipe)
    except ValueError:
        return ["Its recipe is not one of this version of imagelab, so it cannot be opened with it."]
    needs, places = [], {}
    if kind == "pipeline":
        places = {"model": recipe["model"]}  # as it is stated, not as a folder of this machine
        needs = [
            f"Only what was trained is here. The published pipeline {prose(recipe['model'])} is needed, too: in the "
            "cache of the hub or, where this is a folder, in this folder. pipeline.json has its digest.",
            "",
        ]
    drawing = _drawing(accepted, places)
    return [*needs, "Run in this folder, with `imagelab-collapse` installed:", "", "```python", *drawing, "```"]


def _drawing(recipe: Any, places: dict[str, Any]) -> list[str]:
    changed = recipe.model_dump(mode="python", exclude_defaults=True, exclude={"kind"}) | places
    within = {name: value for name, value in recipe if isinstance(value, Recipe) and name in changed}
    changed |= {name: {"kind": kind_of(value), **changed[name]} for name, value in within.items()}
    settings = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    name = type(recipe).__name__
    return [
        "import numpy as np",
        "from pathlib import Path",
        "from PIL import Image",
        f"from imagelab import RunContext, {name}",
        f'model = {name}({settings}).load(Path("."), RunContext())',
        "image = model.sample(np.arange(1, dtype=np.uint64))[0]  # one seed an image; uint8 [C,H,W]",
        'Image.fromarray(image.transpose(1, 2, 0).squeeze()).save("drawn.png")',
    ]


def dataset_code(form: str) -> list[str]:
    """Return the lines of a card that load an exported dataset with the library ``datasets``.

    Args:
        form: imagefolder, parquet or webdataset.
    """
    column = "png" if form == "webdataset" else "image"
    return [
        "Run in this folder, with `datasets` installed:",
        "",
        "```python",
        "from datasets import load_dataset",
        f"dataset = {LOADERS[form]}",
        f'dataset[0]["{column}"].save("first.png")',
        "```",
    ]
