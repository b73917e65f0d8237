"""The endless stream: training images that the model before draws anew, so that no finite set stands between models.

What a model draws is an endless sequence; image r of it follows from the seed at (run, "sample", generation, line, r).
A run publishes the first n and measures those. With ``Experiment.fresh_draws`` = k, each generated image r that a
regime picks stands for k of the sequence, r, r + n, ..., r + (k - 1) n: fresh images of the same model, drawn again
from its weights when the next one learns and never stored. Shares in a mixture stay what they are, since each real
image counts k times; more real images there are not. So k = 1 is the loop as published, and k -> infinity is learning
from the model itself: its statistical error is that of k n images, none where k n reaches the images seen in a
training, each of which is then read once.
"""

from __future__ import annotations

import numpy as np

from ..experiment import Experiment
from ..generators import RunContext
from ..pool import Pool
from ..run_folder import RunFolder
from ..seeds import image_seeds
from .distributed import sample

__all__ = ["training_images"]


def training_images(experiment: Experiment, folder: RunFolder, pool: Pool, context: RunContext) -> np.ndarray:
    """Return the images that a pool stands for: uint8 [N,C,H,W] without a stream, [k N,C,H,W] with one.

    A pool of real images only is itself: k copies of the same would be the same training set.

    Args:
        experiment: of the run. folder: with the shards and models that the pool names. pool: of published images.
        bench: device, batch and team for drawing.
    """
    published = folder.gather(pool)
    if experiment.fresh_draws == 1 or not (pool.generation > 0).any():
        return published
    images = np.concatenate([published] * experiment.fresh_draws)
    n = len(folder.initial_archive().real)
    for generation, line in pool.shards():
        if generation == 0:
            continue
        here = np.flatnonzero((pool.generation == generation) & (pool.line == line))
        turns = np.arange(1, experiment.fresh_draws)[:, None]
        seeds = image_seeds(experiment.seed, "sample", generation, line, (pool.row[here] + turns * n).ravel())
        recipe, model = experiment.lines[line], folder.shard_path(generation, line) / "model"
        images[(here + turns * len(pool)).ravel()] = sample(recipe.load(model, context), recipe, model, seeds, context)
    return images
