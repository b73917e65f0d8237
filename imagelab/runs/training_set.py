"""Training sets with fresh draws: additional images of the previous model, so that the finite set matters less.

The samples of a model form an infinite sequence; image r has the seed at (run, "sample", generation, line, r). A run
publishes and measures the first n. With ``Experiment.fresh_draws`` = k, each generated image r in a pool stands for k
images of the sequence, r, r + n, ..., r + (k - 1) n: fresh images of the same model. They are drawn from its weights
when the next model is trained, and never stored. Each real image is repeated k times, so that shares in a mixture do
not change; the number of different real images does not grow.

A training set above 32 MiB is not held in memory but mapped from disk (io/large_arrays.py). Where it is one shard,
whole and in order, that is the shard's own file; else the images are gathered in a file without a name, in the partial
shard, whose space is freed when the model is trained.

So k = 1 is the usual loop, and k -> infinity is training on the distribution of the model itself. The statistical error
is that of k n images. It vanishes if k n reaches the images seen in a training; each image is then read once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..experiment import Experiment
from ..generators import RunContext
from ..images import check_images
from ..io.large_arrays import IN_MEMORY, copy_rows, empty_array
from ..io.npy import read_array
from ..io.untrusted import shown
from ..pool import Pool
from ..run_folder import RunFolder
from ..seeds import image_seeds
from .distributed import sample

__all__ = ["training_images"]


def training_images(
    experiment: Experiment, folder: RunFolder, pool: Pool, context: RunContext, shard: Path | None = None
) -> np.ndarray:
    """Return the training images of a pool: uint8 [N,C,H,W] for fresh_draws = k = 1, [k N,C,H,W] otherwise.

    A pool of real images only is returned without repetition: k copies would be the same training set.

    Args:
        experiment: the experiment of the run.
        folder: the run folder, with the shards and models that the pool refers to.
        pool: N published images.
        context: device, batch and process group for sampling.
        shard: the partial shard, where a large set is gathered; None for the folder of temporary files.
    """
    if experiment.fresh_draws == 1 or not (pool.generation > 0).any():
        return _published(folder, pool, shard)
    images = _gathered(folder, pool, shard, experiment.fresh_draws)
    n = len(folder.initial_archive().real)
    for generation, line in pool.shards():
        if generation == 0:
            continue
        here = np.flatnonzero((pool.generation == generation) & (pool.line == line))
        turns = np.arange(1, experiment.fresh_draws)[:, None]
        seeds = image_seeds(experiment.seed, "sample", generation, line, (pool.row[here] + turns * n).ravel())
        recipe, model = experiment.lines[line], folder.model(generation, line)
        images[(here + turns * len(pool)).ravel()] = sample(recipe.load(model, context), recipe, model, seeds, context)
    return images


def _published(folder: RunFolder, pool: Pool, shard: Path | None) -> np.ndarray:
    """Return the images of a pool; where they are large and one whole shard in order, the map of its own file."""
    (generation, line), *others = pool.shards()
    path = folder.images_file(generation, line)
    # copy on write: torch takes only arrays that can be written to, and the file never changes
    images = check_images(read_array(path, "a whole NPY image array", "c"), shown(path))
    if not others and images.nbytes > IN_MEMORY and np.array_equal(pool.row, np.arange(len(images))):
        return images
    return _gathered(folder, pool, shard)


def _gathered(folder: RunFolder, pool: Pool, shard: Path | None, times: int = 1) -> np.ndarray:
    """Return the images of a pool, all of them so many times one after the other: uint8 [times N,C,H,W]."""
    first = folder.images(*pool.shards()[0])
    images = empty_array((times * len(pool), *first.shape[1:]), np.uint8, shard)
    for generation, line in pool.shards():
        here = np.flatnonzero((pool.generation == generation) & (pool.line == line))
        for turn in range(times):
            copy_rows(folder.images(generation, line), pool.row[here], images, here + turn * len(pool))
    return images
