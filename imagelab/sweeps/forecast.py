"""What an experiment, or a whole sweep, will cost: images, trainings, time, disk and memory, before anything starts.

    forecast = forecast_of(study.points, Limits(jobs=2))
    print(forecast.seconds, forecast.disk, forecast.peak)

The costs come from a calibration of about a minute on this machine (forecast_models.py, forecast_rounds.py), which
writes into temporary folders only. What several points have in common is calibrated once. Then the shards that are
missing are counted, and put in the order in which a run takes them (forecast_schedule.py).

Times are those of a machine that does nothing else: with one thread on a CPU, seconds of the processor. Not known
are: programs of somebody else beyond a small call, people who decide, trainings that diverge, and how much processes
that run at the same time slow each other down.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..experiment import Experiment
from ..generators import Generator, RunContext
from ..run_folder import RunFolder
from ..runs.preflight import preflight
from ..runs.prepare import split_sizes
from ..runs.run import missing_shards
from ..runs.settings import choose_settings
from ..runs.threads import default_threads, limited, usable_cores
from .forecast_account import Account, pool_sizes
from .forecast_clock import Spent, spent
from .forecast_models import ModelCost, cost_of_model
from .forecast_rounds import Report, RoundCost, cost_of_rounds
from .forecast_schedule import Task, seconds_of_run, seconds_of_sweep
from .local import Limits
from .states import point_state
from .study import Point

__all__ = ["Forecast", "PointCost", "forecast_of"]

NO_LIMITS, NOTHING = Limits(), Task({1: 0.0}, 0.0, None)
BUDGET = 50.0  # seconds of a calibration, without loading torch
FEW, FEW_RANGE = 0.3, 1.25  # the range where measurements were tried with less than this share of the images
LEAST_RANGE = 1.1  # forecasts are never said to be better than this factor


@dataclass(frozen=True)
class PointCost:
    """What is left of one point.

    Attributes:
        point: which.
        made: shards that are there; ``planned``: of how many.
        planned: shards in all, generation 0 counted.
        images: that will be published, real ones not counted.
        drawn: images that models will draw: candidates of a curation and fresh draws counted.
        trainings: models that will be fitted.
        parts: seconds by what they are spent on; their sum is the work of one core (of ``threads`` cores).
        task: for the schedule.
        disk: bytes that will be added; ``files``: in how many files.
        files: see ``disk``.
        models: bytes of ``disk`` that are models.
        extra: bytes that are there only while it runs: checkpoints, models that are removed later.
        peak: bytes of memory of its largest process.
    """

    point: Point
    made: int
    planned: int
    images: int = 0
    drawn: int = 0
    trainings: int = 0
    parts: dict[str, float] | None = None
    task: Task = NOTHING
    disk: float = 0.0
    files: int = 0
    models: float = 0.0
    extra: float = 0.0
    peak: float = 0.0

    @property
    def work(self) -> float:
        """Seconds of all its steps, one after the other."""
        return sum((self.parts or {}).values())


@dataclass(frozen=True)
class Forecast:
    """What is left of all points.

    Attributes:
        points: each of them.
        jobs: points at a time; ``threads``: of each process.
        threads: see ``jobs``.
        workers: processes of a single run.
        seconds: of the clock, until all is done, on a machine that does nothing else.
        busy: by what factor work takes longer now, because the machine does other things.
        ratio: the factor by which the truth may differ from ``seconds``, up or down: the ratio of repeats.
        calibration: seconds that the calibration took.
        tried: the most images that the measurements were tried with, and how many a run has.
        unknown: sentences on what is not known.
        closing: seconds of the page that compares the points of a sweep; part of ``seconds``.
    """

    points: tuple[PointCost, ...]
    jobs: int
    threads: int
    workers: int
    seconds: float
    busy: float
    ratio: float
    calibration: float
    tried: tuple[int, int]
    unknown: tuple[str, ...] = ()
    closing: float = 0.0

    @property
    def left(self) -> tuple[PointCost, ...]:
        """The points that are not finished."""
        return tuple(each for each in self.points if each.made < each.planned)

    @property
    def core_seconds(self) -> float:
        """Seconds of work, times the threads of a process."""
        return self.threads * (sum(each.work for each in self.points) + self.closing)

    @property
    def disk(self) -> float:
        """Bytes that will be added to the disk."""
        return sum(each.disk for each in self.points)

    @property
    def most_disk(self) -> float:
        """Bytes that are needed while it runs."""
        return self.disk + sum(sorted((each.extra for each in self.points), reverse=True)[: self.jobs])

    @property
    def peak(self) -> float:
        """Bytes of memory of the largest process."""
        return max((each.peak for each in self.points), default=0.0)

    @property
    def processes(self) -> int:
        """How many processes work at a time."""
        return max(1, self.jobs, self.workers)


def forecast_of(
    points: Sequence[Point],
    limits: Limits = NO_LIMITS,
    *,
    report: Report | None = None,
    on_phase: Callable[[str], None] = lambda words: None,
    budget: float = BUDGET,
) -> Forecast:
    """Calibrate on this machine, and return what is left of these points will cost. Nothing is written to their runs.

    Args:
        points: of a study; one for a single run.
        limits: points at a time, threads, memory.
        report: what writes a run's report, to be timed, too.
        on_phase: called with what is being measured, in words.
        budget: seconds that the calibration may take, about, without loading torch.

    Raises:
        ValueError: for data, settings or a device that do not suit, as the run would.

    Example:
        >>> import tempfile
        >>> from imagelab import Experiment, Gaussian, Runtime, Textures
        >>> small = Experiment(data=Textures(size=16), generator=Gaussian(), generations=2, images=32, heldout=16,
        ...                    metrics=("pixel_variance",), runtime=Runtime(device="cpu", runs=tempfile.mkdtemp()))
        >>> forecast = forecast_of([Point({}, small)], budget=1.0)
        >>> sum(each.trainings for each in forecast.points), forecast.peak > 1e6
        (2, True)
    """
    began = time.perf_counter()
    before = 0.0 if "torch" in sys.modules else time.process_time()
    left = [point for point in points if point_state(point).state != "finished"]
    threads = limits.threads or points[0].experiment.runtime.threads or default_threads()
    cores = max(1, usable_cores() // threads)
    jobs, workers = (limits.jobs or cores, 1) if len(points) > 1 else (1, limits.jobs or cores)
    if not left:
        done = tuple(_finished(point) for point in points)
        return Forecast(done, jobs, threads, workers, 0.0, 1.0, 1.0, 0.0, (0, 0))
    on_phase("loading torch; trying models and metrics")
    with spent() as start:
        settings = choose_settings(left[0].experiment.runtime, {}, 1, left[0].experiment.folder)
        context = RunContext(settings.device, settings.batch)
        with limited(1):
            preflight(left[0].experiment, context)
    calibrated = _Calibrated(context, threads, report, on_phase)
    with limited(threads):
        calibrated.measure([point.experiment for point in left], budget)
    # what earlier points have loaded for later ones, each process has to load itself
    starting = before + calibrated.clock(start) + max(each.first_use for each in calibrated.rounds.values())
    if len(points) == 1:
        workers = max(1, min(workers, 2 * len(left[0].experiment.lines))) if settings.device == "cpu" else 1
    made = tuple(_cost_of(point, calibrated, starting, max(jobs, workers)) for point in points)
    tasks = [each.task for each in made if each.made < each.planned]
    closing = max(each.report for each in calibrated.rounds.values()) if len(points) > 1 else 0.0
    seconds = closing + (tasks[0].seconds[workers] if len(points) == 1 else seconds_of_sweep(tasks, jobs))
    return Forecast(
        made,
        jobs,
        threads,
        workers,
        seconds,
        calibrated.busy(),
        calibrated.ratio(),
        time.perf_counter() - began,
        calibrated.tried(),
        tuple(dict.fromkeys(calibrated.unknown())),
        closing,
    )


class _Calibrated:
    """What has been measured, by what it belongs to."""

    def __init__(self, context: RunContext, threads: int, report: Report | None, on_phase: Callable[[str], None]):
        self.context, self.threads, self.report, self.on_phase = context, threads, report, on_phase
        self.models: dict[str, ModelCost] = {}
        self.rounds: dict[str, RoundCost] = {}
        self.sizes: dict[str, int] = {}
        self.reserves: dict[str, float] = {}

    def clock(self, cost: Spent) -> float:
        """Return the seconds of work on a machine that does nothing else."""
        return cost.cpu if self.context.device == "cpu" and self.threads == 1 else cost.wall

    def measure(self, experiments: Sequence[Experiment], budget: float) -> None:
        """Measure what these experiments need, each thing once."""
        recipes: dict[str, tuple[Generator, Experiment, int]] = {}
        groups: dict[str, Experiment] = {}
        for experiment in experiments:
            n = split_sizes(experiment)["train"]
            for recipe in dict.fromkeys(experiment.lines):
                key, pool = _model_key(recipe, experiment), max(size.training for size in pool_sizes(experiment, n, 0))
                if key not in recipes or recipes[key][2] < pool:
                    recipes[key] = recipe, experiment, pool
            key = _round_key(experiment)
            if key not in groups or n > split_sizes(groups[key])["train"]:
                groups[key] = experiment
        share = budget / (len(recipes) + 2 * len(groups))
        for number, (key, (recipe, experiment, pool)) in enumerate(recipes.items(), 1):
            self.on_phase(f"model {number} of {len(recipes)}: {recipe.label}")
            self.models[key] = cost_of_model(recipe, experiment.data.shape, pool, self.context, share, self.clock)
        for number, (key, experiment) in enumerate(groups.items(), 1):
            self.on_phase(f"data and measurements {number} of {len(groups)}")
            copies = any(self.model(recipe, experiment).copy > 0 for recipe in experiment.lines)
            self.sizes[key] = split_sizes(experiment)["train"]
            self.rounds[key] = cost_of_rounds(experiment, copies, self.context, 2 * share, self.clock, self.report)
            self.reserves[key] = self._new_image(experiment)

    def _new_image(self, experiment: Experiment) -> float:
        """Return the seconds of drawing one image of the reserve."""
        count = min(split_sizes(experiment)["reserve"], 32)
        if not count:
            return 0.0
        with spent() as cost:
            experiment.data.load("reserve", count, experiment.seed)
        return self.clock(cost) / count

    def model(self, recipe: Generator, experiment: Experiment) -> ModelCost:
        """Return what a recipe costs."""
        return self.models[_model_key(recipe, experiment)]

    def round(self, experiment: Experiment) -> RoundCost:
        """Return what the shards of an experiment cost without their models."""
        return self.rounds[_round_key(experiment)]

    def ratio(self) -> float:
        """Return the largest ratio of two measurements of the same; more where measurements were tried with few."""
        tried, real = self.tried()
        least = FEW_RANGE if tried < FEW * real else LEAST_RANGE
        return max(least, *(each.ratio for each in self.models.values()))

    def busy(self) -> float:
        """Return by what factor the clock was slower than the processor."""
        if self.context.device != "cpu" or self.threads > 1:
            return 1.0
        factors = [each.busy for each in (*self.models.values(), *self.rounds.values())]
        return max(1.0, sum(factors) / len(factors))

    def tried(self) -> tuple[int, int]:
        """Return the number of images that the measurements were tried with, and the real one, where it is worst."""
        return min(
            ((self.rounds[key].largest, self.sizes[key]) for key in self.rounds), key=lambda pair: pair[0] / pair[1]
        )

    def unknown(self) -> list[str]:
        """Return the sentences of all parts."""
        gpu = [] if self.context.device == "cpu" else ["the memory of the GPU is not forecast"]
        return gpu + [line for each in (*self.models.values(), *self.rounds.values()) for line in each.unknown]


def _model_key(recipe: Generator, experiment: Experiment) -> str:
    return f"{recipe.model_dump_json()}|{experiment.data.shape}"


def _round_key(experiment: Experiment) -> str:
    sizes = split_sizes(experiment)
    about: list[Any] = [experiment.data.model_dump(mode="json"), experiment.panel, bool(experiment.blank_twins)]
    about += [experiment.curation.model_dump(mode="json"), round(sizes["heldout"] / sizes["train"], 2)]
    return json.dumps([*about, experiment.tracked], default=str)


def _first_of(experiment: Experiment) -> str | None:
    """Return what points with the same generation 0 have in common; None where it is not copied."""
    if experiment.curated:
        return None
    return json.dumps([_round_key(experiment), split_sizes(experiment), experiment.seed])


def _finished(point: Point) -> PointCost:
    planned = 1 + point.experiment.generations * len(point.experiment.lines)
    return PointCost(point, planned, planned)


def _cost_of(point: Point, calibrated: _Calibrated, starting: float, workers: int) -> PointCost:
    """Return what is left of a point costs."""
    experiment, state = point.experiment, point_state(point)
    if state.state == "finished":
        return _finished(point)
    if state.state == "damaged":
        raise ValueError(f"{point.words}: {state.fault}")
    folder = RunFolder(experiment.folder)
    missing = missing_shards(experiment, folder) if state.made else _all_shards(experiment)
    shards = [shard for shard in missing if shard[0]]
    cost, sizes = calibrated.round(experiment), split_sizes(experiment)
    n, size = sizes["train"], _image_bytes(experiment)
    account = Account(experiment, n, cost, [calibrated.model(recipe, experiment) for recipe in experiment.lines])
    for shard in shards:
        account.add(shard)
    first, reserve = 0.0, sizes["reserve"]
    if (0, 0) in missing:
        first = cost.seconds["first"](n) + reserve * calibrated.reserves[_round_key(experiment)]
        account.disk += cost.disk["first"](n) + reserve * size
        account.files += cost.files["first"]
    parts = {"starting": starting, "real images": first, **account.parts, "report": cost.report}
    seconds = {
        k: starting + first + cost.report + seconds_of_run(experiment, shards, account.make, account.assess, k)
        for k in range(1, workers + 1)
    }
    kept, extra, files = account.kept()
    return PointCost(
        point,
        1 + experiment.generations * len(experiment.lines) - len(missing),
        1 + experiment.generations * len(experiment.lines),
        n * len(shards),
        account.drawn,
        len(shards),
        parts,
        Task(seconds, starting + first, _first_of(experiment) if first else None),
        account.disk + kept + cost.report_bytes,
        account.files + files,
        kept,
        extra,
        max(account.peak, cost.peak(n), float(cost.report_peak)),
    )


def _all_shards(experiment: Experiment) -> tuple[tuple[int, int], ...]:
    lines = range(len(experiment.lines))
    return ((0, 0), *((t, line) for t in range(1, experiment.generations + 1) for line in lines))


def _image_bytes(experiment: Experiment) -> int:
    channels, height, width = experiment.data.shape
    return channels * height * width
