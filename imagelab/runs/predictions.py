"""What theory predicts for one shard of a run, beyond the regime's own law: the share of the sampler."""

from __future__ import annotations

from pathlib import Path

from ..curation import KeepAll
from ..experiment import Experiment
from ..generators.sampler_law import predicted_by_sampler
from ..io.pictures import read_npy
from ..measurement import Measurement
from ..regimes.part import last_shard

__all__ = ["sampler_predictions"]


def sampler_predictions(experiment: Experiment, real: Path, generation: int, line: int) -> list[Measurement]:
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
    if not isinstance(experiment.curation, KeepAll):
        return []
    images = read_npy(real / "images.npy", mmap=True)
    lines = len(experiment.lines)
    pools = [experiment.regime.composition(t, line, len(images), lines) for t in range(2, generation + 1)]
    alone = all(part.shards == (last_shard(t, line),) for t, parts in enumerate(pools, 2) for part in parts)
    predicted = predicted_by_sampler(experiment.lines[line], images, generation) if alone else []
    return [m.at(generation, line) for m in predicted]
