"""A small run, and the same run as it was earlier."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagelab import Experiment, Gaussian, Runtime, Textures
from imagelab.export.storage import push_run
from imagelab.io.chain import SEALS, seals_text
from imagelab.report import write_report
from imagelab.run_folder import RunFolder

Earlier = Callable[[Path, int], Path]


def small(runs: Path) -> Experiment:
    """Two generations of two lines, 40 crops of 16 px."""
    return Experiment(
        name="small",
        title="A small run",
        data=Textures(size=16),
        generator=Gaussian(components=8),
        arms=(Gaussian(components=4),),
        generations=2,
        images=40,
        heldout=24,
        tracked=4,
        metrics=("pixel_variance", "hf_ratio"),
        runtime=Runtime(device="cpu", runs=runs),
    )


def killed_at(work: Callable[[], object], folder: Path, number: int) -> int:
    """Do the work in a child that ends, as by a kill, before the n-th rename or opening of a file in the folder."""
    if not (child := os.fork()):
        left = [number]

        def before(event: str, arguments: tuple[Any, ...]) -> None:
            if event in ("os.rename", "open", "sqlite3.connect") and str(arguments[0]).startswith(str(folder)):
                left[0] -= 1
                if left[0] == 0:
                    os._exit(137)

        sys.addaudithook(before)
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run with its report; it is only read."""
    from imagelab.runs.run import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAGELAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = run(small(tmp_path_factory.mktemp("small"))).path
        write_report(folder)
        yield folder


@pytest.fixture
def earlier(small_run: Path) -> Earlier:
    """Return ``earlier(RUNS, GENERATION)``: the run as it was after that generation; a later one is in work."""

    def made(runs: Path, last: int) -> Path:
        later = [f"gen-{generation:03d}*" for generation in range(last + 1, 3)]
        folder = runs / small_run.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(small_run, folder, ignore=shutil.ignore_patterns(SEALS, "report", *later))
        (folder / "metrics.jsonl").unlink()
        run = RunFolder(folder)
        digests = {run.shard_path(*shard).name: run.manifest(*shard) for shard in run.shards()}
        (folder / SEALS).write_text(seals_text({name: sealed.digest for name, sealed in digests.items() if sealed}))
        run.mend()
        if last < 2:
            run.begin(last + 1).joinpath("images.npy").write_bytes(b"half")
        return folder

    return made


@pytest.fixture(scope="session")
def pushed_once(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on a store, a folder of another disk; it is only read."""
    store = tmp_path_factory.mktemp("store")
    push_run(small_run, f"file://{store}")
    return store / small_run.name


@pytest.fixture
def store(pushed_once: Path, tmp_path: Path) -> Path:
    """A copy of the run on a store, to be changed."""
    return Path(shutil.copytree(pushed_once, tmp_path / "store" / pushed_once.name))
