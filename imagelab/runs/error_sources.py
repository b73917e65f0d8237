"""Three errors cause collapse; each can be switched off, so that only one is left.

    statistical     a model is trained on n images and not on the distribution that they come from
    expressivity    the distribution is not in the model family
    approximation   training stops before the best parameters: images seen, optimiser, initial weights

:func:`isolate` turns any experiment into concrete settings in which only one error acts. It also describes in words how
the others were switched off, and how far. A closed form has no approximation error, a full covariance no expressivity
error (of second moments), many fresh draws (runs/training_set.py) no statistical error. The expressivity error of a
network cannot be switched off, only separated: it is the part that a longer training does not reduce. Publishing cannot
be switched off either: values of a Gaussian below black or above white are clipped in every generation, and the setting
"none" shows the cost of that.

References:
    AI models collapse when trained on recursively generated data (the three errors; Shumailov et al. 2024),
        doi:10.1038/s41586-024-07566-y.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..experiment import Experiment
from ..generators import Gaussian, Generator

__all__ = ["ERRORS", "Error", "Isolated", "isolate"]

Error = Literal["statistical", "expressivity", "approximation", "none"]
ERRORS: tuple[str, ...] = get_args(Error)
"""The error that is left switched on; "none" for no error."""

CLOSED_FORM_IMAGES = 2048
"""Least number of fresh images for a closed form. With it each generation still loses 1/2048 of its variance."""

MAX_STREAMED_IMAGES = 65_536  # most fresh images for a network, because they are held in memory
USUAL_COMPONENTS = 64  # of PPCA, if the experiment's generator has no setting for components


@dataclass(frozen=True)
class Isolated:
    """An experiment with one error left.

    Attributes:
        experiment: the concrete settings, ready to run.
        switches: for each of the three errors, a text that says whether it is on, or how it was switched off.
    """

    experiment: Experiment
    switches: Mapping[str, str]


def isolate(experiment: Experiment, error: str) -> Isolated:
    """Return the experiment with only one of its three errors, or "none". Data, regime and seed are kept, arms are not.

    Args:
        experiment: any experiment. A closed form keeps ``noise`` and ``noise_scale``; for "expressivity" the number of
            components is taken from the present generator. ``fresh_draws`` is kept if it is larger than needed.
        error: one of :data:`ERRORS`.

    Raises:
        ValueError: for an unknown error, or for "approximation" if the generator is not trained.

    Example:
        >>> alone = isolate(Experiment(images=200), "statistical")
        >>> alone.experiment.generator.label, alone.experiment.fresh_draws
        ('Gaussian', 1)
    """
    if error not in ERRORS:
        raise ValueError(f"isolate: expected one of {', '.join(ERRORS)}, got {error!r}")
    generator, seen = _generator(experiment.generator, error)
    needed = min(max(CLOSED_FORM_IMAGES, seen), MAX_STREAMED_IMAGES)
    fresh_draws = 1 if error == "statistical" else max(experiment.fresh_draws, math.ceil(needed / experiment.images))
    settings = {name: getattr(experiment, name) for name in Experiment.model_fields}
    left = "no error" if error == "none" else f"{error} error alone"
    changed: dict[str, Any] = {
        "name": f"{experiment.name[:40]}-{error}",
        "title": f"{(experiment.title or experiment.name)[:150]}: {left}",
        "generator": generator,
        "arms": (),
        "fresh_draws": fresh_draws,
    }
    alone = Experiment(**{**settings, **changed})
    return Isolated(alone, _switches(alone, error, seen))


def _generator(present: Generator, error: str) -> tuple[Any, int]:
    """Return a generator with this error and as few others as possible, and the images that its training reads."""
    if error == "approximation":
        seen = present.training_length
        if not seen:
            raise ValueError(
                f"isolate approximation: expected a trained generator, got {present.label}, which is not trained and "
                "has no such error. Choose a network, such as --generator.kind vae."
            )
        return present, seen
    kept = present if isinstance(present, Gaussian) else Gaussian()
    components = None if error != "expressivity" else _capacity(present)
    return kept.model_copy(update={"components": components}), 0


def _capacity(present: Generator) -> int:
    """Return the number of linear components of this generator, or the usual number."""
    return getattr(present, "components", None) or getattr(present, "latent", None) or USUAL_COMPONENTS


def _switches(alone: Experiment, error: str, seen: int) -> dict[str, str]:
    recipe, fresh = alone.generator, alone.fresh_draws * alone.images
    if error == "statistical":
        statistical = f"on: each model is trained on the {alone.images:,} images that the model before published"
    else:
        if not seen:
            read = f" (1/{fresh:,} of the variance is still lost per generation)"
        else:
            read = f", each read {seen / fresh:.3g} times" if seen > fresh else ", none read twice"
        drawn = f"{fresh:,} fresh images of the model before{read}"
        statistical = f"off from generation 2 on: {drawn}; generation 1 is trained on the available real images"
    if error == "approximation":
        expressivity = (
            f"cannot be switched off in a network: {recipe.label}, unchanged; its part is the loss that a longer "
            "training (more images_seen) does not reduce"
        )
        return {
            "statistical": statistical,
            "expressivity": expressivity,
            "approximation": f"on: {seen:,} images seen, learning rate {getattr(recipe, 'learning_rate', 0):g}",
        }
    lost = (
        "all second moments are kept; the non-Gaussian part is lost at generation 1, and values below black or above "
        "white are clipped at every publishing"
    )
    expressivity = f"on: {recipe.label}" if error == "expressivity" else f"off: full covariance; {lost}"
    closed = "off: a closed form, nothing is trained"
    return {"statistical": statistical, "expressivity": expressivity, "approximation": closed}
