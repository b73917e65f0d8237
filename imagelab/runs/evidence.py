"""What is recorded of a generation beside its images: what curation kept, photocopies, the blank control, measurements.

The loop (lab.py) decides when; this file says what.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..curation import Candidates, Kept, losses
from ..data.base import Sample
from ..experiment import Experiment
from ..families import kind_of
from ..generators import Model, RunContext
from ..io.chain import FEATURES
from ..io.large_arrays import chosen_rows
from ..io.npy import npz_columns
from ..io.pictures import read_npy
from ..measurement import Measurement
from ..metrics import Evidence, ImageSet, measure_panel
from ..pool import REAL, ModelLine
from ..run_folder import RunFolder
from ..seeds import rng_at, seed_at
from .drawing import CANDIDATES
from .planted import counter_of
from .shard_files import IMAGES, write_npy
from .waiting import AwaitsDecisions, Decided, decided, pretended, settle

__all__ = ["blank_twin", "copied_blanks", "curate", "measure_shard", "photocopy", "take_blanks", "write_groups"]

GROUPS = "groups.npz"
"""File of generation 0: which real images belong together, where the dataset knows it."""

COPIED_BLANKS = "copied_blanks.npy"
"""File in a partial shard, there from the making of the shard to its measuring."""

COUNTED = ("freckles", "planted")
"""The metrics that are taken of a blank twin's images: those that count."""


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
        AwaitsDecisions: if people have to decide first.
    """
    if not experiment.curated:
        return images
    n = len(read_npy(real / IMAGES, mmap=True))
    rng = rng_at(experiment.seed, "curation", generation, line)
    heldout, style = read_npy(real / "heldout.npy", mmap=True), experiment.data.counted_style
    candidates = Candidates(images, heldout, context.device, rng, freckle_style=style)
    try:
        people = _asked(experiment, shard, candidates, n, generation, line)
        candidates = replace(candidates, judged=people.shares if people else None)
        kept = experiment.curation.choose(candidates, n).check(n, len(images))
    except ValueError as error:
        raise ValueError(f"curation {kind_of(experiment.curation)}, generation {generation}: {error}") from error
    told = {} if people is None else {"people": people.record}
    asked = {} if people is None else {"looks": people.looks, "seconds_of_people": round(people.seconds, 1)}
    kept = replace(kept, cost={**kept.cost, **asked})
    _write_decision(experiment, shard, kept, len(images), told | _thrown_away(real, candidates, kept.rows))
    (shard / CANDIDATES).unlink(missing_ok=True)  # the map of them is still there
    return chosen_rows(images, kept.rows, shard)


def _asked(
    experiment: Experiment, shard: Path, candidates: Candidates, n: int, generation: int, line: int
) -> Decided | None:
    """Return what people have decided; None where the curation does not ask any.

    Raises:
        AwaitsDecisions: if nobody has decided yet.
        ValueError: if the curation could not judge these images whatever people decide.
    """
    count, curation = len(candidates.images), experiment.curation
    rows = curation.to_look_at(count, rng_at(experiment.seed, "looks", generation, line))
    if not len(rows):
        return None
    try:
        return decided(shard, candidates.images, rows, n, (generation, line, experiment.label(line)))
    except AwaitsDecisions:
        try:
            curation.choose(replace(candidates, judged=pretended(count, rows), rng=rng_at(0, "pretended")), n)
        except ValueError:
            settle(shard)
            raise
        raise


def _thrown_away(real: Path, candidates: Candidates, rows: np.ndarray) -> dict[str, Any]:
    """Return what curation.json says about attributes before and after the choice; nothing where none can be seen."""
    began = time.monotonic()
    with np.load(real / "truth.npz", allow_pickle=False) as truth:
        known = truth.files
    found = losses(candidates.images, rows, candidates.real, known, candidates.device)
    if found is None:
        return {}
    if found.missing:
        return {"attributes": {}, "attributes_missing": found.missing}
    seconds = round(time.monotonic() - began, 3)
    return {"attributes": found.attributes, "rare": found.rare, "attributes_seconds": seconds}


def _write_decision(experiment: Experiment, shard: Path, kept: Kept, candidates: int, more: dict[str, Any]) -> None:
    said = {
        "curation": experiment.curation.model_dump(mode="json"),
        "candidates": candidates,
        "kept": len(kept.rows),
        "reason": kept.reason,
        "cost": {name: float(value) for name, value in kept.cost.items()},
        **more,
    }
    (shard / "curation.json").write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    np.savez(shard / "curation.npz", rows=kept.rows.astype(np.int64), scores=np.asarray(kept.scores, np.float64))


def photocopy(folder: RunFolder, generation: int, line: int) -> np.ndarray:
    """Return the photocopies that a line has reached, uint8 [P,C,H,W]; the real ones where it has made none.

    Each model copies those of the model before it once more.
    """
    there = folder.has_file(generation, line, "photocopy.npy")
    return read_npy(folder.file(*((generation, line) if there else (0, REAL)), "photocopy.npy"))


def copied_blanks(model: Model, folder: RunFolder, shard: Path) -> None:
    """Write the blank control, real images without what is counted, as this model copies it, until it is measured.

    Nothing is written where the model cannot copy images, or the dataset has no such images.
    """
    if model.reconstructs and folder.has_file(0, REAL, "blank.npy"):
        write_npy(shard / COPIED_BLANKS, model.reconstruct(read_npy(folder.file(0, REAL, "blank.npy"))))


def take_blanks(shard: Path) -> np.ndarray | None:
    """Return what :func:`copied_blanks` wrote, uint8 [B,C,H,W], and remove the file; None where there is none."""
    path = shard / COPIED_BLANKS
    if not path.exists():
        return None
    images = read_npy(path)
    path.unlink()
    return images


def blank_twin(folder: RunFolder, generation: int, line: int) -> ImageSet:
    """Return the images of a finished blank twin; what is counted in them is kept for every chain."""
    return ImageSet(folder.images(generation, line), _features(folder.shard_path(generation, line)))


def measure_shard(
    experiment: Experiment,
    real: Path,
    shard: Path,
    images: np.ndarray,
    blank: np.ndarray | None,
    context: RunContext,
    line: ModelLine | None = None,
    twin: ImageSet | None = None,
    groups: np.ndarray | None = None,
) -> list[Measurement]:
    """Take the run's panel of metrics: these images against the held-out real ones. Of a blank twin, count only.

    Args:
        experiment: its panel and seed.
        real: the shard of generation 0.
        shard: the shard of the images; features are kept in both.
        images: uint8 [N,C,H,W].
        blank: the model's copies of freckle-free faces, uint8 [B,C,H,W], or None.
        context: device for features.
        line: the line of the images, None for real ones.
        twin: the images of the blank twin at the same generation, or None.
        groups: int64 [N], which generated images belong together; None if all are independent, and for real ones.
    """
    panel = [name for name in experiment.panel if line is None or not line.blank or name in COUNTED]
    of_train, of_heldout = _groups(real)
    evidence = Evidence(
        real=ImageSet(read_npy(real / "heldout.npy", mmap=True), _features(real), groups=of_heldout),
        fake=ImageSet(images, _features(shard), groups=of_train if shard == real else groups),
        blank=None if blank is None else ImageSet(blank),
        seed=seed_at(experiment.seed, "measure"),
        device=context.device,
        train=None if shard == real else _real_set(real, of_train),
        pairs=_pairs(real),
        twin=twin,
        counter=counter_of(real),
        compared=experiment.compared,
        freckle_style=experiment.data.counted_style,
    )
    return measure_panel(evidence, panel)


def _real_set(real: Path, groups: np.ndarray | None) -> ImageSet:
    return ImageSet(read_npy(real / IMAGES, mmap=True), _features(real), groups=groups)


def write_groups(shard: Path, train: Sample, heldout: Sample) -> None:
    """Write which real images of generation 0 belong together, ``groups.npz``; nothing where all are independent."""
    if train.groups is not None and heldout.groups is not None:
        np.savez(shard / GROUPS, train=train.groups, heldout=heldout.groups)


def _groups(real: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the groups of the training and of the held-out images, int64 [N] each; None where none are known."""
    if not (real / GROUPS).exists():
        return None, None
    train, heldout = npz_columns(real / GROUPS, ("train", "heldout"), "the groups of real images")
    return train, heldout


def _pairs(real: Path) -> tuple[ImageSet, ImageSet] | None:
    """Return held-out faces and the same faces without freckles; None where generation 0 has no such faces."""
    if not (real / "blank.npy").is_file():
        return None
    without = read_npy(real / "blank.npy")
    return ImageSet(read_npy(real / "heldout.npy", mmap=True)[: len(without)], _features(real)), ImageSet(without)


def _features(shard: Path) -> Path | None:
    """Return the folder in which the features of a shard's images are kept; None where a link has its name."""
    place = shard / FEATURES
    return None if place.is_symlink() else place
