"""The sampler's own share, as the run predicted it: the power that a perfect network would leave of the real images.

A run records the law of its sampler as predicted measurements ``sampler_floor/KK`` (imagelab/generators/sampler_law.py
says how they are computed and what they mean); here they are collected for the drawing of the spectra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..generators.sampler_law import NAME
from .run_view import Run, plain

__all__ = ["SamplerLaw", "sampler_law"]

NOT_RECORDED = "it was made by a version of imagelab that did not record it. A new run records it"


@dataclass(frozen=True)
class SamplerLaw:
    """Predicted radial power of the main line.

    Attributes:
        sampler: in words, how it was predicted; "" where there is no prediction.
        power: generation -> float64 [K + 1], by cycles an image, as ``radial_power`` is measured; index 0 is NaN.
        missing: why there is no prediction; "" where there is one.
    """

    sampler: str = ""
    power: Mapping[int, np.ndarray] = field(default_factory=dict)
    missing: str = ""


def sampler_law(run: Run) -> SamplerLaw | None:
    """Return what the sampler of the main line explains, of its first and its last predicted generation.

    None where nothing can be said: nothing was generated yet, the generator is not a diffusion model, or the images
    were curated.
    """
    predicted = [m for m in run.measurements if m.predicted and m.line == 0 and m.name.partition("/")[0] == NAME]
    if not predicted:
        recipe, curation = run.experiment.get("generator"), run.experiment.get("curation")
        diffusion = isinstance(recipe, Mapping) and recipe.get("kind") == "ddpm"
        curated = isinstance(curation, Mapping) and curation.get("kind") != "keep_all"  # such a run has no predictions
        return SamplerLaw(missing=NOT_RECORDED) if diffusion and run.last and not curated else None
    valued = [m for m in predicted if m.value is not None and m.generation in run.generations]
    if not valued:
        return SamplerLaw(missing=plain(predicted[0].missing, 300))
    generations = sorted({m.generation for m in valued})
    power = {}
    for generation in dict.fromkeys((generations[0], generations[-1])):
        values = {int(m.name.partition("/")[2]): float(m.value or 0) for m in valued if m.generation == generation}
        power[generation] = np.array([values.get(radius, np.nan) for radius in range(max(values) + 1)])
    first = next(m for m in valued if m.generation == generations[0])
    return SamplerLaw(plain(first.estimator, 120), power)
