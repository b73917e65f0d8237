"""What is recorded of a generation beside its images: what curation kept, photocopies, the blank control, measurements.

The loop (lab.py) decides when; this file says what.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..curation import Candidates, Kept
from ..experiment import Experiment
from ..families import kind_of
from ..generators import Model, RunContext
from ..io.chain import FEATURES
from ..io.pictures import read_npy
from ..measurement import Measurement
from ..metrics import Evidence, ImageSet, measure_panel
from ..pool import REAL
from ..run_folder import RunFolder
from ..seeds import rng_at, seed_at
from .shard_files import write_npy

__all__ = ["curate", "measure_shard", "photocopy"]


def curate(
    experiment: Experiment, real: Path, shard: Path, images: np.ndarray, context: RunContext, generation: int, line: int
) -> np.ndarray:
    """Return the candidates that are published, uint8 [n,C,H,W], and write which they were, why and at what cost.

    Args:
        experiment: with the curation and the number n of images.
        real: the shard of generation 0, whose held-out images are the reference.
        shard: the partial shard to write ``curation.json`` and ``curation.npz`` into; nothing where all are kept.
        images: the candidates, uint8 [M,C,H,W].
        context: device for features.
        generation: of the candidates.
        line: their line.

    Raises:
        ValueError: if the curation cannot judge these images, or does not keep n different ones.
    """
    if not experiment.curated:
        return images
    n = len(read_npy(real / "images.npy", mmap=True))
    rng = rng_at(experiment.seed, "curation", generation, line)
    candidates = Candidates(images, read_npy(real / "heldout.npy"), context.device, rng)
    try:
        kept = experiment.curation.choose(candidates, n).check(n, len(images))
    except ValueError as error:
        raise ValueError(f"curation {kind_of(experiment.curation)}, generation {generation}: {error}") from error
    _write_decision(experiment, shard, kept, len(images))
    return images[kept.rows]


def _write_decision(experiment: Experiment, shard: Path, kept: Kept, candidates: int) -> None:
    said = {
        "curation": experiment.curation.model_dump(mode="json"),
        "candidates": candidates,
        "kept": len(kept.rows),
        "reason": kept.reason,
        "cost": {name: float(value) for name, value in kept.cost.items()},
    }
    (shard / "curation.json").write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    np.savez(shard / "curation.npz", rows=kept.rows.astype(np.int64), scores=np.asarray(kept.scores, np.float64))


def photocopy(model: Model, folder: RunFolder, shard: Path, generation: int, line: int) -> np.ndarray | None:
    """Copy the photocopies of the generation before once more, and return the blank control copied by this model.

    Returns:
        uint8 [N,C,H,W], the model's copies of the freckle-free faces; None where the model cannot copy images, or the
        dataset has no such faces.
    """
    if not model.reconstructs:
        return None
    original = folder.file(generation - 1, line, "photocopy.npy")
    write_npy(shard / "photocopy.npy", model.reconstruct(read_npy(original)))
    if not folder.has_file(0, REAL, "blank.npy"):
        return None
    return model.reconstruct(read_npy(folder.file(0, REAL, "blank.npy")))


def measure_shard(
    experiment: Experiment, real: Path, shard: Path, images: np.ndarray, blank: np.ndarray | None, context: RunContext
) -> list[Measurement]:
    """Take the run's panel of metrics: these images against the held-out real ones.

    Args:
        experiment: its panel and seed.
        real: the shard of generation 0.
        shard: the shard of the images; features are kept in both.
        images: uint8 [N,C,H,W].
        blank: the model's copies of freckle-free faces, uint8 [B,C,H,W], or None.
        context: device for features.
    """
    evidence = Evidence(
        real=ImageSet(read_npy(real / "heldout.npy"), _features(real)),
        fake=ImageSet(images, _features(shard)),
        blank=None if blank is None else ImageSet(blank),
        seed=seed_at(experiment.seed, "measure"),
        device=context.device,
        train=None if shard == real else ImageSet(read_npy(real / "images.npy"), _features(real)),
        pairs=_pairs(real),
    )
    return measure_panel(evidence, experiment.panel)


def _pairs(real: Path) -> tuple[ImageSet, ImageSet] | None:
    """Return held-out faces and the same faces without freckles; None where generation 0 has no such faces."""
    if not (real / "blank.npy").is_file():
        return None
    without = read_npy(real / "blank.npy")
    return ImageSet(read_npy(real / "heldout.npy")[: len(without)], _features(real)), ImageSet(without)


def _features(shard: Path) -> Path | None:
    """Return the folder in which the features of a shard's images are kept; None where a link has its name."""
    place = shard / FEATURES
    return None if place.is_symlink() else place
