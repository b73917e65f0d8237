"""What a run costs beside its models: real images, curation, measurements, files.

A small run of the experiment is made in a temporary folder with the functions of the run itself (runs/first_shard.py,
lab.py), one generation long. In place of the model stands one that draws nothing: it hands out real images, which a
metric takes as long to read as those of a good model. The run is made again with twice the images until the budget is
used up or the real number is reached; from the sizes follows what the real number costs (:class:`CostCurve`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..curation import KeepAll
from ..experiment import Experiment
from ..generators import Interrupted, RunContext
from ..lab import assess, commit, make
from ..pool import REAL
from ..regimes import Replace
from ..run_folder import SCHEMA, RunFolder
from ..runs.environment import provenance
from ..runs.first_shard import first_shard
from ..runs.prepare import split_sizes
from ..seeds import rng_at
from .forecast_clock import CostCurve, Spent, spent

__all__ = ["RoundCost", "cost_of_rounds"]

SMALLEST = 64
"""Images of the smallest run that is tried, in whatever time; so are twice as many. Some metrics need 64."""

MOST_A_VALUE = 50
"""Bytes of memory for each value of each image; measured with the default metrics: 52 at 32 px, 50 at 64 px."""

PARTS = ("first", "make", "assess", "twin", "twin_make")
"""Generation 0; all of a shard but its model and its measurements; its measurements; the same of a blank twin."""

Report = Callable[[Path], object]


@dataclass(frozen=True)
class _Stand:
    """A generator, and a model, that hands out the images it was given."""

    copies: bool
    images: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    label: str = "stand-in"
    alone: bool = False
    takes_from_before: bool = False
    training_length: int = 0

    @property
    def reconstructs(self) -> bool:
        return self.copies

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Any = None) -> _Stand:
        return _Stand(self.copies, images)

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        return np.resize(self.images, (len(seeds), *self.images.shape[1:]))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        return images

    def save(self, folder: Path) -> None:
        folder.mkdir()


@dataclass(frozen=True)
class RoundCost:
    """What the shards of a run cost without their models.

    Attributes:
        seconds: of each of ``PARTS`` by the number of images.
        disk: bytes of generation 0, of a shard without its model, and of that of a twin ("first", "make", "twin").
        files: the same in files.
        peak: bytes of memory of the process, by the number of images.
        report: seconds of the report.
        report_peak: bytes of memory while it is written.
        report_bytes: of the report, once.
        first_use: seconds of what a process loads or prepares when it makes its first shards.
        largest: the most images that were tried.
        busy: seconds of the clock over seconds of the processor.
        unknown: sentences on what was not measured.
    """

    seconds: dict[str, CostCurve]
    disk: dict[str, CostCurve]
    files: dict[str, int]
    peak: CostCurve
    report: float
    report_peak: int
    report_bytes: int
    first_use: float
    largest: int
    busy: float
    unknown: tuple[str, ...]


def cost_of_rounds(
    experiment: Experiment,
    copies: bool,
    context: RunContext,
    budget: float,
    seconds_of: Callable[[Spent], float],
    report: Report | None = None,
) -> RoundCost:
    """Make small runs of an experiment in a temporary folder, and return what its shards cost without their models.

    Args:
        experiment: any point with these data, this curation and these metrics.
        copies: whether its models copy images.
        context: device and batch.
        budget: seconds that this may take, about.
        seconds_of: seconds of the clock that work takes on a machine that does nothing else.
        report: what writes a run's report into RUN/report; None for no report.
    """
    bench = _Rounds(experiment, copies, context, seconds_of)
    n, began = split_sizes(experiment)["train"], time.perf_counter()
    m = min(n, SMALLEST)
    bench.take(m)
    while True:
        before = time.perf_counter()
        bench.take(m, report)
        took, used = time.perf_counter() - before, time.perf_counter() - began
        if m == n or (m >= 2 * SMALLEST and used + 2.2 * took > budget):
            return bench.found()
        m = n if 2 * m > 0.7 * n and used + 1.1 * took * n / m < budget else min(n, 2 * m)


class _Rounds:
    """The small runs of one experiment, and what they have cost."""

    def __init__(
        self,
        experiment: Experiment,
        copies: bool,
        context: RunContext,
        seconds_of: Callable[[Spent], float],
    ):
        self.experiment, self.copies, self.context, self.clock = experiment, copies, context, seconds_of
        self.runs: list[tuple[int, dict[str, Spent], dict[str, _Size]]] = []
        self.report, self.report_bytes, self.report_peak = 0.0, 0, 0
        self.unknown: list[str] = []

    def small(self, m: int, runs: Path) -> Experiment:
        """Return the experiment with m images and one generation of one line, and its twin where it has one."""
        whole, sizes = self.experiment, split_sizes(self.experiment)
        data: Any = whole.data
        if "cache" in type(data).model_fields:  # what is drawn already would cost nothing
            data = data.model_copy(update={"cache": False})
        curation: Any = whole.curation
        if len(curation.to_look_at(curation.candidates(m), rng_at(0, "plan/looks"))):
            self.unknown.append("people decide what is kept: how long they take is not known")
            curation = KeepAll()
        changes: dict[str, Any] = {
            "data": data,
            "regime": Replace(),
            "arms": (),
            "images": m,
            "heldout": max(4, round(sizes["heldout"] * m / sizes["train"])),
            "generations": 1,
            "curation": curation,
            "warm_start": False,
            "fresh_draws": 1,
            "replicates": 1,
            "blank_twins": min(1, whole.blank_twins),
            "runtime": whole.runtime.model_copy(update={"runs": runs}),
        }
        return whole.model_copy(update=changes)

    def take(self, m: int, report: Report | None = None) -> None:
        """Make the run with m images."""
        with TemporaryDirectory(prefix="imagelab-plan-") as place:
            plain = self.small(m, Path(place))
            settings = {"schema": SCHEMA, "signature": "0" * 8, "experiment": plain.question()}
            folder = RunFolder.create(Path(place) / "run", settings)
            folder.write_provenance(provenance(plain, folder, self.context))
            stand = plain.model_copy(update={"generator": _Stand(self.copies)})
            costs, sizes = self._made(stand, folder)
            self.runs.append((m, costs, sizes))
            if report is not None and not self.report:
                self._report(folder, report)

    def _made(self, stand: Experiment, folder: RunFolder) -> tuple[dict[str, Spent], dict[str, _Size]]:
        costs: dict[str, Spent] = {}
        with spent() as costs["first"]:
            first_shard(stand, folder, self.context)
            commit(stand, folder, self.context, 0, REAL)
        for line in stand.order:
            part, measure = ("twin_make", "twin") if stand.line(line).blank else ("make", "assess")
            with spent() as costs[part]:
                make(stand, folder, self.context, 1, line)
            with spent() as costs[measure]:
                assess(stand, folder, self.context, 1, line)
                commit(stand, folder, self.context, 1, line)
        shards = {"first": (0, REAL), "make": (1, 0)} | ({"twin": (1, 1)} if stand.blank_twins else {})
        return costs, {part: _size(folder.shard_path(*shard)) for part, shard in shards.items()}

    def _report(self, folder: RunFolder, report: Report) -> None:
        try:
            with spent() as cost:
                report(folder.path)
        except (ValueError, OSError, Interrupted) as error:
            self.unknown.append(f"the report was not tried: {error}")
            return
        self.report, self.report_peak = self.clock(cost), cost.peak
        self.report_bytes = _size(folder.path / "report").rest

    def found(self) -> RoundCost:
        """Return what all the runs together say. The first loads what later ones have: that is counted apart."""
        counted, sums = self.runs[1:], [sum(map(self.clock, costs.values())) for _, costs, _ in self.runs[:2]]
        parts = [part for part in PARTS if part in counted[0][1]]
        sizes = counted[0][2]
        cpu = sum(cost.cpu for run in counted for cost in run[1].values())
        wall = sum(cost.wall for run in counted for cost in run[1].values())
        return RoundCost(
            {part: CostCurve.of([(run[0], self.clock(run[1][part])) for run in counted]) for part in parts},
            {part: _without_jump([(run[0], run[2][part]) for run in self.runs[-2:]]) for part in sizes},
            {part: found.files for part, found in sizes.items()},
            self._peak(counted),
            self.report,
            self.report_peak,
            self.report_bytes,
            max(0.0, sums[0] - sums[1]),  # both of the same size
            counted[-1][0],
            wall / max(cpu, 1e-9),
            tuple(dict.fromkeys(self.unknown)),
        )

    def _peak(self, counted: list[tuple[int, dict[str, Spent], dict[str, _Size]]]) -> CostCurve:
        """Return the largest memory by the number of images: as with the most that were tried, and a line from there.

        The slope is that between the two largest runs, and at most ``MOST_A_VALUE``, which is taken where there is one.
        """
        peaks = dict((m, max(cost.peak for cost in costs.values())) for m, costs, _ in counted)
        sizes, most = sorted(peaks), MOST_A_VALUE * int(np.prod(self.experiment.data.shape))
        last, slope = sizes[-1], float(most)
        if len(sizes) > 1:
            slope = min(max(0.0, (peaks[last] - peaks[sizes[-2]]) / (last - sizes[-2])), most)
        return CostCurve((last, 2 * last), (float(peaks[last]), peaks[last] + slope * last))


@dataclass(frozen=True)
class _Size:
    """What a folder holds: bytes without the grid of at most 64 images, bytes of the grid, and files."""

    rest: int
    grid: int
    files: int


def _size(folder: Path) -> _Size:
    files = [path for path in folder.rglob("*") if path.is_file()]
    grid = sum(path.stat().st_size for path in files if path.name == "grid.png")
    return _Size(sum(path.stat().st_size for path in files) - grid, grid, len(files))


def _without_jump(measured: list[tuple[int, _Size]]) -> CostCurve:
    """Return the growth of a folder from two sizes: all but the grid grows with the images."""
    (smaller, before), (larger, last) = measured
    if smaller == larger:
        return CostCurve.of([(larger, float(last.rest + last.grid))])
    slope = (last.rest - before.rest) / (larger - smaller)
    whole = float(last.rest + last.grid)
    return CostCurve((larger, 2 * larger), (whole, whole + slope * larger))
