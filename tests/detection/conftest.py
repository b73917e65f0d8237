"""A small run of closed-form Gaussians, and the detectors of it, made once for all tests of this room."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.cli.entry import main
from imagelab.data import RandomField
from imagelab.detection.detect import detect_run
from imagelab.detection.record import DetectionRecord
from imagelab.detection.trials import Trials
from imagelab.experiment import Experiment, Runtime
from imagelab.generators import Gaussian
from imagelab.run_folder import RunFolder
from imagelab.runs.run import run as run_experiment


@pytest.fixture(scope="session")
def gaussian_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two generators, two generations, 16 px."""
    home = tmp_path_factory.mktemp("detection")
    experiment = Experiment(
        name="fields",
        data=RandomField(size=16, slope=2.0),
        generator=Gaussian(components=3, noise=False),
        arms=(Gaussian(components=40),),
        generations=2,
        images=120,
        heldout=160,
        tracked=2,
        metrics=("tone",),
        runtime=Runtime(device="cpu", threads=1, runs=home / "runs"),
    )
    return run_experiment(experiment)


@pytest.fixture(scope="session")
def trials(gaussian_run: RunFolder) -> tuple[DetectionRecord, Trials]:
    """All tests of the detectors of the run, written into it, too."""
    record, trials = detect_run(gaussian_run)
    record.write(gaussian_run, trials)
    return record, trials


@pytest.fixture
def detected(gaussian_run: RunFolder, trials: object, tmp_path: Path) -> RunFolder:
    """A copy of the run with its record, to be spoiled."""
    return RunFolder(shutil.copytree(gaussian_run.path, tmp_path / "runs" / gaussian_run.path.name))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs imagelab: words -> exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run
