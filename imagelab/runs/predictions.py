"""What theory predicts for one shard of a run: the law of the regime, and the share of the sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..experiment import Experiment
from ..generators.sampler_law import predicted_by_sampler
from ..io.pictures import read_npy
from ..measurement import Measurement
from ..pool import ModelLine
from ..regimes.part import last_shard

__all__ = ["Floors", "predictions", "regime_predictions", "sampler_predictions"]

Floors = Mapping[str, Measurement]
"""What generation 0 measured, by name."""


def predictions(
    experiment: Experiment, real: Path, generation: int, line: ModelLine, n: int, floors: Floors
) -> list[Measurement]:
    """Return all that theory predicts for one shard.

    Args:
        experiment: its regime, generators and curation.
        real: the shard of generation 0.
        generation: from 1 on.
        line: the model of that generation; of a blank twin nothing is predicted.
        n: images in a shard.
        floors: what generation 0 measured.
    """
    if line.blank:
        return []
    laws = regime_predictions(experiment, generation, n, floors)
    return [m.at(generation, line.index) for m in laws] + sampler_predictions(experiment, real, generation, line)


def sampler_predictions(experiment: Experiment, real: Path, generation: int, line: ModelLine) -> list[Measurement]:
    """Return what the sampler of a line explains of its generation: measurements ``sampler_floor/KK``, predicted.

    At generation 1 this is the law of one pass. Later it is known only where every model of the line was trained on the
    images of the one before and on nothing else: the law is then applied once for each generation.

    Args:
        experiment: its regime and curation tell what each model is trained on.
        real: the shard of generation 0.
        generation: from 1 on.
        line: the model of that generation.

    Returns:
        Nothing where no law is known: another generator than a diffusion model, another regime, a curated loop.
    """
    if experiment.curated:
        return []
    images = read_npy(real / "images.npy", mmap=True)
    lines = len(experiment.roles)
    pools = [experiment.regime.composition(t, line.role, len(images), lines) for t in range(2, generation + 1)]
    alone = all(part.shards == (last_shard(t, line.role),) for t, parts in enumerate(pools, 2) for part in parts)
    predicted = predicted_by_sampler(experiment.lines[line.index], images, generation) if alone else []
    return [m.at(generation, line.index) for m in predicted]


def regime_predictions(experiment: Experiment, generation: int, n: int, floors: Floors) -> list[Measurement]:
    """Return what theory says of a generation, on the scale of what generation 0 measured.

    The laws of regimes are those of a loop that publishes all it draws; a curated loop has none.
    """
    if experiment.curated:
        return []
    laws = experiment.regime.predictions(generation, n, len(experiment.roles), experiment.fresh_draws)
    return [_on_the_scale_of(law, floors.get(law.name)) for law in laws]


def _on_the_scale_of(law: Measurement, floor: Measurement | None) -> Measurement:
    """Theory gives a ratio to the training set; multiply it by what that set itself measures."""
    start = 1.0 if floor is None or floor.value is None else floor.value
    return replace(law, value=(law.value or 0.0) * start)
