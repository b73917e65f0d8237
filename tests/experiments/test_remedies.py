"""The study of remedies at a toy size: it runs, is resumed, and prints what was thrown away and what is decided."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STUDY = Path(__file__).resolve().parents[2] / "experiments" / "studies" / "remedies.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("remedies", STUDY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def decision(candidates: float, kept: float, chance: float) -> dict:
    rare = {"candidates": candidates, "kept": kept, "chance": chance}
    return {"candidates": 20, "kept": 10, "cost": {"looks": 30, "seconds": 0.5}, "rare": rare}


def test_what_is_thrown_away_is_given_in_units_of_chance(study: ModuleType):
    line = study.costs([decision(0.10, 0.06, 0.03), decision(0.10, 0.04, 0.04)])
    assert line.split() == ["2.0", "30", "0.50", "-5.0", "(-2.0", "sd),", "2", "of", "2", "generations"]
    assert study.costs([]).split()[-1] == "nobody"
    unseen = {**decision(0, 0, 0), "rare": {}, "attributes_missing": "too blurred"}
    assert study.costs([unseen]).endswith("not seen: too blurred")


def test_a_claim_holds_is_reversed_or_is_not_decided(study: ModuleType):
    rows = {"a": np.array([1.0, 1.1, 0.9]), "b": np.array([3.0, 3.2, 3.1]), "c": np.array([0.0, 5.0, -2.0])}
    table = {name: {"distance": values, "recall": values} for name, values in rows.items()}
    said = {pair: study.verdict(*pair, "", table) for pair in (("a", "b", "distance"), ("a", "b", "recall"))}
    assert "holds (+2.10" in said["a", "b", "distance"] and "is REVERSED (-2.10" in said["a", "b", "recall"]
    assert "is not decided" in study.verdict("a", "c", "recall", "", table)


def test_the_variance_that_is_kept_is_that_of_the_strongest_modes(study: ModuleType):
    rng = np.random.default_rng(0)
    start = rng.integers(60, 200, (40, 1, 4, 4)).astype(np.uint8)
    half = np.rint(start.mean(0) + 0.5 * (start - start.mean(0))).astype(np.uint8)
    assert study.kept_variance_of_modes(start, start, start) == pytest.approx(1.0)
    assert study.kept_variance_of_modes(half, start, start) == pytest.approx(0.25, rel=0.02)


@pytest.mark.slow
def test_the_study_runs_and_goes_on_from_what_is_there(
    tmp_path: Path, warm: Callable[..., subprocess.CompletedProcess[str]]
):
    words = ["--seeds", "2", "--images", "40", "--generations", "1", "--components", "0", "--runs", "runs"]
    environment = {**os.environ, "IMAGELAB_CACHE": str(tmp_path / "cache")}
    asked = (STUDY, *words, "--only", "replace", "random")
    done = [warm(*asked, cwd=tmp_path, env=environment) for _ in range(2)]
    assert done[0].returncode == 0, done[0].stderr
    assert done[0].stdout == done[1].stdout and "random better than replace in variance" in done[0].stdout
    assert (tmp_path / "runs" / "remedies.html").stat().st_size > 10_000
    assert len(list((tmp_path / "runs").glob("remedies-*/config.json"))) == 4
