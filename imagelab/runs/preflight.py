"""Before the first image is made: try every model, every metric and the curation on a few images of noise.

A size that a network cannot take, a package that is missing, a sampler that fails: without this, each would be noticed
only after the data are drawn and the first training is done, minutes or hours later. So each recipe is fitted for one
step, sampled, saved and loaded, and every metric is taken once, in seconds. These measurements are discarded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..curation import Candidates
from ..experiment import Experiment
from ..families import kind_of
from ..generators import Command, Generator, RunContext
from ..generators.base import SINGLE_PROCESS
from ..io.measurements import read_measurements
from ..io.untrusted import quoted, shown
from ..metrics import Evidence, ImageSet, measure_panel
from ..pool import REAL
from ..run_folder import RunFolder
from ..seeds import image_seeds, rng_at
from .waiting import pretended

__all__ = ["check_instruments", "costs_of_trials", "not_repeatable", "preflight", "rehearsal"]

NOISE_IMAGES = 12  # images of noise: the fewest that a feature space can be standardised by, and two


def preflight(experiment: Experiment, context: RunContext) -> dict[str, bool]:
    """Try the experiment's models, metrics and curation, one process, a few seconds.

    Args:
        experiment: the one to be run.
        context: its device; of its callbacks, programs of somebody else are given those for lines and for stopping.

    Returns:
        For each generator that was tried twice (``Generator.trials``), by its label: whether both models drew the same
        images.

    Raises:
        ValueError: naming the generator, the metrics or the curation, what went wrong and what to change.
        Interrupted: if ``context.should_stop`` said so.
    """
    noise = _noise(experiment)
    alone = replace(
        context,
        batch=2,
        on_record=lambda record: None,
        should_stop=lambda: False,
        checkpoint=None,
        group=SINGLE_PROCESS,
    )
    repeatable: dict[str, bool] = {}
    style = experiment.data.counted_style
    for recipe in dict.fromkeys(experiment.lines):
        with _trying(recipe.label):
            here = replace(alone, should_stop=context.should_stop) if recipe.alone else alone  # it may take long
            images = _noise(experiment, recipe.trial_images)[0] if isinstance(recipe, Command) else noise[0]
            drawn = [_try_model(rehearsal(recipe), images, here) for _ in range(recipe.trials)]
            if len(drawn) > 1:
                repeatable[recipe.label] = all(np.array_equal(drawn[0], other) for other in drawn[1:])
    with _trying("metrics"):
        real, fake = (ImageSet(images) for images in noise)
        given = Evidence(real, fake, blank=real, device=context.device, train=real, freckle_style=style)
        measure_panel(given, experiment.panel)
    with _trying(f"curation {kind_of(experiment.curation)}"):
        drawn = np.resize(noise[1], (experiment.curation.candidates(2), *experiment.data.shape))
        rows = experiment.curation.to_look_at(len(drawn), rng_at(0, "preflight/looks"))
        judged = pretended(len(drawn), rows) if len(rows) else None  # people are not asked about noise
        candidates = Candidates(drawn, noise[0], context.device, rng_at(0, "preflight/curation"), judged, style)
        experiment.curation.choose(candidates, 2).check(2, len(drawn))
    return repeatable


def costs_of_trials(experiment: Experiment) -> list[str]:
    """Return a sentence for each program of somebody else that is tried, because a trial may take as long as a run."""
    sentences = []
    for recipe in dict.fromkeys(experiment.lines):
        if isinstance(recipe, Command) and recipe.trials:
            takes = "at its full length, because it does not take {images_seen}"
            takes = takes if recipe.images_seen is None else "with {images_seen} = 2"
            sentences.append(
                f"{recipe.label}: is tried {recipe.trial} before the run: trained on {recipe.trial_images} images of "
                f"noise {takes}, {4 if recipe.trials > 1 else 2} images drawn. --generator.trial none leaves it out"
            )
    return sentences


def not_repeatable(record: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each generator that drew other images from the same seeds, by the run's provenance.json."""
    found = record.get("repeatable")
    return [
        f"{quoted(label, 80)}: is not deterministic, the same seeds gave other images. A resumed run follows the same "
        "loop, and its images are not the same bytes"
        for label, same in (found.items() if isinstance(found, Mapping) else ())
        if same is False
    ]


def check_instruments(experiment: Experiment, folder: RunFolder, context: RunContext) -> None:
    """Raise ValueError where this version measures in another way than the run's real images were measured.

    Args:
        experiment: the run's.
        folder: with generation 0.
        context: its device.
    """
    floors = {m.name: m for m in read_measurements(folder.file(0, REAL, "metrics.jsonl"))}
    real, fake = (ImageSet(images) for images in _noise(experiment))
    twins = folder.has_file(0, REAL, "blank.npy")  # as when generation 0 was measured
    evidence = Evidence(
        real,
        fake,
        real if twins else None,
        device=context.device,
        pairs=(real, fake) if twins else None,
        compared=experiment.compared,
        freckle_style=experiment.data.counted_style,
    )
    for m in measure_panel(evidence, experiment.panel):
        before = floors.get(m.name)
        if m.value is None or before is None or before.value is None:
            continue
        changed = [part for part in ("estimator", "feature_space") if getattr(m, part) != getattr(before, part)]
        if changed:
            was, is_now = getattr(before, changed[0]), getattr(m, changed[0])
            raise ValueError(
                f"{shown(folder.path)}: {m.name} of its real images was measured as {quoted(was, 120)}, and this "
                f"version measures it as {quoted(is_now, 120)}. One run is measured in one way: go on with the version "
                f"of imagelab in its provenance.json, or begin anew: imagelab run {shown(folder.path)}/config.json "
                "--name OTHER"
            )


def _noise(experiment: Experiment, count: int = NOISE_IMAGES) -> np.ndarray:
    """Return two sets of images of noise in the form of the experiment's data, uint8 [2,N,C,H,W]."""
    return rng_at(0, "preflight").integers(0, 256, (2, count, *experiment.data.shape), np.uint8)


def rehearsal(recipe: Generator) -> Any:
    """Return the recipe with every setting that only takes time at 2 or below: one step, two images, two sampler steps.

    The same holds for a generator within it.

    Example:
        >>> from imagelab.generators import Ddpm
        >>> short = rehearsal(Ddpm(channels=(8, 16)))
        >>> short.images_seen, short.steps, short.channels
        (2, 2, (8, 16))
    """
    there = {name: getattr(recipe, name) for name in recipe.duration_settings}
    within = {name: rehearsal(value) for name, value in recipe if isinstance(value, Generator)}
    return recipe.model_copy(update={name: min(value, 2) for name, value in there.items() if value} | within)


def _try_model(recipe: Generator, images: np.ndarray, context: RunContext) -> np.ndarray:
    """Fit, sample, save and load; return what was drawn. Programs draw after they were moved, as in a run."""
    model, count = recipe.fit(images, 0, context), 4 if recipe.trials > 1 else 2
    seeds = image_seeds(0, "preflight", 0, 0, range(count))
    with TemporaryDirectory() as folder:
        if recipe.alone:
            model.save(Path(folder))
            model = recipe.load(Path(folder), context)
        made = model.sample(seeds)
        if made.shape != (count, *images.shape[1:]) or made.dtype != np.uint8:
            raise ValueError(f"expected to draw uint8 {(count, *images.shape[1:])}, got {made.dtype} {made.shape}")
        if model.reconstructs:
            model.reconstruct(images[:2])
        if not recipe.alone:
            model.save(Path(folder))
            recipe.load(Path(folder), context)
    return made


@contextmanager
def _trying(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(f"{what}: {error}. Install what is missing, or choose without it; nothing was run.") from error
    except ValueError as error:
        raise ValueError(f"tried before the run: {what}: {error}") from error
