"""Export of a dataset for other programs: PNG files, one line of metadata per image, and a dataset card.

The format is the Hugging Face imagefolder::

    DIR/README.md                   the card: source, how often each attribute occurs, licence, how to load it
    DIR/train/000000.png ...
    DIR/train/metadata.jsonl        file_name, source, sha256, attributes, freckles or marks

The splits train, reserve and heldout become train, validation and test, the usual names of this format. The folder is
written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .._version import __version__
from ..data import DATASETS
from ..data.base import Data, Sample
from ..families import kind_of
from ..io.atomic import folder_made_whole
from ..io.catalogue import Split
from ..io.disk import storing
from .cards import code, prose, scalar, size_category

__all__ = ["FOLDERS", "export_samples", "licence_of", "prevalences", "without_paths"]

FOLDERS: dict[Split, str] = {"train": "train", "reserve": "validation", "heldout": "test"}
"""The folder of each split."""


def export_samples(data: Data, samples: Mapping[Split, Sample], seed: int, folder: Path) -> Path:
    """Write samples of a dataset as an imagefolder; the folder is complete or absent.

    Args:
        data: the recipe of the samples.
        samples: split -> images with what is known about them.
        seed: the seed with which they were loaded.
        folder: the folder to write; it must not exist yet.

    Returns:
        The folder.

    Raises:
        ValueError: if the folder exists, or there is nothing to write.
        NotStored: if the disk is full or refuses to write; nothing is left under the name.
    """
    if not samples:
        raise ValueError("export: expected at least one split, got none")
    with storing(folder), folder_made_whole(folder) as partial:
        for split, sample in samples.items():
            _write_split(partial / FOLDERS[split], sample)
        (partial / "README.md").write_text(readme(data, samples, seed, folder.name), encoding="utf-8")
    return folder


def prevalences(attributes: Mapping[str, np.ndarray]) -> Iterator[tuple[str, int, int, float, float]]:
    """Yield (name, images with the attribute, all images, lower and upper end of the rate's 95 % Wilson interval).

    Example:
        >>> [(n, k, N, round(a, 3), round(b, 3)) for n, k, N, a, b in prevalences({"rare": np.arange(100) < 1})]
        [('rare', 1, 100, 0.002, 0.054)]
    """
    z = 1.959964
    for name, column in attributes.items():
        n, k = len(column), int(column.sum())
        centre, spread = k / n + z * z / (2 * n), z * math.sqrt(k / n * (1 - k / n) / n + (z / (2 * n)) ** 2)
        scale = 1 + z * z / n
        yield name, k, n, max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def licence_of(kind: str | None) -> str:
    """Return the licence of the images of a kind of dataset, in the words of a dataset card."""
    return "apache-2.0" if isinstance(kind, str) and kind in DATASETS and DATASETS[kind].drawn else "other"


def without_paths(recipe: Mapping[str, Any], card: str) -> tuple[dict[str, Any], str]:
    """Return the settings and the card of a dataset, with the path shortened to its last part in both.

    Example:
        >>> without_paths({"kind": "folder", "path": "/home/ada/faces"}, "Pictures of /home/ada/faces.")
        ({'kind': 'folder', 'path': 'faces'}, 'Pictures of faces.')
    """
    path = recipe.get("path")
    if not isinstance(path, str):
        return dict(recipe), card
    return {**recipe, "path": Path(path).name}, card.replace(path, Path(path).name)


def readme(data: Data, samples: Mapping[Split, Sample], seed: int, name: str) -> str:
    """Return the dataset card: YAML front matter, then a description."""
    total = sum(len(sample) for sample in samples.values())
    settings: dict[str, Any] = getattr(data, "model_dump")(mode="json")  # noqa: B009 - every recipe is a pydantic model
    recipe, card = without_paths(settings, data.card())
    parts = [f"{FOLDERS[split]} is imagelab's {split} ({len(sample)})" for split, sample in samples.items()]
    lines = [
        *_front_matter(data, samples, name, total),
        f"# {prose(name)}",
        "",
        f"{total} images of {data.shape[1]} x {data.shape[2]} pixels, written by imagelab {__version__}.",
        "",
        prose(card),
        "",
        "## How it was made",
        "",
        f"Recipe {code(recipe)}, seed {seed}.",
        "",
        f"Splits: {', '.join(parts)}.",
        "",
        "## How to load it",
        "",
        "```python",
        "from datasets import load_dataset",
        f'dataset = load_dataset("imagefolder", data_dir={scalar(name)})',
        "```",
        "",
        "Each line of metadata.jsonl: `file_name`; `source`, where the image came from; `sha256` of the decoded pixels "
        "(uint8, row by row, channels last); `attributes`, as the dataset states them; `freckles` if known, a list of "
        f"x, y and radius (pixels), contrast, visible (1 or 0).{_of_marks(samples)}",
        "",
        *_table(samples, data.exact_rates),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _of_marks(samples: Mapping[Split, Sample]) -> str:
    if all(sample.marks is None for sample in samples.values()):
        return ""
    return " `marks` that were planted: x, y and radius (pixels), contrast, contrast-to-noise ratio, class."


def _front_matter(data: Data, samples: Mapping[Split, Sample], name: str, total: int) -> list[str]:
    licence = licence_of(kind_of(data))
    return [
        "---",
        f"pretty_name: {scalar(name)}",
        f"license: {licence}",
        *(["license_name: see-card"] if licence == "other" else []),
        "task_categories:",
        "- unconditional-image-generation",
        f"size_categories:\n- {size_category(total)}",
        f"tags:\n- imagelab\n- {scalar(kind_of(data))}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(f"  - split: {FOLDERS[split]}\n    path: {FOLDERS[split]}/**" for split in samples),
        "---",
        "",
    ]


def _table(samples: Mapping[Split, Sample], exact: Collection[str]) -> Iterator[str]:
    if not any(sample.attributes for sample in samples.values()):
        return
    yield "## How often each attribute occurs"
    yield ""
    yield "The interval is a 95 % Wilson interval of the underlying rate, as if images were drawn at random." + (
        " Exact: so many by design; chance decides which images have the attribute, not how many." if exact else ""
    )
    yield ""
    yield "| attribute | split | images | share | interval |"
    yield "|---|---|---|---|---|"
    for split, sample in samples.items():
        for name, k, n, low, high in prevalences(sample.attributes):
            interval = "exact" if name in exact else f"{low:.4f} to {high:.4f}"
            yield f"| {prose(name)} | {FOLDERS[split]} | {k} | {k / n:.4f} | {interval} |"


def _write_split(folder: Path, sample: Sample) -> None:
    folder.mkdir()
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for row, image in enumerate(sample.images):
            pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
            facts = {"file_name": f"{row:06d}.png", **_facts(sample, row, pixels)}
            _write_image(folder / facts["file_name"], pixels, facts)
            file.write(json.dumps(facts, ensure_ascii=False) + "\n")


def _facts(sample: Sample, row: int, pixels: np.ndarray) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "source": sample.sources[row] if sample.sources else "",
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }
    if sample.attributes:
        facts["attributes"] = {name: bool(column[row]) for name, column in sample.attributes.items()}
    for name, lists in (("freckles", sample.freckles), ("marks", sample.marks)):
        if lists is not None:
            facts[name] = [[round(float(value), 4) for value in mark] for mark in lists[row]]
    return facts


def _write_image(path: Path, pixels: np.ndarray, facts: Mapping[str, Any]) -> None:
    marks = PngInfo()
    marks.add_itxt("Software", f"imagelab {__version__}")
    marks.add_itxt("Source", str(facts["source"]))
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(path, format="PNG", pnginfo=marks)
