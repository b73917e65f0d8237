"""A run on a terminal: a report that cannot be written, signals that ask for its end."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

import imagelab.report
from imagelab import Experiment, Gaussian, Replace, Runtime, Textures, run
from imagelab.cli.console import err, out
from imagelab.cli.entry import main
from imagelab.cli.session import Session


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = Experiment(
        name="tiny", data=Textures(size=16), regime=Replace(), generator=Gaussian(components=8), generations=1,
        images=24, heldout=12, tracked=4, metrics=("pixel_variance",),
        runtime=Runtime(runs=tmp_path_factory.mktemp("runs")),
    )  # fmt: skip
    return run(experiment).path


def resume(folder: Path, error: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Resume a finished run whose report cannot be written: the superuser can write to any folder, so it is told."""

    def refuse(path: Path) -> Path:
        raise OSError(error, os.strerror(error), str(path / "report"))

    monkeypatch.setattr(imagelab.report, "write_report", refuse)
    with pytest.raises(SystemExit) as left:
        main(["resume", str(folder)])
    return int(left.value.code or 0)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
def test_a_finished_run_on_a_read_only_disk_is_complete_without_a_new_report(
    finished: Path, error: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert resume(finished, error, monkeypatch) == 0
    printed = capsys.readouterr()
    assert "every generation is there already" in printed.out
    assert "The run itself is complete" in printed.err and f"imagelab report {finished} -o FOLDER" in printed.err


def test_a_full_disk_is_still_an_error(finished: Path, monkeypatch: pytest.MonkeyPatch):
    assert resume(finished, errno.ENOSPC, monkeypatch) == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_a_signal_of_a_scheduler_asks_for_the_end_of_the_step(name: str):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with Session(Experiment(), out, err) as session:
        assert not session.stopping
        os.kill(os.getpid(), number)
        assert session.stopping
    assert signal.getsignal(number) == before
