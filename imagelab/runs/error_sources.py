"""Three errors make a loop collapse; each can be switched off, so that one alone is left.

    statistical     a model learns from n images and not from the distribution they came from
    expressivity    no setting of the model is that distribution
    approximation   training stops short of the best setting: images seen, optimiser, initial weights

:func:`isolate` turns any experiment into the concrete settings in which one of them is at work and says in words how
the others were switched off, and how far: a closed form has no approximation error, a full covariance no expressivity
error (of second moments), an endless stream (runs/training_set.py) no statistical error. What a network lacks in
capacity cannot be switched off, only told apart: it is what a longer training does not mend. Nor can publishing be
switched off: what a Gaussian throws beyond black and white is cut off in every generation, and the preset "none" shows
what that costs.

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
"""What can be left switched on."""

CLOSED_FORM_IMAGES = 2048
"""Fresh images for a closed form, at least: each generation still loses 1/2048 of its variance."""

MAX_STREAMED_IMAGES = 65_536  # images of the stream for a network: they lie in memory
USUAL_COMPONENTS = 64  # of PPCA, where the experiment's own generator has no such dial


@dataclass(frozen=True)
class Isolated:
    """An experiment with one error left.

    Attributes:
        experiment: the concrete settings, runnable.
        switches: for each of the three errors, in words, whether it is on and how it was switched off.
    """

    experiment: Experiment
    switches: Mapping[str, str]


def isolate(experiment: Experiment, error: str) -> Isolated:
    """Return the experiment with one of its three errors left, or "none"; data, regime and seed are kept, arms are not.

    Args:
        experiment: any. A closed form keeps ``noise`` and ``noise_scale``; its dial of capacity is the present one.
            A longer ``fresh_draws`` than the usual one is kept.
        error: one of :data:`ERRORS`.

    Raises:
        ValueError: for an unknown error, or for "approximation" where the generator is not trained.

    Example:
        >>> alone = isolate(Experiment(images=200), "statistical")
        >>> alone.experiment.generator.label, alone.experiment.fresh_draws
        ('Gaussian', 1)
    """
    if error not in ERRORS:
        raise ValueError(f"isolate: expected one of {', '.join(ERRORS)}, got {error!r}")
    generator, seen = _generator(experiment.generator, error)
    wanted = min(max(CLOSED_FORM_IMAGES, seen), MAX_STREAMED_IMAGES)
    fresh_draws = 1 if error == "statistical" else max(experiment.fresh_draws, math.ceil(wanted / experiment.images))
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
    """Return the generator that has the error and no other that can be helped, and the images its training reads."""
    if error == "approximation":
        seen = present.training_length
        if not seen:
            raise ValueError(
                f"isolate approximation: a {present.label} is not trained, it has no such error. "
                "Choose a network, such as --generator.kind vae."
            )
        return present, seen
    kept = present if isinstance(present, Gaussian) else Gaussian()
    components = None if error != "expressivity" else _capacity(present)
    return kept.model_copy(update={"components": components}), 0


def _capacity(present: Generator) -> int:
    """Return the number of linear components that a generator of this kind has, or a usual one."""
    return getattr(present, "components", None) or getattr(present, "latent", None) or USUAL_COMPONENTS


def _switches(alone: Experiment, error: str, seen: int) -> dict[str, str]:
    recipe, fresh = alone.generator, alone.fresh_draws * alone.images
    if error == "statistical":
        statistical = f"on: each model learns from the {alone.images:,} images that the model before published"
    else:
        if not seen:
            read = f" (1/{fresh:,} of the variance is still lost a generation)"
        else:
            read = f", each read {seen / fresh:.3g} times" if seen > fresh else ", none read twice"
        drawn = f"{fresh:,} fresh images of the model before{read}"
        statistical = f"off from generation 2 on: {drawn}; generation 1 has the real images that there are"
    if error == "approximation":
        expressivity = (
            f"not to be switched off in a network: {recipe.label} as it is; its part is what a longer training "
            "(more images_seen) does not mend"
        )
        return {
            "statistical": statistical,
            "expressivity": expressivity,
            "approximation": f"on: {seen:,} images seen, learning rate {getattr(recipe, 'learning_rate', 0):g}",
        }
    lost = (
        "all second moments; what is no Gaussian is lost at generation 1, and what a Gaussian throws beyond black and "
        "white is cut off at every publishing"
    )
    expressivity = f"on: {recipe.label}" if error == "expressivity" else f"off: full covariance; {lost}"
    closed = "off: a closed form, nothing is trained"
    return {"statistical": statistical, "expressivity": expressivity, "approximation": closed}
