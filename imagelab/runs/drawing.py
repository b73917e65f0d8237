"""Drawing the images of a generation: at once, or, where they are many, part by part into the file that holds them.

Up to ``DRAWN_AT_ONCE`` bytes a model is asked once. More are drawn in parts of whole batches, so that every batch holds
the images that it holds without the parts, and the bytes are the same. Each part is written into an NPY file of the
partial shard: the published images, or, where a curation chooses among them, candidates that are removed afterwards.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..experiment import Experiment
from ..generators import Generator, Model, RunContext
from ..io.large_arrays import let_go, new_npy
from .distributed import sample
from .shard_files import IMAGES

__all__ = ["CANDIDATES", "DRAWN_AT_ONCE", "draw_shard", "part_of"]

DRAWN_AT_ONCE = 1 << 25
"""Bytes of images that a model is asked for at a time: 32 MiB, or one batch of each process where that is more."""

CANDIDATES = "candidates.npy"
"""File of a partial shard that holds what was drawn until a curation has chosen."""


def part_of(image_bytes: int, pixels: int, context: RunContext) -> int:
    """Return how many images are drawn at a time: a multiple of every batch in which they are computed.

    Args:
        image_bytes: of one image.
        pixels: of one image, height x width.
        context: its batch and its number of processes.
    """
    from ..generators.sampling import block_size  # it loads torch

    batches = math.lcm(block_size(pixels), context.batch) * context.group.size
    return max(1, DRAWN_AT_ONCE // image_bytes // batches) * batches


def draw_shard(
    experiment: Experiment, model: Model, recipe: Generator, shard: Path, seeds: np.ndarray, context: RunContext
) -> np.ndarray:
    """Return one image a seed: uint8 [N,C,H,W], in memory, or mapped from a file in the partial shard.

    A program of somebody else (``Generator.alone``) is asked once, however many images there are.

    Args:
        experiment: says how large the images are, and whether they are chosen from.
        model: the model, which lies in ``model`` in the shard.
        recipe: its recipe.
        shard: the partial shard.
        seeds: uint64 [N].
        context: device, batch and process group.

    Raises:
        Diverged: if a value of an image is NaN or infinite.
    """
    channels, height, width = experiment.data.shape
    step = part_of(channels * height * width, height * width, context)
    if recipe.alone or len(seeds) <= step:
        return sample(model, recipe, shard / "model", seeds, context)
    images = new_npy(
        shard / (CANDIDATES if experiment.curated else IMAGES), (len(seeds), channels, height, width), np.uint8
    )
    for first in range(0, len(seeds), step):
        part = slice(first, first + step)
        images[part] = sample(model, recipe, shard / "model", seeds[part], context)
        images.flush()
        let_go(images)
    return images
