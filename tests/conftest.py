"""Fixtures: every test gets its own cache folder, so no test sees what another, or the user, has rendered."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

# One thread a worker: tests run side by side, and threads of small nets would only wait for each other. Set before
# numpy and torch are loaded, and inherited by the processes that tests start.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

collect_ignore_glob = ["mutation*.py"]  # a script of minutes, not a test


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("IMAGELAB_WEIGHTS", str(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)


@pytest.fixture
def picture_folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder of twelve sound pictures of mixed sizes."""
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        height, width = rng.integers(70, 120, 2)
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((int(width), int(height))).save(folder / f"picture-{index:02d}.jpg", quality=92)
    return folder


@pytest.fixture(autouse=True)
def _no_members_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins with the families as the package has them; what it adds is forgotten afterwards."""
    from imagelab import families

    for family in families.FAMILIES.values():
        monkeypatch.setattr(family, "_added", {})
        monkeypatch.setattr(family, "sources", {})


Warm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Return ``run(*words, cwd=, env=)``: ``python WORDS`` in a process of its own that has torch and others loaded.

    See tests/warm_server.py for which tests it suits.
    """
    command = [sys.executable, str(Path(__file__).with_name("warm_server.py"))]
    pipe, environment = subprocess.PIPE, {**os.environ, "HF_HUB_OFFLINE": "1"}
    root = Path(__file__).parents[1]
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root, env=environment)
    assert server.stdin and server.stdout
    folder = tmp_path_factory.mktemp("warm")

    def run(
        *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        assert server.stdin and server.stdout
        out, err = folder / "out.txt", folder / "err.txt"
        out.write_bytes(b"")
        err.write_bytes(b"")
        said = [str(word) for word in words]
        asked = {"words": said, "cwd": str(cwd or Path.cwd()), "env": dict(os.environ if env is None else env)}
        server.stdin.write(json.dumps({**asked, "out": str(out), "err": str(err)}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(said, code, out.read_text("utf-8"), err.read_text("utf-8"))

    yield run
    server.stdin.close()
    server.wait()


def _chromium() -> str | None:
    return os.environ.get("IMAGELAB_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def _no_browser() -> str:
    """Why no page can be opened in a browser here; "" if one can. A chromium that was named is never skipped."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install 'imagelab-collapse[test]'"
    return "" if _chromium() else "no chromium was found: apt-get install chromium, or name one in IMAGELAB_CHROMIUM"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless chromium, one a worker: a process can drive one browser only."""
    if why := _no_browser():
        pytest.skip(f"browser: {why}")
    playwright: Any = importlib.import_module("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file of tests to one worker as a whole, so that what its tests share is made once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly which tests were left out because something is not installed on this machine."""
    left: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left[reason] = left.get(reason, 0) + 1
    for reason, count in sorted(left.items()):
        terminalreporter.write_line(f"NOT RUN: {count} tests, {reason.removeprefix('Skipped: ')}", yellow=True)
