"""A quick look at an experiment: the same loop with fewer images, fewer generations and one training.

It is an experiment of its own, with a folder of its own. Its page shows the same things with wider intervals.
"""

from __future__ import annotations

from typing import Any

from ..experiment import Experiment
from ..generators import Generator

__all__ = ["quick_look"]

GENERATIONS, IMAGES, IMAGES_SEEN = 3, 400, 4000
"""The most of each in a quick look."""


def quick_look(experiment: Experiment) -> Experiment:
    """Return the experiment with one chain, no blank twins, at most 3 generations, 400 images and 4,000 images seen.

    Example:
        >>> look = quick_look(Experiment(generations=10, images=2000))
        >>> look.name, look.generations, look.images, look.heldout
        ('experiment-quick', 3, 400, 400)
    """
    settings: dict[str, Any] = {name: getattr(experiment, name) for name in Experiment.model_fields}
    settings |= {
        "name": f"{experiment.name[:54]}-quick",
        "title": f"{experiment.title[:180]} (a quick look)" if experiment.title else "",
        "generator": _shorter(experiment.generator),
        "arms": tuple(_shorter(arm) for arm in experiment.arms),
        "generations": min(experiment.generations, GENERATIONS),
        "images": min(experiment.images, IMAGES),
        "heldout": min(experiment.heldout, IMAGES),
        "replicates": 1,
        "blank_twins": 0,
    }
    return Experiment(**settings)


def _shorter(recipe: Generator) -> Generator:
    within = {name: _shorter(value) for name, value in recipe if isinstance(value, Generator)}
    if within:
        return recipe.model_copy(update=within)
    seen = getattr(recipe, "images_seen", None)
    if not isinstance(seen, int) or seen <= IMAGES_SEEN:
        return recipe
    return type(recipe)(**{**recipe.model_dump(), "images_seen": IMAGES_SEEN})
