"""What a recipe costs on this machine: a step of its training, an image drawn, its files.

A network is really fitted, at the real size of images and the real batch, but for a few steps. Its training is
shortened twice by the lengths in its settings (``images_seen``, and ``samples`` of a self-training), all of them by the
same factor, so that it does not matter of how many parts a training consists. The cost of a training of share s of the
real length is a + b s. A closed form is fitted to growing sets of noise. Images are drawn in the blocks that the run
uses, with as many steps of the sampler.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..generators import Command, Generator, Interrupted, Model, RunContext
from ..seeds import image_seeds
from .forecast_clock import CostCurve, Spent, spent

__all__ = ["ModelCost", "cost_of_model"]

LENGTHS = ("images_seen", "samples")
MOST_BYTES = 64_000_000  # of a training set of noise
LEAST_STEPS = 4
CALL_LENGTH = 256  # images seen in the longer call of a program of somebody else
SHORT = 0.3  # seconds; what is shorter is measured again


@dataclass(frozen=True)
class ModelCost:
    """What one recipe costs.

    Attributes:
        fit: seconds of a training by the number of its images.
        block: images drawn at a time.
        draw: seconds of a block.
        copy: seconds of a block of copies; 0 where the model cannot copy.
        model_bytes: of a saved model.
        model_files: how many files it has.
        checkpoint_bytes: of the state inside a training, there only while it goes on.
        fit_peak: bytes of memory by the number of training images.
        draw_peak: bytes of memory while a block is drawn.
        ratio: the larger over the smaller of two measurements of the same.
        busy: seconds of the clock over seconds of the processor.
        unknown: sentences on what was not measured.
    """

    fit: CostCurve
    block: int
    draw: float
    copy: float
    model_bytes: int
    model_files: int
    checkpoint_bytes: int
    fit_peak: CostCurve
    draw_peak: int
    ratio: float
    busy: float
    unknown: tuple[str, ...] = ()

    def drawn(self, images: int) -> float:
        """Return the seconds of drawing so many images."""
        return math.ceil(images / self.block) * self.draw if images else 0.0

    def copied(self, images: int) -> float:
        """Return the seconds of copying so many images."""
        return math.ceil(images / self.block) * self.copy if images else 0.0


def cost_of_model(
    recipe: Generator,
    shape: tuple[int, int, int],
    images: int,
    context: RunContext,
    budget: float,
    seconds_of: Callable[[Spent], float],
) -> ModelCost:
    """Fit, draw, copy and save a recipe for some seconds, and return what it costs.

    Args:
        recipe: the generator.
        shape: of an image, (C, H, W).
        images: in its training set.
        context: device and batch.
        budget: seconds that this may take, about; a closed form that needs more for its smallest set takes more.
        seconds_of: seconds of the clock that work takes on a machine that does nothing else.
    """
    bench = _Bench(recipe, shape, images, context, budget, seconds_of)
    with TemporaryDirectory(prefix="imagelab-plan-") as folder:
        model = bench.train() if recipe.training_length and not isinstance(recipe, Command) else bench.solve()
        return bench.draw(model, Path(folder))


class _Bench:
    """One recipe while it is measured."""

    def __init__(
        self,
        recipe: Generator,
        shape: tuple[int, int, int],
        images: int,
        context: RunContext,
        budget: float,
        seconds_of: Callable[[Spent], float],
    ):
        self.recipe, self.shape, self.images, self.budget = recipe, shape, images, budget
        self.context, self.clock = replace(context, on_record=lambda record: None, checkpoint=None), seconds_of
        if recipe.alone:  # its work is done in processes of its own
            self.clock = lambda cost: cost.wall
        self.fits: list[tuple[int, float]] = []
        self.peaks: list[tuple[int, float]] = []
        self.checkpoint_bytes, self.ratio, self.wall, self.cpu = 0, 1.0, 0.0, 0.0
        self.unknown: list[str] = []

    def noise(self, count: int) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (count, *self.shape), np.uint8)

    def fitted(self, recipe: Generator, images: np.ndarray) -> tuple[Model, Spent]:
        with spent() as cost:
            model = recipe.fit(images, 0, self.context)
        self.wall, self.cpu = self.wall + cost.wall, self.cpu + cost.cpu
        return model, cost

    def solve(self) -> Model:
        """Fit a closed form, or a program, to growing sets until the budget is used up or the set is the real one."""
        began, n = time.perf_counter(), min(self.images, max(64, getattr(self.recipe, "trial_images", 0)))
        if isinstance(self.recipe, Command):
            return self._call(self.recipe, n)
        while True:
            images = self.noise(n)
            model, cost = self.fitted(self.recipe, images)
            if not self.fits:  # the first call loads what later ones have
                model, again = self.fitted(self.recipe, images)
                cost = again
            self.fits.append((n, self.clock(cost)))
            self.peaks.append((n, float(cost.peak)))
            used = time.perf_counter() - began
            larger = min(self.images, 2 * n)
            if n == self.images or used + 2.5 * cost.wall > self.budget / 2 or images.nbytes > 4 * MOST_BYTES:
                return model
            n = larger

    def _call(self, recipe: Command, n: int) -> Model:
        """Call a program of somebody else with few images, twice where it is told how long to train."""
        label, length = recipe.label, recipe.training_length
        self.unknown.append(f"{label}: only what a call on {n} images shows; its memory is not known")
        model, cost = self.fitted(recipe.model_copy(update={"images_seen": 2}) if length else recipe, self.noise(n))
        seconds = self.clock(cost)
        if length > 2:
            longer = min(length, CALL_LENGTH)
            again = self.fitted(recipe.model_copy(update={"images_seen": longer}), self.noise(n))[1]
            seconds += (length - 2) * max(0.0, self.clock(again) - seconds) / (longer - 2)
            self.unknown.append(f"{label}: the time of {length:,} training images is extrapolated from {longer}")
        self.fits, self.peaks = [(self.images, seconds)], [(self.images, float(cost.peak))]
        return model

    def train(self) -> Model:
        """Fit a network twice for some steps; note what the whole training takes."""
        size = int(np.prod(self.shape))
        n = max(4, min(self.images, MOST_BYTES // size))
        images, batch = self.noise(n), max(1, int(getattr(_base(self.recipe), "batch", 1)))
        share = min(1.0, batch / _length(self.recipe))  # one step
        self.fitted(_shortened(self.recipe, share), images)  # the first step loads what later ones have
        _, one = self.fitted(_shortened(self.recipe, share), images)
        within = (self.budget / 2 - one.wall) / 3  # for the longer one, which is done twice
        steps = max(LEAST_STEPS, int(within / max(one.wall, 1e-3)))
        long = min(1.0, share * steps)
        pair = [self.fitted(_shortened(self.recipe, long), images)[1] for _ in range(2)]
        model, third = self.fitted(_shortened(self.recipe, long), images) if pair[0].wall < SHORT else (None, pair[0])
        costs = sorted(self.clock(cost) for cost in (*pair, *([third] if model else [])))
        self.ratio = costs[-1] / max(costs[0], 1e-9)
        middle = costs[len(costs) // 2] if model else sum(costs) / 2
        slope = max(0.0, (middle - self.clock(one)) / max(long - share, 1e-12)) if long > share else 0.0
        whole = middle + slope * (1 - long)
        self.fits, peak = [(self.images, whole)], float(max(cost.peak for cost in pair))
        more = (self.images - n) * size
        self.peaks = [(self.images, peak + 2 * more)]
        self._checkpoint(images)
        return self.fitted(_shortened(self.recipe, share), images)[0] if model is None else model

    def _checkpoint(self, images: np.ndarray) -> None:
        """Stop a training after its first step, and weigh what it saves."""
        asked = iter(range(10**9))
        with TemporaryDirectory(prefix="imagelab-plan-") as folder:
            path = Path(folder) / "checkpoint.safetensors"
            stopping = replace(self.context, checkpoint=path, should_stop=lambda: next(asked) >= 1)
            try:
                self.recipe.fit(images, 0, stopping)
            except Interrupted:
                self.checkpoint_bytes = path.stat().st_size if path.is_file() else 0

    def draw(self, model: Model, folder: Path) -> ModelCost:
        """Save the model, draw and copy blocks of images, and return all that was found."""
        from ..generators.sampling import block_size  # it loads torch

        on_cpu = self.context.device.partition(":")[0] == "cpu"
        block = block_size(self.shape[1] * self.shape[2]) if on_cpu else self.context.batch
        model.save(folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        if self.recipe.alone:
            model = self.recipe.load(folder, self.context)
        with spent() as first:
            drawn = _few_steps(self.recipe, folder, self.context, model)(image_seeds(0, "plan", 0, 0, range(block)))
        scale = _scale(self.recipe)
        if first.wall * scale > self.budget / 4:
            seconds = self.clock(first) * scale
            self.unknown.append(f"{self.recipe.label}: drawing was measured with 2 steps of the sampler and multiplied")
        else:
            costs = [self._sampled(model, block) for _ in range(2)]
            seconds = sum(self.clock(cost) for cost in costs) / 2
            if min(self.clock(cost) for cost in costs) > SHORT:
                self.ratio = max(self.ratio, _ratio([self.clock(cost) for cost in costs]))
            first = costs[0]
        copying = Spent()
        if model.reconstructs:
            model.reconstruct(drawn[:2])
            with spent() as copying:
                model.reconstruct(np.resize(drawn, (block, *self.shape)))
        return ModelCost(
            CostCurve.of(self.fits),
            block,
            seconds,
            self.clock(copying),
            sum(path.stat().st_size for path in files),
            len(files),
            self.checkpoint_bytes,
            CostCurve.of(self.peaks),
            max(first.peak, copying.peak),
            self.ratio,
            self.wall / max(self.cpu, 1e-9) if self.cpu > SHORT and not self.recipe.alone else 1.0,
            tuple(self.unknown),
        )

    def _sampled(self, model: Model, block: int) -> Spent:
        with spent() as cost:
            model.sample(image_seeds(0, "plan", 0, 0, range(block)))
        return cost


def _ratio(values: list[float]) -> float:
    return max(values) / max(min(values), 1e-9)


def _base(recipe: Generator) -> Any:
    return next((value for _, value in recipe if isinstance(value, Generator)), recipe)


def _length(recipe: Generator) -> int:
    return max(1, int(getattr(_base(recipe), "images_seen", None) or recipe.training_length))


def _shortened(recipe: Generator, share: float) -> Any:
    """Return the recipe with a share of its training, all parts alike."""
    there = {name: getattr(recipe, name) for name in LENGTHS if name in recipe.duration_settings}
    within = {name: _shortened(value, share) for name, value in recipe if isinstance(value, Generator)}
    shorter = {name: max(2, round(value * share)) for name, value in there.items() if value}
    return recipe.model_copy(update=shorter | within)


def _steps(recipe: Generator) -> dict[str, int]:
    return {name: getattr(recipe, name) for name in recipe.duration_settings if name in ("steps", "coarse_steps")}


def _scale(recipe: Generator) -> float:
    """Return how many times longer the sampler is than the one of :func:`_few_steps`."""
    steps = _steps(recipe) or _steps(_base(recipe))
    return sum(steps.values()) / sum(min(value, 2) for value in steps.values()) if steps else 1.0


def _few_steps(
    recipe: Generator, folder: Path, context: RunContext, model: Model
) -> Callable[[np.ndarray], np.ndarray]:
    """Return how the saved model draws with two steps of its sampler; as it is where it has no such setting."""
    base = _base(recipe)
    steps = _steps(recipe) or _steps(base)
    if not steps:
        return model.sample
    few: dict[str, Any] = {name: min(value, 2) for name, value in steps.items()}
    if not _steps(recipe):
        few = {name: base.model_copy(update=few) for name, value in recipe if value is base}
    return recipe.model_copy(update=few).load(folder, context).sample
