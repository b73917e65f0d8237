"""The study of samplers at a toy size: it runs, reads what it has made, and its errors are those of a pair."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imagelab.metrics.kernel import kernel_distance

STUDY = Path(__file__).resolve().parents[2] / "experiments" / "studies" / "samplers.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("samplers_study", STUDY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their annotations up there
    spec.loader.exec_module(module)
    return module


def cloud(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 6)) + shift


def test_the_distance_and_its_error_are_those_of_the_metric(study: ModuleType):
    real, fake = cloud(0, 60), cloud(1, 40, 0.4)
    found = study.distance(real, fake)
    assert (found.value, found.error) == pytest.approx(kernel_distance(real, fake), rel=1e-9)


def test_the_error_of_a_ratio_counts_the_shared_images_once(study: ModuleType):
    real = cloud(0, 60)
    near, far = study.distance(real, cloud(1, 400, 0.5)), study.distance(real, cloud(2, 400, 0.8))
    quotient, error = far.ratio(near)
    assert quotient == pytest.approx(far.value / near.value)
    independent = quotient * np.hypot(far.error / far.value, near.error / near.value)
    assert 0 < error < 0.9 * independent
    drawn = [study.distance(cloud(n, 60), cloud(1, 400, 0.5)).value for n in range(10, 70)]
    assert np.std(drawn) == pytest.approx(near.error, rel=0.5), "most of the error comes from the few real images"


def test_the_study_runs_and_reads_what_it_has_made(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = ["samplers.py", "--quick", "--runs", str(tmp_path / "runs"), "--only", "heun"]
    monkeypatch.setattr(sys, "argv", words)
    assert study.main() == 0
    first = capsys.readouterr().out.splitlines()
    assert first[0].startswith("trained in")
    assert [line[:32].strip() for line in first[2:]] == ["ddpm x 20", "heun, Karras x 4"]
    assert study.main() == 0
    assert capsys.readouterr().out.splitlines() == first[1:], "nothing is trained or drawn again"
