"""Power: what is promised to be seen is seen as often as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from imagelab import Experiment, Gaussian, RunFolder, Runtime, Textures, run
from imagelab.cli import main
from imagelab.evaluation.chains import retraining_ratio
from imagelab.sweeps import Point, PointCost
from imagelab.sweeps.power import Pilot, core_seconds_of, designs, power_of, smallest_difference

REPEATS = 4000


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment(
        name="pilot", data=Textures(size=16), generator=Gaussian(components=8), generations=2, images=64, heldout=24,
        tracked=4, replicates=3, metrics=("pixel_variance",),
        runtime=Runtime(device="cpu", runs=tmp_path_factory.mktemp("runs")),
    )  # fmt: skip


@pytest.fixture(scope="module")
def pilot(experiment: Experiment) -> Path:
    return run(experiment).path


@pytest.mark.parametrize("chains", [2, 3, 6])
def test_simulated_experiments_see_the_smallest_loss_in_nine_of_ten(chains: int):
    rng = np.random.default_rng(chains)
    difference = smallest_difference(0.7, chains)
    values = rng.normal(-difference, 0.7, (REPEATS, chains))
    t = values.mean(1) / (values.std(1, ddof=1) / np.sqrt(chains))
    seen = np.mean(np.abs(t) > stats.t.ppf(0.975, chains - 1))
    assert abs(seen - 0.9) < 4 * np.sqrt(0.09 / REPEATS)


def test_one_chain_of_known_spread_is_seen_as_often_as_said():
    values = np.random.default_rng(1).normal(-smallest_difference(2.0, 1), 2.0, REPEATS)
    seen = np.mean(np.abs(values) > 1.96 * 2.0)
    assert abs(seen - 0.9) < 4 * np.sqrt(0.09 / REPEATS)


@pytest.mark.parametrize("chains", [1, 2, 3, 10, 50])
def test_without_a_loss_one_in_twenty_is_seen(chains: int):
    assert power_of(0.0, 1.0, chains) == pytest.approx(0.05)


def test_more_chains_and_more_images_see_smaller_losses():
    pilot = Pilot("p", "freckles/net", "", 1000, 3, 5.0, (4.0,), (0.1,), (0.12,))
    table = {(each.chains, each.images): each.loss for each in designs(pilot, 1, (3, 6), (500, 1000, 2000))}
    assert table[6, 1000] < table[3, 1000] < table[3, 500] and table[3, 2000] < table[3, 1000]


def test_the_spread_of_a_chain_is_that_of_the_pilot_and_its_images_fall_with_their_number():
    pilot = Pilot("p", "freckles/net", "", 1000, 3, 5.0, (4.0, 3.0), (0.1, 0.1), (0.26, 0.05))
    assert pilot.deviation(1, 1000) == pytest.approx(0.26)
    assert pilot.deviation(1, 10**9) == pytest.approx(0.24, rel=1e-3)  # what trainings differ by
    assert pilot.deviation(2, 4000) == pytest.approx(0.05)  # images alone: a quarter of the variance
    assert pilot.loss(2) == pytest.approx(0.4)


def test_a_pilot_says_what_its_run_has_measured(pilot: Path):
    found = Pilot.read(pilot, "pixel_variance")
    rows = [m for m in RunFolder(pilot).measurements() if m.name == "pixel_variance" and not m.predicted]
    first = [m.value for m in rows if m.generation == 1]
    assert found.chains == 3 and found.images == 64 and len(found.values) == 2
    assert found.values[0] == pytest.approx(np.mean([value for value in first if value is not None]))
    assert found.real == next(m.value for m in rows if m.generation == 0)
    with pytest.raises(ValueError, match=r"no measurement nonsense with an error.*pixel_variance"):
        Pilot.read(pilot, "nonsense")


def test_a_pilot_of_one_chain_takes_its_spread_from_the_table(experiment: Experiment, tmp_path: Path):
    alone = experiment.model_copy(update={"replicates": 1, "runtime": Runtime(device="cpu", runs=tmp_path)})
    found = Pilot.read(run(alone).path, "pixel_variance")
    ratio = retraining_ratio("pixel_variance", 2, closed_form=True)
    assert found.between[1] == pytest.approx(ratio * found.errors[1])


def test_the_cost_of_another_design_is_scaled_part_by_part(experiment: Experiment):
    parts = {"starting": 5.0, "real images": 2.0, "training PPCA, k = 8": 30.0, "measuring": 60.0, "report": 1.0}
    cost = PointCost(Point({}, experiment), 0, 7, parts=parts)
    assert core_seconds_of(cost, 3, 64) == pytest.approx(98)
    assert core_seconds_of(cost, 6, 64) == pytest.approx(98 + 90)
    assert core_seconds_of(cost, 3, 128) == pytest.approx(98 + 2 + 90)  # a closed form reads every image


def test_the_command_prints_the_table_and_the_cheapest(
    pilot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    words = ["plan", str(pilot), "--pilot", str(pilot), "--metric", "pixel_variance", "--loss", "0.9", "--jobs", "1"]
    for extra, code, said in (
        ([*words, "--runtime.runs", str(pilot.parent)], 0, "cheapest for a loss of 90%: "),
        (["plan", str(pilot), "--loss", "0.2"], 2, "--loss: needs --pilot RUN"),
        ([*words[:-4], "--loss", "7"], 2, "--loss: expected a share such as 0.1"),
    ):
        with pytest.raises(SystemExit) as left:
            main(extra)
        told = capsys.readouterr()
        assert left.value.code == code and said in " ".join((told.out + told.err).split())
