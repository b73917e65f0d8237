"""Forecasts: they count what a run makes, weigh what it writes, and say what does not fit."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from imagelab import Experiment, Gaussian, Generator, Runtime, Textures, run
from imagelab.cli import main
from imagelab.cli.plan import tell_forecast
from imagelab.curation import RandomFraction
from imagelab.data import Faces
from imagelab.data.base import Sample
from imagelab.generators import RunContext
from imagelab.regimes import Accumulate
from imagelab.sweeps import (
    Forecast,
    Limits,
    Point,
    Study,
    forecast_clock,
    forecast_models,
    forecast_of,
    forecast_rounds,
    refusals,
)
from imagelab.sweeps.forecast_account import PoolSize, pool_sizes
from imagelab.sweeps.forecast_clock import CostCurve
from imagelab.sweeps.forecast_models import cost_of_model
from imagelab.sweeps.forecast_rounds import cost_of_rounds
from imagelab.sweeps.forecast_schedule import Task, seconds_of_run, seconds_of_sweep

Tiny = Callable[..., Experiment]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment(
        name="small", data=Textures(size=16), generator=Gaussian(components=8), arms=(Gaussian(),), generations=2,
        images=24, heldout=12, tracked=4, replicates=2, metrics=("pixel_variance",),
        runtime=Runtime(device="cpu", runs=tmp_path_factory.mktemp("forecast") / "runs"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def forecast(small: Experiment) -> Forecast:
    return forecast_of([Point({}, small)], budget=0.0)


@pytest.fixture(scope="module")
def alone(small: Experiment) -> Forecast:
    return forecast_of([Point({}, small)], Limits(jobs=1), budget=0.0)


def with_runtime(experiment: Experiment, **changes: object) -> Experiment:
    return experiment.model_copy(update={"runtime": experiment.runtime.model_copy(update=changes)})


def test_a_forecast_writes_nothing_into_the_runs(small: Experiment, forecast: Forecast):
    assert not small.runtime.runs.exists()
    assert forecast.calibration > 0


def test_every_image_and_training_is_counted(forecast: Forecast):
    (point,) = forecast.points
    assert (point.made, point.planned, point.trainings) == (0, 9, 8)
    assert point.images == point.drawn == 8 * 24


def test_the_time_of_all_parts_is_the_time_of_one_process(alone: Forecast):
    assert alone.seconds == pytest.approx(alone.points[0].work) and alone.core_seconds == pytest.approx(alone.seconds)
    assert set(alone.points[0].parts or {}) >= {"starting", "real images", "training Gaussian", "measuring"}


def test_disk_is_what_the_run_writes_and_what_is_finished_is_not_counted_again(
    small: Experiment, forecast: Forecast, tmp_path: Path
):
    experiment = with_runtime(small, runs=tmp_path)
    folder = run(experiment).path
    shards = [path for path in folder.glob("gen-*/**/*") if path.is_file()]
    written = sum(path.stat().st_size for path in shards)
    models = sum(path.stat().st_size for path in shards if path.parent.name == "model")
    assert forecast.disk == pytest.approx(written, rel=0.15)
    assert abs(forecast.points[0].models - models) < 100 and forecast.points[0].files == len(shards)
    assert forecast_of([Point({}, experiment)]).disk == 0
    for line in ("", "-line-1", "-line-2"):
        shutil.rmtree(folder / f"gen-002{line}")
    rest = forecast_of([Point({}, experiment)], budget=0.0)
    assert (rest.points[0].made, rest.points[0].trainings, rest.points[0].images) == (6, 3, 3 * 24)
    assert 0.2 * written < rest.disk < 0.5 * written


def test_kept_models_are_weighed_as_they_will_be_kept(small: Experiment, forecast: Forecast):
    none, last = (forecast_of([Point({}, with_runtime(small, keep=keep))], budget=0.0) for keep in ("none", "last"))
    assert none.points[0].models == 0 and last.points[0].models == forecast.points[0].models / 2
    assert none.disk == pytest.approx(forecast.disk - forecast.points[0].models, rel=0.03)
    assert none.most_disk > none.disk


def test_candidates_and_fresh_draws_are_drawn_and_twins_trained(tiny: Tiny, tmp_path: Path):
    base = tiny(tmp_path)
    half = RandomFraction()
    curated = forecast_of([Point({}, base.model_copy(update={"curation": half}))], budget=0.0).points[0]
    assert (curated.images, curated.drawn) == (80, 2 * half.candidates(40)) and curated.drawn > 80
    fresh = forecast_of([Point({}, base.model_copy(update={"fresh_draws": 3}))], budget=0.0).points[0]
    assert (fresh.images, fresh.drawn) == (80, 80 + 2 * 40)  # the second generation learns from three draws
    faces = base.model_copy(update={"data": Faces(size=32), "blank_twins": 1, "metrics": ("pixel_variance",)})
    assert forecast_of([Point({}, faces)], budget=0.0).points[0].trainings == 4


def test_a_training_set_that_grows_is_counted_as_it_grows(tiny: Tiny, tmp_path: Path):
    growing = tiny(tmp_path).model_copy(update={"regime": Accumulate(), "fresh_draws": 2})
    assert pool_sizes(growing, 40, 0) == [PoolSize(40, 0, 40), PoolSize(80, 40, 160)]


def test_points_of_the_same_recipe_are_calibrated_once(tiny: Tiny, tmp_path: Path):
    said: list[str] = []
    study = Study.of(tiny(tmp_path), {"seed": ["0", "1"], "regime.kind": ["replace", "mix"]})
    forecast = forecast_of(study.points, Limits(jobs=2), budget=0.0, on_phase=said.append)
    assert [words.partition(":")[0] for words in said] == [
        "loading torch; trying models and metrics",
        "model 1 of 1",
        "data and measurements 1 of 1",
    ]
    assert len(forecast.points) == 4 and forecast.processes == 2
    assert max(each.work for each in forecast.points) < forecast.seconds < sum(each.work for each in forecast.points)


def test_what_does_not_fit_is_refused_with_numbers_and_what_to_change(forecast: Forecast):
    assert refusals(forecast, 10**15) == []
    (memory,) = refusals(replace(forecast, workers=4), int(forecast.peak * 2.5))
    assert memory.startswith("memory: 4 processes of") and memory.endswith("Use --jobs 2.")
    (none,) = refusals(forecast, 1000)
    assert "Use fewer images, a smaller batch" in none
    large = replace(forecast.points[0], disk=1e17, models=9e16)
    (disk,) = refusals(replace(forecast, points=(large,)), 10**15)
    assert "100000000.00 GB are needed" in disk and "--keep none saves 90000000.00 GB" in disk


# -- the parts


def test_a_cost_grows_as_it_was_measured():
    sizes = (10, 20, 40)
    assert CostCurve(sizes, tuple(3 + 0.5 * n for n in sizes))(1000) == pytest.approx(503)
    assert CostCurve(sizes, tuple(2 + 0.01 * n * n for n in sizes))(100) == pytest.approx(102)
    assert CostCurve.of([(10, 1.0), (20, 5.0), (20, 7.0)])(20) == 6.0  # as measured, not as fitted


class _Clock:
    """A clock that stands still until somebody spends time."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter


CLOCK = _Clock()


class Stepwise(Generator):
    """Takes 5 s and 2 s a step; draws a block in 3 s."""

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen",)
    kind: Literal["stepwise"] = "stepwise"
    images_seen: int = 1000
    batch: int = 10

    @property
    def label(self) -> str:
        return "stepwise"

    @property
    def training_length(self) -> int:
        return self.images_seen

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Any = None) -> Any:
        CLOCK.now += 5 + 2 * math.ceil(self.images_seen / self.batch)
        return self

    def load(self, folder: Path, context: RunContext) -> Any:
        return self

    @property
    def reconstructs(self) -> bool:
        return False

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        CLOCK.now += 3
        return np.zeros((len(seeds), 1, 8, 8), np.uint8)

    def save(self, folder: Path) -> None:
        (folder / "weights").write_bytes(b"w" * 77)


@pytest.mark.parametrize("budget", [0.0, 300.0, 5000.0])
def test_a_training_is_drawn_out_from_a_few_steps(budget: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast_clock, "time", CLOCK)
    monkeypatch.setattr(forecast_models, "time", CLOCK)
    cost = cost_of_model(Stepwise(), (1, 8, 8), 50, RunContext(), budget, lambda spent: spent.cpu)
    assert cost.fit(50) == pytest.approx(205) and cost.ratio == pytest.approx(1)
    assert (cost.model_bytes, cost.model_files) == (77, 1)
    assert cost.drawn(64) == pytest.approx(3) and cost.drawn(65) == pytest.approx(6)


def test_what_a_process_loads_once_is_counted_once(small: Experiment, monkeypatch: pytest.MonkeyPatch):
    loaded, read = [], Textures.load

    def load(self: Textures, *asked: Any) -> Sample:
        CLOCK.now += 2 if loaded else 9
        loaded.append(asked)
        return read(self, *asked)

    monkeypatch.setattr(Textures, "load", load)
    monkeypatch.setattr(forecast_clock, "time", CLOCK)
    monkeypatch.setattr(forecast_rounds, "time", CLOCK)
    cost = cost_of_rounds(small, False, RunContext(), 0.0, lambda spent: spent.cpu)
    assert cost.first_use == pytest.approx(7)
    assert cost.seconds["first"](24) % 2 == pytest.approx(0)


def test_shards_are_scheduled_as_a_run_takes_them(tiny: Tiny, tmp_path: Path):
    one = tiny(tmp_path)
    shards = [(1, 0), (2, 0)]
    make, assess = dict.fromkeys(shards, 10.0), dict.fromkeys(shards, 4.0)
    assert seconds_of_run(one, shards, make, assess, 1) == 28
    assert seconds_of_run(one, shards, make, assess, 2) == 24  # the next trains while the last is measured
    warm = one.model_copy(update={"warm_start": True})
    assert seconds_of_run(warm, shards, make, assess, 2) == 28  # it waits for the model
    assert seconds_of_run(one, [(2, 0)], make, assess, 2) == 14
    two = one.model_copy(update={"replicates": 2})
    shards = [(1, 0), (1, 1)]
    make, assess = dict.fromkeys(shards, 10.0), dict.fromkeys(shards, 4.0)
    assert seconds_of_run(two, shards, make, assess, 2) == 14 and seconds_of_run(two, shards, make, assess, 1) == 28


def test_points_share_their_first_generation_and_the_cores():
    same = Task({1: 10.0, 2: 6.0}, 3.0, "first")
    assert seconds_of_sweep([same], 1) == 10
    assert seconds_of_sweep([same], 2) == 6  # both cores for the only point
    assert seconds_of_sweep([same, same], 1) == 10 + 7
    assert seconds_of_sweep([same, same], 2) == 10  # the second begins at 3 and takes 7 with a core
    other = Task({1: 10.0}, 3.0, None)
    assert seconds_of_sweep([other] * 4, 2) == 20


# -- the command


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    return int(stopped.value.code or 0)


def test_a_person_reads_a_forecast_in_one_look(alone: Forecast, capsys: pytest.CaptureFixture[str]):
    (point,) = alone.points
    other = replace(point, point=replace(point.point, settings={"seed": "1"}))
    tell_forecast("small.py", replace(alone, points=(point, other)), 10**10)
    said = capsys.readouterr().out
    for words in ("2 of 2 runs are left", "images     384", "trainings  16", "one process", "seed = 1", "9 of 9"):
        assert words in said
    assert max(len(line) for line in said.partition("\n\n")[2].partition("\n\n")[0].splitlines()) <= 80


def test_the_command_speaks_to_programs_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "tiny.py").write_text(
        "from imagelab import Experiment, Gaussian, Textures\n"
        "experiment = Experiment(name='tiny', data=Textures(size=16), generator=Gaussian(components=8),\n"
        "    generations=2, images=20, heldout=8, tracked=4, metrics=('pixel_variance',))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert command("plan", "tiny.py", "--json", "--memory", "0.01", "--seed", "0,1", "--keep", "none") == 1
    record = json.loads(capsys.readouterr().out)
    assert len(record["points"]) == 2 and record["points"][0]["trainings"] == 2 and record["seconds"] > 0
    assert record["disk"] > 10_000 and record["points"][1]["disk_of_models"] == 0
    assert record["does_not_fit"][0].startswith("memory: ") and not (tmp_path / "runs").exists()
    assert command("plan") == 2 and command("plan", "--nonsense") == 2
