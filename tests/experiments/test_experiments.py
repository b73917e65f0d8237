"""The experiments that measure the instruments themselves, at toy sizes: they run, and the packages agree with us."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(warm: Run) -> Run:
    """Return ``run(EXPERIMENT, *words, home=)``, with a cache in that folder."""

    def in_home(name: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "IMAGELAB_CACHE": str(home / "cache")}
        return warm(ROOT / "experiments" / name, *words, cwd=home, env=environment)

    return in_home


def test_the_packages_of_the_field_agree_with_our_numbers(tmp_path: Path, run: Run) -> None:
    done = run("benchmarks/metrics.py", "--quick", "--output", "bench.json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert record["disagreements"] == [] and record["machine"]["versions"]["clean-fid"]
    compared = {(row["race"], row["tool"]) for row in record["rows"] if row["demanded"] > 0}
    assert {race for race, _ in compared} == {"lpips", "frechet", "kid", "prdc", "vendi"} and len(compared) == 14
    for row in record["rows"]:
        assert row["seconds"] > 0 and row["ratio"] > 0
        assert row["of_equals"] is None or abs(row["of_equals"]) < 1e-12 or row["tool"] != "imagelab"


def test_a_disagreement_is_loud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "benchmarks"))
    bench = importlib.import_module("metrics")
    monkeypatch.setattr(bench, "bind_to_one_core", lambda: None)
    monkeypatch.setattr(bench, "vendi_score", lambda features: 7.0)
    _, faults = bench.run_races(["vendi"], quick=True, repeats=1)
    assert len(faults) == 2 and faults[0].startswith("vendi: vendi-score agrees with us to")
    assert "times ours" in capsys.readouterr().out


def test_the_script_for_a_gpu_runs_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "benchmarks"))
    bench = importlib.import_module("gpu")
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick", "--output", str(tmp_path / "gpu.json")])
    assert bench.main() == 0
    record = json.loads((tmp_path / "gpu.json").read_text())
    for work, rival in (("training", bench.THEIRS), ("sampling", bench.PIPELINE)):
        theirs, same, *others = record[work]
        assert theirs["name"] == rival and theirs["operations"] == same["operations"] > 0
        assert all(len(each["rates"]) == 2 and min(each["rates"]) > 0 for each in record[work]) and len(others) == 2
    table = (tmp_path / "gpu.md").read_text()
    assert table.count("1.00 (1.00 to 1.00)") == 2 and table in capsys.readouterr().out


def test_the_panel_is_timed_metric_by_metric(tmp_path: Path, run: Run) -> None:
    done = run("benchmarks/panel.py", "--count", "24", "--output", "panel.json", home=tmp_path)
    record = json.loads((tmp_path / "panel.json").read_text())
    assert record["count"] == 24 and record["seconds"] > 0
    named = {row["what"] for row in record["rows"]}
    assert {"spectrum", "freckles", "frechet", "prdc", "memorisation"} <= named, done.stderr
    assert "features of the training images, imagelab-ssl-v1" in named  # else memorisation would be charged for them
    assert record["threads"]["torch"] == 2 and all(row["seconds"] >= 0 <= row["cpu_seconds"] for row in record["rows"])


def test_the_coverage_of_some_rows_is_printed_and_written(tmp_path: Path, run: Run) -> None:
    words = ("--quick", "--rows", "tone", "vendi", "--kinds", "faces", "ppca", "--output", "coverage.json")
    done = run("instruments/coverage.py", *words, home=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "coverage.json").read_text())
    assert {(row["name"], row["kind"]) for row in record["rows"]} >= {("brightness", "ppca"), ("contrast", "faces")}
    assert all(0 <= row["held"] <= 1 and row["repeats"] == 3 for row in record["rows"])
    assert "| brightness | " in done.stdout


def test_the_error_budget_prints_a_table_for_the_readme_and_nothing_else(tmp_path: Path, run: Run) -> None:
    done = run("studies/error_budget.py", "--quick", "--readme", home=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("| a VAE against real faces, n = 48") and set(lines[1]) == {"|", "-"}
    assert all(line.count("|") == 4 and line.endswith(" |") for line in lines if "-" not in line[:3])
    text = done.stdout
    for cause in ("n = 24", "jackknifed", "infinite n", "training seed", "other images", "random network", "nearest"):
        assert cause in text, cause


def test_the_trainings_and_samplers_are_raced_against_those_of_the_field(tmp_path: Path, run: Run) -> None:
    done = run("benchmarks/generators.py", "--quick", "--output", "generators.json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "generators.json").read_text())
    theirs, same, own, stage, prior, *lucid = record["training"]  # the last where its package is installed
    assert theirs["parameters"] == same["parameters"] and theirs["operations"] == same["operations"]
    for row in (own, *lucid):
        assert 0.8 < row["parameters"] / theirs["parameters"] < 1.2, row["name"]
    assert own["operations"] < stage["operations"] < theirs["operations"]
    assert prior["name"] == "our loop, detail prior of the latent model" and prior["operations"] > 0
    for row in record["training"]:
        assert all(rate > 0 for rate in row["rates"]) and all(0 < share < 2 for share in row["shares"])
    samplers = {("ddpm", 1000), ("ddim", 50), ("dpm++", 20), ("sde-dpm++, Karras", 20), ("heun", 35)}
    for net in ("patch U-Net", "UNet2DModel"):
        assert {(sampler, count) for name, sampler, count, _ in record["sampling"] if name == net} == samplers
    assert {"cascade", "latent"} < {net for net, *_ in record["sampling"]}
    assert record["quality"]["controls"].keys() == {"other real faces", "closed-form Gaussian", "patch net, untrained"}
    found, package = record["quality"], "denoising-diffusion-pytorch, its Unet"
    assert found["walks"].keys() == {"dpm++", "sde-dpm++, Karras", "ddpm"}
    named = {"latent": 1, "cascade": 1, "our loop, patch U-Net": 2, "our loop, patch U-Net, sde-dpm++, Karras": 2}
    named |= {"diffusers' loop, UNet2DModel": 2, "diffusers' loop, UNet2DModel, sde-dpm++, Karras": 2}
    named |= {package: 2} if lucid else {}
    assert {name: len(curve) for name, curve in found["curves"].items()} == named
    assert (f"{package}: left out: No module named" in done.stdout) == bool(found["missing"]) == (not lucid)
    assert done.stdout.count("target ") == 7


@pytest.mark.slow
def test_the_three_errors_are_told_apart_in_one_table(tmp_path: Path, run: Run) -> None:
    done = run("studies/three_errors.py", "--quick", "--seeds", "1", "--threads", "1", home=tmp_path)
    assert done.returncode == 0, done.stderr
    table = done.stdout.split("left on", 1)[1]
    for arm in ("none", "statistical", "expressivity", "approximation", "4 x longer", "all"):
        assert sum(line.startswith(arm) and line.count(" -> ") == 3 for line in table.splitlines()) == 1, done.stdout


@pytest.fixture
def repeated(tmp_path: Path) -> list[Path]:
    """Two small runs of three chains each, with other seeds."""
    from imagelab import Experiment, Gaussian, Runtime, Textures
    from imagelab import run as carry_out

    runs = Runtime(device="cpu", runs=tmp_path / "runs")
    asked = [
        Experiment(
            name=f"seed-{seed}",
            data=Textures(size=16),
            generator=Gaussian(components=6),
            generations=2,
            images=40,
            heldout=30,
            tracked=2,
            replicates=3,
            metrics=("pixel_variance", "tone", "spectrum"),
            seed=seed,
            runtime=runs,
        )
        for seed in (0, 1)
    ]
    return [carry_out(each).path for each in asked]


def test_figures_of_one_run_are_looked_up_in_the_intervals_of_the_other(
    repeated: list[Path], tmp_path: Path, run: Run
) -> None:
    done = run("studies/repetitions.py", *map(str, repeated), "--generation", "2", home=tmp_path)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert int(rows["all"][0]) == sum(int(row[0]) for name, row in rows.items() if name != "all")
    assert rows["pixel_variance"][0] == "4" and "radial_power" not in rows  # two figures (ratio, raw), both ways
    assert float(rows["all"][1]) >= float(rows["all"][3]) and done.returncode == (float(rows["all"][1]) < 90)
    alone = run("studies/repetitions.py", str(repeated[0]), home=tmp_path)
    assert alone.returncode == 2 and "expected two runs or more, got 1" in alone.stderr


def test_retraining_ratios_are_written_as_the_table_that_is_shipped(
    repeated: list[Path], tmp_path: Path, run: Run
) -> None:
    done = run("studies/retraining.py", *map(str, repeated), "--output", "table.json", home=tmp_path)
    assert done.returncode == 2  # a closed form alone: nothing was trained
    words = "expected trained models in the runs, found closed forms only"
    assert words in done.stderr, done.stderr


def test_false_alarms_are_counted_for_both_verdicts(tmp_path: Path, run: Run) -> None:
    done = run("instruments/false_alarms.py", "--quick", home=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[5:9] for row in rows] == [["loop", "2", "0", "0"], ["quality", "2", "0", "0"]]
