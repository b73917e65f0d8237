"""Settings of a diffusion model that are each allowed, and cannot work together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ddpm import Ddpm

__all__ = ["HEAD", "unworkable"]

HEAD = 8
"""Channels of a head of attention in diffusers' U-Net."""

LINEAR = (1e-4, 0.02)
"""First and last variance of the noise that the linear schedule adds in a step (Ho et al. 2020)."""

MOST_LEFT = 0.01
"""Largest share of an image's energy at the last noise level for which sampling may begin with noise alone."""


def unworkable(recipe: Ddpm) -> Iterator[str]:
    """Yield why settings cannot work together: what was expected, what came, and what to do; nothing where they can."""
    yield from _of_the_sampler(recipe)
    yield from _of_the_network(recipe)


def _of_the_sampler(recipe: Ddpm) -> Iterator[str]:
    steps, levels, sampler = recipe.steps, recipe.noise_steps, recipe.sampler
    if steps > levels:
        yield f"steps: expected at most noise_steps ({levels}), got {steps}"
    if sampler == "ddim" and levels % steps:
        # diffusers' DDIM goes to the level t - noise_steps // steps, which is then not the one that it visits next
        yield (
            f'steps: sampler "ddim" takes equal whole steps; expected a divisor of noise_steps ({levels}), got '
            f"{steps}. Other samplers take any number"
        )
    if recipe.spacing == "karras" and sampler in ("ddim", "heun"):
        why = "takes even steps only" if sampler == "ddim" else "visits these levels always"
        yield f'spacing "karras": sampler "{sampler}" {why}; leave spacing at "even"'
    if recipe.schedule == "linear" and (left := _energy_left(levels)) > MOST_LEFT:
        yield (
            f'noise_steps: after {levels} steps of schedule "linear" an image still has {100 * left:.2g} % of its '
            'energy, but sampling begins with noise alone; expected 460 or more, or schedule "squaredcos_cap_v2"'
        )


def _of_the_network(recipe: Ddpm) -> Iterator[str]:
    if recipe.patch > 1:
        return
    for name, value in (("weighting", "gaussian"), ("closed_form", "local")):
        if getattr(recipe, name) == value:
            yield f'{name} "{value}": expected a patch of 2 or more, whose net has a closed form, got 1'
    if recipe.weighting == "velocity" and recipe.prediction == "epsilon":
        yield (
            'weighting "velocity": with patch 1 and prediction "epsilon" the weight is about 1 / a_t, up to 4e8; '
            'expected prediction "v_prediction" or "sample", or weighting "none" or "min_snr"'
        )
    if recipe.attention and recipe.channels[-1] < HEAD:
        yield (
            f"channels: attention at the coarsest level has heads of {HEAD} channels; expected at least {HEAD} as the "
            f"last width, got {recipe.channels[-1]}. Or switch attention off"
        )


def _energy_left(levels: int) -> float:
    """Return alpha-bar after all steps of the linear schedule."""
    first, last = LINEAR
    return math.prod(1 - first - (last - first) * step / (levels - 1) for step in range(levels))
